//! Device descriptions: which services of a device map ports or open IPv6 pinholes, and where their control URLs are.

use std::fmt::{self, Display};
use std::net::IpAddr;

use url::Url;

use super::http::{at_host, endpoint, shown};
use super::xml::{self, Element};

/// The services of one device that are looked at.
pub(crate) const MAX_SERVICES: usize = 8;
/// The longest service type; those of the standard have about 50 characters.
const MAX_SERVICE_TYPE: usize = 128;
/// The longest control URL: it is kept with each mapping, and some stand in records on disk.
const MAX_CONTROL_URL: usize = 1024;

/// What a description says about mapping ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// The root device's name for people; empty where it has none.
    pub friendly_name: String,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// The model's name and number.
    pub model: Option<String>,
    /// The version of the software, if the description tells it.
    pub firmware: Option<String>,
    /// The version of `InternetGatewayDevice`; `None` for a device of another type.
    pub igd_version: Option<u32>,
    /// The root device's `UDN`, such as `uuid:...`; empty where it has none.
    ///
    /// The root device's, because there is exactly one, it names the box whose table is changed, and routers make it of
    /// their MAC address. The UDNs of the embedded WAN devices are the same for all boxes of some makers, and there may
    /// be several.
    pub udn: String,
    /// The services that map ports, in document order, at most [`MAX_SERVICES`].
    pub services: Vec<Service>,
    /// The services that open IPv6 pinholes, likewise.
    pub pinholes: Vec<Service>,
    /// The service that tells of the line to the internet.
    pub line: Option<Service>,
}

impl Display for Description {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device `{}`", self.friendly_name)?;
        self.manufacturer.as_ref().map_or(Ok(()), |manufacturer| write!(f, " by `{manufacturer}`"))?;
        self.model.as_ref().map_or(Ok(()), |model| write!(f, ", model `{model}`"))?;
        f.write_str(if self.services.is_empty() { ", maps no ports" } else { ", maps ports by" })?;
        self.services.iter().try_for_each(|service| write!(f, " {}", service.service_type))?;
        self.pinholes.iter().try_for_each(|service| write!(f, ", opens pinholes by {}", service.service_type))
    }
}

/// A service that maps ports, or opens IPv6 pinholes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Service {
    /// Where actions are sent: `http`, on the host of the description, any port.
    pub control_url: Url,
    /// For instance `urn:schemas-upnp-org:service:WANIPConnection:1`, exactly as the device spells it.
    pub service_type: String,
}

impl Service {
    /// A service that was used before, for instance by an earlier process. `None` where the URL is not safe to ask
    /// (see [`super::ssdp::Answer::trusted`]) or the type does neither.
    pub(crate) fn known(control_url: &str, service_type: &str) -> Option<Self> {
        let control_url = Url::parse(control_url).ok().filter(|url| endpoint(url).is_some())?;
        (maps_ports(service_type) || opens_pinholes(service_type))
            .then(|| Self { control_url, service_type: service_type.to_owned() })
    }

    /// Whether the service has `AddAnyPortMapping`: WANIPConnection from version 2 on.
    pub(crate) fn adds_any_port(&self) -> bool {
        self.service_type.rsplit_once(':').is_some_and(|(kind, version)| {
            kind.ends_with("WANIPConnection") && version.trim().parse::<u32>().is_ok_and(|version| version >= 2)
        })
    }
}

/// Reads the description that came from `location`. `Err` says why the document is useless. A device without services
/// that map ports is a success with an empty list.
pub(crate) fn parse(bytes: &[u8], location: &Url) -> Result<Description, String> {
    let document = xml::parse(bytes)?;
    // Below `root` where there is one, whatever stands around it.
    let root = document.find("root").unwrap_or(&document);
    let device = root.child("device").or_else(|| root.find("device")).ok_or("it describes no device")?;
    let base = base(root.child_text("URLBase"), location);
    let services_that = |fits: fn(&str) -> bool| {
        let mut services = Vec::new();
        collect(device, &base, location, fits, &mut services);
        services
    };
    let text = |name: &str| device.child_text(name).map(shown);
    let model = match (text("modelName"), text("modelNumber")) {
        (Some(name), Some(number)) if !name.split_whitespace().any(|word| word == number) => {
            Some(format!("{name} {number}"))
        }
        (name, number) => name.or(number),
    };
    // FRITZ!Box; no standard has an element for it.
    let firmware = root.child("systemVersion").and_then(|version| version.child_text("Display"));
    Ok(Description {
        friendly_name: text("friendlyName").unwrap_or_default(),
        manufacturer: text("manufacturer"),
        model,
        firmware: firmware.or_else(|| device.child_text("softwareVersion")).map(shown),
        igd_version: device.child_text("deviceType").and_then(igd_version),
        udn: text("UDN").unwrap_or_default(),
        services: services_that(maps_ports),
        pinholes: services_that(opens_pinholes),
        line: services_that(tells_of_the_line).into_iter().next(),
    })
}

/// Of `urn:<anybody>:device:InternetGatewayDevice:<n>`.
fn igd_version(device_type: &str) -> Option<u32> {
    let (kind, version) = device_type.rsplit_once(':')?;
    kind.ends_with(":InternetGatewayDevice").then(|| version.trim().parse().ok()).flatten()
}

/// `URLBase` where it is usable and on the same host, else the description's own URL. Some routers put an address there
/// that they have long given up.
fn base(url_base: Option<&str>, location: &Url) -> Url {
    url_base
        .and_then(|text| location.join(text).ok())
        .filter(|base| same_host(base, location))
        .unwrap_or_else(|| location.clone())
}

fn host(url: &Url) -> Option<IpAddr> {
    endpoint(url).map(|address| address.ip())
}

fn same_host(url: &Url, location: &Url) -> bool {
    host(url).is_some() && host(url) == host(location)
}

/// Gathers services wherever they stand: some documents close their lists in the wrong order. The depth is bounded by
/// the XML reader.
fn collect(element: &Element, base: &Url, location: &Url, fits: fn(&str) -> bool, services: &mut Vec<Service>) {
    if element.name == "service"
        // Type and URL come from one and the same entry: another service's URL would refuse every action.
        && let (Some(service_type), Some(reference)) = (element.child_text("serviceType"), element.child_text("controlURL"))
        && fits(service_type)
        && let Some(control_url) = resolve(reference, base, location)
    {
        let service = Service { control_url, service_type: service_type.to_owned() };
        if services.len() < MAX_SERVICES && !services.contains(&service) {
            services.push(service);
        }
    }
    for child in &element.children {
        collect(child, base, location, fits, services);
    }
}

/// `urn:<anybody>:service:WANIPConnection:<n>` and the same with WANPPPConnection. The type is sent back verbatim in
/// SOAP messages, so it must not hold anything that would need escaping there or in a header.
fn maps_ports(service_type: &str) -> bool {
    matches!(kind(service_type), Some("WANIPConnection" | "WANPPPConnection"))
}

/// The same with WANIPv6FirewallControl.
fn opens_pinholes(service_type: &str) -> bool {
    kind(service_type) == Some("WANIPv6FirewallControl")
}

/// The same with WANCommonInterfaceConfig.
fn tells_of_the_line(service_type: &str) -> bool {
    kind(service_type) == Some("WANCommonInterfaceConfig")
}

fn kind(service_type: &str) -> Option<&str> {
    let plain = service_type.len() <= MAX_SERVICE_TYPE
        && service_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-._".contains(&byte));
    let parts: Vec<_> = service_type.split(':').collect();
    match parts[..] {
        ["urn", _, "service", kind, _] if plain => Some(kind),
        _ => None,
    }
}

/// A control URL, which must stay on the description's host. A description that was asked for over IPv6 may name the router's
/// IPv4 address, or another one: then the same port and path on the host that was asked are meant.
fn resolve(reference: &str, base: &Url, location: &Url) -> Option<Url> {
    let mut url = base.join(reference).ok()?;
    if let Some(asked) = host(location).filter(|asked| asked.is_ipv6() && host(&url) != Some(*asked)) {
        url = at_host(&url, asked)?;
    }
    url.set_fragment(None);
    (same_host(&url, location) && url.as_str().len() <= MAX_CONTROL_URL).then_some(url)
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
