//! With `--gateway` no other router is asked or changed, also by UPnP: here the user names an address where nothing is,
//! and a router somewhere else answers the search.

mod common;

use std::net::SocketAddr;

use common::*;
use portlease_gateway::{Faults, Gateway, Transport};

/// Leads the search to `other`, but names a router that does not answer.
fn run_past(other: &Gateway, line: &str) -> Ended {
    let mut command = command(line);
    command.args(["--gateway", "127.0.0.9", "--ssdp-address", &other.ssdp_address().to_string()]);
    if !line.starts_with("list") {
        command.args(["--pcp-port", &other.pcp_port().to_string()]);
    }
    start(command).end()
}

fn no_action(other: &Gateway) {
    let counters = other.counters();
    let actions: Vec<_> = counters.0.keys().filter(|name| name.starts_with("soap_")).collect();
    assert!(actions.is_empty(), "{actions:?}");
}

#[test]
fn map_does_not_map_at_another_router() {
    let other = gateway();
    let ended = run_past(&other, "map 4000/udp --retry never --for 5");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(ended.stderr.contains("portlease: unavailable: "), "{}", ended.stderr);
    assert!(other.mappings().is_empty());
    no_action(&other);
}

#[test]
fn doctor_does_not_call_the_named_router_well_because_another_answers() {
    let other = gateway();
    let ended = run_past(&other, "doctor");
    let text = ended.text();
    assert_eq!(ended.status, Some(1), "{text}");
    assert!(text.contains("Router           127.0.0.9") && text.contains("answers by none of the protocols"), "{text}");
    no_action(&other);
}

#[test]
fn list_does_not_show_the_table_of_another_router() {
    let other = gateway();
    let ended = run_past(&other, "list");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    no_action(&other);
}

#[test]
fn unmap_never_deletes_at_another_router() {
    let other = careless_gateway(Faults::default());
    let here: SocketAddr = ([127, 0, 0, 1], 4000).into();
    other.add_mapping(Transport::Udp, 4000, here, None).unwrap();
    for line in ["unmap 4000/udp", "unmap 4000/udp --any-host"] {
        let ended = run_past(&other, line);
        assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
        assert_eq!(other.mappings().len(), 1);
    }
    no_action(&other);
}
