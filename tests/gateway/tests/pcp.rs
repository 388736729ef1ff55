//! PCP by RFC 6887, message by message.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::net::{IpAddr, Ipv4Addr};

use common::*;
use portlease_gateway::{Protocol, Transport};

const UDP: u8 = 17;
const TCP: u8 = 6;
const NOT_AUTHORIZED: u8 = 2;
const CANNOT_PROVIDE_EXTERNAL: u8 = 11;

fn with_option(mut message: Vec<u8>, option: &[u8]) -> Vec<u8> {
    message.extend_from_slice(option);
    message
}

#[test]
fn a_map_request_is_granted_as_asked() {
    let gateway = gateway();
    let socket = client(&gateway);
    let bytes = ask(&socket, &pcp_map(UDP, 4000, 4100, 600, NONCE));
    assert_eq!(bytes.len(), 60);
    assert_eq!(bytes[24..36], NONCE);
    let answer = pcp_answer(&bytes);
    assert_eq!((answer.opcode, answer.result, answer.lifetime), (0x81, 0, 600));
    assert_eq!((answer.internal, answer.external), (4000, 4100));
    assert_eq!(answer.address, IpAddr::V4(Ipv4Addr::new(192, 0, 1, 1)));
    assert!(answer.epoch >= 1_000_000);
    let mapping = &gateway.mappings()[0];
    assert_eq!((mapping.protocol, mapping.transport), (Protocol::Pcp, Transport::Udp));
    assert_eq!(mapping.nonce.as_deref(), Some("0102030405060708090a0b0c"));
    assert_eq!(gateway.counters().get("pcp_map"), 1);
}

#[test]
fn transports_are_apart_and_a_renewal_keeps_the_port() {
    let gateway = gateway();
    let socket = client(&gateway);
    ask(&socket, &pcp_map(UDP, 4000, 4100, 600, NONCE));
    ask(&socket, &pcp_map(TCP, 4000, 4100, 600, NONCE));
    assert_eq!(gateway.mappings().len(), 2);
    // 11.3: the internal port names the mapping, whatever port is suggested now.
    let renewed = pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4999, 60, NONCE)));
    assert_eq!((renewed.result, renewed.external, renewed.lifetime), (0, 4100, 60));
    assert_eq!(gateway.mappings().len(), 2);
}

#[test]
fn lifetimes_are_clamped() {
    let gateway = start(|config| (config.min_lifetime, config.max_lifetime) = (120, 3600));
    let socket = client(&gateway);
    for (asked, granted) in [(1, 120), (600, 600), (u32::MAX, 3600)] {
        assert_eq!(pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4000, asked, NONCE))).lifetime, granted);
    }
}

#[test]
fn a_taken_port_gives_another_one_or_with_prefer_failure_none() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, "192.168.1.9:1".parse().unwrap(), None).unwrap();
    let socket = client(&gateway);
    let exact = with_option(pcp_map(UDP, 4000, 4100, 600, NONCE), &[2, 0, 0, 0]);
    let refused = pcp_answer(&ask(&socket, &exact));
    assert_eq!((refused.result, refused.lifetime), (CANNOT_PROVIDE_EXTERNAL, 30));
    assert_eq!(gateway.mappings().len(), 1);
    let granted = pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4100, 600, NONCE)));
    assert_eq!((granted.result, granted.external), (0, 4101));
    // What exists elsewhere does not satisfy PREFER_FAILURE either.
    assert_eq!(pcp_answer(&ask(&socket, &exact)).result, CANNOT_PROVIDE_EXTERNAL);
}

#[test]
fn prefer_failure_for_a_free_port_is_granted_and_comes_back() {
    let gateway = gateway();
    let bytes = ask(&client(&gateway), &with_option(pcp_map(UDP, 4000, 4100, 600, NONCE), &[2, 0, 0, 0]));
    assert_eq!(pcp_answer(&bytes).result, 0);
    assert_eq!(bytes[60..], [2, 0, 0, 0]);
}

#[test]
fn no_suggestion_means_the_internal_port() {
    let gateway = gateway();
    assert_eq!(pcp_answer(&ask(&client(&gateway), &pcp_map(UDP, 4000, 0, 600, NONCE))).external, 4000);
}

#[test]
fn another_nonce_can_neither_renew_nor_delete() {
    let gateway = gateway();
    let socket = client(&gateway);
    ask(&socket, &pcp_map(UDP, 4000, 4000, 600, NONCE));
    for lifetime in [600, 0] {
        let answer = pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4000, lifetime, [9; 12])));
        assert_eq!(answer.result, NOT_AUTHORIZED);
        assert!((595..=600).contains(&answer.lifetime), "the refusal holds as long as the mapping: {answer:?}");
    }
    assert_eq!(gateway.mappings().len(), 1);
    gateway.update_faults(|faults| faults.nonce_takeover = true);
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4000, 600, [9; 12]))).result, 0);
    assert_eq!(gateway.mappings()[0].nonce.as_deref(), Some("090909090909090909090909"));
}

#[test]
fn a_delete_succeeds_also_when_there_is_nothing() {
    let gateway = gateway();
    let socket = client(&gateway);
    ask(&socket, &pcp_map(TCP, 4000, 4100, 600, NONCE));
    for _ in 0..2 {
        let answer = pcp_answer(&ask(&socket, &pcp_map(TCP, 4000, 4100, 0, NONCE)));
        assert_eq!((answer.result, answer.lifetime, answer.external), (0, 0, 4100));
        assert!(gateway.mappings().is_empty());
    }
    assert_eq!(gateway.counters().get("pcp_delete"), 2);
}

#[test]
fn a_delete_with_the_other_transport_deletes_nothing() {
    let gateway = gateway();
    let socket = client(&gateway);
    ask(&socket, &pcp_map(TCP, 4000, 4100, 600, NONCE));
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4100, 0, NONCE))).result, 0);
    assert_eq!(gateway.mappings().len(), 1);
}

#[test]
fn a_delete_of_everything_takes_what_has_the_nonce() {
    let gateway = gateway();
    let socket = client(&gateway);
    for (protocol, port, nonce) in [(UDP, 4000, NONCE), (TCP, 4001, NONCE), (UDP, 4002, [9; 12])] {
        ask(&socket, &pcp_map(protocol, port, port, 600, nonce));
    }
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(0, 0, 0, 0, NONCE))).result, 0);
    assert_eq!(gateway.mappings().iter().map(|mapping| mapping.external_port).collect::<Vec<_>>(), [4002]);
}

#[test]
fn an_announce_is_answered_with_the_epoch() {
    let gateway = gateway();
    let socket = client(&gateway);
    let mut message = pcp_map(UDP, 0, 0, 0, NONCE)[..24].to_vec();
    message[1] = 0;
    let answer = ask(&socket, &message);
    assert_eq!((answer.len(), answer[1], answer[3]), (24, 0x80, 0));
    gateway.reboot();
    assert!(u32_at(&ask(&socket, &message), 8) < u32_at(&answer, 8));
    assert_eq!(gateway.counters().get("pcp_announce"), 2);
}

#[test]
fn wrong_requests_get_the_code_that_the_rfc_has_for_them() {
    let gateway = gateway();
    let socket = client(&gateway);
    let good = || pcp_map(UDP, 4000, 4000, 600, NONCE);
    let patched = |at: usize, value: u8| {
        let mut message = good();
        message[at] = value;
        message
    };
    let third_party = [&[1, 0, 0, 16][..], &[0; 16]].concat();
    for (what, message, code) in [
        ("another client address", patched(23, 9), 12),
        ("PEER", patched(1, 2), 4),
        ("an unknown opcode", patched(1, 99), 4),
        ("an unknown protocol", patched(36, 132), 9),
        ("all protocols with a port", patched(36, 0), 3),
        ("all ports", pcp_map(UDP, 0, 0, 600, NONCE), 9),
        ("THIRD_PARTY", with_option(good(), &third_party), 5),
        ("an unknown mandatory option", with_option(good(), &[100, 0, 0, 0]), 5),
        ("PREFER_FAILURE with data", with_option(good(), &[2, 0, 0, 4, 0, 0, 0, 0]), 6),
        ("PREFER_FAILURE twice", with_option(good(), &[2, 0, 0, 0, 2, 0, 0, 0]), 6),
        ("an option longer than the message", with_option(good(), &[200, 0, 0, 8]), 6),
        ("a length that is no multiple of 4", with_option(good(), &[0]), 3),
        ("more than 1100 bytes", with_option(good(), &[200; 1048]), 3),
        ("a MAP that is cut short", good()[..56].to_vec(), 3),
        ("a header that is cut short", good()[..20].to_vec(), 3),
    ] {
        let answer = ask(&socket, &message);
        assert_eq!((answer[0], answer[3]), (2, code), "{what}");
        assert_eq!(answer[1], message[1] | 0x80, "{what}");
        assert!(answer.len() >= 24 && answer.len() <= 1100 && answer.len().is_multiple_of(4), "{what}");
        assert!(u32_at(&answer, 4) > 0, "{what}: an error has a lifetime");
    }
    assert!(gateway.mappings().is_empty());
}

#[test]
fn options_that_may_be_ignored_are() {
    let gateway = gateway();
    let message = with_option(pcp_map(UDP, 4000, 4000, 600, NONCE), &[128, 0, 0, 1, 7, 0, 0, 0]);
    assert_eq!(pcp_answer(&ask(&client(&gateway), &message)).result, 0);
}

#[test]
fn another_version_is_answered_with_ours() {
    let gateway = gateway();
    let mut message = pcp_map(UDP, 4000, 4000, 600, NONCE);
    for version in [1, 3, 255] {
        message[0] = version;
        let answer = ask(&client(&gateway), &message);
        assert_eq!((answer.len(), answer[0], answer[1], answer[3]), (24, 2, 0x81, 1));
    }
}

#[test]
fn answers_and_crumbs_are_ignored() {
    let gateway = gateway();
    let socket = client(&gateway);
    let mut answer = pcp_map(UDP, 4000, 4000, 600, NONCE);
    answer[1] |= 0x80;
    for message in [&answer[..], &[2][..], &[][..]] {
        socket.send(message).unwrap();
        assert!(stays_silent(&socket));
    }
    assert_eq!(gateway.counters().get("malformed"), 3);
}

#[test]
fn every_truncation_of_a_request_is_survived() {
    let gateway = gateway();
    let socket = client(&gateway);
    let message = pcp_map(UDP, 4000, 4000, 600, NONCE);
    for length in 2..message.len() {
        assert_eq!(ask(&socket, &message[..length])[3], 3, "{length} bytes");
    }
    assert_eq!(pcp_answer(&ask(&socket, &message)).result, 0);
}

#[test]
fn without_pcp_the_answer_is_natpmps_eight_bytes_or_silence() {
    let gateway = start(|config| config.pcp = false);
    let socket = client(&gateway);
    let message = pcp_map(UDP, 4000, 4000, 600, NONCE);
    let answer = ask(&socket, &message);
    assert_eq!((answer.len(), answer[0], answer[1], u16_at(&answer, 2)), (8, 0, 0x81, 1));
    gateway.update_faults(|faults| faults.pcp = portlease_gateway::Mode::Silent);
    socket.send(&message).unwrap();
    assert!(stays_silent(&socket));
}

#[test]
fn the_table_is_one_for_all_protocols() {
    let gateway = gateway();
    let socket = client(&gateway);
    ask(&socket, &natpmp_map(1, 4000, 4100, 600));
    assert!(add(&gateway, 4100, 4000, "UDP", 600).contains("AddPortMappingResponse"));
    let answer = pcp_answer(&ask(&socket, &pcp_map(UDP, 4000, 4100, 600, NONCE)));
    assert_eq!((answer.result, answer.external), (0, 4100));
    assert_eq!(gateway.mappings().len(), 1);
    // The loser's delete takes the winner's mapping with it.
    ask(&socket, &natpmp_map(1, 4000, 0, 0));
    assert!(gateway.mappings().is_empty());
}
