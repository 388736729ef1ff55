//! What the tests against the simulated gateway share.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use portlease::{Config, Protocol};
use portlease_gateway::{Gateway, GatewayConfig};

/// Long enough for everything that is bounded; a test that waits this long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// A gateway with nothing wrong.
pub(crate) fn gateway() -> Gateway {
    gateway_with(|_| {})
}

/// A gateway after `change`.
pub(crate) fn gateway_with(change: impl FnOnce(&mut GatewayConfig)) -> Gateway {
    let mut config = GatewayConfig::default();
    change(&mut config);
    Gateway::start(config).expect("the simulated gateway starts")
}

/// A configuration that finds `gateway`.
pub(crate) fn config(gateway: &Gateway) -> Config {
    Config::default().gateway(gateway.address()).pcp_port(gateway.pcp_port()).ssdp_address(gateway.ssdp_address())
}

/// The same with one protocol alone.
pub(crate) fn config_for(gateway: &Gateway, protocol: Protocol) -> Config {
    config(gateway).protocols([protocol])
}

/// An app that hears datagrams on a free port of its own.
pub(crate) struct UdpApp(UdpSocket);

impl UdpApp {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_read_timeout(Some(LONG)).expect("a time-out");
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("bound").port()
    }

    /// Whether a datagram sent to `entrance` from outside arrives here and its answer there.
    pub(crate) fn answers_through(&self, entrance: SocketAddr) -> bool {
        let outside = UdpSocket::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).expect("a free port");
        outside.set_read_timeout(Some(LONG)).expect("a time-out");
        outside.send_to(b"knock", entrance).expect("sent");
        let mut buffer = [0; 16];
        let Ok((length, from)) = self.0.recv_from(&mut buffer) else { return false };
        assert_eq!(&buffer[..length], b"knock");
        self.0.send_to(b"hello", from).expect("answered");
        outside.recv_from(&mut buffer).is_ok_and(|(length, _)| &buffer[..length] == b"hello")
    }
}
