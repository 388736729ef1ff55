//! `portlease map` against a simulated gateway. Most tests end it as users do, with Ctrl-C.

mod common;

use common::*;
use portlease_gateway::{Faults, Mode};
use serde_json::json;

#[test]
fn maps_holds_for_a_time_and_releases() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --for 1");
    let line = running.line();
    assert!(line.starts_with("4000/udp mapped to 192.0.1.1:4000 by pcp for 1 h ("), "{line}");
    assert_eq!(gateway.mappings()[0].internal.to_string(), "127.0.0.1:4000");
    let ended = running.end();
    assert_eq!((ended.status, ended.stdout), (Some(0), vec!["4000/udp released".to_owned()]));
    assert!(ended.stderr.contains("releasing"), "{}", ended.stderr);
    assert!(gateway.mappings().is_empty());
}

#[test]
fn several_ports_have_their_own_external_ports() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/both 8080/tcp --external 4100 --external 4200 --json");
    let mut mapped: Vec<String> = (0..3)
        .map(|_| {
            let event = running.event("installed");
            format!("{}/{} {}", event["internal_port"], event["transport"], event["external"])
        })
        .collect();
    mapped.sort();
    assert_eq!(
        mapped,
        [r#"4000/"tcp" "192.0.1.1:4100""#, r#"4000/"udp" "192.0.1.1:4100""#, r#"8080/"tcp" "192.0.1.1:4200""#]
    );
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn ranges_and_lists_are_mapped_port_by_port() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000-4002/udp,8080:80,8443:443/tcp --json");
    (0..5).for_each(|_| drop(running.event("installed")));
    let mappings = gateway.mappings();
    let mut mapped: Vec<_> =
        mappings.iter().map(|m| format!("{}>{}/{}", m.internal.port(), m.external_port, m.transport)).collect();
    mapped.sort();
    assert_eq!(mapped, ["4000>4000/udp", "4001>4001/udp", "4002>4002/udp", "8080>80/tcp", "8443>443/tcp"]);
    assert_eq!(running.interrupt().status, Some(0));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn an_installed_event_has_every_documented_field() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --ttl 10m");
    let mut event = running.json();
    assert!(event["elapsed_ms"].as_f64().is_some_and(|elapsed| elapsed > 0.0), "{event}");
    event["elapsed_ms"] = json!(1.4);
    assert_eq!(
        event,
        json!({"event": "installed", "transport": "udp", "family": "ipv4", "internal_port": 4000, "external": "192.0.1.1:4000",
               "external_port": 4000, "protocol": "pcp", "ttl": 600, "address_class": "public", "elapsed_ms": 1.4})
    );
    let ended = running.interrupt();
    assert_eq!(ended.json(), [json!({"event": "exited", "transport": "udp", "family": "ipv4", "internal_port": 4000})]);
    assert_eq!(ended.stderr, "", "for programs, what went well is on stdout alone");
}

#[test]
fn each_protocol_can_be_chosen() {
    for protocol in ["pcp", "nat-pmp", "upnp"] {
        let gateway = gateway();
        let running = start_at(&gateway, &format!("map 4000/tcp --json --protocol {protocol}"));
        assert_eq!(running.json()["protocol"], protocol);
        assert_eq!(gateway.mappings()[0].protocol.to_string(), protocol);
        assert_eq!(running.interrupt().status, Some(0));
    }
}

#[test]
fn the_description_shows_in_the_routers_table() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --protocol upnp --description my-game");
    running.line();
    assert_eq!(gateway.mappings()[0].description, "my-game");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn a_lease_is_renewed_and_every_renewal_told() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --renewal-interval 1");
    running.event("installed");
    for _ in 0..2 {
        let event = running.json();
        assert_eq!((&event["event"], &event["external"]), (&json!("renewed"), &json!("192.0.1.1:4000")), "{event}");
    }
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn a_moved_external_address_is_told() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --renewal-interval 1");
    running.event("installed");
    gateway.set_external_address(Some([192, 0, 1, 2].into()));
    assert_eq!(running.event("changed")["external"], "192.0.1.2:4000");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn a_lost_mapping_is_told_with_its_kind_and_mapped_again_when_the_router_lets_us() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --ttl 4 --renewal-interval 1 --protocol nat-pmp");
    running.event("installed");
    gateway.set_faults(refusing());
    let failed = running.event("failed");
    assert_eq!(
        (&failed["kind"], &failed["transport"], &failed["internal_port"]),
        (&json!("refused"), &json!("udp"), &json!(4000))
    );
    let revoked = running.event("revoked");
    assert!(revoked["message"].is_string() && revoked["external"].is_null(), "{revoked}");
    running.complaint("lost its mapping");
    gateway.set_faults(Faults::default());
    running.event("installed");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn with_retry_never_a_refusal_ends_with_status_1_and_its_kind_and_what_to_try() {
    let gateway = gateway_with(refusing());
    let ended = run_at(&gateway, "map 4000/udp --retry never");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    let stderr = ended.stderr;
    assert!(stderr.starts_with("portlease: refused: udp port 4000 could not be mapped: "), "{stderr}");
    assert!(stderr.contains("NOT_AUTHORIZED") && stderr.contains("606"), "{stderr}");
    assert!(stderr.contains("\n  try: allow port mapping"), "{stderr}");
    assert_eq!(stderr.matches("portlease: refused:").count(), 1, "{stderr}");
}

#[test]
fn what_to_try_goes_by_what_the_router_has_answered() {
    let upnp = |code: u16| Faults {
        soap_errors: ["AddPortMapping", "AddAnyPortMapping"].map(|name| (name.to_owned(), code)).into(),
        ..Faults::default()
    };
    let gateway = gateway();
    for (protocol, faults, advice) in [
        ("pcp", Faults { pcp: Mode::Refuse(2), ..Faults::default() }, "allow port mapping for this machine"),
        ("pcp", Faults { pcp: Mode::Refuse(8), ..Faults::default() }, "delete mappings that nobody needs"),
        (
            "nat-pmp",
            Faults { nat_pmp: Mode::Refuse(3), ..Faults::default() },
            "look at the router's internet connection",
        ),
        ("nat-pmp", Faults { nat_pmp: Mode::Refuse(5), ..Faults::default() }, "update the router's software"),
        ("upnp", upnp(718), "ask for another external port"),
        ("upnp", upnp(728), "delete mappings that nobody needs"),
        ("upnp", Faults { upnp: Mode::Off, ..Faults::default() }, "switch on UPnP, NAT-PMP or PCP"),
    ] {
        gateway.set_faults(faults);
        let ended = run_at(&gateway, &format!("map 4000/udp --exact --retry never --protocol {protocol}"));
        let expected = format!("\n  try: {advice}");
        assert!(ended.stderr.contains(&expected), "{protocol}: `{advice}` is not in\n{}", ended.stderr);
    }
}

#[test]
fn with_retry_never_one_refused_port_releases_the_others() {
    let gateway = gateway_with(Faults { port_errors: [(4001, 718)].into(), ..Faults::default() });
    let ended = run_at(&gateway, "map 4000/udp 4001/udp --exact --protocol upnp --retry never");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_failed_event_has_kind_and_message_in_json_and_the_kind_on_stderr() {
    let gateway = gateway_with(refusing());
    let ended = run_at(&gateway, "map 4000/udp --retry never --json");
    let events = ended.json();
    assert_eq!(events[0]["event"], "failed");
    assert_eq!((&events[0]["kind"], &events[0]["transport"]), (&json!("refused"), &json!("udp")));
    assert!(events[0]["message"].as_str().is_some_and(|message| message.contains("NOT_AUTHORIZED")));
    assert_eq!((&events[1]["event"], &events[1]["kind"]), (&json!("exited"), &json!("refused")));
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("portlease: refused:"), "{}", ended.stderr);
}

#[test]
fn by_default_it_goes_on_trying_until_the_router_lets_it() {
    let gateway = gateway_with(Faults { upnp: Mode::Refuse(606), ..Faults::default() });
    let running = start_at(&gateway, "map 4000/udp --protocol upnp");
    running.complaint("portlease: refused:");
    gateway.set_faults(Faults::default());
    assert!(running.line().starts_with("4000/udp mapped to"));
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn the_same_advice_is_given_once() {
    let gateway = gateway_with(Faults { upnp: Mode::Refuse(606), ..Faults::default() });
    let running = start_at(&gateway, "map 4000/udp --protocol upnp");
    assert!(running.note().contains("portlease: refused:"));
    assert!(running.note().contains("try:"));
    assert!(running.note().contains("portlease: refused:"));
    assert!(!running.interrupt().stderr.contains("try:"));
}

#[test]
fn with_for_and_nothing_mapped_the_status_is_1() {
    let gateway = gateway_with(refusing());
    let ended = run_at(&gateway, "map 4000/udp --for 2s");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.ends_with("portlease: refused: no port was mapped before the end"), "{}", ended.stderr);
}

#[test]
fn a_silent_router_is_unavailable() {
    let gateway =
        gateway_with(Faults { pcp: Mode::Silent, nat_pmp: Mode::Silent, upnp: Mode::Silent, ..Faults::default() });
    let ended = run_at(&gateway, "map 4000/udp --retry never");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("portlease: unavailable:") && ended.stderr.contains("try:"), "{}", ended.stderr);
}

#[test]
fn exact_takes_no_other_port() {
    let gateway = gateway();
    let taken = ([127, 0, 0, 1], 9).into();
    gateway.add_mapping(portlease_gateway::Transport::Udp, 4000, taken, None).unwrap();
    let ended = run_at(&gateway, "map 4000/udp --exact --retry never");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("--exact"), "{}", ended.stderr);
    let running = start_at(&gateway, "map 4000/udp --json");
    assert_ne!(running.event("installed")["external"], "192.0.1.1:4000");
    assert_eq!(running.interrupt().status, Some(0));
    assert_eq!(gateway.mappings().len(), 1, "the other's mapping stays");
}

#[test]
fn behind_carrier_grade_nat_a_warning_says_plainly_that_nobody_can_reach_it() {
    let gateway = gateway_with(Faults { cgnat: true, ..Faults::default() });
    let ended = run_at(&gateway, "map 4000/udp --for 1");
    assert_eq!(ended.status, Some(3), "it is mapped and of no use: {ended:?}");
    assert!(ended.stderr.contains("portlease: warning: 4000/udp: 100.64.0.9"), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing on the internet can reach it"), "{}", ended.stderr);
    let running = start_at(&gateway, "map 4000/udp --json");
    assert_eq!(running.event("installed")["address_class"], "cgnat");
    assert_eq!(running.interrupt().status, Some(3));
    let detached = run_at(&gateway, "map 4000/udp --detach");
    assert_eq!(detached.status, Some(3), "{detached:?}");
}

#[test]
fn behind_a_second_router_the_status_is_3_unless_a_public_address_comes_before_the_end() {
    let gateway = gateway();
    gateway.set_external_address(Some([192, 168, 7, 2].into()));
    let running = start_at(&gateway, "map 4000/udp --json --renewal-interval 1");
    assert_eq!(running.event("installed")["address_class"], "private");
    gateway.set_external_address(Some([192, 0, 1, 2].into()));
    running.event("changed");
    gateway.set_external_address(Some([10, 0, 0, 2].into()));
    assert_eq!(running.event("changed")["external"], "10.0.0.2:4000");
    assert_eq!(running.interrupt().status, Some(3));
    gateway.set_external_address(Some([192, 168, 7, 2].into()));
    let running = start_at(&gateway, "map 4000/udp --json --renewal-interval 1");
    running.event("installed");
    gateway.set_external_address(Some([192, 0, 1, 2].into()));
    running.event("changed");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn another_external_port_than_the_one_asked_for_is_warned_about_once() {
    let gateway = gateway();
    let taken = ([127, 0, 0, 1], 9).into();
    gateway.add_mapping(portlease_gateway::Transport::Tcp, 80, taken, None).unwrap();
    let running = start_at(&gateway, "map 8080/tcp --external 80 --json --renewal-interval 1");
    let port = running.event("installed")["external_port"].as_u64().unwrap();
    running.event("renewed");
    let ended = running.interrupt();
    let warning = format!(
        "portlease: warning: 8080/tcp: the router opened port {port}, not port 80 as asked: others must connect to port {port}"
    );
    assert_eq!(ended.stderr.matches(&warning).count(), 1, "{}", ended.stderr);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    gateway.set_faults(Faults { granted_port: Some(4100), ..Faults::default() });
    let ended = run_at(&gateway, "map 4000/udp --for 1");
    assert!(!ended.stderr.contains("as asked"), "nobody has asked for a port: {}", ended.stderr);
}

#[test]
fn detach_leaves_the_mapping_and_says_for_how_long() {
    let gateway = gateway();
    let ended = run_at(&gateway, "map 4000/udp 4001/tcp --detach --ttl 2h");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("4000/udp stays mapped to 192.0.1.1:4000 for 2 h more, until "), "{}", ended.text());
    let left: Vec<u16> = gateway.mappings().iter().map(|mapping| mapping.external_port).collect();
    assert_eq!(left, [4000, 4001]);
}

#[test]
fn detach_tells_programs_when_the_mapping_ends() {
    let gateway = gateway();
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let ended = run_at(&gateway, "map 4000/udp --detach --json --ttl 600");
    let events = ended.json();
    let detached = events.iter().find(|event| event["event"] == "detached").unwrap();
    assert_eq!((&detached["external"], &detached["expires_in"]), (&json!("192.0.1.1:4000"), &json!(600)));
    let ends = detached["expires_at"].as_u64().unwrap();
    assert!((before + 600..before + 660).contains(&ends), "{ends}");
}

#[test]
fn detach_fails_as_a_whole_and_leaves_nothing() {
    let gateway = gateway_with(Faults { port_errors: [(4001, 718)].into(), ..Faults::default() });
    let ended = run_at(&gateway, "map 4000/udp 4001/udp --exact --protocol upnp --detach");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("portlease: refused:"), "{}", ended.stderr);
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_router_that_does_not_know_its_address_is_not_given_one() {
    let gateway = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
    let running = start_at(&gateway, "map 4000/udp --protocol upnp");
    let line = running.line();
    assert!(
        line.starts_with("4000/udp mapped to port 4000 of the router (its address is not known) by upnp"),
        "{line}"
    );
    let warning = running.complaint("warning");
    assert!(warning.contains("it is not known whether the internet can reach it"), "{warning}");
    assert_eq!(running.interrupt().status, Some(0));

    let running = start_at(&gateway, "map 4000/udp --protocol upnp --json");
    let installed = running.event("installed");
    assert_eq!((&installed["external"], &installed["external_port"]), (&json!(null), &json!(4000)), "{installed}");
    assert_eq!(installed["address_class"], "unknown", "{installed}");
    assert_eq!(running.interrupt().status, Some(0));

    let ended = run_at(&gateway, "map 4000/udp --protocol upnp --detach");
    assert!(
        ended.text().contains("stays mapped to port 4000 of the router (its address is not known) for "),
        "{ended:?}"
    );
}

#[test]
fn off_a_terminal_there_are_no_colours() {
    let gateway = gateway_with(Faults { cgnat: true, ..Faults::default() });
    let ended = run_at(&gateway, "map 4000/udp --for 1");
    assert!(!ended.text().contains('\x1b') && !ended.stderr.contains('\x1b'), "{ended:?}");
}

/// A terminal is made by the `script` of util-linux.
#[cfg(target_os = "linux")]
mod terminal {
    use portlease_gateway::Event;

    use super::*;

    #[test]
    fn on_a_terminal_a_live_line_shows_the_time_to_renewal_in_colour() {
        let gateway = gateway();
        let ended = start_in_terminal("map 4000/udp --for 2", &flags(&gateway), false).end();
        let text = ended.text();
        assert!(text.contains("\x1b[32m192.0.1.1:4000\x1b[0m  pcp  renewal in 2"), "{text:?}");
        assert!(text.contains("4000/udp mapped to") && text.contains("4000/udp released"), "{text:?}");
        assert_eq!(ended.status, Some(0));
    }

    #[test]
    fn a_terminal_that_is_closed_releases() {
        let gateway = gateway();
        let running = start_in_terminal("map 4000/udp", &flags(&gateway), false);
        assert!(gateway.wait_for(PATIENCE, |state| !state.mappings.is_empty()));
        running.signal("KILL");
        assert!(gateway.wait_for(PATIENCE, |state| state.mappings.is_empty()));
    }

    #[test]
    fn a_terminal_that_is_gone_when_a_line_is_written_releases_too() {
        let gateway = gateway();
        let events = gateway.events();
        let ignoring = format!("trap '' HUP; exec {} map 4000/udp --ttl 2", env!("CARGO_BIN_EXE_portlease"));
        let mut script = homeless("script");
        script.args(["-q", "-f", "-c", &format!("{ignoring} {}", flags(&gateway).join(" ")), "/dev/null"]);
        script.env("TERM", "xterm");
        let running = start(script);
        assert!(gateway.wait_for(PATIENCE, |state| !state.mappings.is_empty()));
        running.signal("KILL");
        let end = events.find(PATIENCE, |event| matches!(event, Event::Unmapped(_) | Event::Expired(_)));
        assert!(matches!(end, Some(Event::Unmapped(_))), "{end:?}");
    }

    #[test]
    fn a_port_of_a_router_without_an_address_is_shown_as_such() {
        let gateway = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
        let text = start_in_terminal("map 4000/udp --protocol upnp --for 2", &flags(&gateway), true).end().text();
        assert!(
            text.contains("4000/udp  port 4000 of the router (its address is not known)  upnp  renewal"),
            "{text:?}"
        );
    }

    #[test]
    fn no_color_is_respected() {
        let gateway = gateway();
        let text = start_in_terminal("map 4000/udp --for 2", &flags(&gateway), true).end().text();
        assert!(!text.contains("\x1b[32m") && text.contains("4000/udp mapped to"), "{text:?}");
    }
}
