//! The handle on one mapped port, and `open`.

use std::sync::Arc;

use portlease::{OpenPort, Release as Core};

use crate::config::{Config, MapRequest};
use crate::exit;
use crate::held::Held;
use crate::names::{AddressClass, LeaseState, PortLeaseError, Protocol, Release};
use crate::relay::Relay;
use crate::snapshot::{LeaseSnapshot, text};
use crate::value::{Port, Seconds, count};
use crate::view::address;

/// The promise to keep one port mapped.
///
/// Letting it go releases the mapping in the background; `stop` waits for that.
#[derive(Debug, uniffi::Object)]
pub struct Lease {
    core: Arc<Held>,
    relay: Arc<Relay>,
}

impl Lease {
    pub(crate) fn new(core: portlease::Lease, relay: &Arc<Relay>) -> Self {
        Self { core: Arc::new(Held::Lease(core)), relay: Arc::clone(relay) }
    }

    /// Lets the waking thread end with the engine, if that served this lease alone.
    fn ended(&self, release: Core) -> Release {
        if release != Core::Pending && matches!(*self.core, Held::Port(_)) {
            self.relay.end();
        }
        release.into()
    }
}

#[uniffi::export]
impl Lease {
    /// The lease's number within its mapper, from 1, as events name it.
    pub fn id(&self) -> i64 {
        count(self.core.lease().id())
    }

    /// Waits for a mapping, at most for `timeout`, and answers with the state that has it; without a timeout, for ever.
    ///
    /// Fails with the kind of the latest whole attempt if that failed (the lease keeps trying unless retry is `never`).
    /// Every wait that is under way hears of a failed attempt; a call after that waits for the next attempt. Fails with
    /// `timeout` if no attempt has ended by then. Once the lease is over, fails with the kind that ended it, or with
    /// `stopped`. Cancelling ends the wait, not the lease.
    #[uniffi::method(default(timeout = None))]
    pub async fn ready(&self, timeout: Option<Seconds>) -> Result<LeaseSnapshot, PortLeaseError> {
        let limit = timeout.map(Seconds::limit);
        Ok(self.relay.wait(&self.core, |core| core.lease().ready_owned(limit)).await?.into())
    }

    /// Waits, at most for `timeout`, until the lease's state is another than the one with the revision `since` (default:
    /// the state at the call), and answers with it. Returns at once if it is another already; several changes between
    /// two calls are seen as one.
    ///
    /// Fails with `timeout`, and with `stopped` once the lease is over and the caller has seen that.
    #[uniffi::method(default(since = None, timeout = None))]
    pub async fn changed(&self, since: Option<i64>, timeout: Option<Seconds>) -> Result<LeaseSnapshot, PortLeaseError> {
        let limit = timeout.map(Seconds::limit);
        let since = match since {
            // No state has a negative revision, so any state is another.
            Some(revision) => u64::try_from(revision).unwrap_or(u64::MAX),
            None => self.core.lease().snapshot().revision,
        };
        Ok(self.relay.wait(&self.core, |core| async move { core.lease().changed(since, limit).await }).await?.into())
    }

    /// Deletes the mapping on the gateway and makes it again with the same external port, if the gateway gives it, and
    /// answers with the state that has the new mapping: for a mapping that the gateway lists and does not forward. Waits
    /// at most for `timeout`; without one, for ever. The event `repaired` tells that it has worked, `failed` that it has
    /// not; then the lease tries again as after any loss. A lease that is not mapped makes its next attempt at once.
    ///
    /// Fails with `refused` if it was repaired less than 10 s ago: the message says how long to wait. Fails with the kind
    /// of the attempt, with `timeout`, and with `stopped` once the lease is over. If the time is up, or if the caller
    /// cancels, the repair goes on.
    #[uniffi::method(default(timeout = None))]
    pub async fn repair(&self, timeout: Option<Seconds>) -> Result<LeaseSnapshot, PortLeaseError> {
        let limit = timeout.map(Seconds::limit);
        Ok(self.relay.wait(&self.core, |core| async move { core.lease().repair(limit).await }).await?.into())
    }

    /// The present state. Never waits, never fails.
    pub fn snapshot(&self) -> LeaseSnapshot {
        self.core.lease().snapshot().into()
    }

    /// Where the lease stands, as in its snapshot.
    pub fn state(&self) -> LeaseState {
        self.core.lease().state().into()
    }

    /// Whether a granted, unexpired mapping is there, as in its snapshot.
    pub fn active(&self) -> bool {
        self.core.lease().active()
    }

    /// The external address and port, `address:port`, while active and if the gateway knows its address.
    pub fn external(&self) -> Option<String> {
        text(self.core.lease().external())
    }

    /// The external port, while active; also if the gateway does not know its address.
    pub fn external_port(&self) -> Option<Port> {
        self.core.lease().external_port().map(Into::into)
    }

    /// The protocol that made the mapping, while active.
    pub fn protocol(&self) -> Option<Protocol> {
        self.core.lease().protocol().map(Into::into)
    }

    /// The class of the external address; `unknown` while not active.
    pub fn address_class(&self) -> AddressClass {
        self.core.lease().address_class().into()
    }

    /// Where the lease is, for `portlease_uniffi_view_lease`, as long as this handle is held.
    pub fn address(&self) -> i64 {
        address(&*self.core)
    }

    /// Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` (default 5 s), and
    /// answers how it went. If the time runs out, the answer is `pending` and the release goes on in the background. May
    /// be called again; never fails.
    #[uniffi::method(default(timeout = None))]
    pub async fn stop(&self, timeout: Option<Seconds>) -> Release {
        // At once: a wait that is cancelled may never have been polled.
        self.core.begin_stop();
        let limit = timeout.map(Seconds::limit);
        self.ended(self.relay.wait(&self.core, |core| async move { core.stop(limit).await }).await)
    }

    /// As `stop`, but blocks the calling thread, for hosts whose blocks end with a call that does not suspend.
    #[uniffi::method(default(timeout = None))]
    pub fn stop_blocking(&self, timeout: Option<Seconds>) -> Release {
        self.ended(portlease::wait(self.core.stop(timeout.map(Seconds::limit))))
    }

    /// Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until it is
    /// deleted. The mapper of a lease that `open` returned ends as well. Answers as `stop` does.
    pub async fn detach(&self) -> Release {
        self.core.begin_detach();
        self.ended(self.relay.wait(&self.core, |core| async move { core.detach().await }).await)
    }
}

/// The first part of `open`, which does not wait, for hosts that may cancel a wait between its end and its result: a lease
/// that is the result would be held for ever.
#[uniffi::export]
pub fn begin_open(request: MapRequest, config: Config) -> Result<Arc<Lease>, PortLeaseError> {
    let port = OpenPort::begin(config.read()?, request.read()?)?;
    exit::adopt(port.mapper());
    Ok(Arc::new(Lease { core: Arc::new(Held::Port(port)), relay: Relay::start()? }))
}

/// Maps one port and waits for the mapping: start, map and ready in one line. The lease has its mapper for itself, which
/// ends with it.
///
/// Fails as `Mapper.start`, `Mapper.map` and `Lease.ready` do; then nothing is left behind.
#[uniffi::export(default(config = None, timeout = None))]
pub async fn open(
    request: MapRequest,
    config: Option<Config>,
    timeout: Option<Seconds>,
) -> Result<Arc<Lease>, PortLeaseError> {
    let lease = begin_open(request, config.unwrap_or_default())?;
    lease.ready(timeout).await?;
    Ok(lease)
}
