#![no_main]
//! A PCP datagram from the gateway (RFC 6887 7.2).
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let _ = portlease::client::pcp::wire::parse(datagram);
});
