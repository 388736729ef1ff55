//! `portlease map -- COMMAND` and `--on-change`.
#![cfg(unix)]

mod common;

use std::process::Command;

use common::*;
use portlease_gateway::{Faults, Gateway, Mode, Transport};

/// Runs `portlease map` with the flags that lead to the gateway, and this shell script as the program. It has no terminal, so
/// every signal comes from the test.
fn map_with(gateway: &Gateway, line: &str, script: &str) -> Command {
    let mut command = homeless("setsid");
    command.arg(env!("CARGO_BIN_EXE_portlease")).arg("map").args(line.split_whitespace()).args(flags(gateway));
    command.args(["--", "sh", "-c", script]);
    command
}

/// `map` with a command for `--on-change`.
fn map_and_tell(gateway: &Gateway, line: &str, script: &str) -> Running {
    let mut command = command(&format!("map {line} --json --renewal-interval 1 --on-change"));
    command.arg(script).args(flags(gateway));
    start(command)
}

#[test]
fn a_program_runs_while_its_ports_are_open_and_its_exit_status_is_ours() {
    let gateway = gateway();
    let script = "echo $PORTLEASE_4000_UDP $PORTLEASE_8080_TCP; read line; echo $line; exit 7";
    let mut running = start(map_with(&gateway, "4000/udp,8080:80/tcp", script));
    assert_eq!(running.line(), "192.0.1.1:4000 192.0.1.1:80");
    assert_eq!(gateway.mappings().len(), 2);
    running.say("the program's own stdin");
    let ended = running.end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(7), "the program's own stdin"), "{ended:?}");
    assert!(ended.stderr.contains("4000/udp mapped to 192.0.1.1:4000") && ended.stderr.contains("8080/tcp released"));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_program_runs_even_if_nothing_could_be_mapped() {
    let gateway = gateway_with(refusing());
    let mut command = map_with(&gateway, "4000/udp", "echo \"<$PORTLEASE_4000_UDP$NOTIFY_SOCKET>\"");
    command.env("PORTLEASE_4000_UDP", "198.51.100.1:1").env("NOTIFY_SOCKET", "/nowhere");
    let ended = start(command).end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(0), "<>"), "{ended:?}");
    assert!(ended.stderr.contains("portlease: refused: "), "{ended:?}");
}

#[test]
fn a_router_without_an_address_gives_a_variable_with_the_port_alone() {
    let gateway = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
    let ended = start(map_with(&gateway, "4000/udp --protocol upnp", "echo $PORTLEASE_4000_UDP")).end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(0), ":4000"), "{ended:?}");
}

#[test]
fn with_when_mapped_a_program_waits_for_every_port() {
    let gateway = gateway_with(Faults { port_errors: [(4001, 718)].into(), ..Faults::default() });
    let line = "4000/udp 4001/udp --exact --protocol upnp --when-mapped";
    let running = start(map_with(&gateway, line, "echo $PORTLEASE_4000_UDP $PORTLEASE_4001_UDP"));
    running.complaint("portlease: refused: ");
    assert_eq!(gateway.mappings().len(), 1);
    gateway.set_faults(Faults::default());
    assert_eq!(running.line(), "192.0.1.1:4000 192.0.1.1:4001");
    assert_eq!(running.end().status, Some(0));
}

#[test]
fn with_retry_never_a_port_that_cannot_be_mapped_keeps_a_program_from_starting() {
    let gateway = gateway_with(refusing());
    let ended = start(map_with(&gateway, "4000/udp --retry never", "echo started")).end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(1), ""), "{ended:?}");
}

#[test]
fn a_program_outlives_its_mapping() {
    let gateway = gateway();
    let line = "4000/udp --retry never --ttl 2 --protocol nat-pmp";
    let mut running = start(map_with(&gateway, line, "echo started; read line; exit 5"));
    running.line();
    gateway.set_faults(refusing());
    running.complaint("lost its mapping");
    running.say("");
    assert_eq!(running.end().status, Some(5));
}

#[test]
fn signals_are_passed_on_and_the_program_decides() {
    let gateway = gateway();
    for name in ["INT", "QUIT", "TERM", "HUP"] {
        let script = format!("trap 'echo got {name}; exit 3' {name}; echo ready; while :; do read line; done");
        let mut command = hearing_hangups(env!("CARGO_BIN_EXE_portlease"));
        let whole = map_with(&gateway, "4000/udp", &script);
        // `setsid` as before, but with hangups at their default.
        command = {
            let mut outer = homeless("setsid");
            outer.arg(command.get_program()).args(command.get_args()).args(whole.get_args().skip(1));
            outer
        };
        let running = start(command);
        assert_eq!(running.line(), "ready");
        running.signal(name);
        assert_eq!(running.line(), format!("got {name}"));
        assert_eq!(running.end().status, Some(3));
        assert!(gateway.mappings().is_empty());
    }
}

#[test]
fn a_program_that_a_signal_has_ended_has_128_and_its_number() {
    let gateway = gateway();
    assert_eq!(start(map_with(&gateway, "4000/udp", "kill -KILL $$")).end().status, Some(128 + 9));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_program_that_cannot_be_started_has_the_status_that_shells_have_for_it() {
    let gateway = gateway();
    for (program, status) in [("/nosuch/program", 127), ("nosuchprogram", 127), ("/dev/null", 126), ("/", 126)] {
        let mut command = command("map 4000/udp");
        let ended = start({
            command.args(flags(&gateway)).args(["--", program]);
            command
        })
        .end();
        assert_eq!((ended.status, ended.text().as_str()), (Some(status), ""), "{ended:?}");
        assert!(ended.stderr.contains(&format!("portlease: map: {program} could not be started: ")), "{ended:?}");
        assert!(gateway.mappings().is_empty());
    }
}

#[test]
fn a_program_that_was_not_started_before_the_end_is_status_1() {
    let gateway = gateway_with(Faults { upnp: Mode::Refuse(606), ..Faults::default() });
    let running = start(map_with(&gateway, "4000/udp --protocol upnp --when-mapped", "echo started"));
    running.complaint("portlease: refused: ");
    let ended = running.interrupt();
    assert_eq!((ended.status, ended.text().as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("portlease: map: ended before sh was started"), "{ended:?}");
}

#[test]
fn what_the_router_did_not_release_is_told_and_the_status_stays_the_programs() {
    let gateway = gateway();
    let mut running = start(map_with(&gateway, "4000/udp", "echo started; read line; exit 6"));
    running.line();
    gateway.set_faults(Faults { pcp: Mode::Silent, nat_pmp: Mode::Silent, upnp: Mode::Silent, ..Faults::default() });
    running.say("");
    let ended = running.end();
    assert_eq!(ended.status, Some(6), "{ended:?}");
    assert!(ended.stderr.contains("it may stay mapped"), "{ended:?}");
}

#[test]
fn on_change_runs_for_the_first_address_for_another_one_and_for_none() {
    let gateway = gateway();
    let running = map_and_tell(&gateway, "4000/udp --ttl 2 --protocol nat-pmp", "echo now: $PORTLEASE_4000_UDP.");
    running.complaint("now: 192.0.1.1:4000.");
    gateway.set_external_address(Some([192, 0, 1, 2].into()));
    running.complaint("now: 192.0.1.2:4000.");
    gateway.set_faults(refusing());
    running.complaint("now: .");
    gateway.set_faults(Faults::default());
    running.complaint("now: 192.0.1.2:4000.");
    let ended = running.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.json().iter().all(|event| event.is_object()), "what the command writes is not on stdout");
}

#[test]
fn on_change_runs_once_at_a_time_and_the_latest_address_wins() {
    let gateway = gateway();
    let folder = Folder::new("on-change");
    let (lock, go) = (folder.path().join("lock"), folder.path().join("go"));
    let script = format!(
        "mkdir {0} || echo two at once; echo now: $PORTLEASE_4000_UDP.; until [ -e {1} ]; do sleep 0.01; done; rmdir {0}",
        lock.display(),
        go.display()
    );
    let running = map_and_tell(&gateway, "4000/udp", &script);
    running.complaint("now: 192.0.1.1:4000.");
    for last in [2, 3, 4] {
        gateway.set_external_address(Some([192, 0, 1, last].into()));
        running.event("changed");
    }
    std::fs::write(go, "").unwrap();
    assert_eq!(running.note(), "now: 192.0.1.4:4000.", "and nothing between");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn an_on_change_that_hangs_or_fails_stops_nothing() {
    let gateway = gateway();
    let running = map_and_tell(&gateway, "4000/udp", "exec >/dev/null 2>&1 sleep 20");
    running.event("installed");
    running.event("renewed");
    running.event("renewed");
    let ended = running.interrupt();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(gateway.mappings().is_empty());
    let running = map_and_tell(&gateway, "4000/udp", "exit 9");
    running.complaint("portlease: warning: on-change: `exit 9` ended with exit status: 9");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn a_port_that_is_taken_outside_is_told_to_the_program_as_it_is() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Tcp, 80, ([127, 0, 0, 1], 9).into(), None).unwrap();
    let ended = start(map_with(&gateway, "8080:80/tcp", "echo $PORTLEASE_8080_TCP")).end();
    assert!(ended.text().starts_with("192.0.1.1:") && !ended.text().ends_with(":80"), "{ended:?}");
    assert!(ended.stderr.contains("not port 80 as asked"), "{ended:?}");
}
