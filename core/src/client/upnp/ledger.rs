//! What this process has added to the tables of routers, or may have added: the proof that it may delete an entry.
//!
//! A line is written before the request is sent, so that neither a lost answer nor a caller that goes away loses it.

mod others;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::action::Entry;
use super::description::Service;
use super::http::endpoint;
use super::soap::PERMANENT;
use crate::client::owners::Member;
use crate::mapping::Transport;
use crate::schedule::UPNP_DEADLINE;
use crate::snapshot::TableEntry;
use crate::state::{Journal, Maker, Record, Slot};

/// What a device is known by: its unique name, which it keeps wherever it is, or else its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    udn: String,
    /// Empty for a device with a name.
    host: String,
}

impl Identity {
    pub(super) fn of(udn: &str, service: &Service) -> Self {
        let host = match udn {
            "" => endpoint(&service.control_url).map_or_else(String::new, |address| address.ip().to_string()),
            _ => String::new(),
        };
        Self { udn: udn.to_owned(), host }
    }

    /// Empty for a device that has no name, or none that was told.
    pub(super) fn udn(&self) -> &str {
        &self.udn
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

impl Port {
    pub(super) const fn known(self) -> Option<u16> {
        match self {
            Self::Known(port) => Some(port),
            Self::ChosenFor(_) => None,
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(port) => write!(f, "external port {port}"),
            Self::ChosenFor(internal) => write!(f, "the external port that it chose for internal port {internal}"),
        }
    }
}

/// A line of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Where the entry leads to.
    pub(super) internal: SocketAddr,
    /// The text that the entry was added with.
    pub(super) description: String,
    pub(super) service: Service,
    state: State,
    /// When the entry has run out at the latest; `None`: never.
    until: Option<Instant>,
    /// When it was granted last.
    since: Instant,
    /// The router has granted the port, and has not refused it since. Otherwise what stands there may be another's.
    pub(super) proven: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A request was sent whose answer nobody has taken, or a delete was not confirmed.
    Doubtful,
    /// Granted, and in the hands of a lease.
    Held,
}

impl Line {
    fn new(internal: SocketAddr, description: &str, service: &Service) -> Self {
        let (description, service, since) = (description.to_owned(), service.clone(), Instant::now());
        Self { internal, description, service, state: State::Doubtful, until: None, since, proven: false }
    }

    fn run_out(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    /// Whether the entry was made for this internal port, and so for the lease that has it.
    fn is_for(&self, internal_port: u16) -> bool {
        self.internal.port() == internal_port
    }
}

/// A device with a unique name at which leases hold mappings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) udn: String,
    pub(super) host: IpAddr,
    /// When the last of the mappings has run out at the latest; `None`: never.
    pub(super) until: Option<Instant>,
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
    /// A lease of ours that is shorter by the time since its grant: so a lease says how much of it is left.
    pub(super) counts: bool,
}

#[derive(Debug, Default)]
struct Book {
    lines: HashMap<Place, Line>,
    /// The attempts under way: for which internal port, and how many. They keep other leases from the place.
    attempts: HashMap<Place, (u16, usize)>,
}

/// Copies share their lines.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    book: Arc<Mutex<Book>>,
    shown: Arc<Mutex<HashMap<Identity, Shown>>>,
    /// Changes when a lease begins or ceases to hold a mapping.
    holds: Arc<watch::Sender<()>>,
    /// Where the lines are kept beyond this process.
    journal: Option<Journal>,
    /// What other mappers of this process have.
    owners: Option<Arc<Member>>,
}

impl Ledger {
    /// Hears when [`holders`](Self::holders) may have another answer, but for mappings that run out.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.holds.subscribe()
    }

    /// The devices with a name at which leases hold mappings that have not run out.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let mut holders: Vec<Holder> = Vec::new();
        let held = |line: &Line| line.state == State::Held && !line.run_out();
        for (place, line) in self.book().lines.iter().filter(|(_, line)| held(line)) {
            let udn = place.device.udn();
            let Some(host) = endpoint(&line.service.control_url).map(|address| address.ip()) else { continue };
            match holders.iter_mut().find(|holder| holder.udn == udn && holder.host == host) {
                Some(holder) => holder.until = holder.until.zip(line.until).map(|(one, other)| one.max(other)),
                None if udn.is_empty() => {}
                None => holders.push(Holder { udn: udn.to_owned(), host, until: line.until }),
            }
        }
        holders
    }

    /// The device has restarted, as it seems: what stands at the ports of our mappings may be another's by now.
    pub(super) fn restarted(&self, udn: &str) {
        for (_, line) in self.book().lines.iter_mut().filter(|(place, _)| place.device.udn() == udn) {
            line.proven = false;
        }
    }

    /// The same, whose lines are kept in `journal` too.
    pub(super) fn kept_in(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Takes a line of an earlier run of this program, as one that no lease holds.
    pub(super) fn inherit(
        &self,
        place: Place,
        internal: SocketAddr,
        description: &str,
        service: &Service,
        until: Option<Instant>,
    ) {
        let line = Line { until, ..Line::new(internal, description, service) };
        self.book().lines.entry(place).or_insert(line);
    }

    /// The record of a line.
    fn record(&self, place: &Place, line: &Line, lifetime: Option<Duration>) -> Option<(&Journal, Record)> {
        let journal = self.journal.as_ref()?;
        let external_port = place.port.known();
        let maker = Maker::Upnp {
            udn: place.device.udn.clone(),
            control_url: line.service.control_url.to_string(),
            service_type: line.service.service_type.clone(),
        };
        Some((journal, journal.entry((place.transport, line.internal.port()), external_port, lifetime, maker)))
    }

    fn keep(&self, place: &Place, line: &Line, lifetime: Option<Duration>) -> Option<Slot> {
        let (journal, record) = self.record(place, line, lifetime)?;
        journal.write(record)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the device has shown of its table.
    pub(super) fn shown(&self, device: &Identity) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(device).copied().unwrap_or_default()
    }

    /// The device has told what stands at a port: an entry, and whether that has our description, or nothing.
    pub(super) fn saw(&self, place: &Place, entry: Option<(&TableEntry, bool)>) {
        let counts = entry.is_some_and(|(entry, _)| self.counts(place, entry));
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.entry(place.device.clone()).or_default();
        shown.counts |= counts;
        shown.tells = true;
        shown.entries |= entry.is_some();
        shown.leases |= entry.is_some_and(|(entry, _)| entry.lifetime.is_some());
        shown.descriptions |= entry.is_some_and(|(_, described)| described);
    }

    /// Reserves a place. `None`: another lease of this process holds it, or asks for it. What nobody holds any longer keeps
    /// nobody away: the router's table tells whether it is still there.
    pub(super) fn reserve(&self, place: Place, entry: &Entry<'_>, service: &Service) -> Option<Arc<Reservation>> {
        let internal = entry.internal;
        let port = internal.port();
        let mut book = self.book();
        let line = book.lines.get(&place).filter(|line| line.state == State::Held && !line.run_out());
        let attempt = book.attempts.get(&place);
        if line.is_some_and(|line| !line.is_for(port)) || attempt.is_some_and(|(of, _)| *of != port) {
            return None;
        }
        book.attempts.entry(place.clone()).or_insert((port, 0)).1 += 1;
        drop(book);
        let line = Line::new(internal, entry.description, service);
        Some(Arc::new(Reservation { ledger: self.clone(), place, line }))
    }

    /// What this process has added there for this internal port, or may have added, and what has not run out since.
    pub(super) fn added(&self, place: &Place, internal_port: u16) -> Option<Line> {
        self.book().lines.get(place).filter(|line| line.is_for(internal_port) && !line.run_out()).cloned()
    }

    /// The same for any other internal port.
    pub(super) fn added_for_another(&self, place: &Place, internal_port: u16) -> Option<Line> {
        self.book().lines.get(place).filter(|line| !line.is_for(internal_port) && !line.run_out()).cloned()
    }

    /// Whether this process has added something there that has run out by now.
    pub(super) fn has_run_out(&self, place: &Place) -> bool {
        self.book().lines.get(place).is_some_and(Line::run_out)
    }

    /// The places at which requests for this port may have left something that no lease holds.
    pub(super) fn doubtful(&self, transport: Transport, internal_port: u16) -> Vec<(Place, Line)> {
        let asked = |place: &Place, line: &Line| {
            line.state == State::Doubtful
                && !line.run_out()
                && place.transport == transport
                && line.is_for(internal_port)
        };
        let book = self.book();
        let doubtful = book.lines.iter().filter(|(place, line)| asked(place, line));
        doubtful.map(|(place, line)| (place.clone(), line.clone())).collect()
    }

    /// What leases hold, and what has not run out of it.
    pub(super) fn all_held(&self) -> Vec<(Place, Line)> {
        let book = self.book();
        let held = book.lines.iter().filter(|(_, line)| line.state == State::Held && !line.run_out());
        held.map(|(place, line)| (place.clone(), line.clone())).collect()
    }

    /// When what stands there has run out at the latest; `None`: never, or it is not known.
    pub(super) fn until(&self, place: &Place) -> Option<Instant> {
        self.book().lines.get(place).and_then(|line| line.until)
    }

    /// Whether a lease holds what is there.
    pub(super) fn held(&self, place: &Place) -> bool {
        self.book().lines.get(place).is_some_and(|line| line.state == State::Held)
    }

    /// The entry ends at another time than was granted.
    pub(super) fn corrected(&self, place: &Place, lifetime: Option<Duration>) {
        let line = {
            let mut book = self.book();
            let Some(line) = book.lines.get_mut(place) else { return };
            line.until = lifetime.map(|lifetime| Instant::now() + lifetime);
            line.clone()
        };
        self.keep(place, &line, lifetime);
    }

    /// The entry that was made for this internal port is gone, or is not ours.
    pub(super) fn forget(&self, place: &Place, internal_port: u16) {
        let line = {
            let mut book = self.book();
            let made_for_it = book.lines.get(place).is_some_and(|line| line.is_for(internal_port));
            if made_for_it { book.lines.remove(place) } else { None }
        };
        let Some(line) = line else { return };
        self.holds.send_replace(());
        if let Some((journal, record)) = self.record(place, &line, None) {
            journal.forget(&record.key());
        }
    }

    /// The router has refused the port: it may be another's by now.
    pub(super) fn contest(&self, place: &Place) {
        if let Some(line) = self.book().lines.get_mut(place) {
            line.proven = false;
        }
    }

    /// No lease holds any longer what is there, and it may be there still.
    pub(super) fn doubt(&self, place: &Place, internal_port: u16) {
        if let Some(line) = self.book().lines.get_mut(place).filter(|line| line.is_for(internal_port)) {
            line.state = State::Doubtful;
        }
        self.holds.send_replace(());
    }
}

/// Keeps a place for one attempt.
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
        let line = Line { state: State::Held, until, since: Instant::now(), proven: true, ..self.line.clone() };
        self.ledger.keep(&place, &line, lifetime(lease));
        self.ledger.book().lines.insert(place, line);
        self.ledger.holds.send_replace(());
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut book = self.ledger.book();
        if let Some((_, count)) = book.attempts.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                book.attempts.remove(&self.place);
            }
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
    kept_before: Option<Slot>,
}

impl Claim {
    /// To be called in the request's turn, before it is sent. Nothing more is needed if nobody knows whether it has made an
    /// entry.
    pub(super) fn sending(&self) -> Sending<'_> {
        let Reservation { ledger, place, line } = &*self.reservation;
        let kept_before = ledger.keep(place, line, lifetime(self.lease));
        let mut book = ledger.book();
        let before = book.lines.get(place).cloned();
        let until = end(self.lease, UPNP_DEADLINE);
        let now = match &before {
            Some(old) if old.is_for(line.internal.port()) => {
                let until = old.until.zip(until).map(|(old, new)| old.max(new));
                // A device that has restarted since may have lost the entry.
                let proven = old.proven && old.service == line.service;
                Line { state: old.state, until, since: old.since, proven, ..line.clone() }
            }
            Some(_) | None => Line { until, ..line.clone() },
        };
        book.lines.insert(place.clone(), now);
        Sending { reservation: &self.reservation, before, kept_before }
    }
}

impl Sending<'_> {
    /// The router has granted the place, whether or not anybody takes the answer.
    pub(super) fn granted(self) {
        if let Some(line) = self.reservation.ledger.book().lines.get_mut(&self.reservation.place) {
            line.proven = true;
        }
    }

    /// The request has made nothing, for certain.
    pub(super) fn made_nothing(self) {
        let Reservation { ledger, place, line } = self.reservation;
        match self.before {
            Some(before) => ledger.book().lines.insert(place.clone(), before),
            None => ledger.book().lines.remove(place),
        };
        if let Some((journal, record)) = ledger.record(place, line, None) {
            journal.restore(&record.key(), self.kept_before);
        }
    }
}

/// `None` is without end.
fn lifetime(lease: u32) -> Option<Duration> {
    (lease != PERMANENT).then(|| Duration::from_secs(lease.into()))
}

/// When an entry with this lease has run out, `late` included.
fn end(lease: u32, late: Duration) -> Option<Instant> {
    lifetime(lease).map(|lifetime| Instant::now() + lifetime + late)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
