//! The handle on one background engine, and `open`.

use std::sync::Arc;

use crate::config::{Config, MapRequest};
use crate::event::{Event, Pull};
use crate::lease::Lease;
use crate::names::PortLeaseError;
use crate::relay::Relay;
use crate::snapshot::{GatewayReport, MapperSnapshot};
use crate::value::Seconds;

/// A background engine that maps ports on the home gateway and keeps them mapped.
///
/// Letting it go releases all mappings in the background; `stop` waits for that.
#[derive(Debug, uniffi::Object)]
pub struct Mapper {
    core: portlease::Mapper,
    relay: Relay,
}

impl Mapper {
    async fn stop_core(&self, timeout: Option<Seconds>) -> bool {
        let ended = self.core.stop(timeout.map(Seconds::limit)).await;
        if ended {
            self.relay.end();
        }
        ended
    }

    pub(crate) async fn pulled(&self, timeout: Option<Seconds>) -> Result<portlease::PulledEvent, PortLeaseError> {
        Ok(self.relay.wait(self.core.pull_event(timeout.map(Seconds::limit))).await?)
    }
}

#[uniffi::export]
impl Mapper {
    /// Checks the configuration and starts the engine's thread. Does not touch the network.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` where the system gives no thread.
    #[uniffi::constructor]
    pub fn start(config: Config) -> Result<Arc<Self>, PortLeaseError> {
        let core = portlease::Mapper::start(config.read()?)?;
        Ok(Arc::new(Self { core, relay: Relay::start()? }))
    }

    /// Begins to map a port and returns at once; the lease tells how it goes. Letting go of the lease releases the port.
    ///
    /// Fails with `invalid` for a bad request, or where another lease of this mapper has the same port or asks for the
    /// same external port over the same transport, and with `stopped`.
    pub fn map(&self, request: MapRequest) -> Result<Arc<Lease>, PortLeaseError> {
        let lease = self.core.map(request.read()?)?;
        Ok(Arc::new(Lease::new(lease, None, self.relay.clone())))
    }

    /// The present state of the mapper and of every lease that has not exited. Never fails.
    pub fn snapshot(&self) -> MapperSnapshot {
        self.core.snapshot().into()
    }

    /// Pulls the next event, waiting for it at most for `timeout`; without one, for ever.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and its last event was pulled.
    #[uniffi::method(default(timeout = None))]
    pub async fn next_event(&self, timeout: Option<Seconds>) -> Result<Event, PortLeaseError> {
        Ok(self.pulled(timeout).await?.take().into())
    }

    /// `next_event` in two parts, for hosts that may cancel a wait between its end and its result.
    pub fn pull(self: Arc<Self>) -> Arc<Pull> {
        Arc::new(Pull::new(self))
    }

    /// Asks by every configured protocol what the gateway offers; maps nothing.
    ///
    /// Fails with `unavailable` or `refused` where no protocol has an offer, with `transport`, and with `stopped`.
    pub async fn probe(&self) -> Result<GatewayReport, PortLeaseError> {
        Ok(self.relay.wait(self.core.probe()).await?.into())
    }

    /// Releases every mapping on the gateway and ends the engine; waits for that, at most for `timeout` (default 5 s),
    /// after which it goes on in the background: then the answer is `false`. May be called again; never fails.
    #[uniffi::method(default(timeout = None))]
    pub async fn stop(&self, timeout: Option<Seconds>) -> bool {
        self.relay.wait(self.stop_core(timeout)).await
    }

    /// As `stop`, waiting on the calling thread, for hosts whose blocks end with a call that does not suspend.
    #[uniffi::method(default(timeout = None))]
    pub fn stop_blocking(&self, timeout: Option<Seconds>) -> bool {
        portlease::wait(self.stop_core(timeout))
    }
}

/// `Mapper.start` as a function, for hosts where the class has another name: UniFFI does not rename what its constructor
/// gives.
#[uniffi::export]
pub fn start_mapper(config: Config) -> Result<Arc<Mapper>, PortLeaseError> {
    Mapper::start(config)
}

/// The first part of `open`, which does not wait, for hosts that may cancel a wait between its end and its result: a lease
/// that is the result would be held for ever.
#[uniffi::export]
pub fn begin_open(request: MapRequest, config: Config) -> Result<Arc<Lease>, PortLeaseError> {
    let core = portlease::Mapper::start(config.read()?)?;
    let lease = core.map(request.read()?)?;
    Ok(Arc::new(Lease::new(lease, Some(core), Relay::start()?)))
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
