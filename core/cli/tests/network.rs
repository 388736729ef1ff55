//! `portlease map` when the machine changes networks: two simulated routers in a network namespace, and a machine between
//! them in another. Skipped where no namespaces can be made.
#![cfg(target_os = "linux")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use common::*;
use serde_json::json;

/// A machine with a cable to each of two routers, of which one is plugged in.
struct Home {
    machine: String,
    routers: String,
    /// The routers, in the order of the networks.
    running: Vec<Running>,
}

impl Home {
    const NETWORKS: [&str; 2] = ["77", "78"];

    /// `None`, with a word about it, where that cannot be made.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("portlease-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut home = Self { machine: format!("{name}-m"), routers: format!("{name}-r"), running: Vec::new() };
        let (machine, routers) = (home.machine.clone(), home.routers.clone());
        let made = [&machine, &routers].iter().all(|space| ip(&format!("netns add {space}")));
        if !made {
            eprintln!("skipped: no network namespaces");
            return None;
        }
        for space in [&machine, &routers] {
            assert!(ip(&format!("-n {space} link set lo up")));
        }
        for network in Self::NETWORKS {
            let link = format!("lan{network}");
            assert!(ip(&format!("-n {machine} link add {link} type veth peer name {link} netns {routers}")));
            assert!(ip(&format!("-n {machine} addr add 192.168.{network}.20/24 dev {link}")));
            assert!(ip(&format!("-n {routers} addr add 192.168.{network}.1/24 dev {link}")));
            assert!(ip(&format!("-n {routers} link set {link} up")));
            let mut router = inside(&routers);
            let address = format!("192.168.{network}.1");
            router.args(["gateway", "--bind", &address, "--pcp-port", "5351", "--ssdp-port", "1900"]);
            router.args(["--external-address", &format!("192.0.1.{network}")]);
            let router = start(router);
            router.event("started");
            home.running.push(router);
        }
        home.plug_in("77");
        Some(home)
    }

    fn plug_in(&self, network: &str) {
        let machine = &self.machine;
        assert!(ip(&format!("-n {machine} link set lan{network} up")));
        assert!(ip(&format!("-n {machine} route add default via 192.168.{network}.1 dev lan{network}")));
    }

    /// Takes the default route with it.
    fn unplug(&self, network: &str) {
        assert!(ip(&format!("-n {} link set lan{network} down", self.machine)));
    }

    fn map(&self, line: &str) -> Running {
        let mut command = inside(&self.machine);
        command.arg("map").args(line.split_whitespace());
        start(command)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The routers end first: a namespace lives as long as a process in it.
        self.running.clear();
        for space in [&self.machine, &self.routers] {
            ip(&format!("netns del {space}"));
        }
    }
}

#[test]
fn another_network_is_told_and_the_port_mapped_there() {
    let Some(home) = Home::new() else { return };
    let running = home.map("4000/udp --json");
    assert_eq!(running.event("installed")["external"], "192.0.1.77:4000");
    home.unplug("77");
    home.plug_in("78");
    assert_eq!(running.event("network-changed"), json!({"event": "network-changed"}));
    assert_eq!(running.event("installed")["external"], "192.0.1.78:4000");
    running.interrupt();
    // What may be left on the other router, which cannot be reached, does not matter here.
    assert_eq!(home.running[1].event("unmapped")["external_port"], 4000);
}

#[test]
fn people_read_that_the_network_has_changed() {
    let Some(home) = Home::new() else { return };
    let running = home.map("4000/udp");
    assert!(running.line().starts_with("4000/udp mapped to 192.0.1.77:4000"));
    home.unplug("77");
    home.plug_in("78");
    // Unplugged may be a network of its own, or none.
    let told: Vec<String> = std::iter::repeat_with(|| running.line())
        .take_while(|line| !line.starts_with("4000/udp mapped to 192.0.1.78:4000"))
        .collect();
    assert!(!told.is_empty() && told.iter().all(|line| line == "the network changed"), "{told:?}");
    let ended = running.interrupt();
    assert_eq!(ended.stderr.matches("4000/udp lost its mapping").count(), 1, "{}", ended.stderr);
}
