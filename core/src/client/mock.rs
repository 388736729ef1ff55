//! A scripted client, for testing what is built on [`PortMapperClient`] without a network.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::port_mapper::PortMapperClient;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken};

/// One scripted answer: what, and after how long.
type Answer<T> = (Duration, Result<T, PortMappingError>);

/// A queue of answers for each verb, and a count of the calls. An empty queue answers `unavailable`.
///
/// Here an app is mapped, and the mapper releases the mapping at its end:
///
/// ```
/// use portlease::client::MockPortMapperClient;
/// use portlease::task::Timing;
/// use portlease::{Config, MapRequest, Mapper, Transport};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// let now = Duration::ZERO;
/// let request = MapRequest::new(4000, Transport::Udp);
/// let granted = MockPortMapperClient::mapping(request.clone(), ([203, 0, 113, 7].into(), 4000), Duration::from_secs(3600));
/// let client = Arc::new(MockPortMapperClient::default());
/// client.on_probe(now, Ok(())).on_install(now, Ok(granted));
///
/// let mapper = Mapper::start_with(Arc::clone(&client) as _, Timing::from(&Config::default()))?;
/// let lease = mapper.map(request)?;
/// let snapshot = portlease::wait(lease.ready(Duration::from_secs(5)))?;
/// assert_eq!(snapshot.external().unwrap().to_string(), "203.0.113.7:4000");
/// portlease::wait(mapper.stop(None));
/// assert_eq!((client.calls().install, client.calls().remove), (1, 1));
/// # Ok::<(), portlease::PortMappingError>(())
/// ```
#[derive(Debug, Default)]
pub struct MockPortMapperClient {
    script: Mutex<Script>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Script {
    probes: VecDeque<Answer<()>>,
    installs: VecDeque<Answer<PortMapping>>,
    renewals: VecDeque<Answer<PortMapping>>,
    removals: VecDeque<Answer<()>>,
    looks: VecDeque<Answer<Option<PortMapping>>>,
    abandons: VecDeque<Answer<()>>,
    calls: Calls,
    removed: Vec<SocketAddr>,
    requests: Vec<MapRequest>,
    granted: Vec<SocketAddr>,
    out_of_reach: Vec<SocketAddr>,
}

/// How often each verb was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calls {
    /// Calls of `probe`.
    pub probe: usize,
    /// Calls of `install`.
    pub install: usize,
    /// Calls of `renew`.
    pub renew: usize,
    /// Calls of `remove`.
    pub remove: usize,
    /// Calls of `verify`.
    pub verify: usize,
    /// Calls of `abandon`.
    pub abandon: usize,
}

impl MockPortMapperClient {
    /// A mapping as the mock's gateway would grant it.
    pub fn mapping(request: MapRequest, external: (Ipv4Addr, u16), lifetime: Duration) -> PortMapping {
        PortMapping {
            request,
            external: SocketAddr::from(external),
            requested_ttl: lifetime,
            lifetime: Some(lifetime),
            protocol: Protocol::Pcp,
            token: ProtocolToken::None,
        }
    }

    /// The next answer to `probe`, given after `delay`.
    pub fn on_probe(&self, delay: Duration, answer: Result<(), PortMappingError>) -> &Self {
        self.script().probes.push_back((delay, answer));
        self
    }

    /// The next answer to `install`, given after `delay`.
    pub fn on_install(&self, delay: Duration, answer: Result<PortMapping, PortMappingError>) -> &Self {
        self.script().installs.push_back((delay, answer));
        self
    }

    /// The next answer to `renew`, given after `delay`.
    pub fn on_renew(&self, delay: Duration, answer: Result<PortMapping, PortMappingError>) -> &Self {
        self.script().renewals.push_back((delay, answer));
        self
    }

    /// The next answer to `remove`, given after `delay`. Without one, `remove` succeeds at once.
    pub fn on_remove(&self, delay: Duration, answer: Result<(), PortMappingError>) -> &Self {
        self.script().removals.push_back((delay, answer));
        self
    }

    /// The next answer to `verify`, given after `delay`. Without one, `verify` finds nothing to say, at once.
    pub fn on_verify(&self, delay: Duration, answer: Result<Option<PortMapping>, PortMappingError>) -> &Self {
        self.script().looks.push_back((delay, answer));
        self
    }

    /// The next answer to `abandon`, given after `delay`. Without one, `abandon` succeeds at once.
    pub fn on_abandon(&self, delay: Duration, answer: Result<(), PortMappingError>) -> &Self {
        self.script().abandons.push_back((delay, answer));
        self
    }

    /// Ends one wait for `news`: the one that is going on, or else the next.
    pub fn bring_news(&self) {
        self.news.notify_one();
    }

    /// How often each verb was called so far.
    pub fn calls(&self) -> Calls {
        self.script().calls
    }

    /// What `remove` was asked to delete so far: external addresses and ports.
    pub fn removed(&self) -> Vec<SocketAddr> {
        self.script().removed.clone()
    }

    /// What `install` was asked for so far.
    pub fn requests(&self) -> Vec<MapRequest> {
        self.script().requests.clone()
    }

    /// As if the machine had gone to another network: what was granted so far is out of reach.
    pub fn leave(&self) -> &Self {
        let mut script = self.script();
        script.out_of_reach = script.granted.clone();
        drop(script);
        self
    }

    /// Answers that nobody has asked for yet.
    pub fn unused(&self) -> usize {
        let script = self.script();
        let grants = script.installs.len() + script.renewals.len() + script.looks.len();
        grants + script.probes.len() + script.removals.len() + script.abandons.len()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn play<T>(answer: Option<Answer<T>>, verb: &str) -> Result<T, PortMappingError> {
    let (delay, answer) = answer.unwrap_or_else(|| {
        (Duration::ZERO, Err(PortMappingError::unavailable(format!("the mock has no answer to {verb}"))))
    });
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    answer
}

#[async_trait]
impl PortMapperClient for MockPortMapperClient {
    async fn probe(&self) -> Result<(), PortMappingError> {
        let answer = {
            let mut script = self.script();
            script.calls.probe += 1;
            script.probes.pop_front()
        };
        play(answer, "probe").await
    }

    async fn install(&self, request: &MapRequest, _: Duration) -> Result<PortMapping, PortMappingError> {
        let answer = {
            let mut script = self.script();
            script.calls.install += 1;
            script.requests.push(request.clone());
            script.installs.pop_front()
        };
        let granted = play(answer, "install").await?;
        self.script().granted.push(granted.external);
        Ok(granted)
    }

    fn reaches(&self, mapping: &PortMapping) -> bool {
        !self.script().out_of_reach.contains(&mapping.external)
    }

    async fn renew(&self, _: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let answer = {
            let mut script = self.script();
            script.calls.renew += 1;
            script.renewals.pop_front()
        };
        play(answer, "renew").await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let answer = {
            let mut script = self.script();
            script.removed.push(mapping.external);
            script.calls.remove += 1;
            script.removals.pop_front()
        };
        play(answer.or(Some((Duration::ZERO, Ok(())))), "remove").await
    }

    async fn verify(&self, _: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        let answer = {
            let mut script = self.script();
            script.calls.verify += 1;
            script.looks.pop_front()
        };
        play(answer.or(Some((Duration::ZERO, Ok(None)))), "verify").await
    }

    async fn abandon(&self, _: &MapRequest) -> Result<(), PortMappingError> {
        let answer = {
            let mut script = self.script();
            script.calls.abandon += 1;
            script.abandons.pop_front()
        };
        play(answer.or(Some((Duration::ZERO, Ok(())))), "abandon").await
    }

    async fn news(&self) {
        self.news.notified().await;
    }
}
