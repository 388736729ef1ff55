//! Real swarms behind the simulated gateway.

use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, ping, tcp, yamux};
use libp2p_portlease::{Behaviour, Event};
use portlease::{Config, Transport};
use portlease_gateway::{Faults, Gateway, GatewayConfig};
use tokio::time::timeout;

/// Longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, so that a mapping that the router no longer renews is lost within seconds.
const LIFETIME: Duration = Duration::from_secs(4);

#[derive(NetworkBehaviour)]
struct Peer {
    ping: ping::Behaviour,
    portlease: Behaviour,
}

fn gateway(faults: Faults) -> Gateway {
    Gateway::start(GatewayConfig { faults, ..GatewayConfig::default() }).expect("a gateway")
}

fn swarm(gateway: &Gateway) -> Swarm<Peer> {
    let config = Config::default().gateway(gateway.address()).pcp_port(gateway.pcp_port());
    let config = config.ssdp_address(gateway.ssdp_address()).ttl(LIFETIME).failure_threshold(1);
    let portlease = Behaviour::new(config).expect("a mapper");
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| Peer { ping: ping::Behaviour::default(), portlease })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build()
}

fn listen(swarm: &mut Swarm<Peer>) -> ListenerId {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a listener")
}

/// Runs the swarm until an event is the right one.
async fn until<T>(swarm: &mut Swarm<Peer>, right: impl Fn(&SwarmEvent<PeerEvent>) -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = right(&swarm.select_next_some().await) {
                return found;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("the event comes in time")
}

async fn confirmed(swarm: &mut Swarm<Peer>) -> Multiaddr {
    let right = |event: &SwarmEvent<_>| match event {
        SwarmEvent::ExternalAddrConfirmed { address } => Some(address.clone()),
        _ => None,
    };
    until(swarm, right).await
}

async fn expired(swarm: &mut Swarm<Peer>) -> Multiaddr {
    let right = |event: &SwarmEvent<_>| match event {
        SwarmEvent::ExternalAddrExpired { address } => Some(address.clone()),
        _ => None,
    };
    until(swarm, right).await
}

/// What the behaviour says next.
async fn said(swarm: &mut Swarm<Peer>) -> Event {
    let right = |event: &SwarmEvent<_>| match event {
        SwarmEvent::Behaviour(PeerEvent::Portlease(event)) => Some(event.clone()),
        _ => None,
    };
    until(swarm, right).await
}

fn external(swarm: &Swarm<Peer>) -> Vec<Multiaddr> {
    swarm.external_addresses().cloned().collect()
}

#[tokio::test]
async fn a_mapped_listener_is_an_external_address_at_which_a_peer_outside_pings_the_swarm() {
    let gateway = gateway(Faults::default());
    let mut home = swarm(&gateway);
    listen(&mut home);
    let address = confirmed(&mut home).await;
    let mapping = gateway.mappings().into_iter().next().expect("a mapping");
    assert_eq!(address.to_string(), format!("/ip4/192.0.1.1/tcp/{}", mapping.external_port));
    assert_eq!(external(&home), [address]);

    let entrance: Multiaddr =
        format!("/ip4/{}/tcp/{}", mapping.reach.ip(), mapping.reach.port()).parse().expect("an address");
    let id = *home.local_peer_id();
    tokio::spawn(async move {
        loop {
            home.select_next_some().await;
        }
    });
    let mut outside = swarm(&gateway);
    outside.dial(entrance.with_p2p(id).expect("an id")).expect("a dial");
    let right = |event: &SwarmEvent<PeerEvent>| match event {
        SwarmEvent::Behaviour(PeerEvent::Ping(ping)) => Some((ping.peer, ping.result.is_ok())),
        _ => None,
    };
    assert_eq!(until(&mut outside, right).await, (id, true));
}

#[tokio::test]
async fn an_address_that_the_router_has_lost_expires_and_is_confirmed_again_when_it_is_mapped_again() {
    let gateway = gateway(Faults::default());
    let mut home = swarm(&gateway);
    listen(&mut home);
    let address = confirmed(&mut home).await;
    gateway.update_faults(|faults| faults.table_full = true);
    gateway.reboot();
    assert_eq!(expired(&mut home).await, address);
    assert_eq!(external(&home), [] as [Multiaddr; 0]);
    gateway.update_faults(|faults| faults.table_full = false);
    assert_eq!(confirmed(&mut home).await, address);
}

#[tokio::test]
async fn the_end_of_a_listener_expires_its_address_and_releases_the_mapping() {
    let gateway = gateway(Faults::default());
    let mut home = swarm(&gateway);
    let listener = listen(&mut home);
    let address = confirmed(&mut home).await;
    assert!(home.remove_listener(listener));
    assert_eq!(expired(&mut home).await, address);
    assert!(gateway.wait_for_async(PATIENCE, |state| state.mappings.is_empty()).await);
}

#[tokio::test]
async fn dropping_the_swarm_releases_its_mappings() {
    let gateway = gateway(Faults::default());
    let mut home = swarm(&gateway);
    listen(&mut home);
    listen(&mut home);
    confirmed(&mut home).await;
    confirmed(&mut home).await;
    assert_eq!(gateway.mappings().len(), 2);
    drop(home);
    assert!(gateway.wait_for_async(PATIENCE, |state| state.mappings.is_empty()).await);
}

#[tokio::test]
async fn the_port_of_the_external_address_is_the_one_that_the_router_has_granted() {
    let gateway = gateway(Faults { granted_port: Some(40123), ..Faults::default() });
    let mut home = swarm(&gateway);
    listen(&mut home);
    assert_eq!(confirmed(&mut home).await.to_string(), "/ip4/192.0.1.1/tcp/40123");
}

#[tokio::test]
async fn behind_another_nat_the_swarm_gets_no_address_and_is_told_why() {
    let gateway = gateway(Faults { cgnat: true, ..Faults::default() });
    let mut home = swarm(&gateway);
    listen(&mut home);
    assert!(matches!(said(&mut home).await, Event::NotPublic { .. }));
    assert_eq!(external(&home), [] as [Multiaddr; 0]);
}

#[tokio::test]
async fn a_router_that_refuses_is_told_once_until_it_maps() {
    // It allows another attempt a second later.
    let refusing = Faults { table_full: true, error_lifetime: Some(1), ..Faults::default() };
    let gateway = gateway(refusing);
    let mut home = swarm(&gateway);
    listen(&mut home);
    assert!(matches!(said(&mut home).await, Event::Failed { transport: Transport::Tcp, .. }));
    // Attempts after that go on failing without another event.
    let attempts = gateway.counters().get("pcp_map");
    let more = gateway.wait_for_async(PATIENCE, |state| state.counters.get("pcp_map") > attempts + 1);
    tokio::select! {
        more = more => assert!(more),
        event = said(&mut home) => panic!("{event:?}"),
    }
    gateway.set_faults(Faults::default());
    confirmed(&mut home).await;
}
