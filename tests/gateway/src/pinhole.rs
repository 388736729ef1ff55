//! The pinholes of the firewall for IPv6, one table for PCP and UPnP: who made them, how long they live, what they let in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use crate::forward::Forwarder;
use crate::table::{self, Nonce};
use crate::{Mapping, Protocol, Transport};

/// What a pinhole lets through. No two pinholes have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) transport: Transport,
    pub(crate) internal: SocketAddr,
    /// The only host outside that may come in; `None` is any.
    pub(crate) remote_host: Option<Ipv6Addr>,
    /// The only port outside; `None` is any.
    pub(crate) remote_port: Option<u16>,
}

impl Passage {
    /// For everybody outside, which is all that PCP can open without FILTER.
    pub(crate) fn for_all(transport: Transport, internal: SocketAddr) -> Self {
        Self { transport, internal, remote_host: None, remote_port: None }
    }
}

#[derive(Debug)]
pub(crate) struct Pinhole {
    pub(crate) passage: Passage,
    pub(crate) protocol: Protocol,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) nonce: Option<Nonce>,
    /// A switch has made the router forget whose it is.
    pub(crate) nonce_forgotten: bool,
    pub(crate) forwarder: Forwarder,
}

impl Pinhole {
    pub(crate) fn view(&self, id: u16, now: Instant) -> Mapping {
        Mapping {
            protocol: self.protocol,
            transport: self.passage.transport,
            external_port: self.passage.internal.port(),
            internal: self.passage.internal,
            description: String::new(),
            expires_in: table::remaining(self.expires_at, now),
            reach: self.forwarder.reach(),
            nonce: self.nonce.map(table::hex),
            unique_id: Some(id),
        }
    }

    /// Whether PCP's delete with this nonce may take it.
    pub(crate) fn is_owned_by(&self, nonce: Nonce) -> bool {
        self.nonce == Some(nonce) && !self.nonce_forgotten
    }

    /// Packets and connections that have come in through it.
    pub(crate) fn packets(&self) -> u32 {
        self.forwarder.packets()
    }
}

/// A request for a pinhole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PinholeAsk {
    pub(crate) protocol: Protocol,
    pub(crate) passage: Passage,
    /// Seconds; 0 is permanent.
    pub(crate) lifetime: u32,
    pub(crate) nonce: Option<Nonce>,
}

/// What the client gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PinholeGrant {
    pub(crate) id: u16,
    /// Seconds; 0 is permanent.
    pub(crate) lifetime: u32,
    pub(crate) renewed: bool,
}

/// The pinholes by their UniqueID.
#[derive(Debug, Default)]
pub(crate) struct Pinholes {
    entries: BTreeMap<u16, Pinhole>,
    last_id: u16,
}

impl Pinholes {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, id: u16) -> Option<&Pinhole> {
        self.entries.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u16) -> Option<&mut Pinhole> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn find(&self, passage: &Passage) -> Option<u16> {
        self.ids(|pinhole| pinhole.passage == *passage).first().copied()
    }

    pub(crate) fn ids(&self, fits: impl Fn(&Pinhole) -> bool) -> Vec<u16> {
        self.entries.iter().filter(|(_, pinhole)| fits(pinhole)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn views(&self, now: Instant) -> impl Iterator<Item = Mapping> {
        self.entries.iter().map(move |(id, pinhole)| pinhole.view(*id, now))
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.entries.values().filter_map(|pinhole| pinhole.expires_at).min()
    }

    pub(crate) fn expired(&self, now: Instant) -> Vec<u16> {
        self.ids(|pinhole| pinhole.expires_at.is_some_and(|at| at <= now))
    }

    /// The next number that no pinhole has; all are in use only beyond what the table holds.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.entries.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Gives a new pinhole its UniqueID.
    pub(crate) fn insert(&mut self, pinhole: Pinhole) -> u16 {
        let id = self.next_id();
        self.entries.insert(id, pinhole);
        id
    }

    /// Gives a pinhole another UniqueID.
    pub(crate) fn change_id(&mut self, id: u16) -> u16 {
        self.entries.remove(&id).map_or(id, |pinhole| self.insert(pinhole))
    }

    /// Takes a pinhole out. Returns what it was, and what still has to be closed.
    pub(crate) fn remove(&mut self, id: u16) -> Option<(Mapping, Forwarder)> {
        let pinhole = self.entries.remove(&id)?;
        Some((pinhole.view(id, Instant::now()), pinhole.forwarder))
    }

    /// Takes all out, for a restart: the numbers begin again.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Forwarder> {
        std::mem::take(self).entries.into_values().map(|pinhole| pinhole.forwarder)
    }
}

/// The addresses of the inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    address: Ipv6Addr,
    length: u8,
}

impl Prefix {
    /// Fails for a length over 128.
    pub(crate) fn new(address: Ipv6Addr, length: u8) -> Result<Self, String> {
        if length > 128 {
            return Err(format!("the prefix length must be between 0 and 128, not {length}"));
        }
        Ok(Self { address, length })
    }

    /// Whether an address is inside; link-local ones are on every link.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let IpAddr::V6(address) = address else { return true };
        let differs = (address.to_bits() ^ self.address.to_bits()).checked_shr(128 - u32::from(self.length));
        address.is_unicast_link_local() || differs.unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_its_addresses_and_the_link_local_ones() {
        let prefix = Prefix::new("2001:db8:1::".parse().unwrap(), 64).unwrap();
        for (address, inside) in [
            ("2001:db8:1::7", true),
            ("2001:db8:1:0:ffff::", true),
            ("2001:db8:1:1::", false),
            ("::1", false),
            ("fe80::1", true),
        ] {
            assert_eq!(prefix.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(Prefix::new(Ipv6Addr::UNSPECIFIED, 0).unwrap().contains("::1".parse().unwrap()));
        assert!(Prefix::new(Ipv6Addr::LOCALHOST, 128).unwrap().contains("::1".parse().unwrap()));
        assert!(Prefix::new(Ipv6Addr::LOCALHOST, 129).is_err());
    }
}
