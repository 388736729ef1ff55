//! Lost answers, restarts of the router, and routers whose numbers mean nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::attempt::number_of;
use super::peer::{HOME, Pinholes, Router};
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::peer::{Call, fault, ok};
use crate::error::ErrorKind;
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Transport};
use crate::state::tests::Dir;
use crate::state::{Journal, Store};

const HOUR: Duration = Duration::from_secs(3600);

fn request(port: u16) -> MapRequest {
    MapRequest::new(port, Transport::Udp).family(AddressFamily::Ipv6)
}

/// A router that does what it is asked for, and does not answer the first `count` calls of `action`.
fn loses(action: &'static str, count: usize) -> impl Fn(&Call, &Pinholes) -> Option<String> + Send + Sync + 'static {
    let left = AtomicUsize::new(count);
    move |call, pinholes| {
        let loses = call.action == action && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        loses.then(|| {
            pinholes.act(call);
            String::new()
        })
    }
}

#[tokio::test]
async fn a_pinhole_whose_answer_was_lost_is_closed_when_the_lease_is_abandoned() {
    let Some(router) = Router::start(loses("AddPinhole", 1)).await else { return };
    router.pinholes.open("17", 4001);
    assert_eq!(router.mapper.install(&request(4000), HOUR).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(router.pinholes.of("17 4000"), [(2, 3600)]);
    router.mapper.abandon(&request(4000)).await.unwrap();
    assert_eq!((router.pinholes.of("17 4000"), router.pinholes.count()), (vec![], 1));
    let calls = router.web.calls().len();
    router.mapper.abandon(&request(4000)).await.unwrap();
    assert_eq!(router.web.calls().len(), calls);
}

#[tokio::test]
async fn a_later_grant_settles_a_lost_answer() {
    let Some(router) = Router::start(loses("AddPinhole", 1)).await else { return };
    router.mapper.install(&request(4000), HOUR).await.unwrap_err();
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    router.mapper.abandon(&request(4000)).await.unwrap();
    assert_eq!(router.pinholes.of("17 4000"), [(1, 3600)]);
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.pinholes.count(), 0);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_sent_once_more() {
    let Some(router) = Router::start(loses("DeletePinhole", 1)).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.actions()[1..], ["DeletePinhole 1", "DeletePinhole 1"]);
}

#[tokio::test]
async fn what_a_silent_router_may_hold_cannot_be_abandoned_with_success() {
    let silent = |call: &Call, _: &_| (!call.action.is_empty()).then(String::new);
    let Some(router) = Router::start(silent).await else { return };
    router.mapper.install(&request(4000), HOUR).await.unwrap_err();
    assert_eq!(router.mapper.abandon(&request(4000)).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn after_a_restart_a_renewal_opens_the_pinhole_anew_and_touches_no_other() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    router.pinholes.restart();
    // Another program of this machine has the number by now.
    router.pinholes.open("17", 5000);
    let renewed = router.mapper.renew(&mapping).await.unwrap();
    assert_eq!(number_of(&renewed), Some(2));
    assert_eq!((router.pinholes.of("17 4000"), router.pinholes.of("17 5000")), (vec![(2, 3600)], vec![(1, 3600)]));
    router.mapper.remove(&renewed).await.unwrap();
    assert_eq!((router.pinholes.of("17 4000"), router.pinholes.of("17 5000")), (vec![], vec![(1, 3600)]));
}

#[tokio::test]
async fn after_a_restart_that_was_announced_the_number_alone_closes_nothing() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    router.pinholes.restart();
    router.pinholes.open("17", 5000);
    router.mapper.upnp.ledger.restarted("uuid:test-router");
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!((router.pinholes.of("17 5000"), router.pinholes.count()), (vec![(1, 3600)], 1));
    assert!(!router.actions().contains(&"DeletePinhole 1".to_owned()), "{:?}", router.actions());
}

#[tokio::test]
async fn a_pinhole_that_is_lost_is_opened_again_when_it_is_looked_at() {
    // What routers say of a number that they do not know.
    for code in [704, 402, 606, 501] {
        let unknown = move |call: &Call, pinholes: &Pinholes| {
            let lost = call.action == "UpdatePinhole" && pinholes.count() == 0;
            lost.then(|| fault(code))
        };
        let Some(router) = Router::start(unknown).await else { return };
        let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
        assert_eq!(router.mapper.see(&mapping).await.unwrap(), mapping);
        assert_eq!(router.actions()[1..], ["UpdatePinhole 1 3600"]);
        router.pinholes.restart();
        router.mapper.see(&mapping).await.unwrap();
        assert_eq!(router.pinholes.of("17 4000").len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_router_that_has_lost_the_pinhole_and_opens_none_has_lost_it_for_certain() {
    let full = Arc::new(AtomicBool::new(false));
    let is_full = Arc::clone(&full);
    let rule = move |call: &Call, _: &_| (call.action == "AddPinhole" && is_full.load(Relaxed)).then(|| fault(701));
    let Some(router) = Router::start(rule).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    full.store(true, Relaxed);
    // It does not like to be asked for what it has.
    assert_eq!(number_of(&router.mapper.renew(&mapping).await.unwrap()), Some(1));
    router.pinholes.restart();
    let error = router.mapper.renew(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    assert!(
        error.to_string().starts_with("upnp 701 PinholeSpaceExhausted: the router has lost the pinhole"),
        "{error}"
    );
}

/// A router with pf: it cannot renew, and says so to each of both actions.
fn cannot_renew(call: &Call, pinholes: &Pinholes) -> bool {
    call.action == "UpdatePinhole" || (call.action == "AddPinhole" && pinholes.count() > 0)
}

#[tokio::test]
async fn a_router_that_cannot_renew_is_asked_to_close_the_pinhole_and_to_open_it_again() {
    let pf = |call: &Call, pinholes: &Pinholes| cannot_renew(call, pinholes).then(|| fault(501));
    let Some(router) = Router::start(pf).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    let renewed = router.mapper.renew(&mapping).await.unwrap();
    assert_eq!(router.pinholes.of("17 4000"), [(number_of(&renewed).unwrap(), 3600)]);
    let asked = ["AddPinhole 17 4000 3600", "UpdatePinhole 1 3600", "DeletePinhole 1", "AddPinhole 17 4000 3600"];
    assert_eq!(router.actions()[1..], asked);
    router.mapper.remove(&renewed).await.unwrap();
    assert_eq!(router.pinholes.count(), 0);
}

#[tokio::test]
async fn a_look_at_the_pinhole_of_a_router_that_cannot_renew_leaves_it_as_it_is() {
    let pf = |call: &Call, pinholes: &Pinholes| cannot_renew(call, pinholes).then(|| fault(501));
    let Some(router) = Router::start(pf).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    assert_eq!(router.mapper.see(&mapping).await.unwrap(), mapping);
    assert_eq!(router.mapper.verify(&mapping).await.unwrap(), None);
    assert!(!router.actions().contains(&"DeletePinhole 1".to_owned()), "{:?}", router.actions());
}

#[tokio::test]
async fn a_pinhole_that_could_not_be_renewed_and_is_not_opened_again_is_lost() {
    // It has room for short leases alone once it has closed the pinhole.
    let pf = |call: &Call, pinholes: &Pinholes| {
        let refused = call.action == "AddPinhole" && call.argument("LeaseTime") != "3600";
        (refused || cannot_renew(call, pinholes)).then(|| fault(501))
    };
    let Some(router) = Router::start(pf).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    let longer = PortMapping { requested_ttl: HOUR * 2, ..mapping };
    let error = router.mapper.renew(&longer).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    assert_eq!(router.pinholes.count(), 0);
}

#[tokio::test]
async fn a_router_that_numbers_each_request_anew_keeps_one_pinhole() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    router.pinholes.number_anew();
    let mut mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    for _ in 0..3 {
        mapping = router.mapper.renew(&mapping).await.unwrap();
        assert_eq!(router.pinholes.of("17 4000"), [(number_of(&mapping).unwrap(), 3600)]);
    }
    // Once that is known, the number alone is asked for.
    assert_eq!(router.actions().last().unwrap(), "UpdatePinhole 2 3600");
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.pinholes.count(), 0);
}

#[tokio::test]
async fn where_each_request_is_numbered_anew_what_an_unanswered_one_has_opened_is_not_said_to_be_closed() {
    let Some(router) = Router::start(loses("AddPinhole", 1)).await else { return };
    router.pinholes.number_anew();
    router.mapper.install(&request(4000), HOUR).await.unwrap_err();
    let error = router.mapper.abandon(&request(4000)).await.unwrap_err();
    assert!(error.to_string().contains("another number"), "{error}");
    assert_eq!(router.pinholes.of("17 4000"), [(1, 3600)]);
}

#[tokio::test]
async fn a_look_behind_a_grant_sets_the_lease_that_was_asked_for() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    assert_eq!(router.mapper.verify(&mapping).await.unwrap(), None);
    assert_eq!(router.actions()[1..], ["UpdatePinhole 1 3600"]);
}

#[tokio::test]
async fn a_router_that_has_told_a_wrong_number_once_is_asked_for_the_right_one() {
    let first = AtomicBool::new(true);
    let lies = move |call: &Call, pinholes: &Pinholes| {
        (call.action == "AddPinhole" && first.swap(false, Relaxed)).then(|| {
            pinholes.act(call);
            ok("AddPinhole", &[("UniqueID", "999")])
        })
    };
    let Some(router) = Router::start(lies).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    let seen = router.mapper.verify(&mapping).await.unwrap().unwrap();
    assert_eq!((number_of(&mapping), number_of(&seen)), (Some(999), Some(1)));
    router.mapper.remove(&seen).await.unwrap();
    assert_eq!(router.pinholes.count(), 0);
}

#[tokio::test]
async fn a_router_that_never_knows_the_number_that_it_has_told_has_opened_nothing_that_can_be_relied_on() {
    let lies = |call: &Call, pinholes: &Pinholes| {
        (call.action == "AddPinhole").then(|| {
            pinholes.act(call);
            ok("AddPinhole", &[("UniqueID", "999")])
        })
    };
    let Some(router) = Router::start(lies).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    let error = router.mapper.verify(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    assert!(error.to_string().contains("does not know the pinhole"), "{error}");
    // What may be open is left with the shortest lease.
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.pinholes.of("17 4000"), [(1, 1)]);
}

#[tokio::test]
async fn what_an_earlier_run_has_opened_is_taken_up_or_closed() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let dir = Dir::new();
    let key = request(4000).key();
    let journal = |store: &Arc<Store>| Journal::new(Arc::clone(store), HOME.into(), HOME.into());
    let opened = || super::PinholeMapper::new(super::peer::asking(&router.ssdp));
    let first = opened().kept_in(journal(&Arc::new(dir.store())));
    let mapping = first.install(&request(4000), HOUR).await.unwrap();
    drop(first);
    let next = dir.store();
    next.adopt_all();
    let (_, records) = next.of_port(key);
    let [record] = records.as_slice() else { panic!("{records:?}") };
    for takes_up in [true, false] {
        let second = opened();
        second.require_device_of(record).await.unwrap();
        second.inherit(record);
        if takes_up {
            assert_eq!(second.install(&request(4000), HOUR).await.unwrap(), mapping);
            continue;
        }
        second.abandon(&request(4000)).await.unwrap();
        assert_eq!(router.pinholes.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pinhole_that_has_run_out_is_closed_without_a_request() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    tokio::time::sleep(HOUR + Duration::from_secs(1)).await;
    assert!(router.mapper.table().await.unwrap().is_empty());
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.actions(), ["AddPinhole 17 4000 3600"]);
}
