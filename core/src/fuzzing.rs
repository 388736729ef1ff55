//! What the fuzz targets call: each takes bytes as a stranger may send them, and panics if a promise is broken.
//!
//! Only there with `--cfg fuzzing`, which cargo-fuzz sets, and in tests.

use std::net::{IpAddr, Ipv4Addr};

use url::Url;

use crate::client::upnp::http::{Decoder, parse_response};
use crate::client::upnp::{description as describe, notify, soap as body, ssdp as search};
use crate::client::{natpmp, pcp as port_control};

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

/// A PCP datagram from the gateway (RFC 6887 7.2).
pub fn pcp(datagram: &[u8]) {
    let _ = port_control::wire::parse(datagram);
}

/// A NAT-PMP datagram from the gateway, as the answer to each request (RFC 6886 3).
pub fn nat_pmp(datagram: &[u8]) {
    // Those of the vectors: the external address, UDP port 4000, TCP port 8080.
    let udp = [0, 1, 0, 0, 15, 160, 15, 160, 0, 0, 14, 16];
    let tcp = [0, 2, 0, 0, 31, 144, 31, 144, 0, 0, 14, 16];
    for request in [&[0, 0][..], &udp, &tcp] {
        if let Some(answer) = natpmp::match_answer(request, datagram) {
            let length = datagram.len().min(answer.len());
            assert_eq!(answer[..length], datagram[..length]);
        }
    }
}

/// An answer to an SSDP search, or an announcement (UDA 1.1 1.3.3 and 1.2). No datagram is both.
pub fn ssdp(datagram: &[u8]) {
    if let Some(answer) = search::parse_response(datagram) {
        let _ = (answer.trusted(GATEWAY), answer.names_a_gateway());
        assert!(notify::parse(datagram).is_none());
    }
    if let Some(notification) = notify::parse(datagram) {
        let host = notification.location.as_ref().and_then(|location| location.host_str());
        assert!(!notification.trusted(GATEWAY) || host.is_none_or(|host| host == "192.168.1.1"));
        assert!(notification.udn().is_empty() || notification.udn().starts_with("uuid:"));
    }
}

/// A device description (UDA 1.1 2.3), as it came over IPv4 and over IPv6. Whatever it says, no control URL may lead to another host.
pub fn description(body: &[u8]) {
    for host in ["192.168.1.1", "[fe80::1]"] {
        let location = Url::parse(&format!("http://{host}:5000/rootDesc.xml")).expect("a URL");
        if let Ok(description) = describe::parse(body, &location) {
            for service in description.services.iter().chain(&description.pinholes) {
                assert_eq!(service.control_url.host_str(), Some(host));
                assert_eq!(service.control_url.scheme(), "http");
            }
        }
    }
}

/// The body of a SOAP answer.
pub fn soap(bytes: &[u8]) {
    let _ = body::parse_fault(bytes);
    let _ = body::parse_arguments(bytes);
}

/// An HTTP answer, whole and byte by byte: both must read the same.
pub fn http(bytes: &[u8]) {
    let whole = parse_response(bytes);
    let mut decoder = Decoder::default();
    let mut failed = false;
    for byte in bytes {
        match decoder.feed(std::slice::from_ref(byte)) {
            Ok(false) => {}
            Ok(true) => break,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    match whole {
        Err(_) => assert!(failed || decoder.finish().is_err()),
        Ok(whole) => {
            assert!(!failed);
            let pieces = decoder.finish().expect("the same answer");
            assert_eq!((whole.status, whole.body), (pieces.status, pieces.body));
        }
    }
}
