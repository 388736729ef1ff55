//! One mapped port with an engine of its own, in one line.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::PortMappingError;
use crate::lease::Lease;
use crate::mapper::Mapper;
use crate::mapping::{AddressFamily, MapRequest, Transport};
use crate::snapshot::{GatewayReport, LeaseSnapshot, Release};

/// A lease together with a mapper that serves only this lease; both end together.
///
/// Dropping it, and every clone of its handles, releases the mapping in the background and does not wait, because a drop
/// may run on a thread that must not block, such as an executor's. A program that ends right after the drop, for instance
/// at the end of `main`, may end before the release: then the mapping stays on the gateway until its lifetime ends. Call
/// [`stop`](Self::stop) first.
#[derive(Debug)]
#[must_use = "dropping an open port releases its mapping"]
pub struct OpenPort {
    lease: Lease,
    mapper: Arc<Mapper>,
}

impl OpenPort {
    /// Starts the engine and begins to map the port; does not wait for the mapping.
    ///
    /// Fails as [`Mapper::start`] and [`Mapper::map`] do.
    pub fn begin(config: Config, request: MapRequest) -> Result<Self, PortMappingError> {
        let mapper = Mapper::start(config)?;
        let lease = mapper.map(request)?;
        Ok(Self { lease, mapper: Arc::new(mapper) })
    }

    /// The lease. Stopping it releases the mapping, but the mapper keeps running.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The mapper that serves the lease.
    pub fn mapper(&self) -> &Arc<Mapper> {
        &self.mapper
    }

    /// What was asked for.
    pub fn request(&self) -> &MapRequest {
        self.lease.request()
    }

    /// Waits for a mapping, as [`Lease::ready`] does.
    pub fn ready(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> impl Future<Output = Result<LeaseSnapshot, PortMappingError>> + Send {
        self.lease.ready(timeout)
    }

    /// Waits for a change of the lease's state, as [`Lease::changed`] does.
    pub async fn changed(
        &self,
        since: u64,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<LeaseSnapshot, PortMappingError> {
        self.lease.changed(since, timeout).await
    }

    /// Returns a copy of the lease's present state; takes no lock.
    pub fn snapshot(&self) -> LeaseSnapshot {
        self.lease.snapshot()
    }

    /// Asks the engine to release the mapping and to end; does not wait.
    pub fn begin_stop(&self) {
        self.mapper.begin_stop();
    }

    /// Releases the mapping and ends the engine; waits as [`Mapper::stop`] does.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) -> Release {
        self.mapper.stop(timeout).await
    }

    /// Asks the engine to leave the mapping on the gateway and to end; does not wait.
    pub fn begin_detach(&self) {
        self.lease.begin_detach();
        self.mapper.begin_stop();
    }

    /// Leaves the mapping on the gateway until its lifetime ends, as [`Lease::detach`] does, and ends the engine, which has
    /// no other lease. Waits for that for 5 s at most. Returns as [`stop`](Self::stop) does.
    pub async fn detach(&self) -> Release {
        self.begin_detach();
        self.mapper.stop(None).await
    }
}

/// Maps one port with the default configuration and waits for the mapping: start, map and ready in one line.
///
/// Fails as [`open_with`] does.
///
/// ```no_run
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let port = portlease::open(4000, portlease::Transport::Udp).await?;
/// println!("external address: {:?}", port.snapshot().external());
/// port.stop(None).await;
/// # Ok(())
/// # }
/// ```
pub async fn open(port: u16, transport: Transport) -> Result<OpenPort, PortMappingError> {
    open_with(Config::default(), MapRequest::new(port, transport), None).await
}

/// Maps one port as `config` and `request` say and waits for the mapping, at most for `timeout` (by default until the
/// first attempt has ended, which takes about 2 s if nothing answers).
///
/// Fails as [`Mapper::start`], [`Mapper::map`] and [`Lease::ready`] do, and does not try again then: if it fails or its future is
/// dropped, the engine releases in the background what may have been mapped, and ends.
pub async fn open_with(
    config: Config,
    request: MapRequest,
    timeout: impl Into<Option<Duration>>,
) -> Result<OpenPort, PortMappingError> {
    let port = OpenPort::begin(config, request)?;
    port.ready(timeout).await?;
    Ok(port)
}

/// Asks the gateway what it offers by each protocol, with an engine of its own; maps nothing.
///
/// Fails as [`Mapper::start`] and [`Mapper::probe`] do.
pub async fn probe(config: Config) -> Result<GatewayReport, PortMappingError> {
    probe_of(config, AddressFamily::Ipv4).await
}

/// As [`probe`], for the gateway of one family.
///
/// Fails as [`Mapper::start`] and [`Mapper::probe_of`] do.
pub async fn probe_of(config: Config, family: AddressFamily) -> Result<GatewayReport, PortMappingError> {
    let mapper = Mapper::start(config)?;
    mapper.probe_of(family).await
}

/// The address at which the internet sees this machine, asked with an engine of its own. Waits at most for `timeout`.
///
/// Fails as [`Mapper::start`] and [`Mapper::external_address`] do.
pub async fn external_address(
    config: Config,
    timeout: impl Into<Option<Duration>>,
) -> Result<IpAddr, PortMappingError> {
    let mapper = Mapper::start(config)?;
    mapper.external_address(timeout).await
}
