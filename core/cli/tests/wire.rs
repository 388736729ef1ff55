//! `--json` is a wire that other programs parse: no name of today may change or go. Add to these lists; never change or
//! remove an entry.

mod common;

use common::*;
use portlease_gateway::{Faults, GatewayState, Mode};
use serde_json::Value;

const MAPPED: [&str; 10] = [
    "event",
    "transport",
    "family",
    "internal_port",
    "external",
    "external_port",
    "protocol",
    "ttl",
    "address_class",
    "elapsed_ms",
];
const LEFT: [&str; 10] = [
    "event",
    "transport",
    "family",
    "internal_port",
    "external",
    "external_port",
    "protocol",
    "address_class",
    "expires_in",
    "expires_at",
];
const FAILED: [&str; 7] = ["event", "kind", "message", "advice", "transport", "family", "internal_port"];

const REMOVED: [&str; 7] =
    ["event", "transport", "family", "external_port", "protocol", "internal_client", "internal_port"];

#[track_caller]
fn assert_has(object: &Value, names: &[&str]) {
    for name in names {
        assert!(object.get(name).is_some(), "no `{name}` in {object}");
    }
}

/// Fails unless the object has these names and no others, so that each name stands in some list here.
#[track_caller]
fn assert_names(object: &Value, names: &[&str]) {
    assert_has(object, names);
    for name in object.as_object().expect("an object").keys() {
        assert!(names.contains(&name.as_str()), "`{name}` is new in {object}: add it to the list");
    }
}

#[test]
fn map_tells_of_a_mapping_from_its_beginning_to_its_end() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --renewal-interval 1");
    assert_names(&running.event("installed"), &MAPPED);
    assert_names(&running.event("renewed"), &MAPPED);
    gateway.set_external_address(Some([192, 0, 1, 2].into()));
    assert_names(&running.event("changed"), &MAPPED);
    let ended = running.interrupt();
    let exited = ended.json().pop().unwrap();
    assert_eq!(exited["event"], "exited");
    assert_names(&exited, &["event", "transport", "family", "internal_port"]);
}

#[test]
fn map_tells_of_failures() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --ttl 4 --renewal-interval 1 --protocol nat-pmp");
    running.event("installed");
    gateway.set_faults(refusing());
    let renewal = running.event("failed");
    assert_names(&renewal, &[&FAILED[..], &MAPPED[4..]].concat());
    assert_names(&running.event("revoked"), &FAILED);
    let attempt = running.event("failed");
    assert_names(&attempt, &[&FAILED[..], &["elapsed_ms"]].concat());
    drop(running);

    let ended = run_at(&gateway, "map 4000/udp --json --retry never").json();
    assert_eq!(ended.last().unwrap()["event"], "exited");
    assert_names(ended.last().unwrap(), &FAILED);
}

#[test]
fn map_tells_what_it_leaves_behind() {
    let detached = run_at(&gateway(), "map 4000/udp --json --detach").json();
    let detached = detached.iter().find(|event| event["event"] == "detached").unwrap();
    assert_names(detached, &LEFT);
}

#[test]
fn map_tells_what_the_router_did_not_confirm() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json");
    running.event("installed");
    gateway.set_faults(Faults { pcp: Mode::Off, nat_pmp: Mode::Off, upnp: Mode::Off, ..Faults::default() });
    running.press_ctrl_c();
    assert_names(&running.event("unconfirmed"), &LEFT);
    assert_eq!(running.end().status, Some(4));
}

#[test]
fn map_tells_what_it_did_not_wait_for() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --protocol upnp");
    running.event("installed");
    let looks = |state: &GatewayState| state.counters.get("soap_GetSpecificPortMappingEntry");
    assert!(gateway.wait_for(PATIENCE, |state| looks(state) >= 2), "looks before and behind the installation");
    gateway.set_faults(Faults { http_delay_ms: 20_000, ..Faults::default() });
    let before = looks(&gateway.state());
    running.press_ctrl_c();
    assert!(gateway.wait_for(PATIENCE, |state| looks(state) > before), "the delete is under way");
    running.press_ctrl_c();
    assert_names(&running.event("pending"), &LEFT);
    assert_eq!(running.end().status, Some(4));
}

#[test]
fn unmap_tells_what_became_of_each_port() {
    let gateway = gateway();
    run_at(&gateway, "map 4000/udp --detach");
    for name in ["removed", "absent"] {
        let told = run_at(&gateway, "unmap 4000/udp --json").json().pop().unwrap();
        assert_eq!(told["event"], name);
        assert_names(&told, &REMOVED);
    }
    let Some(gateway) = gateway_ipv6() else { return };
    run_at(&gateway, "map 4000/udp --detach --family ipv6");
    let told = run_at(&gateway, "unmap 4000/udp --family ipv6 --json").json().pop().unwrap();
    assert_names(&told, &REMOVED);
}

#[test]
fn list_writes_one_object_for_each_entry() {
    let gateway = gateway();
    run_at(&gateway, "map 4000/udp --detach");
    let mut list = command("list --json");
    list.args(upnp_flags(&gateway));
    let entries = start(list).end().json();
    let place = ["family", "external_port", "transport", "internal_client", "internal_port"];
    let rest = ["description", "enabled", "ttl", "remote_host", "this_machine"];
    assert_names(&entries[0], &[&place[..], &rest[..]].concat());
}

#[test]
fn list_writes_one_object_for_each_pinhole_on_record() {
    let Some(gateway) = gateway_ipv6() else { return };
    let folder = Folder::new("list-wire");
    let record = format!("--state-dir {}", folder.path().display());
    run_at(&gateway, &format!("map 4000/udp --detach --family ipv6 {record}"));
    let pinholes = run(&format!("list --json --family ipv6 {record}")).json();
    let place = ["family", "external_port", "transport", "internal_client", "internal_port"];
    let rest = ["protocol", "held", "detached", "ttl", "this_machine"];
    assert_names(&pinholes[0], &[&place[..], &rest[..]].concat());
}

#[test]
fn status_and_ip_write_one_object() {
    let gateway = gateway();
    let told = run_at(&gateway, "status --json").json().pop().unwrap();
    let path = ["gateway", "interface", "local_address", "protocols", "device", "wan"];
    assert_names(&told, &[&path[..], &["external_address", "address_class"]].concat());
    assert_names(&told["wan"], &["status", "last_error", "uptime", "upstream_rate", "downstream_rate"]);
    let told = run_at(&gateway, "ip --json").json().pop().unwrap();
    assert_names(&told, &["external_address", "address_class", "protocol"]);
}

/// What every command writes that fails before it has more to tell.
#[test]
fn a_command_that_fails_writes_why_and_what_to_try() {
    let silent = Faults { upnp: Mode::Off, ..refusing() };
    let gateway = gateway_with(silent);
    for (line, kind, status) in [
        ("status", "refused", 1),
        ("ip", "refused", 1),
        ("list", "unavailable", 1),
        ("unmap 4000/udp", "refused", 1),
        ("unmap --mine", "unavailable", 1),
        ("doctor --repair 4000", "unavailable", 1),
        ("map 4000/udp --ttl 0", "invalid", 2),
        ("map 4000/udp --interface nosuch0", "invalid", 2),
        ("doctor --interface nosuch0", "invalid", 2),
        ("list --interface nosuch0", "invalid", 2),
        ("ip --log-file /nosuch/log", "invalid", 2),
    ] {
        let mut command = command(&format!("{line} --json"));
        let flags = if line.starts_with("list") { upnp_flags(&gateway) } else { flags(&gateway) };
        command.args(if line.contains("nosuch0") { Vec::new() } else { flags });
        let ended = start(command).end();
        assert_eq!((ended.status, ended.stdout.len()), (Some(status), 1), "{line}: {ended:?}");
        let failure = &ended.json()[0];
        assert_names(failure, &["event", "kind", "message", "advice"]);
        assert_eq!((&failure["event"], &failure["kind"]), (&"failed".into(), &kind.into()), "{line}");
        let text = |name: &str| failure[name].as_str().unwrap_or_else(|| panic!("{line}: no {name} in {failure}"));
        assert!(ended.stderr.contains(text("message")) && ended.stderr.contains(text("advice")), "{line}: {ended:?}");
    }
}

#[test]
fn map_that_never_mapped_anything_says_so_at_the_end() {
    let ended = run_at(&gateway_with(refusing()), "map 4000/udp --for 0.1 --json");
    let failure = ended.json().into_iter().rfind(|event| event["event"] == "failed").unwrap();
    assert_eq!(
        (ended.status, &failure["message"]),
        (Some(1), &"no port was mapped before the end".into()),
        "{ended:?}"
    );
    assert_names(&failure, &["event", "kind", "message", "advice"]);
}

#[test]
fn beside_a_program_of_map_the_failure_is_on_stderr_too() {
    let ended = run_at(&gateway(), "map 4000/udp --ttl 0 --json -- echo");
    assert_eq!((ended.status, ended.text().as_str()), (Some(2), ""), "{ended:?}");
    assert!(
        ended.stderr.lines().any(|line| line.starts_with("{\"event\":\"failed\",\"kind\":\"invalid\"")),
        "{ended:?}"
    );
}

#[test]
fn doctor_writes_one_report() {
    let gateway = gateway_with(Faults { nat_pmp: Mode::Refuse(2), ..Faults::default() });
    let report = run_at(&gateway, "doctor --json").json().pop().unwrap();
    let found = ["gateway", "interface", "local_address", "error", "protocols", "device", "presence"];
    let concluded = ["external_address", "address_class", "test_mapping", "mappable", "verdict", "next"];
    let whole = ["version", "families", "ipv6", "network", "firewall", "router", "ports", "outside"];
    assert_names(&report, &[&whole[..], &found[..], &concluded[..]].concat());
    assert_names(&report["ipv6"], &[&found[..], &concluded[..]].concat());
    let of = |protocol| report["protocols"].as_array().unwrap().iter().find(|one| one["protocol"] == protocol).unwrap();
    assert_names(of("upnp"), &["ok", "protocol", "round_trip_ms", "external_address", "device"]);
    assert_names(of("nat-pmp"), &["ok", "protocol", "kind", "message"]);
    let mapping =
        ["ok", "transport", "internal_port", "external", "external_port", "protocol", "ttl", "elapsed_ms", "release"];
    assert_names(&report["test_mapping"], &mapping);
}

#[test]
fn doctor_tells_what_became_of_a_repair() {
    let gateway = gateway();
    run_at(&gateway, "map 4000/udp --detach --protocol upnp");
    let repaired = run_at(&gateway, "doctor --repair 4000 --json").json().pop().unwrap();
    let place = ["event", "transport", "external_port", "protocol", "internal_client", "internal_port"];
    assert_names(&repaired, &[&place[..], &["description", "ttl"]].concat());
    let failed = run_at(&gateway, "doctor --repair 4001 --json").json().pop().unwrap();
    assert_names(&failed, &["event", "kind", "message", "advice", "transport", "external_port", "mapping_lost"]);
}

#[test]
fn doctor_says_by_kind_and_message_why_nothing_can_be_mapped() {
    let report = run_at(&gateway_with(refusing()), "doctor --json").json().pop().unwrap();
    assert_names(&report["test_mapping"], &["ok", "kind", "message"]);
}

/// No default route leads through the loopback interface, so nothing is asked. Other systems give it other names.
#[cfg(target_os = "linux")]
#[test]
fn doctor_says_by_kind_and_message_that_there_is_no_router() {
    let nowhere = run("doctor --json --interface lo").json().pop().unwrap();
    assert_names(&nowhere["error"], &["ok", "kind", "message"]);
}
