//! How events wait for their readers: one bounded log, and a place in it for each reader.
//!
//! Readers pull events. An event that was pulled but not taken goes back by itself, so cancelling a wait loses no event,
//! whenever that happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::Event;
use crate::event_text;
use crate::snapshot::PublishedMapping;

/// How many events wait for a reader before the oldest is dropped.
pub const EVENT_LOG_LENGTH: usize = 1024;

/// The events of a mapper that some reader has not taken yet, at most [`EVENT_LOG_LENGTH`].
#[derive(Debug)]
pub struct EventLog {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// The process that made the log: in the child of a fork, a thread that does not exist there may hold the lock.
    process: u32,
}

/// Events are numbered from 0 in the order in which they happened.
#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    /// The number of the first of `events`.
    first: u64,
    /// The number after the last event that a reader has taken.
    unread: u64,
    /// Events before `unread` that no reader has taken: one was pulled and returned after a later one was taken.
    passed_over: BTreeSet<u64>,
    /// Events that were dropped before any reader had taken them.
    dropped: u64,
    places: BTreeMap<u64, Place>,
    last_reader: u64,
    closed: bool,
}

/// Where one reader stands.
#[derive(Debug, Default)]
struct Place {
    next: u64,
    /// Events before `next` that were pulled, and were neither taken nor given back.
    under_way: BTreeSet<u64>,
    /// Events before `next` that this reader can still pull: they were pulled and given back.
    returned: BTreeSet<u64>,
    /// How many events this reader has lost since the last one that it pulled.
    lost: u64,
}

impl Place {
    /// The number of the next event for this reader, if there is one before `end`.
    fn advance(&mut self, first: u64, end: u64) -> Option<u64> {
        let kept = self.returned.split_off(&first);
        self.lost += std::mem::replace(&mut self.returned, kept).len() as u64 + first.saturating_sub(self.next);
        self.next = self.next.max(first);
        let number = self.returned.pop_first().or_else(|| {
            (self.next < end).then(|| {
                self.next += 1;
                self.next - 1
            })
        });
        self.under_way.extend(number);
        number
    }

    /// The oldest event that this reader may still pull.
    fn oldest(&self) -> u64 {
        let open = self.under_way.first().into_iter().chain(self.returned.first());
        open.fold(self.next, |oldest, number| oldest.min(*number))
    }
}

impl State {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn push(&mut self, event: Event) {
        if self.events.len() >= EVENT_LOG_LENGTH {
            self.events.pop_front();
            self.dropped += u64::from(self.first >= self.unread || self.passed_over.remove(&self.first));
            self.first += 1;
        }
        self.events.push_back(event);
    }

    fn pull(&mut self, reader: u64) -> Option<(u64, Event)> {
        let (first, end) = (self.first, self.end());
        let place = self.places.get_mut(&reader)?;
        let number = place.advance(first, end)?;
        let mut event = self.events.get(usize::try_from(number - first).ok()?)?.clone();
        event.dropped = std::mem::take(&mut place.lost);
        Some((number, event))
    }

    /// Makes a place for another reader; its number.
    fn begin_reading(&mut self) -> u64 {
        self.last_reader += 1;
        let place = Place { next: self.unread, returned: self.passed_over.clone(), ..Place::default() };
        self.places.insert(self.last_reader, place);
        self.last_reader
    }

    fn taken(&mut self, reader: u64, number: u64) {
        if let Some(place) = self.places.get_mut(&reader) {
            place.under_way.remove(&number);
        }
        if number < self.unread {
            self.passed_over.remove(&number);
        } else {
            self.passed_over.extend(self.unread.max(self.first)..number);
            self.unread = number + 1;
        }
        self.forget_what_all_have_read();
    }

    fn forget_what_all_have_read(&mut self) {
        let unread = self.passed_over.first().map_or(self.unread, |number| self.unread.min(*number));
        let oldest = self.places.values().map(Place::oldest).fold(unread, u64::min);
        while self.first < oldest && self.events.pop_front().is_some() {
            self.first += 1;
        }
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()), process: std::process::id() }
    }
}

impl EventLog {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_foreign(&self) -> bool {
        std::process::id() != self.process
    }

    /// Adds an event; drops the oldest if the log is full. Every event is told to the log of the program too.
    pub fn push(&self, event: Event) {
        self.push_after(event, None, false);
    }

    /// The same with what the lease had before the event, and whether its failure is like the last one, so that a failure
    /// that goes on for days is a warning only once.
    pub(crate) fn push_after(&self, event: Event, before: Option<&PublishedMapping>, again: bool) {
        event_text::tell(&event, before, again);
        self.lock().push(event);
        self.changed.send_replace(());
    }

    /// Ends the log: what is in it can still be pulled, then pulling answers `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.send_replace(());
    }

    /// How many events were dropped since the start before any reader had taken them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// A reader that gets the events that no reader has taken yet, and then every event from now on. In the child of a
    /// fork it gets none.
    pub fn reader(self: &Arc<Self>) -> EventReader {
        let id = if self.is_foreign() { 0 } else { self.lock().begin_reading() };
        EventReader(Arc::new(Registration { log: Arc::clone(self), id }))
    }
}

/// Keeps a reader's place in the log until the last reference is dropped.
#[derive(Debug)]
struct Registration {
    log: Arc<EventLog>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.log.is_foreign() {
            let mut state = self.log.lock();
            state.places.remove(&self.id);
            state.forget_what_all_have_read();
        }
    }
}

/// One reader of an [`EventLog`]. Each reader gets every event; the waits of one reader, and its clones, share them.
#[derive(Debug, Clone)]
pub struct EventReader(Arc<Registration>);

impl EventReader {
    /// Whether this process is a fork of the one in which the log was made.
    pub(crate) fn is_foreign(&self) -> bool {
        self.0.log.is_foreign()
    }

    /// Waits for the next event for this reader. `None` once the log is closed and this reader has pulled everything,
    /// and in the child of a fork.
    pub async fn pull(&self) -> Option<PulledEvent> {
        let log = &self.0.log;
        if self.is_foreign() {
            return None;
        }
        let mut changed = log.changed.subscribe();
        loop {
            {
                let mut state = log.lock();
                if let Some((number, event)) = state.pull(self.0.id) {
                    return Some(PulledEvent { event, number, reader: Some(self.clone()) });
                }
                if state.closed {
                    return None;
                }
            }
            changed.changed().await.ok()?;
        }
    }
}

/// An event that its reader has pulled and not taken yet. Dropping it without [`take`](Self::take) gives it back: the
/// reader's next pull gets it. For hosts in which a wait can be cancelled after it has ended and before the caller has
/// its result.
#[derive(Debug)]
#[must_use = "dropping a pulled event gives it back to its reader"]
pub struct PulledEvent {
    event: Event,
    number: u64,
    /// `None` once it was taken.
    reader: Option<EventReader>,
}

impl PulledEvent {
    /// Takes the event: its reader does not get it again.
    pub fn take(mut self) -> Event {
        if let Some(EventReader(reader)) = self.reader.take()
            && !reader.log.is_foreign()
        {
            reader.log.lock().taken(reader.id, self.number);
        }
        self.event.clone()
    }
}

impl Deref for PulledEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

impl Drop for PulledEvent {
    fn drop(&mut self) {
        let Some(EventReader(reader)) = self.reader.take() else { return };
        if reader.log.is_foreign() {
            return;
        }
        if let Some(place) = reader.log.lock().places.get_mut(&reader.id) {
            place.under_way.remove(&self.number);
            place.returned.insert(self.number);
            place.lost += self.event.dropped;
        }
        reader.log.changed.send_replace(());
    }
}

#[cfg(test)]
#[path = "event_log_tests.rs"]
mod tests;
