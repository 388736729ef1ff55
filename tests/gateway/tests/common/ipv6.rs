//! The same over IPv6.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;

use portlease_gateway::{Gateway, GatewayConfig, Ipv6Addresses, Transport};

use super::{http_raw, pcp_map, skip, soap_request, start};

pub(crate) const FIREWALL: &str = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1";
pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;
const HERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);

/// A gateway with a firewall for IPv6; `None`, said in a line, if this machine has no IPv6 on loopback.
pub(crate) fn firewall_with(change: impl FnOnce(&mut GatewayConfig)) -> Option<Gateway> {
    let gateway = start(|config| {
        config.ipv6 = true;
        change(config);
    });
    if let Some(reason) = gateway.addresses().no_ipv6 {
        skip(&format!("no IPv6 here: {reason}"));
        return None;
    }
    Some(gateway)
}

pub(crate) fn firewall() -> Option<Gateway> {
    firewall_with(|_| ())
}

pub(crate) fn over_ipv6(gateway: &Gateway) -> Ipv6Addresses {
    gateway.addresses().ipv6.unwrap()
}

/// A client's socket at `from`, connected to the PCP port.
pub(crate) fn client_at(gateway: &Gateway, from: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    let there = over_ipv6(gateway);
    socket.connect((there.gateway, there.pcp_port)).unwrap();
    socket.set_read_timeout(Some(super::PATIENCE)).unwrap();
    socket
}

pub(crate) fn client(gateway: &Gateway) -> UdpSocket {
    client_at(gateway, HERE.ip())
}

/// A MAP request of `from` that suggests `external` at address `wanted`.
pub(crate) fn map_at(
    from: Ipv6Addr,
    wanted: Ipv6Addr,
    (protocol, internal, external): (u8, u16, u16),
    lifetime: u32,
    nonce: [u8; 12],
) -> Vec<u8> {
    let mut message = pcp_map(protocol, internal, external, lifetime, nonce);
    message[8..24].copy_from_slice(&from.octets());
    message[44..60].copy_from_slice(&wanted.octets());
    message
}

/// A MAP request of [::1] that suggests the mapped address and port.
pub(crate) fn map(protocol: u8, port: u16, lifetime: u32, nonce: [u8; 12]) -> Vec<u8> {
    map_at(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, (protocol, port, port), lifetime, nonce)
}

/// [::1] and this port.
pub(crate) fn here(port: u16) -> SocketAddr {
    SocketAddr::new(HERE.ip(), port)
}

/// Calls an action of the firewall; the whole answer as text.
pub(crate) fn soap(gateway: &Gateway, action: &str, arguments: &[(&str, &str)]) -> String {
    soap_at(over_ipv6(gateway).http_address, action, arguments)
}

pub(crate) fn soap_at(server: SocketAddr, action: &str, arguments: &[(&str, &str)]) -> String {
    let request = soap_request("/ctl/IP6FCtl", FIREWALL, action, arguments);
    String::from_utf8_lossy(&http_raw(server, &request, usize::MAX).0).into_owned()
}

/// The arguments of AddPinhole for everybody.
pub(crate) fn pinhole<'a>(
    client: &'a str,
    port: &'a str,
    protocol: &'a str,
    lease: &'a str,
) -> [(&'static str, &'a str); 6] {
    [
        ("RemoteHost", ""),
        ("RemotePort", "0"),
        ("InternalClient", client),
        ("InternalPort", port),
        ("Protocol", protocol),
        ("LeaseTime", lease),
    ]
}

/// Adds a pinhole for a port of [::1]; the answer.
pub(crate) fn add(gateway: &Gateway, port: u16, protocol: u8, lease: u32) -> String {
    let (port, protocol, lease) = (port.to_string(), protocol.to_string(), lease.to_string());
    soap(gateway, "AddPinhole", &pinhole("::1", &port, &protocol, &lease))
}

/// The pinhole for a UDP port of [::1].
pub(crate) fn udp_pinhole(gateway: &Gateway, port: u16) -> Option<portlease_gateway::Mapping> {
    gateway.pinhole(Transport::Udp, here(port))
}

/// An app on [::1] that answers every datagram with `echo:` before it. Ends with the process.
pub(crate) fn udp_app_at(address: SocketAddr) -> u16 {
    let socket = UdpSocket::bind(address).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&[b"echo:", &buffer[..length]].concat(), peer);
        }
    });
    port
}

/// Whether a datagram to `reach` from `socket` is answered within its time.
pub(crate) fn passes(socket: &UdpSocket, reach: SocketAddr) -> bool {
    socket.send_to(b"hello", reach).unwrap();
    let mut buffer = [0; 64];
    // A closed port answers with ICMP, but only to a connected socket.
    socket.recv(&mut buffer).is_ok_and(|length| &buffer[..length] == b"echo:hello")
}

/// Whether the test called `name` runs in a network namespace of its own, prepared by `commands` of a shell. If not, this
/// runs it again in one, or says in a line that this machine has none, and its caller has nothing left to do.
pub(crate) fn is_in_namespace(name: &str, commands: &str) -> bool {
    const INSIDE: &str = "PORTLEASE_GATEWAY_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // The kernel adds the route to a new address later, in the background.
    let routed = "for try in $(seq 200); do missing=; \
                  for address in $(ip -6 -oneline address show | sed -n 's|.*inet6 \\(.*\\)/.*scope [gh].*|\\1|p'); do \
                  ip -6 route get \"$address\" | grep -q ^local || missing=yes; done; \
                  test -z \"$missing\" && break; sleep 0.01; done";
    let script =
        format!("ip link set lo up && {commands} || exit 77; {routed}; exec \"$0\" --exact {name} --nocapture");
    let test = std::env::current_exe().unwrap();
    let output = Command::new("unshare").args(["--net", "sh", "-c", &script]).arg(test).env(INSIDE, "1").output();
    match output {
        Err(error) => skip(&format!("no `unshare`: {error}")),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            if output.status.code() == Some(77) || text.contains("unshare failed") {
                skip(&format!("no network namespace: {}", text.trim()));
            } else {
                assert!(output.status.success() && text.contains("1 passed"), "{text}");
            }
        }
    }
    false
}

/// An app on [::1] that answers a whole TCP request with `echo:` before it. Ends with the process.
pub(crate) fn tcp_app() -> u16 {
    super::tcp_app_at(HERE)
}
