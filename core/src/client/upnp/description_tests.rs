use super::*;

const LOCATION: &str = "http://192.168.1.1:5000/dir/desc.xml";

fn one_service(service_type: &str, control: &str, url_base: &str) -> Vec<Service> {
    let document = format!(
        "<root>{url_base}<device><serviceList><service><serviceType>{service_type}</serviceType>\
         <controlURL>{control}</controlURL></service></serviceList></device></root>"
    );
    parse(document.as_bytes(), &Url::parse(LOCATION).unwrap()).unwrap().services
}

const IP1: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

#[test]
fn control_urls_are_relative_to_urlbase_or_to_the_description() {
    for (control, base, url) in [
        ("/c", "", "http://192.168.1.1:5000/c"),
        ("c", "", "http://192.168.1.1:5000/dir/c"),
        ("c?WANIPConnection", "", "http://192.168.1.1:5000/dir/c?WANIPConnection"),
        ("?x", "", "http://192.168.1.1:5000/dir/desc.xml?x"),
        ("c", "<URLBase>http://192.168.1.1:80/b/</URLBase>", "http://192.168.1.1/b/c"),
        ("/c#here", "<URLBase>http://192.168.1.1:81</URLBase>", "http://192.168.1.1:81/c"),
        ("c", "<URLBase>/e/</URLBase>", "http://192.168.1.1:5000/e/c"),
        ("c", "<URLBase>not a url</URLBase>", "http://192.168.1.1:5000/dir/c"),
        ("/c", "<URLBase>http://192.168.1.2/</URLBase>", "http://192.168.1.1:5000/c"),
    ] {
        let services = one_service(IP1, control, base);
        assert_eq!(services.iter().map(|s| s.control_url.as_str()).collect::<Vec<_>>(), [url], "{control} {base}");
    }
}

#[test]
fn services_of_every_vendor_and_version_that_map_ports_are_found_and_no_others() {
    for service_type in
        [IP1, "urn:schemas-upnp-org:service:WANPPPConnection:1", "urn:dslforum-org:service:WANIPConnection:1"]
    {
        assert_eq!(one_service(service_type, "/c", "").len(), 1, "{service_type}");
    }
    for service_type in [
        "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1",
        "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1",
        "urn:schemas-upnp-org:device:WANIPConnection:1",
        "WANIPConnection",
        "urn:a b:service:WANIPConnection:1",
    ] {
        assert!(one_service(service_type, "/c", "").is_empty(), "{service_type}");
    }
}

#[test]
fn only_wanipconnection_from_version_2_on_adds_any_port() {
    let adds = |service_type: &str| Service::known("http://192.168.1.1/c", service_type).unwrap().adds_any_port();
    assert!(adds("urn:schemas-upnp-org:service:WANIPConnection:2"));
    assert!(adds("urn:schemas-upnp-org:service:WANIPConnection:3"));
    assert!(!adds(IP1));
    assert!(!adds("urn:schemas-upnp-org:service:WANPPPConnection:2"));
}

#[test]
fn a_service_from_a_record_is_checked_like_one_from_a_description() {
    assert!(Service::known("http://192.168.1.1:5000/c", IP1).is_some());
    for (url, service_type) in
        [("http://router/c", IP1), ("https://192.168.1.1/", IP1), ("http://192.168.1.1/", "urn:x\r\n")]
    {
        assert_eq!(Service::known(url, service_type), None, "{url} {service_type}");
    }
}

#[test]
fn a_device_is_known_by_the_udn_of_its_root_and_not_by_that_of_an_embedded_device() {
    let udn = |device: &str| {
        let document = format!("<root><device>{device}</device></root>");
        parse(document.as_bytes(), &Url::parse(LOCATION).unwrap()).unwrap().udn
    };
    let embedded = "<deviceList><device><UDN>uuid:wan</UDN></device></deviceList>";
    assert_eq!(udn(&format!("{embedded}<UDN> uuid:root\n</UDN>")), "uuid:root");
    assert_eq!(udn(embedded), "");
}

#[test]
fn a_control_url_or_a_type_without_end_is_not_kept() {
    assert!(one_service(IP1, &format!("/{}", "x".repeat(2000)), "").is_empty());
    let endless = format!("urn:{}:service:WANIPConnection:1", "x".repeat(200));
    assert!(one_service(&endless, "/c", "").is_empty());
}

const PINHOLES: &str = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1";

fn pinholes(control: &str, url_base: &str, location: &str) -> Vec<String> {
    let document = format!(
        "<root>{url_base}<device><serviceList><service><serviceType>{PINHOLES}</serviceType>\
         <controlURL>{control}</controlURL></service></serviceList></device></root>"
    );
    let description = parse(document.as_bytes(), &Url::parse(location).unwrap()).unwrap();
    assert!(description.services.is_empty());
    description.pinholes.iter().map(|service| service.control_url.to_string()).collect()
}

#[test]
fn a_service_that_opens_pinholes_is_found_beside_those_that_map_ports() {
    assert_eq!(pinholes("/ctl", "", LOCATION), ["http://192.168.1.1:5000/ctl"]);
    assert!(pinholes("http://192.168.1.2/ctl", "", LOCATION).is_empty());
    assert!(Service::known("http://[fe80::1]:5000/ctl", PINHOLES).is_some());
}

#[test]
fn a_description_that_came_over_ipv6_is_acted_on_where_it_came_from_whatever_address_it_names() {
    let location = "http://[fe80::1]:5000/dir/desc.xml";
    for (control, base, url) in [
        ("/ctl", "", "http://[fe80::1]:5000/ctl"),
        ("ctl", "<URLBase>http://192.168.1.1:5000/</URLBase>", "http://[fe80::1]:5000/dir/ctl"),
        ("http://192.168.1.1:5001/ctl", "", "http://[fe80::1]:5001/ctl"),
        ("http://[2001:db8::1]/ctl", "", "http://[fe80::1]/ctl"),
        ("http://router/ctl", "", "http://[fe80::1]/ctl"),
    ] {
        assert_eq!(pinholes(control, base, location), [url], "{control} {base}");
    }
    assert!(pinholes("https://[fe80::1]/ctl", "", location).is_empty());
}

#[test]
fn the_version_of_the_software_and_of_the_device_are_read_if_they_are_told() {
    let describe = |device: &str, around: &str| {
        let document = format!("<root>{around}<device>{device}</device></root>");
        let description = parse(document.as_bytes(), &Url::parse("http://192.168.77.1/d.xml").unwrap()).unwrap();
        (description.firmware, description.igd_version)
    };
    let igd = "<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType>";
    let fritz = "<systemVersion><HW>226</HW><Major>154</Major><Display>154.07.29</Display></systemVersion>";
    assert_eq!(describe(igd, fritz), (Some("154.07.29".to_owned()), Some(2)));
    assert_eq!(describe(&format!("{igd}<softwareVersion>1.2</softwareVersion>"), "").0.as_deref(), Some("1.2"));
    let television = "<deviceType>urn:schemas-upnp-org:device:MediaRenderer:1</deviceType>";
    assert_eq!(describe(television, ""), (None, None));
}
