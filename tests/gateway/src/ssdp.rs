//! The search side of UPnP (UPnP Device Architecture 1.1, section 1.3).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::broadcast::error::RecvError;

use crate::datagram::{Delivery, Outbox};
use crate::layout::{self, Device};
use crate::shared::Shared;
use crate::side::Side;
use crate::{Faults, Mode};

/// Where multicast searches go.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// The same over IPv6: on the link, and in the site (UPnP Device Architecture 1.1, annex A).
const IPV6_GROUPS: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xc)];
pub(crate) const PORT: u16 = 1900;
const BUFFER: usize = 4096;
const SERVER: &str = concat!("portlease-gateway/", env!("CARGO_PKG_VERSION"), " UPnP/1.1");
/// The longest MX that is heeded (1.3.3).
const MAX_MX: u32 = 5;

/// What a valid search asks.
#[derive(Debug, PartialEq, Eq)]
struct Search<'a> {
    target: &'a str,
}

/// Reads a search; the error says what is wrong with it.
fn parse(packet: &[u8], multicast: bool) -> Result<Search<'_>, &'static str> {
    let text = std::str::from_utf8(packet).map_err(|_| "not text")?;
    let head = text.split_once("\r\n\r\n").ok_or("no empty line at the end")?.0;
    let mut lines = head.split("\r\n");
    if lines.next() != Some("M-SEARCH * HTTP/1.1") {
        return Err("no M-SEARCH");
    }
    let (mut man, mut target, mut mx) = (None, None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header without colon")?;
        let value = value.trim();
        match name.to_ascii_uppercase().as_str() {
            "MAN" => man = Some(value),
            "ST" => target = Some(value),
            "MX" => mx = Some(value.parse::<u32>().map_err(|_| "MX is not a number")?.min(MAX_MX)),
            _ => {}
        }
    }
    if man != Some("\"ssdp:discover\"") {
        return Err("MAN is not \"ssdp:discover\" in quotes");
    }
    if multicast && mx.is_none_or(|seconds| seconds == 0) {
        return Err("MX is missing or less than 1");
    }
    Ok(Search { target: target.filter(|value| !value.is_empty()).ok_or("no ST")? })
}

/// A UDP socket on `address`; a shared one can have its port beside others on this machine.
pub(crate) fn socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Beside the one for IPv4 with the same number.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(shared)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// A socket that hears multicast searches on the interface of `address`.
pub(crate) fn multicast_socket(address: IpAddr) -> io::Result<UdpSocket> {
    // Other UPnP programs on this machine listen there too.
    match address {
        IpAddr::V4(interface) => {
            let socket = socket((Ipv4Addr::UNSPECIFIED, PORT).into(), true)?;
            socket.join_multicast_v4(GROUP, interface)?;
            Ok(socket)
        }
        IpAddr::V6(address) => {
            let interface = interface_of(address);
            let socket = socket((Ipv6Addr::UNSPECIFIED, PORT).into(), true)?;
            for group in IPV6_GROUPS {
                socket.join_multicast_v6(&group, interface)?;
            }
            Ok(socket)
        }
    }
}

/// The index of the interface that has this address, or 0, which leaves the choice to the system.
fn interface_of(address: Ipv6Addr) -> u32 {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        // That of this thread's network. One address a line: 32 digits, then the index, both in hexadecimal.
        let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
        let digits = format!("{:032x}", address.to_bits());
        let line = table.lines().find_map(|line| line.strip_prefix(&digits));
        let index = line.and_then(|rest| u32::from_str_radix(rest.split_whitespace().next()?, 16).ok());
        return index.unwrap_or(0);
    }
    // What macOS and Windows have for their loopback interface.
    u32::from(address.is_loopback())
}

/// A search as it came, and who sent it.
pub(crate) type Heard = (Vec<u8>, SocketAddr);

/// Answers searches that come to `socket`, to the group's socket or to a neighbour, all from `socket`, until dropped.
pub(crate) async fn serve(shared: Arc<Shared>, side: Side, socket: Arc<UdpSocket>, group: Option<UdpSocket>) {
    let unicast = hear(shared.clone(), side, socket.clone(), socket.clone(), false);
    let passed_on = hear_neighbours(shared.clone(), side, socket.clone());
    match group {
        Some(group) => {
            tokio::join!(unicast, passed_on, hear(shared, side, Arc::new(group), socket, true));
        }
        None => {
            tokio::join!(unicast, passed_on);
        }
    }
}

/// Answers the searches that arrived at other gateways of the same LAN.
async fn hear_neighbours(shared: Arc<Shared>, side: Side, answer_from: Arc<UdpSocket>) {
    let mut searches = shared.searches.subscribe();
    let mut outbox = Outbox::new(shared.clone(), answer_from.clone());
    loop {
        match searches.recv().await {
            // The router's other side hears those.
            Ok((_, peer)) if answer_from.local_addr().is_ok_and(|own| own.is_ipv6() != peer.is_ipv6()) => {}
            Ok((packet, peer)) => answer_search(&shared, side, &mut outbox, &packet, peer, false).await,
            // As if they had been lost on the way.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn hear(shared: Arc<Shared>, side: Side, socket: Arc<UdpSocket>, answer_from: Arc<UdpSocket>, multicast: bool) {
    let mut outbox = Outbox::new(shared.clone(), answer_from);
    let mut buffer = [0; BUFFER];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let packet = &buffer[..length];
        if multicast && !packet.starts_with(b"M-SEARCH") {
            // Announcements of other devices.
            continue;
        }
        if !multicast {
            // The group reaches its members by itself.
            shared.pass_on(packet, peer);
        }
        answer_search(&shared, side, &mut outbox, packet, peer, multicast).await;
    }
}

async fn answer_search(
    shared: &Shared,
    side: Side,
    outbox: &mut Outbox,
    packet: &[u8],
    peer: SocketAddr,
    multicast: bool,
) {
    let search = parse(packet, multicast);
    let kind = if search.is_ok() { "ssdp_search" } else { "malformed" };
    if !shared.arrived(kind, peer, true) {
        return;
    }
    let Ok(search) = search else { return };
    // The socket's own buffer is the queue.
    let turn = shared.turn_at_processor().await;
    drop(turn);
    let (faults, http, boots) = shared.look(|state| (state.faults.clone(), state.addresses.on(side).http, state.boots));
    if faults.ssdp_mode(side) != Mode::Normal || faults.ssdp_only_st.as_ref().is_some_and(|only| only != search.target)
    {
        return;
    }
    let delivery = Delivery {
        delay: Duration::from_millis(faults.ssdp_delay_ms),
        copies: faults.ssdp_duplicates,
        reorder: faults.reorder,
        other_port: faults.ssdp_other_port,
    };
    for device in layout::devices(&shared.config, &faults) {
        for target in device.matches(search.target) {
            for number in 1..=faults.ssdp_bogus_locations {
                outbox.send(bogus_answer(&faults, &device, &target, http, number), peer, delivery);
            }
            let location = device.told_location(&faults, side, http);
            let true_answer = answer(&faults, &device.uuid, &target, &location, boots);
            // Behind the bogus ones even when all are sent at once.
            let behind = Duration::from_millis(if faults.ssdp_bogus_locations > 0 { 5 } else { 0 });
            outbox.send(true_answer, peer, Delivery { delay: delivery.delay + behind, ..delivery });
        }
    }
}

/// An answer whose LOCATION is not there.
fn bogus_answer(faults: &Faults, device: &Device, target: &str, http: SocketAddr, number: u32) -> Vec<u8> {
    let uuid = if faults.ssdp_bogus_udn_is_true {
        device.uuid.clone()
    } else {
        format!("uuid:626f6775-7300-4173-8000-{number:012x}")
    };
    answer(faults, &uuid, target, &format!("http://{http}/bogus{number}.xml"), 1)
}

fn answer(faults: &Faults, uuid: &str, target: &str, location: &str, boots: u32) -> Vec<u8> {
    let target = faults.ssdp_answer_st.as_deref().unwrap_or(target);
    let usn = usn(uuid, target);
    format!(
        "HTTP/1.1 200 OK\r\n\
         CACHE-CONTROL: max-age=120\r\n\
         ST: {target}\r\n\
         USN: {usn}\r\n\
         EXT:\r\n\
         SERVER: {SERVER}\r\n\
         LOCATION: {location}\r\n\
         BOOTID.UPNP.ORG: {boots}\r\n\
         CONFIGID.UPNP.ORG: 1337\r\n\r\n"
    )
    .into_bytes()
}

/// What a device says unasked (1.2.2, 1.2.3): with a location that it is there, without that it goes away.
pub(crate) fn notify(to: SocketAddr, uuid: &str, target: &str, location: Option<&str>, boots: u32) -> Vec<u8> {
    let usn = usn(uuid, target);
    let mut text = format!("NOTIFY * HTTP/1.1\r\nHOST: {to}\r\nNT: {target}\r\nUSN: {usn}\r\n");
    match location {
        Some(location) => text.push_str(&format!(
            "NTS: ssdp:alive\r\nCACHE-CONTROL: max-age=120\r\nSERVER: {SERVER}\r\nLOCATION: {location}\r\n"
        )),
        None => text.push_str("NTS: ssdp:byebye\r\n"),
    }
    text.push_str(&format!("BOOTID.UPNP.ORG: {boots}\r\nCONFIGID.UPNP.ORG: 1337\r\n\r\n"));
    text.into_bytes()
}

fn usn(uuid: &str, target: &str) -> String {
    if target == uuid { target.to_owned() } else { format!("{uuid}::{target}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: upnp:rootdevice\r\n\r\n";

    #[test]
    fn a_search_as_the_architecture_has_it_is_read() {
        assert_eq!(parse(GOOD.as_bytes(), true), Ok(Search { target: "upnp:rootdevice" }));
    }

    #[test]
    fn a_search_that_real_routers_ignore_is_refused() {
        for (wrong, replaced, by) in [
            ("MAN without quotes", "\"ssdp:discover\"", "ssdp:discover"),
            ("no final empty line", "device\r\n\r\n", "device\r\n"),
            ("MX 0", "MX: 2", "MX: 0"),
            ("no ST", "ST: upnp:rootdevice", "X: y"),
            ("another method", "M-SEARCH", "NOTIFY"),
        ] {
            assert!(parse(GOOD.replace(replaced, by).as_bytes(), true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_unicast_search_needs_no_mx() {
        assert!(parse(GOOD.replace("MX: 2\r\n", "").as_bytes(), false).is_ok());
    }
}
