//! The UPnP device by its documents: searches, descriptions, actions.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::net::UdpSocket;

use common::*;
use portlease_gateway::{Gateway, Protocol, Transport};

/// Searches; as many answers as are expected, and what else comes soon after.
fn search(gateway: &Gateway, st: &str, expected: usize) -> Vec<String> {
    search_from(gateway.ssdp_address(), st, expected).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_search_is_answered_once_with_its_target_and_the_location() {
    let gateway = gateway();
    for st in [
        "upnp:rootdevice",
        "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
        "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
        "urn:schemas-upnp-org:service:WANIPConnection:1",
        "urn:schemas-upnp-org:service:WANIPConnection:2",
        "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1",
    ] {
        let answers = search(&gateway, st, 1);
        assert_eq!(answers.len(), 1, "{st}");
        assert!(answers[0].starts_with("HTTP/1.1 200 OK\r\n") && answers[0].ends_with("\r\n\r\n"));
        assert!(answers[0].contains(&format!("\r\nST: {st}\r\n")), "{}", answers[0]);
        assert!(answers[0].contains(&format!("\r\nLOCATION: {}\r\n", gateway.description_url())), "{}", answers[0]);
        assert!(answers[0].contains(&format!("::{st}\r\n")), "{}", answers[0]);
    }
    assert_eq!(gateway.counters().get("ssdp_search"), 6);
}

#[test]
fn a_search_for_what_is_not_there_is_not_answered() {
    let gateway = start(|config| config.igd_version = 1);
    for st in [
        "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
        "urn:schemas-upnp-org:service:WANIPConnection:2",
        "urn:schemas-upnp-org:service:WANIPConnection:0",
        "urn:schemas-upnp-org:service:WANPPPConnection:1",
        "urn:schemas-upnp-org:device:MediaServer:1",
        "uuid:00000000-0000-0000-0000-000000000000",
    ] {
        assert_eq!(search(&gateway, st, 0), Vec::<String>::new(), "{st}");
    }
}

#[test]
fn a_search_for_all_is_answered_for_each_type() {
    let gateway = gateway();
    let answers = search(&gateway, "ssdp:all", 7);
    assert_eq!(answers.len(), 7, "root, uuid, three devices, two services");
    let uuid = answers
        .iter()
        .find_map(|answer| answer.split("\r\n").find_map(|line| line.strip_prefix("ST: uuid:")))
        .expect("one answer for the uuid");
    assert_eq!(search(&gateway, &format!("uuid:{uuid}"), 1).len(), 1);
}

#[test]
fn a_search_that_is_none_is_counted_and_not_answered() {
    let gateway = gateway();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gateway.ssdp_address()).unwrap();
    socket.send(b"M-SEARCH * HTTP/1.1\r\nMAN: ssdp:discover\r\nST: ssdp:all\r\n\r\n").unwrap();
    assert!(stays_silent(&socket));
    assert_eq!(gateway.counters().get("malformed"), 1);
}

#[test]
fn the_description_has_the_types_of_its_version() {
    for version in [1, 2] {
        let gateway = start(|config| config.igd_version = version);
        let text = get(&gateway, "/rootDesc.xml");
        let document = roxmltree::Document::parse(&text[text.find("<?xml").unwrap()..]).unwrap();
        let texts = |name: &str| -> Vec<String> {
            document
                .descendants()
                .filter(|node| node.tag_name().name() == name)
                .map(|node| node.text().unwrap_or_default().to_owned())
                .collect()
        };
        assert_eq!(
            texts("deviceType"),
            ["InternetGatewayDevice", "WANDevice", "WANConnectionDevice"]
                .map(|name| format!("urn:schemas-upnp-org:device:{name}:{version}"))
        );
        assert_eq!(
            texts("serviceType"),
            [
                "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1".to_owned(),
                format!("urn:schemas-upnp-org:service:WANIPConnection:{version}")
            ]
        );
        let udns = texts("UDN");
        assert!(udns.iter().all(|udn| udns.iter().filter(|other| *other == udn).count() == 1), "{udns:?}");
        for scpd in texts("SCPDURL") {
            let text = get(&gateway, &scpd);
            assert!(roxmltree::Document::parse(&text[text.find("<?xml").unwrap()..]).is_ok(), "{scpd}");
            assert_eq!(text.contains("<name>AddAnyPortMapping</name>"), version == 2 && scpd == "/WANIPCn.xml");
        }
    }
}

#[test]
fn a_port_is_mapped_listed_and_deleted() {
    let gateway = gateway();
    assert!(add(&gateway, 4100, 4000, "TCP", 600).starts_with("HTTP/1.1 200 OK"));
    let mapping = &gateway.mappings()[0];
    assert_eq!((mapping.protocol, mapping.transport, mapping.external_port), (Protocol::Upnp, Transport::Tcp, 4100));
    assert_eq!((mapping.description.as_str(), mapping.expires_in), ("test & more", Some(600)));

    let key = [("NewRemoteHost", ""), ("NewExternalPort", "4100"), ("NewProtocol", "TCP")];
    for entry in [
        soap(&gateway, "GetSpecificPortMappingEntry", &key),
        soap(&gateway, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "0")]),
    ] {
        assert_eq!(element(&entry, "NewInternalPort"), Some("4000"));
        assert_eq!(element(&entry, "NewInternalClient"), Some("127.0.0.1"));
        assert_eq!(element(&entry, "NewPortMappingDescription"), Some("test &amp; more"));
    }
    assert_eq!(error_code(&soap(&gateway, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "1")])), Some(713));
    assert_eq!(error_code(&soap(&gateway, "DeletePortMapping", &key)), None);
    assert!(gateway.mappings().is_empty());
    assert_eq!(error_code(&soap(&gateway, "DeletePortMapping", &key)), Some(714));
    assert_eq!(error_code(&soap(&gateway, "GetSpecificPortMappingEntry", &key)), Some(714));
    assert_eq!(gateway.counters().get("soap_DeletePortMapping"), 2);
}

#[test]
fn what_the_gateway_tells_about_itself() {
    let gateway = gateway();
    assert_eq!(element(&soap(&gateway, "GetExternalIPAddress", &[]), "NewExternalIPAddress"), Some("192.0.1.1"));
    assert_eq!(element(&soap(&gateway, "GetStatusInfo", &[]), "NewConnectionStatus"), Some("Connected"));
    assert_eq!(element(&soap(&gateway, "GetConnectionTypeInfo", &[]), "NewConnectionType"), Some("IP_Routed"));
    assert_eq!(element(&soap(&gateway, "GetNATRSIPStatus", &[]), "NewNATEnabled"), Some("1"));
    let common = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1";
    let request = soap_request("/ctl/CmnIfCfg", common, "GetCommonLinkProperties", &[]);
    let answer = String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap();
    assert_eq!(element(&answer, "NewPhysicalLinkStatus"), Some("Up"));
}

#[test]
fn leases_are_as_the_version_has_them() {
    for (version, asked, expires_in) in
        [(1, 0, None), (2, 0, Some(604_800)), (1, 60, Some(60)), (2, 999_999, Some(604_800))]
    {
        let gateway = start(|config| config.igd_version = version);
        assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", asked)), None);
        assert_eq!(gateway.mappings()[0].expires_in, expires_in, "IGD {version}, lease {asked}");
    }
}

#[test]
fn a_conflict_is_718_and_a_renewal_is_none() {
    let gateway = gateway();
    assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 600)), None);
    assert_eq!(error_code(&add(&gateway, 4100, 4000, "UDP", 900)), None);
    assert_eq!(gateway.mappings()[0].expires_in, Some(900));
    assert_eq!(error_code(&add(&gateway, 4100, 4001, "UDP", 600)), Some(718));
    assert_eq!(error_code(&add(&gateway, 4100, 4001, "TCP", 600)), None);

    let overwriting = start(|config| config.upnp_overwrite = true);
    add(&overwriting, 4100, 4000, "UDP", 600);
    let app = udp_app();
    assert_eq!(error_code(&add(&overwriting, 4100, app, "UDP", 600)), None);
    let mapping = &overwriting.mappings()[0];
    assert_eq!(mapping.internal.port(), app);
    assert!(udp_from_outside(mapping.reach, PATIENCE).is_some());
}

#[test]
fn any_port_is_igd_2_only() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, "192.168.1.9:1".parse().unwrap(), None).unwrap();
    let arguments = add_arguments("4100", "4000", "UDP", "600");
    let call = |gateway: &Gateway, service: &str| {
        let request = soap_request("/ctl/IPConn", service, "AddAnyPortMapping", &arguments);
        String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap()
    };
    assert_eq!(element(&call(&gateway, WAN_IP_2), "NewReservedPort"), Some("4101"));
    assert_eq!(error_code(&call(&gateway, WAN_IP_1)), Some(401));
    let old = start(|config| config.igd_version = 1);
    assert_eq!(error_code(&call(&old, WAN_IP_2)), Some(401));
}

#[test]
fn wrong_arguments_get_their_codes() {
    let gateway = gateway();
    let good = add_arguments("4100", "4000", "UDP", "600");
    for (name, value, code) in [
        ("NewExternalPort", "0", 716),
        ("NewExternalPort", "65536", 402),
        ("NewProtocol", "udp", 402),
        ("NewInternalPort", "0", 402),
        ("NewInternalClient", "router.local", 402),
        ("NewInternalClient", "192.168.1.9", 718),
        ("NewLeaseDuration", "-1", 402),
        ("NewRemoteHost", "192.0.2.7", 726),
        ("NewEnabled", "maybe", 402),
    ] {
        let mut arguments = good.clone();
        arguments.iter_mut().find(|(have, _)| *have == name).unwrap().1 = value;
        assert_eq!(error_code(&soap(&gateway, "AddPortMapping", &arguments)), Some(code), "{name}={value}");
    }
    for missing in 0..good.len() {
        let mut arguments = good.clone();
        let (name, _) = arguments.remove(missing);
        assert_eq!(error_code(&soap(&gateway, "AddPortMapping", &arguments)), Some(402), "no {name}");
    }
    assert!(gateway.mappings().is_empty());
    assert_eq!(error_code(&soap(&gateway, "SetConnectionType", &[])), Some(401));
}

#[test]
fn only_the_own_mappings_can_be_deleted() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, "192.168.1.9:1".parse().unwrap(), None).unwrap();
    let key = [("NewRemoteHost", ""), ("NewExternalPort", "4100"), ("NewProtocol", "UDP")];
    assert_eq!(error_code(&soap(&gateway, "DeletePortMapping", &key)), Some(606));
    assert_eq!(gateway.mappings().len(), 1);
}

#[test]
fn the_soap_action_must_be_that_of_the_body() {
    let gateway = gateway();
    let good = soap_request("/ctl/IPConn", WAN_IP_1, "GetExternalIPAddress", &[]);
    let answer = |request: &str| String::from_utf8(http_raw(gateway.http_address(), request, usize::MAX).0).unwrap();
    assert_eq!(error_code(&answer(&good)), None);
    for (what, replaced, by) in [
        ("another action", "#GetExternalIPAddress", "#GetStatusInfo"),
        ("another service", "SOAPAction: \"urn:schemas-upnp-org", "SOAPAction: \"urn:other"),
        ("no SOAPAction", "SOAPAction", "X-Action"),
        ("no envelope", "s:Envelope", "s:Envelopf"),
    ] {
        assert_eq!(error_code(&answer(&good.replace(replaced, by))), Some(401), "{what}");
    }
    assert_eq!(gateway.counters().get("malformed"), 4);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let gateway = gateway();
    assert!(get(&gateway, "/secret").starts_with("HTTP/1.1 404"));
    let head = "HEAD /rootDesc.xml HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(http_raw(gateway.http_address(), head, usize::MAX).0.starts_with(b"HTTP/1.1 501"));
    let wrong = soap_request("/ctl/Other", WAN_IP_1, "GetExternalIPAddress", &[]);
    assert!(http_raw(gateway.http_address(), &wrong, usize::MAX).0.starts_with(b"HTTP/1.1 404"));
}
