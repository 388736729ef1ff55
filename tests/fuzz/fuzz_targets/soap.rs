#![no_main]
//! The body of a SOAP answer.
use libfuzzer_sys::fuzz_target;
use portlease::client::upnp::soap::{parse_fault, parse_fields};

fuzz_target!(|body: &[u8]| {
    let _ = parse_fault(body);
    let _ = parse_fields(body);
});
