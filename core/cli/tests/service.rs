//! What a service manager is told by `portlease map`.
#![cfg(target_os = "linux")]

mod common;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use common::*;
use portlease_gateway::Gateway;

/// The next message to this socket.
#[track_caller]
fn message(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    manager.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let length = manager.recv(&mut buffer).expect("a message");
    String::from_utf8(buffer[..length].to_vec()).expect("text")
}

fn start_under(manager: &str, gateway: &Gateway, line: &str) -> Running {
    let mut command = command(line);
    command.args(flags(gateway)).env("NOTIFY_SOCKET", manager);
    start(command)
}

#[test]
fn a_service_manager_is_told_of_the_start_of_changes_and_of_the_end() {
    let gateway = gateway();
    let folder = Folder::new("service");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let running = start_under(path.to_str().unwrap(), &gateway, "map 4000/udp --renewal-interval 1");
    assert_eq!(message(&manager), "READY=1\nSTATUS=4000/udp at 192.0.1.1:4000");
    gateway.set_external_address(Some([192, 0, 1, 2].into()));
    assert_eq!(message(&manager), "STATUS=4000/udp at 192.0.1.2:4000", "and nothing for renewals");
    running.press_ctrl_c();
    assert_eq!(message(&manager), "STOPPING=1\nSTATUS=releasing");
    assert_eq!(running.end().status, Some(0));
}

#[test]
fn a_service_manager_with_an_abstract_socket_is_told_also_if_nothing_is_mapped() {
    let gateway = gateway_with(refusing());
    let name = format!("portlease-test-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let running = start_under(&format!("@{name}"), &gateway, "map 4000/udp");
    assert_eq!(message(&manager), "READY=1\nSTATUS=4000/udp not mapped");
    assert_eq!(running.interrupt().status, Some(1));
}

#[test]
fn it_is_ready_when_each_port_has_its_first_answer() {
    let gateway = gateway();
    let name = format!("portlease-test-both-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let running = start_under(&format!("@{name}"), &gateway, "map 4000/both");
    let mut last = message(&manager);
    while !last.starts_with("READY=1") {
        last = message(&manager);
    }
    assert_eq!(last, "READY=1\nSTATUS=4000/udp at 192.0.1.1:4000, 4000/tcp at 192.0.1.1:4000");
    assert_eq!(running.interrupt().status, Some(0));
}

#[test]
fn a_service_manager_that_is_gone_or_makes_no_sense_is_no_trouble() {
    let gateway = gateway();
    let ended = start_under("/nosuch/socket", &gateway, "map 4000/udp --for 1").end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let ended = start_under("relative", &gateway, "map 4000/udp --for 1").end();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let warning = "portlease: warning: cannot use NOTIFY_SOCKET: `relative` must begin with / or @";
    assert!(ended.stderr.contains(warning), "{ended:?}");
}

/// The unit with the program that is tested, as an instance for `port`, without the manual page, which is not installed here.
fn unit_of(folder: &Folder, port: &str) -> std::path::PathBuf {
    let unit = include_str!("../systemd/portlease@.service");
    assert_eq!((unit.matches("ExecStart=portlease ").count(), unit.matches("Documentation=").count()), (1, 1));
    let unit = unit.replace("ExecStart=portlease ", &format!("ExecStart={} ", env!("CARGO_BIN_EXE_portlease")));
    let path = folder.path().join(format!("portlease@{port}.service"));
    std::fs::write(&path, unit.replace("Documentation=", "#")).expect("a unit that can be written");
    path
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = Folder::new("unit");
    for port in ["4000-udp", "4000\\x2d4010-udp"] {
        let Ok(verified) = homeless("systemd-analyze").arg("verify").arg(unit_of(&folder, port)).output() else {
            return eprintln!("skipped: there is no systemd-analyze");
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !said.contains("portlease@"), "{port}: {said}");
    }
}
