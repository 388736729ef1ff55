#![no_main]
//! An HTTP answer, whole and byte by byte: both must read the same.
use libfuzzer_sys::fuzz_target;
use portlease::client::upnp::http::{Decoder, parse_response};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse_response(bytes);
    let mut decoder = Decoder::default();
    let mut failed = false;
    for byte in bytes {
        match decoder.feed(std::slice::from_ref(byte)) {
            Ok(false) => {}
            Ok(true) => break,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    match whole {
        Err(_) => assert!(failed || decoder.finish().is_err()),
        Ok(whole) => {
            assert!(!failed);
            let pieces = decoder.finish().expect("the same answer");
            assert_eq!((whole.status, whole.body), (pieces.status, pieces.body));
        }
    }
});
