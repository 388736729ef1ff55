#![no_main]
//! A device description (UDA 1.1 2.3).
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlease::fuzzing::description(bytes));
