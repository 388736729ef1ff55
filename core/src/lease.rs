//! The handle on one mapped port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::engine::{Alarm, Engine, seconds};
use crate::error::{ErrorReport, PortMappingError};
use crate::mapping::{MapRequest, Protocol};
use crate::net::address::AddressClass;
use crate::schedule::DEFAULT_STOP_TIMEOUT;
use crate::sink::{MappingSink, Readiness};
use crate::snapshot::{LeaseSnapshot, LeaseState, NatClass, Release};
use crate::task::{Repairs, Shutdown};

/// The promise to keep one port mapped. Its clones are the same lease. When the last of them is dropped, the mapping is released
/// in the background; [`stop`](Self::stop) also waits until that is done.
///
/// A program that ends right after a drop, as `main` does with its last handles, may end before the release: then the
/// mapping stays on the gateway until its lifetime ends. Call [`stop`](Self::stop) first.
#[derive(Debug, Clone)]
#[must_use = "dropping the last handle of a lease releases its mapping"]
pub struct Lease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    sink: Arc<MappingSink>,
    shutdown: Shutdown,
    repairs: Repairs,
    /// The number of the last failed attempt that `ready` has failed with.
    raised: AtomicU64,
}

/// A lease that somebody else holds.
#[derive(Debug)]
pub(crate) struct WeakLease(Weak<Shared>);

impl WeakLease {
    /// A handle, unless the last one is gone.
    pub(crate) fn upgrade(&self) -> Option<Lease> {
        self.0.upgrade().map(Lease)
    }

    /// Whether the last handle is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Lease {
    pub(crate) fn new(engine: Arc<Engine>, sink: Arc<MappingSink>, shutdown: Shutdown, repairs: Repairs) -> Self {
        Self(Arc::new(Shared { engine, sink, shutdown, repairs, raised: AtomicU64::new(0) }))
    }

    pub(crate) fn downgrade(&self) -> WeakLease {
        WeakLease(Arc::downgrade(&self.0))
    }

    /// The lease's number within its mapper, from 1, as events name it.
    pub fn id(&self) -> u64 {
        self.0.sink.id()
    }

    /// What was asked for.
    pub fn request(&self) -> &MapRequest {
        self.0.sink.request()
    }

    /// Waits, at most for `timeout`, until the port is mapped, and returns the state with the mapping.
    ///
    /// Fails with the error of the latest attempt if that failed; the lease keeps trying unless `retry = never`. Every
    /// call that is waiting then fails with it; a call after that waits for the next attempt. Fails with `timeout` if no
    /// attempt has ended in time. Once the lease is over, fails with the error that ended it, or with `stopped`. Dropping
    /// the future ends the wait, not the lease.
    pub fn ready(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> impl Future<Output = Result<LeaseSnapshot, PortMappingError>> + Send {
        // At the call and not at the first poll: of two calls that are awaited together, none is later.
        self.ready_since(self.0.raised.load(Ordering::Relaxed), timeout.into())
    }

    /// As [`ready`](Self::ready), for hosts that keep the future and may poll it much later. The future holds the lease.
    pub fn ready_owned(
        &self,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<LeaseSnapshot, PortMappingError>> + Send + use<> {
        let (lease, heard) = (self.clone(), self.0.raised.load(Ordering::Relaxed));
        async move { lease.ready_since(heard, timeout).await }
    }

    /// Waits for a mapping, or for the failure of a later attempt than the one with the number `heard`.
    async fn ready_since(&self, heard: u64, limit: Option<Duration>) -> Result<LeaseSnapshot, PortMappingError> {
        self.check_process()?;
        let outcome = self.wait_for(limit, || match self.0.sink.readiness() {
            Readiness::Ready => Some(Ok(self.0.sink.snapshot())),
            Readiness::Failed(error, attempt) if attempt > heard => {
                self.0.raised.fetch_max(attempt, Ordering::Relaxed);
                Some(Err(PortMappingError::clone(&error)))
            }
            Readiness::Exited(Some(error)) => Some(Err(PortMappingError::clone(&error))),
            Readiness::Exited(None) => Some(Err(PortMappingError::stopped("the lease is stopped"))),
            Readiness::Failed(..) | Readiness::Pending => None,
        });
        outcome.await.unwrap_or_else(|alarm| Err(self.alarmed(alarm, limit, "no answer")))
    }

    /// Waits, at most for `timeout`, until the lease's [`revision`](LeaseSnapshot::revision) is no longer `since`, and
    /// returns the new state. Returns at once if it has changed already. Several changes between two calls appear as one.
    ///
    /// Fails with `timeout`, and with `stopped` if `since` is the last revision of a lease that is over.
    ///
    /// ```no_run
    /// # async fn example(lease: portlease::Lease) -> Result<(), portlease::PortMappingError> {
    /// let mut seen = lease.snapshot();
    /// loop {
    ///     println!("{}: {:?}", seen.state, seen.external());
    ///     seen = lease.changed(seen.revision, None).await?;
    /// }
    /// # }
    /// ```
    pub async fn changed(
        &self,
        since: u64,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<LeaseSnapshot, PortMappingError> {
        self.check_process()?;
        let limit = timeout.into();
        let outcome = self.wait_for(limit, || {
            let snapshot = self.0.sink.snapshot();
            if snapshot.revision != since {
                return Some(Ok(snapshot));
            }
            let over = snapshot.state == LeaseState::Exited;
            over.then(|| Err(PortMappingError::stopped("the lease is over, and its state no longer changes")))
        });
        outcome.await.unwrap_or_else(|alarm| Err(self.alarmed(alarm, limit, "no change")))
    }

    /// Waits until `look` finds something; it looks now and after each change.
    async fn wait_for<T>(
        &self,
        limit: Option<Duration>,
        look: impl Fn() -> Option<Result<T, PortMappingError>>,
    ) -> Result<Result<T, PortMappingError>, Alarm> {
        let mut changed = self.0.sink.subscribe();
        let wait = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                if changed.changed().await.is_err() {
                    return Err(PortMappingError::internal("the lease's state ended before the lease"));
                }
            }
        };
        self.0.engine.within(limit, wait).await
    }

    fn alarmed(&self, alarm: Alarm, limit: Option<Duration>, what: &str) -> PortMappingError {
        alarm.error(|| {
            let MapRequest { transport, internal_port, .. } = self.request();
            format!("{what} about {transport} port {internal_port} within {}", seconds(limit))
        })
    }

    /// Returns a copy of the present state; takes no lock. In a forked child the lease has exited, at the latest 10 ms
    /// after the fork.
    pub fn snapshot(&self) -> LeaseSnapshot {
        let snapshot = self.0.sink.snapshot();
        if !self.0.engine.foreign_to_reader() {
            return snapshot;
        }
        LeaseSnapshot {
            state: LeaseState::Exited,
            active: false,
            mapping: None,
            lifetime: None,
            expires_in: None,
            renews_in: None,
            permanent: false,
            last_error: Some(Arc::new(ErrorReport::from(&forked()))),
            nat_class: NatClass::Unknown,
            address_class: AddressClass::Unknown,
            ..snapshot
        }
    }

    /// Where the lease stands, as in its [`snapshot`](Self::snapshot).
    pub fn state(&self) -> LeaseState {
        self.snapshot().state
    }

    /// Whether a granted, unexpired mapping is there, as in its [`snapshot`](Self::snapshot).
    pub fn active(&self) -> bool {
        self.snapshot().active
    }

    /// The external address and port, while active and if the gateway knows its address.
    pub fn external(&self) -> Option<SocketAddr> {
        self.snapshot().external()
    }

    /// The external port, while active; also where the gateway does not know its address.
    pub fn external_port(&self) -> Option<u16> {
        self.snapshot().external_port()
    }

    /// The protocol that made the mapping, while active.
    pub fn protocol(&self) -> Option<Protocol> {
        self.snapshot().protocol()
    }

    /// The class of the external address; `unknown` while not active.
    pub fn address_class(&self) -> AddressClass {
        self.snapshot().address_class
    }

    /// Deletes the mapping on the gateway and makes it again with the same external port, if the gateway gives it, and returns
    /// the state with the new mapping: for a mapping that the gateway lists and does not forward. Waits at most for
    /// `timeout`; the repair goes on if the time is up, or if the future is dropped. The event `repaired` tells that it
    /// has worked, and `failed` that it has not; then the lease tries again as after any loss. A lease that is not mapped
    /// makes its next attempt at once.
    ///
    /// Fails with `refused` if it was repaired less than 10 s ago: [`retry_after`](PortMappingError::retry_after) says how long
    /// to wait. Fails with the error of the attempt, with `timeout`, and with `stopped` once the lease is over.
    pub async fn repair(&self, timeout: impl Into<Option<Duration>>) -> Result<LeaseSnapshot, PortMappingError> {
        self.check_process()?;
        let limit = timeout.into();
        match self.0.engine.within(limit, self.0.repairs.ask()).await {
            Ok(outcome) => outcome.map(|()| self.0.sink.snapshot()),
            Err(alarm) => Err(self.alarmed(alarm, limit, "no repair")),
        }
    }

    /// Asks the lease to release its mapping and to end; does not wait. Does nothing if the lease was told to end before.
    pub fn begin_stop(&self) {
        if !self.0.engine.foreign() {
            self.0.shutdown.release();
        }
    }

    /// Releases the mapping on the gateway and ends the lease, and waits for that, at most for `timeout` (default 5 s).
    /// Returns [`Release::Pending`] if the lease has not ended by then; the release goes on in the background. It may be
    /// called again, and it does not fail if the gateway is gone. After [`detach`](Self::detach) the mapping stays. In a
    /// forked child it does nothing and returns [`Release::Released`]: nothing there is to be released.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) -> Release {
        if self.0.engine.foreign() {
            return Release::Released;
        }
        self.begin_stop();
        self.released_within(timeout.into().unwrap_or(DEFAULT_STOP_TIMEOUT)).await
    }

    /// Asks the lease to end and to leave its mapping on the gateway; does not wait. Does nothing if the lease was told to
    /// end before.
    pub fn begin_detach(&self) {
        if !self.0.engine.foreign() {
            self.0.shutdown.detach();
        }
    }

    /// Ends the lease and leaves the mapping on the gateway until its lifetime ends; a mapping without a lifetime (see
    /// [`LeaseSnapshot::permanent`]) stays until somebody deletes it. Waits for the lease's end for 5 s at most. If the
    /// lease was told to stop before, its mapping is released.
    /// Returns as [`stop`](Self::stop) does.
    pub async fn detach(&self) -> Release {
        if self.0.engine.foreign() {
            return Release::Released;
        }
        self.begin_detach();
        self.released_within(DEFAULT_STOP_TIMEOUT).await
    }

    /// How it ended is told by the sink: a wait that the engine's end cuts short says nothing.
    async fn released_within(&self, limit: Duration) -> Release {
        let _ = self.0.engine.within(Some(limit), self.0.sink.wait_released()).await;
        self.0.sink.release()
    }

    fn check_process(&self) -> Result<(), PortMappingError> {
        match self.0.engine.foreign() {
            true => Err(forked()),
            false => Ok(()),
        }
    }
}

fn forked() -> PortMappingError {
    PortMappingError::stopped("the lease belongs to the process before the fork")
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.engine.foreign() {
            self.shutdown.release();
        }
    }
}
