//! The handle on one background engine that finds the gateway once and serves many leases.

use std::borrow::Borrow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::PortMapperClient;
use crate::client::race::RaceMapper;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{Engine, EngineRuntime, forked, seconds};
use crate::error::PortMappingError;
use crate::event::Event;
use crate::event_log::{EventLog, EventReader, PulledEvent};
use crate::lease::Lease;
use crate::mapping::MapRequest;
use crate::schedule::{DEFAULT_STOP_TIMEOUT, STOP_TIMEOUT_PER_LEASE};
use crate::sink::MappingSink;
use crate::sleep::SleepWatch;
use crate::snapshot::{GatewayReport, LeaseState, MapperSnapshot, Release};
use crate::task::{PortMapperTask, Shutdown, Signals, Timing};
use crate::world::World;

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
    world: World,
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

#[derive(Debug, Default)]
struct Leases {
    last_id: u64,
    /// Leases that have not left the gateway. Those that have are removed by the next call that uses the list.
    live: Vec<LiveLease>,
    /// Renewals of the leases that were removed.
    past_renewals: u64,
    /// Whether one of the leases that were removed may have left something on the gateway.
    unconfirmed: bool,
}

#[derive(Debug)]
struct LiveLease {
    sink: Arc<MappingSink>,
    shutdown: Shutdown,
}

impl Leases {
    fn sweep(&mut self) {
        let (past, unconfirmed) = (&mut self.past_renewals, &mut self.unconfirmed);
        self.live.retain(|lease| {
            let release = lease.sink.release();
            if release != Release::Pending {
                *past += lease.sink.snapshot().renewals;
                *unconfirmed |= release == Release::Unconfirmed;
            }
            release == Release::Pending
        });
    }

    /// How all leases of the mapper have left the gateway.
    fn release(&mut self) -> Release {
        self.sweep();
        match (self.live.is_empty(), self.unconfirmed) {
            (false, _) => Release::Pending,
            (true, true) => Release::Unconfirmed,
            (true, false) => Release::Released,
        }
    }
}

impl Mapper {
    /// Checks the configuration and starts the engine's thread. Does not touch the network.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` if the system cannot start a thread.
    pub fn start(config: Config) -> Result<Self, PortMappingError> {
        config.validate()?;
        let timing = Timing::from(&config);
        let events = Arc::<EventLog>::default();
        let world = World::new(Arc::clone(&events));
        let race = Arc::new(RaceMapper::in_world(config, world.clone()));
        let prepare = {
            let race = Arc::clone(&race);
            move || race.prepare()
        };
        Self::start_prepared(race, timing, events, world, prepare)
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
        let world = World::new(Arc::clone(&events));
        Self::start_prepared(client, timing, events, world, || {})
    }

    fn start_prepared(
        client: Arc<dyn PortMapperClient>,
        timing: Timing,
        events: Arc<EventLog>,
        world: World,
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
        let sleep_watch = SleepWatch::new(Clock::system(), world.clone());
        Ok(Self {
            engine,
            client,
            timing,
            events,
            world,
            sleep_watch,
            attending: AtomicBool::new(false),
            queue,
            leases,
        })
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        // Nothing under this lock can panic half-way, so a poisoned list is still whole.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to map a port and returns at once; the lease shows the progress.
    ///
    /// Fails with `invalid` for a bad request, and if another lease of this mapper has the same port or asks for the same
    /// external port over the same transport, because two such leases would release each other's mapping. Fails with
    /// `stopped` once the mapper is stopped. A lease that was stopped or dropped does not count: the new lease begins
    /// when the old one has ended.
    pub fn map(&self, request: MapRequest) -> Result<Lease, PortMappingError> {
        self.engine.check()?;
        request.validate()?;
        let shutdown = Shutdown::child_of(self.engine.shutdown());
        let (sink, predecessors) = {
            let mut leases = self.leases();
            leases.sweep();
            let mut predecessors = Vec::new();
            for lease in &leases.live {
                if let Some(clash) = clash(lease.sink.request(), &request) {
                    if !lease.shutdown.is_requested() {
                        return Err(clash);
                    }
                    predecessors.push(Arc::clone(&lease.sink));
                }
            }
            leases.last_id += 1;
            let events = Arc::clone(&self.events);
            let sink = Arc::new(MappingSink::with_clock(leases.last_id, request, events, Clock::system()));
            leases.live.push(LiveLease { sink: Arc::clone(&sink), shutdown: shutdown.clone() });
            (sink, predecessors)
        };
        let client = Arc::clone(&self.client);
        let (signals, repairs) = Signals::new(self.world.watch());
        let task = PortMapperTask::new(client, Arc::clone(&sink), request, self.timing, shutdown.clone());
        let on_end = {
            let sink = Arc::clone(&sink);
            move |error| sink.broken(&error)
        };
        let before = async move {
            for predecessor in predecessors {
                predecessor.wait_released().await;
            }
        };
        self.engine.spawn(task.heeding(signals).run_after(before), on_end);
        // Behind the task, which then does not wait for sockets to be opened.
        self.attend();
        Ok(Lease::new(Arc::clone(&self.engine), sink, shutdown, repairs))
    }

    /// Looks out for what makes the leases look again.
    fn attend(&self) {
        if let Some(watch) = self.sleep_watch.begin() {
            self.engine.spawn_aside(watch);
        }
        if !self.attending.swap(true, Ordering::Relaxed) {
            let (client, world) = (Arc::clone(&self.client), self.world.clone());
            self.engine.spawn_aside(async move {
                // In a task of its own, so that a panic is told. It ends with this one.
                let mut attending = JoinSet::new();
                attending.spawn(async move { client.attend().await });
                if let Some(Err(ended)) = attending.join_next().await
                    && ended.is_panic()
                {
                    let what = "changes of the network and restarts of the gateway are not noticed any more";
                    world.warn(&PortMappingError::internal(format!("{what}: {ended}")));
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
            let mut leases = self.leases();
            leases.sweep();
            let snapshots = leases.live.iter().map(|lease| lease.sink.snapshot());
            let snapshots: Vec<_> = snapshots.filter(|lease| lease.state != LeaseState::Exited).collect();
            (snapshots, leases.past_renewals)
        };
        MapperSnapshot {
            gateway: view.path.as_ref().and_then(|path| path.gateway),
            local_address: view.path.map(|path| path.local_address),
            protocols: view.protocols,
            active: leases.iter().filter(|lease| lease.active).count(),
            renewals: past_renewals + leases.iter().map(|lease| lease.renewals).sum::<u64>(),
            events_dropped: self.events.dropped(),
            leases,
            last_error: self.world.warning(),
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
        let report = self.report().await?;
        report.require_offer()?;
        Ok(report)
    }

    /// As [`probe`](Self::probe), but does not fail for a gateway that offers nothing: the report has the reason of each
    /// protocol.
    ///
    /// Fails with `unavailable` if there is no gateway to ask, with `transport`, and with `stopped`.
    pub async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        let client = Arc::clone(&self.client);
        self.engine.call(async move { client.report().await }).await?
    }

    /// Tells that the machine's network may have changed, for hosts that know before portlease does (Android and iOS tell
    /// their apps, sandboxes hide the network from them). Every lease looks again at once, and no lease waits for its next
    /// attempt. Returns at once; does nothing once the mapper is stopped, and in a forked child. It is needed nowhere else:
    /// portlease watches the network itself.
    pub fn network_changed(&self) {
        if !self.engine.foreign() {
            self.world.network_changed();
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
        if self.engine.foreign() { Release::Released } else { self.leases().release() }
    }

    /// A gateway deletes one mapping after another.
    fn default_stop_timeout(&self) -> Duration {
        if self.engine.foreign() {
            return DEFAULT_STOP_TIMEOUT;
        }
        let mut leases = self.leases();
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

/// One reader of a mapper's events, see [`Mapper::events`]. It does not keep the mapper running. Its clones share its
/// place: each event goes to one of them.
#[derive(Debug, Clone)]
#[must_use = "a reader does nothing until next or pull is called"]
pub struct Events {
    reader: EventReader,
    /// The wait must not keep the engine: the engine's end ends the wait.
    runtime: EngineRuntime,
}

impl Events {
    /// Waits for the next event, at most for `timeout`. Dropping the future loses no event.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and this reader has read its last event.
    pub async fn next(&self, timeout: impl Into<Option<Duration>>) -> Result<Event, PortMappingError> {
        Ok(self.pull(timeout).await?.take())
    }

    /// As [`next`](Self::next), but the event counts as read only when it is taken, see [`PulledEvent`].
    pub async fn pull(&self, timeout: impl Into<Option<Duration>>) -> Result<PulledEvent, PortMappingError> {
        let limit = timeout.into();
        if self.reader.is_foreign() {
            return Err(forked());
        }
        match self.runtime.within(limit, self.reader.pull()).await {
            Ok(event) => event.ok_or_else(|| PortMappingError::stopped("the mapper is stopped, and no event is left")),
            Err(alarm) => Err(alarm.error(|| format!("no event within {}", seconds(limit)))),
        }
    }
}

/// The error if two requests would use the same entry of the gateway's table.
fn clash(live: &MapRequest, new: &MapRequest) -> Option<PortMappingError> {
    if (live.transport, live.family) != (new.transport, new.family) {
        return None;
    }
    let transport = new.transport;
    if live.internal_port == new.internal_port {
        let message =
            format!("{transport} port {} has a lease of this mapper already; stop that first", new.internal_port);
        return Some(PortMappingError::invalid("internal_port", message));
    }
    (live.suggested_port() == new.suggested_port()).then(|| {
        let message = format!(
            "{transport} port {} outside is asked for by this mapper's lease on port {}; name another",
            new.suggested_port(),
            live.internal_port
        );
        PortMappingError::invalid("external_port", message)
    })
}
