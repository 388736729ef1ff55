//! When the gateway processes and answers: delays, lost answers, one request at a time.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::*;
use portlease_gateway::{Faults, Gateway};

/// Longer than any step of a test takes: what must come before it does come before it.
const LONG_MS: u64 = 700;

fn with(change: impl FnOnce(&mut Faults)) -> Gateway {
    start(|config| change(&mut config.faults))
}

fn entries(gateway: &Gateway) -> usize {
    gateway.mappings().len()
}

fn counted(gateway: &Gateway, kind: &str, times: u64) -> bool {
    gateway.wait_for(PATIENCE, |state| state.counters.get(kind) == times)
}

/// An AddPortMapping under way: the connection on which its answer comes.
fn send_add(gateway: &Gateway, port: &str) -> TcpStream {
    let request = soap_request("/ctl/IPConn", WAN_IP_1, "AddPortMapping", &add_arguments(port, port, "UDP", "60"));
    let mut stream = TcpStream::connect(gateway.http_address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    text
}

#[test]
fn a_delay_before_processing_leaves_the_table_as_it_is_and_the_request_is_counted() {
    let gateway = with(|faults| {
        (faults.pcp_processing_ms, faults.nat_pmp_processing_ms, faults.http_processing_ms) =
            (LONG_MS, LONG_MS, LONG_MS);
    });
    let socket = client(&gateway);
    socket.send(&pcp_map(17, 4000, 4000, 600, NONCE)).unwrap();
    assert!(counted(&gateway, "pcp_map", 1));
    assert_eq!(entries(&gateway), 0);
    assert_eq!(pcp_answer(&receive(&socket).unwrap()).result, 0);
    assert_eq!(entries(&gateway), 1);

    socket.send(&natpmp_map(1, 4001, 4001, 60)).unwrap();
    assert!(counted(&gateway, "natpmp_map_udp", 1));
    assert_eq!(entries(&gateway), 1);
    assert_eq!(u16_at(&receive(&socket).unwrap(), 2), 0);
    assert_eq!(entries(&gateway), 2);

    let pending = send_add(&gateway, "4002");
    assert_eq!(entries(&gateway), 2);
    assert!(answer(pending).starts_with("HTTP/1.1 200"));
    assert_eq!(entries(&gateway), 3);
}

#[test]
fn a_delay_before_the_answer_comes_after_the_table_has_changed() {
    let gateway = with(|faults| {
        (faults.pcp_delay_ms, faults.nat_pmp_delay_ms, faults.http_delay_ms) = (LONG_MS, LONG_MS, LONG_MS);
    });
    let socket = client(&gateway);
    socket.send(&pcp_map(17, 4000, 4000, 600, NONCE)).unwrap();
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.len() == 1));
    assert!(stays_silent(&socket), "the answer has not arrived yet");
    assert_eq!(receive(&socket).unwrap().len(), 60);

    socket.send(&natpmp_map(1, 4001, 4001, 60)).unwrap();
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.len() == 2));
    assert!(stays_silent(&socket), "the answer has not arrived yet");
    assert_eq!(receive(&socket).unwrap().len(), 16);

    let pending = send_add(&gateway, "4002");
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.len() == 3));
    pending.set_read_timeout(Some(QUIET)).unwrap();
    assert!(pending.peek(&mut [0]).is_err(), "the answer has not arrived yet");
    pending.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(answer(pending).starts_with("HTTP/1.1 200"));
}

#[test]
fn requests_wait_for_their_processing_side_by_side() {
    let gateway = with(|faults| faults.pcp_processing_ms = LONG_MS);
    let socket = client(&gateway);
    let began = Instant::now();
    for port in 1..=20 {
        socket.send(&pcp_map(17, port, port, 600, NONCE)).unwrap();
    }
    for _ in 1..=20 {
        assert_eq!(receive(&socket).unwrap().len(), 60);
    }
    assert!(began.elapsed() < Duration::from_millis(20 * LONG_MS));
    assert_eq!(entries(&gateway), 20);
}

#[test]
fn a_client_that_hangs_up_is_served_all_the_same() {
    let gateway = with(|faults| faults.http_processing_ms = LONG_MS);
    drop(send_add(&gateway, "4000"));
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.len() == 1));
}

#[test]
fn an_answer_is_lost_after_the_request_was_done() {
    let gateway = with(|faults| (faults.pcp_lose_answers, faults.nat_pmp_lose_answers) = (2, 1));
    let socket = client(&gateway);
    socket.send(&pcp_map(17, 4000, 4000, 600, NONCE)).unwrap();
    assert!(stays_silent(&socket));
    assert_eq!(entries(&gateway), 1);
    socket.send(&pcp_map(17, 4000, 4000, 0, NONCE)).unwrap();
    assert!(stays_silent(&socket));
    assert_eq!(entries(&gateway), 0);
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(17, 4000, 4000, 600, NONCE))).result, 0);

    assert_eq!(ask(&socket, &[0, 0]).len(), 12, "a question changes nothing and is answered");
    socket.send(&natpmp_map(1, 4001, 4001, 60)).unwrap();
    assert!(stays_silent(&socket));
    assert_eq!(entries(&gateway), 2);
    assert_eq!(ask(&socket, &natpmp_map(1, 4001, 4001, 60)).len(), 16);
    let faults = gateway.faults();
    assert_eq!((faults.pcp_lose_answers, faults.nat_pmp_lose_answers), (0, 0));
    assert_eq!(gateway.counters().get("dropped_by_fault"), 3);
}

#[test]
fn an_answer_to_an_action_is_lost_after_it_was_done() {
    let gateway = with(|faults| faults.http_lose_answers = 1);
    assert!(get(&gateway, "/rootDesc.xml").starts_with("HTTP/1.1 200"), "documents are answered");
    assert!(soap(&gateway, "GetStatusInfo", &[]).starts_with("HTTP/1.1 200"), "and so are questions");
    let pending = send_add(&gateway, "4000");
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.len() == 1));
    pending.set_read_timeout(Some(QUIET)).unwrap();
    let silence = pending.peek(&mut [0]).unwrap_err();
    assert!(matches!(silence.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{silence}");
    assert!(answer(send_add(&gateway, "4001")).starts_with("HTTP/1.1 200"), "one answer is lost, not two");
    assert_eq!((entries(&gateway), gateway.counters().get("dropped_by_fault")), (2, 1));
}

#[test]
fn a_slow_processor_serves_one_request_after_another_over_all_protocols() {
    let gateway = with(|faults| faults.service_ms = 100);
    let socket = client(&gateway);
    let began = Instant::now();
    for port in 1..=4 {
        socket.send(&pcp_map(17, port, port, 600, NONCE)).unwrap();
        socket.send(&natpmp_map(2, port, port, 600)).unwrap();
    }
    let pending = [send_add(&gateway, "5001"), send_add(&gateway, "5002")];
    for _ in 0..8 {
        assert!(receive(&socket).is_some());
    }
    for stream in pending {
        assert!(answer(stream).starts_with("HTTP/1.1 200"));
    }
    assert!(began.elapsed() >= Duration::from_millis(10 * 100), "{:?}", began.elapsed());
    assert_eq!(entries(&gateway), 10);
}

#[test]
fn a_slow_processor_works_in_the_order_of_arrival() {
    let gateway = with(|faults| faults.service_ms = 5);
    let socket = client(&gateway);
    for port in 1..=20 {
        socket.send(&natpmp_map(1, port, port, 600)).unwrap();
    }
    let order: Vec<u16> = (1..=20).map(|_| u16_at(&receive(&socket).unwrap(), 8)).collect();
    assert_eq!(order, (1..=20).collect::<Vec<u16>>());
}

#[test]
fn a_slow_processor_loses_what_does_not_fit_into_its_queue() {
    // Long enough for all to arrive while the first is at its turn.
    let gateway = with(|faults| faults.service_ms = 5000);
    let socket = client(&gateway);
    for port in 1..=300 {
        socket.send(&natpmp_map(1, port, port, 600)).unwrap();
        // The system's own buffer may be smaller.
        assert!(gateway.wait_for(PATIENCE, |state| state.counters.get("natpmp_map_udp") == u64::from(port)));
    }
    assert!(counted(&gateway, "dropped_by_fault", 300 - 256));
    assert_eq!(entries(&gateway), 0);
}

#[test]
fn a_web_server_serves_connections_side_by_side_or_one_after_another() {
    for serial in [false, true] {
        let gateway = with(|faults| faults.http_serial = serial);
        // This connection has the server's attention until it sends its request.
        let mut idle = TcpStream::connect(gateway.http_address()).unwrap();
        let pending = send_add(&gateway, "4000");
        if serial {
            pending.set_read_timeout(Some(QUIET)).unwrap();
            assert!(pending.peek(&mut [0]).is_err(), "the first connection still goes on");
            assert_eq!(entries(&gateway), 0);
            pending.set_read_timeout(Some(PATIENCE)).unwrap();
            idle.write_all(b"GET /rootDesc.xml HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            assert!(answer(idle).starts_with("HTTP/1.1 200"));
        }
        assert!(answer(pending).starts_with("HTTP/1.1 200"), "serial: {serial}");
    }
}

#[test]
fn a_request_that_was_not_processed_does_not_survive_a_reboot() {
    let gateway = with(|faults| faults.pcp_processing_ms = LONG_MS);
    let socket = client(&gateway);
    socket.send(&pcp_map(17, 4000, 4000, 600, NONCE)).unwrap();
    assert!(counted(&gateway, "pcp_map", 1));
    gateway.reboot();
    // Sent later, so answered later: had the first been carried out, its answer would come before.
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(17, 4001, 4001, 600, NONCE))).internal, 4001);
    assert_eq!(entries(&gateway), 1);
}
