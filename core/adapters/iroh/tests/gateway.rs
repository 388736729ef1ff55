//! An iroh endpoint behind the simulated gateway: what it tells its peers, and a peer that connects from outside.

use std::net::SocketAddr;
use std::time::Duration;

use iroh::endpoint::{PortmapperConfig, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, Watcher};
use iroh_portlease::Reachable;
use portlease::{Config, Release};
use portlease_gateway::{Faults, Gateway, GatewayConfig};
use tokio::time::timeout;

/// Longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, so that a mapping that the router no longer renews is lost within seconds.
const LIFETIME: Duration = Duration::from_secs(4);
const PROTOCOL: &[u8] = b"portlease/test";

fn config(gateway: &Gateway) -> Config {
    let config = Config::default().gateway(gateway.address()).pcp_port(gateway.pcp_port());
    config.ssdp_address(gateway.ssdp_address()).ttl(LIFETIME).failure_threshold(1)
}

async fn endpoint() -> Endpoint {
    let builder = Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled);
    let builder = builder.portmapper_config(PortmapperConfig::Disabled).alpns(vec![PROTOCOL.to_vec()]);
    let builder = builder.clear_ip_transports().bind_addr("127.0.0.1:0").expect("an address");
    builder.bind().await.expect("an endpoint")
}

fn external(endpoint: &Endpoint) -> SocketAddr {
    let port = endpoint.bound_sockets().first().expect("a port").port();
    SocketAddr::from(([192, 0, 1, 1], port))
}

/// Waits until the endpoint tells its peers that address, or does not.
async fn until(endpoint: &Endpoint, address: SocketAddr, told: bool) {
    let mut addresses = endpoint.watch_addr();
    let change = async {
        while addresses.get().ip_addrs().any(|other| *other == address) != told {
            addresses.updated().await.expect("the endpoint lives");
        }
    };
    timeout(PATIENCE, change).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_tells_its_external_address_and_a_peer_outside_connects_through_the_gateway() {
    let gateway = Gateway::start(GatewayConfig::default()).expect("a gateway");
    let home = endpoint().await;
    let reachable = Reachable::start(&home, config(&gateway)).expect("a mapper");
    until(&home, external(&home), true).await;

    let entrance = gateway.mappings().first().expect("a mapping").reach;
    let accepting = tokio::spawn({
        let home = home.clone();
        async move { home.accept().await.expect("an attempt").await.expect("a connection").remote_id() }
    });
    let outside = endpoint().await;
    let address = EndpointAddr::new(home.id()).with_ip_addr(entrance);
    let connection = timeout(PATIENCE, outside.connect(address, PROTOCOL)).await.expect("in time").expect("connected");
    assert_eq!(connection.remote_id(), home.id());
    assert_eq!(timeout(PATIENCE, accepting).await.expect("in time").expect("accepted"), outside.id());

    assert_eq!(reachable.stop().await, Release::Released);
    assert!(gateway.mappings().is_empty());
    until(&home, external(&home), false).await;
    outside.close().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_router_has_lost_is_taken_back_and_told_again_when_it_is_mapped_again() {
    let gateway = Gateway::start(GatewayConfig::default()).expect("a gateway");
    let home = endpoint().await;
    let reachable = Reachable::start(&home, config(&gateway)).expect("a mapper");
    until(&home, external(&home), true).await;
    gateway.update_faults(|faults| faults.table_full = true);
    gateway.reboot();
    until(&home, external(&home), false).await;
    gateway.update_faults(|faults| faults.table_full = false);
    until(&home, external(&home), true).await;
    reachable.stop().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_moves_to_another_address_moves_the_one_that_is_told() {
    let gateway = Gateway::start(GatewayConfig::default()).expect("a gateway");
    let home = endpoint().await;
    let reachable = Reachable::start(&home, config(&gateway)).expect("a mapper");
    let old = external(&home);
    until(&home, old, true).await;
    gateway.set_external_address(Some([192, 0, 1, 9].into()));
    until(&home, SocketAddr::from(([192, 0, 1, 9], old.port())), true).await;
    until(&home, old, false).await;
    reachable.stop().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_internet_cannot_reach_is_not_told() {
    let faults = Faults { cgnat: true, ..Faults::default() };
    let gateway = Gateway::start(GatewayConfig { faults, ..GatewayConfig::default() }).expect("a gateway");
    let home = endpoint().await;
    let before = home.addr();
    let reachable = Reachable::start(&home, config(&gateway)).expect("a mapper");
    let lease = reachable.mapper().leases().into_iter().next().expect("a lease");
    assert!(lease.ready(PATIENCE).await.expect("a mapping").external().is_some());
    reachable.stop().await;
    assert_eq!(home.addr(), before);
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_and_the_end_of_the_endpoint_release_the_mapping() {
    let gateway = Gateway::start(GatewayConfig::default()).expect("a gateway");
    let home = endpoint().await;
    let reachable = Reachable::start(&home, config(&gateway)).expect("a mapper");
    until(&home, external(&home), true).await;
    drop(reachable);
    assert!(gateway.wait_for_async(PATIENCE, |state| state.mappings.is_empty()).await);
    until(&home, external(&home), false).await;

    let _reachable = Reachable::start(&home, config(&gateway)).expect("a mapper");
    until(&home, external(&home), true).await;
    home.close().await;
    assert!(gateway.wait_for_async(PATIENCE, |state| state.mappings.is_empty()).await);
}
