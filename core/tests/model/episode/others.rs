//! The steps of everybody else: other hosts, the user at the router's settings, the second client, the mains.

use std::net::{Ipv4Addr, SocketAddr};

use portlease_gateway::{Mode, NewMapping, Protocol as Maker};

use super::{Cast, Episode};
use crate::foreign::{Key, Maker as Who};
use crate::ours::{Ours, Stage};
use crate::second::Wish;
use crate::upnpc;

/// Lifetimes of other hosts' entries, in seconds: they outlive every episode.
const FOREIGN_LIFETIMES: [Option<u32>; 3] = [None, Some(1_800), Some(86_400)];

impl Episode {
    /// Another host, or the user in the router's settings, makes an entry.
    pub(super) fn put_foreign(&mut self) {
        let key = self.any_key();
        // In secure mode nobody but its own host can touch the entry, whatever is under way.
        let by_hand = self.dice.chance(30);
        if self.gateway.mapping(key.0, key.1).is_some() || !((self.traits.secure && !by_hand) || self.is_calm(key)) {
            return;
        }
        let mapping = if by_hand { self.rule_by_hand(key) } else { self.entry_of_another_host(key) };
        self.put(mapping);
    }

    fn entry_of_another_host(&mut self, (transport, port): Key) -> NewMapping {
        let host = SocketAddr::from(([192, 168, 1, 2 + self.dice.below(5) as u8], 3_000 + self.dice.below(3) as u16));
        NewMapping {
            protocol: self.dice.pick(&[Maker::Upnp, Maker::Upnp, Maker::Pcp, Maker::NatPmp]),
            lifetime: self.dice.pick(&FOREIGN_LIFETIMES),
            ..NewMapping::new(transport, port, host)
        }
    }

    /// A rule for this host, perhaps for the very port that a lease of ours has.
    fn rule_by_hand(&mut self, (transport, port): Key) -> NewMapping {
        let mut ports: Vec<u16> = self.ours.iter().flat_map(|ours| ours.trail.internal_ports()).collect();
        ports.extend([80, 8_080]);
        let inside = if ports.contains(&port) && self.dice.chance(60) { port } else { self.dice.pick(&ports) };
        NewMapping {
            protocol: Maker::Static,
            description: "by hand".to_owned(),
            ..NewMapping::new(transport, port, (Ipv4Addr::LOCALHOST, inside).into())
        }
    }

    fn put(&mut self, mapping: NewMapping) {
        // Full is full, for others too.
        if self.gateway.faults().table_full {
            return;
        }
        let NewMapping { protocol, transport, external_port, internal, lifetime, .. } = &mapping;
        self.log.step(format!("foreign: {transport} {external_port} -> {internal} by {protocol}, {lifetime:?}"));
        self.shake();
        if *protocol == Maker::Static {
            let port = (*transport, internal.port());
            self.ours.iter_mut().for_each(|ours| ours.rule(port));
        }
        let entry = self.gateway.put_mapping(mapping).expect("the table has room");
        self.foreign.add(Who::Other, entry);
    }

    pub(super) fn remove_foreign(&mut self) {
        let keys = self.foreign.keys(Some(Who::Other));
        if keys.is_empty() {
            return;
        }
        let key = self.dice.pick(&keys);
        self.log.step(format!("foreign: {} {} goes", key.0, key.1));
        self.foreign.remove(key);
        // A lease may have adopted it.
        self.shake();
        self.gateway.remove_mapping(key.0, key.1);
    }

    pub(super) fn second_adds(&mut self) {
        let key = self.any_key();
        let occupied = self.gateway.mapping(key.0, key.1).is_some();
        let protocol = match self.cast {
            Cast::Scripted => self.dice.pick(&[Maker::Pcp, Maker::NatPmp, Maker::Upnp]),
            Cast::Upnpc => Maker::Upnp,
        };
        // PCP and NAT-PMP would get another port, at which nobody knows what of ours is under way.
        let elsewhere = occupied && protocol != Maker::Upnp;
        if elsewhere || self.foreign.has(key) || !self.second_is_fit() || !self.is_calm(key) {
            return;
        }
        let wish = Wish {
            protocol,
            transport: key.0,
            external_port: key.1,
            internal_port: self.next_second,
            lifetime: self.dice.pick(&[600, 3_600]),
            nonce: self.dice.nonce(),
        };
        self.next_second += 1;
        self.log.step(format!("second client maps {} {} -> {} by {protocol}", key.0, key.1, wish.internal_port));
        self.shake();
        self.second_asks(&wish);
        self.shake();
    }

    /// The program `upnpc` waits long for a router in trouble, and tells little.
    fn second_is_fit(&self) -> bool {
        self.cast == Cast::Scripted || !self.troubled
    }

    /// Lets the second client ask. What it has for certain is a foreign entry from then on.
    fn second_asks(&mut self, wish: &Wish) {
        let answered = match self.cast {
            Cast::Scripted => wish.ask(&self.gateway),
            Cast::Upnpc => upnpc::ask(wish, &self.gateway),
        };
        let entry = self.gateway.mapping(wish.transport, wish.external_port);
        let own = entry.filter(|entry| entry.internal == (Ipv4Addr::LOCALHOST, wish.internal_port).into());
        match own.filter(|_| answered) {
            Some(entry) => {
                self.log.outcome("it has it");
                self.foreign.add(Who::Second, entry);
            }
            None => self.log.outcome(if answered { "it has nothing" } else { "no answer" }),
        }
    }

    /// The second client renews or deletes what it has.
    pub(super) fn second_changes(&mut self) {
        let keys = self.foreign.keys(Some(Who::Second));
        if keys.is_empty() || !self.second_is_fit() {
            return;
        }
        let key = self.dice.pick(&keys);
        let lifetime = if self.dice.chance(50) { 0 } else { 7_200 };
        let Some(entry) = self.foreign.remove(key) else { return };
        self.log.step(format!("second client asks {lifetime} s for {} {}", key.0, key.1));
        self.second_asks(&Wish::of(&entry, lifetime));
    }

    fn power_cut(&mut self) {
        self.gateway.reboot();
        self.ours.iter_mut().for_each(Ours::cut_off);
    }

    /// A power cut. Some routers keep their table.
    pub(super) fn reboot(&mut self) {
        if !self.dice.chance(50) {
            self.log.step("reboot, the table is lost");
            self.power_cut();
            self.foreign.clear();
            return self.shake();
        }
        self.log.step("reboot, the table is kept");
        let kept = self.table();
        // Nothing is done for anybody until the table is there again.
        let before = self.gateway.faults();
        self.gateway.update_faults(|faults| {
            (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
            faults.table_full = false;
        });
        self.linger();
        self.power_cut();
        for entry in kept {
            let key = (entry.transport, entry.external_port);
            // The nonce cannot be put back, and without it the entry is not that of its owner.
            if entry.nonce.is_some() {
                self.foreign.remove(key);
                continue;
            }
            let again = NewMapping {
                protocol: entry.protocol,
                description: entry.description.clone(),
                lifetime: entry.expires_in,
                ..NewMapping::new(entry.transport, entry.external_port, entry.internal)
            };
            self.gateway.put_mapping(again).expect("there was room before");
        }
        self.gateway.set_faults(before);
        self.shake();
    }

    /// Another host takes the port of a lease of ours: the router has lost our entry, by a reboot or otherwise.
    pub(super) fn take_over(&mut self) {
        let Some((mapper, lease)) = self.any_lease(&[Stage::Live]) else { return };
        let held = &self.ours[mapper].held[lease];
        let Some(port) = held.lease.snapshot().external_port() else { return };
        let key: Key = (held.transport(), port);
        if self.foreign.has(key) || !(self.traits.secure || self.is_calm(key)) {
            return;
        }
        if self.dice.chance(50) {
            self.log.step("reboot, the table is lost");
            self.power_cut();
            self.foreign.clear();
            self.shake();
        }
        let mapping = self.entry_of_another_host(key);
        self.put(mapping);
    }
}
