//! The task's only way to publish. Readers take no lock, never wait, and never see a torn state.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::error::{ErrorReport, PortMappingError};
use crate::event::{Event, EventKind};
use crate::event_log::EventLog;
use crate::event_text::{self, Left};
use crate::mapping::{MapRequest, PortMapping};
use crate::net::address::AddressClass;
use crate::schedule::grant_time;
use crate::snapshot::{LeaseSnapshot, LeaseState, NatClass, PublishedMapping, Release};

/// Where one lease's task publishes: each change is one new immutable status, put in place by one atomic swap,
/// an event in the mapper's queue, and a wake-up for whoever waits.
///
/// ```
/// use portlease::event_log::EventLog;
/// use portlease::sink::MappingSink;
/// use portlease::{LeaseState, MapRequest, Transport};
/// use std::sync::Arc;
///
/// let sink = MappingSink::new(1, MapRequest::new(4000, Transport::Udp), Arc::<EventLog>::default());
/// assert_eq!(sink.snapshot().state, LeaseState::Idle); // until a task publishes here
/// ```
#[derive(Debug)]
pub struct MappingSink {
    id: u64,
    request: MapRequest,
    status: ArcSwap<Status>,
    changed: watch::Sender<()>,
    events: Arc<EventLog>,
    clock: Clock,
}

#[derive(Debug, Clone)]
struct Status {
    /// How many changes led to this status.
    revision: u64,
    state: LeaseState,
    grant: Option<Grant>,
    renewals: u64,
    failures: u32,
    last_error: Option<Arc<ErrorReport>>,
    /// What `ready` fails with: the failure of the latest attempt, until one succeeds.
    attempt_error: Option<Arc<PortMappingError>>,
    /// Whole attempts that failed, since the start.
    failed_attempts: u64,
    /// How the lease's end has left the gateway.
    release: Release,
    /// What the lease had at its end.
    last: Option<Arc<PublishedMapping>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            revision: 0,
            state: LeaseState::Idle,
            grant: None,
            renewals: 0,
            failures: 0,
            last_error: None,
            attempt_error: None,
            failed_attempts: 0,
            release: Release::Pending,
            last: None,
        }
    }
}

#[derive(Debug, Clone)]
struct Grant {
    mapping: Arc<PublishedMapping>,
    lifetime: Option<Duration>,
    expires_at: Option<Moment>,
    renews_at: Moment,
}

impl Grant {
    fn unexpired(&self, now: Moment) -> bool {
        self.expires_at.is_none_or(|expiry| now < expiry)
    }
}

/// What a wait for the first mapping finds.
#[derive(Debug, Clone)]
pub(crate) enum Readiness {
    /// A mapping is active.
    Ready,
    /// The first attempt is still under way.
    Pending,
    /// The latest attempt failed; the number counts the failed attempts.
    Failed(Arc<PortMappingError>, u64),
    /// The lease is over because of this failure, or without one because it was told to stop.
    Exited(Option<Arc<PortMappingError>>),
}

impl MappingSink {
    /// A sink for the lease with this number; events go to `events`. Times go by the clock of the runtime in which the
    /// sink is used, so that a test can pause it, and by the machine's sleep.
    pub fn new(id: u64, request: MapRequest, events: Arc<EventLog>) -> Self {
        Self::with_clock(id, request, events, Clock::runtime())
    }

    /// The same, by another clock.
    pub(crate) fn with_clock(id: u64, request: MapRequest, events: Arc<EventLog>, clock: Clock) -> Self {
        let status = ArcSwap::from_pointee(Status::default());
        Self { id, request, status, changed: watch::Sender::new(()), events, clock }
    }

    /// The clock by which the lease's times go, whoever reads them.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The lease's number within its mapper.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What was asked for.
    pub fn request(&self) -> &MapRequest {
        &self.request
    }

    /// A lock-free copy of the present state.
    pub fn snapshot(&self) -> LeaseSnapshot {
        let status = self.status.load();
        let now = self.clock.now();
        let grant = status.grant.as_ref().filter(|grant| grant.unexpired(now));
        LeaseSnapshot {
            id: self.id,
            revision: status.revision,
            // What has run out is over, also where the task has not come to see it yet.
            state: if status.grant.is_some() && grant.is_none() { LeaseState::Revoked } else { status.state },
            active: grant.is_some(),
            mapping: grant.map(|grant| Arc::clone(&grant.mapping)),
            internal_port: self.request.internal_port,
            transport: self.request.transport,
            family: self.request.family,
            lifetime: grant.and_then(|grant| grant.lifetime),
            expires_in: grant.and_then(|grant| grant.expires_at).map(|expiry| expiry.since(now)),
            renews_in: grant.map(|grant| grant.renews_at.since(now)),
            permanent: grant.is_some_and(|grant| grant.lifetime.is_none()),
            renewals: status.renewals,
            failures: status.failures,
            last_error: status.last_error.clone(),
            nat_class: grant.map_or(NatClass::Unknown, |grant| NatClass::of(grant.mapping.address_class)),
            address_class: grant.map_or(AddressClass::Unknown, |grant| grant.mapping.address_class),
        }
    }

    /// What a wait for the first mapping finds at this moment.
    pub(crate) fn readiness(&self) -> Readiness {
        let status = self.status.load();
        if status.grant.as_ref().is_some_and(|grant| grant.unexpired(self.clock.now())) {
            return Readiness::Ready;
        }
        match &status.attempt_error {
            error if status.state == LeaseState::Exited => Readiness::Exited(error.clone()),
            Some(error) => Readiness::Failed(Arc::clone(error), status.failed_attempts),
            None => Readiness::Pending,
        }
    }

    /// Wakes at every change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether the lease is over.
    pub fn has_exited(&self) -> bool {
        self.status.load().state == LeaseState::Exited
    }

    /// How the lease's end has left the gateway; `pending` as long as something is being deleted there, which may take a
    /// little longer than until the lease has exited.
    pub fn release(&self) -> Release {
        self.status.load().release
    }

    /// Waits until the lease is over and has left the gateway.
    pub async fn wait_released(&self) {
        let mut changed = self.subscribe();
        while self.release() == Release::Pending {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// An attempt to map begins.
    pub(crate) fn probing(&self) {
        self.update(|status| status.state = LeaseState::Probing);
        self.wake();
    }

    /// The gateway granted `mapping` by a call that began at `asked_at`; the next renewal is due at `renews_at`.
    pub(crate) fn installed(&self, mapping: &PortMapping, asked_at: Moment, renews_at: Moment) {
        self.granted(EventKind::Installed, mapping, asked_at, renews_at);
    }

    fn granted(&self, kind: EventKind, mapping: &PortMapping, asked_at: Moment, renews_at: Moment) {
        let grant = self.grant(Arc::new(mapping.into()), mapping, asked_at, renews_at);
        let before = self.update(|status| {
            status.state = LeaseState::Installed;
            status.grant = Some(grant);
            status.failures = 0;
            status.last_error = None;
            status.attempt_error = None;
        });
        self.publish(self.event(kind, None, self.since(asked_at)), &before);
    }

    /// The mapping was deleted, to be made again.
    pub(crate) fn deleted(&self) {
        self.update(|status| (status.state, status.grant) = (LeaseState::Probing, None));
        self.wake();
    }

    /// The gateway granted `mapping` in the place of one that was deleted for it.
    pub(crate) fn repaired(&self, mapping: &PortMapping, asked_at: Moment, renews_at: Moment) {
        self.granted(EventKind::Repaired, mapping, asked_at, renews_at);
    }

    /// A look at the gateway's table has shown that the mapping is not quite as it was granted.
    pub(crate) fn corrected(&self, mapping: &PortMapping, asked_at: Moment, renews_at: Moment) {
        let new = PublishedMapping::from(mapping);
        let before = self.status.load().grant.as_ref().map(|grant| Arc::clone(&grant.mapping));
        let published = before.filter(|before| **before == new).unwrap_or_else(|| Arc::new(new));
        let grant = self.grant(published, mapping, asked_at, renews_at);
        self.update(|status| status.grant = Some(grant));
        self.wake();
    }

    /// A renewal begins.
    pub(crate) fn renewing(&self) {
        self.update(|status| status.state = LeaseState::Renewing);
        self.wake();
    }

    /// The gateway renewed the mapping. The same external address bumps the counter and keeps the published
    /// mapping; another one replaces it whole.
    pub(crate) fn renewed(&self, mapping: &PortMapping, asked_at: Moment, renews_at: Moment) {
        let new = PublishedMapping::from(mapping);
        let before = self.status.load().grant.as_ref().map(|grant| Arc::clone(&grant.mapping));
        let (published, kind) = match before {
            Some(before) if *before == new => (before, EventKind::Renewed),
            _ => (Arc::new(new), EventKind::Changed),
        };
        let grant = self.grant(published, mapping, asked_at, renews_at);
        let before = self.update(|status| {
            status.state = LeaseState::Installed;
            status.grant = Some(grant);
            status.renewals += 1;
            status.failures = 0;
            status.last_error = None;
        });
        self.publish(self.event(kind, None, self.since(asked_at)), &before);
    }

    /// A renewal that began at `asked_at` failed; the mapping lives on and is tried again at `renews_at`.
    pub(crate) fn renewal_failed(&self, error: &PortMappingError, asked_at: Moment, renews_at: Moment) {
        let report = Arc::new(ErrorReport::from(error));
        let before = self.update(|status| {
            status.state = LeaseState::Installed;
            status.failures += 1;
            status.last_error = Some(Arc::clone(&report));
            if let Some(grant) = &mut status.grant {
                grant.renews_at = renews_at;
            }
        });
        self.publish(self.event(EventKind::Failed, Some(report), self.since(asked_at)), &before);
    }

    /// An attempt to map that began at `asked_at` failed.
    pub(crate) fn failed(&self, error: &PortMappingError, asked_at: Moment) {
        self.attempt_failed(error, asked_at, LeaseState::Idle);
    }

    /// The same where there will be no other attempt: the lease has exited when it is told of the failure.
    pub(crate) fn failed_for_good(&self, error: &PortMappingError, asked_at: Moment) {
        self.attempt_failed(error, asked_at, LeaseState::Exited);
        let status = self.status.load_full();
        self.publish(self.event(EventKind::Exited, status.last_error.clone(), Duration::ZERO), &status);
    }

    fn attempt_failed(&self, error: &PortMappingError, asked_at: Moment, state: LeaseState) {
        let report = Arc::new(ErrorReport::from(error));
        let before = self.update(|status| {
            status.state = state;
            status.failures += 1;
            status.last_error = Some(Arc::clone(&report));
            status.attempt_error = Some(Arc::new(error.clone()));
            status.failed_attempts += 1;
        });
        self.publish(self.event(EventKind::Failed, Some(report), self.since(asked_at)), &before);
    }

    /// The mapping is lost. Revoking what is revoked already changes nothing.
    pub(crate) fn revoked(&self, error: &PortMappingError) {
        if self.status.load().grant.is_none() {
            return;
        }
        let report = Arc::new(ErrorReport::from(error));
        let before = self.update(|status| {
            status.state = LeaseState::Revoked;
            status.grant = None;
            status.failures = 0;
            status.last_error = Some(Arc::clone(&report));
        });
        self.publish(self.event(EventKind::Revoked, Some(report), Duration::ZERO), &before);
    }

    /// The lease is over because of `error`, with which `ready` fails from now on. Only the first end counts.
    /// [`released`](Self::released) follows.
    pub(crate) fn exited(&self, error: &PortMappingError) {
        self.end(Some(error), true);
    }

    /// The lease is over because it was told to stop; `error` says why its mapping could not be deleted on the
    /// gateway, if so. Only the first end counts, but the last one says how the gateway was left.
    pub(crate) fn stopped(&self, error: Option<&PortMappingError>) {
        self.end(error, false);
        match error {
            Some(error) => self.left(Release::Unconfirmed, Left::Unconfirmed(Some(&ErrorReport::from(error)))),
            None => self.released(Release::Released),
        }
    }

    /// The lease is over because it was told to stop, and leaves its mapping to its lifetime. Only the first end counts.
    pub(crate) fn detached(&self) {
        self.end(None, false);
        self.left(Release::Released, Left::Detached);
    }

    /// The lease is over because it was told to stop, but a request is still under way. [`stopped`](Self::stopped) follows.
    pub(crate) fn stopping(&self, error: &PortMappingError) {
        self.end(Some(error), false);
    }

    /// How the lease's end has left the gateway.
    pub(crate) fn released(&self, release: Release) {
        match release {
            Release::Released => self.left(release, Left::Released),
            Release::Unconfirmed => self.left(release, Left::Unconfirmed(None)),
            Release::Pending => {}
        }
    }

    fn left(&self, release: Release, left: Left<'_>) {
        event_text::tell_end(&self.request, self.status.load().last.as_deref(), left);
        // No snapshot shows it, so the state and its revision stay.
        self.status.store(Arc::new(Status { release, ..Status::clone(&self.status.load()) }));
        self.wake();
    }

    /// The lease's task ended by a panic, or with its engine; does nothing if the lease is over.
    pub(crate) fn broken(&self, error: &PortMappingError) {
        self.exited(error);
        if self.release() == Release::Pending {
            self.released(Release::Unconfirmed);
        }
    }

    fn end(&self, error: Option<&PortMappingError>, failed: bool) {
        if self.has_exited() {
            return;
        }
        let report = error.map(|error| Arc::new(ErrorReport::from(error)));
        let before = self.update(|status| {
            status.state = LeaseState::Exited;
            status.last = status.grant.take().map(|grant| grant.mapping);
            if report.is_some() {
                status.last_error.clone_from(&report);
            }
            status.attempt_error = error.filter(|_| failed).map(|error| Arc::new(error.clone()));
        });
        self.publish(self.event(EventKind::Exited, report, Duration::ZERO), &before);
    }

    /// One swap puts the new status in place, and the one before is the answer. Only the lease's own task writes (and, after its
    /// end, the engine that reports a panic), so reading and swapping need not be one step.
    fn update(&self, change: impl FnOnce(&mut Status)) -> Arc<Status> {
        let mut status = Status::clone(&self.status.load());
        status.revision += 1;
        change(&mut status);
        self.status.swap(Arc::new(status))
    }

    fn wake(&self) {
        self.changed.send_replace(());
    }

    /// An event of the state as it is now.
    fn event(&self, kind: EventKind, error: Option<Arc<ErrorReport>>, elapsed: Duration) -> Event {
        let snapshot = self.snapshot();
        Event {
            lease: Some(self.id),
            transport: Some(self.request.transport),
            family: Some(self.request.family),
            internal_port: Some(self.request.internal_port),
            external: snapshot.external(),
            external_port: snapshot.external_port(),
            protocol: snapshot.protocol(),
            lifetime: snapshot.lifetime,
            address_class: snapshot.address_class,
            error,
            elapsed,
            ..Event::new(kind)
        }
    }

    /// Adds the event of the change just made to the status `before`, and then wakes the waiters, so that a woken
    /// waiter finds the event too.
    fn publish(&self, event: Event, before: &Status) {
        let kind = |report: &Option<Arc<ErrorReport>>| report.as_ref().map(|report| report.kind);
        let again = before.failures > 0 && kind(&before.last_error) == kind(&event.error);
        self.events.push_after(event, before.grant.as_ref().map(|grant| &*grant.mapping), again);
        self.wake();
    }

    fn since(&self, asked_at: Moment) -> Duration {
        self.clock.now().since(asked_at)
    }

    fn grant(
        &self,
        published: Arc<PublishedMapping>,
        mapping: &PortMapping,
        asked_at: Moment,
        renews_at: Moment,
    ) -> Grant {
        let granted_at = grant_time(asked_at, self.clock.now());
        let expires_at = mapping.lifetime.map(|lifetime| granted_at.after(lifetime));
        Grant { mapping: published, lifetime: mapping.lifetime, expires_at, renews_at }
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
