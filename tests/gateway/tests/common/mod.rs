//! What the tests share: raw messages written by hand from the RFCs, a raw HTTP client, apps behind the router.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod ipv6;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use portlease_gateway::{Gateway, GatewayConfig};

/// Longer than any test's wait should be; reached only when one fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a test listens to make sure that nothing comes.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

pub(crate) const NONCE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

pub(crate) fn gateway() -> Gateway {
    Gateway::start(GatewayConfig::default()).unwrap()
}

pub(crate) fn start(change: impl FnOnce(&mut GatewayConfig)) -> Gateway {
    let mut config = GatewayConfig::default();
    change(&mut config);
    Gateway::start(config).unwrap()
}

/// Says on the terminal itself, which the test harness does not capture, that something was not tested, and why.
pub(crate) fn skip(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

/// A client's socket, connected to the PCP port.
pub(crate) fn client(gateway: &Gateway) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((gateway.address(), gateway.pcp_port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn ask(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    socket.send(message).unwrap();
    receive(socket).expect("no answer")
}

pub(crate) fn receive(socket: &UdpSocket) -> Option<Vec<u8>> {
    let mut buffer = [0; 2048];
    match socket.recv(&mut buffer) {
        Ok(length) => Some(buffer[..length].to_vec()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        Err(error) => panic!("receiving failed: {error}"),
    }
}

/// Whether nothing comes for a while.
pub(crate) fn stays_silent(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(QUIET)).unwrap();
    let answer = receive(socket);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    answer.is_none()
}

/// A PCP MAP request (RFC 6887, 7.1 and 11.1) for UDP (17) or TCP (6).
pub(crate) fn pcp_map(protocol: u8, internal: u16, external: u16, lifetime: u32, nonce: [u8; 12]) -> Vec<u8> {
    let mut message = vec![2, 1, 0, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend(Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets());
    message.extend(nonce);
    message.extend([protocol, 0, 0, 0]);
    message.extend(internal.to_be_bytes());
    message.extend(external.to_be_bytes());
    message.extend(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    message
}

/// The fields of a PCP answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PcpAnswer {
    pub(crate) opcode: u8,
    pub(crate) result: u8,
    pub(crate) lifetime: u32,
    pub(crate) epoch: u32,
    pub(crate) internal: u16,
    pub(crate) external: u16,
    pub(crate) address: IpAddr,
}

pub(crate) fn pcp_answer(bytes: &[u8]) -> PcpAnswer {
    assert!(bytes.len() >= 60, "a MAP answer has 60 bytes, not {}", bytes.len());
    assert_eq!(bytes[0], 2, "version");
    let mut address = [0; 16];
    address.copy_from_slice(&bytes[44..60]);
    PcpAnswer {
        opcode: bytes[1],
        result: bytes[3],
        lifetime: u32_at(bytes, 4),
        epoch: u32_at(bytes, 8),
        internal: u16_at(bytes, 40),
        external: u16_at(bytes, 42),
        address: std::net::Ipv6Addr::from(address).to_canonical(),
    }
}

/// A NAT-PMP mapping request (RFC 6886, 3.3); opcode 1 is UDP, 2 TCP.
pub(crate) fn natpmp_map(opcode: u8, internal: u16, external: u16, lifetime: u32) -> Vec<u8> {
    let mut message = vec![0, opcode, 0, 0];
    message.extend(internal.to_be_bytes());
    message.extend(external.to_be_bytes());
    message.extend(lifetime.to_be_bytes());
    message
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Sends one HTTP request and reads until the end or a limit; what came, and whether the connection was reset.
pub(crate) fn http_raw(address: SocketAddr, request: &str, limit: usize) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, false),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, true),
            Err(error) => panic!("reading failed: {error}"),
        }
        if bytes.len() >= limit {
            return (bytes, false);
        }
    }
}

pub(crate) fn get(gateway: &Gateway, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.http_address());
    String::from_utf8_lossy(&http_raw(gateway.http_address(), &request, usize::MAX).0).into_owned()
}

pub(crate) const WAN_IP_1: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
pub(crate) const WAN_IP_2: &str = "urn:schemas-upnp-org:service:WANIPConnection:2";

/// A SOAP request as text.
pub(crate) fn soap_request(path: &str, service: &str, action: &str, arguments: &[(&str, &str)]) -> String {
    let arguments: String = arguments.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let body = format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
         <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>"
    );
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\
         SOAPAction: \"{service}#{action}\"\r\n\r\n{body}",
        body.len()
    )
}

/// Calls an action of the working connection; the whole answer as text.
pub(crate) fn soap(gateway: &Gateway, action: &str, arguments: &[(&str, &str)]) -> String {
    let request = soap_request("/ctl/IPConn", WAN_IP_1, action, arguments);
    String::from_utf8_lossy(&http_raw(gateway.http_address(), &request, usize::MAX).0).into_owned()
}

/// The text of the first element with this name.
pub(crate) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{name}>"))? + name.len() + 2;
    let length = text[start..].find("</")?;
    Some(&text[start..start + length])
}

pub(crate) fn error_code(answer: &str) -> Option<u16> {
    element(answer, "errorCode").map(|code| code.parse().unwrap())
}

/// The arguments of AddPortMapping for a port of 127.0.0.1.
pub(crate) fn add_arguments<'a>(
    external: &'a str,
    internal: &'a str,
    protocol: &'a str,
    lease: &'a str,
) -> Vec<(&'static str, &'a str)> {
    vec![
        ("NewRemoteHost", ""),
        ("NewExternalPort", external),
        ("NewProtocol", protocol),
        ("NewInternalPort", internal),
        ("NewInternalClient", "127.0.0.1"),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "test &amp; more"),
        ("NewLeaseDuration", lease),
    ]
}

pub(crate) fn add(gateway: &Gateway, external: u16, internal: u16, protocol: &str, lease: u32) -> String {
    let (external, internal, lease) = (external.to_string(), internal.to_string(), lease.to_string());
    soap(gateway, "AddPortMapping", &add_arguments(&external, &internal, protocol, &lease))
}

/// An app behind the router that answers every datagram with `echo:` before it. Ends with the process.
pub(crate) fn udp_app() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut answer = b"echo:".to_vec();
            answer.extend_from_slice(&buffer[..length]);
            let _ = socket.send_to(&answer, peer);
        }
    });
    port
}

/// An app behind the router that answers a whole TCP request with `echo:` before it. Ends with the process.
pub(crate) fn tcp_app() -> u16 {
    tcp_app_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

pub(crate) fn tcp_app_at(address: SocketAddr) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            let _ = write!(stream, "echo:{text}");
        }
    });
    port
}

/// Sends a datagram to a mapping's entry from outside; the answer, if one comes.
pub(crate) fn udp_from_outside(reach: SocketAddr, patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(reach).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(b"hello").unwrap();
    let mut buffer = [0; 2048];
    // A closed port answers with ICMP: an error of its own kind.
    socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
}

/// Opens a connection to a mapping's entry from outside; the answer, if one comes.
pub(crate) fn tcp_from_outside(reach: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&reach, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").ok()?;
    stream.shutdown(std::net::Shutdown::Write).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Searches and returns the answers in their order, each with its sender: as soon as `most` have come, or when nothing
/// comes any more.
pub(crate) fn search_from(to: SocketAddr, st: &str, most: usize) -> Vec<(SocketAddr, String)> {
    search_at((Ipv4Addr::LOCALHOST, 0).into(), to, st, most)
}

/// The same from a socket at this address.
pub(crate) fn search_at(at: SocketAddr, to: SocketAddr, st: &str, most: usize) -> Vec<(SocketAddr, String)> {
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let message = format!("M-SEARCH * HTTP/1.1\r\nHOST: x\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {st}\r\n\r\n");
    socket.send_to(message.as_bytes(), to).unwrap();
    let mut buffer = [0; 2048];
    let mut answers = Vec::new();
    while answers.len() <= most {
        // Once all that was expected is there, a short look whether there is more.
        let patience = if answers.len() < most { PATIENCE.min(Duration::from_secs(3)) } else { QUIET };
        socket.set_read_timeout(Some(patience)).unwrap();
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
        answers.push((from, String::from_utf8(buffer[..length].to_vec()).unwrap()));
    }
    answers
}
