use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use super::peer::{Call, IP2, Ssdp, Web, fault, gateway, mapper};
use super::peer_table::{DESCRIPTION, line, router};
use crate::client::port_mapper::PortMapperClient;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Transport};

const HOUR: Duration = Duration::from_secs(3600);

/// Installs a mapping of port 4000 on a router with a rule for AddPortMapping; gives back the outcome and the changes.
async fn install(
    exact: bool,
    rule: impl Fn(&Call) -> Option<u16> + Send + Sync + 'static,
) -> (Result<PortMapping, PortMappingError>, Vec<String>) {
    let rule = move |call: &Call| if call.action == "AddPortMapping" { rule(call).map(fault) } else { None };
    let (web, _ssdp, mapper) = gateway(rule).await;
    let request = MapRequest::new(4000, Transport::Udp);
    let outcome = mapper.install(&if exact { request.exact() } else { request }, HOUR).await;
    (outcome, web.changes())
}

fn lease(call: &Call) -> u32 {
    call.argument("NewLeaseDuration").parse().unwrap()
}

fn port(call: &Call) -> u16 {
    call.argument("NewExternalPort").parse().unwrap()
}

#[tokio::test]
async fn a_router_that_knows_permanent_leases_only_gets_one() {
    for code in [725, 402, 501] {
        let (outcome, changes) = install(false, move |call| (lease(call) > 0).then_some(code)).await;
        let mapping = outcome.unwrap();
        assert_eq!((mapping.lifetime, mapping.requested_ttl, mapping.external.port()), (None, HOUR, 4000), "{code}");
        // Other codes than 725 may pass.
        let finite = if code == 725 { 1 } else { 2 };
        assert_eq!(changes.len(), finite + 1, "{code}");
        assert!(changes[..finite].iter().all(|change| change == "AddPortMapping 4000 3600"), "{changes:?}");
        assert_eq!(changes[finite], "AddPortMapping 4000 0", "{code}");
    }
}

#[tokio::test]
async fn that_only_permanent_leases_work_is_remembered_and_renewals_ask_for_them_first() {
    let (web, _ssdp, mapper) =
        gateway(|call| (call.action == "AddPortMapping" && lease(call) > 0).then(|| fault(725))).await;
    let first = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
    assert!(mapper.renew(&first).await.unwrap().permanent());
    let expected = ["4000 3600", "4000 0", "4001 0", "4000 0"].map(|call| format!("AddPortMapping {call}"));
    assert_eq!(web.changes(), expected);
}

#[tokio::test]
async fn a_permanent_mapping_on_a_router_that_refuses_0_is_renewed_with_a_lease() {
    let strict = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = std::sync::Arc::clone(&strict);
    let (web, _ssdp, mapper) = gateway(move |call| {
        let refuses_lease = !switch.load(std::sync::atomic::Ordering::Relaxed);
        let refused = call.action == "AddPortMapping" && (lease(call) > 0) == refuses_lease;
        refused.then(|| fault(if refuses_lease { 725 } else { 402 }))
    })
    .await;
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert!(mapping.permanent());
    strict.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(mapper.renew(&mapping).await.unwrap().lifetime, Some(HOUR));
    assert_eq!(web.changes()[2..], ["AddPortMapping 4000 0", "AddPortMapping 4000 3600"]);
}

#[tokio::test]
async fn a_taken_port_leads_to_another_one_from_1024_on() {
    for code in [718, 729, 501, 402] {
        let (outcome, changes) = install(false, move |call| (port(call) == 4000).then_some(code)).await;
        let granted = outcome.unwrap().external.port();
        assert!(granted >= 1024 && granted != 4000, "{code}: {granted}");
        assert_eq!(changes.last().unwrap(), &format!("AddPortMapping {granted} 3600"), "{code}");
    }
}

#[tokio::test]
async fn who_insists_on_a_port_gets_it_or_a_refusal() {
    for code in [718, 729, 501, 402] {
        let (outcome, changes) = install(true, move |call| (port(call) == 4000).then_some(code)).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().starts_with(&format!("upnp {code} ")), "{error}");
        assert!(changes.iter().all(|change| change.starts_with("AddPortMapping 4000 ")), "{changes:?}");
    }
}

#[tokio::test]
async fn a_conflict_on_every_port_says_that_the_router_takes_us_for_another_host() {
    let (outcome, changes) = install(false, |_| Some(718)).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    assert!(
        text.starts_with("upnp 718 ConflictInMappingEntry") && text.contains("another host than 127.0.0.1"),
        "{text}"
    );
    let ports: HashSet<_> = changes.iter().collect();
    assert!(changes.len() == 3 && ports.len() == 3, "{changes:?}");
}

#[tokio::test]
async fn a_router_that_is_only_busy_does_not_get_asked_for_ever() {
    let (outcome, changes) = install(false, |_| Some(501)).await;
    assert!(outcome.unwrap_err().to_string().starts_with("upnp 501 ActionFailed"));
    assert_eq!(changes.len(), 4, "{changes:?}");
}

#[tokio::test]
async fn a_router_that_wants_the_same_ports_gets_them() {
    let rule = |call: &Call| (call.argument("NewInternalPort") != call.argument("NewExternalPort")).then_some(724);
    let (web, _ssdp, mapper) =
        gateway(move |call| (call.action == "AddPortMapping").then(|| rule(call).map(fault)).flatten()).await;
    let request = MapRequest::new(4000, Transport::Udp).external_port(4100);
    assert_eq!(mapper.install(&request, HOUR).await.unwrap().external.port(), 4000);
    assert_eq!(web.changes(), ["AddPortMapping 4100 3600", "AddPortMapping 4000 3600"]);
    let error = mapper.install(&request.exact(), HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), "upnp 724 SamePortValuesRequired");
}

#[tokio::test]
async fn a_version_2_router_chooses_another_port_itself() {
    let web = Web::start(&[(IP2, "/ctl")], |call| (call.action == "AddPortMapping").then(|| fault(718))).await;
    let ssdp = Ssdp::start(vec![web.location()]).await;
    let mapping = mapper(&ssdp).install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapping.external.port(), 40001);
    assert_eq!(web.changes().len(), 2);
}

#[tokio::test]
async fn a_version_2_router_without_the_action_gets_other_ports_by_hand() {
    let web = Web::start(&[(IP2, "/ctl")], |call| match &*call.action {
        "AddPortMapping" if port(call) == 4000 => Some(fault(718)),
        "AddAnyPortMapping" => Some(fault(401)),
        _ => None,
    })
    .await;
    let ssdp = Ssdp::start(vec![web.location()]).await;
    let mapping = mapper(&ssdp).install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert!(mapping.external.port() != 4000 && mapping.external.port() >= 1024);
}

#[tokio::test]
async fn a_refusal_of_rights_ends_the_climb_and_says_what_to_do() {
    let (outcome, changes) = install(false, |_| Some(606)).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().starts_with("upnp 606 ActionNotAuthorized: the router's settings"), "{error}");
    assert_eq!(changes.len(), 1);
}

#[tokio::test]
async fn a_well_known_port_that_is_not_permitted_leads_to_another_one() {
    let (web, _ssdp, mapper) =
        gateway(|call| (call.action == "AddPortMapping" && port(call) < 1024).then(|| fault(606))).await;
    let mapping = mapper.install(&MapRequest::new(80, Transport::Tcp), HOUR).await.unwrap();
    assert!(mapping.external.port() >= 1024);
    assert_eq!(web.changes().len(), 2);
}

#[tokio::test]
async fn our_own_entry_that_the_router_does_not_extend_is_replaced() {
    let deleted = Mutex::new(false);
    let (table, web, _ssdp, mapper) = router(move |call, _| {
        let mut deleted = deleted.lock().unwrap();
        *deleted |= call.action == "DeletePortMapping";
        (call.action == "AddPortMapping" && !*deleted).then(|| fault(718))
    })
    .await;
    table.put(4000, line("127.0.0.1", 4000, 100, DESCRIPTION));
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp).exact(), HOUR).await.unwrap();
    assert_eq!((mapping.external.port(), mapping.lifetime), (4000, Some(HOUR)));
    let expected = ["AddPortMapping 4000 3600", "DeletePortMapping 4000", "AddPortMapping 4000 3600"];
    assert_eq!(web.changes(), expected);
}

#[tokio::test]
async fn our_own_permanent_entry_is_left_as_it_is() {
    let (table, web, _ssdp, mapper) = router(|call, _| (call.action == "AddPortMapping").then(|| fault(718))).await;
    table.put(4000, line("127.0.0.1", 4000, 0, DESCRIPTION));
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert!(mapping.permanent() && mapping.external.port() == 4000);
    assert_eq!(web.changes(), ["AddPortMapping 4000 3600"]);
}

#[tokio::test]
async fn a_renewal_never_takes_another_port() {
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = std::sync::Arc::clone(&taken);
    let (web, _ssdp, mapper) = gateway(move |call| match &*call.action {
        "AddPortMapping" if switch.load(std::sync::atomic::Ordering::Relaxed) => Some(fault(718)),
        "GetSpecificPortMappingEntry" => Some(fault(501)),
        _ => None,
    })
    .await;
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    taken.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = mapper.renew(&mapping).await.unwrap_err();
    assert_eq!(error.to_string(), "upnp 718 ConflictInMappingEntry");
    assert_eq!(web.changes().len(), 2);
}

#[tokio::test]
async fn a_fraction_of_a_second_is_never_asked_for_as_for_ever() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), Duration::from_millis(300)).await.unwrap();
    assert_eq!(mapping.lifetime, Some(Duration::from_secs(1)));
    assert_eq!(web.changes(), ["AddPortMapping 4000 1"]);
}
