//! IPv6 on the command line, against the simulated gateway's firewall on loopback.

mod common;

use common::*;
use portlease_gateway::{Faults, Gateway, Mode};
use serde_json::{Value, json};

/// What of the router's table is a pinhole.
fn pinholes(gateway: &Gateway) -> usize {
    gateway.mappings().iter().filter(|mapping| mapping.internal.is_ipv6()).count()
}

fn refused() -> Faults {
    Faults { inbound_pinholes_refused: true, ..Faults::default() }
}

/// The lines that come until each of these has come, in any order.
#[track_caller]
fn lines_with(running: &Running, parts: &[&str]) -> Vec<String> {
    let mut lines = Vec::new();
    while !parts.iter().all(|part| lines.iter().any(|line: &String| line.contains(part))) {
        lines.push(running.line());
    }
    lines
}

#[test]
fn ipv6_opens_a_pinhole_and_closes_it_at_the_end() {
    let Some(gateway) = gateway_ipv6() else { return };
    for protocol in ["pcp", "upnp"] {
        let running = start_at(&gateway, &format!("map 4000/udp --family ipv6 --protocol {protocol}"));
        let line = running.line();
        let said = format!("4000/udp (ipv6) mapped to [::1]:4000 by {protocol} for 1 h (");
        assert!(line.starts_with(&said), "{line}");
        assert_eq!((pinholes(&gateway), gateway.mappings().len()), (1, 1), "{protocol}");
        let ended = running.interrupt();
        // 3: nobody on the internet can reach the loopback address of the simulated gateway.
        assert_eq!((ended.status, ended.text().as_str()), (Some(3), "4000/udp (ipv6) released"), "{ended:?}");
        assert!(gateway.mappings().is_empty(), "{protocol}");
    }
}

#[test]
fn both_opens_two_leases_for_each_port_and_each_line_tells_its_family() {
    let Some(gateway) = gateway_ipv6() else { return };
    let running = start_at(&gateway, "map 4000/both --family both");
    let names = ["4000/udp (ipv4)", "4000/udp (ipv6)", "4000/tcp (ipv4)", "4000/tcp (ipv6)"];
    lines_with(&running, &names);
    assert_eq!((pinholes(&gateway), gateway.mappings().len()), (2, 4));
    let ended = running.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for name in names {
        assert!(ended.stdout.contains(&format!("{name} released")), "{ended:?}");
    }
    assert!(gateway.mappings().is_empty());
}

#[test]
fn programs_read_the_family_of_each_event() {
    let Some(gateway) = gateway_ipv6() else { return };
    let running = start_at(&gateway, "map 4000/udp --family both --json");
    let mut installed: Vec<Value> = [running.event("installed"), running.event("installed")]
        .map(|event| json!([event["family"], event["external"], event["external_port"]]))
        .to_vec();
    installed.sort_by_key(ToString::to_string);
    assert_eq!(installed, [json!(["ipv4", "192.0.1.1:4000", 4000]), json!(["ipv6", "[::1]:4000", 4000])]);
    let exited: Vec<_> = running.interrupt().json().iter().map(|event| event["family"].clone()).collect();
    assert!(exited.contains(&json!("ipv4")) && exited.contains(&json!("ipv6")), "{exited:?}");
}

#[test]
fn with_both_one_family_is_enough() {
    let Some(gateway) = gateway_ipv6_with(refused()) else { return };
    for line in ["--for 1", "--for 1 --retry never", "--detach"] {
        let ended = run_at(&gateway, &format!("map 4000/udp --family both {line}"));
        assert_eq!(ended.status, Some(0), "{line}: {ended:?}");
        assert!(ended.text().contains("4000/udp (ipv4) mapped to 192.0.1.1:4000"), "{line}: {ended:?}");
        assert!(ended.stderr.contains("portlease: refused: 4000/udp (ipv6): "), "{line}: {ended:?}");
    }
    assert_eq!(gateway.mappings().len(), 1, "the detached one");
    // And the other way round.
    let ipv4 =
        Faults { pcp: Mode::Normal, nat_pmp: Mode::Refuse(2), empty_external_address: true, ..Faults::default() };
    gateway.set_faults(Faults { granted_port: Some(5000), ..ipv4 });
    let ended = run_at(&gateway, "map 4001/udp --family both --external 4001 --exact --for 1 --retry never");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("4001/udp (ipv6) mapped to [::1]:4001"), "{ended:?}");
    assert!(ended.stderr.contains("4001/udp (ipv4): "), "{ended:?}");
}

#[test]
fn with_both_it_fails_if_neither_works_and_tells_both_reasons() {
    let Some(gateway) = gateway_ipv6_with(Faults { pcp_ipv6: Mode::Refuse(2), upnp_ipv6: Mode::Off, ..refusing() })
    else {
        return;
    };
    for line in ["--retry never", "--detach"] {
        let ended = run_at(&gateway, &format!("map 4000/udp --family both {line}"));
        assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{line}: {ended:?}");
        for family in ["ipv4", "ipv6"] {
            let part = format!("portlease: refused: 4000/udp ({family}): udp port 4000 could not be mapped: ");
            assert!(ended.stderr.contains(&part), "{line}: {}", ended.stderr);
        }
    }
}

#[test]
fn detaching_both_waits_for_each_port() {
    let Some(gateway) = gateway_ipv6() else { return };
    let ended = run_at(&gateway, "map 4000/udp 4001/tcp --family both --detach --json");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let left = ended.json().into_iter().filter(|event| event["event"] == "detached");
    let mut left: Vec<_> = left.map(|event| format!("{} {}", event["family"], event["external"])).collect();
    left.sort();
    assert_eq!(
        left,
        [
            r#""ipv4" "192.0.1.1:4000""#,
            r#""ipv4" "192.0.1.1:4001""#,
            r#""ipv6" "[::1]:4000""#,
            r#""ipv6" "[::1]:4001""#
        ]
    );
    assert_eq!(gateway.mappings().len(), 4);
}

#[test]
fn a_family_that_fails_beside_one_that_works_is_told_once_for_each_reason() {
    let Some(gateway) = gateway_ipv6_with(Faults { pcp_ipv6: Mode::Off, ..Faults::default() }) else { return };
    let running = start_at(&gateway, "map 4000/udp --family both --json --protocol pcp");
    running.event("installed");
    for _ in 0..2 {
        assert_eq!(running.event("failed")["family"], "ipv6", "programs read each");
    }
    let ended = running.interrupt();
    assert_eq!(ended.stderr.matches("4000/udp (ipv6): ").count(), 1, "{}", ended.stderr);
}

#[test]
fn after_a_crash_the_pinhole_is_taken_up_again() {
    let Some(gateway) = gateway_ipv6() else { return };
    let folder = Folder::new("ipv6-crash");
    let line = format!("map 4000/udp --family ipv6 --json --protocol pcp --state-dir {}", folder.path().display());
    for _ in 0..2 {
        let running = start_at(&gateway, &line);
        running.event("installed");
        running.crash();
        assert_eq!(pinholes(&gateway), 1);
    }
    let running = start_at(&gateway, &line);
    running.event("installed");
    assert_eq!(running.interrupt().status, Some(3), "as above");
    assert_eq!(pinholes(&gateway), 0);
}

#[test]
fn unmap_closes_what_detach_left_by_either_protocol() {
    let Some(gateway) = gateway_ipv6() else { return };
    let folder = Folder::new("ipv6-unmap");
    let record = format!("--state-dir {}", folder.path().display());
    for (protocol, said) in [("pcp", "closed by pcp: it led to [::1]:4000"), ("upnp", "closed by upnp, if it was open")]
    {
        let only = format!("--protocol {protocol}");
        run_at(&gateway, &format!("map 4000/udp --family ipv6 --detach {only} {record}"));
        assert_eq!(pinholes(&gateway), 1);
        let ended = run_at(&gateway, &format!("unmap 4000/udp --family ipv6 {record}"));
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(ended.text().starts_with(&format!("4000/udp (ipv6) {said}")), "{ended:?}");
        assert_eq!(pinholes(&gateway), 0, "{protocol}");
    }
}

#[test]
fn unmap_of_both_removes_both() {
    let Some(gateway) = gateway_ipv6() else { return };
    run_at(&gateway, "map 4000/both --family both --detach");
    assert_eq!(gateway.mappings().len(), 4);
    let ended = run_at(&gateway, "unmap 4000/both --family both --json");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let families: Vec<_> = ended.json().iter().map(|removed| removed["family"].clone()).collect();
    assert_eq!(families, ["ipv4", "ipv6", "ipv4", "ipv6"]);
    assert!(gateway.mappings().is_empty());
}

#[test]
fn without_upnp_and_without_a_record_unmap_says_why_it_cannot_close() {
    let Some(gateway) = gateway_ipv6_with(Faults { upnp: Mode::Off, ..Faults::default() }) else { return };
    run_at(&gateway, "map 4000/udp --family ipv6 --detach");
    let ended = run_at(&gateway, "unmap 4000/udp --family ipv6");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(ended.stderr.contains("udp port 4000 could not be closed: pcp: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("none is on record"), "{}", ended.stderr);
}

#[test]
fn list_shows_the_pinholes_on_record_and_says_that_no_router_does() {
    let Some(gateway) = gateway_ipv6() else { return };
    let folder = Folder::new("ipv6-list");
    let record = format!("--state-dir {}", folder.path().display());
    let list = |line: &str| {
        let mut command = command(&format!("list {line} {record}"));
        command.args(upnp_flags(&gateway));
        start(command).end()
    };
    let nothing = list("--family ipv6");
    assert_eq!((nothing.status, nothing.stdout.len()), (Some(0), 1), "{nothing:?}");
    assert!(nothing.text().contains("none of this machine are on record"), "{nothing:?}");

    let running = start_at(&gateway, &format!("map 4000/udp --family both --json --protocol pcp {record}"));
    running.event("installed");
    running.event("installed");
    run_at(&gateway, &format!("map 4001/tcp --family ipv6 --detach --protocol pcp {record}"));
    let ended = list("--family ipv6");
    assert_eq!((ended.status, ended.stdout.len()), (Some(0), 4), "{ended:?}");
    let row = |port: &str| ended.stdout.iter().find(|line| line.starts_with(port)).unwrap();
    let (held, left) = (row("4000/udp"), row("4001/tcp"));
    assert!(held.contains("[::1]:4000") && held.ends_with("held by a program that runs"), "{held}");
    assert!(left.contains("left on purpose, ends within ") && left.contains("pcp"), "{left}");

    let both: Vec<_> = list("--family both --json").json().iter().map(|entry| entry["family"].clone()).collect();
    assert_eq!(both.iter().filter(|family| *family == "ipv6").count(), 2, "{both:?}");
    assert_eq!(both.iter().filter(|family| *family == "ipv4").count(), 1, "{both:?}");
    assert_eq!(running.interrupt().status, Some(0));

    let without = run("list --family ipv6");
    assert_eq!((without.status, without.stdout.len()), (Some(0), 1), "{without:?}");
    assert!(without.text().contains("without a --state-dir"), "{without:?}");
}

#[test]
fn list_of_both_shows_the_record_of_a_router_without_upnp() {
    let gateway = gateway_with(Faults { upnp: Mode::Off, ..Faults::default() });
    let mut command = command("list --family both");
    command.args(upnp_flags(&gateway));
    let ended = start(command).end();
    assert_eq!((ended.status, ended.stdout.len()), (Some(0), 1), "{ended:?}");
    assert!(ended.stderr.contains("pcp and nat-pmp cannot"), "{}", ended.stderr);
}

#[test]
fn doctor_shows_both_families_and_closes_its_pinhole() {
    let Some(gateway) = gateway_ipv6() else { return };
    let ended = run_at(&gateway, "doctor");
    let text = ended.text();
    assert_eq!(ended.status, Some(0), "{text}");
    let (ipv4, ipv6) = text.split_once("\n\nIPv6\n").unwrap_or_else(|| panic!("{text}"));
    assert!(ipv4.contains("\n\nIPv4\nRouter           127.0.0.1\n"), "{text}");
    for part in [
        "Router           ::1\n",
        "This machine     ::1\n",
        "pcp              yes  answers in ",
        "upnp             yes",
    ] {
        assert!(ipv6.contains(part), "`{part}` is not in\n{ipv6}");
    }
    assert!(!ipv6.contains("nat-pmp"), "{ipv6}");
    assert!(ipv6.contains("/udp mapped to [::1]:") && ipv6.contains(" ms, and removed"), "{ipv6}");
    // The internet does not know the loopback address.
    assert!(ipv6.contains("An IPv6 port was opened by pcp and closed again, but ::1 is a reserved address"), "{ipv6}");
    assert!(gateway.mappings().is_empty());
    let (_, report) = report(&gateway, "");
    assert_eq!(report["families"], json!(["ipv4", "ipv6"]), "{report}");
    let test = &report["ipv6"]["test_mapping"];
    assert!(test["ok"] == true && test["elapsed_ms"].is_number() && test["release"] == "released", "{report}");
}

fn report(gateway: &Gateway, line: &str) -> (Option<i32>, Value) {
    let ended = run_at(gateway, &format!("doctor --json {line}"));
    (ended.status, parse(&ended.stdout[0]))
}

#[test]
fn doctor_says_why_a_firewall_opens_nothing() {
    let Some(gateway) = gateway_ipv6() else { return };
    let off = Faults { firewall_disabled: true, ..Faults::default() };
    let none = Faults { no_firewall_service: true, ..Faults::default() };
    for (faults, line, part) in [
        (refused(), "--protocol upnp", "The router refuses to open IPv6 ports."),
        (refused(), "--protocol pcp", "The router answers, but refuses to open an IPv6 port."),
        (off, "--protocol upnp", "its IPv6 firewall is switched off"),
        (none, "--protocol upnp", "The router opens no IPv6 ports, as far as it answers."),
    ] {
        gateway.set_faults(faults);
        let (status, report) = report(&gateway, line);
        assert_eq!((status, &report["families"]), (Some(0), &json!(["ipv4"])), "IPv4 works: {report}");
        let verdict = report["ipv6"]["verdict"].as_str().unwrap();
        assert!(verdict.contains(part), "{verdict}");
        let open = verdict.contains("An open firewall cannot be told from a closed one by asking.");
        assert!(open || verdict.contains("switched off"), "{verdict}");
    }
}

#[test]
fn doctor_without_a_test_mapping_opens_no_pinhole() {
    let Some(gateway) = gateway_ipv6() else { return };
    let (status, report) = report(&gateway, "--no-map");
    assert_eq!((status, report["ipv6"]["test_mapping"].is_null()), (Some(0), true), "{report}");
    assert!(report["ipv6"]["verdict"].as_str().unwrap().contains("was not tried"), "{report}");
    let opened = gateway.counters().0.into_iter().filter(|(name, _)| name == "pcp_map" || name == "soap_AddPinhole");
    assert_eq!(opened.count(), 0);
}

#[test]
fn doctor_is_content_with_ipv6_alone() {
    let Some(gateway) = gateway_ipv6() else { return };
    gateway.update_faults(|faults| (faults.granted_port, faults.nat_pmp) = (None, Mode::Off));
    gateway.update_faults(|faults| {
        faults.soap_errors = [("AddPortMapping".to_owned(), 606), ("AddAnyPortMapping".to_owned(), 606)].into();
    });
    let (status, report) = report(&gateway, "--protocol upnp");
    assert_eq!(
        (status, &report["families"], &report["mappable"]),
        // The internet does not know the loopback address; without a port that was opened it would be 1.
        (Some(3), &json!(["ipv6"]), &json!(false)),
        "{report}"
    );
}
