//! What devices announce without being asked (UPnP Device Architecture 1.1, section 1.2).

use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use super::http::endpoint;
use super::ssdp::{boot_id, headers, location_of, text, udn_of};

/// An announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notification {
    pub kind: Kind,
    /// The unique service name (`USN`), empty where none was given.
    pub usn: String,
    /// Where the device's description is; there in all but a goodbye.
    pub location: Option<Url>,
    /// Another one after each restart (`BOOTID.UPNP.ORG`); devices by UDA 1.0 have none.
    pub boot_id: Option<u32>,
    /// The one that will follow although the device does not restart (`NEXTBOOTID.UPNP.ORG`).
    pub next_boot_id: Option<u32>,
    /// For how long the announcement holds (`CACHE-CONTROL`).
    pub max_age: Option<Duration>,
}

/// What an announcement says (`NTS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The device is there.
    Alive,
    /// It goes away.
    Byebye,
    /// It will have another BOOTID, for a reason other than a restart.
    Update,
}

impl Notification {
    /// Whether it leads nowhere but to the host that sent it; see [`super::ssdp::Answer::trusted`].
    pub(crate) fn trusted(&self, sender: IpAddr) -> bool {
        let leads_there = |location| endpoint(location).is_some_and(|address| address.ip() == sender);
        self.location.as_ref().is_none_or(leads_there)
    }

    /// The UDN of the device (`uuid:...`), empty where it is not told.
    pub(crate) fn udn(&self) -> &str {
        udn_of(&self.usn)
    }
}

/// Reads an announcement as leniently as [`super::ssdp::parse_response`] reads an answer; `None` for anything else.
pub(crate) fn parse(datagram: &[u8]) -> Option<Notification> {
    if !datagram.get(..6)?.eq_ignore_ascii_case(b"NOTIFY") {
        return None;
    }
    let text = text(datagram);
    let mut lines = text.lines().map(str::trim);
    if !lines.next()?.split_ascii_whitespace().next()?.eq_ignore_ascii_case("NOTIFY") {
        return None;
    }
    let (mut kind, mut usn, mut location, mut max_age) = (None, String::new(), None, None);
    let (mut boot, mut next_boot) = (None, None);
    for (name, value) in headers(lines) {
        match name.to_ascii_uppercase().as_str() {
            "NTS" => kind = kind_of(value),
            "USN" => value.clone_into(&mut usn),
            "LOCATION" => location = location.or_else(|| location_of(value)),
            "CACHE-CONTROL" => max_age = max_age_of(value),
            "BOOTID.UPNP.ORG" => boot = boot_id(value),
            "NEXTBOOTID.UPNP.ORG" => next_boot = boot_id(value),
            _ => {}
        }
    }
    let kind = kind?;
    let location = match kind {
        Kind::Alive | Kind::Update => Some(location?),
        Kind::Byebye => None,
    };
    Some(Notification { kind, usn, location, boot_id: boot, next_boot_id: next_boot, max_age })
}

fn kind_of(value: &str) -> Option<Kind> {
    [("ssdp:alive", Kind::Alive), ("ssdp:byebye", Kind::Byebye), ("ssdp:update", Kind::Update)]
        .into_iter()
        .find_map(|(name, kind)| value.eq_ignore_ascii_case(name).then_some(kind))
}

fn max_age_of(value: &str) -> Option<Duration> {
    value.split(',').find_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        let seconds = seconds.trim().parse::<u32>().ok()?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| Duration::from_secs(seconds.into()))
    })
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
