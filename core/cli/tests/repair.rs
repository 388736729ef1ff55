//! `portlease doctor --repair` against a simulated gateway.

mod common;

use std::net::SocketAddr;

use common::*;
use portlease_gateway::{Event, Faults, Gateway, Mode, Transport};
use serde_json::json;

const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);

/// What happened to mappings since `events` began.
fn changes(events: &portlease_gateway::Events) -> Vec<&'static str> {
    let mut changes = Vec::new();
    while let Some(event) = events.try_next() {
        match event {
            Event::Mapped(_) => changes.push("mapped"),
            Event::Unmapped(_) => changes.push("unmapped"),
            Event::Renewed(_) => changes.push("renewed"),
            _ => {}
        }
    }
    changes
}

fn failing(action: &str, code: u16) -> Faults {
    Faults { soap_errors: [(action.to_owned(), code)].into(), ..Faults::default() }
}

/// Repairs in vain, and returns what was said.
#[track_caller]
fn refused(gateway: &Gateway, line: &str) -> String {
    let before = gateway.mappings();
    let events = gateway.events();
    let ended = run_at(gateway, &format!("doctor --repair {line}"));
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(changes(&events).is_empty() && gateway.mappings().len() == before.len(), "nothing is touched");
    ended.stderr
}

#[test]
fn a_mapping_is_deleted_and_added_again_as_it_was() {
    let gateway = gateway();
    run_at(&gateway, "map 4000/udp --protocol upnp --external 4100 --ttl 10m --description my-game --detach");
    let before = gateway.mappings();
    let events = gateway.events();
    let ended = run_at(&gateway, "doctor --repair 4100");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let line = ended.text();
    assert!(line.starts_with("4100/udp leads to 127.0.0.1:4000 (my-game) for "), "{line}");
    assert!(line.ends_with(": deleted and added again"), "{line}");
    assert_eq!(changes(&events), ["unmapped", "mapped"]);
    let after = gateway.mappings();
    assert_eq!(after.len(), 1);
    let what = |mappings: &[portlease_gateway::Mapping]| {
        let one = &mappings[0];
        (one.external_port, one.internal, one.transport, one.description.clone())
    };
    assert_eq!(what(&after), what(&before));
    assert!(after[0].expires_in <= before[0].expires_in, "it lives no longer than before");
}

#[test]
fn a_mapping_without_an_end_has_none_afterwards() {
    let gateway = older_gateway();
    gateway.add_mapping(Transport::Tcp, 4000, HERE, None).unwrap();
    let ended = run_at(&gateway, "doctor --repair 4000/tcp --json");
    assert_eq!(
        ended.json(),
        [json!({"event": "repaired", "transport": "tcp", "external_port": 4000, "protocol": "upnp",
                "internal_client": "127.0.0.1", "internal_port": 4000, "description": "set in the router",
                "ttl": null})]
    );
    assert_eq!(gateway.mappings()[0].expires_in, None);
}

#[test]
fn a_mapping_without_an_end_that_would_get_one_is_not_touched() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Tcp, 4000, HERE, None).unwrap();
    let said = refused(&gateway, "4000/tcp");
    assert!(said.contains("is mapped without an end, and the router would give it one"), "{said}");
}

#[test]
fn a_running_map_keeps_its_port_and_goes_on() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --protocol upnp --json --ttl 2");
    running.event("installed");
    let events = gateway.events();
    assert_eq!(run_at(&gateway, "doctor --repair 4000").status, Some(0));
    assert!(events.find(PATIENCE, |event| matches!(event, Event::Unmapped(_))).is_some());
    for _ in 0..2 {
        let event = running.json();
        assert_eq!((&event["event"], &event["external_port"]), (&json!("renewed"), &json!(4000)), "{event}");
    }
    let ended = running.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(gateway.mappings().is_empty(), "what is repaired is still the program's to delete");
}

#[test]
fn without_a_transport_both_are_repaired() {
    let gateway = gateway();
    run_at(&gateway, "map 4000/both --protocol upnp --detach");
    let ended = run_at(&gateway, "doctor --repair 4000 --json");
    let told: Vec<_> = ended.json().iter().map(|one| one["transport"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ended.status, told), (Some(0), vec!["udp".to_owned(), "tcp".to_owned()]));
    assert_eq!(gateway.mappings().len(), 2);
}

#[test]
fn a_mapping_of_another_host_is_never_touched() {
    for gateway in [gateway(), careless_gateway(Faults::default())] {
        gateway.add_mapping(Transport::Udp, 4000, ([127, 0, 0, 9], 4000).into(), None).unwrap();
        let said = refused(&gateway, "4000");
        assert!(said.contains("leads to 127.0.0.9:4000") && said.contains("not to this machine"), "{said}");
    }
}

#[test]
fn a_port_that_is_not_mapped_is_refused_with_advice() {
    let gateway = gateway();
    let said = refused(&gateway, "4000");
    assert!(said.starts_with("portlease: refused: the router's table has no mapping of external port 4000"), "{said}");
    assert!(said.contains("\n  try: `portlease list`"), "{said}");
    run_at(&gateway, "map 4000/udp --protocol upnp --external 4100 --detach");
    assert!(refused(&gateway, "4000").contains("portlease doctor --repair 4100/udp"));
    let failed = run_at(&gateway, "doctor --repair 4000 --json").json();
    assert_eq!((failed.len(), &failed[0]["event"], &failed[0]["kind"]), (1, &json!("failed"), &json!("refused")));
}

#[test]
fn a_mapping_by_pcp_or_nat_pmp_is_left_to_the_program_that_holds_it() {
    for protocol in ["pcp", "nat-pmp"] {
        let gateway = gateway();
        run_at(&gateway, &format!("map 4000/udp --protocol {protocol} --detach"));
        let said = refused(&gateway, "4000/udp");
        assert!(said.contains(&format!("4000/udp was mapped by {protocol}")), "{said}");
        assert!(said.contains("try: stop that program and start it again"), "{said}");
    }
}

#[test]
fn a_router_that_does_not_delete_keeps_the_mapping() {
    let gateway = gateway_with(failing("DeletePortMapping", 606));
    gateway.add_mapping(Transport::Udp, 4000, HERE, Some(600)).unwrap();
    let said = refused(&gateway, "4000/udp");
    assert!(said.contains("portlease: refused: upnp 606"), "{said}");
}

#[test]
fn a_router_that_fails_once_does_not_cost_the_mapping() {
    let faults =
        Faults { soap_error_counts: [("AddPortMapping".to_owned(), 1)].into(), ..failing("AddPortMapping", 501) };
    let gateway = gateway_with(faults);
    gateway.add_mapping(Transport::Udp, 4000, HERE, Some(600)).unwrap();
    assert_eq!(run_at(&gateway, "doctor --repair 4000/udp").status, Some(0));
    assert_eq!(gateway.mappings().len(), 1);
}

#[test]
fn a_mapping_that_could_not_be_added_again_is_said_to_be_lost() {
    let gateway = gateway_with(failing("AddPortMapping", 501));
    gateway.add_mapping(Transport::Udp, 4000, HERE, Some(600)).unwrap();
    let ended = run_at(&gateway, "doctor --repair 4000/udp --json");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let failed = &ended.json()[0];
    assert_eq!((&failed["event"], &failed["mapping_lost"]), (&json!("failed"), &json!(true)), "{failed}");
    let said = ended.stderr;
    assert!(said.contains("external port 4000 was deleted and could not be added again: upnp 501"), "{said}");
    assert!(said.contains("try: a program that holds 4000/udp maps it again"), "{said}");
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_router_that_only_claims_to_add_it_again_is_not_believed() {
    let gateway = gateway_with(Faults { upnp_lost: true, ..Faults::default() });
    gateway.add_mapping(Transport::Udp, 4000, HERE, Some(600)).unwrap();
    let ended = run_at(&gateway, "doctor --repair 4000/udp");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(ended.stderr.contains("its table does not show it"), "{}", ended.stderr);
}

#[test]
fn without_upnp_it_says_that_the_table_cannot_be_read() {
    let gateway = gateway_with(Faults { upnp: Mode::Off, ..Faults::default() });
    let said = refused(&gateway, "4000");
    assert!(said.starts_with("portlease: unavailable: only upnp can read the table"), "{said}");
}
