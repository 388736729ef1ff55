#![no_main]
//! An answer to an SSDP search (UDA 1.1 1.3.3).
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlease::fuzzing::ssdp(bytes));
