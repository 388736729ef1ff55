//! What this process has added to the tables of routers, or may have added: the proof that it may delete an entry.
//!
//! A line is written before the request is sent, so that neither a lost answer nor a caller that goes away loses it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::action::TableEntry;
use super::description::Service;
use super::http::endpoint;
use super::soap::PERMANENT;
use crate::mapping::Transport;
use crate::schedule::UPNP_DEADLINE;

/// What a device is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// Its unique name, which it keeps wherever it is.
    Udn(String),
    /// Its address: it has no name, or none that was told.
    Host(Option<IpAddr>),
}

impl Identity {
    pub(super) fn of(udn: &str, service: &Service) -> Self {
        match udn {
            "" => Self::Host(endpoint(&service.control_url).map(|address| address.ip())),
            udn => Self::Udn(udn.to_owned()),
        }
    }

    /// The unique name; empty for a device without one.
    pub(super) fn udn(&self) -> &str {
        match self {
            Self::Udn(udn) => udn,
            Self::Host(_) => "",
        }
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) device: Identity,
    pub(super) transport: Transport,
    pub(super) port: Port,
}

/// The external port of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Port {
    Known(u16),
    /// The router was asked to choose one for this internal port, and has not told which.
    ChosenFor(u16),
}

/// A line of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where the entry leads to.
    pub(super) internal: SocketAddr,
    pub(super) service: Service,
    state: State,
    /// When the entry has run out at the latest; `None`: never.
    until: Option<Instant>,
    /// The router has refused the port since, perhaps because it is another's by now.
    pub(super) contested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was sent; the line keeps other leases of this process from the port.
    Reserved,
    /// A request was sent whose answer nobody has taken.
    Doubtful,
    /// Granted, and in the hands of a lease.
    Held,
}

impl Line {
    fn run_out(&self) -> bool {
        self.state != State::Reserved && self.until.is_some_and(|until| until <= Instant::now())
    }
}

/// What a device has shown of its table so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    /// Whether there is an entry at a port.
    pub(super) tells: bool,
    /// An entry: so it answers truly where it says that there is none.
    pub(super) entries: bool,
    /// A lease other than 0: so a lease of 0 is one.
    pub(super) leases: bool,
    /// Our own description: so it keeps descriptions as they are.
    pub(super) descriptions: bool,
}

/// Copies share their lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    lines: Arc<Mutex<HashMap<Place, Line>>>,
    shown: Arc<Mutex<HashMap<Identity, Shown>>>,
}

impl Ledger {
    fn lines(&self) -> MutexGuard<'_, HashMap<Place, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the device has shown of its table.
    pub(super) fn shown(&self, device: &Identity) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(device).copied().unwrap_or_default()
    }

    /// The device has told what stands at a port: an entry, and whether that has our description, or nothing.
    pub(super) fn saw(&self, device: &Identity, entry: Option<(&TableEntry, bool)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.entry(device.clone()).or_default();
        shown.tells = true;
        shown.entries |= entry.is_some();
        shown.leases |= entry.is_some_and(|(entry, _)| entry.lifetime.is_some());
        shown.descriptions |= entry.is_some_and(|(_, described)| described);
    }

    /// Reserves a place. `None`: another lease of this process has it.
    pub(super) fn reserve(&self, place: Place, internal: SocketAddr, service: &Service) -> Option<Arc<Reservation>> {
        let line = Line { internal, service: service.clone(), state: State::Reserved, until: None, contested: false };
        let mut lines = self.lines();
        match lines.get(&place).filter(|old| !old.run_out()) {
            Some(old) if old.internal.port() != internal.port() => return None,
            Some(_) => {}
            None => {
                lines.insert(place.clone(), line.clone());
            }
        }
        drop(lines);
        Some(Arc::new(Reservation { ledger: self.clone(), place, line }))
    }

    /// What this process has added there, or may have added, and what has not run out since.
    pub(super) fn added(&self, place: &Place) -> Option<Line> {
        self.lines().get(place).filter(|line| line.state != State::Reserved && !line.run_out()).cloned()
    }

    /// Whether this process has added something there that has run out by now.
    pub(super) fn has_run_out(&self, place: &Place) -> bool {
        self.lines().get(place).is_some_and(Line::run_out)
    }

    /// The places at which requests for this port may have left something that no lease holds.
    pub(super) fn doubtful(&self, transport: Transport, internal_port: u16) -> Vec<(Place, Line)> {
        let asked = |place: &Place, line: &Line| {
            let port = (place.transport, line.internal.port());
            line.state == State::Doubtful && !line.run_out() && port == (transport, internal_port)
        };
        let lines = self.lines();
        let doubtful = lines.iter().filter(|(place, line)| asked(place, line));
        doubtful.map(|(place, line)| (place.clone(), line.clone())).collect()
    }

    /// When what stands there has run out at the latest; `None`: never, or it is not known.
    pub(super) fn until(&self, place: &Place) -> Option<Instant> {
        self.lines().get(place).and_then(|line| line.until)
    }

    /// Whether a lease holds what is there.
    pub(super) fn held(&self, place: &Place) -> bool {
        self.lines().get(place).is_some_and(|line| line.state == State::Held)
    }

    /// The entry ends at another time than was granted.
    pub(super) fn corrected(&self, place: &Place, lifetime: Option<Duration>) {
        if let Some(line) = self.lines().get_mut(place) {
            line.until = lifetime.map(|lifetime| Instant::now() + lifetime);
        }
    }

    /// The entry is gone, or is not ours.
    pub(super) fn forget(&self, place: &Place) {
        self.lines().remove(place);
    }

    /// The router has refused the port: it may be another's by now.
    pub(super) fn contest(&self, place: &Place) {
        if let Some(line) = self.lines().get_mut(place) {
            line.contested = true;
        }
    }

    /// No lease holds any longer what is there.
    pub(super) fn doubt(&self, place: &Place) {
        if let Some(line) = self.lines().get_mut(place).filter(|line| line.state == State::Held) {
            line.state = State::Doubtful;
        }
    }
}

/// Keeps a place for one attempt. The line goes with it unless something was sent.
#[derive(Debug)]
pub(super) struct Reservation {
    ledger: Ledger,
    pub(super) place: Place,
    line: Line,
}

impl Reservation {
    /// The router has granted the place; a lease holds it from now on.
    pub(super) fn granted(&self, lease: u32) {
        self.granted_at(self.place.clone(), lease);
    }

    /// The router has granted another place.
    pub(super) fn granted_at(&self, place: Place, lease: u32) {
        let until = end(lease, Duration::ZERO);
        self.ledger.lines().insert(place, Line { state: State::Held, until, ..self.line.clone() });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut lines = self.ledger.lines();
        if lines.get(&self.place).is_some_and(|line| line.state == State::Reserved) {
            lines.remove(&self.place);
        }
    }
}

/// What a request that may make an entry writes into the ledger.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) reservation: Arc<Reservation>,
    /// The lease that is asked for.
    pub(super) lease: u32,
}

/// A request under way, and the line as it was before.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    reservation: &'a Reservation,
    before: Option<Line>,
}

impl Claim {
    /// To be called in the request's turn, before it is sent. Nothing more is needed if it may have made an entry.
    pub(super) fn sending(&self) -> Sending<'_> {
        let Reservation { ledger, place, line } = &*self.reservation;
        let mut lines = ledger.lines();
        let before = lines.get(place).cloned();
        let until = end(self.lease, UPNP_DEADLINE);
        let now = match &before {
            Some(old) if old.state != State::Reserved => {
                let until = old.until.zip(until).map(|(old, new)| old.max(new));
                Line { state: old.state, until, contested: old.contested, ..line.clone() }
            }
            Some(_) | None => Line { state: State::Doubtful, until, ..line.clone() },
        };
        lines.insert(place.clone(), now);
        Sending { reservation: &self.reservation, before }
    }
}

impl Sending<'_> {
    /// The request has made nothing, for certain.
    pub(super) fn made_nothing(self) {
        let Reservation { ledger, place, .. } = self.reservation;
        match self.before {
            Some(before) => ledger.lines().insert(place.clone(), before),
            None => ledger.lines().remove(place),
        };
    }
}

/// When an entry with this lease has run out, `late` included.
fn end(lease: u32, late: Duration) -> Option<Instant> {
    (lease != PERMANENT).then(|| Instant::now() + Duration::from_secs(lease.into()) + late)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
