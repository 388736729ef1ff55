//! The mappings that leases hold, each with the client that made it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::contestant::Contestant;
use crate::mapping::{LeaseKey, MapRequest, PortMapping, Protocol, Transport};
use crate::net::route::NetworkPath;
use crate::schedule::LOOKS;

/// What a lease maps. A mapper has at most one lease for each.
pub(super) type Port = LeaseKey;

/// Each port has this many leftovers at most; beyond that the oldest is forgotten. A machine that moves all day leaves one in
/// each network.
const MAX_LEFTOVERS: usize = 16;

pub(super) fn port_of(request: &MapRequest) -> Port {
    request.key()
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
    /// Mappings that no lease has any more and that are still on their gateway: their delete has failed, or they are in
    /// another network. The end of the lease, or the return to their network, tries it again.
    leftovers: Mutex<HashMap<Port, Vec<Leftover>>>,
    /// How many calls ask for a mapping of a port.
    asking: Mutex<HashMap<Port, u32>>,
    /// Changes when a lease begins or ceases to hold something.
    changed: watch::Sender<()>,
}

#[derive(Clone)]
pub(super) struct Leftover {
    pub(super) mapping: PortMapping,
    pub(super) maker: Contestant,
    /// When it has run out at the latest; `None`: never.
    until: Option<Instant>,
    /// Whether the lease has ended.
    over: bool,
    /// Ends the delete in the background: somebody else does that now, or the entry is a lease's again.
    pub(super) taken: CancellationToken,
}

impl Leftover {
    /// Whether it is the entry of `mapping`.
    fn is(&self, mapping: &PortMapping, maker: &Contestant) -> bool {
        entry(&self.mapping) == entry(mapping) && self.maker.shares_table_with(maker)
    }

    /// Whether `maker` made it.
    fn is_by(&self, mapping: &PortMapping, maker: &Contestant) -> bool {
        self.is(mapping, maker) && self.maker.protocol == maker.protocol
    }

    fn has_run_out(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

#[derive(Clone)]
pub(super) struct Holding {
    pub(super) mapping: PortMapping,
    pub(super) maker: Contestant,
    /// Whether a lease still wants it. Otherwise a late grant of the same entry must be deleted, not taken over.
    wanted: bool,
    /// Whether its lease has ended and left it to its lifetime.
    detached: bool,
    /// When the gateway was last known to have it.
    seen: Instant,
    /// The looks at it: since when they count, and how many there were.
    since: Instant,
    looks: usize,
}

impl Holding {
    fn is(&self, mapping: &PortMapping, maker: &Contestant) -> bool {
        entry(&self.mapping) == entry(mapping) && self.maker.shares_table_with(maker)
    }

    /// Whether a lease that lives keeps it.
    pub(super) fn is_kept(&self) -> bool {
        self.wanted && !self.detached
    }

    /// When it is to be looked at by itself, before the checks, one in each `interval`, have come to it.
    fn next_look(&self, interval: Duration) -> Option<Instant> {
        LOOKS.get(self.looks).filter(|after| **after < interval).map(|after| self.since + *after)
    }
}

impl Holdings {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<Port, Holding>) -> T) -> T {
        // Every change is a single call of the map, so a poisoned one is still whole.
        act(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn leftovers(&self) -> MutexGuard<'_, HashMap<Port, Vec<Leftover>>> {
        self.leftovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears when a lease begins or ceases to hold something.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// `mapping`, which no lease has, is still on its gateway.
    pub(super) fn leave(&self, mapping: &PortMapping, maker: &Contestant) -> Leftover {
        let left = Leftover {
            mapping: mapping.clone(),
            maker: maker.clone(),
            until: mapping.lifetime.map(|lifetime| Instant::now() + lifetime),
            over: false,
            taken: CancellationToken::new(),
        };
        let mut all = self.leftovers();
        let leftovers = all.entry(port_of(&mapping.request)).or_default();
        take_out(leftovers, |other| other.is_by(mapping, maker) || other.has_run_out());
        if leftovers.len() >= MAX_LEFTOVERS {
            leftovers.remove(0);
        }
        leftovers.push(left.clone());
        left
    }

    /// The mapping of the port, if its gateway is not among those that `reaches` accepts, is a lease's no more.
    pub(super) fn leave_behind(
        &self,
        request: &MapRequest,
        reaches: impl Fn(&NetworkPath) -> bool,
    ) -> Option<Leftover> {
        self.leave_if(request, |holding| !reaches(&holding.maker.at))
    }

    /// The lease of the port ends. What it has neither let go of nor detached, because it lost the network first, is left.
    pub(super) fn end(&self, request: &MapRequest) {
        self.leave_if(request, Holding::is_kept);
    }

    fn leave_if(&self, request: &MapRequest, which: impl Fn(&Holding) -> bool) -> Option<Leftover> {
        let port = port_of(request);
        let left = self.with(|all| all.get(&port).is_some_and(which).then(|| all.remove(&port)).flatten())?;
        self.changed.send_replace(());
        Some(self.leave(&left.mapping, &left.maker))
    }

    /// Takes out what was left of the races for a port, without what has run out since.
    pub(super) fn take_leftovers(&self, request: &MapRequest) -> Vec<Leftover> {
        let mut leftovers = self.leftovers().remove(&port_of(request)).unwrap_or_default();
        leftovers.iter().for_each(|left| left.taken.cancel());
        leftovers.retain(|left| !left.has_run_out());
        leftovers
    }

    /// It could not be deleted this time either, and its lease has ended.
    pub(super) fn put_back(&self, left: Leftover) {
        let left = Leftover { over: true, taken: CancellationToken::new(), ..left };
        self.leftovers().entry(port_of(&left.mapping.request)).or_default().push(left);
    }

    /// `left` is gone from the gateway.
    pub(super) fn is_gone(&self, left: &Leftover) {
        let mut all = self.leftovers();
        let port = port_of(&left.mapping.request);
        if let Some(leftovers) = all.get_mut(&port) {
            leftovers.retain(|other| !other.is_by(&left.mapping, &left.maker));
            if leftovers.is_empty() {
                all.remove(&port);
            }
        }
    }

    /// The lease of this port may be given one of its leftovers at these gateways again: nobody must be deleting it.
    pub(super) fn keep_leftovers(&self, request: &MapRequest, near: impl Fn(&Contestant) -> bool) {
        for left in self.leftovers().get_mut(&port_of(request)).into_iter().flatten() {
            left.over = false;
            if near(&left.maker) {
                left.taken.cancel();
                left.taken = CancellationToken::new();
            }
        }
    }

    /// What is left beside `mapping`, which a lease now has, at the same gateways.
    pub(super) fn leftovers_beside(
        &self,
        mapping: &PortMapping,
        maker: &Contestant,
        near: impl Fn(&Contestant) -> bool,
    ) -> Vec<Leftover> {
        let beside = |left: &&Leftover| !left.is(mapping, maker) && !left.has_run_out() && near(&left.maker);
        self.leftovers().get(&port_of(&mapping.request)).into_iter().flatten().filter(beside).cloned().collect()
    }

    /// What leases that have ended left at these gateways.
    pub(super) fn leftovers_of_the_past(&self, near: impl Fn(&Contestant) -> bool) -> Vec<Leftover> {
        let mut all = self.leftovers();
        all.retain(|_, leftovers| {
            leftovers.retain(|left| !left.has_run_out());
            !leftovers.is_empty()
        });
        all.values().flatten().filter(|left| left.over && near(&left.maker)).cloned().collect()
    }

    pub(super) fn hold(&self, mapping: &PortMapping, maker: &Contestant) {
        let now = Instant::now();
        let holding = Holding {
            mapping: mapping.clone(),
            maker: maker.clone(),
            wanted: true,
            detached: false,
            seen: now,
            since: now,
            looks: 0,
        };
        self.with(|all| all.insert(port_of(&mapping.request), holding));
        if let Some(leftovers) = self.leftovers().get_mut(&port_of(&mapping.request)) {
            take_out(leftovers, |left| left.is_by(mapping, maker));
        }
        self.changed.send_replace(());
    }

    /// `renewed` replaces `old`, unless the lease let go of it in the meantime.
    pub(super) fn renewed(&self, old: &PortMapping, renewed: &PortMapping, maker: &Contestant) {
        self.with(|all| {
            let held = all.get_mut(&port_of(&old.request)).filter(|holding| holding.is(old, maker));
            if let Some(holding) = held {
                (holding.mapping, holding.maker, holding.seen) = (renewed.clone(), maker.clone(), Instant::now());
            }
        });
    }

    /// The lease no longer wants `mapping`.
    pub(super) fn let_go(&self, mapping: &PortMapping, maker: &Contestant) {
        self.with(|all| {
            let held = all.get_mut(&port_of(&mapping.request)).filter(|holding| holding.is(mapping, maker));
            if let Some(holding) = held {
                holding.wanted = false;
            }
        });
        self.changed.send_replace(());
    }

    /// The lease has ended and leaves `mapping` to its lifetime.
    pub(super) fn detach(&self, mapping: &PortMapping, maker: &Contestant) {
        self.with(|all| {
            let held = all.get_mut(&port_of(&mapping.request)).filter(|holding| holding.is(mapping, maker));
            if let Some(holding) = held {
                holding.detached = true;
            }
        });
        self.changed.send_replace(());
    }

    /// `mapping` is gone from the gateway.
    pub(super) fn forget(&self, mapping: &PortMapping, maker: &Contestant) {
        self.with(|all| {
            let port = port_of(&mapping.request);
            if all.get(&port).is_some_and(|holding| !holding.wanted && holding.is(mapping, maker)) {
                all.remove(&port);
            }
        });
    }

    /// The client that made `mapping`, whether or not it is still wanted. Two gateways may have given the same port.
    pub(super) fn maker(&self, mapping: &PortMapping) -> Option<Contestant> {
        let port = port_of(&mapping.request);
        let by_protocol = |holding: &Holding| holding.mapping.protocol == mapping.protocol;
        let holding = self.with(|all| all.get(&port).filter(|holding| by_protocol(holding)).cloned());
        if holding.as_ref().is_none_or(|holding| holding.mapping.external != mapping.external) {
            let same = |left: &&Leftover| {
                left.mapping.protocol == mapping.protocol && left.mapping.external == mapping.external
            };
            let left = self.leftovers().get(&port).into_iter().flatten().find(same).map(|left| left.maker.clone());
            if left.is_some() {
                return left;
            }
        }
        holding.map(|holding| holding.maker)
    }

    /// The holding with the same entry as `mapping` of `maker`, if a lease still wants it; it may be by another protocol.
    pub(super) fn holder(&self, mapping: &PortMapping, maker: &Contestant) -> Option<Holding> {
        let same = |holding: &&Holding| holding.wanted && holding.is(mapping, maker);
        self.with(|all| all.get(&port_of(&mapping.request)).filter(same).cloned())
    }

    /// What is held for the port, whether or not it is still wanted.
    pub(super) fn of(&self, request: &MapRequest) -> Option<Holding> {
        self.with(|all| all.get(&port_of(request)).cloned())
    }

    /// Whether a lease has a mapping whose gateway is not among those that `reaches` accepts.
    pub(super) fn any_out_of_reach(&self, reaches: impl Fn(&NetworkPath) -> bool) -> bool {
        self.with(|all| all.values().any(|holding| holding.is_kept() && !reaches(&holding.maker.at)))
    }

    /// What is to be looked at next, and when.
    pub(super) fn next_look(&self, interval: Duration) -> Option<(Instant, Holding)> {
        self.with(|all| {
            let kept = all.values().filter(|holding| holding.is_kept());
            let looks = kept.filter_map(|holding| Some((holding.next_look(interval)?, holding)));
            looks.min_by_key(|(due, _)| *due).map(|(due, holding)| (due, holding.clone()))
        })
    }

    /// `mapping` is being looked at.
    pub(super) fn looked(&self, mapping: &PortMapping, maker: &Contestant) {
        self.with_held(mapping, maker, |holding| (holding.looks, holding.seen) = (holding.looks + 1, Instant::now()));
    }

    /// It was not as it should be, so it is looked at more often again.
    pub(super) fn look_anew(&self, mapping: &PortMapping, maker: &Contestant) {
        self.with_held(mapping, maker, |holding| (holding.looks, holding.since) = (0, Instant::now()));
    }

    fn with_held(&self, mapping: &PortMapping, maker: &Contestant, act: impl FnOnce(&mut Holding)) {
        self.with(|all| all.get_mut(&port_of(&mapping.request)).filter(|holding| holding.is(mapping, maker)).map(act));
    }

    /// Of what leases hold at this path by one of these protocols, what was seen least recently.
    pub(super) fn least_seen(&self, path: &NetworkPath, protocols: &[Protocol]) -> Option<Holding> {
        self.with(|all| {
            let by = |holding: &&Holding| {
                holding.is_kept() && *holding.maker.at == *path && protocols.contains(&holding.maker.protocol)
            };
            all.values().filter(by).min_by_key(|holding| holding.seen).cloned()
        })
    }

    /// Whether other leases have mappings by the way of `maker`, and none of them with the address of `mapping`.
    pub(super) fn is_new_address(&self, mapping: &PortMapping, maker: &Contestant) -> bool {
        let own = port_of(&mapping.request);
        self.with(|all| {
            let mut addresses = all
                .iter()
                .filter(|(port, holding)| **port != own && holding.is_kept() && holding.maker.at == maker.at)
                .map(|(_, holding)| holding.mapping.external.ip())
                .filter(|held| !held.is_unspecified())
                .peekable();
            addresses.peek().is_some() && addresses.all(|held| held != mapping.external.ip())
        })
    }

    /// A lease asks for a mapping of this port until the answer is dropped.
    pub(super) fn ask(&self, request: &MapRequest) -> Asking<'_> {
        *self.asking().entry(port_of(request)).or_default() += 1;
        Asking { holdings: self, port: port_of(request) }
    }

    /// Whether a lease asks for a mapping of this port.
    pub(super) fn is_asked_for(&self, request: &MapRequest) -> bool {
        self.asking().contains_key(&port_of(request))
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Port, u32>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Holdings::ask`].
pub(super) struct Asking<'a> {
    holdings: &'a Holdings,
    port: Port,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asking = self.holdings.asking();
        if let Some(count) = asking.get_mut(&self.port) {
            *count -= 1;
            if *count == 0 {
                asking.remove(&self.port);
            }
        }
    }
}

fn take_out(leftovers: &mut Vec<Leftover>, which: impl Fn(&Leftover) -> bool) {
    leftovers.retain(|left| {
        let out = which(left);
        if out {
            left.taken.cancel();
        }
        !out
    });
}
