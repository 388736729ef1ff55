#![no_main]
//! An HTTP answer.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlease::fuzzing::http(bytes));
