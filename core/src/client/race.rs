//! All protocols at once: the first usable answer wins, and nothing that comes later is left on the gateway.

mod contest;
mod contestant;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::port_mapper::{GatewayView, PortMapperClient};
use crate::config::Config;
use crate::error::{ErrorKind, PortMappingError, reasons};
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken};
use crate::net::address::AddressClass;
use crate::net::route::{NetworkPath, find_path};
use crate::schedule::MAX_REFUSAL_HOLD;
use crate::snapshot::{GatewayReport, ProtocolReport};
use contest::{Failure, Wanted, contest};
use contestant::{Contestant, behind_decided, contestants};

/// How the gateway and the clients for its protocols are found.
type Finder = Box<dyn Fn() -> Result<(NetworkPath, Vec<Contestant>), PortMappingError> + Send + Sync>;

/// Composes the configured protocols: races them for the first mapping and stays with the winner. [`Mapper::start`] uses
/// one.
///
/// ```no_run
/// use portlease::Config;
/// use portlease::client::{PortMapperClient, RaceMapper};
///
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let race = RaceMapper::new(Config::default());
/// for report in race.report().await?.protocols {
///     println!("{}: {:?}", report.protocol, report.outcome);
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`Mapper::start`]: crate::Mapper::start
pub struct RaceMapper {
    find: Finder,
    state: Mutex<State>,
    wanted: Arc<Wanted>,
    /// Contests and the releases of late losers, which outlive the call that began them.
    behind: TaskTracker,
}

/// What is known about the gateway and its protocols.
#[derive(Default)]
struct State {
    path: Option<NetworkPath>,
    contestants: Option<Arc<[Contestant]>>,
    /// Nothing answered: the path is to be looked for anew, because it may be another by now.
    stale: bool,
    /// The protocol that won; it is asked first until it fails.
    decided: Option<Protocol>,
    seen: Vec<Protocol>,
    /// Refusals that hold for a while by the gateway's word (RFC 6887 7.4).
    holds: HashMap<(Protocol, MapRequest), (Instant, PortMappingError)>,
}

impl std::fmt::Debug for RaceMapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("RaceMapper")
            .field("path", &state.path)
            .field("decided", &state.decided)
            .field("seen", &state.seen)
            .finish_non_exhaustive()
    }
}

impl RaceMapper {
    /// A race by `config`, which must be valid. The gateway is looked for at the first call, and again after
    /// an attempt that nothing answered.
    pub fn new(config: Config) -> Self {
        Self::with_finder(Box::new(move || {
            let path = find_path(&config)?;
            tracing::debug!(?path, "gateway found");
            let contestants = contestants(&config, &path);
            Ok((path, contestants))
        }))
    }

    fn with_finder(find: Finder) -> Self {
        Self { find, state: Mutex::default(), wanted: Arc::default(), behind: TaskTracker::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is a single assignment, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contestants(&self) -> Result<Arc<[Contestant]>, PortMappingError> {
        let known = |state: &State| state.contestants.clone().filter(|_| !state.stale);
        if let Some(contestants) = known(&self.state()) {
            return Ok(contestants);
        }
        let (path, contestants) = (self.find)()?;
        let mut state = self.state();
        state.stale = false;
        // The clients stay as long as the path does: they know of requests that are still under way.
        if let Some(contestants) = known(&state).filter(|_| state.path.as_ref() == Some(&path)) {
            return Ok(contestants);
        }
        let contestants: Arc<[Contestant]> = contestants.into();
        *state = State { path: Some(path), contestants: Some(Arc::clone(&contestants)), ..State::default() };
        Ok(contestants)
    }

    /// The client that made `mapping`.
    fn maker(&self, mapping: &PortMapping) -> Result<Contestant, PortMappingError> {
        self.contestants()?.iter().find(|contestant| contestant.protocol == mapping.protocol).cloned().ok_or_else(
            || {
                PortMappingError::internal(format!(
                    "there is no client for {}, which made the mapping",
                    mapping.protocol
                ))
            },
        )
    }

    /// A refusal that still holds, with what is left of its time.
    fn held(&self, protocol: Protocol, request: &MapRequest) -> Option<PortMappingError> {
        let now = Instant::now();
        let mut state = self.state();
        state.holds.retain(|_, (until, _)| *until > now);
        state.holds.get(&(protocol, *request)).map(|(until, error)| {
            PortMappingError::refused_for(error.to_string(), until.saturating_duration_since(now))
        })
    }

    fn remember_refusal(&self, failure: &Failure, request: &MapRequest) {
        if let Some(hold) = failure.error.retry_after() {
            let until = Instant::now() + hold.min(MAX_REFUSAL_HOLD);
            self.state().holds.insert((failure.protocol, *request), (until, failure.error.clone()));
        }
    }

    fn saw(&self, protocol: Protocol) {
        let mut state = self.state();
        if !state.seen.contains(&protocol) {
            state.seen.push(protocol);
        }
    }

    /// Lets the contestants race in a task of their own, so that neither a loser's late mapping nor a winner's
    /// mapping that nobody waits for any more is left on the gateway.
    async fn race(
        &self,
        contestants: Vec<Contestant>,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, Vec<Failure>> {
        let (answer, outcome) = oneshot::channel();
        self.behind.spawn(contest(contestants, *request, ttl, Arc::clone(&self.wanted), answer));
        outcome.await.unwrap_or_else(|_| Err(vec![no_outcome()]))
    }

    /// A host whose own address is public, and to which no gateway answers, stands in no NAT.
    fn own_public_address(&self, request: &MapRequest, ttl: Duration) -> Option<PortMapping> {
        let address = self.state().path.as_ref()?.local_address;
        (AddressClass::of(address) == AddressClass::Public
            && (!request.exact || request.suggested_port() == request.internal_port))
            .then(|| PortMapping {
                request: *request,
                external: (address, request.internal_port).into(),
                requested_ttl: ttl,
                lifetime: Some(ttl),
                protocol: Protocol::None,
                token: ProtocolToken::None,
            })
    }

    /// Everything failed: remember what holds, look for the gateway anew next time, and say why.
    fn lost(&self, failures: &[Failure], request: &MapRequest) -> PortMappingError {
        for failure in failures {
            self.remember_refusal(failure, request);
        }
        let error = combine(failures, request);
        let mut state = self.state();
        state.decided = None;
        state.stale |= error.kind() != ErrorKind::Refused;
        error
    }
}

fn no_outcome() -> Failure {
    let error = PortMappingError::internal("the race of the protocols ended without an outcome");
    Failure { protocol: Protocol::None, alive: true, error }
}

/// One error out of the failures of all protocols: a refusal says more than silence, and contact more than none.
fn combine(failures: &[Failure], request: &MapRequest) -> PortMappingError {
    let context = format!("{} port {} could not be mapped", request.transport, request.internal_port);
    let message = format!("{context}: {}", reasons(failures.iter().map(|failure| &failure.error)));
    let has = |kind| failures.iter().any(|failure| failure.error.kind() == kind);
    if has(ErrorKind::Internal) {
        PortMappingError::internal(message)
    } else if has(ErrorKind::Refused) {
        // Only where every protocol says for how long is it useless to come back earlier.
        let holds: Option<Vec<Duration>> = failures.iter().map(|failure| failure.error.retry_after()).collect();
        match holds.and_then(|holds| holds.into_iter().min()) {
            Some(hold) => PortMappingError::refused_for(message, hold),
            None => PortMappingError::refused(message),
        }
    } else if failures.iter().any(|failure| failure.alive && failure.error.kind() == ErrorKind::Timeout) {
        PortMappingError::timeout(message)
    } else if let Some(source) = common_cause(failures) {
        // The cause is told once, as the source.
        let without: Vec<String> = failures.iter().map(|failure| failure.error.to_string()).collect();
        PortMappingError::Transport { message: format!("{context}: {}", without.join("; ")), source: Some(source) }
    } else if !failures.is_empty() && failures.iter().all(|failure| failure.error.kind() == ErrorKind::Transport) {
        PortMappingError::Transport { message, source: None }
    } else {
        PortMappingError::unavailable(message)
    }
}

/// The system's error, if every protocol failed because of the same one.
fn common_cause(failures: &[Failure]) -> Option<Arc<io::Error>> {
    let mut causes = failures.iter().map(|failure| failure.error.cause());
    let first = causes.next()??;
    causes.all(|cause| cause.is_some_and(|cause| cause.to_string() == first.to_string())).then(|| Arc::clone(first))
}

#[async_trait]
impl PortMapperClient for RaceMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.report().await?.require_offer()
    }

    /// So that a PCP gateway is one round trip away.
    fn install_is_probe(&self) -> bool {
        true
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        let contestants = self.contestants()?;
        let mut failures = Vec::new();
        let mut free = Vec::new();
        for contestant in contestants.iter() {
            match self.held(contestant.protocol, request) {
                Some(error) => failures.push(Failure { protocol: contestant.protocol, alive: true, error }),
                None => free.push(contestant.clone()),
            }
        }
        if let Some(decided) = self.state().decided {
            free = behind_decided(free, decided);
        }
        if !free.is_empty() {
            match self.race(free, request, ttl).await {
                Ok(mapping) => {
                    self.state().decided = Some(mapping.protocol);
                    self.saw(mapping.protocol);
                    return Ok(mapping);
                }
                Err(lost) => failures.extend(lost),
            }
        }
        let error = self.lost(&failures, request);
        if error.kind() == ErrorKind::Unavailable
            && let Some(mapping) = self.own_public_address(request, ttl)
        {
            return Ok(mapping);
        }
        Err(error)
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        if mapping.protocol == Protocol::None {
            // Still our own address? Then it is still reachable.
            let (path, _) = (self.find)()?;
            return match path.local_address == mapping.external.ip() {
                true => Ok(mapping.clone()),
                false => {
                    Err(PortMappingError::unavailable(format!("this machine no longer has {}", mapping.external.ip())))
                }
            };
        }
        self.maker(mapping)?.client.renew(mapping).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(());
        }
        self.wanted.remove(mapping);
        self.maker(mapping)?.client.remove(mapping).await
    }

    async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        let contestants = self.contestants()?;
        let mut asked = JoinSet::new();
        for (position, contestant) in contestants.iter().cloned().enumerate() {
            asked.spawn(async move { (position, contestant.protocol, contestant.client.probe_protocol().await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(position, ..)| *position);
        for (_, protocol, _) in answers.iter().filter(|(_, _, outcome)| outcome.is_ok()) {
            self.saw(*protocol);
        }
        if answers.iter().all(|(_, _, outcome)| outcome.is_err()) {
            self.state().stale = true;
        }
        let reports = answers.into_iter().map(|(_, protocol, outcome)| ProtocolReport { protocol, outcome });
        Ok(GatewayReport::new(self.state().path.clone()).protocols(reports.collect::<Vec<_>>()))
    }

    fn view(&self) -> GatewayView {
        let state = self.state();
        GatewayView { path: state.path.clone(), protocols: state.seen.clone() }
    }

    async fn settle(&self) {
        self.behind.close();
        self.behind.wait().await;
        self.behind.reopen();
    }
}

#[cfg(test)]
#[path = "race/tests.rs"]
mod tests;
