//! What `portlease map` records, and what the next start makes of it after a crash.

mod common;

use std::path::Path;

use common::*;
use portlease_gateway::{Faults, Gateway, Transport};
use serde_json::{Value, json};

/// What names the folder below which state is kept by default.
const HOME: &str = if cfg!(windows) { "LOCALAPPDATA" } else { "HOME" };

/// Starts `map` with this folder.
fn start_with(gateway: &Gateway, folder: &Path, line: &str) -> Running {
    let mut command = command(&format!("map {line} --json"));
    command.args(flags(gateway)).arg("--state-dir").arg(folder);
    start(command)
}

#[test]
fn after_a_crash_the_next_start_gets_the_same_external_port() {
    for protocol in ["pcp", "nat-pmp", "upnp"] {
        let (gateway, folder) = (gateway(), Folder::new("same-port"));
        // Another host has the wished port, so the router gives another one.
        gateway.add_mapping(Transport::Udp, 4000, ([127, 0, 0, 9], 4000).into(), None).unwrap();
        let line = format!("4000/udp --protocol {protocol}");
        let mut ports: Vec<Value> = Vec::new();
        for _ in 0..3 {
            let running = start_with(&gateway, folder.path(), &line);
            ports.push(running.event("installed")["external_port"].clone());
            running.crash();
        }
        assert!(ports.iter().all(|port| *port == ports[0] && *port != json!(4000)), "{protocol}: {ports:?}");
        assert_eq!(gateway.mappings().len(), 2, "{protocol}: one of ours, and the other host's");
    }
}

#[test]
fn what_nobody_wants_any_more_is_deleted_at_the_next_start() {
    let (gateway, folder) = (gateway(), Folder::new("unwanted"));
    let running = start_with(&gateway, folder.path(), "4000/udp 4001/udp");
    running.event("installed");
    running.event("installed");
    running.crash();
    assert_eq!(gateway.mappings().len(), 2);
    let running = start_with(&gateway, folder.path(), "4002/udp");
    running.event("installed");
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.len() == 1), "{:?}", gateway.mappings());
    assert_eq!(gateway.mappings()[0].internal.port(), 4002);
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn a_program_that_runs_is_no_crash() {
    let (gateway, folder) = (gateway(), Folder::new("running"));
    let first = start_with(&gateway, folder.path(), "4000/udp");
    first.event("installed");
    let second = start_with(&gateway, folder.path(), "4001/udp");
    second.event("installed");
    assert_eq!(second.interrupt().status, Some(0));
    assert_eq!(gateway.mappings().len(), 1, "that of the first");
    assert_eq!(first.interrupt().status, Some(0));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn what_was_left_on_purpose_is_left() {
    let (gateway, folder) = (gateway(), Folder::new("detached"));
    let mut detach = command("map 4000/udp --detach");
    detach.args(flags(&gateway)).arg("--state-dir").arg(folder.path());
    assert_eq!(start(detach).end().status, Some(0));
    let running = start_with(&gateway, folder.path(), "4001/udp");
    running.event("installed");
    assert_eq!(running.interrupt().status, Some(0));
    assert_eq!(gateway.mappings().len(), 1, "the detached one stays");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_warning_and_the_port_is_mapped() {
    let (gateway, home) = (gateway(), Folder::new("unwritable"));
    // Not even root can make a folder in a file.
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let nowhere = file.join("nowhere");
    let running = start_with(&gateway, &nowhere, "4000/udp");
    let (mut warning, mut installed) = (None, None);
    while warning.is_none() || installed.is_none() {
        let event = running.json();
        match event["event"].as_str() {
            Some("failed") => warning = Some(event),
            Some("installed") => installed = Some(event),
            _ => panic!("{event}"),
        }
    }
    let warning = warning.unwrap_or_default();
    let nowhere = nowhere.display().to_string();
    assert!(warning["message"].as_str().is_some_and(|message| message.contains(&nowhere)), "{warning}");
    assert!(warning.get("internal_port").is_none(), "{warning}");
    running.complaint("portlease: warning: ");
    assert_eq!(running.interrupt().status, Some(0), "a warning is no failure");
}

#[test]
fn the_default_folder_is_the_one_for_state_and_no_state_uses_none() {
    let (gateway, home) = (gateway(), Folder::new("default"));
    let map = |line: &str| {
        let mut command = command(&format!("map 4000/udp --json {line}"));
        command.args(flags(&gateway)).env(HOME, home.path());
        let running = start(command);
        running.event("installed");
        running
    };
    let running = map("--no-state");
    assert_eq!(running.interrupt().status, Some(0));
    assert!(home.names(".").is_empty(), "{:?}", home.names("."));
    let running = map("");
    let below = match (cfg!(windows), cfg!(target_os = "macos")) {
        (true, _) => ".",
        (_, true) => "Library/Application Support",
        _ => ".local/state",
    };
    assert_eq!(home.names(below), ["portlease"]);
    let records = || {
        let names = home.names(&format!("{below}/portlease"));
        names.into_iter().filter(|name| name.ends_with(".leases")).count()
    };
    assert_eq!(records(), 1, "one file for one process");
    assert_eq!(running.interrupt().status, Some(0));
    assert_eq!(records(), 0, "a good end leaves no record");
}

#[test]
fn without_a_home_it_maps_all_the_same_and_says_nothing() {
    let gateway = gateway();
    // Windows names the folder itself, and a relative one is told.
    let homes = [None, Some(""), Some("home"), Some("/nonexistent")];
    for home in homes.into_iter().take(if cfg!(windows) { 2 } else { 4 }) {
        let mut command = command("map 4000/udp --for 1");
        command.args(flags(&gateway));
        if let Some(home) = home {
            command.env(HOME, home);
        }
        let ended = start(command).end();
        assert_eq!(ended.status, Some(0), "{home:?}: {ended:?}");
        assert_eq!(ended.stderr, "releasing, Ctrl-C again to leave at once", "{home:?}");
    }
}

/// On macOS no variable names the folder.
#[cfg(not(target_os = "macos"))]
#[test]
fn a_relative_folder_for_state_is_a_hint_and_not_used() {
    const NAMES_THE_FOLDER: &str = if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_STATE_HOME" };
    let (gateway, home) = (gateway(), Folder::new("relative"));
    let mut command = command("map 4000/udp --for 1");
    command.args(flags(&gateway)).env("HOME", home.path()).env(NAMES_THE_FOLDER, "state").current_dir(home.path());
    let ended = start(command).end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let hint = "portlease: nothing is recorded for a crash: ";
    let why = format!("{hint}{NAMES_THE_FOLDER}: must be an absolute path, not `state`");
    assert_eq!(ended.stderr.matches(&why).count(), 1, "{}", ended.stderr);
    assert!(home.names(".").is_empty(), "{:?}", home.names("."));
}

/// Only Unix keeps HOME when the user changes.
#[cfg(unix)]
#[test]
fn root_writes_nothing_into_the_home_of_a_user() {
    let (gateway, home) = (gateway(), Folder::new("sudo"));
    if std::os::unix::fs::chown(home.path(), Some(4242), None).is_err() {
        eprintln!("skipped: only root can give a folder to another user");
        return;
    }
    let mut command = command("map 4000/udp --for 1");
    command.args(flags(&gateway)).env("HOME", home.path());
    let ended = start(command).end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("belongs to another user"), "{}", ended.stderr);
    assert!(home.names(".").is_empty(), "{:?}", home.names("."));
}

#[test]
fn commands_that_hold_nothing_record_nothing() {
    let (gateway, home) = (gateway_with(Faults::default()), Folder::new("others"));
    for line in ["doctor", "unmap 4000/udp", "unmap 4000/udp --family both", "doctor --repair 4000"] {
        let mut command = command(line);
        command.args(flags(&gateway)).env(HOME, home.path());
        start(command).end();
    }
    for line in ["list", "list --family both"] {
        let mut list = command(line);
        list.args(upnp_flags(&gateway)).env(HOME, home.path());
        start(list).end();
    }
    assert!(home.names(".").is_empty(), "{:?}", home.names("."));
}
