//! An entry that another program of this host has renewed, deleted or taken.

use std::time::Duration;

use super::peer::{Call, fault, ok};
use super::peer_table::{DESCRIPTION, Line, Table, line, router};
use super::{PortMapperClient, UpnpMapper};
use crate::error::ErrorKind;
use crate::mapping::{MapRequest, PortMapping, Transport};
use crate::schedule::UPNP_LEASE_TOLERANCE;

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
/// How old a mapping is made.
const AGE: Duration = UPNP_LEASE_TOLERANCE.saturating_mul(4);

fn left(lease: Duration) -> Line {
    line("127.0.0.1", 4000, u32::try_from(lease.as_secs()).unwrap(), DESCRIPTION)
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A mapping of some age, whose entry shows `lease`, and which was looked at.
async fn seen(table: &Table, mapper: &UpnpMapper, lease: Duration) -> PortMapping {
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    pass(AGE).await;
    table.put(4000, left(lease));
    assert_eq!(mapper.see(&mapping).await.unwrap(), mapping);
    mapping
}

#[tokio::test]
async fn an_entry_that_another_program_has_renewed_since_is_left_to_it() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = seen(&table, &mapper, HOUR.saturating_sub(AGE)).await;
    table.put(4000, left(HOUR));
    mapper.remove(&mapping).await.unwrap();
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [4000]);
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600"]);
}

#[tokio::test]
async fn an_entry_that_ends_as_it_was_granted_or_shows_the_whole_lease_always_is_deleted() {
    for lease in [HOUR.saturating_sub(AGE), HOUR] {
        let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
        let mapping = seen(&table, &mapper, lease).await;
        mapper.remove(&mapping).await.unwrap();
        assert!(table.ports().is_empty());
    }
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = seen(&table, &mapper, HOUR.saturating_sub(AGE)).await;
    let mapping = mapper.renew(&mapping).await.unwrap();
    mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty(), "renewed by this program itself");
}

#[tokio::test]
async fn a_look_finds_an_entry_that_is_gone_or_leads_elsewhere_by_now() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.verify(&mapping).await.unwrap();
    table.put(4000, line("127.0.0.1", 4001, 0, DESCRIPTION));
    let error = mapper.see(&mapping).await.unwrap_err();
    assert!(error.mapping_lost() && error.message().contains("leads to 127.0.0.1:4001"), "{error}");
    table.remove(4000);
    let error = mapper.see(&mapping).await.unwrap_err();
    assert!(error.mapping_lost() && error.message().contains("is no longer mapped"), "{error}");
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600"], "a look changes nothing");
    mapper.renew(&mapping).await.unwrap();
    assert_eq!(table.ports(), [4000]);
}

#[tokio::test]
async fn a_router_that_shows_no_entries_says_nothing_against_a_mapping_and_deletes_it_all_the_same() {
    for code in [401, 714] {
        let (table, _web, _ssdp, mapper) =
            router(move |call, _| (call.action == "GetSpecificPortMappingEntry").then(|| fault(code))).await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        mapper.see(&mapping).await.unwrap();
        mapper.remove(&mapping).await.unwrap();
        assert!(table.ports().is_empty(), "{code}");
    }
}

#[tokio::test]
async fn the_table_shows_whose_port_it_is_where_the_entry_alone_is_not_shown() {
    for code in [401, 714] {
        let (table, _web, _ssdp, mapper) =
            router(move |call, _| (call.action == "GetSpecificPortMappingEntry").then(|| fault(code))).await;
        let others = line("127.0.0.1", 4001, 0, DESCRIPTION);
        table.put(4600, others.clone());
        let request = REQUEST.external_port(4600);
        let error = mapper.install(&request.clone().exact(), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert_ne!(mapper.install(&request, HOUR).await.unwrap().external.port(), 4600);
        assert_eq!(table.get(4600), Some(others));
    }
}

#[tokio::test]
async fn an_entry_for_every_remote_host_is_deleted_by_hand_however_the_router_writes_that() {
    for everybody in ["", "*", "0.0.0.0"] {
        let rule = move |call: &Call, table: &Table| {
            let shown = call.action == "GetGenericPortMappingEntry" && table.get(4000).is_some();
            shown.then(|| match call.argument("NewPortMappingIndex") {
                "0" => ok(&call.action, &entry(everybody)),
                _ => fault(713),
            })
        };
        let (table, _web, _ssdp, mapper) = router(rule).await;
        table.put(4000, left(HOUR));
        let deleted = mapper.delete_entry(Transport::Udp, 4000, false).await.unwrap();
        assert_eq!(deleted.map(|entry| entry.remote_host).as_deref(), Some(everybody));
        assert!(table.ports().is_empty());
    }
}

fn entry(remote_host: &str) -> [(&str, &str); 8] {
    [
        ("NewRemoteHost", remote_host),
        ("NewExternalPort", "4000"),
        ("NewProtocol", "UDP"),
        ("NewInternalPort", "4000"),
        ("NewInternalClient", "127.0.0.1"),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "by hand"),
        ("NewLeaseDuration", "0"),
    ]
}
