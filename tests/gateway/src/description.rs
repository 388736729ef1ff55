//! The device description and the service descriptions (SCPD), in all their variants.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::layout::{Device, Role, Service};
use crate::{Faults, GatewayConfig, NameEncoding};

/// More than the 16 KB that some clients stop at.
const PADDING: usize = 20 * 1024;

/// Text made safe for XML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// An XML writer that knows the switch for prefixes.
struct Writer {
    out: String,
    prefix: &'static str,
}

impl Writer {
    fn open(&mut self, name: &str) {
        let _infallible = write!(self.out, "<{}{name}>", self.prefix);
    }

    fn close(&mut self, name: &str) {
        let _infallible = writeln!(self.out, "</{}{name}>", self.prefix);
    }

    fn leaf(&mut self, name: &str, text: &str) {
        self.open(name);
        self.out.push_str(&escape(text));
        self.close(name);
    }
}

/// The description of `device`, served at `address`; bytes, because it need not be UTF-8.
pub(crate) fn document(config: &GatewayConfig, faults: &Faults, device: &Device, address: SocketAddr) -> Vec<u8> {
    let (prefix, declaration) = if faults.prefixed_namespaces { ("igd:", "xmlns:igd") } else { ("", "xmlns") };
    let encoding = if faults.name_encoding == NameEncoding::Latin1 { "ISO-8859-1" } else { "utf-8" };
    let mut xml = Writer {
        out: format!(
            "<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<{prefix}root {declaration}=\"urn:schemas-upnp-org:device-1-0\">\n"
        ),
        prefix,
    };
    if faults.padded_description {
        let _infallible = writeln!(xml.out, "<!-- {} -->", "padding ".repeat(PADDING / 8));
    }
    xml.open("specVersion");
    xml.leaf("major", "1");
    xml.leaf("minor", "1");
    xml.close("specVersion");
    if faults.url_base {
        xml.leaf("URLBase", &format!("http://{address}/"));
    }
    for _ in 0..faults.nesting {
        xml.open("nested");
    }
    for _ in 0..faults.nesting {
        xml.close("nested");
    }
    root_device(&mut xml, config, faults, device);
    xml.close("root");
    match faults.name_encoding {
        NameEncoding::Utf8 => xml.out.into_bytes(),
        // The placeholder stands where the one letter outside ASCII goes.
        NameEncoding::Latin1 | NameEncoding::BrokenUtf8 => {
            xml.out.into_bytes().iter().map(|byte| if *byte == PLACEHOLDER { 0xfc } else { *byte }).collect()
        }
    }
}

/// A control character that no document holds otherwise; becomes a latin-1 letter.
const PLACEHOLDER: u8 = 0x1f;

fn root_device(xml: &mut Writer, config: &GatewayConfig, faults: &Faults, device: &Device) {
    let mut name = config.friendly_name.clone();
    if faults.name_encoding != NameEncoding::Utf8 {
        name.push_str(" K");
        name.push(char::from(PLACEHOLDER));
        name.push_str("che");
    }
    xml.open("device");
    about(xml, &device.device_type("InternetGatewayDevice"), &name, &device.uuid);
    xml.open("deviceList");
    xml.open("device");
    about(xml, &device.device_type("WANDevice"), "WANDevice", &format!("{}1", &device.uuid[..device.uuid.len() - 1]));
    xml.open("serviceList");
    service(xml, faults, &device.common);
    xml.close("serviceList");
    xml.open("deviceList");
    // Without a connection the firewall has a device of its own.
    let devices = device.connections.len().max(usize::from(device.firewall.is_some()));
    for index in 0..devices {
        xml.open("device");
        let uuid = format!("{}{:x}", &device.uuid[..device.uuid.len() - 1], index + 2);
        about(xml, &device.device_type("WANConnectionDevice"), "WANConnectionDevice", &uuid);
        xml.open("serviceList");
        if let Some(connection) = device.connections.get(index) {
            service(xml, faults, connection);
        }
        if let Some(firewall) = device.firewall.as_ref().filter(|_| index + 1 == devices) {
            service(xml, faults, firewall);
        }
        xml.close("serviceList");
        xml.close("device");
    }
    for closing in ["deviceList", "device", "deviceList"] {
        xml.close(closing);
    }
    xml.close("device");
}

fn about(xml: &mut Writer, device_type: &str, name: &str, uuid: &str) {
    xml.leaf("deviceType", device_type);
    xml.leaf("friendlyName", name);
    xml.leaf("manufacturer", "portlease");
    xml.leaf("manufacturerURL", "https://github.com/portlease/portlease");
    xml.leaf("modelDescription", "simulated gateway");
    xml.leaf("modelName", "portlease-gateway");
    xml.leaf("modelNumber", env!("CARGO_PKG_VERSION"));
    xml.leaf("serialNumber", "1");
    xml.leaf("UDN", uuid);
}

fn service(xml: &mut Writer, faults: &Faults, service: &Service) {
    let url = |path: &str| {
        if faults.relative_urls { path.trim_start_matches('/').to_owned() } else { path.to_owned() }
    };
    let control = match &faults.control_host {
        Some(host) => format!("{host}{}", service.control),
        None => url(&service.control),
    };
    xml.open("service");
    xml.leaf("serviceType", &service.kind);
    xml.leaf("serviceId", service.id);
    xml.leaf("SCPDURL", &url(&service.scpd));
    xml.leaf("controlURL", &control);
    xml.leaf("eventSubURL", &url(&service.control.replace("ctl", "evt").replace("control", "event")));
    xml.close("service");
}

/// Direction, name and state variable of an argument.
type Argument = (bool, &'static str, &'static str);

const IN: bool = true;
const OUT: bool = false;

const MAPPING_KEY: [Argument; 3] = [
    (IN, "NewRemoteHost", "RemoteHost"),
    (IN, "NewExternalPort", "ExternalPort"),
    (IN, "NewProtocol", "PortMappingProtocol"),
];

const fn mapping_value(direction: bool) -> [Argument; 5] {
    [
        (direction, "NewInternalPort", "InternalPort"),
        (direction, "NewInternalClient", "InternalClient"),
        (direction, "NewEnabled", "PortMappingEnabled"),
        (direction, "NewPortMappingDescription", "PortMappingDescription"),
        (direction, "NewLeaseDuration", "PortMappingLeaseDuration"),
    ]
}

/// The actions of a WAN connection service (WANIPConnection:1, 2.4; :2, 2.5), as far as the gateway knows them.
fn connection_actions(version: u8) -> Vec<(&'static str, Vec<Argument>)> {
    let key_as_output = MAPPING_KEY.map(|(_, name, variable)| (OUT, name, variable));
    let mut actions = vec![
        (
            "GetConnectionTypeInfo",
            vec![
                (OUT, "NewConnectionType", "ConnectionType"),
                (OUT, "NewPossibleConnectionTypes", "PossibleConnectionTypes"),
            ],
        ),
        (
            "GetStatusInfo",
            vec![
                (OUT, "NewConnectionStatus", "ConnectionStatus"),
                (OUT, "NewLastConnectionError", "LastConnectionError"),
                (OUT, "NewUptime", "Uptime"),
            ],
        ),
        ("GetNATRSIPStatus", vec![(OUT, "NewRSIPAvailable", "RSIPAvailable"), (OUT, "NewNATEnabled", "NATEnabled")]),
        (
            "GetGenericPortMappingEntry",
            [(IN, "NewPortMappingIndex", "PortMappingNumberOfEntries")]
                .into_iter()
                .chain(key_as_output)
                .chain(mapping_value(OUT))
                .collect(),
        ),
        ("GetSpecificPortMappingEntry", MAPPING_KEY.into_iter().chain(mapping_value(OUT)).collect()),
        ("AddPortMapping", MAPPING_KEY.into_iter().chain(mapping_value(IN)).collect()),
        ("DeletePortMapping", MAPPING_KEY.to_vec()),
        ("GetExternalIPAddress", vec![(OUT, "NewExternalIPAddress", "ExternalIPAddress")]),
    ];
    if version >= 2 {
        let mut arguments: Vec<Argument> = MAPPING_KEY.into_iter().chain(mapping_value(IN)).collect();
        arguments.push((OUT, "NewReservedPort", "ExternalPort"));
        actions.push(("AddAnyPortMapping", arguments));
    }
    actions
}

fn common_actions() -> Vec<(&'static str, Vec<Argument>)> {
    vec![(
        "GetCommonLinkProperties",
        vec![
            (OUT, "NewWANAccessType", "WANAccessType"),
            (OUT, "NewLayer1UpstreamMaxBitRate", "Layer1UpstreamMaxBitRate"),
            (OUT, "NewLayer1DownstreamMaxBitRate", "Layer1DownstreamMaxBitRate"),
            (OUT, "NewPhysicalLinkStatus", "PhysicalLinkStatus"),
        ],
    )]
}

/// The actions of WANIPv6FirewallControl:1 (2.5).
fn firewall_actions() -> Vec<(&'static str, Vec<Argument>)> {
    const PASSAGE: [Argument; 5] = [
        (IN, "RemoteHost", "A_ARG_TYPE_IPv6Address"),
        (IN, "RemotePort", "A_ARG_TYPE_Port"),
        (IN, "InternalClient", "A_ARG_TYPE_IPv6Address"),
        (IN, "InternalPort", "A_ARG_TYPE_Port"),
        (IN, "Protocol", "A_ARG_TYPE_Protocol"),
    ];
    const ID: Argument = (IN, "UniqueID", "A_ARG_TYPE_UniqueID");
    let with = |arguments: &[Argument], more: &[Argument]| [arguments, more].concat();
    vec![
        (
            "GetFirewallStatus",
            vec![(OUT, "FirewallEnabled", "FirewallEnabled"), (OUT, "InboundPinholeAllowed", "InboundPinholeAllowed")],
        ),
        (
            "GetOutboundPinholeTimeout",
            with(&PASSAGE, &[(OUT, "OutboundPinholeTimeout", "A_ARG_TYPE_OutboundPinholeTimeout")]),
        ),
        (
            "AddPinhole",
            with(&PASSAGE, &[(IN, "LeaseTime", "A_ARG_TYPE_LeaseTime"), (OUT, "UniqueID", "A_ARG_TYPE_UniqueID")]),
        ),
        ("UpdatePinhole", vec![ID, (IN, "NewLeaseTime", "A_ARG_TYPE_LeaseTime")]),
        ("DeletePinhole", vec![ID]),
        ("GetPinholePackets", vec![ID, (OUT, "PinholePackets", "A_ARG_TYPE_PinholePackets")]),
        ("CheckPinholeWorking", vec![ID, (OUT, "IsWorking", "A_ARG_TYPE_Boolean")]),
    ]
}

/// The SCPD of a service.
pub(crate) fn scpd(service: &Service) -> Vec<u8> {
    let version = if service.kind.ends_with(":2") { 2 } else { 1 };
    let actions = match service.role {
        Role::Common => common_actions(),
        Role::Connection { .. } => connection_actions(version),
        Role::Firewall => firewall_actions(),
    };
    let mut xml = Writer {
        out: "<?xml version=\"1.0\"?>\n<scpd xmlns=\"urn:schemas-upnp-org:service-1-0\">\n".into(),
        prefix: "",
    };
    xml.open("specVersion");
    xml.leaf("major", "1");
    xml.leaf("minor", "0");
    xml.close("specVersion");
    let mut variables: Vec<&str> = Vec::new();
    xml.open("actionList");
    for (name, arguments) in actions {
        xml.open("action");
        xml.leaf("name", name);
        xml.open("argumentList");
        for (is_input, argument, variable) in arguments {
            xml.open("argument");
            xml.leaf("name", argument);
            xml.leaf("direction", if is_input { "in" } else { "out" });
            xml.leaf("relatedStateVariable", variable);
            xml.close("argument");
            if !variables.contains(&variable) {
                variables.push(variable);
            }
        }
        xml.close("argumentList");
        xml.close("action");
    }
    xml.close("actionList");
    xml.open("serviceStateTable");
    for variable in variables {
        let _infallible = writeln!(
            xml.out,
            "<stateVariable sendEvents=\"no\"><name>{variable}</name><dataType>{}</dataType></stateVariable>",
            data_type(variable)
        );
    }
    xml.close("serviceStateTable");
    xml.close("scpd");
    xml.out.into_bytes()
}

fn data_type(variable: &str) -> &'static str {
    match variable {
        "ExternalPort" | "InternalPort" | "PortMappingNumberOfEntries" => "ui2",
        "A_ARG_TYPE_Port" | "A_ARG_TYPE_Protocol" | "A_ARG_TYPE_UniqueID" => "ui2",
        "PortMappingLeaseDuration" | "Uptime" | "Layer1UpstreamMaxBitRate" | "Layer1DownstreamMaxBitRate" => "ui4",
        "A_ARG_TYPE_LeaseTime" | "A_ARG_TYPE_OutboundPinholeTimeout" | "A_ARG_TYPE_PinholePackets" => "ui4",
        "PortMappingEnabled" | "RSIPAvailable" | "NATEnabled" => "boolean",
        "FirewallEnabled" | "InboundPinholeAllowed" | "A_ARG_TYPE_Boolean" => "boolean",
        _ => "string",
    }
}
