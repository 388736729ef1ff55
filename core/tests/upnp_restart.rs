//! The UPnP mapper after the gateway has restarted: an empty table, and a web server at another port.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use portlease::client::{PortMapperClient, UpnpConfig, UpnpMapper};
use portlease::{MapRequest, PortMapping, Transport};
use portlease_gateway::{Faults, Gateway, GatewayConfig};

const HOUR: Duration = Duration::from_secs(3600);
const LEASES: u16 = 12;

fn gateway(keeps_port: bool) -> Gateway {
    let faults = Faults { reboot_keeps_http_port: keeps_port, ..Faults::default() };
    Gateway::start(GatewayConfig { faults, pcp: false, nat_pmp: false, ..GatewayConfig::default() }).unwrap()
}

async fn mapped(gateway: &Gateway) -> (UpnpMapper, Vec<PortMapping>) {
    let mapper = UpnpMapper::new(UpnpConfig::new(gateway.address()).ssdp_address(gateway.ssdp_address()));
    let mut mappings = Vec::new();
    for port in 4000..4000 + LEASES {
        mappings.push(mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap());
    }
    (mapper, mappings)
}

fn searches(gateway: &Gateway) -> u64 {
    gateway.counters().get("ssdp_search")
}

/// How many messages one search is that is answered at once.
async fn one_search(gateway: &Gateway) -> u64 {
    let before = searches(gateway);
    UpnpMapper::new(UpnpConfig::new(gateway.address()).ssdp_address(gateway.ssdp_address())).search().await.unwrap();
    searches(gateway) - before
}

#[tokio::test]
async fn leases_that_renew_one_after_the_other_come_back_with_their_ports_by_one_search() {
    for keeps_port in [false, true] {
        let gateway = gateway(keeps_port);
        let (mapper, mappings) = mapped(&gateway).await;
        let before = searches(&gateway);
        gateway.reboot();
        let mut renewed = vec![mapper.renew(&mappings[0]).await.unwrap()];
        let by_the_first = searches(&gateway);
        assert_eq!(by_the_first > before, !keeps_port);
        for mapping in &mappings[1..] {
            renewed.push(mapper.renew(mapping).await.unwrap());
        }
        assert_eq!(searches(&gateway), by_the_first, "a lease has searched for itself");
        let ports = |mappings: &[PortMapping]| mappings.iter().map(|one| one.external).collect::<Vec<_>>();
        assert_eq!(ports(&renewed), ports(&mappings));
        assert_eq!(gateway.mappings().len(), usize::from(LEASES));
        for mapping in &renewed {
            mapper.remove(mapping).await.unwrap();
        }
        assert!(gateway.mappings().is_empty());
    }
}

#[tokio::test]
async fn leases_that_renew_together_come_back_with_their_ports_by_one_search() {
    let gateway = gateway(false);
    let one = one_search(&gateway).await;
    let (mapper, mappings) = mapped(&gateway).await;
    let before = searches(&gateway);
    gateway.reboot();
    let mapper = std::sync::Arc::new(mapper);
    let mut renewals = tokio::task::JoinSet::new();
    for mapping in mappings {
        let mapper = std::sync::Arc::clone(&mapper);
        renewals.spawn(async move { (mapper.renew(&mapping).await.unwrap().external, mapping.external) });
    }
    for (renewed, before) in renewals.join_all().await {
        assert_eq!(renewed, before);
    }
    assert_eq!(gateway.mappings().len(), usize::from(LEASES));
    // A busy machine may repeat a search before the answer is read.
    assert!(searches(&gateway) - before <= 3 * one, "more than one search");
}

#[tokio::test]
async fn mappings_that_were_not_renewed_since_the_restart_are_released_at_the_new_place_by_one_search() {
    let gateway = gateway(false);
    let (mapper, mappings) = mapped(&gateway).await;
    gateway.reboot();
    mapper.remove(&mappings[0]).await.unwrap();
    let before = searches(&gateway);
    for mapping in &mappings[1..] {
        mapper.remove(mapping).await.unwrap();
    }
    assert_eq!(searches(&gateway), before);
}
