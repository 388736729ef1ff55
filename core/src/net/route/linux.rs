//! Default routes by the kernel's own table, because it alone tells the metrics; a VPN's route is often there beside
//! the home router's.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::interfaces::{self, DefaultRoute};
use super::table;
use crate::config::PCP_PORT;
use crate::error::PortMappingError;

/// The table of this thread's network: threads of one process may be in different network namespaces.
const TABLE: &str = "/proc/thread-self/net/route";
/// An address of the internet: PCP's anycast address (RFC 7723). Nothing is sent to it.
const BEYOND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 9));

pub(super) fn default_routes() -> Result<Vec<DefaultRoute>, PortMappingError> {
    match read_whole(TABLE) {
        Ok(table) => Ok(parse(&String::from_utf8_lossy(&table))),
        // Newer Androids hide the file from apps, and a sandbox may have no /proc at all.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
            Ok(interfaces::default_routes())
        }
        Err(error) => Err(PortMappingError::transport(format_args!("cannot read {TABLE}"), error)),
    }
}

/// A file of the kernel's, which has no length of its own: with a large buffer it is made and read in one piece.
fn read_whole(path: &str) -> io::Result<Vec<u8>> {
    const USUAL_LENGTH: usize = 4096;
    let mut content = Vec::with_capacity(USUAL_LENGTH);
    File::open(path)?.take(u64::MAX).read_to_end(&mut content)?;
    Ok(content)
}

/// Reads tab-separated columns, addresses as hexadecimal numbers in host byte order.
pub(super) fn parse(table: &str) -> Vec<DefaultRoute> {
    const UP: u32 = 0x1;
    const GATEWAY: u32 = 0x2;
    const REJECT: u32 = 0x200;
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [interface, destination, gateway, flags, _, _, metric, mask, ..] = columns[..] else { return None };
            let hex = |text| u32::from_str_radix(text, 16).ok();
            let is_default = hex(destination)? == 0 && hex(mask)? == 0;
            let flags = hex(flags)?;
            let gateway = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
            let has_gateway = flags & GATEWAY != 0;
            // A blackhole belongs to no interface. A gateway without an address is one that IPv6 reaches.
            let usable = flags & (UP | REJECT) == UP && interface != "*" && has_gateway != gateway.is_unspecified();
            (is_default && usable).then_some(DefaultRoute {
                interface: interface.to_owned(),
                alias: None,
                index: 0,
                gateway: has_gateway.then_some(gateway.into()),
                metric: metric.parse().ok()?,
                local: None,
            })
        })
        .collect()
}

/// This machine's address for packets to `gateway`, or to the internet, by that interface: the kernel's choice, which knows
/// the addresses of the interface and the route's own source address.
pub(super) fn address_on(interface: &str, gateway: Option<IpAddr>) -> Result<IpAddr, PortMappingError> {
    let choice = || -> io::Result<IpAddr> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        // Before 5.7 only root may do this.
        socket.bind_device(Some(interface.as_bytes()))?;
        let socket = UdpSocket::from(socket);
        socket.connect(SocketAddr::new(gateway.unwrap_or(BEYOND), PCP_PORT))?;
        Ok(socket.local_addr()?.ip())
    };
    choice().or_else(|_| table::address_on(interface, gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn default_routes_are_read_with_gateway_and_metric() {
        let table = format!(
            "{HEAD}wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             tun0\t00000000\t0100080A\t0003\t0\t0\t50\t00000000\t0\t0\t0\n\
             wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n"
        );
        let routes = parse(&table);
        assert_eq!(routes.len(), 2, "the route to the LAN itself is no default route");
        let lowest = routes.into_iter().min_by_key(|route| route.metric).unwrap();
        assert_eq!((lowest.interface.as_str(), lowest.metric), ("tun0", 50));
        #[cfg(target_endian = "little")]
        assert_eq!(lowest.gateway, Some([10, 8, 0, 1].into()));
    }

    #[test]
    fn routes_that_are_down_refused_or_lead_to_no_interface_do_not_count() {
        for line in [
            // Down; unreachable or prohibited; a blackhole; a gateway that has an IPv6 address only.
            "eth0\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n",
            "*\t00000000\t00000000\t0201\t0\t0\t1\t00000000\t0\t0\t0\n",
            "lo\t00000000\t00000000\t0201\t0\t0\t1\t00000000\t0\t0\t0\n",
            "*\t00000000\t00000000\t0001\t0\t0\t1\t00000000\t0\t0\t0\n",
            "eth0\t00000000\t00000000\t0003\t0\t0\t1\t00000000\t0\t0\t0\n",
        ] {
            assert_eq!(parse(&format!("{HEAD}{line}")), [], "{line}");
        }
    }

    #[test]
    fn a_default_route_that_leads_straight_out_of_an_interface_has_no_gateway() {
        let table = format!("{HEAD}ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n");
        let routes = parse(&table);
        assert_eq!((routes.len(), routes[0].gateway), (1, None));
    }

    #[test]
    fn a_half_route_of_a_vpn_is_not_the_home_router() {
        // OpenVPN's def1 puts 0.0.0.0/1 and 128.0.0.0/1 before the real default route.
        let table = format!(
            "{HEAD}tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        );
        let routes = parse(&table);
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].interface, "eth0");
    }

    #[test]
    fn garbage_in_the_table_is_skipped() {
        for table in ["", "\n", HEAD, "x y z\nfoo bar\n", &format!("{HEAD}eth0\tzz\tzz\tzz\tzz\tzz\tzz\tzz\n")] {
            assert!(parse(table).is_empty());
        }
    }
}
