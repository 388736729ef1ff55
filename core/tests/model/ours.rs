//! Our side: mappers, their leases, and what of theirs may be in the router's table.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use portlease::{
    Event, EventKind, Events, Lease, LeaseSnapshot, LeaseState, MapRequest, Mapper, Protocol, Release, Transport, wait,
};
use portlease_gateway::{Mapping, Protocol as Maker, Transport as Wire};

use crate::foreign::Key;
use crate::verdict::line;

/// Internal ports of one mapper. They stand apart: a router that gives the next free port gives none of another lease.
pub(crate) const PORTS: u16 = 6;
pub(crate) const PORT_STEP: u16 = 10;
/// A lease that is not due for this long sends nothing by itself.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) fn wire(transport: Transport) -> Wire {
    match transport {
        Transport::Udp => Wire::Udp,
        Transport::Tcp => Wire::Tcp,
    }
}

/// How far a lease has come, as the test has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Live,
    /// It was told to stop, and has not said how that ended.
    Ending,
    Ended,
}

/// One lease.
pub(crate) struct Held {
    pub(crate) lease: Lease,
    pub(crate) stage: Stage,
    /// External ports at which it may have, or may have had, an entry.
    ports: BTreeSet<u16>,
    /// Since when the test has seen it installed without a change.
    installed: Option<Instant>,
    /// The router granted its mapping, and nothing has happened to the router's table since.
    pub(crate) sure: bool,
}

impl Held {
    fn new(lease: Lease) -> Self {
        let request = lease.request();
        let ports = BTreeSet::from([request.internal_port, request.suggested_port()]);
        Self { lease, stage: Stage::Live, ports, installed: None, sure: false }
    }

    pub(crate) fn transport(&self) -> Wire {
        wire(self.lease.request().transport)
    }

    /// Its internal port, which names it within the mapper.
    pub(crate) fn port(&self) -> Key {
        (self.transport(), self.lease.request().internal_port)
    }

    pub(crate) fn may_touch(&self, (transport, port): Key) -> bool {
        self.transport() == transport && self.ports.contains(&port)
    }

    fn watch(&mut self) {
        let snapshot = self.lease.snapshot();
        self.ports.extend(snapshot.external_port());
        self.installed = match snapshot.state {
            LeaseState::Installed => self.installed.or_else(|| Some(Instant::now())),
            _ => None,
        };
    }

    /// Whether nothing of it is under way, and nothing will be for a while. `lingering`: when the router last kept calls waiting.
    fn rests(&self, lingering: Duration) -> bool {
        let snapshot = self.lease.snapshot();
        self.stage == Stage::Live
            && snapshot.state == LeaseState::Installed
            && snapshot.renews_in.is_some_and(|left| left > QUIET)
            && self.installed.is_some_and(|since| since.elapsed() > QUIET && since.elapsed() > lingering)
    }

    /// The entry that an active lease must have: whether it is in the table.
    pub(crate) fn is_in(&self, snapshot: &LeaseSnapshot, table: &[Mapping]) -> bool {
        table.iter().any(|entry| {
            entry.transport == self.transport()
                && Some(entry.external_port) == snapshot.external_port()
                && entry.internal == (Ipv4Addr::LOCALHOST, snapshot.internal_port).into()
        })
    }
}

/// Where a mapper has been: also what is left of it once it is gone.
pub(crate) struct Trail {
    pub(crate) name: usize,
    pub(crate) protocols: Vec<Protocol>,
    first_port: u16,
    /// Leases that were dropped: transport and ports. Nobody hears when they have ended.
    dropped: Vec<(Wire, BTreeSet<u16>)>,
    /// Internal ports of leases whose end nobody has heard, or that may have left something. The next lease of the port
    /// cannot be told from them.
    tainted: BTreeSet<Key>,
    /// Internal ports of this host for which the user has made a rule by hand: PCP and NAT-PMP may not touch it, and refuse
    /// all that is asked about the port, perhaps for very long, with the words for a policy, which say nothing about a
    /// mapping of ours.
    ruled: BTreeSet<Key>,
    /// Internal ports whose mapping was left on purpose.
    detached: BTreeSet<Key>,
}

impl Trail {
    pub(crate) fn internal_ports(&self) -> impl Iterator<Item = u16> + use<> {
        let first = self.first_port;
        (0..PORTS).map(move |index| first + index * PORT_STEP)
    }

    /// Whether a dropped lease that UPnP may have mapped is, or was, at this place.
    pub(crate) fn touches(&self, (transport, port): Key) -> bool {
        self.protocols.contains(&Protocol::Upnp)
            && self.dropped.iter().any(|(of, ports)| *of == transport && ports.contains(&port))
    }

    /// Whether the end of a lease of this port may be unconfirmed on a router that is well.
    pub(crate) fn is_excused(&self, port: Key) -> bool {
        self.tainted.contains(&port) || self.ruled.contains(&port)
    }

    /// Whether a lease of this port may have been refused for long on a router that is well.
    pub(crate) fn is_ruled(&self, port: Key) -> bool {
        self.ruled.contains(&port)
    }

    /// The entries of one internal port, or of every port of this mapper, that are neither the user's nor left on purpose.
    pub(crate) fn left(&self, port: Option<Key>, table: &[Mapping]) -> Vec<String> {
        let ports: Vec<u16> = self.internal_ports().collect();
        let ours = |entry: &&Mapping| {
            let of = (entry.transport, entry.internal.port());
            entry.internal.ip() == Ipv4Addr::LOCALHOST
                && ports.contains(&of.1)
                && entry.protocol != Maker::Static
                && !self.detached.contains(&of)
                && port.is_none_or(|port| port == of)
        };
        table.iter().filter(ours).map(line).collect()
    }
}

/// One mapper with its leases.
pub(crate) struct Ours {
    pub(crate) trail: Trail,
    pub(crate) mapper: Mapper,
    pub(crate) held: Vec<Held>,
    /// It was told to stop.
    pub(crate) stopping: bool,
    /// The end of one of its leases was not confirmed, or need not be.
    pub(crate) unconfirmed: bool,
    /// What ended leases said of their end.
    pub(crate) complaints: Vec<String>,
    events: Events,
    pulled: Instant,
}

impl Ours {
    pub(crate) fn new(name: usize, mapper: Mapper, protocols: Vec<Protocol>, first_port: u16) -> Self {
        let (dropped, tainted, ruled, detached) = (Vec::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let trail = Trail { name, protocols, first_port, dropped, tainted, ruled, detached };
        let (events, pulled) = (mapper.events(), Instant::now());
        Self {
            trail,
            mapper,
            held: Vec::new(),
            stopping: false,
            unconfirmed: false,
            complaints: Vec::new(),
            events,
            pulled,
        }
    }

    /// Begins a lease, also one on the port of another that is still ending.
    pub(crate) fn map(&mut self, request: MapRequest) -> String {
        let port = (wire(request.transport), request.internal_port);
        if self.trail.detached.contains(&port) {
            return "its mapping was left on purpose".to_owned();
        }
        match self.mapper.map(request) {
            Ok(lease) => {
                if let Some(index) = self.held.iter().position(|held| held.port() == port) {
                    self.drop_lease(index);
                }
                let id = lease.id();
                self.held.push(Held::new(lease));
                format!("lease {id}")
            }
            Err(error) => error.to_string(),
        }
    }

    /// Drops a lease, which releases it in the background.
    pub(crate) fn drop_lease(&mut self, index: usize) {
        let held = self.held.swap_remove(index);
        self.trail.tainted.insert(held.port());
        self.trail.dropped.push((held.transport(), held.ports.clone()));
    }

    /// Ends a lease and leaves its mapping to the router.
    pub(crate) fn detach(&mut self, index: usize) {
        let held = &self.held[index];
        held.lease.begin_detach();
        self.trail.detached.insert(held.port());
        self.drop_lease(index);
    }

    /// Drops the mapper and all its leases. What it does behind that can only be seen.
    pub(crate) fn drop_all(mut self) -> Trail {
        while !self.held.is_empty() {
            self.drop_lease(0);
        }
        self.trail
    }

    /// Pulls what has happened to the leases. `shaken`: when something last happened to the router's table.
    pub(crate) fn watch(&mut self, shaken: Instant) {
        let before = std::mem::replace(&mut self.pulled, Instant::now());
        while let Ok(event) = wait(self.events.next(Duration::ZERO)) {
            if let (EventKind::Exited, Some(error)) = (event.kind, &event.error) {
                self.complaints.push(format!("lease {:?}: {}", event.lease, error.message));
            }
            let Some(held) = self.held.iter_mut().find(|held| Some(held.lease.id()) == event.lease) else { continue };
            held.ports.extend(event.external_port);
            if matches!(event.kind, EventKind::Installed | EventKind::Renewed | EventKind::Changed) {
                held.sure |= asked_after(&event, before, shaken);
            }
        }
        self.held.iter_mut().for_each(Held::watch);
    }

    /// Whether a lease that UPnP may have mapped is, or was, at this place.
    pub(crate) fn touches(&self, key: Key) -> bool {
        self.trail.touches(key) || (self.speaks_upnp() && self.held.iter().any(|held| held.may_touch(key)))
    }

    fn speaks_upnp(&self) -> bool {
        self.trail.protocols.contains(&Protocol::Upnp)
    }

    /// The user makes a rule by hand that leads to this port of this host.
    pub(crate) fn rule(&mut self, port: Key) {
        if self.trail.internal_ports().any(|own| own == port.1) {
            self.trail.ruled.insert(port);
            self.unconfirmed = true;
        }
    }

    /// The router was cut off, perhaps from what it was about to confirm.
    pub(crate) fn cut_off(&mut self) {
        let ending = self.held.iter().filter(|held| held.stage == Stage::Ending);
        self.trail.tainted.extend(ending.map(Held::port));
        self.unconfirmed |= self.stopping || !self.trail.dropped.is_empty();
    }

    /// Something has happened to the router's table.
    pub(crate) fn shake(&mut self) {
        self.held.iter_mut().for_each(|held| held.sure = false);
    }

    /// Whether nothing of ours at this place is under way by UPnP, which alone names an entry by its external port.
    /// `lingering`: how long calls of the near past may last.
    pub(crate) fn is_calm(&self, key: Key, lingering: Duration) -> bool {
        if !self.speaks_upnp() {
            return true;
        }
        !self.trail.touches(key)
            && self.held.iter().all(|held| {
                held.stage == Stage::Ended || !held.may_touch(key) || (!self.stopping && held.rests(lingering))
            })
    }

    /// The lease that must be in the table and is not.
    pub(crate) fn missing(&self, table: impl Fn() -> Vec<Mapping>) -> Option<String> {
        if self.stopping {
            return None;
        }
        for held in self.held.iter().filter(|held| held.sure && held.stage == Stage::Live) {
            let before = held.lease.snapshot();
            if !before.active || held.is_in(&before, &table()) {
                continue;
            }
            // It may have changed while the table was read.
            let after = held.lease.snapshot();
            if after.active && after.revision == before.revision {
                return Some(format!(
                    "mapper {} lease {} is active and not in the table: {after:?}",
                    self.trail.name, after.id
                ));
            }
        }
        None
    }

    /// Stops a lease. What it says must be so: fails with what it has left behind a `released`.
    pub(crate) fn stop(
        &mut self,
        index: usize,
        limit: Duration,
        table: impl Fn() -> Vec<Mapping>,
    ) -> Result<Release, String> {
        let release = wait(self.held[index].lease.stop(limit));
        self.held[index].stage = if release == Release::Pending { Stage::Ending } else { Stage::Ended };
        let (port, trail) = (self.held[index].port(), &mut self.trail);
        if release == Release::Unconfirmed {
            self.unconfirmed = true;
            trail.tainted.insert(port);
        }
        let left = trail.left(Some(port), &table());
        if release == Release::Released && !trail.tainted.contains(&port) && !left.is_empty() {
            let id = self.held[index].lease.id();
            return Err(format!("mapper {} lease {id} said released and left {}", trail.name, left.join(", ")));
        }
        Ok(release)
    }
}

/// Whether the attempt behind an event began after `shaken`. The event came after `pulled`.
fn asked_after(event: &Event, pulled: Instant, shaken: Instant) -> bool {
    pulled.checked_sub(event.elapsed).is_some_and(|asked| asked > shaken)
}
