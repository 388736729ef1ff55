//! Grants that are not what they claim to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::peer::{Call, fault, ok};
use super::peer_table::{DESCRIPTION, line, router};
use crate::client::port_mapper::PortMapperClient;
use crate::mapping::{MapRequest, Transport};

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const LOOK: &str = "GetSpecificPortMappingEntry";

fn lease(call: &Call) -> u32 {
    call.argument("NewLeaseDuration").parse().unwrap()
}

#[tokio::test]
async fn an_entry_as_it_was_granted_is_verified_by_one_request() {
    let (_table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let calls = web.calls().len();
    assert_eq!(mapper.verify(&mapping).await.unwrap(), None);
    let asked: Vec<_> = web.calls()[calls..].iter().map(Call::short).collect();
    assert_eq!(asked, [format!("{LOOK} 4000")]);
}

#[tokio::test]
async fn a_lease_that_the_router_cut_is_believed_as_the_entry_shows_it() {
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    table.put(4000, line("127.0.0.1", 4000, 120, DESCRIPTION));
    let verified = mapper.verify(&mapping).await.unwrap().unwrap();
    assert_eq!(verified.lifetime, Some(Duration::from_secs(120)));
    assert_eq!((verified.external, &verified.token), (mapping.external, &mapping.token));
}

#[tokio::test]
async fn lease_0_is_believed_of_a_router_that_shows_other_leases_and_not_of_one_that_never_does() {
    let (table, _web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    table.put(4000, line("127.0.0.1", 4000, 0, DESCRIPTION));
    assert_eq!(mapper.verify(&mapping).await.unwrap(), None);
    let other = mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapper.verify(&other).await.unwrap(), None);
    let verified = mapper.verify(&mapping).await.unwrap().unwrap();
    assert!(verified.permanent());
}

#[tokio::test]
async fn a_permanent_mapping_that_the_router_made_finite_is_finite() {
    let (table, _web, _ssdp, mapper) =
        router(|call, _| (call.action == "AddPortMapping" && lease(call) > 0).then(|| fault(725))).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert!(mapping.permanent());
    table.put(4000, line("127.0.0.1", 4000, 604_800, DESCRIPTION));
    let verified = mapper.verify(&mapping).await.unwrap().unwrap();
    assert_eq!(verified.lifetime, Some(Duration::from_secs(604_800)));
}

#[tokio::test]
async fn a_router_that_makes_nothing_but_permanent_entries_and_says_success_is_found_out() {
    let (table, web, _ssdp, mapper) =
        router(|call, _| (call.action == "AddPortMapping" && lease(call) > 0).then(|| ok("AddPortMapping", &[]))).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert!(table.ports().is_empty());
    let verified = mapper.verify(&mapping).await.unwrap().unwrap();
    assert!(verified.permanent());
    assert_eq!(table.ports(), [4000]);
    // From then on permanent mappings are asked for at once.
    mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(web.changes().last().unwrap(), "AddPortMapping 4001 0");
    mapper.remove(&verified).await.unwrap();
    assert_eq!(table.ports(), [4001]);
}

#[tokio::test]
async fn success_without_an_entry_is_no_mapping() {
    let (_table, web, _ssdp, mapper) =
        router(|call, _| (call.action == "AddPortMapping").then(|| ok("AddPortMapping", &[]))).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let error = mapper.verify(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    assert!(error.to_string().contains("made no mapping"), "{error}");
    // What cannot be seen may be there all the same: without an end it must not stay.
    assert_eq!(web.changes().last().unwrap(), "DeletePortMapping 4000");
}

#[tokio::test]
async fn an_entry_that_leads_elsewhere_behind_the_grant_is_no_mapping_of_ours() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    table.put(4000, line("192.168.1.99", 80, 0, "x"));
    let error = mapper.verify(&mapping).await.unwrap_err();
    assert!(error.mapping_lost() && error.to_string().contains("192.168.1.99:80"), "{error}");
    assert_eq!(web.changes().len(), 1);
}

#[tokio::test]
async fn a_router_that_cannot_show_one_entry_is_read_line_by_line_or_believed() {
    let generic = Arc::new(AtomicBool::new(true));
    for code in [714, 401] {
        let switch = Arc::clone(&generic);
        let (_table, web, _ssdp, mapper) = router(move |call, _| match &*call.action {
            LOOK => Some(fault(code)),
            "GetGenericPortMappingEntry" if !switch.load(Ordering::Relaxed) => Some(fault(401)),
            _ => None,
        })
        .await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert_eq!(mapper.verify(&mapping).await.unwrap(), None, "{code}");
        generic.store(false, Ordering::Relaxed);
        assert_eq!(mapper.verify(&mapping).await.unwrap(), None, "{code}");
        generic.store(true, Ordering::Relaxed);
        assert_eq!(web.changes(), ["AddPortMapping 4000 3600"]);
    }
}
