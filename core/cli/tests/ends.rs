//! How `portlease map` ends: what it hears, what it leaves on the router, and what it says about that.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::*;
use portlease_gateway::{Faults, Mode};
use serde_json::json;

/// Maps two ports, and looks that both are released after this.
#[track_caller]
fn releases_after(ask_to_end: impl FnOnce(&Running)) {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp 4000/tcp");
    running.line();
    running.line();
    assert_eq!(gateway.mappings().len(), 2);
    ask_to_end(&running);
    let ended = running.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("4000/udp released") && ended.text().contains("4000/tcp released"));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn ctrl_c_releases() {
    releases_after(Running::press_ctrl_c);
}

/// Windows has no such signal.
#[cfg(unix)]
#[test]
fn sigterm_releases() {
    releases_after(|running| running.signal("TERM"));
}

/// Windows has no such signal.
#[cfg(unix)]
#[test]
fn sigquit_releases() {
    releases_after(|running| running.signal("QUIT"));
}

#[test]
fn ctrl_c_before_anything_was_mapped_is_status_1() {
    let gateway = gateway_with(refusing());
    let running = start_at(&gateway, "map 4000/udp");
    running.complaint("portlease: refused:");
    running.press_ctrl_c();
    let ended = running.end();
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("no port was mapped"), "{}", ended.stderr);
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --protocol upnp");
    running.line();
    gateway.set_faults(Faults { upnp: Mode::Silent, ..Faults::default() });
    running.press_ctrl_c();
    running.complaint("releasing");
    running.press_ctrl_c();
    let ended = running.end();
    assert_eq!(ended.status, Some(4));
    assert!(
        ended.stderr.contains(
            "portlease: warning: 4000/udp: left before the router confirmed that it is released; \
             it may stay mapped until "
        ),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_router_that_went_away_does_not_keep_it_from_ending() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp");
    running.line();
    drop(gateway);
    running.press_ctrl_c();
    let ended = running.end();
    assert_eq!(ended.status, Some(4), "what is left on the router is not known: {ended:?}");
    assert!(ended.stderr.contains("the router did not confirm that it is released"), "{}", ended.stderr);
}

#[test]
fn only_the_ports_that_may_be_left_are_named() {
    let gateway =
        gateway_with(Faults { soap_errors: [("DeletePortMapping".to_owned(), 501)].into(), ..Faults::default() });
    let left = start_at(&gateway, "map 4000/udp --protocol upnp --ttl 10m");
    left.line();
    let ended = left.interrupt();
    assert_eq!(ended.status, Some(4), "{ended:?}");
    assert!(!ended.text().contains("released"), "{ended:?}");
    let warning = "portlease: warning: 4000/udp: the router did not confirm that it is released: ";
    assert!(ended.stderr.contains(warning) && ended.stderr.contains("; it may stay mapped until "), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("warning").count(), 1, "{}", ended.stderr);
}

#[test]
fn programs_are_told_which_ports_may_be_left_and_until_when() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp --json --ttl 10m");
    running.event("installed");
    drop(gateway);
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    running.press_ctrl_c();
    let left = running.event("unconfirmed");
    assert_eq!((&left["internal_port"], &left["external_port"]), (&json!(4000), &json!(4000)), "{left}");
    let ends = left["expires_at"].as_u64().unwrap();
    assert!((before + 500..before + 660).contains(&ends), "{left}");
    assert_eq!(running.end().status, Some(4));
}

#[test]
fn a_router_that_ignores_the_delete_is_status_4() {
    for protocol in ["pcp", "nat-pmp", "upnp"] {
        let gateway = gateway();
        let running = start_at(&gateway, &format!("map 4000/udp --protocol {protocol}"));
        running.line();
        gateway.set_faults(Faults {
            pcp: Mode::Silent,
            nat_pmp: Mode::Silent,
            upnp: Mode::Silent,
            ..Faults::default()
        });
        let ended = running.interrupt();
        assert_eq!(ended.status, Some(4), "{protocol}: {ended:?}");
        assert!(ended.stderr.contains("the router did not confirm that it is released"), "{protocol}: {ended:?}");
    }
}

#[test]
fn a_router_that_misses_the_delete_at_first_is_asked_again() {
    for protocol in ["pcp", "nat-pmp"] {
        let gateway = gateway();
        let running = start_at(&gateway, &format!("map 4000/udp --protocol {protocol}"));
        running.line();
        // More than are sent within the second after which a delete is given up.
        gateway.set_faults(Faults { drop_next: 4, ..Faults::default() });
        let ended = running.interrupt();
        assert_eq!(ended.status, Some(0), "{protocol}: {ended:?}");
        assert!(ended.text().contains("4000/udp released"), "{protocol}: {ended:?}");
        assert!(gateway.mappings().is_empty());
    }
}

/// It is told by a signal that Windows does not have.
#[cfg(unix)]
#[test]
fn a_closed_terminal_releases() {
    let gateway = gateway();
    let mut command = hearing_hangups(env!("CARGO_BIN_EXE_portlease"));
    command.args(["map", "4000/udp"]).args(flags(&gateway));
    let running = start(command);
    running.line();
    running.signal("HUP");
    let ended = running.end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("4000/udp released"));
    assert!(gateway.mappings().is_empty());
}

/// Windows has neither the signal nor the shell.
#[cfg(unix)]
#[test]
fn started_with_hangups_ignored_it_outlives_its_terminal() {
    let gateway = gateway();
    let line = format!("{} map 4000/udp --json --renewal-interval 1", env!("CARGO_BIN_EXE_portlease"));
    for before in ["trap '' HUP; exec", "exec nohup"] {
        let mut shell = homeless("sh");
        shell.args(["-c", &format!("{before} {line} {}", flags(&gateway).join(" "))]);
        let running = start(shell);
        running.event("installed");
        running.signal("HUP");
        // The first may have been on its way before the signal.
        running.event("renewed");
        running.event("renewed");
        assert_eq!(gateway.mappings().len(), 1, "{before}");
        let ended = running.interrupt();
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert!(gateway.mappings().is_empty(), "{before}");
    }
}

#[test]
fn it_releases_when_nobody_reads_its_output_any_more() {
    let gateway = gateway();
    let mut command = command("map 4000/udp --renewal-interval 1");
    let mut child = command.args(flags(&gateway)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("mapped to"), "{line}");
    drop(stdout);
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.is_empty()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
