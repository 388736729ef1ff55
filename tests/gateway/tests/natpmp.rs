//! NAT-PMP by RFC 6886, message by message.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use common::*;
use portlease_gateway::{Mode, Protocol, Transport};

#[test]
fn the_external_address_is_told() {
    let gateway = gateway();
    let answer = ask(&client(&gateway), &[0, 0]);
    assert_eq!((answer.len(), answer[1], u16_at(&answer, 2)), (12, 128, 0));
    assert_eq!(answer[8..12], [192, 0, 1, 1]);
    assert!(u32_at(&answer, 4) >= 1_000_000);
    assert_eq!(gateway.counters().get("natpmp_address"), 1);
}

#[test]
fn a_router_without_address_says_network_failure() {
    let gateway = start(|config| config.external_address = None);
    let socket = client(&gateway);
    let answer = ask(&socket, &[0, 0]);
    assert_eq!((answer.len(), u16_at(&answer, 2)), (12, 3));
    assert_eq!(u16_at(&ask(&socket, &natpmp_map(1, 4000, 4000, 60)), 2), 3);
    assert!(gateway.mappings().is_empty());
}

#[test]
fn ports_are_mapped_renewed_and_deleted() {
    let gateway = gateway();
    let socket = client(&gateway);
    for (opcode, transport) in [(1, Transport::Udp), (2, Transport::Tcp)] {
        for (lifetime, suggested) in [(600, 4100), (60, 4999)] {
            let answer = ask(&socket, &natpmp_map(opcode, 4000, suggested, lifetime));
            assert_eq!((answer.len(), answer[0], answer[1], u16_at(&answer, 2)), (16, 0, 128 + opcode, 0));
            assert_eq!((u16_at(&answer, 8), u16_at(&answer, 10), u32_at(&answer, 12)), (4000, 4100, lifetime));
        }
        let mappings = gateway.mappings();
        assert_eq!(mappings.len(), 1);
        assert_eq!((mappings[0].protocol, mappings[0].transport), (Protocol::NatPmp, transport));
        // 3.4: the answer has public port and lifetime 0, also when there was nothing.
        for _ in 0..2 {
            let answer = ask(&socket, &natpmp_map(opcode, 4000, 4100, 0));
            assert_eq!(
                (u16_at(&answer, 2), u16_at(&answer, 8), u16_at(&answer, 10), u32_at(&answer, 12)),
                (0, 4000, 0, 0)
            );
        }
        assert!(gateway.mappings().is_empty());
    }
}

#[test]
fn private_port_0_deletes_all_of_its_transport() {
    let gateway = gateway();
    let socket = client(&gateway);
    for (opcode, port) in [(1, 4000), (1, 4001), (2, 4002)] {
        ask(&socket, &natpmp_map(opcode, port, port, 600));
    }
    assert_eq!(u16_at(&ask(&socket, &natpmp_map(1, 0, 0, 0)), 2), 0);
    assert_eq!(gateway.mappings().iter().map(|mapping| mapping.external_port).collect::<Vec<_>>(), [4002]);
}

#[test]
fn a_taken_port_gives_another_one() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, "192.168.1.9:1".parse().unwrap(), None).unwrap();
    assert_eq!(u16_at(&ask(&client(&gateway), &natpmp_map(1, 4000, 4100, 60)), 10), 4101);
}

#[test]
fn a_mapping_of_the_router_itself_cannot_be_deleted() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, "127.0.0.1:4000".parse().unwrap(), None).unwrap();
    assert_eq!(u16_at(&ask(&client(&gateway), &natpmp_map(1, 4000, 0, 0)), 2), 2);
    assert_eq!(gateway.mappings().len(), 1);
}

#[test]
fn an_unknown_opcode_gets_its_code() {
    let gateway = gateway();
    let answer = ask(&client(&gateway), &[0, 7]);
    assert_eq!((answer.len(), answer[1], u16_at(&answer, 2)), (8, 135, 5));
}

#[test]
fn answers_and_short_requests_are_ignored() {
    let gateway = gateway();
    let socket = client(&gateway);
    for message in [&[0, 128][..], &[0, 129, 0, 0], &natpmp_map(1, 4000, 4000, 60)[..11]] {
        socket.send(message).unwrap();
        assert!(stays_silent(&socket));
    }
}

#[test]
fn without_natpmp_version_0_gets_pcps_answer_or_silence() {
    let gateway = start(|config| config.nat_pmp = false);
    let socket = client(&gateway);
    let answer = ask(&socket, &[0, 0]);
    assert_eq!((answer.len(), answer[0], answer[3]), (24, 2, 1));
    gateway.update_faults(|faults| faults.nat_pmp = Mode::Silent);
    socket.send(&[0, 0]).unwrap();
    assert!(stays_silent(&socket));
}
