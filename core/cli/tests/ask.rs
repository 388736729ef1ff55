//! `portlease ip` and `portlease status`: what the router tells of itself, without a mapping.

mod common;

use common::*;
use portlease_gateway::{Faults, Mode};
use serde_json::json;

#[test]
fn ip_prints_the_external_address_alone_on_a_line_and_maps_nothing() {
    let gateway = gateway();
    for protocol in ["pcp,nat-pmp,upnp", "nat-pmp", "upnp"] {
        let ended = run_at(&gateway, &format!("ip --protocol {protocol}"));
        assert_eq!((ended.status, ended.text().as_str(), ended.stderr.as_str()), (Some(0), "192.0.1.1", ""));
    }
    let ended = run_at(&gateway, "ip --json");
    let object = json!({"external_address": "192.0.1.1", "address_class": "public", "protocol": "nat-pmp"});
    assert_eq!((ended.status, ended.json()), (Some(0), vec![object]));
    let changes = ["AddPortMapping", "AddAnyPortMapping", "map"];
    assert!(gateway.counters().0.keys().all(|name| !changes.contains(&name.as_str())), "{:?}", gateway.counters());
}

#[test]
fn ip_prints_an_address_that_is_not_public_and_ends_with_3() {
    let gateway = gateway_with(Faults { cgnat: true, ..Faults::default() });
    let ended = run_at(&gateway, "ip");
    assert_eq!((ended.status, ended.stdout.len()), (Some(3), 1), "{ended:?}");
    assert!(ended.text().starts_with("100."), "{ended:?}");
    assert!(ended.stderr.starts_with("portlease: warning: ") && ended.stderr.contains("\n  try: "), "{ended:?}");
    let ended = run_at(&gateway, "ip --json");
    assert_eq!((ended.status, &ended.json()[0]["address_class"]), (Some(3), &json!("cgnat")), "{ended:?}");
}

/// No protocol has an offer.
fn no_offer() -> Faults {
    Faults { upnp: Mode::Off, ..refusing() }
}

#[test]
fn ip_says_why_the_address_is_not_known() {
    let pcp_alone = Faults { nat_pmp: Mode::Off, upnp: Mode::Off, ..Faults::default() };
    let none = Faults { empty_external_address: true, nat_pmp: Mode::Off, pcp: Mode::Off, ..Faults::default() };
    for (faults, reason) in [
        (no_offer(), "portlease: refused: gateway 127.0.0.1 offers no port mapping: "),
        (pcp_alone, "portlease: unavailable: the router answers by pcp alone"),
        (none, "portlease: unavailable: the router has no external address"),
    ] {
        let ended = run_at(&gateway_with(faults), "ip");
        assert_eq!((ended.status, ended.text().as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.starts_with(reason), "{}", ended.stderr);
    }
}

#[test]
fn status_shows_the_connection_the_rates_and_which_protocols_answer() {
    let gateway = gateway_with(Faults { pcp: Mode::Refuse(2), ..Faults::default() });
    let ended = run_at(&gateway, "status");
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let has = |name: &str, text: &str| {
        let line =
            ended.stdout.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {ended:?}"));
        assert!(line[name.len()..].trim_start().starts_with(text), "{line}");
    };
    has("Router", "127.0.0.1");
    has("Device", "portlease simulated gateway");
    has("pcp", "no   refused: ");
    has("nat-pmp", "yes  answers in ");
    has("upnp", "yes  answers in ");
    has("WAN connection", "Connected for ");
    has("External address", "192.0.1.1 (public)");
    has("Line", "100 Mbit/s down, 40 Mbit/s up");
}

#[test]
fn status_writes_one_object_for_programs() {
    let gateway = gateway();
    let ended = run_at(&gateway, "status --json");
    assert_eq!((ended.status, ended.stdout.len()), (Some(0), 1), "{ended:?}");
    let told = &ended.json()[0];
    assert_eq!((&told["gateway"], &told["external_address"]), (&json!("127.0.0.1"), &json!("192.0.1.1")));
    assert_eq!((&told["wan"]["status"], &told["address_class"]), (&json!("Connected"), &json!("public")));
    assert_eq!(
        (&told["wan"]["downstream_rate"], &told["wan"]["upstream_rate"]),
        (&json!(100_000_000), &json!(40_000_000))
    );
    let protocols: Vec<_> =
        told["protocols"].as_array().unwrap().iter().map(|one| (&one["protocol"], &one["ok"])).collect();
    let all = ["pcp", "nat-pmp", "upnp"].map(|name| (json!(name), json!(true)));
    assert_eq!(protocols, all.iter().map(|(name, ok)| (name, ok)).collect::<Vec<_>>());
}

#[test]
fn status_without_upnp_says_that_the_state_is_not_known() {
    let gateway = gateway_with(Faults { upnp: Mode::Off, ..Faults::default() });
    let ended = run_at(&gateway, "status --protocol nat-pmp");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("WAN connection   unknown: only UPnP tells it"), "{ended:?}");
    assert!(!ended.text().contains("\nLine"), "{ended:?}");
}

#[test]
fn status_says_why_a_router_does_not_tell_its_state() {
    let faults = Faults { soap_errors: [("GetStatusInfo".to_owned(), 606)].into(), ..Faults::default() };
    let ended = run_at(&gateway_with(faults), "status");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("WAN connection   unknown: upnp 606 "), "{ended:?}");
}

#[test]
fn status_fails_if_no_protocol_answers() {
    let ended = run_at(&gateway_with(no_offer()), "status");
    assert_eq!((ended.status, ended.text().as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.starts_with("portlease: refused: ") && ended.stderr.contains("try: "), "{}", ended.stderr);
}
