#![no_main]
//! A NAT-PMP datagram from the gateway, as the answer to each request (RFC 6886 3).
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlease::fuzzing::nat_pmp(bytes));
