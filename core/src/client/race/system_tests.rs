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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::default();
            let race = Arc::new(RaceMapper::of_family(AddressFamily::Ipv4, Config::default(), None, world.clone()));
            race.look().unwrap();
            let changes = world.watch();
            let attending = {
                let race = Arc::clone(&race);
                tokio::spawn(async move { race.attend().await })
            };
            tokio::task::yield_now().await;
            test(changes).await;
            attending.abort();
            assert!(attending.await.unwrap_err().is_cancelled());
        });
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
