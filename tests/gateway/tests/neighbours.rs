//! Several UPnP devices on one LAN, each with an address of its own.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]
// Only Linux has the whole of 127.0.0.0/8 on its loopback interface.
#![cfg(target_os = "linux")]

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use common::*;
use portlease_gateway::{Gateway, GatewayConfig};

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// A device on the LAN that is not the router, as far as PCP and NAT-PMP go.
fn other(change: impl FnOnce(&mut GatewayConfig)) -> Gateway {
    start(|config| {
        config.bind = OTHER;
        (config.pcp, config.nat_pmp) = (false, false);
        config.external_address = Some(Ipv4Addr::new(8, 8, 8, 8));
        change(config);
    })
}

/// Searches at the gateway; who answered, with the answers, in their order.
fn search(gateway: &Gateway, answers: usize) -> Vec<(SocketAddr, String)> {
    search_from(gateway.ssdp_address(), "upnp:rootdevice", answers)
}

fn call(gateway: &Gateway, action: &str, arguments: &[(&str, &str)]) -> String {
    soap(gateway, action, arguments)
}

#[test]
fn a_neighbour_hears_the_searches_and_answers_from_its_own_address() {
    let (gateway, other) = (gateway(), other(|_| {}));
    gateway.add_neighbour(&other);
    let answers = search(&gateway, 2);
    for one in [&gateway, &other] {
        let (_, text) = answers.iter().find(|(from, _)| *from == one.ssdp_address()).unwrap();
        assert!(text.contains(&format!("LOCATION: {}\r\n", one.description_url())), "{text}");
    }
    assert_eq!(search(&other, 1).len(), 1, "what arrives at the neighbour alone is heard by it alone");
    assert_eq!((gateway.counters().get("ssdp_search"), other.counters().get("ssdp_search")), (1, 2));
}

#[test]
fn a_neighbour_comes_first_or_last_as_its_delay_says() {
    for gateway_is_late in [true, false] {
        let (gateway, other) = (gateway(), other(|_| {}));
        gateway.add_neighbour(&other);
        let late = if gateway_is_late { &gateway } else { &other };
        late.update_faults(|faults| faults.ssdp_delay_ms = 300);
        let order: Vec<SocketAddr> = search(&gateway, 2).into_iter().map(|(from, _)| from).collect();
        let expected = if gateway_is_late { [&other, &gateway] } else { [&gateway, &other] };
        assert_eq!(order, expected.map(Gateway::ssdp_address));
    }
}

#[test]
fn a_neighbour_has_its_own_udn_address_table_and_connection() {
    let (gateway, other) = (gateway(), other(|config| config.secure_mode = false));
    let udn = |gateway: &Gateway| element(&get(gateway, "/rootDesc.xml"), "UDN").unwrap().to_owned();
    assert_ne!(udn(&gateway), udn(&other));
    assert_eq!(element(&call(&other, "GetExternalIPAddress", &[]), "NewExternalIPAddress"), Some("8.8.8.8"));
    assert_eq!(error_code(&add(&other, 4000, 4000, "UDP", 60)), None);
    assert_eq!((gateway.mappings().len(), other.mappings().len()), (0, 1));
    other.update_faults(|faults| faults.connection_status = Some("Disconnected".into()));
    assert_eq!(element(&call(&other, "GetStatusInfo", &[]), "NewConnectionStatus"), Some("Disconnected"));
    assert_eq!(element(&call(&gateway, "GetStatusInfo", &[]), "NewConnectionStatus"), Some("Connected"));
}

#[test]
fn a_neighbour_that_is_gone_is_not_missed() {
    let (gateway, other) = (gateway(), other(|_| {}));
    gateway.add_neighbour(&other);
    other.stop();
    assert_eq!(search(&gateway, 2).len(), 1);
}
