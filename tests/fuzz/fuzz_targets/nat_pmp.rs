#![no_main]
//! A NAT-PMP datagram from the gateway, as the answer to each request (RFC 6886 3).
use libfuzzer_sys::fuzz_target;
use portlease::client::natpmp::match_answer;

/// Those of the vectors: the external address, UDP port 4000, TCP port 8080.
const REQUESTS: [&[u8]; 3] =
    [&[0, 0], &[0, 1, 0, 0, 15, 160, 15, 160, 0, 0, 14, 16], &[0, 2, 0, 0, 31, 144, 31, 144, 0, 0, 14, 16]];

fuzz_target!(|datagram: &[u8]| {
    for request in REQUESTS {
        if let Some(answer) = match_answer(request, datagram) {
            let length = datagram.len().min(answer.len());
            assert_eq!(answer[..length], datagram[..length]);
        }
    }
});
