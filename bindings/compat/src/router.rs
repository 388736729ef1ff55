//! One gateway and the leases on it. Both libraries ask the same leases, so that a program which maps a port by both has one
//! mapping.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portlease::config::{MAX_DESCRIPTION_LENGTH, MAX_TTL, MIN_TTL, default_state_dir};
use portlease::net::route::{NetworkPath, find_path};
use portlease::{
    Config, ErrorKind, Lease, LeaseSnapshot, LeaseState, MapRequest, Mapper, PortMappingError, Release, TableEntry,
    Transport,
};
use portlease_host::thread::{wait, without_signals};

/// How long a call that maps a port waits at most: more than core's own deadlines come to (a search, and a climb down the ladder
/// of what a UPnP router accepts).
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// For how long an external address that was told is told again: a program asks for it several times as it begins.
const ADDRESS_FRESH: Duration = Duration::from_secs(10);
/// Lower ports belong to services of the system.
const FIRST_USER_PORT: u16 = 1024;
/// For how long a router without UPnP is not searched for it again, which takes seconds each time.
const WITHOUT_UPNP: Duration = Duration::from_secs(60);

/// Which library a program asks by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    Miniupnpc,
    Natpmp,
}

/// A port of this machine that is to be reached from outside.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) transport: Transport,
    pub(crate) external_port: u16,
    pub(crate) internal_port: u16,
    /// `None`: for as long as the program lives.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) description: Option<String>,
}

impl Wish {
    fn request(&self) -> MapRequest {
        // What was asked for without end gets the longest time that portlease asks for, and is renewed.
        let lifetime = self.lifetime.unwrap_or(MAX_TTL).clamp(MIN_TTL, MAX_TTL);
        let request =
            MapRequest::new(self.internal_port, self.transport).external_port(self.external_port).ttl(lifetime);
        match &self.description {
            Some(text) => request.description(shown(text)),
            None => request,
        }
    }
}

/// A description as every router takes it.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION_LENGTH).collect()
}

/// A lease, and for whom it is held.
#[derive(Debug)]
struct Held {
    lease: Lease,
    holders: Vec<Library>,
}

/// A transport and an internal port.
type Port = (Transport, u16);

/// One gateway, for as long as the process lives.
#[derive(Debug)]
pub(crate) struct Router {
    config: Config,
    mapper: Mapper,
    held: Mutex<HashMap<Port, Held>>,
    told: Mutex<Option<(IpAddr, Instant)>>,
    /// When the router was searched for UPnP in vain.
    without_upnp: Mutex<Option<(Instant, PortMappingError)>>,
    /// The table as it was when the program last began to read it.
    kept_table: Mutex<Arc<Vec<TableEntry>>>,
}

/// A lease that was asked for, and how to wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) lease: Lease,
    /// It was not there before.
    new: bool,
    /// The library did not hold it before.
    joined: bool,
}

impl Asked {
    /// Whether the lease was there before, for either library.
    pub(crate) const fn was_there(&self) -> bool {
        !self.new
    }

    /// Whether the library has held the lease since before it asked: then it has something to lose.
    pub(crate) const fn was_held(&self) -> bool {
        !self.joined
    }

    /// The state with the mapping. A lease that waits for its next attempt makes it at once.
    pub(crate) async fn answer(&self) -> Result<LeaseSnapshot, PortMappingError> {
        let now = self.lease.snapshot();
        match now.state {
            _ if now.active => Ok(now),
            LeaseState::Idle | LeaseState::Revoked if !self.new => self.lease.repair(ANSWER_DEADLINE).await,
            _ => self.lease.ready(ANSWER_DEADLINE).await,
        }
    }
}

impl Router {
    /// Starts the engine for a gateway. Sends nothing. Fails as [`Mapper::start`].
    pub(crate) fn start(gateway: Option<Ipv4Addr>) -> Result<Self, PortMappingError> {
        let mut config = Config::default();
        if let Some(gateway) = gateway {
            config = config.gateway(IpAddr::V4(gateway));
        }
        // Without a place for state a crash costs a mapping that stays until its lifetime ends.
        if let Ok(Some(folder)) = default_state_dir() {
            config = config.state_dir(folder);
        }
        let mapper = without_signals(|| Mapper::start(config.clone()))?;
        let (held, told, without_upnp, kept_table) = Default::default();
        Ok(Self { config, mapper, held, told, without_upnp, kept_table })
    }

    /// The way to the gateway by the system's tables.
    pub(crate) fn path(&self) -> Result<NetworkPath, PortMappingError> {
        find_path(&self.config.clone().with_environment()?)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Port, Held>> {
        // Nothing under this lock can stop half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a port, or finds it asked for already. Sends nothing itself, and does not wait.
    ///
    /// Fails as [`Mapper::map`].
    pub(crate) fn ask(&self, library: Library, wish: &Wish) -> Result<Asked, PortMappingError> {
        let port = (wish.transport, wish.internal_port);
        let mut held = self.held();
        if let Some(known) = held.get_mut(&port).filter(|known| known.lease.state() != LeaseState::Exited) {
            let joined = !known.holders.contains(&library);
            if joined {
                known.holders.push(library);
            }
            return Ok(Asked { lease: known.lease.clone(), new: false, joined });
        }
        let lease = self.mapper.map(wish.request())?;
        held.insert(port, Held { lease: lease.clone(), holders: vec![library] });
        Ok(Asked { lease, new: true, joined: true })
    }

    /// The library has no use for the lease any more. If nobody has, the lease ends, and the answer is the lease, for callers that
    /// wait for that.
    pub(crate) fn let_go(&self, library: Library, lease: &Lease) -> Option<Lease> {
        let request = lease.request();
        let port = (request.transport, request.internal_port);
        let mut held = self.held();
        let known = held.get_mut(&port).filter(|known| known.lease.id() == lease.id())?;
        known.holders.retain(|holder| *holder != library);
        if !known.holders.is_empty() {
            return None;
        }
        let unused = held.remove(&port).map(|held| held.lease)?;
        // As long as nobody else can ask for the port: a lease that lives is in the way of the next one.
        unused.begin_stop();
        Some(unused)
    }

    /// The lease that has, or else wishes for, this external port.
    pub(crate) fn at(&self, transport: Transport, external_port: u16) -> Option<Lease> {
        let held = self.held();
        let leases = || held.values().map(|held| &held.lease).filter(|lease| lease.request().transport == transport);
        let has = |lease: &&Lease| lease.external_port() == Some(external_port);
        let wishes = |lease: &&Lease| !lease.active() && lease.request().suggested_port() == external_port;
        leases().find(has).or_else(|| leases().find(wishes)).cloned()
    }

    /// The external port that is wished for, or the next one that no lease of another internal port has or wishes for: two leases
    /// with one wish there cannot be.
    pub(crate) fn free_port(&self, wish: &Wish) -> u16 {
        let held = self.held();
        let others = || held.iter().filter(|(port, _)| **port != (wish.transport, wish.internal_port));
        let leases =
            || others().map(|(_, held)| &held.lease).filter(|lease| lease.request().transport == wish.transport);
        let is_free = |port: &u16| {
            !leases().any(|lease| lease.external_port() == Some(*port) || lease.request().suggested_port() == *port)
        };
        let mut ports = (wish.external_port..=u16::MAX).chain(FIRST_USER_PORT..wish.external_port);
        ports.find(is_free).unwrap_or(wish.external_port)
    }

    /// The leases of a library.
    pub(crate) fn of(&self, library: Library) -> Vec<Lease> {
        let held = self.held();
        held.values().filter(|held| held.holders.contains(&library)).map(|held| held.lease.clone()).collect()
    }

    /// The lease on a port of this machine.
    pub(crate) fn on(&self, transport: Transport, internal_port: u16) -> Option<Lease> {
        self.held().get(&(transport, internal_port)).map(|held| held.lease.clone())
    }

    /// What every lease looks like now, by internal port.
    pub(crate) fn leases(&self) -> Vec<LeaseSnapshot> {
        let mut leases: Vec<_> = self.held().values().map(|held| held.lease.snapshot()).collect();
        leases.sort_by_key(|lease| (lease.internal_port, lease.transport));
        leases
    }

    /// Takes up what an earlier program has left on record for the port, and deletes it. Answers with the external port.
    pub(crate) async fn forget(&self, transport: Transport, port: u16) -> Result<Option<u16>, PortMappingError> {
        let lease = self.mapper.map(MapRequest::new(port, transport).external_port(port).ttl(MAX_TTL))?;
        let there = lease.ready(ANSWER_DEADLINE).await;
        lease.stop(None).await;
        there.map(|there| there.external_port())
    }

    /// The address at which the internet sees this machine.
    pub(crate) async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        if let Some((address, since)) = *self.told()
            && since.elapsed() < ADDRESS_FRESH
        {
            return Ok(address);
        }
        let address = self.mapper.external_address(ANSWER_DEADLINE).await?;
        *self.told() = Some((address, Instant::now()));
        Ok(address)
    }

    fn told(&self) -> MutexGuard<'_, Option<(IpAddr, Instant)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Mapper::table`].
    pub(crate) fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        self.by_upnp(|| wait(self.mapper.table()))
    }

    /// Keeps what a table looked like for a program that reads it line by line.
    pub(crate) fn keep_table(&self, table: Arc<Vec<TableEntry>>) {
        *self.kept_table.lock().unwrap_or_else(PoisonError::into_inner) = table;
    }

    /// The table that was kept last.
    pub(crate) fn kept_table(&self) -> Arc<Vec<TableEntry>> {
        Arc::clone(&self.kept_table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// See [`Mapper::entry`].
    pub(crate) fn entry(&self, transport: Transport, port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        self.by_upnp(|| wait(self.mapper.entry(transport, port)))
    }

    /// See [`Mapper::add`].
    pub(crate) fn add(&self, entry: TableEntry) -> Result<(), PortMappingError> {
        self.by_upnp(|| wait(self.mapper.add(entry)))
    }

    /// See [`Mapper::delete`]. A user who asks by hand means the entry, whatever host it leads to.
    pub(crate) fn delete(&self, transport: Transport, port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        self.by_upnp(|| wait(self.mapper.delete(transport, port, true)))
    }

    /// Asks what a router tells by UPnP alone.
    fn by_upnp<T>(&self, ask: impl FnOnce() -> Result<T, PortMappingError>) -> Result<T, PortMappingError> {
        let known = || self.without_upnp.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, error)) = &*known()
            && since.elapsed() < WITHOUT_UPNP
        {
            return Err(error.clone());
        }
        let answer = ask();
        let silent = answer.as_ref().err().filter(|error| error.kind() == ErrorKind::Unavailable);
        *known() = silent.map(|error| (Instant::now(), error.clone()));
        answer
    }

    /// Leaves everything to its lifetime and ends the engines; waits for that at most for `patience`.
    pub(crate) fn leave_all(routers: &[&'static Self], patience: Duration) {
        for router in routers {
            router.held().values().for_each(|held| held.lease.begin_detach());
        }
        let mappers = routers.iter().map(|router| &router.mapper);
        // What it has not brought to an end by then ends with the process.
        let (Release::Released | Release::Unconfirmed | Release::Pending) =
            portlease::wait(Mapper::stop_all(mappers, patience));
    }
}
