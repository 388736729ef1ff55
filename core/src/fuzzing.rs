//! What the fuzz targets call: each takes bytes as a stranger may send them, and panics if a promise is broken.
//!
//! Only there with `--cfg fuzzing`, which cargo-fuzz sets, and in tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use url::Url;

use crate::client::announcements::{Announced, Announcement};
use crate::client::upnp::http::{Decoder, at_host, endpoint, parse_response};
use crate::client::upnp::pinhole::read as pinhole;
use crate::client::upnp::{description as describe, notify, soap as body, ssdp as search};
use crate::client::{natpmp, pcp as port_control};
use crate::clock::Clock;
use crate::schedule::RECOVERY_PACE;

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
const GATEWAY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
/// This machine over IPv6.
const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));

/// A PCP datagram from the gateway (RFC 6887 7.2). What it says of a pinhole is an address and a port.
pub fn pcp(datagram: &[u8]) {
    if let Some(port_control::wire::Reply::Response(response)) = port_control::wire::parse(datagram)
        && let Some(map) = response.map.filter(|map| map.internal_port != 0)
    {
        let told = port_control::pinhole::told(map, HOST6);
        assert!(told.external_port != 0 && told.external_address.is_ipv6() && !told.external_address.is_unspecified());
        assert_eq!(port_control::pinhole::told(map, GATEWAY), map);
    }
}

/// What the gateway sends to all hosts, unasked (RFC 6887 14.1, RFC 6886 3.2.1). Anybody can, so that there is never more than one
/// doubt in a while.
pub fn announcement(datagram: &[u8]) {
    let Some(announcement) = Announcement::parse(datagram) else { return };
    let mut announced = Announced::default();
    let start = Clock::system().now();
    let mut doubts = 0;
    for second in 0..2 * RECOVERY_PACE.as_secs() {
        let now = start.after(Duration::from_secs(second));
        announced.heard(announcement, now);
        if announced.due().is_some_and(|due| due <= now) {
            announced.raised(now);
            announced.settled();
            doubts += 1;
        }
    }
    assert!((1..=2).contains(&doubts), "{doubts} doubts");
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

/// An answer to an SSDP search, or an announcement (UDA 1.1 1.3.3, 1.2 and annex A), over IPv4 and over IPv6. No datagram is both, and
/// none leads to another host than the one that has sent it.
pub fn ssdp(datagram: &[u8]) {
    let (answer, notification) = (search::parse_response(datagram), notify::parse(datagram));
    assert!(answer.is_none() || notification.is_none());
    for sender in [GATEWAY, GATEWAY6] {
        let leads_there = |location: &Url| endpoint(location).is_some_and(|address| address.ip() == sender);
        if let Some(answer) = &answer {
            assert_eq!(answer.trusted(sender), leads_there(&answer.location));
            let _ = answer.names_a_gateway();
            // The same description, sought at the router's address of the other family.
            assert!(at_host(&answer.location, sender).is_none_or(|location| leads_there(&location)));
        }
        if let Some(notification) = &notification {
            assert!(!notification.trusted(sender) || notification.location.as_ref().is_none_or(leads_there));
            assert!(notification.udn().is_empty() || notification.udn().starts_with("uuid:"));
        }
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

/// The body of a SOAP answer, and what it says about a pinhole. What users are told of it is one line of plain text.
pub fn soap(bytes: &[u8]) {
    let fault = body::parse_fault(bytes);
    let errors = [fault.map(pinhole::refusal), body::parse_arguments(bytes).and_then(pinhole::everything)];
    for error in errors.into_iter().flatten() {
        assert!(!error.message().chars().any(char::is_control), "{error}");
        assert!(error.message().len() < 1000, "{error}");
    }
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
