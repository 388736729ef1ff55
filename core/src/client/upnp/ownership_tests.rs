//! Whose entries are touched, and whose are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use super::peer::{self, Call, IP1, Ssdp, Web, description_of, fault, mapper, page};
use super::peer_table::{DESCRIPTION, Table, line, router};
use crate::client::port_mapper::PortMapperClient;
use crate::error::ErrorKind;
use crate::mapping::{MapRequest, PortMapping, ProtocolToken, Transport};

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const LOOK: &str = "GetSpecificPortMappingEntry";

fn adopted(mapping: &PortMapping) -> bool {
    matches!(&mapping.token, ProtocolToken::Upnp { adopted: true, .. })
}

/// Answers every look with this code.
fn blind(code: u16) -> impl Fn(&Call, &Table) -> Option<String> + Send + Sync + 'static {
    move |call, _| (call.action == LOOK).then(|| fault(code))
}

#[tokio::test]
async fn a_removal_deletes_what_was_added() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert!(!adopted(&mapping));
    assert_eq!(table.ports(), [4000]);
    mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600", "DeletePortMapping 4000"]);
    mapper.remove(&mapping).await.unwrap();
}

#[tokio::test]
async fn a_removal_leaves_an_entry_that_leads_elsewhere_by_now() {
    for other in [line("192.168.1.99", 4000, 0, DESCRIPTION), line("127.0.0.1", 4001, 0, DESCRIPTION)] {
        let (table, web, _ssdp, mapper) = router(|_, _| None).await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        table.put(4000, other.clone());
        mapper.remove(&mapping).await.unwrap();
        assert_eq!(table.get(4000), Some(other));
        assert_eq!(web.changes(), ["AddPortMapping 4000 3600"]);
    }
}

#[tokio::test]
async fn a_removal_by_a_fresh_process_deletes_what_has_our_description_and_nothing_else() {
    let (table, _web, ssdp, first) = router(|_, _| None).await;
    let mapping = first.install(&REQUEST, HOUR).await.unwrap();
    mapper(&ssdp).remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
    let other = line("127.0.0.1", 4000, 0, "made by hand");
    table.put(4000, other.clone());
    mapper(&ssdp).remove(&mapping).await.unwrap();
    assert_eq!(table.get(4000), Some(other));
}

/// A router that has come up at another place, with this UDN and an entry that looks like ours.
async fn moved(udn: &'static str) -> (Table, Web) {
    let services = [(IP1, "/ctl")];
    let table = Table::default();
    table.put(4000, line("127.0.0.1", 4000, 0, DESCRIPTION));
    let of_the_web = table.clone();
    let web = Web::start(&services, move |call| match &*call.action {
        "" => Some(page(&description_of(udn, &services))),
        _ => of_the_web.act(call),
    })
    .await;
    (table, web)
}

#[tokio::test]
async fn a_removal_is_never_sent_to_another_router_than_the_one_that_holds_the_mapping() {
    for udn in ["uuid:another-router", ""] {
        let (_table, first, ssdp, mapper) = router(|_, _| None).await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        drop((first, ssdp));
        let (table, second) = moved(udn).await;
        let ssdp = Ssdp::start(vec![second.location()]).await;
        let fresh = peer::mapper(&ssdp);
        for mapper in [&mapper, &fresh] {
            let error = mapper.remove(&mapping).await.unwrap_err();
            assert!(error.message().contains("is gone"), "{error}");
        }
        assert_eq!(table.ports(), [4000]);
        assert!(second.changes().is_empty());
    }
}

#[tokio::test]
async fn a_removal_follows_the_router_that_proves_to_be_the_same() {
    let (_table, first, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    drop(first);
    let (table, second) = moved("uuid:test-router").await;
    let ssdp = Ssdp::start(vec![second.location()]).await;
    peer::mapper(&ssdp).remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn a_renewal_at_another_router_adopts_what_somebody_made_there() {
    let (_table, first, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    drop((first, mapper));
    let (table, second) = moved("uuid:another-router").await;
    table.put(4000, line("127.0.0.1", 4000, 0, "made by hand"));
    let ssdp = Ssdp::start(vec![second.location()]).await;
    let mapper = peer::mapper(&ssdp);
    let renewed = mapper.renew(&mapping).await.unwrap();
    assert!(adopted(&renewed) && renewed.permanent());
    mapper.remove(&renewed).await.unwrap();
    assert_eq!(table.ports(), [4000]);
}

#[tokio::test]
async fn a_rule_that_somebody_made_for_this_host_is_adopted_and_never_deleted() {
    let by_hand = line("127.0.0.1", 4000, 0, "made by hand");
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    table.put(4000, by_hand.clone());
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert!(adopted(&mapping) && mapping.permanent() && mapping.external.port() == 4000);
    let mapping = mapper.renew(&mapping).await.unwrap();
    assert!(adopted(&mapping) && mapping.permanent());
    assert_eq!(mapper.verify(&mapping).await.unwrap(), None);
    mapper.remove(&mapping).await.unwrap();
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.get(4000), Some(by_hand));
    assert!(web.changes().is_empty(), "{:?}", web.changes());
}

#[tokio::test]
async fn an_adopted_rule_that_ends_is_renewed_under_its_own_name_when_it_needs_it() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    table.put(4000, line("127.0.0.1", 4000, 100, "of another program"));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert_eq!((adopted(&mapping), mapping.lifetime), (true, Some(Duration::from_secs(100))));
    // Its maker has renewed it.
    table.put(4000, line("127.0.0.1", 4000, 99, "of another program"));
    let mapping = mapper.renew(&mapping).await.unwrap();
    assert_eq!((adopted(&mapping), mapping.lifetime), (true, Some(Duration::from_secs(99))));
    assert!(web.changes().is_empty());
    // Nobody has renewed it.
    table.put(4000, line("127.0.0.1", 4000, 49, "of another program"));
    let mapping = mapper.renew(&mapping).await.unwrap();
    assert_eq!((adopted(&mapping), mapping.lifetime), (true, Some(HOUR)));
    assert_eq!(table.get(4000), Some(line("127.0.0.1", 4000, 3600, "of another program")));
    // It is gone: what comes in its place is ours.
    table.clear();
    let mapping = mapper.renew(&mapping).await.unwrap();
    assert!(!adopted(&mapping));
    mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn an_adopted_entry_that_another_protocol_of_this_program_made_becomes_ours_by_a_renewal() {
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    table.put(4000, line("127.0.0.1", 4000, 3600, "by pcp"));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert!(adopted(&mapping));
    mapper.renew(&mapping.made_by_us()).await.unwrap();
    // The lease has not heard of that.
    mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn an_entry_that_an_earlier_run_of_this_program_left_is_taken_over() {
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    table.put(4000, line("127.0.0.1", 4000, 0, DESCRIPTION));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert_eq!((adopted(&mapping), mapping.lifetime), (false, Some(HOUR)));
    mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn an_entry_that_leads_elsewhere_is_never_overwritten() {
    for other in [line("192.168.1.99", 4000, 0, "x"), line("127.0.0.1", 4001, 3600, DESCRIPTION)] {
        let (table, web, _ssdp, mapper) = router(|_, _| None).await;
        table.put(4000, other.clone());
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert!(mapping.external.port() != 4000 && mapping.external.port() >= 1024);
        let error = mapper.install(&REQUEST.exact(), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().starts_with("upnp 718 ConflictInMappingEntry"), "{error}");
        assert_eq!(table.get(4000), Some(other));
        assert_eq!(web.changes().len(), 1);
    }
}

#[tokio::test]
async fn a_port_chosen_at_random_is_looked_at_too() {
    let chosen = Arc::new(AtomicU16::new(0));
    let first = Arc::clone(&chosen);
    let (table, web, _ssdp, mapper) = router(move |call, table| {
        let port = call.argument("NewExternalPort").parse().unwrap_or_default();
        // The first port that is tried in place of the wished one is another host's.
        if call.action == LOOK && port != 4000 && first.swap(port, Ordering::Relaxed) == 0 {
            table.put(port, line("192.168.1.99", 80, 0, "x"));
        }
        None
    })
    .await;
    table.put(4000, line("192.168.1.99", 4000, 0, "x"));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let ports = table.ports();
    assert_eq!(ports.len(), 3, "{ports:?}");
    assert_eq!(table.get(mapping.external.port()).unwrap().client, "127.0.0.1");
    assert_eq!(web.changes().len(), 1);
    assert_ne!(chosen.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn two_leases_of_one_process_do_not_take_each_others_external_port() {
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    let (a, b) = (REQUEST.external_port(5000), MapRequest::new(4001, Transport::Udp).external_port(5000));
    let (a, b) = tokio::join!(mapper.install(&a, HOUR), mapper.install(&b, HOUR));
    let (a, b) = (a.unwrap().external.port(), b.unwrap().external.port());
    assert_eq!((table.get(a).unwrap().port, table.get(b).unwrap().port), (4000, 4001));
    assert_ne!(a, b);
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_only_what_this_process_added_is_deleted() {
    for code in [401, 402, 501, 602, 606] {
        let (table, web, ssdp, ours) = router(blind(code)).await;
        let mapping = ours.install(&REQUEST, HOUR).await.unwrap();
        let error = mapper(&ssdp).remove(&mapping).await.unwrap_err();
        assert!(error.to_string().contains("does not tell"), "{error}");
        assert_eq!(table.ports(), [4000], "{code}");
        ours.remove(&mapping).await.unwrap();
        assert!(table.ports().is_empty(), "{code}");
        // It is gone: a second removal must not hit what comes after it.
        table.put(4000, line("192.168.1.99", 4000, 0, "x"));
        ours.remove(&mapping).await.unwrap_err();
        assert_eq!(web.changes().len(), 2, "{code}");
    }
}

#[tokio::test]
async fn on_a_router_that_cannot_tell_a_mapping_that_was_contested_is_left() {
    let taken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&taken);
    let (table, web, _ssdp, mapper) = router(move |call, _| match &*call.action {
        LOOK => Some(fault(401)),
        "AddPortMapping" if switch.load(Ordering::Relaxed) => Some(fault(718)),
        _ => None,
    })
    .await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    taken.store(true, Ordering::Relaxed);
    table.put(4000, line("192.168.1.99", 4000, 0, "x"));
    let error = mapper.renew(&mapping).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && !error.mapping_lost(), "{error}");
    mapper.remove(&mapping).await.unwrap_err();
    assert!(table.get(4000).is_some());
    assert!(!web.changes().iter().any(|change| change.starts_with("Delete")));
}

#[tokio::test]
async fn a_renewal_never_overwrites_the_entry_of_another_host_and_says_that_the_mapping_is_lost() {
    let other = line("192.168.1.99", 4000, 0, "x");
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    table.put(4000, other.clone());
    let error = mapper.renew(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    assert!(error.to_string().contains("192.168.1.99:4000"), "{error}");
    mapper.remove(&mapping).await.unwrap();
    assert_eq!(table.get(4000), Some(other));
    assert_eq!(web.changes().len(), 1);
}

#[tokio::test]
async fn a_renewal_puts_a_lost_entry_back() {
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    table.clear();
    assert_eq!(mapper.renew(&mapping).await.unwrap(), mapping);
    assert_eq!(table.ports(), [4000]);
}

#[tokio::test]
async fn our_own_entry_that_was_deleted_to_be_replaced_and_was_not_added_again_is_lost() {
    let taken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&taken);
    let (_table, web, _ssdp, mapper) =
        router(move |call, _| (call.action == "AddPortMapping" && switch.load(Ordering::Relaxed)).then(|| fault(718)))
            .await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    taken.store(true, Ordering::Relaxed);
    let error = mapper.renew(&mapping).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.mapping_lost(), "{error}");
    let expected = ["AddPortMapping 4000 3600", "DeletePortMapping 4000", "AddPortMapping 4000 3600"];
    assert_eq!(web.changes()[1..], expected);
}

#[tokio::test]
async fn an_adopted_entry_that_the_router_does_not_extend_is_kept_for_what_is_left_of_it() {
    let (table, web, _ssdp, mapper) = router(|call, _| (call.action == "AddPortMapping").then(|| fault(718))).await;
    table.put(4000, line("127.0.0.1", 4000, 100, "of another program"));
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    table.put(4000, line("127.0.0.1", 4000, 40, "of another program"));
    let renewed = mapper.renew(&mapping).await.unwrap();
    assert_eq!((adopted(&renewed), renewed.lifetime), (true, Some(Duration::from_secs(40))));
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600"]);
}
