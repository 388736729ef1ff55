//! Every switch of the firewall for IPv6 does what it says, also by the line protocol of the program.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use common::ipv6::*;
use common::{NONCE, PATIENCE, QUIET, ask, element, error_code, pcp_answer, receive, stays_silent};
use portlease_gateway::{Faults, Gateway, Mode, Transport, json};
use serde_json::{Value, json};

const NOT_AUTHORIZED: u8 = 2;
const MALFORMED_REQUEST: u8 = 3;
const NO_RESOURCES: u8 = 8;

fn with(change: impl FnOnce(&mut Faults)) -> Option<Gateway> {
    firewall_with(|config| change(&mut config.faults))
}

fn code(gateway: &Gateway, action: &str, arguments: &[(&str, &str)]) -> Option<u16> {
    error_code(&soap(gateway, action, arguments))
}

fn id(answer: &str) -> &str {
    element(answer, "UniqueID").unwrap_or_else(|| panic!("{answer}"))
}

/// The result code of a MAP request for UDP port 4000.
fn mapped(gateway: &Gateway, lifetime: u32) -> u8 {
    pcp_answer(&ask(&client(gateway), &map(UDP, 4000, lifetime, NONCE))).result
}

/// Searches; as many answers as are expected, and what else comes soon after.
fn searched(gateway: &Gateway, expected: usize) -> Vec<String> {
    let answers = common::search_at(here(0), over_ipv6(gateway).ssdp_address, "upnp:rootdevice", expected);
    answers.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn pcp_is_off_silent_or_refused_over_ipv6_alone() {
    let Some(gateway) = firewall() else { return };
    let over_ipv4 = || pcp_answer(&ask(&common::client(&gateway), &common::pcp_map(UDP, 4000, 4000, 60, NONCE))).result;
    gateway.update_faults(|faults| faults.pcp_ipv6 = Mode::Refuse(u16::from(NO_RESOURCES)));
    assert_eq!((mapped(&gateway, 60), over_ipv4()), (NO_RESOURCES, 0));
    gateway.update_faults(|faults| faults.pcp_ipv6 = Mode::Silent);
    let socket = client(&gateway);
    socket.send(&map(UDP, 4000, 60, NONCE)).unwrap();
    assert!(stays_silent(&socket));
    gateway.update_faults(|faults| faults.pcp_ipv6 = Mode::Off);
    assert_eq!(over_ipv4(), 0);
    // A closed port: an ICMP error, or, on systems that do not tell, silence.
    socket.set_read_timeout(Some(QUIET)).unwrap();
    let sent = socket.send(&map(UDP, 4000, 60, NONCE));
    assert!(sent.is_err() || socket.recv(&mut [0; 64]).is_err());
    gateway.set_faults(Faults::default());
    assert_eq!(mapped(&gateway, 60), 0, "the port opens again");
    // What is off as a whole is off here too.
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(u16::from(NO_RESOURCES)));
    assert_eq!(mapped(&gateway, 60), NO_RESOURCES);
    let wrong = Faults { pcp_ipv6: Mode::Refuse(256), ..Faults::default() };
    assert!(gateway.try_set_faults(wrong).is_err());
}

#[test]
fn upnp_is_off_silent_or_refused_over_ipv6_alone() {
    let Some(gateway) = with(|faults| faults.upnp_ipv6 = Mode::Off) else { return };
    assert!(TcpStream::connect(over_ipv6(&gateway).http_address).is_err());
    assert_eq!(searched(&gateway, 0).len(), 0);
    assert!(common::get(&gateway, "/rootDesc.xml").contains(FIREWALL), "over IPv4 all is there");
    gateway.update_faults(|faults| faults.upnp_ipv6 = Mode::Silent);
    assert_eq!(searched(&gateway, 0).len(), 0);
    gateway.update_faults(|faults| faults.upnp_ipv6 = Mode::Refuse(501));
    assert_eq!(searched(&gateway, 1).len(), 1);
    assert_eq!(code(&gateway, "GetFirewallStatus", &[]), Some(501));
    assert_eq!(error_code(&common::soap(&gateway, "GetStatusInfo", &[])), None);
}

#[test]
fn every_error_code_is_had_for_add_pinhole() {
    let Some(gateway) = firewall() else { return };
    for expected in [402, 501, 606, 701, 702, 703, 704, 705, 706, 707, 708, 709] {
        gateway.update_faults(|faults| {
            faults.soap_errors = [("AddPinhole".into(), expected)].into();
            faults.soap_error_counts = [("AddPinhole".into(), 1)].into();
        });
        let answer = add(&gateway, 4000, UDP, 600);
        assert_eq!(error_code(&answer), Some(expected));
        assert_ne!(element(&answer, "errorDescription"), Some("Error"), "{expected} has a name");
    }
    assert!(gateway.mappings().is_empty());
    assert_eq!(error_code(&add(&gateway, 4000, UDP, 600)), None, "once only");
}

#[test]
fn the_service_may_be_missing() {
    let Some(gateway) = with(|faults| faults.no_firewall_service = true) else { return };
    assert!(!common::get(&gateway, "/rootDesc.xml").contains(FIREWALL));
    assert!(add(&gateway, 4000, UDP, 600).starts_with("HTTP/1.1 404"));
    assert_eq!(mapped(&gateway, 60), 0, "PCP is another matter");
}

#[test]
fn a_firewall_that_is_off_or_opens_for_nobody_says_so() {
    let Some(gateway) = firewall() else { return };
    let id = id(&add(&gateway, 4000, UDP, 600)).to_owned();
    let status = |name: &str| element(&soap(&gateway, "GetFirewallStatus", &[]), name).map(str::to_owned);
    gateway.update_faults(|faults| faults.firewall_disabled = true);
    assert_eq!(
        (status("FirewallEnabled").as_deref(), status("InboundPinholeAllowed").as_deref()),
        (Some("0"), Some("1"))
    );
    assert_eq!(error_code(&add(&gateway, 4000, UDP, 600)), Some(702));
    assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", &id)]), Some(702));

    gateway.set_faults(Faults { inbound_pinholes_refused: true, ..Faults::default() });
    assert_eq!(
        (status("FirewallEnabled").as_deref(), status("InboundPinholeAllowed").as_deref()),
        (Some("1"), Some("0"))
    );
    assert_eq!(error_code(&add(&gateway, 4000, UDP, 600)), Some(703));
    assert_eq!(code(&gateway, "UpdatePinhole", &[("UniqueID", &id), ("NewLeaseTime", "60")]), Some(703));
    assert_eq!(mapped(&gateway, 60), NOT_AUTHORIZED);
}

#[test]
fn a_router_that_cannot_renew_takes_a_delete_and_a_new_request() {
    let Some(gateway) = with(|faults| faults.pinhole_renewal_refused = true) else { return };
    assert_eq!(mapped(&gateway, 60), 0);
    assert_eq!(mapped(&gateway, 600), NO_RESOURCES);
    assert_eq!(error_code(&add(&gateway, 4000, UDP, 600)), Some(501));
    assert!(udp_pinhole(&gateway, 4000).unwrap().expires_in <= Some(60));
    assert_eq!((mapped(&gateway, 0), mapped(&gateway, 600)), (0, 0));

    let id = id(&add(&gateway, 4001, UDP, 600)).to_owned();
    assert_eq!(code(&gateway, "UpdatePinhole", &[("UniqueID", &id), ("NewLeaseTime", "60")]), Some(501));
}

#[test]
fn a_router_that_forgets_the_nonce_renews_and_does_not_delete() {
    let Some(gateway) = with(|faults| faults.pinhole_renewal_forgets_nonce = true) else { return };
    assert_eq!((mapped(&gateway, 60), mapped(&gateway, 0)), (0, 0), "before a renewal all is well");
    assert_eq!((mapped(&gateway, 60), mapped(&gateway, 60), mapped(&gateway, 60)), (0, 0, 0));
    assert_eq!(mapped(&gateway, 0), NOT_AUTHORIZED);
    let all = map_at(std::net::Ipv6Addr::LOCALHOST, std::net::Ipv6Addr::UNSPECIFIED, (0, 0, 0), 0, NONCE);
    assert_eq!(pcp_answer(&ask(&client(&gateway), &all)).result, 0);
    assert_eq!(gateway.mappings().len(), 1);
    // The two ways out: by UPnP, and by the shortest lifetime.
    let id = id(&add(&gateway, 4000, UDP, 60)).to_owned();
    assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", &id)]), None);
    assert_eq!((mapped(&gateway, 60), mapped(&gateway, 60), mapped(&gateway, 0)), (0, 0, NOT_AUTHORIZED));
    assert_eq!(mapped(&gateway, 1), 0);
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.is_empty()));
}

#[test]
fn the_answer_to_a_renewal_may_repeat_the_suggested_port() {
    let Some(gateway) = with(|faults| faults.pinhole_renewal_echoes_port = true) else { return };
    let here = std::net::Ipv6Addr::LOCALHOST;
    let external = |suggested| {
        let message = map_at(here, here, (UDP, 4000, suggested), 60, NONCE);
        pcp_answer(&ask(&client(&gateway), &message)).external
    };
    assert_eq!((external(0), external(0), external(4000), external(4999)), (4000, 0, 4000, 4999));
    gateway.set_faults(Faults { refuse_port_zero: true, ..Faults::default() });
    let message = map_at(here, here, (UDP, 4000, 0), 60, NONCE);
    assert_eq!(pcp_answer(&ask(&client(&gateway), &message)).result, MALFORMED_REQUEST);
}

#[test]
fn unique_ids_may_change_or_be_wrong() {
    let Some(gateway) = with(|faults| faults.new_unique_ids = true) else { return };
    let first = id(&add(&gateway, 4000, UDP, 600)).to_owned();
    let second = id(&add(&gateway, 4000, UDP, 900)).to_owned();
    assert_ne!(first, second);
    let pinhole = udp_pinhole(&gateway, 4000).unwrap();
    assert_eq!((gateway.mappings().len(), pinhole.expires_in), (1, Some(900)), "it is one pinhole");
    assert_eq!(code(&gateway, "UpdatePinhole", &[("UniqueID", &first), ("NewLeaseTime", "60")]), Some(704));
    assert_eq!(code(&gateway, "UpdatePinhole", &[("UniqueID", &second), ("NewLeaseTime", "60")]), None);
    assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", &second)]), None);

    gateway.set_faults(Faults { wrong_unique_ids: true, ..Faults::default() });
    let wrong = id(&add(&gateway, 4000, UDP, 600)).to_owned();
    assert_ne!(udp_pinhole(&gateway, 4000).unwrap().unique_id.unwrap().to_string(), wrong);
    assert_eq!(code(&gateway, "DeletePinhole", &[("UniqueID", &wrong)]), Some(704));
}

#[test]
fn switches_of_both_families_hold_for_pinholes_too() {
    let Some(gateway) = with(|faults| faults.granted_lifetime = Some(60)) else { return };
    assert_eq!(pcp_answer(&ask(&client(&gateway), &map(UDP, 4000, 600, NONCE))).lifetime, 60);
    assert!(udp_pinhole(&gateway, 4000).unwrap().expires_in <= Some(60));
    gateway.set_faults(Faults { upnp_max_lease: Some(30), ..Faults::default() });
    add(&gateway, 4001, UDP, 600);
    assert!(udp_pinhole(&gateway, 4001).unwrap().expires_in <= Some(30), "the answer does not say so");
    gateway.set_faults(Faults { lease_ignored: true, ..Faults::default() });
    add(&gateway, 4001, UDP, 600);
    assert_eq!(udp_pinhole(&gateway, 4001).unwrap().expires_in, None);

    gateway.set_faults(Faults { table_full: true, ..Faults::default() });
    assert_eq!(error_code(&add(&gateway, 4002, UDP, 600)), Some(701));
    assert_eq!(pcp_answer(&ask(&client(&gateway), &map(UDP, 4002, 600, NONCE))).result, NO_RESOURCES);
    gateway.set_faults(Faults { lease_lost: true, ..Faults::default() });
    assert_eq!(error_code(&add(&gateway, 4003, UDP, 600)), None);
    assert!(udp_pinhole(&gateway, 4003).is_none());
    gateway.set_faults(Faults { upnp_lost: true, ..Faults::default() });
    assert_eq!(error_code(&add(&gateway, 4003, UDP, 600)), None);
    assert!(udp_pinhole(&gateway, 4003).is_none());

    gateway.set_faults(Faults { wrong_nonce: true, pcp_lose_answers: 1, ..Faults::default() });
    let socket = client(&gateway);
    socket.send(&map(UDP, 4004, 600, NONCE)).unwrap();
    assert!(
        gateway.wait_for(PATIENCE, |state| state.mappings.iter().any(|mapping| mapping.external_port == 4004)),
        "the pinhole is there"
    );
    assert!(stays_silent(&socket), "the answer is lost");
    assert_ne!(ask(&socket, &map(UDP, 4004, 600, NONCE))[24..36], NONCE);
    gateway.set_faults(Faults { http_lose_answers: 1, ..Faults::default() });
    let request = common::soap_request("/ctl/IP6FCtl", FIREWALL, "AddPinhole", &pinhole("::1", "4005", "17", "600"));
    let mut stream = TcpStream::connect(over_ipv6(&gateway).http_address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    assert!(gateway.wait_for(PATIENCE, |state| state.mappings.iter().any(|mapping| mapping.external_port == 4005)));
    stream.set_read_timeout(Some(QUIET)).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "neither an answer nor an end");
}

#[test]
fn a_location_over_ipv6_may_be_another() {
    let Some(gateway) = with(|faults| faults.location = Some("http://192.0.2.1/x.xml".into())) else { return };
    let true_one = format!("LOCATION: {}\r\n", over_ipv6(&gateway).description_url);
    assert!(searched(&gateway, 1)[0].contains(&true_one));
    gateway.update_faults(|faults| faults.location_ipv6 = Some("http://[fe80::1]:80/x.xml".into()));
    assert!(searched(&gateway, 1)[0].contains("LOCATION: http://[fe80::1]:80/x.xml\r\n"));
}

#[test]
fn lines_close_pinholes_renumber_and_announce() {
    let Some(gateway) = firewall() else { return };
    let tell = |line: Value| json::execute(&gateway, &line.to_string()).json;
    let error = |line: Value| tell(line)["error"].as_str().unwrap_or_default().to_owned();
    assert_eq!(json::started(&gateway)["ipv6"]["gateway"], "::1");
    ask(&client(&gateway), &map(UDP, 4000, 600, NONCE));
    let state = tell(json!({"command": "state"}));
    assert_eq!(state["state"]["mappings"][0]["internal"], "[::1]:4000");
    let remove = json!({"command": "remove_pinhole", "transport": "udp", "internal": "[::1]:4000"});
    assert_eq!((&tell(remove.clone())["removed"], &tell(remove)["removed"]), (&json!(true), &json!(false)));

    let listener = UdpSocket::bind(here(0)).unwrap();
    listener.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = listener.local_addr().unwrap();
    assert_eq!(
        tell(json!({"command": "announce", "what": "pcp", "to": to})),
        json!({"event": "reply", "command": "announce"})
    );
    assert_eq!(receive(&listener).unwrap()[..4], [2, 0x80, 0, 0]);
    assert!(error(json!({"command": "announce", "what": "loudly", "to": to})).contains("loudly"));

    ask(&client(&gateway), &map(UDP, 4000, 600, NONCE));
    for wrong in ["2001:db8::", "2001:db8::/x", "192.0.2.0/24", "2001:db8::/129"] {
        assert!(error(json!({"command": "renumber", "prefix": wrong})).contains("prefix"), "{wrong}");
    }
    assert_eq!(gateway.mappings().len(), 1);
    assert_eq!(tell(json!({"command": "renumber", "prefix": "2001:db8::/64"}))["prefix"], "2001:db8::/64");
    assert!(gateway.pinhole(Transport::Udp, here(4000)).is_none());
    assert_eq!(searched(&gateway, 0).len(), 0, "who is not inside any more is not heard");
    tell(json!({"command": "renumber", "prefix": "::1/128"}));
    assert_eq!(mapped(&gateway, 60), 0);
}
