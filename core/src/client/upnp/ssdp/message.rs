//! What is sent and answered in a search, as bytes and values.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use url::Url;

use crate::client::upnp::http::endpoint;

/// The longest datagram that is looked at.
pub(in crate::client::upnp) const MAX_DATAGRAM: usize = 4096;

/// An answer to a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Where the device's description is.
    pub location: Url,
    /// What answered (`ST`); need not be what was searched for.
    pub target: String,
    /// The unique service name (`USN`), empty where none was given.
    pub usn: String,
    /// Another one after each restart of the device (`BOOTID.UPNP.ORG`); devices by UDA 1.0 have none.
    pub boot_id: Option<u32>,
}

impl Answer {
    /// Whether the description may be fetched: `http`, an IP literal, no credentials, and the responder's own
    /// address. Anybody on the network can answer a search, and must not be able to send us elsewhere.
    pub(crate) fn trusted(&self, responder: IpAddr) -> bool {
        endpoint(&self.location).is_some_and(|address| address.ip() == responder)
    }

    /// The UDN of the device that answers (`uuid:...`), empty where it is not told.
    pub(in crate::client::upnp) fn udn(&self) -> &str {
        udn_of(&self.usn)
    }

    /// Whether the answer itself says that it comes from a gateway. Others may still be one.
    pub(crate) fn names_a_gateway(&self) -> bool {
        ["InternetGatewayDevice", "WANIPConnection", "WANPPPConnection", "WANIPv6FirewallControl"]
            .iter()
            .any(|name| self.target.contains(name) || self.usn.contains(name))
    }
}

/// The UDN in a `USN`; empty where there is none.
pub(in crate::client::upnp) fn udn_of(usn: &str) -> &str {
    let udn = usn.split("::").next().unwrap_or_default();
    if udn.starts_with("uuid:") { udn } else { "" }
}

/// The part of a datagram that is looked at.
pub(in crate::client::upnp) fn text(datagram: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&datagram[..datagram.len().min(MAX_DATAGRAM)])
}

/// Names and values of the headers, up to the empty line.
pub(in crate::client::upnp) fn headers<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let named = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    named.map(|(name, value)| (name.trim(), value.trim()))
}

/// The value of `LOCATION`. Some devices name the interface behind a link-local address, in their own words (`[fe80::1%br0]`),
/// for which a URL has no place, and which mean nothing here.
pub(in crate::client::upnp) fn location_of(value: &str) -> Option<Url> {
    if let Some((scheme, rest)) = value.split_once("://[")
        && let Some((host, rest)) = rest.split_once(']')
        && let Some((address, _)) = host.split_once('%')
    {
        return Url::parse(&format!("{scheme}://[{address}]{rest}")).ok();
    }
    Url::parse(value).ok()
}

/// The value of `BOOTID.UPNP.ORG`: 31 bits by UDA 1.1 1.2.2, and some devices put the time of their start there.
pub(in crate::client::upnp) fn boot_id(value: &str) -> Option<u32> {
    value.parse().ok()
}

/// Reads an answer to a search; `None` for anything else. Header names in any case, lines that end in LF alone and
/// a missing empty line at the end are fine.
pub(crate) fn parse_response(datagram: &[u8]) -> Option<Answer> {
    let text = text(datagram);
    let mut lines = text.lines().map(str::trim);
    let mut status = lines.next()?.split_ascii_whitespace();
    let version = status.next()?;
    if !version.get(..5)?.eq_ignore_ascii_case("HTTP/") || status.next()? != "200" {
        return None;
    }
    let (mut location, mut target, mut usn, mut boot) = (None, String::new(), String::new(), None);
    for (name, value) in headers(lines) {
        if name.eq_ignore_ascii_case("LOCATION") {
            location = location.or_else(|| location_of(value));
        } else if name.eq_ignore_ascii_case("ST") {
            target = value.to_owned();
        } else if name.eq_ignore_ascii_case("USN") {
            usn = value.to_owned();
        } else if name.eq_ignore_ascii_case("BOOTID.UPNP.ORG") {
            boot = boot_id(value);
        }
    }
    Some(Answer { location: location?, target, usn, boot_id: boot })
}

/// The search message, with the quotes around `ssdp:discover` and the empty line at the end that devices insist on.
pub(super) fn message(host: SocketAddr, target: &str) -> String {
    // Without the interface of a link-local one.
    let host = SocketAddr::new(host.ip(), host.port());
    format!("M-SEARCH * HTTP/1.1\r\nHOST: {host}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n")
}
