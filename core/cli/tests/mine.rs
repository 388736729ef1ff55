//! `list --mine` and `unmap --mine`: what leads to this machine.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::SocketAddr;

use common::*;
use portlease_gateway::{Gateway, Transport};

const YES: &str = "unmap --mine --yes";

fn here(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A router with two ports of this machine, one of which is another outside, and one of another machine.
fn shared_gateway() -> Gateway {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, here(4000), Some(600)).unwrap();
    gateway.add_mapping(Transport::Tcp, 80, ([127, 0, 0, 9], 8080).into(), None).unwrap();
    gateway.add_mapping(Transport::Tcp, 5000, here(5000), None).unwrap();
    gateway
}

fn run_in(gateway: &Gateway, folder: &Folder, line: &str) -> Ended {
    let mut command = command(line);
    command.args(flags(gateway)).arg("--state-dir").arg(folder.path());
    start(command).end()
}

fn ports(gateway: &Gateway) -> Vec<u16> {
    let mut ports: Vec<_> = gateway.mappings().iter().map(|mapping| mapping.external_port).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn list_mine_shows_only_what_leads_to_this_machine() {
    let gateway = shared_gateway();
    let list = |line: &str| {
        let mut command = command(line);
        command.args(upnp_flags(&gateway));
        start(command).end()
    };
    let ended = list("list --mine");
    assert_eq!((ended.status, ended.stdout.len()), (Some(0), 3), "{ended:?}");
    assert!(ended.stdout[1..].iter().all(|line| line.contains("(this machine)")), "{ended:?}");
    let json = list("list --mine --json").json();
    assert!(json.len() == 2 && json.iter().all(|entry| entry["this_machine"] == true), "{json:?}");
}

#[test]
fn list_mine_says_that_nothing_leads_to_this_machine() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Tcp, 80, ([127, 0, 0, 9], 8080).into(), None).unwrap();
    let mut command = command("list --mine");
    command.args(upnp_flags(&gateway));
    let ended = start(command).end();
    assert_eq!(ended.text(), "the router at 127.0.0.1 shows no mapped port that leads to this machine");
}

#[test]
fn unmap_mine_shows_and_removes_what_leads_to_this_machine_and_nothing_else() {
    let (gateway, folder) = (shared_gateway(), Folder::new("mine"));
    let ended = run_in(&gateway, &folder, YES);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let line = |text: &str| ended.stdout.iter().position(|line| line.starts_with(text)).unwrap();
    assert!(line("PORT") < line("4100/udp removed by upnp: it led to 127.0.0.1:4000"), "{ended:?}");
    assert!(line("PORT") < line("5000/tcp removed by upnp"), "{ended:?}");
    assert_eq!(ports(&gateway), [80]);
    let ended = run_in(&gateway, &folder, YES);
    assert_eq!(
        (ended.status, ended.text().as_str()),
        (Some(0), "nothing to remove: no entry of the router's table leads to this machine")
    );
}

#[test]
fn unmap_mine_leaves_what_a_running_portlease_holds() {
    let (gateway, folder) = (shared_gateway(), Folder::new("mine-held"));
    let mut map = command("map 6000/udp --json");
    map.args(flags(&gateway)).arg("--state-dir").arg(folder.path());
    let running = start(map);
    running.event("installed");
    let ended = run_in(&gateway, &folder, YES);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let kept = ended.stdout.iter().find(|line| line.starts_with("6000/udp leads to 127.0.0.1:6000 ")).unwrap();
    assert!(kept.ends_with(": stays, because a running portlease holds it"), "{ended:?}");
    assert_eq!(ports(&gateway), [80, 6000]);
    let ended = run_in(&gateway, &folder, &format!("{YES} --json"));
    let json = ended.json();
    assert_eq!((json.len(), &json[0]["event"], &json[0]["external_port"]), (1, &"held".into(), &6000.into()));
    running.crash();
    assert_eq!(run_in(&gateway, &folder, YES).status, Some(0));
    assert_eq!(ports(&gateway), [80], "what a crash has left is removed");
}

#[test]
fn unmap_mine_removes_nothing_unasked() {
    let (gateway, folder) = (shared_gateway(), Folder::new("mine-unasked"));
    for line in ["unmap --mine", "unmap --mine --json"] {
        let ended = run_in(&gateway, &folder, line);
        assert_eq!(ended.status, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("invalid: yes: must be given to remove these 2 mappings"), "{}", ended.stderr);
        assert_eq!(ports(&gateway).len(), 3);
    }
}

#[test]
fn unmap_mine_warns_if_there_is_no_record_to_look_into() {
    let gateway = shared_gateway();
    let ended = run_at(&gateway, YES);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("warning: without a --state-dir it is not known"), "{ended:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_unmap_mine_asks() {
    let folder = Folder::new("mine-asks");
    for (answer, status, left) in [("n", Some(1), 3), ("", Some(1), 3), ("y", Some(0), 1)] {
        let gateway = shared_gateway();
        let mut flags = flags(&gateway);
        flags.extend(["--state-dir".to_owned(), folder.path().display().to_string()]);
        let mut running = start_in_terminal("unmap --mine", &flags, true);
        running.say(answer);
        let ended = running.end();
        assert_eq!((ended.status, ports(&gateway).len()), (status, left), "{answer}: {ended:?}");
        assert!(ended.text().contains("Remove these 2 mappings? Other programs"), "{ended:?}");
    }
}
