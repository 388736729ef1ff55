//! The mappings that leases hold, each with the client that made it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::contestant::Contestant;
use crate::mapping::{MapRequest, PortMapping, Transport};

/// What a lease maps. A mapper has at most one lease for each.
pub(super) type Port = (Transport, u16);

pub(super) fn port_of(request: &MapRequest) -> Port {
    (request.transport, request.internal_port)
}

/// What identifies an entry in a gateway's table.
fn entry(mapping: &PortMapping) -> (Transport, u16) {
    (mapping.request.transport, mapping.external.port())
}

/// The present mapping of each port, and what could not be deleted behind the races for it.
#[derive(Default)]
pub(super) struct Holdings {
    /// A mapping is kept after the end of its lease until the delete is confirmed, because only the client that made it can
    /// delete it, also after the machine has moved to another network.
    held: Mutex<HashMap<Port, Holding>>,
    /// Mappings that no lease has ever had, and whose delete has failed. The end of the lease tries it again.
    leftovers: Mutex<HashMap<Port, Vec<Leftover>>>,
}

#[derive(Clone)]
pub(super) struct Leftover {
    pub(super) mapping: PortMapping,
    pub(super) maker: Contestant,
    /// When it has run out at the latest; `None`: never.
    until: Option<Instant>,
}

impl Leftover {
    fn is(&self, mapping: &PortMapping, maker: &Contestant) -> bool {
        entry(&self.mapping) == entry(mapping) && Arc::ptr_eq(&self.maker.client, &maker.client)
    }
}

#[derive(Clone)]
pub(super) struct Holding {
    pub(super) mapping: PortMapping,
    pub(super) maker: Contestant,
    /// Whether a lease still wants it. Otherwise a late grant of the same entry must be deleted, not taken over.
    wanted: bool,
}

impl Holdings {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Port, Holding>) -> T) -> T {
        // Every change is a single call of the map, so a poisoned one is still whole.
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leftovers(&self) -> MutexGuard<'_, HashMap<Port, Vec<Leftover>>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `mapping`, which no lease has, could not be deleted.
    pub(super) fn leave(&self, mapping: &PortMapping, maker: &Contestant) {
        let mut all = self.leftovers();
        let leftovers = all.entry(port_of(&mapping.request)).or_default();
        leftovers.retain(|left| !left.is(mapping, maker));
        let until = mapping.lifetime.map(|lifetime| Instant::now() + lifetime);
        leftovers.push(Leftover { mapping: mapping.clone(), maker: maker.clone(), until });
    }

    /// Takes out what was left of the races for a port, without what has run out since.
    pub(super) fn take_leftovers(&self, request: &MapRequest) -> Vec<Leftover> {
        let mut leftovers = self.leftovers().remove(&port_of(request)).unwrap_or_default();
        leftovers.retain(|left| left.until.is_none_or(|until| until > Instant::now()));
        leftovers
    }

    /// It could not be deleted this time either.
    pub(super) fn put_back(&self, left: Leftover) {
        self.leftovers().entry(port_of(&left.mapping.request)).or_default().push(left);
    }

    pub(super) fn hold(&self, mapping: &PortMapping, maker: &Contestant) {
        let holding = Holding { mapping: mapping.clone(), maker: maker.clone(), wanted: true };
        self.with(|all| all.insert(port_of(&mapping.request), holding));
        if let Some(leftovers) = self.leftovers().get_mut(&port_of(&mapping.request)) {
            leftovers.retain(|left| !left.is(mapping, maker));
        }
    }

    /// `renewed` replaces `old`, unless the lease let go of it in the meantime.
    pub(super) fn renewed(&self, old: &PortMapping, renewed: &PortMapping, maker: &Contestant) {
        self.with(|all| {
            let held = all.get_mut(&port_of(&old.request)).filter(|holding| entry(&holding.mapping) == entry(old));
            if let Some(holding) = held {
                (holding.mapping, holding.maker) = (renewed.clone(), maker.clone());
            }
        });
    }

    /// The lease no longer wants `mapping`.
    pub(super) fn let_go(&self, mapping: &PortMapping) {
        self.with(|all| {
            let held =
                all.get_mut(&port_of(&mapping.request)).filter(|holding| entry(&holding.mapping) == entry(mapping));
            if let Some(holding) = held {
                holding.wanted = false;
            }
        });
    }

    /// `mapping` is gone from the gateway.
    pub(super) fn forget(&self, mapping: &PortMapping) {
        self.with(|all| {
            let port = port_of(&mapping.request);
            if all.get(&port).is_some_and(|holding| !holding.wanted && entry(&holding.mapping) == entry(mapping)) {
                all.remove(&port);
            }
        });
    }

    /// The client that made `mapping`, whether or not it is still wanted.
    pub(super) fn maker(&self, mapping: &PortMapping) -> Option<Contestant> {
        self.with(|all| {
            let holding = all.get(&port_of(&mapping.request))?;
            (holding.mapping.protocol == mapping.protocol).then(|| holding.maker.clone())
        })
    }

    /// The holding with the same entry as `mapping`, if a lease still wants it; it may be by another protocol.
    pub(super) fn holder(&self, mapping: &PortMapping) -> Option<Holding> {
        self.with(|all| {
            all.get(&port_of(&mapping.request))
                .filter(|holding| holding.wanted && entry(&holding.mapping) == entry(mapping))
                .cloned()
        })
    }
}
