use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::peer::{Ssdp, Web, fault, mapper};
use crate::client::upnp::peer_table::{Table, line, router};
use crate::mapping::{AddressFamily, MapRequest, PortMapping, ProtocolToken, Transport};
use crate::state::Store;
use crate::state::tests::Dir;

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);

fn journal(store: &Arc<Store>) -> Journal {
    Journal::new(Arc::clone(store), Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into())
}

fn on_disk(dir: &Dir) -> String {
    dir.files().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

fn adopted(mapping: &PortMapping) -> bool {
    matches!(&mapping.token, ProtocolToken::Upnp { adopted: true, .. })
}

/// A router that keeps no descriptions, on which an earlier run has mapped [`REQUEST`]; what that has recorded.
async fn after_a_crash() -> (Table, Web, Ssdp, Vec<Record>) {
    let dir = Dir::new();
    let (table, web, ssdp, first) = router(|_, _| None).await;
    {
        let first = first.kept_in(journal(&Arc::new(dir.store())));
        first.install(&REQUEST, HOUR).await.unwrap();
    }
    table.put(4000, line("127.0.0.1", 4000, 3600, ""));
    let next = dir.store();
    next.adopt_all();
    let records = next.of_port((AddressFamily::Ipv4, Transport::Udp, 4000)).1;
    assert_eq!(records.len(), 1);
    (table, web, ssdp, records)
}

#[tokio::test]
async fn a_request_is_on_record_before_it_is_sent_and_until_its_mapping_is_deleted() {
    let dir = Arc::new(Dir::new());
    let (seen, seen_at) = (Arc::<Mutex<Vec<String>>>::default(), Arc::clone(&dir));
    let sees = Arc::clone(&seen);
    let (_table, _web, _ssdp, mapper) = router(move |call, _| {
        if call.action == "AddPortMapping" {
            sees.lock().unwrap().push(on_disk(&seen_at));
        }
        None
    })
    .await;
    let store = Arc::new(dir.store());
    let mapper = mapper.kept_in(journal(&store));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let file = dir.files();
    let mapping = mapper.renew(&mapping).await.unwrap();
    // Nothing is written at a renewal.
    assert_eq!(dir.files(), file);
    mapper.remove(&mapping).await.unwrap();
    assert!(dir.files().is_empty());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.contains("external=4000") && seen.contains("lifetime=3600")), "{seen:?}");
}

#[tokio::test]
async fn a_port_that_was_refused_is_off_the_record() {
    let dir = Dir::new();
    let (_table, _web, _ssdp, mapper) = router(|call, _| {
        (call.action == "AddPortMapping" && call.argument("NewExternalPort") == "4000").then(|| fault(718))
    })
    .await;
    let mapper = mapper.kept_in(journal(&Arc::new(dir.store())));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let text = on_disk(&dir);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(&format!("external={}", mapping.external.port())), "{text}");
}

#[tokio::test]
async fn a_mapping_that_is_asked_for_without_end_is_recorded_as_such_before() {
    let dir = Arc::new(Dir::new());
    let at = Arc::clone(&dir);
    let (_table, _web, _ssdp, mapper) = router(move |call, _| {
        if call.action != "AddPortMapping" {
            return None;
        }
        let permanent = call.argument("NewLeaseDuration") == "0";
        assert_eq!(on_disk(&at).contains("lifetime="), !permanent);
        (!permanent).then(|| fault(725))
    })
    .await;
    let mapper = mapper.kept_in(journal(&Arc::new(dir.store())));
    assert!(mapper.install(&REQUEST, HOUR).await.unwrap().permanent());
    assert!(!on_disk(&dir).contains("lifetime="));
}

#[tokio::test]
async fn what_an_earlier_run_has_recorded_is_ours_also_on_a_router_that_keeps_no_descriptions() {
    let (table, _web, ssdp, records) = after_a_crash().await;
    assert!(adopted(&mapper(&ssdp).install(&REQUEST, HOUR).await.unwrap()));
    let next = mapper(&ssdp);
    next.inherit(&records[0]);
    let mapping = next.install(&REQUEST, HOUR).await.unwrap();
    assert!(!adopted(&mapping));
    next.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn what_an_earlier_run_has_recorded_and_nobody_asks_for_is_deleted() {
    let (table, _web, ssdp, records) = after_a_crash().await;
    let next = mapper(&ssdp);
    next.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [4000]);
    next.inherit(&records[0]);
    next.abandon(&REQUEST).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn what_leads_to_another_host_by_now_is_left_alone_whatever_is_on_record() {
    let (table, web, ssdp, records) = after_a_crash().await;
    table.put(4000, line("192.168.1.99", 4000, 0, ""));
    let next = mapper(&ssdp);
    next.inherit(&records[0]);
    next.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [4000]);
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600"]);
}

#[tokio::test]
async fn a_record_that_names_no_service_is_passed_over() {
    let (_table, _web, ssdp, mut records) = after_a_crash().await;
    let Maker::Upnp { control_url, .. } = &mut records[0].maker else { panic!("{records:?}") };
    *control_url = "file:///etc/passwd".to_owned();
    let next = mapper(&ssdp);
    next.inherit(&records[0]);
    assert!(next.ledger.doubtful(Transport::Udp, 4000).is_empty());
}

#[tokio::test]
async fn another_device_with_the_same_address_is_not_taken_for_the_one_on_record() {
    let (table, _web, ssdp, mut records) = after_a_crash().await;
    let next = mapper(&ssdp);
    next.require_device_of(&records[0]).await.unwrap();
    let Maker::Upnp { udn, .. } = &mut records[0].maker else { panic!("{records:?}") };
    *udn = "uuid:another-router".to_owned();
    let error = next.require_device_of(&records[0]).await.unwrap_err();
    assert!(error.message().contains("uuid:another-router is not in this network"), "{error}");
    assert_eq!(table.ports(), [4000]);
}

#[tokio::test]
async fn of_two_programs_with_one_port_the_last_one_deletes_the_entry() {
    let dir = Dir::new();
    let (table, web, ssdp, one) = router(|_, _| None).await;
    let one = one.kept_in(journal(&Arc::new(dir.store())));
    let other = mapper(&ssdp).kept_in(journal(&Arc::new(dir.store())));
    let of_one = one.install(&REQUEST, HOUR).await.unwrap();
    let of_other = other.install(&REQUEST, HOUR).await.unwrap();
    assert_eq!((of_one.external.port(), of_other.external.port()), (4000, 4000));
    one.remove(&of_one).await.unwrap();
    assert_eq!((table.ports(), dir.files().len()), (vec![4000], 1), "{:?}", web.changes());
    other.remove(&of_other).await.unwrap();
    assert_eq!((table.ports(), dir.files().len()), (vec![], 0));
}
