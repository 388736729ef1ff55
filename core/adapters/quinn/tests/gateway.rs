//! The endpoint behind the simulated gateway: a client connects from outside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use portlease::{Config, ErrorKind, Release};
use portlease_gateway::{Faults, Gateway, GatewayConfig, Mode};
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use tokio::time::timeout;

/// Longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn config(gateway: &Gateway) -> Config {
    Config::default().gateway(gateway.address()).pcp_port(gateway.pcp_port()).ssdp_address(gateway.ssdp_address())
}

fn server() -> (ServerConfig, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["home".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    (ServerConfig::with_single_cert(vec![certificate.clone()], key.into()).expect("a server"), certificate)
}

/// A connection to that address, from an endpoint of its own.
async fn connect(address: SocketAddr, certificate: CertificateDer<'static>) -> (Endpoint, Connection) {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let mut endpoint = Endpoint::client(ANY_PORT).expect("a client");
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots)).expect("a configuration"));
    let connecting = endpoint.connect(address, "home").expect("an address");
    let connection = timeout(PATIENCE, connecting).await.expect("in time").expect("a connection");
    (endpoint, connection)
}

/// Accepts one connection and answers one stream of it with what it brings.
async fn echo_once(endpoint: Endpoint) {
    let connection = endpoint.accept().await.expect("an attempt").await.expect("a connection");
    let (mut to, mut from) = connection.accept_bi().await.expect("a stream");
    to.write_all(&from.read_to_end(1024).await.expect("a question")).await.expect("an answer");
    to.finish().expect("an end");
    connection.closed().await;
}

async fn hello(connection: &Connection) -> Vec<u8> {
    let (mut to, mut from) = connection.open_bi().await.expect("a stream");
    to.write_all(b"hello").await.expect("a question");
    to.finish().expect("an end");
    let heard = timeout(PATIENCE, from.read_to_end(1024)).await.expect("in time").expect("an answer");
    connection.close(0u32.into(), b"");
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_outside_talks_to_the_endpoint_through_the_gateway_until_the_stop() {
    let gateway = Gateway::start(GatewayConfig::default()).expect("a gateway");
    let (server, certificate) = server();
    let (endpoint, open) = quinn_portlease::listen(ANY_PORT, server, config(&gateway)).expect("an endpoint");
    let mapped = open.ready(PATIENCE).await.expect("a mapping");
    let port = endpoint.local_addr().expect("bound").port();
    assert_eq!(mapped.external(), Some(SocketAddr::from(([192, 0, 1, 1], port))));

    let entrance = gateway.mappings().first().expect("a mapping").reach;
    assert_ne!(entrance, endpoint.local_addr().expect("bound"));
    let echo = tokio::spawn(echo_once(endpoint.clone()));
    let (_client, connection) = connect(entrance, certificate).await;
    assert_eq!(hello(&connection).await, b"hello");
    timeout(PATIENCE, echo).await.expect("in time").expect("an echo");

    assert_eq!(open.stop(None).await, Release::Released);
    assert!(gateway.mappings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_router_that_maps_nothing_the_endpoint_serves_the_lan_and_says_why() {
    let faults =
        Faults { pcp: Mode::Refuse(2), nat_pmp: Mode::Refuse(2), upnp: Mode::Refuse(606), ..Faults::default() };
    let gateway = Gateway::start(GatewayConfig { faults, ..GatewayConfig::default() }).expect("a gateway");
    let (server, certificate) = server();
    let (endpoint, open) = quinn_portlease::listen(ANY_PORT, server, config(&gateway)).expect("an endpoint");
    assert_eq!(open.ready(PATIENCE).await.expect_err("refused").kind(), ErrorKind::Refused);

    let echo = tokio::spawn(echo_once(endpoint.clone()));
    let (_client, connection) = connect(endpoint.local_addr().expect("bound"), certificate).await;
    assert_eq!(hello(&connection).await, b"hello");
    timeout(PATIENCE, echo).await.expect("in time").expect("an echo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_socket_has_is_an_error_and_nothing_is_mapped() {
    let gateway = Gateway::start(GatewayConfig::default()).expect("a gateway");
    let other = UdpSocket::bind(ANY_PORT).expect("a port");
    let taken = other.local_addr().expect("bound");
    let error = quinn_portlease::listen(taken, server().0, config(&gateway)).expect_err("the port is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(gateway.counters().0.is_empty());
}
