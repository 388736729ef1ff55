//! What address a STUN server sees: one Binding request (RFC 8489) over UDP and IPv4.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

/// The port of RFC 8489 section 18.6.
pub(crate) const PORT: u16 = 3478;
/// Waits after each request, doubling as section 6.2.1 has it, but giving up earlier.
const WAITS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_millis(1000), Duration::from_millis(2000), Duration::from_millis(1000)];
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
const MAGIC_COOKIE: u32 = 0x2112_A442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER: usize = 20;

/// The first IPv4 address of `HOST[:PORT]`.
pub(crate) async fn resolve(server: &str, port: u16) -> Result<SocketAddr, String> {
    let with_port = match server.rsplit_once(':') {
        Some((_, number)) if number.parse::<u16>().is_ok() => server.to_owned(),
        _ => format!("{server}:{port}"),
    };
    let found = timeout(RESOLVE_DEADLINE, lookup_host(with_port)).await;
    let mut found = found
        .map_err(|_| format!("{server} was not resolved within 5 s"))?
        .map_err(|error| format!("{server}: {error}"))?;
    found.find(SocketAddr::is_ipv4).ok_or_else(|| format!("{server} has no IPv4 address"))
}

/// The address from which the server saw the request, and the one from which it left this machine; or why that is not known.
pub(crate) async fn ask(server: SocketAddr) -> Result<(SocketAddrV4, IpAddr), String> {
    let failed = |error: io::Error| format!("{server}: {error}");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(failed)?;
    // From now on only the server's datagrams arrive.
    socket.connect(server).await.map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?.ip();
    let transaction: [u8; 12] = rand::random();
    let request = request(transaction);
    let mut buffer = [0; 1500];
    for wait in WAITS {
        socket.send(&request).await.map_err(failed)?;
        let answer = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                if let Some(seen) = read(&buffer[..length], transaction) {
                    return Ok(seen);
                }
            }
        };
        match timeout(wait, answer).await {
            Ok(Ok(seen)) => return Ok((seen, local)),
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => {}
        }
    }
    Err(format!("{server} did not answer within {} s", WAITS.iter().sum::<Duration>().as_secs_f64()))
}

fn request(transaction: [u8; 12]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER);
    message.extend(BINDING_REQUEST.to_be_bytes());
    message.extend(0_u16.to_be_bytes());
    message.extend(MAGIC_COOKIE.to_be_bytes());
    message.extend(transaction);
    message
}

/// The address in a success response to this transaction; `None` for anything else.
fn read(message: &[u8], transaction: [u8; 12]) -> Option<SocketAddrV4> {
    let word = |at: usize| message.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let cookie = message.get(4..8)? == MAGIC_COOKIE.to_be_bytes();
    if word(0)? != BINDING_SUCCESS || !cookie || message.get(8..HEADER)? != transaction {
        return None;
    }
    let end = (HEADER + usize::from(word(2)?)).min(message.len());
    let (mut at, mut plain) = (HEADER, None);
    while at + 4 <= end {
        let (kind, length) = (word(at)?, usize::from(word(at + 2)?));
        let value = message.get(at + 4..at + 4 + length)?;
        match kind {
            XOR_MAPPED_ADDRESS => return address(value, MAGIC_COOKIE),
            // Servers of RFC 3489 know no other.
            MAPPED_ADDRESS => plain = address(value, 0),
            _ => {}
        }
        at += 4 + length.next_multiple_of(4);
    }
    plain
}

/// Family, port and address, mixed with `mask` (section 14.2).
fn address(value: &[u8], mask: u32) -> Option<SocketAddrV4> {
    let [_, 1, p0, p1, a, b, c, d] = *value else { return None };
    let port = u16::from_be_bytes([p0, p1]) ^ (mask >> 16) as u16;
    Some(SocketAddrV4::new((u32::from_be_bytes([a, b, c, d]) ^ mask).into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The IPv4 response of RFC 5769 2.2, without what its key protects.
    const RESPONSE: [u8; 48] = [
        0x01, 0x01, 0x00, 0x1c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87,
        0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20,
        0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    ];
    const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    #[test]
    fn the_answer_of_the_standards_test_vectors_is_read() {
        assert_eq!(read(&RESPONSE, TRANSACTION), Some("192.0.2.1:32853".parse().unwrap()));
        assert_eq!(read(&RESPONSE, [0; 12]), None, "another transaction");
        for length in 0..RESPONSE.len() {
            assert_eq!(read(&RESPONSE[..length], TRANSACTION), None, "cut to {length}");
        }
        let mut plain = RESPONSE;
        plain[36..48].copy_from_slice(&[0, 1, 0, 8, 0, 1, 0x0f, 0xa0, 192, 0, 2, 7]);
        assert_eq!(read(&plain, TRANSACTION), Some("192.0.2.7:4000".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_server_is_asked_again_and_only_its_answer_counts() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut buffer = [0; 100];
            // The first request is lost.
            server.recv_from(&mut buffer).await.unwrap();
            let (_, from) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(&RESPONSE, from).await.unwrap();
            let mut answer = RESPONSE;
            answer[8..20].copy_from_slice(&buffer[8..20]);
            server.send_to(&answer, from).await.unwrap();
        };
        let (seen, ()) = tokio::join!(ask(address), serve);
        assert_eq!(seen, Ok(("192.0.2.1:32853".parse().unwrap(), Ipv4Addr::LOCALHOST.into())));
    }

    #[tokio::test]
    async fn a_server_is_named_with_or_without_its_port() {
        assert_eq!(resolve("127.0.0.1", PORT).await, Ok("127.0.0.1:3478".parse().unwrap()));
        assert_eq!(resolve("127.0.0.1:99", PORT).await, Ok("127.0.0.1:99".parse().unwrap()));
        assert!(resolve("[::1]:99", PORT).await.unwrap_err().contains("no IPv4 address"));
    }
}
