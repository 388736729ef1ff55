#![no_main]
//! The body of a SOAP answer.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portlease::fuzzing::soap(bytes));
