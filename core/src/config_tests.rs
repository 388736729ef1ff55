use super::*;
use crate::error::ErrorKind;

fn rejected(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    let error = config.validate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

#[test]
fn the_default_configuration_is_valid() {
    Config::default().validate().unwrap();
}

#[test]
fn each_bad_field_is_named_with_what_is_allowed() {
    let cases: [(String, &str); 13] = [
        (rejected(|c| c.ttl = Duration::ZERO), "ttl: must be between 1 and 86400 s, not 0 s"),
        (rejected(|c| c.ttl = Duration::from_secs(86_401)), "ttl: must be between 1 and 86400 s, not 86401 s"),
        (rejected(|c| c.protocols.clear()), "protocols: must name at least one of pcp, nat-pmp, upnp"),
        (rejected(|c| c.protocols = vec![Protocol::Pcp, Protocol::Pcp]), "protocols: `pcp` is named twice"),
        (rejected(|c| c.protocols = vec![Protocol::None]), "protocols: `none` is not one of pcp, nat-pmp, upnp"),
        (rejected(|c| c.gateway = Some([0, 0, 0, 0].into())), "gateway: 0.0.0.0 is not the address of one host"),
        (rejected(|c| c.gateway = Some([224, 0, 0, 1].into())), "gateway: 224.0.0.1 is not"),
        (rejected(|c| c.interface = Some(String::new())), "interface: the name is empty"),
        (rejected(|c| c.failure_threshold = 0), "failure_threshold: must be at least 1, not 0"),
        (rejected(|c| c.description = "x".repeat(65)), "description: must have at most 64 characters, not 65"),
        (
            rejected(|c| c.description = "a\nb".into()),
            "description: must not contain control characters such as U+000A",
        ),
        (rejected(|c| c.pcp_port = 0), "pcp_port: must be between 1 and 65535, not 0"),
        (
            rejected(|c| c.retry = RetryPolicy::Backoff { min: Duration::from_secs(2), max: Duration::from_secs(1) }),
            "retry: the shortest wait, 2 s, is longer than the longest, 1 s",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.starts_with(expected), "`{message}` should start with `{expected}`");
    }
}

#[test]
fn a_hostname_as_gateway_is_invalid_and_named() {
    let error = parse_address("gateway", "fritz.box").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().starts_with("gateway: `fritz.box` is not an IP address"), "{error}");
}

#[test]
fn an_address_without_a_port_is_invalid_where_both_are_wanted() {
    let error = parse_socket_address("ssdp_address", "192.168.1.1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().starts_with("ssdp_address: `192.168.1.1` is not an address with a port"), "{error}");
    assert_eq!(parse_socket_address("ssdp_address", "192.168.1.1:1900").unwrap().port(), 1900);
}

#[test]
fn a_message_about_text_without_end_ends() {
    let text = "x".repeat(1 << 20);
    for error in [parse_address("gateway", &text).unwrap_err(), parse_socket_address("gateway", &text).unwrap_err()] {
        assert!(error.to_string().len() < 200, "{} bytes", error.to_string().len());
    }
}

#[test]
fn a_fraction_of_a_second_is_rounded_up_never_down_to_nothing() {
    let config = Config { ttl: Duration::from_millis(1500), ..Config::default() };
    config.validate().unwrap();
    assert_eq!(crate::mapping::whole_seconds(config.ttl), Duration::from_secs(2));
}

#[test]
fn the_environment_names_a_gateway_with_its_ports() {
    let config = Config::default().at("127.0.0.1, pcp=40001,ssdp=40002").unwrap();
    assert_eq!((config.gateway, config.pcp_port), (Some([127, 0, 0, 1].into()), 40001));
    assert_eq!(config.ssdp_address, Some(([127, 0, 0, 1], 40002).into()));
    let whole = Config::default().at("127.0.0.1,ssdp=127.0.0.1:40002").unwrap();
    assert_eq!(whole.ssdp_address, config.ssdp_address);
    let config = Config::default().at("192.168.1.1").unwrap();
    assert_eq!((config.pcp_port, config.ssdp_address), (PCP_PORT, None));
}

#[test]
fn what_the_environment_gets_wrong_is_invalid_and_named() {
    for wrong in [
        "router",
        "127.0.0.1,pcp",
        "127.0.0.1,pcp=0",
        "127.0.0.1,upnp=1",
        "127.0.0.1,ssdp=127.0.0.2:1900",
        "127.0.0.1,pcp=70000",
        "0.0.0.0",
        "ff02::1",
    ] {
        let error = Config::default().at(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
        assert!(error.to_string().starts_with("PORTLEASE_GATEWAY: "), "{error}");
    }
}

#[test]
fn a_gateway_and_a_local_address_count_for_their_own_family_and_a_simulated_gateway_for_both() {
    let of_both = |config: &Config| AddressFamily::ALL.map(|family| config.gateway_of(family).map(|ip| ip.to_string()));
    let named = |gateway: &str| Config::default().gateway(gateway.parse::<IpAddr>().unwrap());
    let text = |address: &str| Some(address.to_owned());
    for gateway in ["127.0.0.1", "::1"] {
        assert_eq!(of_both(&named(gateway)), [text("127.0.0.1"), text("::1")]);
    }
    assert_eq!(of_both(&named("192.168.1.1")), [text("192.168.1.1"), None]);
    assert_eq!(of_both(&named("fe80::1")), [None, text("fe80::1")]);
    assert_eq!(of_both(&Config::default()), [None, None]);
    let search = |address: &str, family| {
        let config = Config::default().ssdp_address(address.parse::<SocketAddr>().unwrap());
        config.ssdp_address_of(family).map(|address| address.to_string())
    };
    assert_eq!(search("127.0.0.1:40002", AddressFamily::Ipv6), text("[::1]:40002"));
    assert_eq!(search("127.0.0.1:40002", AddressFamily::Ipv4), text("127.0.0.1:40002"));
    assert_eq!(search("239.255.255.250:1900", AddressFamily::Ipv6), None);
    let local = |address: &str| Config::default().local_address(address.parse::<IpAddr>().unwrap());
    assert_eq!(local("2001:db8::5").local_address_of(AddressFamily::Ipv4), None);
    assert!(local("2001:db8::5").local_address_of(AddressFamily::Ipv6).is_some());
    local("2001:db8::5").validate().unwrap();
    let error = local("fe80::5").validate().unwrap_err();
    assert_eq!(error.to_string(), "local_address: a link-local address cannot be reached from the internet");
}

#[test]
fn a_gateway_with_a_scope_needs_no_interface_and_must_not_contradict_it() {
    let scoped = || Config::default().gateway("fe80::1%eth0".parse::<ScopedAddr>().unwrap());
    scoped().validate().unwrap();
    assert_eq!(scoped().gateway_interface(), Some("eth0"));
    scoped().interface("eth0").validate().unwrap();
    let error = scoped().interface("eth1").validate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let message = "gateway: the scope of fe80::1%eth0 is not the interface `eth1`; give one of them, or the same twice";
    assert_eq!(error.to_string(), message);
    let at = Config::default().at("fe80::1%eth0,pcp=40001").unwrap();
    assert_eq!((at.gateway, at.pcp_port), (scoped().gateway, 40001));
}
