//! The firewall for IPv6 by PCP, what passes through its pinholes, and the router without one.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::ipv6::*;
use common::{NONCE, PATIENCE, QUIET, ask, pcp_answer, u32_at};
use portlease_gateway::{Announcement, Event, Gateway, GatewayConfig, GatewayError, NewMapping, Protocol, Transport};

const NOT_AUTHORIZED: u8 = 2;
const CANNOT_PROVIDE_EXTERNAL: u8 = 11;
const ADDRESS_MISMATCH: u8 = 12;
const UNSPECIFIED: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const HERE: Ipv6Addr = Ipv6Addr::LOCALHOST;

#[test]
fn a_gateway_has_no_ipv6_unless_asked() {
    let gateway = common::gateway();
    let addresses = serde_json::to_value(gateway.addresses()).unwrap();
    let mut names: Vec<_> = addresses.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["description_url", "gateway", "http_address", "pcp_port", "ssdp_address"]);
    assert!(!common::get(&gateway, "/rootDesc.xml").contains("WANIPv6FirewallControl"));
    assert!(matches!(gateway.renumber(HERE, 64), Err(GatewayError::Config(_))));
    let mapped = common::add(&gateway, 4100, 4000, "UDP", 600);
    assert!(mapped.contains("200 OK"));
    let mapping = serde_json::to_value(&gateway.mappings()[0]).unwrap();
    assert!(mapping.get("unique_id").is_none(), "{mapping}");
    assert_eq!(gateway.counters().0.keys().collect::<Vec<_>>(), ["http_description", "soap_AddPortMapping"]);
}

#[test]
fn the_ports_have_the_same_numbers_in_both_protocols() {
    let Some(gateway) = firewall() else { return };
    let (ipv4, ipv6) = (gateway.addresses(), over_ipv6(&gateway));
    assert_eq!(ipv6.gateway, HERE);
    assert_eq!(
        (ipv6.pcp_port, ipv6.ssdp_address.port(), ipv6.http_address.port()),
        (ipv4.pcp_port, ipv4.ssdp_address.port(), ipv4.http_address.port())
    );
    assert_eq!(ipv6.description_url, format!("http://[::1]:{}/rootDesc.xml", ipv6.http_address.port()));
    gateway.reboot();
    let (http_before, after) = (ipv6.http_address, over_ipv6(&gateway));
    assert_ne!(after.http_address, http_before);
    assert!(after.description_url.contains(&after.http_address.to_string()));
    assert!(
        common::http_raw(after.http_address, "GET /rootDesc.xml HTTP/1.1\r\n\r\n", 15).0.starts_with(b"HTTP/1.1 200")
    );
}

#[test]
fn a_machine_without_ipv6_starts_and_says_so() {
    const NAME: &str = "a_machine_without_ipv6_starts_and_says_so";
    if !is_in_namespace(NAME, "ip -6 address flush dev lo") {
        return;
    }
    let gateway = common::start(|config| config.ipv6 = true);
    let addresses = gateway.addresses();
    assert_eq!(addresses.ipv6, None);
    assert!(addresses.no_ipv6.unwrap().starts_with("::1 cannot be bound: "));
    assert_eq!(pcp_answer(&ask(&common::client(&gateway), &common::pcp_map(UDP, 4000, 4100, 60, NONCE))).result, 0);
    // An address that was asked for must be there.
    let named = GatewayConfig { ipv6: true, ipv6_bind: "fd00::9".parse().unwrap(), ..GatewayConfig::default() };
    assert!(matches!(Gateway::start(named), Err(GatewayError::Bind { .. })));
}

#[test]
fn addresses_of_the_wrong_family_are_refused() {
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    for config in [
        GatewayConfig { ipv6_bind: address, ..GatewayConfig::default() },
        GatewayConfig { ipv6_external_bind: address, ..GatewayConfig::default() },
        GatewayConfig { ipv6: true, bind: HERE.into(), ..GatewayConfig::default() },
    ] {
        assert!(matches!(Gateway::start(config), Err(GatewayError::Config(_))));
    }
}

#[test]
fn a_map_request_opens_a_pinhole_for_the_very_address_and_port() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    // Whatever is suggested: a firewall translates nothing.
    for (wanted, external) in [(HERE, 4000), (UNSPECIFIED, 0), ("2001:db8::1".parse().unwrap(), 4999)] {
        let answer = pcp_answer(&ask(&socket, &map_at(HERE, wanted, (UDP, 4000, external), 600, NONCE)));
        assert_eq!((answer.opcode, answer.result, answer.lifetime), (0x81, 0, 600));
        assert_eq!((answer.internal, answer.external, answer.address), (4000, 4000, IpAddr::V6(HERE)));
    }
    let mappings = gateway.mappings();
    assert_eq!(mappings.len(), 1, "{mappings:?}");
    let pinhole = &mappings[0];
    assert_eq!((pinhole.protocol, pinhole.transport, pinhole.external_port), (Protocol::Pcp, Transport::Udp, 4000));
    assert_eq!((pinhole.internal, pinhole.expires_in), (here(4000), Some(600)));
    assert_eq!(pinhole.nonce.as_deref(), Some("0102030405060708090a0b0c"));
    assert!(pinhole.unique_id.is_some());
    assert_eq!((gateway.counters().get("pcp_map"), gateway.counters().get("over_ipv6")), (3, 3));
    // WANIPConnection knows nothing of it.
    let listed = common::soap(&gateway, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "0")]);
    assert_eq!(common::error_code(&listed), Some(713));
}

#[test]
fn the_two_families_and_transports_are_apart() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    ask(&socket, &map(UDP, 4000, 600, NONCE));
    ask(&socket, &map(TCP, 4000, 600, NONCE));
    ask(&common::client(&gateway), &common::pcp_map(UDP, 4000, 4000, 600, NONCE));
    assert_eq!(gateway.mappings().len(), 3);
    assert_eq!(gateway.mapping(Transport::Udp, 4000).unwrap().unique_id, None);
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4000, 0, NONCE))).result, 0);
    assert_eq!(gateway.mappings().len(), 2);
    assert!(udp_pinhole(&gateway, 4000).is_none());
}

#[test]
fn the_client_address_must_be_the_source() {
    let Some(gateway) = firewall() else { return };
    for client_address in ["fd00::7", "::ffff:127.0.0.1", "::"] {
        let message = map_at(client_address.parse().unwrap(), HERE, (UDP, 4000, 4000), 600, NONCE);
        assert_eq!(pcp_answer(&ask(&client(&gateway), &message)).result, ADDRESS_MISMATCH, "{client_address}");
    }
    assert!(gateway.mappings().is_empty());
}

#[test]
fn prefer_failure_insists_on_what_a_firewall_cannot_give() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    for (wanted, external, result) in [
        (HERE, 4001, CANNOT_PROVIDE_EXTERNAL),
        ("2001:db8::1".parse().unwrap(), 4000, CANNOT_PROVIDE_EXTERNAL),
        (HERE, 4000, 0),
        (UNSPECIFIED, 0, 0),
    ] {
        let mut message = map_at(HERE, wanted, (UDP, 4000, external), 600, NONCE);
        message.extend([2, 0, 0, 0]);
        assert_eq!(pcp_answer(&ask(&socket, &message)).result, result, "{wanted} {external}");
    }
}

#[test]
fn another_nonce_can_neither_renew_nor_delete() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    ask(&socket, &map(UDP, 4000, 600, NONCE));
    for lifetime in [600, 0] {
        let answer = pcp_answer(&ask(&socket, &map(UDP, 4000, lifetime, [9; 12])));
        assert_eq!(answer.result, NOT_AUTHORIZED);
        assert!((595..=600).contains(&answer.lifetime), "the refusal holds as long as the pinhole: {answer:?}");
    }
    gateway.update_faults(|faults| faults.nonce_takeover = true);
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4000, 600, [9; 12]))).result, 0);
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4000, 0, [9; 12]))).result, 0);
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_delete_of_all_ports_takes_the_callers_pinholes_alone() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    ask(&socket, &map(UDP, 4000, 600, NONCE));
    ask(&socket, &map(TCP, 4001, 600, NONCE));
    ask(&socket, &map(UDP, 4002, 600, [9; 12]));
    let all_udp = map_at(HERE, UNSPECIFIED, (UDP, 0, 0), 0, NONCE);
    assert_eq!(pcp_answer(&ask(&socket, &all_udp)).result, 0);
    assert_eq!(gateway.mappings().iter().map(|mapping| mapping.external_port).collect::<Vec<_>>(), [4001, 4002]);
    let all = map_at(HERE, UNSPECIFIED, (0, 0, 0), 0, NONCE);
    assert_eq!(pcp_answer(&ask(&socket, &all)).result, 0);
    assert_eq!(gateway.mappings().iter().map(|mapping| mapping.external_port).collect::<Vec<_>>(), [4002]);
    // What does not exist counts as deleted.
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4100, 0, NONCE))).result, 0);
}

#[test]
fn lifetimes_are_clamped_and_run_out() {
    let Some(gateway) = firewall_with(|config| config.max_lifetime = 1) else { return };
    let events = gateway.events();
    assert_eq!(pcp_answer(&ask(&client(&gateway), &map(UDP, 4000, 600, NONCE))).lifetime, 1);
    let Some(Event::Mapped(pinhole)) = events.find(PATIENCE, |event| matches!(event, Event::Mapped(_))) else {
        panic!("no pinhole");
    };
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.is_empty()));
    assert!(matches!(
        events.find(PATIENCE, |event| matches!(event, Event::Expired(_))),
        Some(Event::Expired(gone)) if gone.unique_id == pinhole.unique_id
    ));
}

#[test]
fn the_port_speaks_no_nat_pmp() {
    let Some(gateway) = firewall() else { return };
    let answer = ask(&client(&gateway), &[0, 0]);
    assert_eq!((answer.len(), answer[0], answer[1], answer[3]), (24, 2, 0x80, 1), "PCP's UNSUPP_VERSION");
}

#[test]
fn announcements_go_out_over_ipv6_from_its_ports() {
    let Some(gateway) = firewall() else { return };
    gateway.reboot();
    let listener = UdpSocket::bind(here(0)).unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = listener.local_addr().unwrap();
    let mut buffer = [0; 2048];

    // NAT-PMP has nothing to say here.
    gateway.announce(Announcement::NatPmp, to).unwrap();
    gateway.announce(Announcement::Pcp, to).unwrap();
    let (length, from) = listener.recv_from(&mut buffer).unwrap();
    assert_eq!((from, length, &buffer[..4]), (here(over_ipv6(&gateway).pcp_port), 24, &[2, 0x80, 0, 0][..]));
    assert!(u32_at(&buffer, 8) < 1000, "the epoch since the reboot");

    gateway.announce(Announcement::SsdpAlive, to).unwrap();
    let (length, from) = listener.recv_from(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..length]);
    assert_eq!(from, over_ipv6(&gateway).ssdp_address);
    assert!(text.contains(&format!("\r\nLOCATION: {}\r\n", over_ipv6(&gateway).description_url)), "{text}");

    // A request for an announcement gets one too (RFC 6887, 14.1.1).
    let mut announce = map(UDP, 0, 0, NONCE)[..24].to_vec();
    announce[1] = 0;
    assert_eq!(ask(&client(&gateway), &announce)[..4], [2, 0x80, 0, 0]);
}

#[test]
fn packets_pass_a_pinhole_for_as_long_as_it_lives() {
    let Some(gateway) = firewall() else { return };
    let outside = UdpSocket::bind(here(0)).unwrap();
    outside.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = udp_app_at(here(0));
    ask(&client(&gateway), &map(UDP, port, 600, NONCE));
    let reach = udp_pinhole(&gateway, port).unwrap().reach;
    assert_ne!(reach.port(), port, "the host has the address of the outside");
    assert!(passes(&outside, reach));
    ask(&client(&gateway), &map(UDP, port, 0, NONCE));
    outside.set_read_timeout(Some(QUIET)).unwrap();
    assert!(!passes(&outside, reach));

    let port = tcp_app();
    ask(&client(&gateway), &map(TCP, port, 600, NONCE));
    let reach = gateway.pinhole(Transport::Tcp, here(port)).unwrap().reach;
    assert_eq!(common::tcp_from_outside(reach).as_deref(), Some("echo:hello"));
    assert!(gateway.remove_pinhole(Transport::Tcp, here(port)));
    assert_eq!(common::tcp_from_outside(reach), None);
}

#[test]
fn without_forwarding_the_table_is_kept() {
    let Some(gateway) = firewall_with(|config| config.forward = false) else { return };
    ask(&client(&gateway), &map(UDP, 4000, 600, NONCE));
    assert_eq!(udp_pinhole(&gateway, 4000).unwrap().reach, here(4000));
}

#[test]
fn with_another_address_outside_a_pinhole_is_reached_at_its_own_port() {
    const NAME: &str = "with_another_address_outside_a_pinhole_is_reached_at_its_own_port";
    if !is_in_namespace(
        NAME,
        "ip -6 address add fd00::1/128 dev lo nodad && ip -6 address add fd00::2/128 dev lo nodad",
    ) {
        return;
    }
    let outside: IpAddr = "fd00::2".parse().unwrap();
    let gateway = firewall_with(|config| config.ipv6_external_bind = outside).unwrap();
    // The host inside is neither the router nor the outside.
    let inside: Ipv6Addr = "fd00::1".parse().unwrap();
    let port = udp_app_at(SocketAddr::new(inside.into(), 0));
    let socket = client_at(&gateway, inside.into());
    let answer = pcp_answer(&ask(&socket, &map_at(inside, inside, (UDP, port, port), 600, NONCE)));
    assert_eq!((answer.result, answer.external, answer.address), (0, port, IpAddr::V6(inside)));
    let pinhole = gateway.pinhole(Transport::Udp, SocketAddr::new(inside.into(), port)).unwrap();
    assert_eq!(pinhole.reach, SocketAddr::new(outside, port));
    let peer = UdpSocket::bind(here(0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(passes(&peer, pinhole.reach));
}

#[test]
fn a_renumbered_inside_loses_its_pinholes_and_serves_the_new_prefix() {
    const NAME: &str = "a_renumbered_inside_loses_its_pinholes_and_serves_the_new_prefix";
    let addresses =
        "ip -6 address add 2001:db8:1::7/128 dev lo nodad && ip -6 address add 2001:db8:2::7/128 dev lo nodad";
    if !is_in_namespace(NAME, addresses) {
        return;
    }
    let gateway = firewall().unwrap();
    let [old, new] = ["2001:db8:1::7", "2001:db8:2::7"].map(|address| address.parse::<Ipv6Addr>().unwrap());
    let map_from = |address: Ipv6Addr| map_at(address, address, (UDP, 4000, 4000), 600, NONCE);
    let from_old = client_at(&gateway, old.into());
    assert_eq!(pcp_answer(&ask(&from_old, &map_from(old))).result, 0);

    gateway.renumber("2001:db8:2::".parse().unwrap(), 64).unwrap();
    assert!(gateway.mappings().is_empty());
    from_old.send(&map_from(old)).unwrap();
    assert!(gateway.wait_for(PATIENCE, |state| state.counters.get("dropped_by_fault") == 1));
    assert!(common::stays_silent(&from_old));

    assert_eq!(pcp_answer(&ask(&client_at(&gateway, new.into()), &map_from(new))).result, 0);
    assert_eq!(gateway.mappings()[0].internal, SocketAddr::new(new.into(), 4000));
}

#[test]
fn pinholes_of_other_hosts_and_of_the_routers_settings_stay() {
    let Some(gateway) = firewall() else { return };
    let other: SocketAddr = "[2001:db8::9]:4000".parse().unwrap();
    let another_host = gateway.put_mapping(NewMapping::new(Transport::Udp, 4000, other)).unwrap();
    let own = gateway.add_mapping(Transport::Udp, 4001, here(4001), None).unwrap();
    assert_eq!((own.protocol, own.expires_in, own.internal), (Protocol::Static, None, here(4001)));
    assert!(gateway.put_mapping(NewMapping::new(Transport::Udp, 4002, other)).is_err(), "another port outside");
    let socket = client(&gateway);
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4001, 600, NONCE))).result, NOT_AUTHORIZED);
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4001, 0, NONCE))).result, NOT_AUTHORIZED);
    ask(&socket, &map_at(HERE, UNSPECIFIED, (0, 0, 0), 0, NONCE));
    assert!(gateway.is_untouched(&another_host) && gateway.is_untouched(&own));
}

#[test]
fn a_reboot_forgets_pinholes_and_begins_their_numbers_again() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    let id = |port: u16| {
        ask(&socket, &map(UDP, port, 600, NONCE));
        udp_pinhole(&gateway, port).unwrap().unique_id
    };
    let first = id(4000);
    assert_ne!(id(4001), first);
    gateway.reboot();
    assert!(gateway.mappings().is_empty());
    assert_eq!(id(4002), first);
}

#[test]
fn the_table_has_room_for_both_families_together() {
    let Some(gateway) = firewall_with(|config| config.max_mappings = 2) else { return };
    let socket = client(&gateway);
    ask(&common::client(&gateway), &common::pcp_map(UDP, 4000, 4000, 600, NONCE));
    ask(&socket, &map(UDP, 4000, 600, NONCE));
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4001, 600, NONCE))).result, 8, "NO_RESOURCES");
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4000, 600, NONCE))).result, 0, "a renewal needs no room");
}

#[test]
fn a_stopped_gateway_leaves_no_port_open() {
    let Some(gateway) = firewall() else { return };
    ask(&client(&gateway), &map(UDP, 4000, 600, NONCE));
    let (ports, reach) = (over_ipv6(&gateway), udp_pinhole(&gateway, 4000).unwrap().reach);
    gateway.stop();
    for address in [here(ports.pcp_port), ports.ssdp_address, reach] {
        UdpSocket::bind(address).unwrap();
    }
    std::net::TcpListener::bind(ports.http_address).unwrap();
}

#[tokio::test]
async fn waiting_sees_pinholes_too() {
    let Some(gateway) = firewall() else { return };
    ask(&client(&gateway), &map(UDP, 4000, 600, NONCE));
    assert!(gateway.wait_for_async(Duration::ZERO, |state| state.mappings.len() == 1).await);
    ask(&client(&gateway), &map(UDP, 4000, 1, NONCE));
    assert!(gateway.wait_for_async(PATIENCE, |state| state.mappings.is_empty()).await, "it expires");
}
