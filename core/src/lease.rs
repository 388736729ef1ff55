//! The handle on one mapped port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{ErrorReport, PortMappingError};
use crate::mapping::MapRequest;
use crate::net::address::AddressClass;
use crate::schedule::DEFAULT_STOP_TIMEOUT;
use crate::sink::{MappingSink, Readiness};
use crate::snapshot::{LeaseSnapshot, LeaseState, NatClass};
use crate::task::Shutdown;

/// The promise to keep one port mapped. Dropping it releases the mapping in the background; [`stop`](Self::stop)
/// waits for that.
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
    /// Fails with the kind of the latest whole attempt if that failed (the lease goes on trying unless
    /// `retry = never`); each failed attempt is raised once, so that the next call waits for the next attempt.
    /// Fails with `timeout` if no attempt has ended by then. Once the lease is over, fails with the kind that ended
    /// it, or with `stopped`. Dropping the future ends the wait, not the lease.
    pub async fn ready(&self, timeout: impl Into<Option<Duration>>) -> Result<LeaseSnapshot, PortMappingError> {
        self.check_process()?;
        let limit = timeout.into();
        let mut changed = self.sink.subscribe();
        let wait = async {
            loop {
                match self.sink.readiness() {
                    Readiness::Ready => return Ok(self.sink.snapshot()),
                    Readiness::Failed(error, attempt)
                        if attempt > self.raised.fetch_max(attempt, Ordering::Relaxed) =>
                    {
                        return Err(PortMappingError::clone(&error));
                    }
                    Readiness::Exited(Some(error)) => return Err(PortMappingError::clone(&error)),
                    Readiness::Exited(None) => return Err(PortMappingError::stopped("the lease is stopped")),
                    Readiness::Failed(..) | Readiness::Pending => {}
                }
                if changed.changed().await.is_err() {
                    return Err(PortMappingError::internal("the lease's state ended before the lease"));
                }
            }
        };
        match self.engine.within(limit, wait).await {
            Ok(outcome) => outcome,
            Err(alarm) => Err(alarm.error(|| {
                let MapRequest { transport, internal_port, .. } = self.request();
                let limit = limit.unwrap_or_default();
                format!("no answer about {transport} port {internal_port} within {limit:?}; the lease goes on")
            })),
        }
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
            ttl: None,
            expires_in: None,
            renews_in: None,
            permanent: false,
            last_error: Some(Arc::new(ErrorReport::from(&forked()))),
            nat_class: NatClass::Unknown,
            address_class: AddressClass::Unknown,
            ..snapshot
        }
    }

    /// Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` (default
    /// 5 s), after which the release goes on in the background: then the answer is `false`. May be called again;
    /// never fails for a gateway that is gone.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) -> bool {
        if self.engine.foreign() {
            return true;
        }
        self.shutdown.release();
        let limit = timeout.into().unwrap_or(DEFAULT_STOP_TIMEOUT);
        self.engine.within(Some(limit), self.sink.wait_exited()).await.is_ok() || self.sink.has_exited()
    }

    /// Ends the lease and leaves the mapping on the gateway until its lifetime ends; one without an end (see
    /// [`LeaseSnapshot::permanent`]) stays until somebody deletes it.
    pub async fn detach(&self) {
        if self.engine.foreign() {
            return;
        }
        self.shutdown.detach();
        let limit = Some(DEFAULT_STOP_TIMEOUT);
        if let Err(alarm) = self.engine.within(limit, self.sink.wait_exited()).await {
            tracing::debug!(?alarm, "a lease that was let go has not ended yet");
        }
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
        if !self.engine.foreign() {
            self.shutdown.release();
        }
    }
}
