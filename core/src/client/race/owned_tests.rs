//! Two mappers of one process that share a mapping.

use std::net::SocketAddr;

use super::*;
use crate::client::owners::Member;
use crate::client::race::owned::Owned;
use crate::world::Change;

fn owned(client: &Arc<Racer>, world: &World) -> Owned {
    let gateway = SocketAddr::from(([192, 0, 2, 8], 5351));
    let member = Arc::new(Member::new(gateway, [192, 0, 2, 9].into(), Protocol::ALL.to_vec(), world.clone()));
    Owned { client: Arc::clone(client) as _, protocol: Protocol::NatPmp, member, nonces: Nonces::default() }
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_meanwhile_is_told_of_a_delete_also_if_nobody_waits_for_its_answer() {
    let (client, world) = (Arc::<Racer>::default(), World::default());
    let granted = mapping(Protocol::NatPmp, 4000);
    client.on_install(Duration::ZERO, Ok(granted.clone())).on_remove(HOUR, Ok(()));
    let (ends, asks) = (owned(&client, &World::default()), owned(&client, &world));
    ends.install(&REQUEST, HOUR).await.unwrap();
    let mut changes = world.watch();
    let given_up = async {
        assert!(asks.install(&REQUEST, HOUR).await.is_err(), "it has asked, and has nothing");
    };
    let (removed, ()) = tokio::join!(tokio::time::timeout(MS, ends.remove(&granted)), given_up);
    assert!(removed.is_err());
    assert_eq!(changes.take(), Some(Change::Unsure));
}
