#![no_main]
//! An answer to an SSDP search (UDA 1.1 1.3.3).
use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let responder = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));
    if let Some(answer) = portlease::client::upnp::ssdp::parse_response(datagram) {
        let _ = (answer.trusted(responder), answer.names_a_gateway());
    }
});
