//! One line of the file: what stands, or may stand, in a gateway's table because of us.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::mapping::{AddressFamily, LeaseKey, Protocol, Transport};

/// The longest text of a device: unique name, URL or type of service.
const MAX_TEXT: usize = 512;

/// A mapping that was asked for, with all that is needed to ask for it again or to delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The gateway that was asked.
    pub(crate) gateway: IpAddr,
    /// The address to which the mapping leads.
    pub(crate) local_address: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) internal_port: u16,
    /// The external port that the caller wished for; `None` if the caller named none.
    pub(crate) wish: Option<u16>,
    /// The external port that was granted, or else asked for; `None` if the router was asked to choose one.
    pub(crate) external_port: Option<u16>,
    /// For how long it was asked for; `None` is for ever.
    pub(crate) lifetime: Option<Duration>,
    /// When it has ended at the latest. Not known while its process lives and renews it.
    pub(crate) end: Option<SystemTime>,
    /// It was left to its lifetime on purpose: it may be taken up again, and is never deleted.
    pub(crate) kept: bool,
    pub(crate) maker: Maker,
}

/// The protocol that made a mapping, and what it needs to find it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Maker {
    Pcp { nonce: [u8; 12] },
    NatPmp,
    Upnp { udn: String, control_url: String, service_type: String },
}

/// What tells one record from another: the place in a gateway's table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    gateway: IpAddr,
    /// Each IPv6 address of this machine has pinholes of its own, also at routers with the same link-local address.
    local: Option<IpAddr>,
    protocol: &'static str,
    transport: Transport,
    /// PCP and NAT-PMP have one mapping for each internal port.
    internal_port: u16,
    /// UPnP has one for each external port, of each device.
    place: Option<(String, Option<u16>)>,
}

impl Maker {
    pub(crate) const fn protocol(&self) -> Protocol {
        match self {
            Self::Pcp { .. } => Protocol::Pcp,
            Self::NatPmp => Protocol::NatPmp,
            Self::Upnp { .. } => Protocol::Upnp,
        }
    }
}

impl Record {
    pub(crate) fn key(&self) -> Key {
        let place = match &self.maker {
            Maker::Pcp { .. } | Maker::NatPmp => None,
            Maker::Upnp { udn, control_url, .. } => {
                let device = if udn.is_empty() { control_url } else { udn };
                Some((device.clone(), self.external_port))
            }
        };
        // At a known external port a device has one entry, whatever it leads to.
        let internal_port = if place.is_some() && self.external_port.is_some() { 0 } else { self.internal_port };
        let protocol = self.maker.protocol().as_str();
        let local = Some(self.local_address).filter(IpAddr::is_ipv6);
        Key { gateway: self.gateway, local, protocol, transport: self.transport, internal_port, place }
    }

    /// What it keeps open. A mapping is of the family of the address to which it leads.
    pub(crate) const fn port(&self) -> LeaseKey {
        (AddressFamily::of(self.local_address), self.transport, self.internal_port)
    }

    /// Where it leads to, and at which gateway.
    pub(crate) const fn target(&self) -> (IpAddr, IpAddr, Transport, u16) {
        (self.gateway, self.local_address, self.transport, self.internal_port)
    }

    /// Whether a delete of what this is about may hit what another process has made, as recorded in `other`, in a table that may be
    /// that of all protocols. PCP deletes by the nonce, which processes with one folder share. NAT-PMP deletes by the internal port.
    /// UPnP deletes by the external port, or looks for the internal one if the other was not told; and what two programs with one
    /// description make for one port looks the same.
    pub(crate) fn hits(&self, other: &Self) -> bool {
        let same_target = self.target() == other.target();
        let same_entry = same_target && self.external_port == other.external_port;
        match (&self.maker, &other.maker) {
            (Maker::Pcp { nonce }, Maker::Pcp { nonce: others }) => same_target && nonce == others,
            (Maker::Pcp { .. }, Maker::NatPmp | Maker::Upnp { .. }) => same_entry,
            (Maker::NatPmp, _) => same_target,
            (Maker::Upnp { .. }, _) if self.external_port.is_none() => same_target,
            (Maker::Upnp { .. }, Maker::Pcp { .. } | Maker::NatPmp) => same_entry,
            (Maker::Upnp { .. }, Maker::Upnp { .. }) => self.key() == other.key(),
        }
    }

    /// Whether it stays on the gateway until it is deleted.
    pub(crate) const fn permanent(&self) -> bool {
        self.lifetime.is_none()
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&self, now: SystemTime) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    /// The same record of a process that has ended by `now`, so that nobody renews the mapping any more.
    pub(crate) fn orphaned(self, now: SystemTime) -> Self {
        let end = self.lifetime.map(|lifetime| now + lifetime);
        // A clock that was set back must not make it live for ever.
        let end = end.map(|end| self.end.map_or(end, |known| known.min(end)));
        Self { end, ..self }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> String {
        let mut line = format!(
            "protocol={} transport={} internal={} gateway={} local={}",
            self.maker.protocol(),
            self.transport,
            self.internal_port,
            self.gateway,
            self.local_address
        );
        let mut add = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string does not fail.
            let _ = write!(line, " {name}={value}");
        };
        if let Some(wish) = &self.wish {
            add("wish", wish);
        }
        if let Some(port) = &self.external_port {
            add("external", port);
        }
        if let Some(lifetime) = self.lifetime {
            add("lifetime", &lifetime.as_secs());
        }
        if let Some(end) = self.end {
            add("end", &end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        }
        if self.kept {
            add("kept", &"yes");
        }
        match &self.maker {
            Maker::Pcp { nonce } => add("nonce", &hex(nonce)),
            Maker::NatPmp => {}
            Maker::Upnp { udn, control_url, service_type } => {
                add("udn", &escaped(udn));
                add("control", &escaped(control_url));
                add("service", &escaped(service_type));
            }
        }
        line.push('\n');
        line
    }

    /// Reads a line. `None` if it is not whole or makes no sense. What a later version may add is passed over.
    pub(super) fn read(line: &str) -> Option<Self> {
        let fields = Fields(line);
        let transport = fields.parse::<Transport>("transport")?;
        let protocol = fields.parse::<Protocol>("protocol")?;
        let internal_port = fields.parse::<u16>("internal").filter(|port| *port != 0)?;
        let lifetime = fields.optional::<u32>("lifetime")?.map(|seconds| Duration::from_secs(seconds.into()));
        let end = fields.optional::<u32>("end")?.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds.into()));
        let maker = match protocol {
            Protocol::Pcp => Maker::Pcp { nonce: unhex(fields.get("nonce")?)? },
            Protocol::NatPmp => Maker::NatPmp,
            Protocol::Upnp => Maker::Upnp {
                udn: fields.text("udn")?,
                control_url: fields.text("control")?,
                service_type: fields.text("service")?,
            },
            Protocol::None => return None,
        };
        Some(Self {
            gateway: fields.parse("gateway")?,
            local_address: fields.parse("local")?,
            transport,
            internal_port,
            wish: fields.port("wish")?,
            external_port: fields.port("external")?,
            // Only routers that speak UPnP keep mappings for ever.
            lifetime: match protocol {
                Protocol::Upnp => lifetime,
                Protocol::Pcp | Protocol::NatPmp | Protocol::None => Some(lifetime?),
            },
            end,
            kept: fields.get("kept") == Some("yes"),
            maker,
        })
    }
}

/// The `name=value` pairs of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a str);

impl<'a> Fields<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        self.0
            .split(' ')
            .find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name))
            .map(|(_, value)| value)
    }

    pub(super) fn parse<T: FromStr>(self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// `None` is an error, `Some(None)` a field that is not there.
    fn optional<T: FromStr>(self, name: &str) -> Option<Option<T>> {
        self.get(name).map_or(Some(None), |value| value.parse().ok().map(Some))
    }

    fn port(self, name: &str) -> Option<Option<u16>> {
        self.optional(name).filter(|port| *port != Some(0))
    }

    pub(super) fn text(self, name: &str) -> Option<String> {
        unescaped(self.get(name)?).filter(|text| text.len() <= MAX_TEXT)
    }
}

/// A text without spaces, line breaks and what only some programs can show.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(escaped, "%{byte:02x}");
            }
        }
    }
    escaped
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 12]> {
    if text.len() != 24 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut nonce = [0; 12];
    for (position, byte) in nonce.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * position..2 * position + 2)?, 16).ok()?;
    }
    Some(nonce)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn record(internal_port: u16) -> Record {
        Record {
            gateway: [192, 168, 1, 1].into(),
            local_address: [192, 168, 1, 10].into(),
            transport: Transport::Udp,
            internal_port,
            wish: None,
            external_port: Some(internal_port),
            lifetime: Some(Duration::from_secs(3600)),
            end: None,
            kept: false,
            maker: Maker::Pcp { nonce: *b"0123456789ab" },
        }
    }

    pub(crate) fn by_upnp(internal_port: u16, external_port: u16) -> Record {
        let maker = Maker::Upnp {
            udn: "uuid:with space, 100 % and ü".to_owned(),
            control_url: "http://192.168.1.1:5000/ctl?a=b&c=%20".to_owned(),
            service_type: "urn:schemas-upnp-org:service:WANIPConnection:1".to_owned(),
        };
        Record { external_port: Some(external_port), maker, ..record(internal_port) }
    }

    fn read(line: &str) -> Option<Record> {
        Record::read(line.trim_end_matches('\n'))
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let end = UNIX_EPOCH + Duration::from_secs(1_764_373_999);
        for record in [
            record(4000),
            Record { wish: Some(80), external_port: Some(50_000), end: Some(end), kept: true, ..record(65_535) },
            Record { maker: Maker::NatPmp, transport: Transport::Tcp, ..record(1) },
            Record { lifetime: None, wish: Some(1), ..by_upnp(4000, 4100) },
            Record { external_port: None, ..by_upnp(4000, 1) },
            Record { gateway: "fe80::1".parse().unwrap(), local_address: "::1".parse().unwrap(), ..record(2) },
        ] {
            let line = record.line();
            assert_eq!(read(&line), Some(record), "{line}");
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
            assert!(line.is_ascii(), "{line}");
        }
    }

    #[test]
    fn each_ipv6_address_has_records_of_its_own_also_at_routers_with_one_link_local_address() {
        let at = |local: &str, record: Record| Record {
            gateway: if local.contains(':') { "fe80::1".parse().unwrap() } else { record.gateway },
            local_address: local.parse().unwrap(),
            ..record
        };
        for record in [record(4000), by_upnp(4000, 4000)] {
            let key = |local| at(local, record.clone()).key();
            assert_ne!(key("2001:db8:1::5"), key("2001:db8:2::5"));
            assert_eq!(key("192.168.1.10"), key("192.168.1.11"));
        }
    }

    #[test]
    fn a_line_that_is_cut_off_anywhere_in_its_values_is_no_other_record_or_none() {
        let whole = by_upnp(4000, 4100);
        let line = whole.line();
        for length in 0..line.len() {
            // The reader of the file drops a line without its end; the line's own reader must not panic on it.
            drop(Record::read(&line[..length]));
        }
        assert_eq!(read("protocol=pcp transport=udp internal=4000"), None);
    }

    #[test]
    fn values_that_make_no_sense_make_no_record() {
        let good = record(4000).line();
        assert!(read(&good).is_some());
        for (from, to) in [
            ("protocol=pcp", "protocol=sctp"),
            ("protocol=pcp", "protocol=none"),
            ("transport=udp", "transport="),
            ("internal=4000", "internal=0"),
            ("internal=4000", "internal=65536"),
            ("external=4000", "external=0"),
            ("external=4000", "external=-1"),
            ("gateway=192.168.1.1", "gateway=router"),
            ("lifetime=3600", "lifetime=99999999999999999999"),
            (" lifetime=3600", ""),
            ("nonce=3031", "nonce=303"),
            ("nonce=30", "nonce=+3"),
            ("nonce=3031", "nonce=zz31"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert_eq!(read(&bad), None, "{bad}");
        }
        let good = by_upnp(4000, 4100).line();
        let control = "control=http://192.168.1.1:5000/ctl";
        for bad in [
            good.replace(control, "control=%0a"),
            good.replace(control, "control=%zz"),
            good.replace(control, "control=%f"),
            good.replace(control, "control=%ff"),
            good.replace(control, &format!("control={}", "a".repeat(MAX_TEXT + 1))),
        ] {
            assert_ne!(bad, good);
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let line = record(4000).line().replace('\n', " mood=good\n");
        assert_eq!(read(&line), Some(record(4000)));
    }

    #[test]
    fn pcp_has_one_record_for_each_internal_port_and_upnp_one_for_each_external_port() {
        let moved = Record { external_port: Some(50_000), ..record(4000) };
        assert_eq!(moved.key(), record(4000).key());
        assert_ne!(record(4001).key(), record(4000).key());
        assert_ne!(by_upnp(4000, 4001).key(), by_upnp(4000, 4000).key());
        assert_eq!(by_upnp(4001, 4000).key(), by_upnp(4000, 4000).key());
        let chosen = |internal_port| Record { external_port: None, ..by_upnp(internal_port, 1) };
        assert_ne!(chosen(4000).key(), chosen(4001).key());
    }

    #[test]
    fn the_end_of_an_orphan_is_its_lifetime_after_it_was_found_and_never_later_than_known_before() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hour = Duration::from_secs(3600);
        let found = record(4000).orphaned(now);
        assert_eq!(found.end, Some(now + hour));
        assert!(!found.ended(now + hour / 2) && found.ended(now + hour));
        assert_eq!(found.clone().orphaned(now + hour / 2).end, found.end);
        assert_eq!(found.orphaned(now - hour).end, Some(now));
        let permanent = Record { lifetime: None, ..by_upnp(1, 1) }.orphaned(now);
        assert!(permanent.permanent() && permanent.end.is_none() && !permanent.ended(now + hour * 10_000));
    }
}
