//! What the UPnP mapper does to the router's table, against the simulated gateway: nothing of others changes, nothing of
//! ours is left, and nothing is believed that is not so.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portlease::client::{PortMapperClient, UpnpConfig, UpnpMapper};
use portlease::{ErrorKind, MapRequest, ProtocolToken, Transport};
use portlease_gateway::{Faults, Gateway, GatewayConfig, NewMapping, Transport as Wire};

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(604_800);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);

/// The description of our mappings.
const NAME: &str = "upnp table";

/// A router that lets everybody delete and overwrite everything.
fn start(config: GatewayConfig) -> Gateway {
    let config = GatewayConfig { secure_mode: false, upnp_overwrite: true, forward: false, ..config };
    Gateway::start(GatewayConfig { pcp: false, nat_pmp: false, ..config }).unwrap()
}

fn gateway(faults: Faults) -> Gateway {
    start(GatewayConfig { faults, ..GatewayConfig::default() })
}

fn mapper(gateway: &Gateway) -> UpnpMapper {
    UpnpMapper::new(UpnpConfig::new(gateway.address()).ssdp_address(gateway.ssdp_address()).description(NAME))
}

fn of_another_host(port: u16) -> NewMapping {
    NewMapping::new(Wire::Udp, port, SocketAddr::from(([192, 168, 1, 99], 80)))
}

fn here(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[tokio::test]
async fn another_host_that_took_our_port_after_a_reboot_keeps_it() {
    let gateway = gateway(Faults::default());
    let mapper = mapper(&gateway);
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    gateway.reboot();
    let other = gateway.put_mapping(of_another_host(4000)).unwrap();
    let error = mapper.renew(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    mapper.remove(&mapping).await.unwrap();
    mapper.abandon(&REQUEST).await.unwrap();
    assert!(gateway.is_untouched(&other));
    let next = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert_ne!(next.external.port(), 4000);
    assert!(gateway.is_untouched(&other));
}

#[tokio::test]
async fn another_lease_of_this_host_keeps_its_port() {
    let gateway = gateway(Faults::default());
    let other = gateway.put_mapping(NewMapping::new(Wire::Udp, 4000, here(4001))).unwrap();
    let mapping = mapper(&gateway).install(&REQUEST, HOUR).await.unwrap();
    assert_ne!(mapping.external.port(), 4000);
    let error = mapper(&gateway).install(&REQUEST.exact(), HOUR).await.unwrap_err();
    assert_eq!(error.to_string(), "upnp 718 ConflictInMappingEntry: port 4000 leads to 127.0.0.1:4001");
    assert!(gateway.is_untouched(&other));
}

#[tokio::test]
async fn a_rule_in_the_routers_settings_for_this_host_is_used_and_left_alone() {
    let gateway = gateway(Faults::default());
    let rule = gateway.add_mapping(Wire::Udp, 4000, here(4000), None).unwrap();
    let mapper = mapper(&gateway);
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    assert!(matches!(mapping.token, ProtocolToken::Upnp { adopted: true, .. }) && mapping.permanent());
    let renewed = mapper.renew(&mapping).await.unwrap();
    assert_eq!(renewed, mapping);
    mapper.remove(&renewed).await.unwrap();
    assert!(gateway.is_untouched(&rule));
}

#[tokio::test]
async fn a_router_that_took_the_place_of_the_first_gets_no_delete() {
    let first = gateway(Faults::default());
    let mapping = mapper(&first).install(&REQUEST, HOUR).await.unwrap();
    drop(first);
    let second = start(GatewayConfig { bind: Ipv4Addr::new(127, 0, 0, 9).into(), ..GatewayConfig::default() });
    let looks_like_ours = NewMapping { description: NAME.into(), ..NewMapping::new(Wire::Udp, 4000, here(4000)) };
    let other = second.put_mapping(looks_like_ours).unwrap();
    let error = mapper(&second).remove(&mapping).await.unwrap_err();
    assert!(error.to_string().contains("is gone"), "{error}");
    assert!(second.is_untouched(&other));
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_deleted_when_the_lease_is_abandoned() {
    let gateway = gateway(Faults { http_lose_answers: 1, ..Faults::default() });
    let mapper = mapper(&gateway);
    assert_eq!(mapper.install(&REQUEST, HOUR).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(gateway.mappings().len(), 1);
    mapper.abandon(&REQUEST).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_delete_does_not_overtake_the_add_that_its_caller_gave_up() {
    let gateway = gateway(Faults::default());
    let mapper = mapper(&gateway);
    mapper.search().await.unwrap();
    // The look takes a second, the add begins behind it, and the router serves connections side by side.
    gateway.update_faults(|faults| faults.http_processing_ms = 1000);
    let given_up = tokio::time::timeout(Duration::from_millis(1500), mapper.install(&REQUEST, HOUR)).await;
    gateway.update_faults(|faults| faults.http_processing_ms = 0);
    if let Ok(Ok(mapping)) = given_up {
        mapper.remove(&mapping).await.unwrap();
    }
    mapper.abandon(&REQUEST).await.unwrap();
    // A router that was slower than the test has got no add.
    let _ = gateway.wait_for(Duration::from_secs(2), |state| state.counters.get("soap_AddPortMapping") > 0);
    assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_a_success_once_a_look_finds_nothing() {
    let gateway = gateway(Faults::default());
    let mapper = mapper(&gateway);
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    gateway.update_faults(|faults| faults.http_lose_answers = 1);
    mapper.remove(&mapping).await.unwrap();
    assert!(gateway.mappings().is_empty());
    assert_eq!(gateway.counters().get("soap_DeletePortMapping"), 1);
}

#[tokio::test]
async fn success_without_an_entry_is_found_out_behind_the_install() {
    for (igd_version, lifetime) in [(1, None), (2, Some(WEEK))] {
        let faults = Faults { upnp_finite_lost: true, ..Faults::default() };
        let gateway = start(GatewayConfig { igd_version, faults, ..GatewayConfig::default() });
        let mapper = mapper(&gateway);
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert!(gateway.mappings().is_empty());
        let verified = mapper.verify(&mapping).await.unwrap().unwrap();
        assert_eq!(verified.lifetime, lifetime);
        assert_eq!(gateway.mappings().len(), 1);
        mapper.remove(&verified).await.unwrap();
        assert!(gateway.mappings().is_empty());
    }
    let gateway = gateway(Faults::default());
    let mapper = mapper(&gateway);
    gateway.update_faults(|faults| faults.upnp_lost = true);
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let error = mapper.verify(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
}

#[tokio::test]
async fn a_lease_that_was_cut_is_renewed_by_what_the_entry_shows() {
    let gateway = gateway(Faults { upnp_max_lease: Some(300), ..Faults::default() });
    let mapper = mapper(&gateway);
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    let verified = mapper.verify(&mapping).await.unwrap().unwrap();
    assert!(verified.lifetime.unwrap() <= Duration::from_secs(300));
    assert_eq!(mapper.verify(&verified).await.unwrap(), None);
}

#[tokio::test]
async fn errors_that_pass_make_no_lease_permanent() {
    for code in [501, 402] {
        let gateway = gateway(Faults {
            soap_errors: [("AddPortMapping".to_owned(), code)].into(),
            soap_error_counts: [("AddPortMapping".to_owned(), 1)].into(),
            ..Faults::default()
        });
        let mapper = mapper(&gateway);
        for port in [4000, 4001] {
            let mapping = mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap();
            assert_eq!((mapping.external.port(), mapping.lifetime), (port, Some(HOUR)));
        }
    }
}

#[tokio::test]
async fn a_router_that_does_not_tell_its_address_is_mapped() {
    for faults in [
        Faults { external_address_hangs: true, ..Faults::default() },
        Faults { external_address_text: Some("what?".into()), ..Faults::default() },
    ] {
        let gateway = gateway(faults);
        let mapper = mapper(&gateway);
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert_eq!(mapping.external, "0.0.0.0:4000".parse().unwrap());
        assert_eq!(mapper.renew(&mapping).await.unwrap().external, mapping.external);
        assert_eq!(gateway.mappings().len(), 1);
    }
}

#[tokio::test]
async fn a_full_router_gets_a_few_requests_for_each_lease() {
    const LEASES: u16 = 20;
    let gateway = gateway(Faults { table_full: true, ..Faults::default() });
    let mapper = Arc::new(mapper(&gateway));
    mapper.search().await.unwrap();
    let soap =
        || gateway.counters().0.iter().filter(|(name, _)| name.starts_with("soap_")).map(|(_, n)| n).sum::<u64>();
    let before = soap();
    let mut tasks = tokio::task::JoinSet::new();
    for port in 4000..4000 + LEASES {
        let mapper = Arc::clone(&mapper);
        tasks.spawn(async move { mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await });
    }
    assert!(tasks.join_all().await.into_iter().all(|outcome| outcome.unwrap_err().kind() == ErrorKind::Refused));
    let adds = gateway.counters().get("soap_AddPortMapping");
    assert!(adds <= u64::from(LEASES) * 4, "{adds} AddPortMapping");
    assert!(soap() - before <= u64::from(LEASES) * 7, "{:?}", gateway.counters());
}

#[tokio::test]
async fn many_leases_on_a_slow_router_are_mapped_and_released_however_long_the_queue() {
    const LEASES: u16 = 60;
    let gateway = gateway(Faults { service_ms: 20, http_serial: true, ..Faults::default() });
    let mapper = Arc::new(mapper(&gateway));
    let mut tasks = tokio::task::JoinSet::new();
    for port in 4000..4000 + LEASES {
        let mapper = Arc::clone(&mapper);
        tasks.spawn(async move { mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap() });
    }
    let mappings = tasks.join_all().await;
    assert_eq!(gateway.mappings().len(), usize::from(LEASES));
    let mut tasks = tokio::task::JoinSet::new();
    for mapping in mappings {
        let mapper = Arc::clone(&mapper);
        tasks.spawn(async move { mapper.remove(&mapping).await.unwrap() });
    }
    tasks.join_all().await;
    assert!(gateway.mappings().is_empty());
}
