//! The one table of the router. As in miniupnpd, all protocols share it: an external port and transport is one
//! entry, whoever made it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::forward::Forwarder;
use crate::{Event, Mapping, Protocol, Transport};

/// A PCP mapping nonce (RFC 6887, 11.1).
pub(crate) type Nonce = [u8; 12];
pub(crate) type Key = (Transport, u16);

/// A line of the table with what keeps it alive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) protocol: Protocol,
    pub(crate) internal: SocketAddr,
    pub(crate) description: String,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) nonce: Option<Nonce>,
    pub(crate) forwarder: Forwarder,
}

impl Entry {
    /// Seconds left, rounded up; `None` when permanent.
    pub(crate) fn remaining(&self, now: Instant) -> Option<u32> {
        remaining(self.expires_at, now)
    }

    pub(crate) fn view(&self, (transport, external_port): Key, now: Instant) -> Mapping {
        Mapping {
            protocol: self.protocol,
            transport,
            external_port,
            internal: self.internal,
            description: self.description.clone(),
            expires_in: self.remaining(now),
            reach: self.forwarder.reach(),
            nonce: self.nonce.map(hex),
            unique_id: None,
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) protocol: Protocol,
    pub(crate) transport: Transport,
    pub(crate) internal: SocketAddr,
    /// 0 leaves the choice to the router.
    pub(crate) suggested: u16,
    /// This external port or none.
    pub(crate) exact: bool,
    /// Seconds; 0 is permanent.
    pub(crate) lifetime: u32,
    pub(crate) nonce: Option<Nonce>,
    pub(crate) description: String,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) external_port: u16,
    /// Seconds; 0 is permanent.
    pub(crate) lifetime: u32,
}

/// Why a client gets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The mapping is another's; it holds for this many seconds more (`None`: for ever).
    NotAuthorized { remaining: Option<u32> },
    /// The external port that must be is not to be had.
    PortTaken,
    /// There is no room.
    Full,
    /// It is there, and cannot be renewed.
    CannotRenew,
}

/// The rules by which the table grants, apart from the switches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) min_external_port: u16,
    pub(crate) nonce_takeover: bool,
    pub(crate) full: bool,
    pub(crate) granted_port: Option<u16>,
    pub(crate) overwrite: bool,
}

/// The decision about an [`Ask`], before anything is opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Renew(u16),
    Create(u16),
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<Key, Entry>,
    /// Taken out of the table, but perhaps not closed yet.
    pub(crate) closing: Vec<Forwarder>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &Entry)> {
        self.entries.iter().map(|(key, entry)| (*key, entry))
    }

    pub(crate) fn insert(&mut self, key: Key, entry: Entry) {
        if let Some(old) = self.entries.insert(key, entry) {
            self.closing.push(old.forwarder);
        }
    }

    /// Takes an entry out; its forwarder closes. Returns what it was.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Mapping> {
        let entry = self.entries.remove(&key)?;
        let view = entry.view(key, Instant::now());
        self.closing.push(entry.forwarder);
        Some(view)
    }

    pub(crate) fn clear(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        self.closing.extend(entries.into_values().map(|entry| entry.forwarder));
    }

    /// Takes out what has run out, and tells so.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Event> {
        let due: Vec<Key> =
            self.iter().filter(|(_, entry)| entry.expires_at.is_some_and(|at| at <= now)).map(|(key, _)| key).collect();
        due.into_iter().filter_map(|key| self.remove(key)).map(Event::Expired).collect()
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.expires_at).min()
    }

    /// Where the mapping of this internal port is. UPnP can give one internal port several external ones: then the one
    /// that PCP made with the same nonce is meant (RFC 6887, 11.3), or the suggested one, or else the lowest.
    pub(crate) fn of_internal(
        &self,
        transport: Transport,
        internal: SocketAddr,
        suggested: u16,
        nonce: Option<Nonce>,
    ) -> Option<u16> {
        self.iter()
            .filter(|((of, _), entry)| *of == transport && entry.internal == internal)
            .map(|((_, port), entry)| (nonce.is_some() && entry.nonce == nonce, port == suggested, port))
            .max_by_key(|(own, wished, port)| (*own, *wished, std::cmp::Reverse(*port)))
            .map(|(_, _, port)| port)
    }

    /// The keys of all mappings of one host and transport (`None`: both).
    pub(crate) fn of_host(&self, transport: Option<Transport>, host: IpAddr) -> Vec<Key> {
        self.iter()
            .filter(|((of, _), entry)| transport.is_none_or(|wanted| wanted == *of) && entry.internal.ip() == host)
            .map(|(key, _)| key)
            .collect()
    }

    /// PCP and NAT-PMP: the internal port names the mapping (RFC 6887, 11.3; RFC 6886, 3.3).
    pub(crate) fn decide_by_internal(&self, ask: &Ask, rules: Rules, now: Instant) -> Result<Decision, Refusal> {
        if let Some(port) = self.of_internal(ask.transport, ask.internal, ask.suggested, ask.nonce) {
            let entry = &self.entries[&(ask.transport, port)];
            let other_nonce = ask.nonce.is_some() && entry.nonce.is_some() && entry.nonce != ask.nonce;
            if entry.protocol == Protocol::Static || (other_nonce && !rules.nonce_takeover) {
                return Err(Refusal::NotAuthorized { remaining: entry.remaining(now) });
            }
            // RFC 6887, 13.2: a mapping elsewhere does not satisfy PREFER_FAILURE.
            if ask.exact && ask.suggested != port && rules.granted_port != Some(port) {
                return Err(Refusal::PortTaken);
            }
            return Ok(Decision::Renew(port));
        }
        self.choose(ask, rules).map(Decision::Create)
    }

    /// UPnP's AddPortMapping: the external port names the mapping (WANIPConnection:2, 2.5.16).
    pub(crate) fn decide_by_external(&self, ask: &Ask, rules: Rules) -> Result<Decision, Refusal> {
        match self.get((ask.transport, ask.suggested)) {
            Some(entry) if entry.protocol == Protocol::Static => Err(Refusal::PortTaken),
            Some(entry) if entry.internal == ask.internal => Ok(Decision::Renew(ask.suggested)),
            Some(entry) if rules.overwrite && entry.internal.ip() == ask.internal.ip() => {
                Ok(Decision::Renew(ask.suggested))
            }
            Some(_) => Err(Refusal::PortTaken),
            None if rules.full => Err(Refusal::Full),
            None if ask.suggested < rules.min_external_port => Err(Refusal::PortTaken),
            None => Ok(Decision::Create(ask.suggested)),
        }
    }

    /// A free external port for a new mapping.
    pub(crate) fn choose(&self, ask: &Ask, rules: Rules) -> Result<u16, Refusal> {
        if rules.full {
            return Err(Refusal::Full);
        }
        let free = |port: u16| port >= rules.min_external_port && self.get((ask.transport, port)).is_none();
        if let Some(port) = rules.granted_port.filter(|port| free(*port)) {
            return Ok(port);
        }
        let wish = if ask.suggested == 0 { ask.internal.port() } else { ask.suggested };
        if free(wish) {
            return Ok(wish);
        }
        if ask.exact {
            return Err(Refusal::PortTaken);
        }
        // The next free one above; never a well-known port that nobody asked for.
        const LOWEST: u16 = 1024;
        let above = wish.max(LOWEST).checked_add(1).unwrap_or(LOWEST);
        (above..=u16::MAX).chain(LOWEST..above).find(|port| free(*port)).ok_or(Refusal::Full)
    }
}

/// Seconds left, rounded up; `None` when permanent.
pub(crate) fn remaining(expires_at: Option<Instant>, now: Instant) -> Option<u32> {
    expires_at.map(|at| {
        let left = at.saturating_duration_since(now);
        let whole = u32::try_from(left.as_secs()).unwrap_or(u32::MAX);
        whole.saturating_add(u32::from(left.subsec_nanos() > 0))
    })
}

/// A nonce as text.
pub(crate) fn hex(nonce: Nonce) -> String {
    nonce.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// When a lease that is granted now runs out.
pub(crate) fn expiry(now: Instant, lifetime: u32) -> Option<Instant> {
    (lifetime > 0).then(|| now + Duration::from_secs(lifetime.into()))
}
