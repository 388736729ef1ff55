//! `-v`, `-vv` and `--log-file`: what happens to mappings and each exchange with the router, beside the answer.

mod common;

use common::*;
use portlease_gateway::Gateway;

/// A line without its time, which is checked: `2026-07-01T12:00:00.123Z DEBUG ...`.
#[track_caller]
fn without_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
    rest
}

#[track_caller]
fn assert_line(lines: &[&str], begins: &str, contains: &str) {
    assert!(
        lines.iter().any(|line| line.starts_with(begins) && line.contains(contains)),
        "{begins} {contains}: {lines:#?}"
    );
}

/// Maps until the first line of stdout, and releases.
#[track_caller]
fn map_and_release(gateway: &Gateway, options: &str) -> (String, Ended) {
    let running = start_at(gateway, &format!("map 4000/udp {options}"));
    let mapped = running.line();
    let ended = running.interrupt();
    assert_eq!(ended.status, Some(0), "{mapped} {ended:?}");
    (mapped, ended)
}

#[test]
fn v_tells_events_and_exchanges_on_stderr_and_leaves_the_json_alone() {
    let gateway = gateway();
    assert_eq!(map_and_release(&gateway, "--json").1.stderr, "");
    let (mapped, ended) = map_and_release(&gateway, "--json -v");
    assert_eq!(parse(&mapped)["event"], "installed");
    let events: Vec<_> = ended.json().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(events, ["exited"], "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().map(without_time).collect();
    assert_line(&lines, "INFO  4000/udp installed: 192.0.1.1:4000 by pcp for 3600 s", "");
    assert_line(&lines, "DEBUG pcp 127.0.0.1:", "MAP udp 4000 -> 4000 for 3600 s: SUCCESS, 192.0.1.1:4000");
    assert_line(&lines, "INFO  4000/udp released: 192.0.1.1:4000 by pcp", "");
    assert!(!lines.iter().any(|line| line.starts_with("TRACE")), "{lines:#?}");
}

#[test]
fn every_command_that_asks_a_router_tells_what_it_asked() {
    let gateway = named_gateway("Box\u{202e}");
    for (line, begins, contains) in [
        ("map 4000/udp --detach -vv", "TRACE pcp 127.0.0.1:", "MAP udp 4000 -> 4000 for 3600 s: asking"),
        ("list -v", "DEBUG upnp 127.0.0.1:", "GetGenericPortMappingEntry PortMappingIndex=0: done"),
        ("unmap 4000/udp -v", "DEBUG upnp 127.0.0.1:", "DeletePortMapping ExternalPort=4000 Protocol=UDP: done"),
        ("doctor -v", "DEBUG nat-pmp 127.0.0.1:", "external address: SUCCESS, 192.0.1.1"),
    ] {
        let mut command = command(line);
        command.args(if line.starts_with("list") { upnp_flags(&gateway) } else { flags(&gateway) });
        let ended = start(command).end();
        assert_eq!(ended.status, Some(0), "{line}: {ended:?}");
        let lines: Vec<_> = ended.stderr.lines().map(without_time).collect();
        assert_line(&lines, begins, contains);
        assert!(!ended.stderr.contains(['\u{202e}', '\x1b']), "{}", ended.stderr);
    }
}

#[test]
fn a_log_file_is_appended_to_and_keeps_stderr_quiet() {
    let (gateway, folder) = (gateway(), Folder::new("log"));
    let file = folder.path().join("portlease.log");
    for turn in 1..=2 {
        let (_, ended) = map_and_release(&gateway, &format!("--log-file {}", file.display()));
        assert!(!ended.stderr.contains("4000/udp"), "{ended:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = text.lines().map(without_time).collect();
        let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!((count("INFO  4000/udp installed"), count("INFO  4000/udp released")), (turn, turn), "{text}");
        assert_line(&lines, "DEBUG pcp 127.0.0.1:", "MAP udp 4000, delete: SUCCESS");
    }
}

/// Only Linux has a file that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_log_file_that_cannot_be_written_is_a_warning_and_the_mapping_goes_on() {
    let (_, ended) = map_and_release(&gateway(), "--log-file /dev/full");
    let warning = "portlease: warning: cannot write the log file any more: ";
    assert_eq!(ended.stderr.matches(warning).count(), 1, "{}", ended.stderr);
}

/// A terminal is made by the `script` of util-linux.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_lines_of_the_log_take_the_place_of_the_status_lines() {
    let gateway = gateway();
    let text = start_in_terminal("map 4000/udp --for 2 -v", &flags(&gateway), true).end().text();
    assert!(text.contains("INFO  4000/udp installed") && !text.contains("renewal in"), "{text:?}");
    // A log that goes elsewhere leaves them alone.
    let text = start_in_terminal("map 4000/udp --for 2 --log-file /dev/null", &flags(&gateway), true).end().text();
    assert!(!text.contains("INFO") && text.contains("renewal in"), "{text:?}");
}
