//! `portlease doctor` against a simulated gateway.

mod common;

use common::*;
use portlease_gateway::{Faults, Gateway, Mode};
use serde_json::Value;

fn report(gateway: &Gateway, line: &str) -> (Option<i32>, Value) {
    let ended = run_at(gateway, &format!("doctor --json {line}"));
    assert_eq!(ended.stdout.len(), 1, "{ended:?}");
    (ended.status, parse(&ended.stdout[0]))
}

#[test]
fn a_healthy_router_gets_a_whole_report_and_a_good_verdict() {
    let gateway = gateway();
    let ended = run_at(&gateway, "doctor");
    let text = ended.text();
    assert_eq!(ended.status, Some(0), "{text}");
    for part in [
        "Router           127.0.0.1",
        "This machine     127.0.0.1",
        "pcp              yes  answers in ",
        "nat-pmp          yes  answers in ",
        "upnp             yes  answers in ",
        "Device           portlease simulated gateway",
        "External address 192.0.1.1 (public)",
        "/udp mapped to 192.0.1.1:",
        "[ app ]",
        "[ router ]",
        "[ internet ]",
        "ports on this machine can be made reachable",
        "next: portlease map",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colours off a terminal");
}

#[test]
fn the_test_mapping_is_short_and_removed() {
    let gateway = gateway();
    let (status, report) = report(&gateway, "");
    assert_eq!(status, Some(0));
    let test = &report["test_mapping"];
    assert_eq!((test["ok"].as_bool(), test["ttl"].as_u64()), (Some(true), Some(120)), "{report}");
    assert!(test["internal_port"].as_u64().is_some_and(|port| port >= 1024), "{report}");
    assert!(gateway.mappings().is_empty());
    assert!(gateway.counters().0.iter().any(|(name, count)| name.contains("map") && *count > 0));
}

#[test]
fn without_the_test_mapping_nothing_is_mapped() {
    let gateway = gateway();
    let events = gateway.events();
    let (status, report) = report(&gateway, "--no-map");
    assert_eq!((status, report["test_mapping"].is_null()), (Some(0), true), "{report}");
    assert!(report["verdict"].as_str().is_some_and(|verdict| verdict.contains("not tried")), "{report}");
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, portlease_gateway::Event::Mapped(_)), "{event:?}");
    }
}

#[test]
fn the_json_report_names_each_protocol_with_its_answer_or_its_reason() {
    let gateway = gateway_with(Faults { upnp: Mode::Off, pcp: Mode::Silent, ..Faults::default() });
    let (status, report) = report(&gateway, "");
    assert_eq!(status, Some(0), "{report}");
    let protocols = report["protocols"].as_array().unwrap();
    let names: Vec<_> = protocols.iter().map(|protocol| protocol["protocol"].as_str().unwrap()).collect();
    assert_eq!(names, portlease::Protocol::ALL.map(portlease::Protocol::as_str));
    assert_eq!(protocols[0]["kind"], "timeout", "{report}");
    assert!(protocols[1]["round_trip_ms"].as_f64().is_some(), "{report}");
    assert_eq!(protocols[2]["kind"], "unavailable", "{report}");
    assert_eq!((&report["external_address"], &report["address_class"]), (&"192.0.1.1".into(), &"public".into()));
    assert_eq!(report["mappable"], true);
    assert_eq!(report["local_address"], "127.0.0.1");
}

#[test]
fn a_refusing_router_is_status_1_and_told_apart_from_a_silent_one() {
    let gateway = gateway_with(Faults {
        nat_pmp: Mode::Off,
        soap_errors: [("AddPortMapping".to_owned(), 606), ("AddAnyPortMapping".to_owned(), 606)].into(),
        pcp: Mode::Refuse(2),
        ..Faults::default()
    });
    let (status, refused) = report(&gateway, "");
    assert_eq!((status, &refused["mappable"]), (Some(1), &false.into()), "{refused}");
    assert_eq!(refused["test_mapping"]["kind"], "refused", "{refused}");
    assert!(refused["verdict"].as_str().unwrap().contains("refuses"), "{refused}");
    assert!(refused["next"][0].as_str().unwrap().starts_with("allow port mapping for this machine"), "{refused}");
    gateway.update_faults(|faults| {
        (faults.pcp, faults.soap_errors) = (Mode::Off, [("AddPortMapping".into(), 728)].into())
    });
    let (_, full) = report(&gateway, "--protocol upnp");
    assert!(full["next"][0].as_str().unwrap().starts_with("delete mappings that nobody needs"), "{full}");

    gateway.set_faults(Faults { pcp: Mode::Off, nat_pmp: Mode::Off, upnp: Mode::Off, ..Faults::default() });
    let ended = run_at(&gateway, "doctor");
    assert_eq!(ended.status, Some(1));
    let text = ended.text();
    assert!(text.contains("answers by none of the protocols") && text.contains("next: switch on UPnP"), "{text}");
    assert!(text.contains("--X"), "the picture is cut: {text}");
}

#[test]
fn carrier_grade_nat_is_drawn_and_explained() {
    let gateway = gateway_with(Faults { cgnat: true, ..Faults::default() });
    let ended = run_at(&gateway, "doctor");
    let text = ended.text();
    assert_eq!(ended.status, Some(3), "the port was mapped, and the internet cannot reach it");
    assert!(text.contains("[ provider's NAT ]") && text.contains("100.64.0.9 (cgnat)"), "{text}");
    assert!(text.contains("nothing on the internet can reach it"), "{text}");
    assert!(text.contains("ask the provider for a public IPv4 address"), "{text}");
}

#[test]
fn a_router_without_an_external_address_is_no_promise() {
    let gateway = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
    let (_, report) = report(&gateway, "");
    assert!(report["external_address"].is_null(), "{report}");
    assert_eq!(report["address_class"], "unknown", "{report}");
    assert!(!report["verdict"].as_str().unwrap().contains("can be made reachable"), "{report}");
}

#[test]
fn a_test_mapping_whose_delete_the_router_did_not_confirm_is_not_called_removed() {
    let gateway = gateway_with(Faults {
        pcp: Mode::Off,
        nat_pmp: Mode::Off,
        soap_errors: [("DeletePortMapping".to_owned(), 501)].into(),
        ..Faults::default()
    });
    let text = run_at(&gateway, "doctor").text();
    assert!(text.contains("the router did not confirm that it is removed: it may stay for 2 min"), "{text}");
    assert!(!text.contains("removed again:") && !text.contains("and removed\n"), "{text}");
    let (_, report) = report(&gateway, "");
    assert_eq!(report["test_mapping"]["release"], "unconfirmed", "{report}");
}

#[test]
fn a_port_of_a_router_without_an_address_is_shown_without_one() {
    let gateway = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
    let text = run_at(&gateway, "doctor --protocol upnp").text();
    assert!(text.contains("External address unknown\n"), "{text}");
    assert!(text.contains(" of the router (its address is not known) by upnp in "), "{text}");
    assert!(text.contains("it is not known whether the internet can reach it"), "{text}");
    let (_, report) = report(&gateway, "--protocol upnp");
    let test = &report["test_mapping"];
    assert!(test["external"].is_null() && test["external_port"].is_u64(), "{report}");
}

#[test]
fn the_name_of_a_device_cannot_steer_the_terminal() {
    let gateway = named_gateway("Box\u{9b}31m \u{2066}of\u{2069} \u{202e}mine");
    let text = run_at(&gateway, "doctor --no-map").text();
    assert!(text.contains("Device           Box") && text.contains("mine"), "{text:?}");
    let steers =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(steers), "{text:?}");
    let json = run_at(&gateway, "doctor --no-map --json").text();
    assert!(json.is_ascii(), "{json:?}");
}

#[test]
fn a_port_is_followed_through_the_program_and_the_routers_table() {
    let gateway = gateway();
    let program = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = program.local_addr().unwrap().port();
    let (_, report) = report(&gateway, &format!("{port}/udp --no-map"));
    let found = &report["ports"][0];
    assert_eq!((&found["port"], &found["transport"]), (&port.into(), &"udp".into()), "{report}");
    assert_eq!(found["listening"]["verdict"], "yes", "{report}");
    assert_eq!(found["on_router"]["mapped"], false, "{report}");
    assert!(found["reach"].is_null(), "{report}");
    assert!(found["firewall"]["verdict"].is_string() && found["next"].is_array(), "{report}");
    assert_eq!(report["router"]["wan"]["status"], "Connected", "{report}");
    assert!(report["router"]["device"]["igd_version"].is_u64(), "{report}");
    assert!(report["network"]["interfaces"].is_array(), "{report}");
    // Both transports, if none is named.
    let text = run_at(&gateway, &format!("doctor {port} --no-map")).text();
    assert!(text.contains(&format!("Port {port}/udp")) && text.contains(&format!("Port {port}/tcp")), "{text}");
}

#[test]
fn a_report_masks_addresses_and_names_with_one_mark_for_one_thing() {
    let gateway = named_gateway("Annas Kiste");
    let text = run_at(&gateway, "doctor --report").text();
    assert!(text.starts_with("Report of portlease doctor. These were masked"), "{text}");
    assert!(!text.contains("192.0.1.1") && !text.contains("Annas Kiste"), "{text}");
    assert!(text.matches("[public-ipv4-1]").count() >= 3 && text.contains("[name-1]"), "{text}");
    assert!(text.contains("names of devices and Wi-Fi networks: 1"), "{text}");
    assert!(text.contains("127.0.0.1"), "private addresses help: {text}");
}

#[test]
fn what_needs_a_port_or_excludes_another_option_is_bad_usage() {
    for line in ["doctor --reflector 127.0.0.1", "doctor --report --json", "doctor 4000 --repair 4000", "doctor 0"] {
        assert_eq!(run(line).status, Some(2), "{line}");
    }
}

#[test]
fn a_reflector_that_does_not_answer_leaves_it_unknown() {
    let gateway = gateway();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let free = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let (_, report) = report(&gateway, &format!("{free}/udp --reflector {nobody} --stun {nobody}"));
    assert_eq!(report["ports"][0]["reach"]["verdict"], "unknown", "{report}");
    assert_eq!(report["outside"]["verdict"], "unknown", "{report}");
    assert!(gateway.mappings().is_empty(), "{report}");
}

#[test]
fn help_says_that_a_port_is_mapped_for_a_moment() {
    let help = run("doctor --help").text();
    assert!(help.contains("maps one UDP port for 120 s") && help.contains("--no-map"), "{help}");
}
