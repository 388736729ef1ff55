//! The firewall for IPv6 by UPnP: searches over IPv6, the description, the actions of WANIPv6FirewallControl:1.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::net::{SocketAddr, UdpSocket};

use common::ipv6::*;
use common::{NONCE, PATIENCE, QUIET, ask, element, error_code, http_raw, pcp_answer, search_at};
use portlease_gateway::{Gateway, Protocol, Transport};

/// Searches; as many answers as are expected, and what else comes soon after.
fn search(gateway: &Gateway, st: &str, expected: usize) -> Vec<String> {
    let answers = search_at(here(0), over_ipv6(gateway).ssdp_address, st, expected);
    answers.into_iter().map(|(_, text)| text).collect()
}

fn get(gateway: &Gateway, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    String::from_utf8(http_raw(over_ipv6(gateway).http_address, &request, usize::MAX).0).unwrap()
}

fn code(gateway: &Gateway, action: &str, arguments: &[(&str, &str)]) -> Option<u16> {
    error_code(&soap(gateway, action, arguments))
}

/// The arguments of AddPinhole with one of them changed.
fn but<'a>(name: &str, value: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut arguments = pinhole("::1", "4000", "17", "600").to_vec();
    arguments.iter_mut().find(|(have, _)| *have == name).unwrap().1 = value;
    arguments
}

/// Adds a pinhole; its UniqueID.
fn added(gateway: &Gateway, port: u16, protocol: u8, lease: u32) -> String {
    let answer = add(gateway, port, protocol, lease);
    element(&answer, "UniqueID").unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn a_search_over_ipv6_is_answered_with_a_location_over_ipv6() {
    let Some(gateway) = firewall() else { return };
    let answers = search(&gateway, FIREWALL, 1);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains(&format!("\r\nLOCATION: {}\r\n", over_ipv6(&gateway).description_url)), "{answers:?}");
    // One over IPv4 finds the service too, at the address of IPv4.
    let answers = common::search_from(gateway.ssdp_address(), FIREWALL, 1);
    assert!(answers[0].1.contains(&format!("\r\nLOCATION: {}\r\n", gateway.description_url())), "{answers:?}");
    let old = firewall_with(|config| config.igd_version = 1).unwrap();
    assert_eq!(common::search_from(old.ssdp_address(), "upnp:rootdevice", 1).len(), 1);
    assert!(!get(&old, "/rootDesc.xml").contains(FIREWALL), "the service is part of IGD:2");
}

#[test]
fn a_neighbour_hears_searches_over_its_own_protocol() {
    let (Some(gateway), Some(neighbour)) = (firewall(), firewall()) else { return };
    gateway.add_neighbour(&neighbour);
    gateway.add_neighbour(&common::gateway());
    let events = neighbour.events();
    let mut answers = search(&gateway, "upnp:rootdevice", 2);
    answers.retain(|answer| answer.contains(&over_ipv6(&neighbour).description_url));
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(neighbour.counters().get("ssdp_search"), 1);
    assert!(!std::iter::from_fn(|| events.try_next()).any(|event| format!("{event:?}").starts_with("Error")));
}

#[test]
fn multicast_searches_are_heard_where_the_interface_has_multicast() {
    const NAME: &str = "multicast_searches_are_heard_where_the_interface_has_multicast";
    let interface = "ip link add v6lan type veth peer name v6peer && ip link set v6lan up && ip link set v6peer up \
                     && ip -6 address add fd00::1/64 dev v6lan nodad";
    if !is_in_namespace(NAME, interface) {
        return;
    }
    let bind = "fd00::1".parse().unwrap();
    let gateway = firewall_with(|config| (config.ipv6_bind, config.ssdp_multicast) = (bind, true)).unwrap();
    assert!(over_ipv6(&gateway).multicast);
    let shown = std::process::Command::new("ip").args(["-oneline", "link", "show", "v6lan"]).output().unwrap().stdout;
    let shown = String::from_utf8(shown).unwrap();
    let index = shown.split(':').next().unwrap();
    for group in ["ff02::c", "ff05::c"] {
        let to = format!("[{group}%{}]:1900", index).parse().unwrap();
        let answers = search_at(SocketAddr::new(bind, 0), to, FIREWALL, 1);
        assert_eq!(answers.len(), 1, "{group}: {answers:?}");
        assert!(answers[0].1.contains("LOCATION: http://[fd00::1]:"), "{answers:?}");
    }
}

#[test]
fn the_description_has_the_service_beside_the_connection() {
    let Some(gateway) = firewall() else { return };
    let text = get(&gateway, "/rootDesc.xml");
    let document = roxmltree::Document::parse(&text[text.find("<?xml").unwrap()..]).unwrap();
    let service = document
        .descendants()
        .find(|node| {
            node.tag_name().name() == "service" && node.descendants().any(|inner| inner.text() == Some(FIREWALL))
        })
        .unwrap();
    let device = service.parent().unwrap().parent().unwrap();
    let has = |text: &str| device.children().any(|node| node.text() == Some(text));
    assert!(has("urn:schemas-upnp-org:device:WANConnectionDevice:2"));
    let siblings = service.parent().unwrap().children().filter(|node| node.is_element()).count();
    assert_eq!(siblings, 2);

    let url = service.children().find(|node| node.tag_name().name() == "SCPDURL").unwrap().text().unwrap();
    let scpd = get(&gateway, url);
    let scpd = roxmltree::Document::parse(&scpd[scpd.find("<?xml").unwrap()..]).unwrap();
    let names = scpd.descendants().filter(|node| node.tag_name().name() == "action");
    let names: Vec<_> = names.filter_map(|action| action.first_element_child()?.text()).collect();
    assert_eq!(
        names,
        [
            "GetFirewallStatus",
            "GetOutboundPinholeTimeout",
            "AddPinhole",
            "UpdatePinhole",
            "DeletePinhole",
            "GetPinholePackets",
            "CheckPinholeWorking"
        ]
    );
    gateway.update_faults(|faults| faults.wan_service = portlease_gateway::WanService::None);
    assert!(get(&gateway, "/rootDesc.xml").contains(FIREWALL), "a line without IPv4 has a firewall all the same");
}

#[test]
fn a_pinhole_is_opened_extended_and_closed() {
    let Some(gateway) = firewall() else { return };
    let answer = soap(&gateway, "GetFirewallStatus", &[]);
    assert_eq!(
        (element(&answer, "FirewallEnabled"), element(&answer, "InboundPinholeAllowed")),
        (Some("1"), Some("1"))
    );

    let id = added(&gateway, 4000, UDP, 600);
    let opened = udp_pinhole(&gateway, 4000).unwrap();
    assert_eq!((opened.protocol, opened.expires_in, opened.external_port), (Protocol::Upnp, Some(600), 4000));
    assert_eq!(opened.unique_id.unwrap().to_string(), id);
    // The same five values with another lease: the pinhole of old, for longer.
    assert_eq!(added(&gateway, 4000, UDP, 900), id);
    assert_eq!(udp_pinhole(&gateway, 4000).unwrap().expires_in, Some(900));
    assert_ne!(added(&gateway, 4000, TCP, 600), id);
    assert_ne!(added(&gateway, 4001, UDP, 600), id);

    assert_eq!(code(&gateway, "UpdatePinhole", &[("UniqueID", &id), ("NewLeaseTime", "86400")]), None);
    assert_eq!(udp_pinhole(&gateway, 4000).unwrap().expires_in, Some(86_400));
    assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", &id)]), None);
    assert!(udp_pinhole(&gateway, 4000).is_none());
    for (action, more) in [
        ("DeletePinhole", None),
        ("UpdatePinhole", Some(("NewLeaseTime", "600"))),
        ("GetPinholePackets", None),
        ("CheckPinholeWorking", None),
    ] {
        let arguments: Vec<_> = [("UniqueID", id.as_str())].into_iter().chain(more).collect();
        assert_eq!(code(&gateway, action, &arguments), Some(704), "{action}");
    }
    assert_eq!(gateway.counters().get("soap_AddPinhole"), 4);
}

#[test]
fn what_has_passed_is_counted() {
    let Some(gateway) = firewall() else { return };
    let port = udp_app_at(here(0));
    let id = added(&gateway, port, UDP, 600);
    let packets =
        || element(&soap(&gateway, "GetPinholePackets", &[("UniqueID", &id)]), "PinholePackets").map(str::to_owned);
    assert_eq!(packets().as_deref(), Some("0"));
    assert_eq!(code(&gateway, "CheckPinholeWorking", &[("UniqueID", &id)]), Some(709));
    let outside = UdpSocket::bind(here(0)).unwrap();
    outside.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(passes(&outside, udp_pinhole(&gateway, port).unwrap().reach));
    assert_eq!(packets().as_deref(), Some("1"));
    let working = soap(&gateway, "CheckPinholeWorking", &[("UniqueID", &id)]);
    assert_eq!(element(&working, "IsWorking"), Some("1"));
}

#[test]
fn a_pinhole_for_one_host_and_port_lets_nobody_else_in() {
    let Some(gateway) = firewall() else { return };
    let port = udp_app_at(here(0));
    let (friend, stranger) = (UdpSocket::bind(here(0)).unwrap(), UdpSocket::bind(here(0)).unwrap());
    friend.set_read_timeout(Some(PATIENCE)).unwrap();
    let (remote, internal) = (friend.local_addr().unwrap().port().to_string(), port.to_string());
    let mut arguments = pinhole("::1", &internal, "17", "600");
    (arguments[0].1, arguments[1].1) = ("::1", &remote);
    assert_eq!(code(&gateway, "AddPinhole", &arguments), None);
    let reach = udp_pinhole(&gateway, port).unwrap().reach;
    stranger.send_to(b"hello", reach).unwrap();
    assert!(passes(&friend, reach));
    stranger.set_read_timeout(Some(QUIET)).unwrap();
    assert!(stranger.recv(&mut [0; 64]).is_err());
    // Another one for everybody is another pinhole.
    added(&gateway, port, UDP, 600);
    assert_eq!(gateway.mappings().len(), 2);
}

#[test]
fn wrong_arguments_get_their_codes() {
    let Some(gateway) = firewall() else { return };
    for (name, value, expected) in [
        ("RemoteHost", "somewhere", 402),
        ("RemoteHost", "192.0.2.1", 402),
        ("RemotePort", "65536", 402),
        ("InternalClient", "127.0.0.1", 402),
        ("InternalClient", "", 708),
        ("InternalClient", "*", 708),
        ("InternalClient", "2001:db8::9", 606),
        ("InternalPort", "0", 706),
        ("InternalPort", "", 402),
        ("InternalPort", "80", 606),
        ("Protocol", "65535", 707),
        ("Protocol", "1", 705),
        ("Protocol", "UDP", 402),
        ("LeaseTime", "0", 402),
        ("LeaseTime", "86401", 402),
        ("LeaseTime", "-1", 402),
    ] {
        assert_eq!(code(&gateway, "AddPinhole", &but(name, value)), Some(expected), "{name}={value}");
    }
    let good = pinhole("::1", "4000", "17", "600");
    for missing in 0..good.len() {
        let mut arguments = good.to_vec();
        let (name, _) = arguments.remove(missing);
        assert_eq!(code(&gateway, "AddPinhole", &arguments), Some(402), "no {name}");
    }
    assert!(gateway.mappings().is_empty());

    let id = added(&gateway, 4000, UDP, 600);
    for lease in ["0", "86401", ""] {
        assert_eq!(
            code(&gateway, "UpdatePinhole", &[("UniqueID", &id), ("NewLeaseTime", lease)]),
            Some(402),
            "{lease}"
        );
    }
    for id in ["", "-1", "65536", "x"] {
        assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", id)]), Some(402), "{id}");
    }
    assert_eq!(code(&gateway, "AddPortMapping", &good), Some(401), "an action of another service");
}

#[test]
fn only_the_host_itself_has_its_pinholes() {
    let Some(gateway) = firewall() else { return };
    let good = pinhole("::1", "4000", "17", "600");
    // Over IPv4 nobody is an IPv6 host.
    assert_eq!(error_code(&soap_at(gateway.http_address(), "AddPinhole", &good)), Some(606));
    let other: SocketAddr = "[2001:db8::9]:4000".parse().unwrap();
    let others = gateway.put_mapping(portlease_gateway::NewMapping::new(Transport::Udp, 4000, other)).unwrap();
    let id = others.unique_id.unwrap().to_string();
    for (action, more) in
        [("DeletePinhole", None), ("UpdatePinhole", Some(("NewLeaseTime", "600"))), ("GetPinholePackets", None)]
    {
        let arguments: Vec<_> = [("UniqueID", id.as_str())].into_iter().chain(more).collect();
        assert_eq!(code(&gateway, action, &arguments), Some(606), "{action}");
    }
    assert!(gateway.is_untouched(&others));

    let open = firewall_with(|config| config.secure_mode = false).unwrap();
    assert_eq!(code(&open, "AddPinhole", &pinhole("2001:db8::9", "80", "17", "600")), None);
}

#[test]
fn pcp_and_upnp_have_one_table() {
    let Some(gateway) = firewall() else { return };
    let socket = client(&gateway);
    ask(&socket, &map(UDP, 4000, 600, NONCE));
    // AddPinhole tells the UniqueID of what PCP has made, and its owner can still delete it by PCP.
    let id = added(&gateway, 4000, UDP, 900);
    let pinhole = udp_pinhole(&gateway, 4000).unwrap();
    assert_eq!((pinhole.unique_id.unwrap().to_string(), pinhole.expires_in), (id.clone(), Some(900)));
    assert_eq!(pcp_answer(&ask(&socket, &map(UDP, 4000, 0, NONCE))).result, 0);
    assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", &id)]), Some(704));
}

#[test]
fn timeouts_of_packets_from_inside_are_told() {
    let Some(gateway) = firewall() else { return };
    let ask = |name: &str, value: &str| soap(&gateway, "GetOutboundPinholeTimeout", &but(name, value)[..5]);
    for (protocol, timeout) in [("17", "300"), ("6", "7440")] {
        assert_eq!(element(&ask("Protocol", protocol), "OutboundPinholeTimeout"), Some(timeout));
    }
    for (name, value, expected) in [("Protocol", "1", 705), ("Protocol", "65535", 707), ("InternalPort", "0", 706)] {
        assert_eq!(error_code(&ask(name, value)), Some(expected));
    }
}
