//! The handle on one background engine that finds the gateway once and serves many leases.

mod events;
mod leases;

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub use self::events::Events;
use self::leases::{Leases, LiveLease, clash};
use crate::client::PortMapperClient;
use crate::client::families::Families;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{Engine, forked, seconds};
use crate::error::PortMappingError;
use crate::event::Event;
use crate::event_log::{EventLog, PulledEvent};
use crate::lease::Lease;
use crate::mapping::{AddressFamily, MapRequest, Protocol, Transport, whole_seconds};
use crate::net::route::NetworkPath;
use crate::schedule::{DEFAULT_STOP_TIMEOUT, STOP_TIMEOUT_PER_LEASE};
use crate::sink::MappingSink;
use crate::sleep::SleepWatch;
use crate::snapshot::{GatewayReport, LeaseSnapshot, LeaseState, MapperSnapshot, Release, TableEntry};
use crate::task::{PortMapperTask, Shutdown, Signals, Timing};
use crate::world::Worlds;

/// A background engine that maps ports on the home gateway and keeps them mapped.
///
/// The engine runs until the mapper and all of its [`Lease`]s are dropped; then it releases all mappings in the
/// background and ends. [`stop`](Self::stop) also waits until that is done.
///
/// A program that ends right after the drop, for instance at the end of `main`, may end before the release: then the
/// mappings stay on the gateway until their lifetimes end. Call [`stop`](Self::stop) first.
#[must_use = "dropping a mapper and its leases releases their mappings"]
pub struct Mapper {
    engine: Arc<Engine>,
    client: Arc<dyn PortMapperClient>,
    timing: Timing,
    events: Arc<EventLog>,
    worlds: Worlds,
    sleep_watch: SleepWatch,
    /// Whether the client attends to the world, which it does from the first lease on.
    attending: AtomicBool,
    /// The reader behind [`next_event`](Self::next_event), from the first call on.
    queue: OnceLock<Events>,
    leases: Mutex<Leases>,
}

impl fmt::Debug for Mapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapper").field("engine", &self.engine).field("timing", &self.timing).finish_non_exhaustive()
    }
}

/// Closes the event log when the engine ends, also by a panic, so that no reader waits for events that cannot come.
struct CloseOnDrop(Arc<EventLog>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Mapper {
    /// Checks the configuration and starts the engine's thread. Does not touch the network. Where the configuration names no
    /// gateway, [`PORTLEASE_GATEWAY`](crate::config::GATEWAY_VARIABLE) may.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` if the system cannot start a thread.
    pub fn start(config: Config) -> Result<Self, PortMappingError> {
        let config = config.with_environment()?;
        config.validate()?;
        let timing = Timing::from(&config);
        let events = Arc::<EventLog>::default();
        let worlds = Worlds::new(Arc::clone(&events));
        let families = Arc::new(Families::new(config, &worlds));
        let prepare = {
            let families = Arc::clone(&families);
            move || families.prepare()
        };
        Self::start_prepared(families, timing, events, worlds, prepare)
    }

    /// Starts an engine that uses the caller's client, for instance a mock in a test.
    ///
    /// ```
    /// use portlease::client::NullPortMapper;
    /// use portlease::task::Timing;
    /// use portlease::{ErrorKind, MapRequest, Mapper, Transport};
    /// use std::sync::Arc;
    ///
    /// let mapper = Mapper::start_with(Arc::new(NullPortMapper), Timing::default())?;
    /// let lease = mapper.map(MapRequest::new(4000, Transport::Udp))?;
    /// assert_eq!(portlease::wait(lease.ready(None)).unwrap_err().kind(), ErrorKind::Unavailable);
    /// # Ok::<(), portlease::PortMappingError>(())
    /// ```
    ///
    /// Fails with `internal` if the system cannot start a thread.
    pub fn start_with(client: Arc<dyn PortMapperClient>, timing: Timing) -> Result<Self, PortMappingError> {
        let events = Arc::<EventLog>::default();
        let worlds = Worlds::new(Arc::clone(&events));
        Self::start_prepared(client, timing, events, worlds, || {})
    }

    fn start_prepared(
        client: Arc<dyn PortMapperClient>,
        timing: Timing,
        events: Arc<EventLog>,
        worlds: Worlds,
        prepare: impl FnOnce() + Send + 'static,
    ) -> Result<Self, PortMappingError> {
        let settle = {
            let client = Arc::clone(&client);
            let closing = CloseOnDrop(Arc::clone(&events));
            move || async move {
                client.settle().await;
                drop(closing);
            }
        };
        let engine = Engine::start(prepare, settle)?;
        let (engine, queue, leases) = (Arc::new(engine), OnceLock::new(), Mutex::default());
        let sleep_watch = SleepWatch::new(Clock::system(), worlds.clone());
        Ok(Self {
            engine,
            client,
            timing,
            events,
            worlds,
            sleep_watch,
            attending: AtomicBool::new(false),
            queue,
            leases,
        })
    }

    fn lock_leases(&self) -> MutexGuard<'_, Leases> {
        // Nothing under this lock can panic half-way, so a poisoned list is still whole.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to map a port and returns at once; the lease shows the progress.
    ///
    /// Fails with `invalid` for a bad request, and if another lease of this mapper has the same port or asks for the same
    /// external port over the same transport and family, because two such leases would release each other's mapping. Fails with
    /// `stopped` once the mapper is stopped. A lease that was stopped or dropped, or that has ended by itself, does not
    /// count: the new lease begins when nothing of the old one is left.
    pub fn map(&self, request: MapRequest) -> Result<Lease, PortMappingError> {
        self.begin(request, |_| None)
    }

    /// The lease that exists for an equal request, or a new one as [`map`](Self::map) makes it. So a program may ask again for
    /// what it has, for instance when its configuration is read anew.
    ///
    /// Fails as [`map`](Self::map) does; a lease on the same port with other wishes is such a failure.
    pub fn ensure(&self, request: MapRequest) -> Result<Lease, PortMappingError> {
        self.begin(request, |live| live.lease())
    }

    /// Begins to map a port over UDP and over TCP: two leases, in this order. The transport of `request` does not matter. Either
    /// lease may fail without the other, and their external ports may differ unless the request is exact.
    ///
    /// Fails as [`map`](Self::map) does; then there is no lease.
    pub fn map_both(&self, request: MapRequest) -> Result<(Lease, Lease), PortMappingError> {
        let udp = MapRequest { transport: Transport::Udp, ..request.clone() };
        let tcp = MapRequest { transport: Transport::Tcp, ..request };
        // Before either begins: what begins has a number, asks the router, and has events.
        self.check_free(&udp)?;
        self.check_free(&tcp)?;
        Ok((self.map(udp)?, self.map(tcp)?))
    }

    /// Fails as [`map`](Self::map) does for a request that clashes with a live lease.
    fn check_free(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.engine.check()?;
        let mut leases = self.lock_leases();
        leases.sweep();
        let mut live = leases.live.iter().filter(|live| !live.shutdown.is_requested());
        live.find_map(|live| clash(live.sink.request(), request)).map_or(Ok(()), Err)
    }

    /// Handles of every lease that was not told to end, has not ended by itself, and is held by somebody; by number.
    pub fn leases(&self) -> Vec<Lease> {
        if self.engine.foreign() {
            return Vec::new();
        }
        // Outside the lock: a handle that turns out to be the last one releases its lease.
        let leases: Vec<_> = self.lock_leases().live.iter().map(LiveLease::lease).collect();
        leases.into_iter().flatten().collect()
    }

    /// A new lease, or what `find` makes of a live one with an equal request.
    fn begin(
        &self,
        request: MapRequest,
        find: impl Fn(&LiveLease) -> Option<Lease>,
    ) -> Result<Lease, PortMappingError> {
        self.engine.check()?;
        request.validate()?;
        let shutdown = Shutdown::child_of(self.engine.shutdown());
        let (signals, repairs) = Signals::new(self.worlds.of(request.family).watch());
        let (lease, sink, predecessors) = {
            let mut leases = self.lock_leases();
            leases.sweep();
            let mut predecessors = Vec::new();
            for live in &leases.live {
                if live.sink.request() == &request
                    && let Some(lease) = find(live)
                {
                    return Ok(lease);
                }
                if let Some(clash) = clash(live.sink.request(), &request) {
                    if !live.ends() {
                        return Err(clash);
                    }
                    predecessors.push(Arc::clone(&live.sink));
                }
            }
            leases.last_id += 1;
            let events = Arc::clone(&self.events);
            let sink = Arc::new(MappingSink::with_clock(leases.last_id, request.clone(), events, Clock::system()));
            let lease = Lease::new(Arc::clone(&self.engine), Arc::clone(&sink), shutdown.clone(), repairs);
            let (live, weak) = (Arc::clone(&sink), lease.downgrade());
            leases.live.push(LiveLease { sink: live, shutdown: shutdown.clone(), lease: weak });
            (lease, sink, predecessors)
        };
        let timing = Timing { ttl: request.ttl.map_or(self.timing.ttl, whole_seconds), ..self.timing };
        let task = PortMapperTask::new(Arc::clone(&self.client), Arc::clone(&sink), request, timing, shutdown);
        let before = async move {
            for predecessor in predecessors {
                predecessor.wait_released().await;
            }
        };
        self.engine.spawn(task.heeding(signals).run_after(before), move |error| sink.broken(&error));
        // Behind the task, which then does not wait for sockets to be opened.
        self.attend();
        Ok(lease)
    }

    /// Looks out for what makes the leases look again.
    fn attend(&self) {
        if let Some(watch) = self.sleep_watch.begin() {
            self.engine.spawn_aside(watch);
        }
        if !self.attending.swap(true, Ordering::Relaxed) {
            let (client, worlds) = (Arc::clone(&self.client), self.worlds.clone());
            self.engine.spawn_aside(async move {
                // In a task of its own, so that a panic is told. It ends with this one.
                let mut attending = JoinSet::new();
                attending.spawn(async move { client.attend().await });
                if let Some(Err(ended)) = attending.join_next().await
                    && ended.is_panic()
                {
                    let what = "changes of the network and restarts of the gateway are not noticed any more";
                    worlds.warn(&PortMappingError::internal(format!("{what}: {ended}")));
                }
            });
        }
    }

    /// Returns the present state of the mapper and of every lease that has not exited.
    pub fn snapshot(&self) -> MapperSnapshot {
        // In a forked child the locks below may be held for ever by a thread that did not come along.
        if self.engine.foreign() {
            return MapperSnapshot { stopped: true, ..MapperSnapshot::default() };
        }
        let view = self.client.view();
        let stopped = self.engine.check().is_err();
        let (leases, past_renewals) = {
            let mut leases = self.lock_leases();
            leases.sweep();
            let snapshots = leases.live.iter().map(|lease| lease.sink.snapshot());
            let snapshots: Vec<_> = snapshots.filter(|lease| lease.state != LeaseState::Exited).collect();
            (snapshots, leases.past_renewals)
        };
        MapperSnapshot {
            gateway: view.path.as_ref().and_then(NetworkPath::scoped_gateway),
            local_address: view.path.map(|path| path.local_address),
            protocols: view.protocols,
            active: leases.iter().filter(|lease| lease.active).count(),
            renewals: past_renewals + leases.iter().map(|lease| lease.renewals).sum::<u64>(),
            events_dropped: self.events.dropped(),
            leases,
            last_error: self.worlds.warning(),
            stopped,
        }
    }

    /// Waits for the next event, at most for `timeout`. All calls share one reader, so each event is given out once; for
    /// several readers see [`events`](Self::events). Dropping the future loses no event.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and its last event was given out.
    pub async fn next_event(&self, timeout: impl Into<Option<Duration>>) -> Result<Event, PortMappingError> {
        Ok(self.pull_event(timeout).await?.take())
    }

    /// As [`next_event`](Self::next_event), but the event counts as read only when it is taken, see [`PulledEvent`].
    pub async fn pull_event(&self, timeout: impl Into<Option<Duration>>) -> Result<PulledEvent, PortMappingError> {
        if self.engine.foreign() {
            return Err(forked());
        }
        self.queue.get_or_init(|| self.events()).pull(timeout).await
    }

    /// Returns a new reader of events. It gets the events that no reader has read yet, and then every event from now on,
    /// whatever other readers do. A reader that falls more than
    /// [`EVENT_LOG_LENGTH`](crate::event_log::EVENT_LOG_LENGTH) events behind loses the oldest; [`Event::dropped`] says
    /// how many.
    pub fn events(&self) -> Events {
        Events { reader: self.events.reader(), runtime: self.engine.runtime() }
    }

    /// Asks the gateway what it offers by each configured protocol; maps nothing.
    ///
    /// Fails with `unavailable` or `refused` if no protocol answers with an offer (the message names the reason of each),
    /// with `transport`, and with `stopped`.
    pub async fn probe(&self) -> Result<GatewayReport, PortMappingError> {
        self.probe_of(AddressFamily::Ipv4).await
    }

    /// As [`probe`](Self::probe), for the gateway of one family. For IPv6 it tells by what the router could be asked for pinholes, and
    /// not whether its firewall lets packets through without them.
    ///
    /// Fails as [`probe`](Self::probe) does; with `unavailable` also if this machine has no global IPv6 address.
    pub async fn probe_of(&self, family: AddressFamily) -> Result<GatewayReport, PortMappingError> {
        let report = self.report_of(family).await?;
        report.require_offer()?;
        Ok(report)
    }

    /// As [`probe`](Self::probe), but does not fail for a gateway that offers nothing: the report has the reason of each
    /// protocol.
    ///
    /// Fails with `unavailable` if there is no gateway to ask, with `transport`, and with `stopped`.
    pub async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        self.report_of(AddressFamily::Ipv4).await
    }

    /// As [`report`](Self::report), for the gateway of one family. For IPv6 it tells what the router would be asked for pinholes
    /// by, and not whether its firewall lets them through.
    ///
    /// Fails as [`report`](Self::report) does; with `unavailable` also if this machine has no global IPv6 address.
    pub async fn report_of(&self, family: AddressFamily) -> Result<GatewayReport, PortMappingError> {
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.report_of(family).await }).await?
    }

    /// The IPv4 address at which the internet sees this machine, without a lease of one's own. Waits at most for `timeout` (by default
    /// until every protocol has answered or is silent, about 2 s).
    ///
    /// A lease that is active has it already. Else NAT-PMP and UPnP are asked. PCP alone can tell an address only with a mapping: then
    /// UDP port 9 (discard; TCP port 9 if a lease has that) is mapped for a moment, as RFC 6887 11.6 says, and deleted also if the
    /// time is up before that. Without a router it is the machine's own address, if that is public. Whether the internet can reach
    /// it says [`AddressClass::of`](crate::AddressClass::of).
    ///
    /// Fails with `unavailable` if no protocol tells an address, with `refused`, `timeout`, `transport`, and with `stopped`.
    pub async fn external_address(&self, timeout: impl Into<Option<Duration>>) -> Result<IpAddr, PortMappingError> {
        self.engine.check()?;
        let known = self.snapshot().leases.iter().filter_map(LeaseSnapshot::external).find(SocketAddr::is_ipv4);
        if let Some(external) = known {
            return Ok(external.ip());
        }
        let (client, limit) = (Arc::clone(&self.client), timeout.into());
        let asked = self.engine.call(async move { client.external_address().await });
        match self.engine.within(limit, asked).await {
            Ok(answer) => answer?,
            Err(alarm) => Err(alarm.error(|| format!("no external address within {}", seconds(limit)))),
        }
    }

    /// Reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (at most 1024 entries).
    /// Only UPnP can read it. Many routers also list the mappings made by PCP and NAT-PMP; ports forwarded by hand are often left out.
    ///
    /// Fails with `unavailable` if there is no UPnP or no answer, with `refused` if the router does not show its table, with
    /// `transport`, and with `stopped`.
    pub async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.table().await }).await?
    }

    /// The entry of that table for one external port, whoever made it; nothing if there is none.
    ///
    /// Fails with `invalid` for port 0, and as [`table`](Self::table) does.
    pub async fn entry(
        &self,
        transport: Transport,
        external_port: u16,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        self.engine.check()?;
        PortMappingError::check_port("external_port", external_port)?;
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.entry(transport, external_port).await }).await?
    }

    /// Adds an entry to the router's table (UPnP alone) that forwards to any host of the network, for as long as its lifetime says,
    /// which counts in whole seconds; without one until somebody deletes it. Nobody renews it, and no lease holds it: for ports of
    /// this machine use [`map`](Self::map). An entry that is there and leads to the same port is set anew.
    ///
    /// Fails with `invalid` for port 0, a client that is not an IPv4 address, a remote host, a description that is too long, and
    /// for the external port of a lease of this process; with `refused` for a port that leads elsewhere and where the router says
    /// no, as most do for other hosts than the one that asks; otherwise as [`table`](Self::table) does.
    pub async fn add(&self, entry: TableEntry) -> Result<(), PortMappingError> {
        self.engine.check()?;
        entry.validate()?;
        self.check_external_port(entry.transport, entry.external_port)?;
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.add_entry(&entry).await }).await?
    }

    /// Deletes an entry of the router's table (UPnP alone), for what nobody holds any more, and answers with what it was; with
    /// nothing if the table has no such entry. An entry that forwards to another machine is deleted only if `any_host`
    /// is set.
    ///
    /// Fails with `invalid` for port 0 and for the mapping of a lease of this process, which is to be stopped instead; with
    /// `refused` for an entry of another machine and where the router says no; otherwise as [`table`](Self::table) does.
    pub async fn delete(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        self.engine.check()?;
        PortMappingError::check_port("external_port", external_port)?;
        self.check_external_port(transport, external_port)?;
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.delete_entry(transport, external_port, any_host).await }).await?
    }

    /// Fails with `invalid` for the external port of a lease of this mapper.
    fn check_external_port(&self, transport: Transport, external_port: u16) -> Result<(), PortMappingError> {
        // A pinhole is in no table of mapped ports.
        let is_it = |lease: &&LeaseSnapshot| {
            lease.family == AddressFamily::Ipv4
                && lease.transport == transport
                && lease.external_port() == Some(external_port)
        };
        if let Some(lease) = self.snapshot().leases.iter().find(is_it) {
            let port = lease.internal_port;
            let message = format!(
                "{external_port} is held by this mapper's lease on {transport} port {port}; stop that lease first"
            );
            return Err(PortMappingError::invalid("external_port", message));
        }
        Ok(())
    }

    /// Closes the IPv6 pinhole of this machine's own `port`, for what nobody holds any more, and answers with the protocol that has
    /// closed it. UPnP closes whatever is open there, and does not tell whether anything was. PCP closes what its nonce is known
    /// of, which [`state_dir`](Config::state_dir) may have on record. A running program that holds the pinhole opens it again at its
    /// next renewal.
    ///
    /// Fails with `invalid` for port 0 and for the port of a lease of this mapper, which is to be stopped instead; with
    /// `unavailable` if this machine has no IPv6 or no protocol can close it, with `refused`, `transport`, and with `stopped`.
    pub async fn close_pinhole(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
        self.engine.check()?;
        PortMappingError::check_port("port", port)?;
        let key = (AddressFamily::Ipv6, transport, port);
        if self.snapshot().leases.iter().any(|lease| (lease.family, lease.transport, lease.internal_port) == key) {
            let message =
                format!("{port} is held open by this mapper's lease on {transport} port {port}; stop that lease first");
            return Err(PortMappingError::invalid("port", message));
        }
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.close_pinhole(transport, port).await }).await?
    }

    /// Tells that the machine's network may have changed, for hosts that know before portlease does (Android and iOS tell
    /// their apps, sandboxes hide the network from them). Every lease looks again at once, and no lease waits for its next
    /// attempt. Returns at once; does nothing once the mapper is stopped, and in a forked child. It is needed nowhere else:
    /// portlease watches the network itself.
    pub fn network_changed(&self) {
        if !self.engine.foreign() {
            self.worlds.network_changed();
        }
    }

    /// Asks the engine to release every mapping and to end; does not wait.
    pub fn begin_stop(&self) {
        self.engine.begin_stop();
    }

    /// Releases every mapping on the gateway and ends the engine's thread, and waits for that, at most for `timeout`
    /// (default: 5 s, and 0.1 s more for each lease that is left). Returns [`Release::Pending`] if the engine has not ended
    /// by then; the release goes on in the background. Returns [`Release::Unconfirmed`] if one of its leases, also one that
    /// ended before, could not be released for certain. It may be called again.
    pub async fn stop(&self, timeout: impl Into<Option<Duration>>) -> Release {
        let limit = timeout.into().unwrap_or_else(|| self.default_stop_timeout());
        match self.engine.stop(limit).await {
            true => self.release(),
            false => Release::Pending,
        }
    }

    /// How the leases of an engine that has ended left the gateway.
    fn release(&self) -> Release {
        if self.engine.foreign() { Release::Released } else { self.lock_leases().release() }
    }

    /// A gateway deletes one mapping after another.
    fn default_stop_timeout(&self) -> Duration {
        if self.engine.foreign() {
            return DEFAULT_STOP_TIMEOUT;
        }
        let mut leases = self.lock_leases();
        leases.sweep();
        let left = u32::try_from(leases.live.len()).unwrap_or(u32::MAX);
        DEFAULT_STOP_TIMEOUT.saturating_add(STOP_TIMEOUT_PER_LEASE.saturating_mul(left))
    }

    /// Stops all of these mappers at once, as [`stop`](Self::stop) does, and waits for them, at most for `timeout` in total
    /// (by default as long as the one that may take longest). Returns the worst outcome: `pending` before `unconfirmed`
    /// before `released`.
    pub async fn stop_all(
        mappers: impl IntoIterator<Item = impl Borrow<Self>>,
        timeout: impl Into<Option<Duration>>,
    ) -> Release {
        let mappers: Vec<_> = mappers.into_iter().collect();
        mappers.iter().for_each(|mapper| mapper.borrow().begin_stop());
        let longest = || mappers.iter().map(|mapper| mapper.borrow().default_stop_timeout()).max();
        let limit = timeout.into().or_else(longest).unwrap_or_default();
        let begun = Instant::now();
        let mut worst = Release::Released;
        for mapper in &mappers {
            let release = mapper.borrow().stop(limit.saturating_sub(begun.elapsed())).await;
            worst = worst.max(release);
        }
        worst
    }
}
