//! A real network that changes, in a namespace of its own.

use super::*;
use crate::net::namespace::{in_namespace, interface_up, ip};
use crate::world::{Change, Changes};

/// A bound that is never reached on a machine that works, however busy it is.
const LONG: Duration = Duration::from_secs(30);

/// A machine with a default route, whose mapper has looked at it and attends to the world.
fn attended(test: impl AsyncFnOnce(Changes) + Send) {
    in_namespace(|| {
        for (number, interface) in ["home", "phone"].iter().enumerate() {
            interface_up(interface);
            ip(&format!("addr add 192.168.{number}.10/24 dev {interface}"));
        }
        ip("route add default via 192.168.0.1 metric 100");
        attend(AddressFamily::Ipv4, async |_, changes| test(changes).await);
    });
}

/// Runs `test` while a race for `family`, which has looked at the network, attends to the world.
fn attend(family: AddressFamily, test: impl AsyncFnOnce(&RaceMapper, Changes)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::default();
        let race = Arc::new(RaceMapper::of_family(family, Config::default(), None, world.clone()));
        race.look().unwrap();
        let changes = world.watch();
        let attending = {
            let race = Arc::clone(&race);
            tokio::spawn(async move { race.attend().await })
        };
        tokio::task::yield_now().await;
        test(&race, changes).await;
        attending.abort();
        assert!(attending.await.unwrap_err().is_cancelled());
    });
}

async fn moved(changes: &mut Changes) {
    assert_eq!(tokio::time::timeout(LONG, changes.next()).await.unwrap(), Change::Moved);
}

#[test]
fn another_default_route_is_a_move_though_nobody_asks_for_anything() {
    attended(async |mut changes| {
        ip("route replace default via 192.168.1.1 metric 100");
        moved(&mut changes).await;
    });
}

#[test]
fn another_address_on_the_same_interface_is_a_move() {
    attended(async |mut changes| {
        ip("addr del 192.168.0.10/24 dev home");
        ip("addr add 192.168.0.11/24 dev home");
        ip("route replace default via 192.168.0.1 metric 100");
        moved(&mut changes).await;
    });
}

#[test]
fn the_loss_of_the_route_is_a_move_and_so_is_its_return() {
    attended(async |mut changes| {
        ip("route del default");
        moved(&mut changes).await;
        ip("route add default via 192.168.0.1 metric 100");
        moved(&mut changes).await;
    });
}

/// The same with IPv6 alone, from a stable address of the prefix 1; the race for IPv6 attends to the world.
fn attended6(test: impl AsyncFnOnce(&RaceMapper, Changes) + Send) {
    in_namespace(|| {
        if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        interface_up("home");
        ip("addr add fe80::5/64 dev home nodad");
        ip("addr add 2001:db8:1::5/64 dev home nodad");
        ip("-6 route add default via fe80::1 dev home");
        attend(AddressFamily::Ipv6, test);
    });
}

fn local(race: &RaceMapper) -> Option<String> {
    race.present().map(|gateway| gateway.path.local_address.to_string())
}

#[test]
fn a_new_prefix_and_the_end_of_the_old_one_is_a_move_to_the_new_address() {
    attended6(async |race, mut changes| {
        assert_eq!(local(race).as_deref(), Some("2001:db8:1::5"));
        let path = race.present().unwrap().path;
        race.gateways().prove(&path);
        ip("addr add 2001:db8:2::5/64 dev home nodad valid_lft 3600 preferred_lft 3600");
        ip("addr change 2001:db8:1::5/64 dev home valid_lft 3600 preferred_lft 0");
        moved(&mut changes).await;
        assert_eq!(local(race).as_deref(), Some("2001:db8:2::5"));
        ip("addr del 2001:db8:2::5/64 dev home");
        moved(&mut changes).await;
        assert_eq!(local(race), None, "a deprecated address is no way");
    });
}

#[test]
fn a_new_temporary_address_is_no_move() {
    attended6(async |race, mut changes| {
        for (setting, value) in [("accept_dad", "0"), ("use_tempaddr", "2")] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/home/{setting}"), value).unwrap();
        }
        ip("addr change 2001:db8:1::5/64 dev home mngtmpaddr valid_lft 3600 preferred_lft 3600");
        ip("-6 route replace default via fe80::2 dev home");
        moved(&mut changes).await;
        assert_eq!(local(race).as_deref(), Some("2001:db8:1::5"), "only the other router has moved us");
    });
}
