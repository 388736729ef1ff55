#![no_main]
//! What a gateway sends to all hosts, unasked.
libfuzzer_sys::fuzz_target!(|datagram: &[u8]| portlease::fuzzing::announcement(datagram));
