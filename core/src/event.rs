//! Events are pulled, never pushed: a bounded queue that drops the oldest and says how many.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::ErrorReport;
use crate::mapping::{Protocol, Transport};
use crate::net::address::AddressClass;

/// How many events wait for a reader before the oldest is dropped.
pub const EVENT_QUEUE_LENGTH: usize = 1024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum EventKind {
    /// The gateway granted a mapping.
    Installed,
    /// The gateway granted the same mapping again.
    Renewed,
    /// A renewal brought another external address.
    Changed,
    /// An attempt to map or to renew failed; the lease goes on.
    Failed,
    /// The mapping was lost.
    Revoked,
    /// The lease is over.
    Exited,
    /// The machine's network changed.
    NetworkChanged,
}

impl EventKind {
    /// Every kind of event.
    pub const ALL: [Self; 7] = [
        Self::Installed,
        Self::Renewed,
        Self::Changed,
        Self::Failed,
        Self::Revoked,
        Self::Exited,
        Self::NetworkChanged,
    ];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Renewed => "renewed",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Exited => "exited",
            Self::NetworkChanged => "network-changed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that happened to a lease, or to all of them at once.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The number of the lease; `None` where the event is about the whole machine (`network-changed`).
    pub lease: Option<u64>,
    /// UDP or TCP, where the event is about a lease.
    pub transport: Option<Transport>,
    /// The local port, where the event is about a lease.
    pub internal_port: Option<u16>,
    /// The external address and port, where there is a mapping.
    pub external: Option<SocketAddr>,
    /// The protocol of the mapping.
    pub protocol: Option<Protocol>,
    /// The granted lifetime; `None` where there is no mapping or it is permanent.
    pub ttl: Option<Duration>,
    /// The class of the external address.
    pub address_class: AddressClass,
    /// Why, for `failed`, `revoked` and, where there is a reason, `exited`.
    pub error: Option<Arc<ErrorReport>>,
    /// How long the attempt took that this event ends; zero where it ends none.
    pub elapsed: Duration,
    /// How many events were dropped just before this one because nobody pulled them.
    pub dropped: u64,
}

/// The queue between the leases of a mapper and whoever pulls its events.
#[derive(Debug)]
pub struct EventQueue {
    state: Mutex<QueueState>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Event>,
    dropped_since_pull: u64,
    dropped: u64,
    closed: bool,
}

impl Default for EventQueue {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl EventQueue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing that runs under this lock can panic half-way, so a poisoned queue is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, dropping the oldest where the queue is full.
    pub fn push(&self, event: Event) {
        {
            let mut state = self.lock();
            if state.events.len() == EVENT_QUEUE_LENGTH {
                state.events.pop_front();
                state.dropped_since_pull += 1;
                state.dropped += 1;
            }
            state.events.push_back(event);
        }
        self.changed.send_replace(());
    }

    /// Gives an event back that was pulled and did not arrive: it is the next to be pulled.
    pub fn put_back(&self, event: Event) {
        {
            let mut state = self.lock();
            state.dropped_since_pull += event.dropped;
            state.events.push_front(event);
        }
        self.changed.send_replace(());
    }

    /// Ends the queue: what is in it can still be pulled, then pulling answers `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.send_replace(());
    }

    /// How many events were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// The oldest event, waiting for one where there is none; `None` once the queue is closed and empty.
    pub async fn pull(&self) -> Option<Event> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let mut state = self.lock();
                if let Some(mut event) = state.events.pop_front() {
                    event.dropped = std::mem::take(&mut state.dropped_since_pull);
                    return Some(event);
                }
                if state.closed {
                    return None;
                }
            }
            changed.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lease: u64) -> Event {
        Event {
            kind: EventKind::Renewed,
            lease: Some(lease),
            transport: Some(Transport::Udp),
            internal_port: Some(4000),
            external: None,
            protocol: None,
            ttl: None,
            address_class: AddressClass::Unknown,
            error: None,
            elapsed: Duration::ZERO,
            dropped: 0,
        }
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest_and_says_how_many() {
        let queue = EventQueue::default();
        for lease in 0..EVENT_QUEUE_LENGTH as u64 + 3 {
            queue.push(event(lease));
        }
        let first = queue.pull().await.unwrap();
        assert_eq!((first.lease, first.dropped), (Some(3), 3));
        assert_eq!(queue.pull().await.unwrap().dropped, 0);
        assert_eq!(queue.dropped(), 3);
    }

    #[tokio::test]
    async fn an_event_that_is_put_back_comes_first_again_with_what_was_dropped_before_it() {
        let queue = EventQueue::default();
        for lease in 0..EVENT_QUEUE_LENGTH as u64 + 3 {
            queue.push(event(lease));
        }
        let first = queue.pull().await.unwrap();
        queue.close();
        queue.put_back(first);
        let again = queue.pull().await.unwrap();
        assert_eq!((again.lease, again.dropped), (Some(3), 3));
        assert_eq!(queue.pull().await.unwrap().dropped, 0);
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let queue = EventQueue::default();
        queue.push(event(1));
        queue.close();
        assert_eq!(queue.pull().await.unwrap().lease, Some(1));
        assert!(queue.pull().await.is_none());
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_the_next_event() {
        let queue = Arc::new(EventQueue::default());
        let reader = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.pull().await.unwrap().lease }
        });
        tokio::task::yield_now().await;
        queue.push(event(7));
        assert_eq!(reader.await.unwrap(), Some(7));
    }
}
