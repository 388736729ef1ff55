use std::io::Read;
use std::time::{Duration, Instant};

use super::*;
use crate::net::namespace::{in_namespace, interface_up, ip, ip_batch};
use crate::schedule::NETWORK_QUIET;

/// Runs `test` in a network of its own that has the interface `lan0` with an address and a default route.
fn in_lan(test: impl AsyncFnOnce(Watcher) + Send) {
    in_namespace(|| {
        interface_up("lan0");
        ip("addr add 192.168.1.20/24 dev lan0");
        ip("route add default via 192.168.1.1 dev lan0");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let watcher = Watcher::new(AddressFamily::Ipv4).unwrap();
            assert!(!watcher.heard(), "what was before counts for nothing");
            test(watcher).await;
        });
    });
}

impl Watcher {
    /// Whether a message is there. The kernel delivers before the call that caused it returns.
    fn heard(&self) -> bool {
        self.drain().unwrap()
    }

    async fn wakes(&mut self) {
        tokio::time::timeout(Duration::from_secs(30), self.changed()).await.expect("a wake-up");
        assert!(!self.heard(), "one wake-up takes all messages");
    }
}

#[test]
fn each_change_of_the_way_to_the_router_wakes() {
    in_lan(async |mut watcher| {
        for change in [
            "route add default via 192.168.1.2 dev lan0 metric 50",
            "route del default via 192.168.1.2 dev lan0",
            "addr add 192.168.1.21/24 dev lan0",
            "addr del 192.168.1.21/24 dev lan0",
            // The kernel drops the routes without a word.
            "link set lan0 down",
        ] {
            ip(change);
            watcher.wakes().await;
        }
        ip("link set lan0 up");
        for change in ["route add default via 192.168.1.1 dev lan0", "link del lan0"] {
            ip(change);
            watcher.wakes().await;
        }
    });
}

#[test]
fn each_family_is_woken_by_its_own_addresses_and_routes_alone() {
    in_lan(async |ipv4| {
        let set = |setting, value| std::fs::write(format!("/proc/sys/net/ipv6/conf/lan0/{setting}"), value);
        // Without a link-local address that the kernel makes at a time of its own.
        for (setting, value) in [("disable_ipv6", "1"), ("addr_gen_mode", "1"), ("disable_ipv6", "0")] {
            if set(setting, value).is_err() {
                eprintln!("skipped: this machine has no IPv6");
                return;
            }
        }
        ip("addr add fe80::5/64 dev lan0 nodad");
        let mut ipv6 = Watcher::new(AddressFamily::Ipv6).unwrap();
        for change in [
            "addr add 2001:db8:1::5/64 dev lan0 nodad",
            "addr change 2001:db8:1::5/64 dev lan0 valid_lft 3600 preferred_lft 0",
            "-6 route add default via fe80::1 dev lan0",
            "-6 route del default via fe80::1 dev lan0",
            "addr del 2001:db8:1::5/64 dev lan0",
        ] {
            ip(change);
            ipv6.wakes().await;
            assert!(!ipv4.heard(), "{change}");
        }
        for change in [
            "addr add 192.168.1.21/24 dev lan0",
            "route add default via 192.168.1.2 dev lan0 metric 50",
            "-6 route add 2001:db8:7::/48 dev lan0",
        ] {
            ip(change);
            assert!(!ipv6.heard(), "{change}");
        }
    });
}

#[test]
fn what_cannot_change_the_way_to_the_router_does_not_wake() {
    in_lan(async |watcher| {
        for change in [
            "link add new0 type veth peer name new1",
            "link set new0 up",
            "link set new1 up",
            "link set new0 mtu 1400",
            "route add 10.0.0.0/8 via 192.168.1.7 dev lan0",
            "route add 0.0.0.0/1 via 192.168.1.7 dev lan0",
            "neigh add 192.168.1.9 lladdr 02:00:00:00:00:01 dev lan0",
        ] {
            ip(change);
            assert!(!watcher.heard(), "{change}");
        }
    });
}

#[test]
fn a_thousand_changes_of_other_interfaces_are_a_few_wake_ups() {
    in_lan(async |watcher| {
        for number in 0..10 {
            ip(&format!("link add other{number} type veth peer name far{number}"));
        }
        let changes = (0..50).flat_map(|_| {
            (0..10).flat_map(|number| ["up", "down"].map(|state| format!("link set other{number} {state}")))
        });
        let changes: Vec<String> = changes.collect();
        assert_eq!(changes.len(), 1000);
        let mut watcher = super::super::Watcher(watcher);
        let start = Instant::now();
        let storm = tokio::task::spawn_blocking(move || ip_batch(&changes));
        let mut looks = 0;
        let looking = async {
            loop {
                watcher.changed().await;
                looks += 1;
                watcher.quiet().await;
            }
        };
        tokio::select! {
            () = looking => {}
            done = storm => done.unwrap(),
        }
        let most = 1 + start.elapsed().as_millis() / NETWORK_QUIET.as_millis();
        assert!(looks <= most, "{looks} looks, {most} at most");
    });
}

#[test]
fn lost_messages_are_a_wake_up_and_those_after_them_are_heard() {
    in_lan(async |mut watcher| {
        let storm = || {
            for _ in 0..2 {
                let change = |verb| move |host| format!("addr {verb} 192.168.1.{host}/24 dev lan0");
                ip_batch(&(100..200).map(change("add")).chain((100..200).map(change("del"))).collect::<Vec<_>>());
            }
        };
        storm();
        let mut socket = watcher.socket();
        assert_eq!(socket.read(&mut [0; 16]).unwrap_err().raw_os_error(), Some(libc::ENOBUFS), "it is a storm");
        assert!(watcher.heard());
        storm();
        watcher.wakes().await;
        ip("addr add 192.168.1.21/24 dev lan0");
        watcher.wakes().await;
    });
}

#[test]
fn waiting_can_be_given_up_and_begun_again() {
    in_lan(async |mut watcher| {
        assert!(tokio::time::timeout(Duration::ZERO, watcher.changed()).await.is_err());
        ip("addr add 192.168.1.21/24 dev lan0");
        watcher.wakes().await;
    });
}
