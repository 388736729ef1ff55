//! Deletes that fail, and what becomes of the entry: it is tried again, it follows the device, and it keeps no other lease
//! from its port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use super::peer::{Call, IP1, IP2, Ssdp, Web, description_of, fault, mapper, page};
use super::peer_table::{DESCRIPTION, Table, line, router};
use crate::client::port_mapper::PortMapperClient;
use crate::error::ErrorKind;
use crate::mapping::{MapRequest, Transport};

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
/// Another lease that insists on the same external port.
const ANOTHER: MapRequest = MapRequest::new(4001, Transport::Udp).external_port(4000).exact();
const LOOK: &str = "GetSpecificPortMappingEntry";

/// A router that does what `action` asks for and does not answer, as often as the counter says.
fn loses_answers(action: &'static str, times: u16) -> impl Fn(&Call, &Table) -> Option<String> + Send + Sync + 'static {
    let left = AtomicU16::new(times);
    move |call, table| {
        let lost = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        (call.action == action && lost()).then(|| {
            table.act(call);
            String::new()
        })
    }
}

/// A router that refuses deletes with this code; 0 is none.
fn refuses_deletes(code: &Arc<AtomicU16>) -> impl Fn(&Call, &Table) -> Option<String> + Send + Sync + 'static {
    let code = Arc::clone(code);
    move |call, _| {
        let code = code.load(Ordering::Relaxed);
        (call.action == "DeletePortMapping" && code > 0).then(|| fault(code))
    }
}

/// The router of `udn`, which comes up at another port with what is in `table`. A blind one does not tell of single entries.
async fn restarted(udn: &'static str, table: &Table, blind: bool) -> Web {
    let services = [(IP1, "/ctl")];
    let of_the_web = table.clone();
    Web::start(&services, move |call| match &*call.action {
        "" => Some(page(&description_of(udn, &services))),
        LOOK if blind => Some(fault(401)),
        _ => of_the_web.act(call),
    })
    .await
}

#[tokio::test]
async fn doubts_follow_the_device_to_its_new_port_with_one_search_and_go_to_no_other_device() {
    for (udn, same) in [("uuid:test-router", true), ("uuid:another-router", false), ("", false)] {
        let (table, first, ssdp, mapper) = router(loses_answers("AddPortMapping", 2)).await;
        mapper.install(&REQUEST, HOUR).await.unwrap_err();
        mapper.install(&REQUEST.external_port(5000), HOUR).await.unwrap_err();
        assert_eq!(table.ports(), [4000, 5000]);
        drop(first);
        let second = restarted(udn, &table, false).await;
        ssdp.announce(&second.location());
        let searches = ssdp.searches();
        let outcome = mapper.abandon(&REQUEST).await;
        assert_eq!((outcome.is_ok(), table.ports().is_empty()), (same, same), "{udn}: {outcome:?}");
        assert!(same || second.changes().is_empty());
        assert_eq!(second.calls().iter().filter(|call| call.action.is_empty()).count(), 1, "one search for both");
        assert!(ssdp.searches() > searches);
    }
}

#[tokio::test]
async fn a_port_that_the_router_chose_and_did_not_tell_is_deleted_at_the_devices_new_port() {
    let table = Table::default();
    let of_the_web = table.clone();
    let web = Web::start(&[(IP2, "/ctl")], move |call| match &*call.action {
        "AddAnyPortMapping" => {
            of_the_web.put(40_007, line("127.0.0.1", 4000, 3600, DESCRIPTION));
            Some(String::new())
        }
        _ => of_the_web.act(call),
    })
    .await;
    table.put(4000, line("192.168.1.99", 4000, 0, "x"));
    let ssdp = Ssdp::start(vec![web.location()]).await;
    let mapper = mapper(&ssdp);
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    drop(web);
    let error = mapper.abandon(&REQUEST).await.unwrap_err().to_string();
    assert!(error.contains("the external port that it chose for internal port 4000 was not deleted"), "{error}");
    let second = restarted("uuid:test-router", &table, false).await;
    ssdp.announce(&second.location());
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [4000]);
}

#[tokio::test]
async fn a_mapping_whose_delete_failed_is_deleted_when_the_lease_is_abandoned() {
    for code in [402, 501] {
        let refused = Arc::new(AtomicU16::new(code));
        let (table, web, _ssdp, mapper) = router(refuses_deletes(&refused)).await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert_eq!(mapper.remove(&mapping).await.unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(mapper.abandon(&REQUEST).await.unwrap_err().kind(), ErrorKind::Refused);
        refused.store(0, Ordering::Relaxed);
        mapper.abandon(&REQUEST).await.unwrap();
        assert!(table.ports().is_empty());
        let calls = web.calls().len();
        mapper.abandon(&REQUEST).await.unwrap();
        assert_eq!(web.calls().len(), calls, "nothing is left to be deleted");
    }
}

#[tokio::test]
async fn a_port_whose_delete_was_not_confirmed_is_free_for_another_lease_once_the_router_has_lost_the_entry() {
    let refused = Arc::new(AtomicU16::new(501));
    let (table, _web, _ssdp, mapper) = router(refuses_deletes(&refused)).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.remove(&mapping).await.unwrap_err();
    table.clear();
    assert_eq!(mapper.install(&ANOTHER, HOUR).await.unwrap().external.port(), 4000);
    // The lease that is over has nothing there any more.
    mapper.abandon(&REQUEST).await.unwrap();
    mapper.remove(&mapping).await.unwrap();
    assert_eq!(table.get(4000).map(|line| line.port), Some(4001));
}

#[tokio::test]
async fn an_entry_that_no_lease_holds_is_taken_over_by_another_lease_and_one_that_cannot_be_deleted_is_not() {
    let refused = Arc::new(AtomicU16::new(501));
    let (table, web, _ssdp, mapper) = router(refuses_deletes(&refused)).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.remove(&mapping).await.unwrap_err();
    let error = mapper.install(&ANOTHER, HOUR).await.unwrap_err();
    assert!(error.to_string().contains("still leads to port 4000 of this host"), "{error}");
    assert_eq!(table.get(4000).map(|line| line.port), Some(4000));
    refused.store(0, Ordering::Relaxed);
    assert_eq!(mapper.install(&ANOTHER, HOUR).await.unwrap().external.port(), 4000);
    assert_eq!(table.get(4000).map(|line| line.port), Some(4001));
    assert_eq!(web.changes()[3..], ["DeletePortMapping 4000", "AddPortMapping 4000 3600"]);
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.get(4000).map(|line| line.port), Some(4001));
}

#[tokio::test]
async fn what_another_host_made_of_a_port_that_no_lease_holds_is_left() {
    let refused = Arc::new(AtomicU16::new(501));
    let (table, web, _ssdp, mapper) = router(refuses_deletes(&refused)).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.remove(&mapping).await.unwrap_err();
    refused.store(0, Ordering::Relaxed);
    let other = line("192.168.1.99", 4000, 0, "x");
    table.put(4000, other.clone());
    let changes = web.changes().len();
    mapper.install(&ANOTHER, HOUR).await.unwrap_err();
    assert_eq!((table.get(4000), web.changes().len()), (Some(other), changes));
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_a_port_that_no_lease_holds_is_deleted_before_it_is_mapped() {
    let failing = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&failing);
    let (table, web, _ssdp, mapper) = router(move |call, _| match &*call.action {
        LOOK => Some(fault(401)),
        "DeletePortMapping" if switch.load(Ordering::Relaxed) => Some(fault(501)),
        _ => None,
    })
    .await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.remove(&mapping).await.unwrap_err();
    failing.store(false, Ordering::Relaxed);
    mapper.install(&ANOTHER, HOUR).await.unwrap();
    assert_eq!(web.changes()[2..], ["DeletePortMapping 4000", "AddPortMapping 4000 3600"]);
    assert_eq!(table.get(4000).map(|line| line.port), Some(4001));
}

#[tokio::test]
async fn a_delete_that_was_done_and_whose_answer_was_lost_is_confirmed_by_another_look() {
    let (table, web, _ssdp, mapper) = router(loses_answers("DeletePortMapping", 1)).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600", "DeletePortMapping 4000"]);
}

#[tokio::test]
async fn a_delete_that_was_lost_is_repeated_once() {
    for (lost, gone) in [(1, true), (2, false)] {
        let left = AtomicU16::new(lost);
        let (table, web, _ssdp, mapper) = router(move |call, _| {
            let lost = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            (call.action == "DeletePortMapping" && lost()).then(String::new)
        })
        .await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert_eq!(mapper.remove(&mapping).await.is_ok(), gone);
        assert_eq!((table.ports().is_empty(), web.changes().len()), (gone, 3));
    }
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_a_delete_without_an_answer_is_not_repeated() {
    let lost = loses_answers("DeletePortMapping", 1);
    let (_table, web, _ssdp, mapper) = router(move |call, table| match &*call.action {
        LOOK => Some(fault(401)),
        _ => lost(call, table),
    })
    .await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert_eq!(mapper.remove(&mapping).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(web.changes().len(), 2);
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_and_has_restarted_since_nothing_is_deleted_until_it_is_renewed_there() {
    let (table, first, ssdp, mapper) = router(|call, _| (call.action == LOOK).then(|| fault(401))).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    drop(first);
    let second = restarted("uuid:test-router", &table, true).await;
    ssdp.announce(&second.location());
    let error = mapper.remove(&mapping).await.unwrap_err();
    assert!(error.to_string().contains("does not tell"), "{error}");
    mapper.abandon(&REQUEST).await.unwrap_err();
    assert_eq!((table.ports(), second.changes().len()), (vec![4000], 0));
    let renewed = mapper.renew(&mapping).await.unwrap();
    mapper.remove(&renewed).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_a_request_without_an_answer_is_no_reason_to_delete() {
    // The router refuses it, and its answer is lost: the port is another program's on this host.
    let (table, web, _ssdp, mapper) = router(|call, _| match &*call.action {
        LOOK => Some(fault(401)),
        "AddPortMapping" => Some(String::new()),
        _ => None,
    })
    .await;
    table.put(4000, line("127.0.0.1", 9012, 0, "x"));
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    let error = mapper.abandon(&REQUEST).await.unwrap_err();
    assert!(error.to_string().contains("does not tell"), "{error}");
    assert_eq!((table.ports(), web.changes().len()), (vec![4000], 1));
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_a_grant_that_nobody_took_is_deleted() {
    let (table, web, _ssdp, mapper) = router(|call, _| (call.action == LOOK).then(|| fault(401))).await;
    mapper.search().await.unwrap();
    let request = REQUEST;
    tokio::select! {
        biased;
        () = web.changed() => {}
        outcome = mapper.install(&request, HOUR) => panic!("{outcome:?}"),
    }
    mapper.abandon(&REQUEST).await.unwrap();
    assert!(table.ports().is_empty());
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600", "DeletePortMapping 4000"]);
}
