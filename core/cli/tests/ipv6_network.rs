//! IPv6 on the command line where the system matters: a machine and a simulated router with a firewall, each in a network
//! namespace. Skipped where no namespaces can be made.
#![cfg(target_os = "linux")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use serde_json::{Value, json};

/// A machine with a cable to its router, which has IPv4 and IPv6.
struct Home {
    machine: String,
    router: String,
    running: Option<Running>,
}

impl Home {
    /// `None`, with a word about it, where that cannot be made. The machine has IPv4, and of IPv6 what the commands give it.
    fn new(ipv6: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("portlease6-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut home = Self { machine: format!("{name}-m"), router: format!("{name}-r"), running: None };
        let (machine, router) = (home.machine.clone(), home.router.clone());
        let made = [&machine, &router].iter().all(|space| ip(&format!("netns add {space}")));
        if !made || !std::path::Path::new("/proc/sys/net/ipv6").exists() {
            eprintln!("skipped: no network namespaces, or no IPv6");
            return None;
        }
        assert!(ip(&format!("-n {machine} link add lan type veth peer name lan netns {router}")));
        for (space, host) in [(&machine, 20), (&router, 1)] {
            assert!(ip(&format!("-n {space} link set lo up")));
            assert!(ip(&format!("-n {space} addr add 192.168.79.{host}/24 dev lan")));
            assert!(ip(&format!("-n {space} link set lan up")));
        }
        assert!(ip(&format!("-n {router} addr add 2600:1::1/64 dev lan nodad")));
        assert!(ip(&format!("-n {machine} route add default via 192.168.79.1")));
        for command in ipv6 {
            assert!(ip(&format!("-n {machine} {command}")), "{command}");
        }
        let mut gateway = inside(&router);
        gateway.args(["gateway", "--bind", "192.168.79.1", "--pcp-port", "5351", "--ssdp-port", "1900"]);
        gateway.args(["--ipv6", "--ipv6-bind", "2600:1::1"]);
        let gateway = start(gateway);
        gateway.event("started");
        home.running = Some(gateway);
        Some(home)
    }

    fn run(&self, line: &str) -> Ended {
        self.start(line).end()
    }

    fn start(&self, line: &str) -> Running {
        let mut command = inside(&self.machine);
        command.args(line.split_whitespace());
        start(command)
    }

    fn doctor(&self) -> (Option<i32>, Value) {
        let ended = self.run("doctor --json --protocol pcp,nat-pmp");
        (ended.status, parse(&ended.stdout[0]))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A namespace lives as long as a process in it.
        self.running.take();
        for space in [&self.machine, &self.router] {
            ip(&format!("netns del {space}"));
        }
    }
}

const ADDRESS: &str = "addr add 2600:1::5/64 dev lan nodad";
/// Of the same link, so that it is a way without an address of the internet.
const ROUTE: &str = "-6 route add default via 2600:1::1 dev lan onlink";

#[test]
fn a_machine_with_ipv6_opens_its_own_address_and_doctor_draws_both_ways() {
    let Some(home) = Home::new(&[ADDRESS, ROUTE]) else { return };
    let running = home.start("map 4000/tcp --family both --json --protocol pcp");
    let mut external = [running.event("installed"), running.event("installed")]
        .map(|event| format!("{} {}", event["external"], event["address_class"]));
    external.sort();
    assert_eq!(external, [r#""192.0.1.1:4000" "public""#, r#""[2600:1::5]:4000" "public""#]);
    assert_eq!(running.interrupt().status, Some(0));

    let (status, report) = home.doctor();
    assert_eq!((status, &report["families"]), (Some(0), &json!(["ipv4", "ipv6"])), "{report}");
    let ipv6 = &report["ipv6"];
    assert_eq!((&ipv6["gateway"], &ipv6["local_address"]), (&json!("2600:1::1"), &json!("2600:1::5")), "{report}");
    let verdict = "An IPv6 port was opened by pcp and closed again: IPv6 ports on this machine can be made reachable.";
    assert_eq!(ipv6["verdict"], verdict);

    let text = home.run("doctor --protocol pcp").text();
    let ways: Vec<_> = text.lines().filter(|line| line.contains("[ app ]")).collect();
    assert!(ways.len() == 2 && ways.iter().all(|way| way.matches("------>").count() == 2), "{text}");
}

#[test]
fn without_ipv6_doctor_says_what_is_missing_and_that_is_no_failure() {
    for (ipv6, why) in [
        (&[ADDRESS][..], "there is no IPv6 default route, so there is no gateway to ask"),
        (&[ROUTE], "interface lan has no global IPv6 address"),
        (&["link set lan addrgenmode none"], "there is no IPv6 default route"),
    ] {
        let Some(home) = Home::new(ipv6) else { return };
        let (status, report) = home.doctor();
        assert_eq!((status, &report["families"]), (Some(0), &json!(["ipv4"])), "{report}");
        let message = report["ipv6"]["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(why), "{message}");
        let verdict = report["ipv6"]["verdict"].as_str().unwrap();
        assert!(verdict.starts_with(&format!("IPv6 does not work here: {why}")), "{verdict}");
    }
}

#[test]
fn without_ipv6_it_is_unavailable_alone_and_told_once_beside_ipv4() {
    let Some(home) = Home::new(&[]) else { return };
    let alone = home.run("map 4000/udp --family ipv6 --retry never");
    assert_eq!(alone.status, Some(1), "{alone:?}");
    let said = "portlease: unavailable: 4000/udp (ipv6): there is no IPv6 default route";
    assert!(alone.stderr.starts_with(said), "{}", alone.stderr);
    assert!(alone.stderr.contains("\n  try: ask the provider for IPv6"), "{}", alone.stderr);

    let both = home.run("map 4000/udp --family both --for 2 --protocol pcp");
    assert_eq!(both.status, Some(0), "{both:?}");
    assert!(both.text().contains("4000/udp (ipv4) mapped to 192.0.1.1:4000"), "{both:?}");
    assert_eq!(both.stderr.matches(said).count(), 1, "{}", both.stderr);

    assert_eq!(home.run("map 4000/udp --family both --detach").status, Some(0));
    let unmapped = home.run("unmap 4000/udp --family both");
    assert_eq!((unmapped.status, unmapped.stdout.len()), (Some(0), 1), "{unmapped:?}");
    let closed = home.run("unmap 4000/udp --family ipv6");
    assert_eq!(closed.status, Some(1), "{closed:?}");
    assert!(closed.stderr.contains("there is no IPv6 default route"), "{}", closed.stderr);
}

#[test]
fn a_pinhole_that_detach_left_is_closed_by_its_port() {
    let Some(home) = Home::new(&[ADDRESS, ROUTE]) else { return };
    let folder = Folder::new("ipv6-network");
    let record = format!("--state-dir {}", folder.path().display());
    let left = home.run(&format!("map 4000/tcp --family ipv6 --detach --protocol pcp {record}"));
    assert!(left.text().contains("4000/tcp (ipv6) stays mapped to [2600:1::5]:4000 for 1 h more"), "{left:?}");
    let listed = home.run(&format!("list --family ipv6 {record}")).text();
    assert!(listed.contains("4000/tcp  [2600:1::5]:4000  pcp  left on purpose"), "{listed}");
    let closed = home.run(&format!("unmap 4000/tcp --family ipv6 {record}"));
    assert_eq!(closed.text(), "4000/tcp (ipv6) closed by pcp: it led to [2600:1::5]:4000");
}
