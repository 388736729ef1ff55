//! Scripted clients, and a race of three of them.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::client::mock::MockPortMapperClient;
use crate::client::port_mapper::PortMapperClient;
use crate::client::race::contestant::ProtocolClient;
use crate::client::race::*;
use crate::mapping::{Protocol, Transport};
use crate::net::route::NetworkPath;
use crate::schedule::{NAT_PMP_HEDGE, PCP_DEADLINE, UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP};
use crate::snapshot::ProtocolOffer;

pub(super) const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const MS: Duration = Duration::from_millis(1);

/// A scripted client that also counts what the script has no verb for.
#[derive(Default)]
pub(super) struct Racer {
    script: MockPortMapperClient,
    /// The answers to `abandon`; without one it succeeds at once.
    abandons: Mutex<VecDeque<(Duration, Result<(), PortMappingError>)>>,
    abandoned: AtomicUsize,
    verified: AtomicUsize,
    settled: AtomicUsize,
    attended: AtomicUsize,
    closed: AtomicUsize,
    /// How often another client has had what this one has made.
    let_go: AtomicUsize,
    /// Whether it closes pinholes of other protocols.
    pub(super) closes: AtomicBool,
    pub(super) news: Notify,
    pub(super) restarts: Notify,
}

impl Deref for Racer {
    type Target = MockPortMapperClient;

    fn deref(&self) -> &MockPortMapperClient {
        &self.script
    }
}

impl Racer {
    pub(super) fn on_abandon(&self, delay: Duration, answer: Result<(), PortMappingError>) -> &Self {
        self.abandons.lock().unwrap().push_back((delay, answer));
        self
    }

    pub(super) fn abandoned(&self) -> usize {
        self.abandoned.load(Relaxed)
    }

    pub(super) fn verified(&self) -> usize {
        self.verified.load(Relaxed)
    }

    pub(super) fn attended(&self) -> usize {
        self.attended.load(Relaxed)
    }

    pub(super) fn closed(&self) -> usize {
        self.closed.load(Relaxed)
    }

    pub(super) fn has_let_go(&self) -> usize {
        self.let_go.load(Relaxed)
    }

    pub(super) fn settled(&self) -> usize {
        self.settled.load(Relaxed)
    }
}

#[async_trait]
impl PortMapperClient for Racer {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.script.probe().await
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        self.script.install(request, ttl).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.script.renew(mapping).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.script.remove(mapping).await
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        self.verified.fetch_add(1, Relaxed);
        Ok(Some(mapping.clone()))
    }

    async fn abandon(&self, _: &MapRequest) -> Result<(), PortMappingError> {
        self.abandoned.fetch_add(1, Relaxed);
        let answer = self.abandons.lock().unwrap().pop_front();
        let Some((delay, answer)) = answer else { return Ok(()) };
        tokio::time::sleep(delay).await;
        answer
    }

    async fn news(&self) {
        self.news.notified().await;
    }

    async fn settle(&self) {
        self.settled.fetch_add(1, Relaxed);
    }
}

#[async_trait]
impl ProtocolClient for Racer {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        self.probe().await?;
        Ok(ProtocolOffer { external_address: None, device: None, round_trip: MS })
    }

    /// Answers as a scripted probe does, so that a script for renewals has the renewals of leases alone.
    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.probe().await.map(|()| mapping.clone())
    }

    async fn close(&self, _: &PortMapping) -> Result<(), PortMappingError> {
        self.closed.fetch_add(1, Relaxed);
        self.closes.load(Relaxed).then_some(()).ok_or_else(|| PortMappingError::unavailable("no service"))
    }

    fn let_go(&self, _: &PortMapping) {
        self.let_go.fetch_add(1, Relaxed);
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        self.attended.fetch_add(1, Relaxed);
        loop {
            self.restarts.notified().await;
            unsure();
        }
    }
}

type Clients = [Arc<Racer>; 3];

/// What the finder finds.
pub(super) struct Network {
    paths: Result<Vec<NetworkPath>, PortMappingError>,
    clients: Vec<(NetworkPath, Clients)>,
    looked_for: usize,
}

impl Network {
    fn contestants(&self, path: &NetworkPath) -> Vec<Contestant> {
        let Some((_, clients)) = self.clients.iter().rev().find(|(of, _)| of == path) else { return Vec::new() };
        if path.gateway.is_none() {
            return Vec::new();
        }
        let hedges = [(Duration::ZERO, Duration::ZERO), (NAT_PMP_HEDGE, NAT_PMP_HEDGE)];
        let hedges = hedges.into_iter().chain([(UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP)]);
        let contestants = Protocol::ALL.into_iter().zip(clients).zip(hedges);
        let contestants = contestants.map(|((protocol, client), (hedge, hedge_behind_alive))| Contestant {
            protocol,
            client: Arc::clone(client) as _,
            at: Arc::new(path.clone()),
            member: None,
            listens: protocol != Protocol::NatPmp,
            install_is_probe: protocol == Protocol::Pcp,
            proven: false,
            head_start: Duration::ZERO,
            hedge,
            hedge_behind_alive,
        });
        contestants.collect()
    }
}

/// A race of three scripted clients on a paused clock.
pub(super) struct Setup {
    pub(super) race: Arc<RaceMapper>,
    network: Arc<Mutex<Network>>,
    pub(super) world: World,
    pub(super) pcp: Arc<Racer>,
    pub(super) nat_pmp: Arc<Racer>,
    pub(super) upnp: Arc<Racer>,
    pub(super) start: Instant,
}

pub(super) fn mapping(protocol: Protocol, port: u16) -> PortMapping {
    PortMapping { protocol, ..MockPortMapperClient::mapping(REQUEST, (Ipv4Addr::new(192, 0, 1, 1), port), HOUR) }
}

pub(super) fn silent(limit: Duration) -> PortMappingError {
    PortMappingError::timeout(format!("no answer within {limit:?}"))
}

pub(super) fn path(local_address: [u8; 4]) -> NetworkPath {
    NetworkPath::new([192, 168, 1, 1], local_address).interface("eth0".to_owned())
}

/// The request for the port that many above 4000.
pub(super) fn nth(number: u16) -> MapRequest {
    MapRequest::new(4000 + number, Transport::Udp)
}

/// What [`nth`] asks for.
pub(super) fn granted(protocol: Protocol, number: u16) -> PortMapping {
    PortMapping { request: nth(number), ..mapping(protocol, 4000 + number) }
}

impl Setup {
    pub(super) fn from(local_address: [u8; 4]) -> Self {
        Self::along(&[path(local_address)]).0
    }

    /// A machine with these paths, and the clients of each but the first, which are in the setup.
    pub(super) fn along(paths: &[NetworkPath]) -> (Self, Vec<Clients>) {
        let network = Network { paths: Ok(paths.to_vec()), clients: Vec::new(), looked_for: 0 };
        let network = Arc::new(Mutex::new(network));
        let (of_paths, of_contestants) = (Arc::clone(&network), Arc::clone(&network));
        let finder = Finder {
            paths: Box::new(move || {
                let mut network = of_paths.lock().unwrap();
                network.looked_for += 1;
                network.paths.clone()
            }),
            contestants: Box::new(move |path| of_contestants.lock().unwrap().contestants(path)),
        };
        let world = World::default();
        let race = Arc::new(RaceMapper::with_finder(finder, world.clone()));
        let mut clients: Vec<Clients> = paths.iter().map(|_| Clients::default()).collect();
        network.lock().unwrap().clients = paths.iter().cloned().zip(clients.clone()).collect();
        let [pcp, nat_pmp, upnp] = clients.remove(0);
        (Self { race, network, world, pcp, nat_pmp, upnp, start: Instant::now() }, clients)
    }

    /// The same with a race that is set up by `change`.
    pub(super) fn with(mut self, change: impl FnOnce(&mut RaceMapper)) -> Self {
        change(Arc::get_mut(&mut self.race).unwrap());
        self
    }

    /// The machine is in another network now; these are the clients there.
    pub(super) fn move_to(&self, local_address: [u8; 4]) -> Clients {
        self.move_along(&[path(local_address)]).remove(0)
    }

    /// The machine has these paths now, each with new clients if it was not known before.
    pub(super) fn move_along(&self, paths: &[NetworkPath]) -> Vec<Clients> {
        let mut network = self.network.lock().unwrap();
        network.paths = Ok(paths.to_vec());
        paths
            .iter()
            .map(|path| {
                let known = network.clients.iter().find(|(of, _)| of == path).map(|(_, clients)| clients.clone());
                known.unwrap_or_else(|| {
                    let clients = Clients::default();
                    network.clients.push((path.clone(), clients.clone()));
                    clients
                })
            })
            .collect()
    }

    pub(super) fn lose_network(&self) {
        self.fail_to_look_up(PortMappingError::unavailable("there is no default route"));
    }

    pub(super) fn fail_to_look_up(&self, error: PortMappingError) {
        self.network.lock().unwrap().paths = Err(error);
    }

    pub(super) fn looked_for(&self) -> usize {
        self.network.lock().unwrap().looked_for
    }

    /// The first `count` of [`nth`], and how long each took.
    pub(super) async fn install_at_once(&self, count: u16) -> Vec<(Result<PortMapping, PortMappingError>, Duration)> {
        let mut installs = JoinSet::new();
        for number in 0..count {
            let (race, start) = (Arc::clone(&self.race), Instant::now());
            installs.spawn(async move {
                let outcome = race.install(&nth(number), HOUR).await;
                (number, outcome, start.elapsed())
            });
        }
        let mut outcomes = installs.join_all().await;
        outcomes.sort_by_key(|(number, ..)| *number);
        outcomes.into_iter().map(|(_, outcome, elapsed)| (outcome, elapsed)).collect()
    }

    pub(super) fn new() -> Self {
        Self::from([192, 168, 1, 10])
    }

    /// PCP and NAT-PMP are silent until their deadline.
    pub(super) fn with_silent_port() -> Self {
        let setup = Self::new();
        setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
        setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
        setup
    }

    pub(super) async fn install(&self) -> Result<PortMapping, PortMappingError> {
        self.race.install(&REQUEST, HOUR).await
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
