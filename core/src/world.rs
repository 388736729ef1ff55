//! What happens around a mapper: sleep, other networks, a gateway that restarts. All of it ends in the same two words to
//! every lease: look again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::error::{ErrorKind, ErrorReport, PortMappingError};
use crate::event::{Event, EventKind};
use crate::event_log::EventLog;
use crate::mapping::AddressFamily;
use crate::schedule::{DOUBT_GAP, RECOVERY_PACE};

/// What a lease has to do because the world has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The machine is in another network: the mapping is not reachable any more, and must be made anew at once.
    Moved,
    /// The mapping may be gone (the gateway has restarted, the machine has slept): it must be renewed at once.
    Unsure,
}

/// The world of a mapper's leases of one family, where everybody who notices a change tells it. Copies are the same world.
#[derive(Debug, Clone, Default)]
pub(crate) struct World(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: watch::Sender<Counts>,
    events: Arc<EventLog>,
    warning: Arc<ArcSwapOption<ErrorReport>>,
    /// The host has said that the network may be another one.
    said: Notify,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    moves: u64,
    doubts: u64,
}

impl World {
    /// A world whose events go to `events`.
    pub(crate) fn new(events: Arc<EventLog>) -> Self {
        Self(Arc::new(Inner { events, ..Inner::default() }))
    }

    /// Another world, with the same events and warnings.
    fn beside(&self) -> Self {
        let (events, warning) = (Arc::clone(&self.0.events), Arc::clone(&self.0.warning));
        Self(Arc::new(Inner { events, warning, ..Inner::default() }))
    }

    /// The machine is in another network, or in none. Tells the readers of events too.
    pub(crate) fn moved(&self) {
        self.0.events.push(Event::new(EventKind::NetworkChanged));
        self.0.counts.send_modify(|counts| counts.moves += 1);
    }

    /// The mappings may be gone: every lease renews at once, spread over a second, and no lease waits for its next attempt.
    pub(crate) fn unsure(&self) {
        self.0.counts.send_modify(|counts| counts.doubts += 1);
    }

    /// The host says that the network may have changed: it is looked at, and the mappings are in doubt.
    pub(crate) fn network_changed(&self) {
        self.0.said.notify_one();
        self.unsure();
    }

    /// Waits until the host says that the network may have changed. What it said before is not missed. For one who waits.
    pub(crate) async fn host_says(&self) {
        self.0.said.notified().await;
    }

    /// Something does not work that no lease depends on; the host is told.
    pub(crate) fn warn(&self, error: &PortMappingError) {
        let mut report = ErrorReport::from(error);
        if report.kind != ErrorKind::Internal {
            // What is wrong is on this machine and not in the network; the message says what.
            report.advice = None;
        }
        let report = Arc::new(report);
        self.0.warning.store(Some(Arc::clone(&report)));
        self.0.events.push(Event { error: Some(report), ..Event::new(EventKind::Failed) });
    }

    /// The last warning.
    pub(crate) fn warning(&self) -> Option<Arc<ErrorReport>> {
        self.0.warning.load_full()
    }

    /// Whether somebody hears of changes: a lease lives.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.counts.receiver_count() > 0
    }

    /// Hears of every change from now on.
    pub(crate) fn watch(&self) -> Changes {
        let receiver = self.0.counts.subscribe();
        let seen = *receiver.borrow();
        Changes { receiver, seen, pace: Pace::default() }
    }
}

/// The worlds of one mapper: what happens to one family's network is nothing to the leases of the other. Copies are the same.
#[derive(Debug, Clone)]
pub(crate) struct Worlds {
    ipv4: World,
    ipv6: World,
}

impl Default for Worlds {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Worlds {
    /// Worlds whose events go to `events`.
    pub(crate) fn new(events: Arc<EventLog>) -> Self {
        let ipv4 = World::new(events);
        Self { ipv6: ipv4.beside(), ipv4 }
    }

    /// The world of the leases of `family`.
    pub(crate) fn of(&self, family: AddressFamily) -> &World {
        match family {
            AddressFamily::Ipv4 => &self.ipv4,
            AddressFamily::Ipv6 => &self.ipv6,
        }
    }

    /// Whether a lease lives.
    pub(crate) fn is_watched(&self) -> bool {
        self.ipv4.is_watched() || self.ipv6.is_watched()
    }

    /// See [`World::unsure`].
    pub(crate) fn unsure(&self) {
        self.ipv4.unsure();
        self.ipv6.unsure();
    }

    /// See [`World::network_changed`].
    pub(crate) fn network_changed(&self) {
        self.ipv4.network_changed();
        self.ipv6.network_changed();
    }

    /// See [`World::warn`].
    pub(crate) fn warn(&self, error: &PortMappingError) {
        self.ipv4.warn(error);
    }

    /// See [`World::warning`].
    pub(crate) fn warning(&self) -> Option<Arc<ErrorReport>> {
        self.ipv4.warning()
    }
}

/// Hears of the changes of a [`World`]. What came before [`next`](Self::next) is called is not missed.
#[derive(Debug)]
pub(crate) struct Changes {
    receiver: watch::Receiver<Counts>,
    seen: Counts,
    pace: Pace,
}

/// When the next doubt is heeded: at once as a rule, but doubts that do not end less and less often. A gateway whose answers
/// never fit each other, or a host that tells of every breath of its network, would else be asked without end.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    /// How long after the last one.
    gap: Duration,
}

impl Pace {
    fn next(&self) -> Option<Instant> {
        self.last.map(|last| last + self.gap)
    }

    fn heeds(&mut self, now: Instant) {
        let calm = self.last.is_none_or(|last| now.saturating_duration_since(last) > self.gap * 2);
        self.gap = if calm { DOUBT_GAP } else { (self.gap * 2).min(RECOVERY_PACE) };
        self.last = Some(now);
    }
}

impl Changes {
    /// The change since the last answer, if there was one. A move counts for more than a doubt.
    pub(crate) fn take(&mut self) -> Option<Change> {
        let counts = *self.receiver.borrow_and_update();
        let seen = std::mem::replace(&mut self.seen, counts);
        match (counts.moves != seen.moves, counts.doubts != seen.doubts) {
            (true, _) => Some(Change::Moved),
            (false, true) => Some(Change::Unsure),
            (false, false) => None,
        }
    }

    /// Waits until the machine is in another network. A doubt stays to be heard of, if no move comes. Dropping the future misses
    /// nothing.
    pub(crate) async fn moved(&mut self) {
        loop {
            let counts = *self.receiver.borrow_and_update();
            if counts.moves != self.seen.moves {
                self.seen = counts;
                return;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        if self.receiver.changed().await.is_err() {
            // A world that is gone does not change.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the next change. Dropping the future misses none. Doubts that do not end are put off, see [`Pace`].
    pub(crate) async fn next(&mut self) -> Change {
        loop {
            let (now, due) = (Instant::now(), self.pace.next());
            let counts = *self.receiver.borrow_and_update();
            let is_time = due.is_none_or(|due| due <= now);
            if (is_time || counts.moves != self.seen.moves)
                && let Some(change) = self.take()
            {
                if change == Change::Unsure {
                    self.pace.heeds(now);
                }
                return change;
            }
            let put_off = counts.doubts != self.seen.doubts;
            tokio::select! {
                () = self.wait() => {}
                () = sleep_until(due.unwrap_or(now)), if put_off => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_that_came_before_anybody_waits_is_not_missed_and_a_move_outweighs_a_doubt() {
        let world = World::default();
        world.moved();
        let mut changes = world.watch();
        assert_eq!(changes.take(), None, "what came before the watch");
        world.unsure();
        assert_eq!(changes.next().await, Change::Unsure);
        world.unsure();
        world.moved();
        world.unsure();
        assert_eq!(changes.next().await, Change::Moved);
        assert_eq!(changes.take(), None);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_move_alone_does_not_lose_the_doubt_that_came_meanwhile() {
        let world = World::default();
        let mut changes = world.watch();
        world.unsure();
        tokio::select! {
            biased;
            () = changes.moved() => panic!("there was no move"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(changes.take(), Some(Change::Unsure));
        world.moved();
        changes.moved().await;
        assert_eq!(changes.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn doubts_without_end_are_heeded_less_and_less_often_and_after_a_calm_at_once_again() {
        const STORM: Duration = Duration::from_secs(600);
        let world = World::default();
        let mut changes = world.watch();
        let storm = {
            let world = world.clone();
            tokio::spawn(async move {
                loop {
                    world.unsure();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        };
        let (end, mut heeded) = (Instant::now() + STORM, 0);
        while tokio::time::timeout_at(end, changes.next()).await.is_ok() {
            heeded += 1;
        }
        assert!((10..=20).contains(&heeded), "{heeded}");
        world.moved();
        let before = Instant::now();
        assert_eq!(changes.next().await, Change::Moved, "a move does not wait");
        assert_eq!(before.elapsed(), Duration::ZERO);
        storm.abort();
        tokio::time::sleep(RECOVERY_PACE * 3).await;
        changes.take();
        for _ in 0..3 {
            let before = Instant::now();
            world.unsure();
            assert_eq!(changes.next().await, Change::Unsure);
            assert_eq!(before.elapsed(), Duration::ZERO);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test]
    async fn a_move_of_one_family_is_nothing_to_the_other_and_a_hosts_word_is_for_both() {
        let worlds = Worlds::default();
        let [mut ipv4, mut ipv6] = AddressFamily::ALL.map(|family| worlds.of(family).watch());
        worlds.of(AddressFamily::Ipv6).moved();
        assert_eq!((ipv4.take(), ipv6.take()), (None, Some(Change::Moved)));
        worlds.network_changed();
        assert_eq!((ipv4.take(), ipv6.take()), (Some(Change::Unsure), Some(Change::Unsure)));
        for family in AddressFamily::ALL {
            worlds.of(family).host_says().await;
        }
        worlds.of(AddressFamily::Ipv6).warn(&PortMappingError::internal("the disk is full"));
        assert!(worlds.warning().is_some());
        drop(ipv4);
        assert!(worlds.is_watched());
        drop(ipv6);
        assert!(!worlds.is_watched());
    }

    #[test]
    fn a_warning_is_an_event_without_a_lease_and_stays_to_be_read() {
        let events = Arc::<EventLog>::default();
        let reader = events.reader();
        let world = World::new(events);
        assert!(world.warning().is_none());
        world.warn(&PortMappingError::internal("the disk is full"));
        let event = crate::wait(reader.pull()).unwrap().take();
        assert_eq!((event.kind, event.lease), (EventKind::Failed, None));
        assert!(world.warning().unwrap().message.contains("the disk is full"));
        world.warn(&PortMappingError::transport("cannot write the record", std::io::ErrorKind::StorageFull.into()));
        assert_eq!(world.warning().unwrap().advice, None, "the network is well");
    }
}
