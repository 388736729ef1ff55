//! Entries of other hosts and of the router's settings, as clients of each protocol meet them.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use common::*;
use portlease_gateway::{Gateway, NewMapping, Protocol, Transport};

const CANNOT_PROVIDE_EXTERNAL: u8 = 11;

fn others(port: u16) -> NewMapping {
    NewMapping {
        description: "console".into(),
        ..NewMapping::new(Transport::Udp, port, "192.168.1.9:3074".parse().unwrap())
    }
}

fn key(port: &str) -> [(&'static str, &str); 3] {
    [("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", "UDP")]
}

fn delete(gateway: &Gateway, port: &str) -> Option<u16> {
    error_code(&soap(gateway, "DeletePortMapping", &key(port)))
}

#[test]
fn an_entry_of_another_host_is_shown_with_its_client_description_and_lease() {
    let gateway = gateway();
    gateway.put_mapping(others(4000)).unwrap();
    gateway.put_mapping(NewMapping { lifetime: Some(600), ..others(4001) }).unwrap();
    for (index, port, lease) in [("0", "4000", "0"), ("1", "4001", "600")] {
        for entry in [
            soap(&gateway, "GetSpecificPortMappingEntry", &key(port)),
            soap(&gateway, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", index)]),
        ] {
            assert_eq!(element(&entry, "NewInternalClient"), Some("192.168.1.9"));
            assert_eq!(element(&entry, "NewInternalPort"), Some("3074"));
            assert_eq!(element(&entry, "NewPortMappingDescription"), Some("console"));
            let shown = element(&entry, "NewLeaseDuration").unwrap();
            assert!(shown == lease || lease == "600" && shown != "0", "{shown}");
        }
    }
}

#[test]
fn without_secure_mode_anybody_can_delete_the_entry_of_another_host() {
    let gateway = start(|config| config.secure_mode = false);
    let entry = gateway.put_mapping(others(4000)).unwrap();
    assert!(gateway.is_untouched(&entry));
    assert_eq!(delete(&gateway, "4000"), None);
    assert!(!gateway.is_untouched(&entry) && gateway.mappings().is_empty());
    // A rule of the router's settings is no safer.
    gateway.add_mapping(Transport::Udp, 4001, "192.168.1.9:1".parse().unwrap(), None).unwrap();
    assert_eq!(delete(&gateway, "4001"), None);
    assert!(gateway.mappings().is_empty());
}

#[test]
fn in_secure_mode_nobody_can() {
    let gateway = gateway();
    let entry = gateway.put_mapping(others(4000)).unwrap();
    assert_eq!(delete(&gateway, "4000"), Some(606));
    assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 60)), Some(718));
    assert!(gateway.is_untouched(&entry));
}

#[test]
fn an_entry_that_was_renewed_or_changed_is_not_untouched() {
    let gateway = gateway();
    let own = NewMapping { internal: "127.0.0.1:4000".parse().unwrap(), lifetime: Some(60), ..others(4000) };
    let entry = gateway.put_mapping(own.clone()).unwrap();
    assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 600)), None);
    assert!(!gateway.is_untouched(&entry));
    let entry = gateway.put_mapping(own).unwrap();
    gateway.put_mapping(others(4000)).unwrap();
    assert!(!gateway.is_untouched(&entry));
}

#[test]
fn a_rule_by_hand_for_the_asking_host_is_a_conflict_with_the_code_that_is_set() {
    let gateway = gateway();
    let by_hand = NewMapping {
        protocol: Protocol::Static,
        internal: "127.0.0.1:4000".parse().unwrap(),
        description: "by hand".into(),
        ..others(4000)
    };
    let entry = gateway.put_mapping(by_hand).unwrap();
    assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 60)), Some(718));
    gateway.update_faults(|faults| faults.port_errors = [(4000, 501)].into());
    assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 60)), Some(501));
    let shown = soap(&gateway, "GetSpecificPortMappingEntry", &key("4000"));
    assert_eq!(element(&shown, "NewInternalClient"), Some("127.0.0.1"));
    assert_eq!(element(&shown, "NewPortMappingDescription"), Some("by hand"));
    assert!(gateway.is_untouched(&entry));
    assert_eq!(delete(&gateway, "4000"), None, "its own host can delete it");
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_port_that_was_given_to_another_host_cannot_be_renewed() {
    let gateway = gateway();
    let socket = client(&gateway);
    let mut exact = pcp_map(17, 4000, 4100, 600, NONCE);
    exact.extend([2, 0, 0, 0]);
    assert_eq!(pcp_answer(&ask(&socket, &exact)).result, 0);
    let entry = gateway.put_mapping(others(4100)).unwrap();
    assert_eq!(pcp_answer(&ask(&socket, &exact)).result, CANNOT_PROVIDE_EXTERNAL);
    let moved = pcp_answer(&ask(&socket, &pcp_map(17, 4000, 4100, 600, NONCE)));
    assert_eq!((moved.result, moved.external), (0, 4101));
    let moved = ask(&socket, &natpmp_map(1, 4002, 4100, 60));
    assert_eq!((u16_at(&moved, 2), u16_at(&moved, 10)), (0, 4102));
    assert!(gateway.is_untouched(&entry));
}

#[test]
fn the_line_protocol_puts_entries_too() {
    let gateway = gateway();
    let line = r#"{"command":"put_mapping","protocol":"upnp","transport":"tcp","external_port":4000,"internal":"192.168.1.9:1","description":"camera"}"#;
    for _ in 0..2 {
        let reply = portlease_gateway::json::execute(&gateway, line).json;
        assert_eq!(reply["mapping"]["description"], "camera", "{reply}");
    }
    assert_eq!(gateway.mapping(Transport::Tcp, 4000).unwrap().expires_in, None);
}
