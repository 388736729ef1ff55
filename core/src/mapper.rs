//! The handle on one background engine that finds the gateway once and serves many leases.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::PortMapperClient;
use crate::client::race::RaceMapper;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::PortMappingError;
use crate::event::{Event, EventQueue};
use crate::lease::Lease;
use crate::mapping::{MapRequest, Transport};
use crate::schedule::DEFAULT_STOP_TIMEOUT;
use crate::sink::MappingSink;
use crate::snapshot::{GatewayReport, MapperSnapshot};
use crate::task::{PortMapperTask, Shutdown, Timing};

/// A background engine that maps ports on the home gateway and keeps them mapped.
///
/// Dropping the last handle (this and every [`Lease`]) releases all mappings in the background; [`stop`](Self::stop)
/// waits for that.
pub struct Mapper {
    engine: Arc<Engine>,
    client: Arc<dyn PortMapperClient>,
    timing: Timing,
    events: Arc<EventQueue>,
    leases: Mutex<Leases>,
}

impl fmt::Debug for Mapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapper").field("engine", &self.engine).field("timing", &self.timing).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Leases {
    last_id: u64,
    /// Leases that have not exited; those that have are swept out at the next change.
    sinks: Vec<Arc<MappingSink>>,
    /// Renewals of the leases that were swept out.
    past_renewals: u64,
}

impl Leases {
    fn sweep(&mut self) {
        let past = &mut self.past_renewals;
        self.sinks.retain(|sink| {
            let over = sink.has_exited();
            if over {
                *past += sink.snapshot().renewals;
            }
            !over
        });
    }
}

impl Mapper {
    /// Checks the configuration and starts the engine's thread. Does not touch the network.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` where the system gives no thread.
    pub fn start(config: Config) -> Result<Self, PortMappingError> {
        config.validate()?;
        let timing = Timing::from(&config);
        Self::start_with(Arc::new(RaceMapper::new(config)), timing)
    }

    /// Starts an engine over a client of the caller's own, for instance a mock in a test.
    ///
    /// Fails with `internal` where the system gives no thread.
    pub fn start_with(client: Arc<dyn PortMapperClient>, timing: Timing) -> Result<Self, PortMappingError> {
        let engine = Engine::start({
            let client = Arc::clone(&client);
            move || async move { client.settle().await }
        })?;
        Ok(Self { engine: Arc::new(engine), client, timing, events: Arc::default(), leases: Mutex::default() })
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // Nothing under this lock can panic half-way, so a poisoned list is still whole.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to map a port and returns at once; the lease tells how it goes.
    ///
    /// Fails with `invalid` for a bad request, or where another lease of this mapper has the same port and
    /// transport (two leases would release each other's mapping), and with `stopped`.
    pub fn map(&self, request: MapRequest) -> Result<Lease, PortMappingError> {
        self.engine.check()?;
        request.validate()?;
        let shutdown = Shutdown::child_of(self.engine.shutdown());
        let sink = {
            let mut leases = self.leases();
            leases.sweep();
            if leases.sinks.iter().any(|sink| same_port(sink.request(), &request)) {
                return Err(PortMappingError::invalid(
                    "port",
                    format!(
                        "{} port {} already has a lease of this mapper; stop that one first",
                        request.transport, request.internal_port
                    ),
                ));
            }
            leases.last_id += 1;
            let sink = Arc::new(MappingSink::new(leases.last_id, request, Arc::clone(&self.events)));
            leases.sinks.push(Arc::clone(&sink));
            sink
        };
        let client = Arc::clone(&self.client);
        let task = PortMapperTask::new(client, Arc::clone(&sink), request, self.timing, shutdown.clone());
        let on_end = {
            let sink = Arc::clone(&sink);
            move |error| sink.exited(&error)
        };
        self.engine.spawn(task.run(), on_end);
        Ok(Lease::new(Arc::clone(&self.engine), sink, shutdown))
    }

    /// The present state of the mapper and of every lease that has not exited.
    pub fn snapshot(&self) -> MapperSnapshot {
        let view = self.client.view();
        let stopped = self.engine.check().is_err();
        let (leases, past_renewals) = {
            let mut leases = self.leases();
            leases.sweep();
            let snapshots: Vec<_> = match self.engine.foreign() {
                true => Vec::new(),
                false => leases.sinks.iter().map(|sink| sink.snapshot()).collect(),
            };
            (snapshots, leases.past_renewals)
        };
        MapperSnapshot {
            gateway: view.path.as_ref().map(|path| path.gateway),
            local_address: view.path.map(|path| path.local_address),
            protocols: view.protocols,
            active: leases.iter().filter(|lease| lease.active).count(),
            renewals: past_renewals + leases.iter().map(|lease| lease.renewals).sum::<u64>(),
            events_dropped: self.events.dropped(),
            leases,
            stopped,
        }
    }

    /// Pulls the next event, waiting for it at most for `timeout`.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and its last event was pulled.
    pub async fn next_event(&self, timeout: impl Into<Option<Duration>>) -> Result<Event, PortMappingError> {
        if self.engine.foreign() {
            self.engine.check()?;
        }
        let limit = timeout.into();
        match self.engine.within(limit, self.events.pull()).await {
            Some(Some(event)) => Ok(event),
            Some(None) => Err(PortMappingError::stopped("the mapper is stopped, and no event is left")),
            None => Err(PortMappingError::timeout(format!("no event within {:?}", limit.unwrap_or_default()))),
        }
    }

    /// Asks by every configured protocol what the gateway offers; maps nothing.
    ///
    /// Fails with `unavailable` or `refused` where no protocol has an offer, the message naming each one's reason,
    /// with `transport`, and with `stopped`.
    pub async fn probe(&self) -> Result<GatewayReport, PortMappingError> {
        let report = self.survey().await?;
        report.require_offer()?;
        Ok(report)
    }

    /// As [`probe`](Self::probe), but a gateway that offers nothing is a report too, with each protocol's reason.
    ///
    /// Fails with `unavailable` where there is no gateway to ask, with `transport`, and with `stopped`.
    pub async fn survey(&self) -> Result<GatewayReport, PortMappingError> {
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.survey().await }).await?
    }

    /// Releases every mapping on the gateway and ends the engine's thread; waits for that, at most for `timeout`
    /// (default 5 s), after which it goes on in the background. May be called again; never fails.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) {
        let limit = timeout.into().unwrap_or(DEFAULT_STOP_TIMEOUT);
        if !self.engine.stop(limit).await {
            tracing::debug!(?limit, "the release of mappings goes on in the background");
        }
        self.events.close();
    }
}

/// Whether two requests would fight for one entry of the gateway's table.
fn same_port(one: &MapRequest, other: &MapRequest) -> bool {
    (one.internal_port, one.transport, one.family) == (other.internal_port, other.transport, other.family)
}

/// A lease together with the mapper that serves it alone.
#[derive(Debug)]
pub struct OpenPort {
    lease: Lease,
    mapper: Mapper,
}

impl OpenPort {
    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The mapper behind it.
    pub fn mapper(&self) -> &Mapper {
        &self.mapper
    }

    /// Releases the mapping and ends the engine; waits as [`Mapper::stop`] does.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) {
        self.mapper.stop(timeout).await;
    }
}

impl std::ops::Deref for OpenPort {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

/// Maps one port with the default configuration and waits for the mapping: start, map and ready in one line.
///
/// Fails as [`Mapper::start`], [`Mapper::map`] and [`Lease::ready`] do; then nothing is left behind.
///
/// ```no_run
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let port = portlease::open(4000, portlease::Transport::Udp).await?;
/// println!("reachable at {:?}", port.snapshot().external());
/// port.stop(None).await;
/// # Ok(())
/// # }
/// ```
pub async fn open(port: u16, transport: Transport) -> Result<OpenPort, PortMappingError> {
    let mapper = Mapper::start(Config::default())?;
    let lease = mapper.map(MapRequest::new(port, transport))?;
    lease.ready(None).await?;
    Ok(OpenPort { lease, mapper })
}
