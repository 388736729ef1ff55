//! Every switch that PCP, NAT-PMP and the table have does what it says.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use common::*;
use portlease_gateway::{Faults, Gateway, GatewayConfig, GatewayError, Mode};

fn with(change: impl FnOnce(&mut Faults)) -> Gateway {
    start(|config| change(&mut config.faults))
}

fn map() -> Vec<u8> {
    pcp_map(17, 4000, 4000, 600, NONCE)
}

/// Every message of both protocols, with the answer that a healthy gateway gives, epoch left out.
fn healthy() -> [(Vec<u8>, Vec<u8>); 3] {
    let gateway = gateway();
    [map(), natpmp_map(2, 4001, 4001, 60), vec![0, 0]].map(|message| {
        let answer = ask(&client(&gateway), &message);
        (message, answer)
    })
}

#[test]
fn a_port_that_nobody_uses_is_closed_and_can_open_again() {
    let gateway = gateway();
    let socket = client(&gateway);
    gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (Mode::Off, Mode::Off));
    socket.send(&map()).unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    gateway.set_faults(Faults::default());
    assert_eq!(pcp_answer(&ask(&socket, &map())).result, 0);
}

#[test]
fn a_silent_protocol_leaves_the_other_alone() {
    let gateway = gateway();
    let socket = client(&gateway);
    for (faults, silent, answered) in [
        (Faults { pcp: Mode::Silent, ..Faults::default() }, map(), vec![0, 0]),
        (Faults { nat_pmp: Mode::Silent, ..Faults::default() }, vec![0, 0], map()),
    ] {
        gateway.set_faults(faults);
        socket.send(&silent).unwrap();
        assert!(stays_silent(&socket));
        assert_eq!(ask(&socket, &answered)[3], 0);
    }
    assert_eq!((gateway.counters().get("pcp_map"), gateway.counters().get("natpmp_address")), (2, 2));
}

#[test]
fn every_result_code_can_be_had() {
    let gateway = gateway();
    let socket = client(&gateway);
    for code in 1..=13 {
        gateway.update_faults(|faults| faults.pcp = Mode::Refuse(code));
        let answer = pcp_answer(&ask(&socket, &map()));
        assert_eq!(u16::from(answer.result), code);
        assert!(answer.lifetime > 0);
    }
    for code in 1..=5 {
        gateway.update_faults(|faults| faults.nat_pmp = Mode::Refuse(code));
        assert_eq!(u16_at(&ask(&socket, &[0, 0]), 2), code);
        assert_eq!(u16_at(&ask(&socket, &natpmp_map(1, 4000, 0, 60)), 2), code);
    }
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_slow_protocol_is_slow_and_the_other_is_not() {
    let gateway = with(|faults| faults.pcp_delay_ms = 200);
    let socket = client(&gateway);
    socket.send(&map()).unwrap();
    let began = Instant::now();
    assert_eq!(ask(&socket, &[0, 0]).len(), 12, "NAT-PMP overtakes");
    assert_eq!(receive(&socket).unwrap().len(), 60);
    assert!(began.elapsed() >= Duration::from_millis(190));
}

#[test]
fn losses_are_as_many_as_asked_and_the_same_with_the_same_seed() {
    // Which of 60 requests were answered; further ones mark the end, until one of them gets through.
    let pattern = |seed| -> Vec<u16> {
        let gateway = start(|config| (config.seed, config.faults.loss) = (seed, 0.3));
        let socket = client(&gateway);
        socket.set_read_timeout(Some(QUIET)).unwrap();
        let mut answered = Vec::new();
        for port in 1..=200 {
            socket.send(&natpmp_map(1, port, 0, 0)).unwrap();
            if port <= 60 {
                continue;
            }
            while let Some(answer) = receive(&socket) {
                match u16_at(&answer, 8) {
                    port @ 1..=60 => answered.push(port),
                    _ => return answered,
                }
            }
        }
        panic!("140 requests in a row were lost");
    };
    let first = pattern(7);
    let arrived = first.len();
    // Both ways, so that 49 of 100 get through.
    assert!((15..=45).contains(&arrived), "{arrived} of 60");
    assert_eq!(first, pattern(7));
    assert_ne!(first, pattern(8));
    assert!(!pattern_with_total_loss());
}

fn pattern_with_total_loss() -> bool {
    let gateway = with(|faults| faults.loss = 1.0);
    let socket = client(&gateway);
    socket.send(&[0, 0]).unwrap();
    let silent = stays_silent(&socket);
    assert_eq!(gateway.counters().get("dropped_by_fault"), 1);
    !silent
}

#[test]
fn the_next_requests_are_lost_and_no_more() {
    let gateway = with(|faults| faults.drop_next = 2);
    let socket = client(&gateway);
    for _ in 0..2 {
        socket.send(&map()).unwrap();
        assert!(stays_silent(&socket));
    }
    assert_eq!(pcp_answer(&ask(&socket, &map())).result, 0);
    assert_eq!(gateway.counters().get("dropped_by_fault"), 2);
    assert_eq!(gateway.counters().get("pcp_map"), 1);
}

#[test]
fn answers_come_in_copies() {
    let gateway = with(|faults| faults.duplicates = 2);
    let socket = client(&gateway);
    let first = ask(&socket, &[0, 0]);
    assert_eq!([receive(&socket), receive(&socket)], [Some(first.clone()), Some(first)]);
    assert!(stays_silent(&socket));
}

#[test]
fn answers_overtake_one_another() {
    let gateway = with(|faults| faults.reorder = true);
    let socket = client(&gateway);
    socket.send(&[0, 0]).unwrap();
    socket.send(&map()).unwrap();
    assert_eq!([receive(&socket).unwrap().len(), receive(&socket).unwrap().len()], [60, 12]);
    assert_eq!(ask(&socket, &[0, 0]).len(), 12, "what nobody overtakes comes all the same");
}

#[test]
fn answers_come_from_another_port() {
    let gateway = with(|faults| faults.wrong_source_port = true);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&[0, 0], (gateway.address(), gateway.pcp_port())).unwrap();
    let (length, from) = socket.recv_from(&mut [0; 64]).unwrap();
    assert_eq!(length, 12);
    assert_ne!(from.port(), gateway.pcp_port());
}

/// What is wrong, the switch, and whether the answer is wrong in that way and in no other.
type Damage = (&'static str, fn(&mut Faults), fn(&[u8], &[u8]) -> bool);

#[test]
fn answers_are_damaged_as_asked_and_the_right_one_follows() {
    let damages: [Damage; 5] = [
        (
            "nonce",
            |faults| faults.wrong_nonce = true,
            |wrong, right| wrong[24..36] != right[24..36] && wrong[36..] == right[36..],
        ),
        (
            "internal port",
            |faults| faults.wrong_internal_port = true,
            |wrong, right| {
                wrong[40..42] != right[40..42] && wrong[42..] == right[42..] && wrong[12..40] == right[12..40]
            },
        ),
        (
            "opcode",
            |faults| faults.wrong_opcode = true,
            |wrong, right| wrong[1] != right[1] && wrong[12..] == right[12..],
        ),
        (
            "length",
            |faults| faults.truncate = Some(30),
            |wrong, right| wrong.len() == 30 && wrong[12..] == right[12..30],
        ),
        (
            "extra",
            |faults| faults.extra_bytes = 8,
            |wrong, right| wrong.len() == 68 && wrong[60..] == [0; 8] && wrong[12..60] == right[12..],
        ),
    ];
    let (message, right) = healthy()[0].clone();
    for (what, switch, is_wrong) in damages {
        let gateway = with(|faults| {
            switch(faults);
            faults.right_answer_follows = true;
        });
        let socket = client(&gateway);
        let wrong = ask(&socket, &message);
        assert!(is_wrong(&wrong, &right), "{what}: {wrong:?}");
        assert_eq!(receive(&socket).unwrap()[12..], right[12..], "{what}");
    }
}

#[test]
fn an_error_in_the_header_alone_comes_before_the_answer_or_in_its_place() {
    let gateway = with(|faults| (faults.pcp_header_error, faults.right_answer_follows) = (Some(8), true));
    let socket = client(&gateway);
    let error = ask(&socket, &map());
    assert_eq!((error.len(), &error[..4], u32_at(&error, 4)), (24, &[2, 0x81, 0, 8][..], 30));
    assert_eq!(pcp_answer(&receive(&socket).unwrap()).result, 0);

    gateway.update_faults(|faults| (faults.wrong_opcode, faults.error_lifetime) = (true, Some(0)));
    let error = ask(&socket, &map());
    assert_eq!((error.len(), error[3], u32_at(&error, 4)), (24, 8, 0));
    assert!(error[1] & 0x80 != 0 && error[1] != 0x81, "the answer to another request");
    assert_eq!(pcp_answer(&receive(&socket).unwrap()).opcode, 0x81);

    gateway.update_faults(|faults| faults.right_answer_follows = false);
    assert_eq!(ask(&socket, &map()).len(), 24);
    assert!(stays_silent(&socket));
    // Refused, with the header alone, and nothing was done.
    gateway.reboot();
    gateway.set_faults(Faults { pcp: Mode::Refuse(8), truncate: Some(24), ..Faults::default() });
    assert_eq!((ask(&socket, &map()).len(), gateway.mappings().len()), (24, 0));
}

#[test]
fn natpmp_answers_are_damaged_too() {
    let gateway = gateway();
    let socket = client(&gateway);
    let right = ask(&socket, &natpmp_map(1, 4000, 4000, 60));
    gateway.update_faults(|faults| faults.wrong_internal_port = true);
    let wrong = ask(&socket, &natpmp_map(1, 4000, 4000, 60));
    assert_ne!(wrong[8..10], right[8..10]);
    gateway.set_faults(Faults { truncate: Some(3), ..Faults::default() });
    assert_eq!(ask(&socket, &[0, 0]).len(), 3);
    gateway.set_faults(Faults { wrong_opcode: true, ..Faults::default() });
    assert_ne!(ask(&socket, &[0, 0])[1], 128);
}

#[test]
fn error_lifetimes_are_as_asked() {
    let gateway = with(|faults| (faults.pcp, faults.error_lifetime) = (Mode::Refuse(8), Some(77)));
    assert_eq!(pcp_answer(&ask(&client(&gateway), &map())).lifetime, 77);
}

#[test]
fn a_suggestion_of_port_0_is_refused() {
    let gateway = with(|faults| faults.refuse_port_zero = true);
    let socket = client(&gateway);
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(17, 4000, 0, 600, NONCE))).result, 3);
    assert_eq!(pcp_answer(&ask(&socket, &map())).result, 0);
}

#[test]
fn port_and_lifetime_are_overridden_in_the_answer_and_in_the_table() {
    let gateway = with(|faults| (faults.granted_port, faults.granted_lifetime) = (Some(5000), Some(77)));
    let socket = client(&gateway);
    let answer = pcp_answer(&ask(&socket, &map()));
    assert_eq!((answer.external, answer.lifetime), (5000, 77));
    let answer = ask(&socket, &natpmp_map(2, 4001, 4001, 60));
    assert_eq!((u16_at(&answer, 10), u32_at(&answer, 12)), (5000, 77));
    let table = gateway.mappings();
    assert!(table.iter().all(|mapping| (mapping.external_port, mapping.expires_in) == (5000, Some(77))), "{table:?}");
}

#[test]
fn a_full_table_refuses_new_mappings_and_renews_old_ones() {
    let gateway = gateway();
    let socket = client(&gateway);
    ask(&socket, &map());
    gateway.update_faults(|faults| faults.table_full = true);
    assert_eq!(pcp_answer(&ask(&socket, &map())).result, 0);
    assert_eq!(pcp_answer(&ask(&socket, &pcp_map(17, 4001, 0, 60, NONCE))).result, 8);
    assert_eq!(u16_at(&ask(&socket, &natpmp_map(1, 4001, 0, 60)), 2), 4);
    assert_eq!(error_code(&add(&gateway, 4001, 4001, "UDP", 60)), Some(501));
    let small = start(|config| config.max_mappings = 1);
    assert_eq!(pcp_answer(&ask(&client(&small), &map())).result, 0);
    assert_eq!(pcp_answer(&ask(&client(&small), &pcp_map(17, 4001, 0, 60, NONCE))).result, 8);
}

#[test]
fn leases_are_ignored_or_lost_at_once() {
    let gateway = with(|faults| faults.lease_ignored = true);
    assert_eq!(pcp_answer(&ask(&client(&gateway), &map())).lifetime, 600);
    assert_eq!(gateway.mappings()[0].expires_in, None);

    let gateway = with(|faults| faults.lease_lost = true);
    assert_eq!(pcp_answer(&ask(&client(&gateway), &map())).result, 0);
    assert!(gateway.mappings().is_empty());
    assert!(add(&gateway, 4000, 4000, "UDP", 60).starts_with("HTTP/1.1 200"));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn the_external_address_is_shared_missing_or_moves() {
    let gateway = with(|faults| faults.cgnat = true);
    let socket = client(&gateway);
    assert_eq!(ask(&socket, &[0, 0])[8..12], [100, 64, 0, 9]);
    assert_eq!(pcp_answer(&ask(&socket, &map())).address, IpAddr::V4(Ipv4Addr::new(100, 64, 0, 9)));

    gateway.set_faults(Faults { empty_external_address: true, ..Faults::default() });
    assert_eq!(u16_at(&ask(&socket, &[0, 0]), 2), 3);
    assert_eq!(pcp_answer(&ask(&socket, &map())).result, 7);
    assert_eq!(element(&soap(&gateway, "GetExternalIPAddress", &[]), "NewExternalIPAddress"), Some(""));

    let moved = Ipv4Addr::new(192, 0, 1, 77);
    gateway.set_faults(Faults { renew_to_other_external: Some(moved), ..Faults::default() });
    let before = pcp_answer(&ask(&socket, &pcp_map(6, 4001, 4001, 60, NONCE))).address;
    assert_eq!(before, IpAddr::V4(Ipv4Addr::new(192, 0, 1, 1)), "a new mapping moves nothing");
    assert_eq!(pcp_answer(&ask(&socket, &map())).address, IpAddr::V4(moved));
    assert_eq!(ask(&socket, &[0, 0])[8..12], moved.octets());
    assert_eq!(gateway.faults().renew_to_other_external, None);

    gateway.set_external_address(None);
    assert_eq!(u16_at(&ask(&socket, &[0, 0]), 2), 3);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut GatewayConfig)| {
        let mut config = GatewayConfig::default();
        change(&mut config);
        match Gateway::start(config) {
            Err(GatewayError::Config(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(|config| config.igd_version = 3).contains("igd_version"));
    assert!(refused(|config| config.min_lifetime = 0).contains("min_lifetime"));
    assert!(refused(|config| config.faults.loss = 1.5).contains("loss"));
    assert!(refused(|config| config.faults.pcp = Mode::Refuse(256)).contains("pcp"));
    let gateway = gateway();
    let taken = GatewayConfig { pcp_port: gateway.pcp_port(), ..GatewayConfig::default() };
    assert!(matches!(Gateway::start(taken), Err(GatewayError::Bind { what: "the PCP port", .. })));
}
