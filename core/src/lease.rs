//! The handle on one mapped port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::{Alarm, Engine, seconds};
use crate::error::{ErrorReport, PortMappingError};
use crate::mapping::MapRequest;
use crate::net::address::AddressClass;
use crate::schedule::DEFAULT_STOP_TIMEOUT;
use crate::sink::{MappingSink, Readiness};
use crate::snapshot::{LeaseSnapshot, LeaseState, NatClass};
use crate::task::Shutdown;

/// The promise to keep one port mapped. Dropping it releases the mapping in the background; [`stop`](Self::stop)
/// waits for that.
///
/// A program that ends right after a drop, as `main` does with its last handles, may end before the release: then the
/// mapping stays on the gateway until its lifetime ends. Call [`stop`](Self::stop) first.
#[derive(Debug)]
#[must_use = "dropping a lease releases its mapping"]
pub struct Lease {
    engine: Arc<Engine>,
    sink: Arc<MappingSink>,
    shutdown: Shutdown,
    /// The failed attempt that `ready` raised last.
    raised: AtomicU64,
}

impl Lease {
    pub(crate) fn new(engine: Arc<Engine>, sink: Arc<MappingSink>, shutdown: Shutdown) -> Self {
        Self { engine, sink, shutdown, raised: AtomicU64::new(0) }
    }

    /// The lease's number within its mapper, from 1, as events name it.
    pub fn id(&self) -> u64 {
        self.sink.id()
    }

    /// What was asked for.
    pub fn request(&self) -> &MapRequest {
        self.sink.request()
    }

    /// Waits for a mapping, at most for `timeout`, and answers with the state that has it.
    ///
    /// Fails with the kind of the latest whole attempt if that failed (the lease keeps trying unless
    /// `retry = never`). Every wait that is under way hears of a failed attempt; a call after that waits for the next
    /// attempt. Fails with `timeout` if no attempt has ended by then. Once the lease is over, fails with the kind that
    /// ended it, or with `stopped`. Dropping the future ends the wait, not the lease.
    pub fn ready(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> impl Future<Output = Result<LeaseSnapshot, PortMappingError>> + Send {
        let limit = timeout.into();
        // At the call and not at the first poll: of two calls that are awaited together, none is later.
        let heard = self.raised.load(Ordering::Relaxed);
        async move {
            self.check_process()?;
            let outcome = self.wait_for(limit, || match self.sink.readiness() {
                Readiness::Ready => Some(Ok(self.sink.snapshot())),
                Readiness::Failed(error, attempt) if attempt > heard => {
                    self.raised.fetch_max(attempt, Ordering::Relaxed);
                    Some(Err(PortMappingError::clone(&error)))
                }
                Readiness::Exited(Some(error)) => Some(Err(PortMappingError::clone(&error))),
                Readiness::Exited(None) => Some(Err(PortMappingError::stopped("the lease is stopped"))),
                Readiness::Failed(..) | Readiness::Pending => None,
            });
            outcome.await.unwrap_or_else(|alarm| Err(self.alarmed(alarm, limit, "no answer")))
        }
    }

    /// Waits, at most for `timeout`, until the lease's state is another than the one with the number `since`
    /// ([`LeaseSnapshot::revision`]), and answers with it. Returns at once if it is another already; several changes
    /// between two calls are seen as one.
    ///
    /// Fails with `timeout`, and with `stopped` once the lease is over and the caller has seen that.
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
            let snapshot = self.sink.snapshot();
            if snapshot.revision != since {
                return Some(Ok(snapshot));
            }
            let over = snapshot.state == LeaseState::Exited;
            over.then(|| Err(PortMappingError::stopped("the lease is over, and its state changes no more")))
        });
        outcome.await.unwrap_or_else(|alarm| Err(self.alarmed(alarm, limit, "no change")))
    }

    /// Waits until `look` finds something; it looks now and after each change.
    async fn wait_for<T>(
        &self,
        limit: Option<Duration>,
        look: impl Fn() -> Option<Result<T, PortMappingError>>,
    ) -> Result<Result<T, PortMappingError>, Alarm> {
        let mut changed = self.sink.subscribe();
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
        self.engine.within(limit, wait).await
    }

    fn alarmed(&self, alarm: Alarm, limit: Option<Duration>, what: &str) -> PortMappingError {
        alarm.error(|| {
            let MapRequest { transport, internal_port, .. } = self.request();
            format!("{what} about {transport} port {internal_port} within {}", seconds(limit))
        })
    }

    /// A lock-free copy of the present state. In a forked child the lease has exited, 10 ms after the fork at the latest.
    pub fn snapshot(&self) -> LeaseSnapshot {
        let snapshot = self.sink.snapshot();
        if !self.engine.foreign_to_reader() {
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

    /// Asks the lease to release its mapping and to end, and does not wait for that.
    pub fn begin_stop(&self) {
        if !self.engine.foreign() {
            self.shutdown.release();
        }
    }

    /// Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` (default 5 s). After
    /// that the release goes on in the background, and the answer is `false`. May be called again; never fails for a
    /// gateway that is gone.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) -> bool {
        if self.engine.foreign() {
            return true;
        }
        self.begin_stop();
        self.wait_exited(timeout.into().unwrap_or(DEFAULT_STOP_TIMEOUT)).await
    }

    /// Asks the lease to end and to leave its mapping on the gateway, and does not wait for that.
    pub fn begin_detach(&self) {
        if !self.engine.foreign() {
            self.shutdown.detach();
        }
    }

    /// Ends the lease and leaves the mapping on the gateway until its lifetime ends; one without an end (see
    /// [`LeaseSnapshot::permanent`]) stays until somebody deletes it. Waits for the lease's end for 5 s at most.
    pub async fn detach(&self) {
        if self.engine.foreign() {
            return;
        }
        self.begin_detach();
        if !self.wait_exited(DEFAULT_STOP_TIMEOUT).await {
            tracing::debug!(lease = self.id(), "a detached lease has not ended yet");
        }
    }

    async fn wait_exited(&self, limit: Duration) -> bool {
        self.engine.within(Some(limit), self.sink.wait_exited()).await.is_ok() || self.sink.has_exited()
    }

    fn check_process(&self) -> Result<(), PortMappingError> {
        match self.engine.foreign() {
            true => Err(forked()),
            false => Ok(()),
        }
    }
}

fn forked() -> PortMappingError {
    PortMappingError::stopped("the lease belongs to the process before the fork")
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.begin_stop();
    }
}
