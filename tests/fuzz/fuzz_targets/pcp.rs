#![no_main]
//! A PCP datagram from the gateway (RFC 6887 7.2).
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlease::fuzzing::pcp(bytes));
