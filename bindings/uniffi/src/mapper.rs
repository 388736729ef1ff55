//! The handle on one background engine.

use std::sync::Arc;

use portlease::Release as Core;

use crate::config::{Config, MapRequest};
use crate::event::{Event, EventReader, Source};
use crate::exit;
use crate::lease::Lease;
use crate::names::{AddressFamily, PortLeaseError, Release, Transport};
use crate::relay::Relay;
use crate::snapshot::{GatewayReport, MapperSnapshot, TableEntry};
use crate::value::{Port, Read, Seconds};
use crate::view::address;

/// A background engine that maps ports on the home gateway and keeps them mapped.
///
/// Letting it go releases all mappings in the background; `stop` waits for that.
#[derive(Debug, uniffi::Object)]
pub struct Mapper {
    core: Arc<portlease::Mapper>,
    relay: Arc<Relay>,
}

impl Mapper {
    /// Lets the waking thread end with the engine.
    fn ended(&self, release: Core) -> Release {
        if release != Core::Pending {
            self.relay.end();
        }
        release.into()
    }
}

#[uniffi::export]
impl Mapper {
    /// Checks the configuration and starts the engine's thread. Does not touch the network.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` if the system gives no thread.
    #[uniffi::constructor]
    pub fn start(config: Config) -> Result<Arc<Self>, PortLeaseError> {
        let core = Arc::new(portlease::Mapper::start(config.read()?)?);
        exit::adopt(&core);
        Ok(Arc::new(Self { core, relay: Relay::start()? }))
    }

    /// Begins to map a port and returns at once; the lease tells how it goes. Letting go of the lease releases the port.
    ///
    /// Fails with `invalid` for a bad request, or if another lease of this mapper has the same port or asks for the same
    /// external port over the same transport, and with `stopped`.
    pub fn map(&self, request: MapRequest) -> Result<Arc<Lease>, PortLeaseError> {
        Ok(Arc::new(Lease::new(self.core.map(request.read()?)?, &self.relay)))
    }

    /// The lease that exists for an equal request, or a new one as `map` makes it. Handles of one lease have the same
    /// number; the last one that is let go releases the port.
    ///
    /// Fails as `map` does; a lease on the same port with other wishes is such a failure.
    pub fn ensure(&self, request: MapRequest) -> Result<Arc<Lease>, PortLeaseError> {
        Ok(Arc::new(Lease::new(self.core.ensure(request.read()?)?, &self.relay)))
    }

    /// Begins to map a port over UDP and over TCP: two leases, in this order. The transport of the request does not
    /// matter. Either lease may fail without the other.
    ///
    /// Fails as `map` does; then there is no lease.
    pub fn map_both(&self, request: MapRequest) -> Result<Vec<Arc<Lease>>, PortLeaseError> {
        let (udp, tcp) = self.core.map_both(request.read()?)?;
        Ok([udp, tcp].map(|lease| Arc::new(Lease::new(lease, &self.relay))).into())
    }

    /// Handles of every lease that was not told to end, has not ended by itself, and is held by somebody; by number.
    pub fn leases(&self) -> Vec<Arc<Lease>> {
        self.core.leases().into_iter().map(|lease| Arc::new(Lease::new(lease, &self.relay))).collect()
    }

    /// The present state of the mapper and of every lease that has not exited. Never fails.
    pub fn snapshot(&self) -> MapperSnapshot {
        self.core.snapshot().into()
    }

    /// Where the mapper is, for `portlease_uniffi_view_mapper`, as long as this handle is held.
    pub fn address(&self) -> i64 {
        address(&*self.core)
    }

    /// Pulls the next event, waiting for it at most for `timeout`; without one, for ever. The mapper has one queue for
    /// all callers: each event goes to one of them.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and its last event was pulled.
    #[uniffi::method(default(timeout = None))]
    pub async fn next_event(&self, timeout: Option<Seconds>) -> Result<Event, PortLeaseError> {
        self.queue().next(timeout).await
    }

    /// A reader of the queue of `next_event`, for hosts that may cancel a wait between its end and its result.
    pub fn queue(&self) -> Arc<EventReader> {
        Arc::new(EventReader::new(Source::Queue(Arc::clone(&self.core)), &self.relay))
    }

    /// A reader of its own: it gets the events that nobody has read yet, and then every event from now on, whoever else
    /// reads them. A reader that falls more than 1024 events behind loses the oldest and is told how many.
    pub fn events(&self) -> Arc<EventReader> {
        Arc::new(EventReader::new(Source::Log(self.core.events()), &self.relay))
    }

    /// Asks by every configured protocol what the gateway of `family`, by default IPv4, offers; maps nothing. For IPv6 it
    /// tells by which protocols the router could be asked for pinholes; whether its firewall lets packets through without
    /// them, nobody can tell.
    ///
    /// Fails with `unavailable` or `refused` if no protocol has an offer, with `transport`, and with `stopped`; for IPv6
    /// with `unavailable` also if this machine has no global address.
    #[uniffi::method(default(family = None))]
    pub async fn probe(&self, family: Option<AddressFamily>) -> Result<GatewayReport, PortLeaseError> {
        let family = family.map(Into::into).unwrap_or_default();
        Ok(self.relay.wait(&self.core, |core| async move { core.probe_of(family).await }).await?.into())
    }

    /// The address at which the internet sees this machine, without a lease. Waits at most for `timeout`; without one,
    /// until every protocol has answered or is silent, about 2 s.
    ///
    /// Fails with `unavailable` if no protocol tells an address, with `refused`, `timeout`, `transport`, and with
    /// `stopped`.
    #[uniffi::method(default(timeout = None))]
    pub async fn external_address(&self, timeout: Option<Seconds>) -> Result<String, PortLeaseError> {
        let limit = timeout.map(Seconds::limit);
        let asked = self.relay.wait(&self.core, |core| async move { core.external_address(limit).await });
        Ok(asked.await?.to_string())
    }

    /// Reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (at most 1024 entries; UPnP only).
    ///
    /// Fails with `unavailable` if there is no UPnP, with `refused` if the router does not show its table, with
    /// `transport`, `timeout`, and with `stopped`.
    pub async fn table(&self) -> Result<Vec<TableEntry>, PortLeaseError> {
        let entries = self.relay.wait(&self.core, |core| async move { core.table().await }).await?;
        Ok(entries.into_iter().map(Into::into).collect())
    }

    /// Deletes an entry of the router's table (UPnP only), for what nobody holds any more, and answers with what it was;
    /// with nothing if the table has no such entry.
    ///
    /// Fails with `invalid` for a port out of range and for the mapping of a lease of this mapper, which is to be stopped
    /// instead; with `refused` for an entry of another machine, unless `any_host`, and if the router says no; otherwise
    /// as `table` does.
    #[uniffi::method(default(any_host = false))]
    pub async fn delete(
        &self,
        transport: Transport,
        external_port: Port,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortLeaseError> {
        let port = external_port.read("external_port")?;
        let delete = |core: Arc<portlease::Mapper>| async move { core.delete(transport.into(), port, any_host).await };
        Ok(self.relay.wait(&self.core, delete).await?.map(Into::into))
    }

    /// Tells that the machine's network may have changed, for hosts that know before portlease does (phones tell their
    /// apps, sandboxes hide the network from them). Every lease looks again at once, and none waits for its next attempt.
    /// Returns at once; does nothing once the mapper is stopped. It is needed nowhere else: portlease watches the network
    /// itself.
    pub fn network_changed(&self) {
        self.core.network_changed();
    }

    /// Releases every mapping on the gateway and ends the engine; waits for that, at most for `timeout` (default 5 s, and
    /// 0.1 s more for each lease), and answers how it went for all leases, also for those that ended before. If the time
    /// runs out, the answer is `pending` and the release goes on in the background. May be called again; never fails.
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
}

/// `Mapper.start` as a function, for hosts in which the class has another name: UniFFI does not rename what its
/// constructor gives.
#[uniffi::export]
pub fn start_mapper(config: Config) -> Result<Arc<Mapper>, PortLeaseError> {
    Mapper::start(config)
}

/// Asks the gateway what it offers by each protocol, with an engine of its own; maps nothing.
///
/// Fails as `Mapper.start` and `Mapper.probe` do.
#[uniffi::export(default(config = None, family = None))]
pub async fn probe(config: Option<Config>, family: Option<AddressFamily>) -> Result<GatewayReport, PortLeaseError> {
    Mapper::start(config.unwrap_or_default())?.probe(family).await
}

/// The address at which the internet sees this machine, asked with an engine of its own. Waits at most for `timeout`.
///
/// Fails as `Mapper.start` and `Mapper.external_address` do.
#[uniffi::export(default(config = None, timeout = None))]
pub async fn external_address(config: Option<Config>, timeout: Option<Seconds>) -> Result<String, PortLeaseError> {
    Mapper::start(config.unwrap_or_default())?.external_address(timeout).await
}
