//! A mapping forwards for as long as it lives, and not a moment longer.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::*;
use portlease_gateway::{Event, Gateway, GatewayConfig, Mapping, Protocol, Transport};

fn only(gateway: &Gateway) -> Mapping {
    let mut mappings = gateway.mappings();
    assert_eq!(mappings.len(), 1, "{mappings:?}");
    mappings.remove(0)
}

fn map_udp(gateway: &Gateway, port: u16, lifetime: u32) -> Mapping {
    map_udp_to(gateway, port, external_port(port), lifetime)
}

fn map_udp_to(gateway: &Gateway, port: u16, external: u16, lifetime: u32) -> Mapping {
    let answer = pcp_answer(&ask(&client(gateway), &pcp_map(17, port, external, lifetime, NONCE)));
    assert_eq!(answer.result, 0);
    only(gateway)
}

/// The external address of a gateway with the default settings.
fn outside() -> IpAddr {
    GatewayConfig::default().external_bind
}

/// An external port for an app on `port` of 127.0.0.1: the same one. If that is the external address too, the app has it there
/// already, so it is another one, which is free.
fn external_port(port: u16) -> u16 {
    if outside() != Ipv4Addr::LOCALHOST {
        return port;
    }
    UdpSocket::bind((outside(), 0)).unwrap().local_addr().unwrap().port()
}

fn delete_udp(gateway: &Gateway, port: u16) {
    assert_eq!(pcp_answer(&ask(&client(gateway), &pcp_map(17, port, 0, 0, NONCE))).result, 0);
}

#[test]
fn a_datagram_from_outside_reaches_the_app_and_its_answer_comes_back() {
    let gateway = gateway();
    let mapping = map_udp(&gateway, udp_app(), 60);
    for _ in 0..2 {
        assert_eq!(udp_from_outside(mapping.reach, PATIENCE).as_deref(), Some(&b"echo:hello"[..]));
    }
}

#[test]
fn a_connection_from_outside_reaches_the_app_and_its_answer_comes_back() {
    let gateway = gateway();
    let port = tcp_app();
    assert_eq!(u16_at(&ask(&client(&gateway), &natpmp_map(2, port, port, 60)), 2), 0);
    assert_eq!(tcp_from_outside(only(&gateway).reach).as_deref(), Some("echo:hello"));
}

#[test]
fn the_external_port_is_where_it_says_it_is() {
    let gateway = gateway();
    let port = udp_app();
    let external = external_port(port);
    let mapping = map_udp_to(&gateway, port, external, 60);
    assert_eq!(mapping.reach, SocketAddr::new(outside(), external));
}

#[test]
fn an_external_port_that_cannot_be_opened_is_reached_at_another_one() {
    let gateway = gateway();
    let app = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = app.local_addr().unwrap().port();
    let external = external_port(port);
    let _taken = UdpSocket::bind((outside(), external)).unwrap();
    let mapping = map_udp_to(&gateway, port, external, 60);
    assert_ne!(mapping.reach.port(), mapping.external_port);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", mapping.reach).unwrap();
    app.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(app.recv(&mut [0; 16]).unwrap(), 5);
}

#[test]
fn peers_are_kept_apart() {
    let gateway = gateway();
    let mapping = map_udp(&gateway, udp_app(), 60);
    let peers: Vec<UdpSocket> = (0..20).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.send_to(number.to_string().as_bytes(), mapping.reach).unwrap();
    }
    for (number, peer) in peers.iter().enumerate() {
        let mut buffer = [0; 32];
        let length = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], format!("echo:{number}").as_bytes());
    }
}

#[test]
fn nothing_passes_after_a_delete_and_the_port_is_free_at_once() {
    let gateway = gateway();
    let port = udp_app();
    let external = external_port(port);
    for _ in 0..20 {
        let mapping = map_udp_to(&gateway, port, external, 60);
        assert_eq!(mapping.reach.port(), external, "the port was still taken");
        delete_udp(&gateway, port);
        assert_eq!(udp_from_outside(mapping.reach, QUIET), None);
    }
}

#[test]
fn a_delete_cuts_connections_that_are_open() {
    let gateway = gateway();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    ask(&client(&gateway), &natpmp_map(2, port, port, 60));
    let mut outside = TcpStream::connect(only(&gateway).reach).unwrap();
    outside.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut inside, _) = listener.accept().unwrap();
    inside.write_all(b"x").unwrap();
    outside.read_exact(&mut [0]).unwrap();
    ask(&client(&gateway), &natpmp_map(2, port, 0, 0));
    assert!(matches!(outside.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn a_lease_runs_out_by_itself_unless_it_is_renewed() {
    let gateway = gateway();
    let events = gateway.events();
    let port = udp_app();
    let began = Instant::now();
    let mapping = map_udp(&gateway, port, 1);
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.is_empty()));
    assert!(began.elapsed() >= Duration::from_secs(1), "after {:?}", began.elapsed());
    let expired = events.find(PATIENCE, |event| matches!(event, Event::Expired(_))).unwrap();
    assert!(matches!(expired, Event::Expired(gone) if gone.external_port == mapping.external_port));
    assert_eq!(udp_from_outside(mapping.reach, QUIET), None);

    map_udp(&gateway, port, 1);
    map_udp(&gateway, port, 600);
    assert!(!gateway.wait_for(Duration::from_millis(1200), |state| state.mappings.is_empty()));
    assert_eq!(udp_from_outside(only(&gateway).reach, PATIENCE).as_deref(), Some(&b"echo:hello"[..]));
}

#[test]
fn a_reboot_forgets_everything() {
    let gateway = gateway();
    let events = gateway.events();
    let mapping = map_udp(&gateway, udp_app(), 60);
    let (url, epoch) = (gateway.description_url(), gateway.state().epoch);
    gateway.reboot();
    assert!(gateway.mappings().is_empty());
    assert_eq!(udp_from_outside(mapping.reach, QUIET), None);
    assert!(gateway.state().epoch < epoch);
    assert_ne!(gateway.description_url(), url);
    assert!(get(&gateway, "/rootDesc.xml").contains("InternetGatewayDevice"));
    assert!(events.find(PATIENCE, |event| matches!(event, Event::Reboot(_))).is_some());
}

#[test]
fn a_mapping_of_the_routers_own_forwards_and_occupies_its_port() {
    let gateway = gateway();
    let app = SocketAddr::from(([127, 0, 0, 1], udp_app()));
    let mapping = gateway.add_mapping(Transport::Udp, 4300, app, None).unwrap();
    assert_eq!((mapping.protocol, mapping.expires_in), (Protocol::Static, None));
    assert_eq!(udp_from_outside(mapping.reach, PATIENCE).as_deref(), Some(&b"echo:hello"[..]));
    assert!(gateway.add_mapping(Transport::Udp, 4300, app, None).is_err());
    assert!(gateway.remove_mapping(Transport::Udp, 4300));
    assert_eq!(udp_from_outside(mapping.reach, QUIET), None);
    assert!(!gateway.remove_mapping(Transport::Udp, 4300));
}

#[test]
fn a_stopped_gateway_leaves_no_port_open() {
    let gateway = gateway();
    let mapping = map_udp(&gateway, udp_app(), 60);
    let pcp = SocketAddr::new(gateway.address(), gateway.pcp_port());
    let http = gateway.http_address();
    gateway.stop();
    UdpSocket::bind(mapping.reach).unwrap();
    UdpSocket::bind(pcp).unwrap();
    TcpListener::bind(http).unwrap();
}

#[test]
fn without_forwarding_the_table_is_kept_and_no_port_is_opened() {
    let gateway = start(|config| config.forward = false);
    let port = udp_app();
    let mapping = map_udp(&gateway, port, 60);
    assert_eq!(udp_from_outside(mapping.reach, QUIET), None);
    delete_udp(&gateway, port);
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_gateway_lives_and_waits_inside_a_runtime_too() {
    let gateway = gateway();
    let waiting = gateway.wait_for_async(PATIENCE, |state| !state.mappings.is_empty());
    let mapping = async { gateway.add_mapping(Transport::Tcp, 4301, "127.0.0.1:9".parse().unwrap(), Some(1)) };
    let (seen, added) = tokio::join!(waiting, mapping);
    assert!(seen && added.is_ok());
    assert!(!gateway.wait_for_async(Duration::from_millis(20), |_| false).await);
    assert!(gateway.wait_for_async(PATIENCE, |state| state.mappings.is_empty()).await, "it expires");
    drop(gateway);
}
