//! The way to the home router: default gateway, interface and local address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::builders::builders;
use crate::config::{Config, PCP_PORT};
use crate::error::{PortMappingError, list};

/// How the gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkPath {
    /// The gateway's address.
    pub gateway: IpAddr,
    /// The local address from which it is reached and to which it shall forward.
    pub local_address: IpAddr,
    /// The interface of the default route, where one was looked up.
    pub interface: Option<String>,
}

impl NetworkPath {
    /// The way to `gateway` from `local_address`, by no interface in particular.
    pub fn new(gateway: impl Into<IpAddr>, local_address: impl Into<IpAddr>) -> Self {
        Self { gateway: gateway.into(), local_address: local_address.into(), interface: None }
    }

    builders! {
        interface(impl Into<Option<String>>),
    }
}

/// A default route.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DefaultRoute {
    interface: String,
    gateway: Ipv4Addr,
    metric: u32,
}

/// Finds the way to the gateway: what the configuration names, else the default route with the lowest metric
/// (among those of the named interface, or of the interface that has the named local address).
///
/// ```
/// use portlease::Config;
/// use portlease::net::route::find_path;
///
/// let path = find_path(&Config::default().gateway(std::net::IpAddr::from([127, 0, 0, 1])))?;
/// assert_eq!(path.local_address, path.gateway);
/// # Ok::<(), portlease::PortMappingError>(())
/// ```
///
/// Fails with `unavailable` where there is no such route, `invalid` where the named interface or local address
/// does not exist. Reads the system's tables; sends nothing.
pub fn find_path(config: &Config) -> Result<NetworkPath, PortMappingError> {
    if let Some(gateway) = config.gateway {
        let local_address = match config.local_address {
            Some(address) => address,
            None => match &config.interface {
                Some(name) => interface_address(name)?,
                None => local_address_towards(gateway)?,
            },
        };
        check_local(local_address)?;
        return Ok(NetworkPath { gateway, local_address, interface: config.interface.clone() });
    }
    let interface = match (&config.interface, config.local_address) {
        (Some(name), _) => Some(existing_interface(name)?.name),
        (None, Some(address)) => {
            check_local(address)?;
            Some(interface_with(address)?)
        }
        (None, None) => None,
    };
    let route = default_routes()?
        .into_iter()
        .filter(|route| interface.as_deref().is_none_or(|name| route.interface == name))
        .min_by_key(|route| route.metric)
        .ok_or_else(|| no_route(interface.as_deref()))?;
    let gateway = IpAddr::V4(route.gateway);
    let local_address = match (config.local_address, &config.interface) {
        (Some(address), _) => address,
        (None, Some(name)) => interface_address(name)?,
        (None, None) => local_address_towards(gateway)?,
    };
    Ok(NetworkPath { gateway, local_address, interface: Some(route.interface) })
}

fn no_route(interface: Option<&str>) -> PortMappingError {
    PortMappingError::unavailable(match interface {
        Some(name) => format!("interface {name} has no IPv4 default route, so there is no gateway to ask"),
        None => "there is no IPv4 default route, so there is no gateway to ask".to_owned(),
    })
}

/// The address that the system picks for packets to `gateway`; nothing is sent.
fn local_address_towards(gateway: IpAddr) -> Result<IpAddr, PortMappingError> {
    let find = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(SocketAddr::new(gateway, PCP_PORT))?;
        Ok(socket.local_addr()?.ip())
    };
    find().map_err(|error| PortMappingError::transport(format_args!("no way to gateway {gateway}"), error))
}

/// The network in which `gateway` is a neighbour of `local`. `None` where the interface has no prefix to tell; then only the
/// gateway itself is known to be near. Reads the system's tables; sends nothing.
pub(crate) fn network_of(gateway: IpAddr, local: Option<IpAddr>) -> Option<Network> {
    if gateway.is_loopback() {
        return Some(Network { address: Ipv4Addr::LOCALHOST, prefix: 8 });
    }
    let IpAddr::V4(local) = local.or_else(|| local_address_towards(gateway).ok())? else { return None };
    netdev::get_interfaces()
        .into_iter()
        .flat_map(|interface| interface.ipv4)
        .find(|net| net.addr() == local)
        .map(|net| Network { address: local, prefix: net.prefix_len() })
}

/// The hosts that are reached without a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: Ipv4Addr,
    prefix: u8,
}

impl Network {
    pub(crate) fn contains(self, host: IpAddr) -> bool {
        let IpAddr::V4(host) = host else { return false };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        // A network of everything is a mistake somewhere, and says nothing about who is near.
        self.prefix > 0 && (u32::from(self.address) ^ u32::from(host)) & mask == 0
    }
}

/// A local address can be bound; anything else is somebody else's.
fn check_local(address: IpAddr) -> Result<(), PortMappingError> {
    UdpSocket::bind((address, 0)).map(drop).map_err(|error| {
        PortMappingError::invalid("local_address", format!("{address} is not an address of this machine ({error})"))
    })
}

fn existing_interface(name: &str) -> Result<netdev::Interface, PortMappingError> {
    let interfaces = netdev::get_interfaces();
    let names = list(interfaces.iter().map(|interface| &interface.name));
    interfaces.into_iter().find(|interface| interface.name == name).ok_or_else(|| {
        PortMappingError::invalid("interface", format!("there is no interface `{name}`; there are {names}"))
    })
}

fn interface_address(name: &str) -> Result<IpAddr, PortMappingError> {
    let interface = existing_interface(name)?;
    interface
        .ipv4
        .first()
        .map(|net| IpAddr::V4(net.addr()))
        .ok_or_else(|| PortMappingError::unavailable(format!("interface {name} has no IPv4 address")))
}

fn interface_with(address: IpAddr) -> Result<String, PortMappingError> {
    netdev::get_interfaces()
        .into_iter()
        .find(|interface| interface.ipv4.iter().any(|net| IpAddr::V4(net.addr()) == address))
        .map(|interface| interface.name)
        .ok_or_else(|| {
            PortMappingError::invalid("local_address", format!("{address} is not an address of this machine"))
        })
}

/// On Linux the kernel's own table, because it alone tells the metrics; a VPN's route is often there beside
/// the home router's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn default_routes() -> Result<Vec<DefaultRoute>, PortMappingError> {
    const TABLE: &str = "/proc/net/route";
    match read_whole(TABLE) {
        Ok(table) => Ok(parse_route_table(&String::from_utf8_lossy(&table))),
        // Newer Androids hide the file from apps.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => platform_default_route(),
        Err(error) => Err(PortMappingError::transport(format_args!("cannot read {TABLE}"), error)),
    }
}

/// A file of the kernel's, which has no length of its own: with a large buffer it is made and read in one piece.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn read_whole(path: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read;

    const USUAL_LENGTH: usize = 4096;
    let mut content = Vec::with_capacity(USUAL_LENGTH);
    std::fs::File::open(path)?.take(u64::MAX).read_to_end(&mut content)?;
    Ok(content)
}

/// Elsewhere the platform's own choice of the default interface, which follows the metrics.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn default_routes() -> Result<Vec<DefaultRoute>, PortMappingError> {
    platform_default_route()
}

/// The default gateway of every interface that has one, the platform's default interface first.
fn platform_default_route() -> Result<Vec<DefaultRoute>, PortMappingError> {
    Ok(netdev::get_interfaces()
        .into_iter()
        .filter_map(|interface| {
            let gateway = *interface.gateway.as_ref()?.ipv4.first()?;
            Some(DefaultRoute { metric: u32::from(!interface.default), interface: interface.name, gateway })
        })
        .collect())
}

/// Reads `/proc/net/route`: tab-separated columns, addresses as hexadecimal numbers in host byte order.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn parse_route_table(table: &str) -> Vec<DefaultRoute> {
    const UP_AND_GATEWAY: u32 = 0x3;
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [interface, destination, gateway, flags, _, _, metric, mask, ..] = columns[..] else { return None };
            let hex = |text| u32::from_str_radix(text, 16).ok();
            let is_default = hex(destination)? == 0 && hex(mask)? == 0;
            let usable = hex(flags)? & UP_AND_GATEWAY == UP_AND_GATEWAY;
            (is_default && usable).then_some(DefaultRoute {
                interface: interface.to_owned(),
                gateway: Ipv4Addr::from(hex(gateway)?.to_ne_bytes()),
                metric: metric.parse().ok()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn default_routes_are_read_with_gateway_and_metric() {
        let table = format!(
            "{HEAD}wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             tun0\t00000000\t0100080A\t0003\t0\t0\t50\t00000000\t0\t0\t0\n\
             wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n"
        );
        let routes = parse_route_table(&table);
        assert_eq!(routes.len(), 2, "the route to the LAN itself is no default route");
        let lowest = routes.into_iter().min_by_key(|route| route.metric).unwrap();
        assert_eq!((lowest.interface.as_str(), lowest.metric), ("tun0", 50));
        #[cfg(target_endian = "little")]
        assert_eq!(lowest.gateway, Ipv4Addr::new(10, 8, 0, 1));
    }

    #[test]
    fn routes_that_are_down_or_lead_to_no_gateway_do_not_count() {
        let table = format!(
            "{HEAD}eth0\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n\
             ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"
        );
        assert!(parse_route_table(&table).is_empty());
    }

    #[test]
    fn a_half_route_of_a_vpn_is_not_the_home_router() {
        // OpenVPN's def1 puts 0.0.0.0/1 and 128.0.0.0/1 before the real default route.
        let table = format!(
            "{HEAD}tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        );
        let routes = parse_route_table(&table);
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].interface, "eth0");
    }

    #[test]
    fn garbage_in_the_table_is_skipped() {
        for table in ["", "\n", HEAD, "x y z\nfoo bar\n", &format!("{HEAD}eth0\tzz\tzz\tzz\tzz\tzz\tzz\tzz\n")] {
            assert!(parse_route_table(table).is_empty());
        }
    }

    #[test]
    fn a_named_gateway_is_used_with_the_address_that_reaches_it() {
        let config = Config { gateway: Some([127, 0, 0, 1].into()), ..Config::default() };
        let path = find_path(&config).unwrap();
        assert_eq!(path.gateway, IpAddr::from([127, 0, 0, 1]));
        assert_eq!(path.local_address, IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn a_neighbour_is_in_the_network_of_the_local_address() {
        let network = |prefix| Network { address: [192, 168, 1, 20].into(), prefix };
        for (prefix, host, near) in [
            (24, [192, 168, 1, 254], true),
            (24, [192, 168, 2, 1], false),
            (16, [192, 168, 2, 1], true),
            (25, [192, 168, 1, 128], false),
            (32, [192, 168, 1, 20], true),
            (32, [192, 168, 1, 1], false),
            (0, [192, 168, 1, 1], false),
        ] {
            assert_eq!(network(prefix).contains(IpAddr::from(host)), near, "/{prefix} {host:?}");
        }
        assert!(!network(24).contains("::1".parse().unwrap()));
    }

    #[test]
    fn a_loopback_gateway_has_loopback_neighbours_and_an_unknown_local_address_has_none() {
        let network = network_of([127, 0, 0, 1].into(), None).unwrap();
        assert!(network.contains([127, 9, 9, 9].into()) && !network.contains([10, 0, 0, 1].into()));
        assert_eq!(network_of([192, 0, 2, 1].into(), Some([192, 0, 2, 99].into())), None);
    }

    #[test]
    fn an_unknown_interface_is_invalid_and_the_message_lists_those_that_exist() {
        let config = Config { interface: Some("nosuch0".into()), ..Config::default() };
        let error = find_path(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("`nosuch0`") && error.to_string().contains("there are"), "{error}");
    }

    #[test]
    fn a_local_address_of_another_machine_is_invalid() {
        let config = Config { local_address: Some([192, 0, 2, 9].into()), ..Config::default() };
        let error = find_path(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().starts_with("local_address: 192.0.2.9 is not an address of this machine"), "{error}");
    }
}
