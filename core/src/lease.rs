//! The handle on one mapped port.

use std::sync::Arc;
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
}

impl Lease {
    pub(crate) fn new(engine: Arc<Engine>, sink: Arc<MappingSink>, shutdown: Shutdown) -> Self {
        Self { engine, sink, shutdown }
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
    /// `retry = never`), with `timeout` if no attempt has ended by then, and with `stopped` once the lease is
    /// over. Dropping the future ends the wait, not the lease.
    pub async fn ready(&self, timeout: impl Into<Option<Duration>>) -> Result<LeaseSnapshot, PortMappingError> {
        self.check_process()?;
        let limit = timeout.into();
        let mut changed = self.sink.subscribe();
        let wait = async {
            loop {
                match self.sink.readiness() {
                    Readiness::Ready => return Ok(self.sink.snapshot()),
                    Readiness::Failed(error) => return Err(PortMappingError::clone(&error)),
                    Readiness::Exited => return Err(PortMappingError::stopped("the lease is stopped")),
                    Readiness::Pending => {}
                }
                if changed.changed().await.is_err() {
                    return Err(PortMappingError::internal("the lease's state ended before the lease"));
                }
            }
        };
        match self.engine.within(limit, wait).await {
            Some(outcome) => outcome,
            None => Err(PortMappingError::timeout(format!(
                "no answer about {} port {} within {:?}; the lease goes on",
                self.request().transport,
                self.request().internal_port,
                limit.unwrap_or_default()
            ))),
        }
    }

    /// A lock-free copy of the present state. In a forked child the lease has exited.
    pub fn snapshot(&self) -> LeaseSnapshot {
        let snapshot = self.sink.snapshot();
        match self.check_process() {
            Ok(()) => snapshot,
            Err(error) => LeaseSnapshot {
                state: LeaseState::Exited,
                active: false,
                mapping: None,
                ttl: None,
                expires_in: None,
                renews_in: None,
                permanent: false,
                last_error: Some(Arc::new(ErrorReport::from(&error))),
                nat_class: NatClass::Unknown,
                address_class: AddressClass::Unknown,
                ..snapshot
            },
        }
    }

    /// Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` (default
    /// 5 s), after which the release goes on in the background. May be called again; never fails for a gateway
    /// that is gone.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) {
        if self.engine.foreign() {
            return;
        }
        self.shutdown.release();
        let limit = timeout.into().unwrap_or(DEFAULT_STOP_TIMEOUT);
        if self.engine.within(Some(limit), self.sink.wait_exited()).await.is_none() {
            tracing::debug!(?limit, "the release of a mapping goes on in the background");
        }
    }

    /// Ends the lease and leaves the mapping on the gateway until its lifetime ends.
    pub async fn detach(&self) {
        if self.engine.foreign() {
            return;
        }
        self.shutdown.detach();
        self.engine.within(Some(DEFAULT_STOP_TIMEOUT), self.sink.wait_exited()).await;
    }

    fn check_process(&self) -> Result<(), PortMappingError> {
        match self.engine.foreign() {
            true => Err(PortMappingError::stopped("the lease belongs to the process before the fork")),
            false => Ok(()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.engine.foreign() {
            self.shutdown.release();
        }
    }
}
