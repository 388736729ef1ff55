//! All protocols at once: the first usable answer wins, and nothing that comes later is left on the gateway.

mod contest;
mod contestant;
mod failure;
mod gateways;
mod holdings;
mod known;

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::port_mapper::{GatewayView, PortMapperClient};
use crate::config::Config;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol};
use crate::net::route::{NetworkPath, find_path};
use crate::schedule::PREPARED_FRESH;
use crate::snapshot::{GatewayReport, ProtocolReport};
use crate::world::World;
use contest::Contest;
use contestant::{Contestant, contestants, line_up};
use failure::{Failure, combine};
use gateways::{Gateway, Gateways};
use holdings::{Holdings, Port, port_of};

/// How the gateway and the clients for its protocols are found.
type Finder = Box<dyn Fn() -> Result<Found, PortMappingError> + Send + Sync>;

/// The way to the gateway, and the clients for its protocols.
type Found = (NetworkPath, Vec<Contestant>);

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
    /// What [`prepare`](Self::prepare) has found, and when.
    prepared: Mutex<Option<(Instant, Found)>>,
    gateways: Mutex<Gateways>,
    holdings: Arc<Holdings>,
    /// Running races and their clean-up, which outlive the call that began them.
    behind: TaskTracker,
    /// The same by port.
    contests: Mutex<HashMap<Port, TaskTracker>>,
    /// Changes when the present gateway becomes another one.
    found: watch::Sender<()>,
}

impl std::fmt::Debug for RaceMapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let present = self.present();
        f.debug_struct("RaceMapper")
            .field("path", &present.as_ref().map(|gateway| &gateway.path))
            .field("decided", &present.as_ref().and_then(|gateway| gateway.known.decided()))
            .field("seen", &present.as_ref().map(|gateway| gateway.known.seen()))
            .finish_non_exhaustive()
    }
}

impl RaceMapper {
    /// A race by `config`, which must be valid. The gateway is looked for at the first call, and again after
    /// an attempt that nothing answered.
    pub fn new(config: Config) -> Self {
        Self::in_world(config, World::default())
    }

    /// The same, which tells `world` what it notices of it.
    pub(crate) fn in_world(config: Config, world: World) -> Self {
        let _ = world;
        Self::with_finder(Box::new(move || {
            let path = find_path(&config)?;
            tracing::debug!(?path, "gateway found");
            let contestants = contestants(&config, &path);
            Ok((path, contestants))
        }))
    }

    fn with_finder(find: Finder) -> Self {
        Self {
            find,
            prepared: Mutex::default(),
            gateways: Mutex::default(),
            holdings: Arc::default(),
            behind: TaskTracker::new(),
            contests: Mutex::default(),
            found: watch::Sender::new(()),
        }
    }

    /// Looks the gateway up before anybody asks for it, on a thread that has nothing else to do: the first mapping need not
    /// wait for that then. Sends nothing, and says nothing: what fails is found out again by the first call.
    pub(crate) fn prepare(&self) {
        let found = (self.find)().ok();
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = found.map(|found| (Instant::now(), found));
    }

    /// The gateway of this moment.
    fn look_up(&self) -> Result<Found, PortMappingError> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).take();
        match prepared.filter(|(since, _)| since.elapsed() < PREPARED_FRESH) {
            Some((_, found)) => Ok(found),
            None => (self.find)(),
        }
    }

    fn gateways(&self) -> MutexGuard<'_, Gateways> {
        // A list left half-way by a panic is still a list.
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> Option<Gateway> {
        self.gateways().present()
    }

    /// The present gateway; looked for where there is none, or where it may be another by now.
    fn gateway(&self) -> Result<Gateway, PortMappingError> {
        if let Some(gateway) = self.gateways().fresh() {
            return Ok(gateway);
        }
        let (path, contestants) = self.look_up()?;
        let gateway = self.gateways().arrive(path, contestants);
        self.found.send_replace(());
        Ok(gateway)
    }

    /// The client that made `mapping`, or else the present gateway's client for its protocol. Never looks for the gateway anew
    /// if one is known: the mapping must be deleted on the gateway that made it.
    fn maker(&self, mapping: &PortMapping) -> Result<Contestant, PortMappingError> {
        if let Some(maker) = self.holdings.maker(mapping) {
            return Ok(maker);
        }
        let gateway = self.present().map_or_else(|| self.gateway(), Ok)?;
        gateway.client_for(mapping)
    }

    /// Lets the contestants race in a task of their own, so that neither a loser's late mapping nor a winner's
    /// mapping that nobody waits for any more is left on the gateway.
    async fn race(
        &self,
        gateway: &Gateway,
        contestants: Vec<Contestant>,
        leads: bool,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, Vec<Failure>> {
        let (answer, outcome) = oneshot::channel();
        let contest = Contest {
            order: line_up(contestants, &gateway.known),
            leads,
            began: Instant::now(),
            request: *request,
            ttl,
            known: Arc::clone(&gateway.known),
            holdings: Arc::clone(&self.holdings),
        };
        let of_the_port = {
            let mut contests = self.contests.lock().unwrap_or_else(PoisonError::into_inner);
            contests.retain(|_, contests| !contests.is_empty());
            contests.entry(port_of(request)).or_default().clone()
        };
        self.behind.spawn(of_the_port.track_future(contest.run(answer)));
        outcome
            .await
            .unwrap_or_else(|_| Err(vec![Failure::internal("the race of the protocols ended without an outcome")]))
    }

    /// Waits until the races for this port are over: their requests in flight may still be granted.
    async fn contests_settled(&self, request: &MapRequest) {
        let contests = {
            let contests = self.contests.lock().unwrap_or_else(PoisonError::into_inner);
            contests.get(&port_of(request)).cloned()
        };
        if let Some(contests) = contests {
            contests.close();
            contests.wait().await;
            contests.reopen();
        }
    }

    /// Tries once more to delete what the races for this port have left, and answers with what still cannot be deleted.
    async fn delete_leftovers(&self, request: &MapRequest) -> Vec<Failure> {
        let mut failures = Vec::new();
        for left in self.holdings.take_leftovers(request) {
            if let Err(error) = left.maker.client.remove(&left.mapping).await {
                failures.push(left.maker.failure(error));
                self.holdings.put_back(left);
            }
        }
        failures
    }

    /// While no protocol is decided, one lease races and the others wait for its outcome. If it wins, they ask the protocol
    /// that won. If it loses, they share each failure that is about the gateway and not about the request.
    async fn ask(
        &self,
        gateway: &Gateway,
        mut free: Vec<Contestant>,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, Vec<Failure>> {
        let known = &gateway.known;
        let (start, losses) = (Instant::now(), known.losses());
        let mut turn = if known.decided().is_none() { known.turn().await } else { None };
        let mut failures = Vec::new();
        if known.decided().is_some() {
            turn = None;
        } else if let Some(lost) = known.lost_since(losses) {
            turn = None;
            let all = lost.iter().all(Failure::is_about_the_gateway);
            let shared = |failure: &&Failure| failure.is_about_the_gateway() && (all || !failure.alive);
            failures = lost.iter().filter(shared).cloned().collect();
            free.retain(|one| failures.iter().all(|failure| failure.protocol != one.protocol));
            if free.is_empty() {
                return Err(failures);
            }
        }
        let outcome = tokio::select! {
            biased;
            outcome = self.race(gateway, free, turn.is_some(), request, ttl) => outcome,
            silence = known.silence_for_all(losses, start), if turn.is_none() => {
                failures.clear();
                Err(silence)
            }
        };
        if let Err(lost) = &outcome
            && lost.iter().all(Failure::is_about_the_gateway)
        {
            known.nothing_answered(start);
            self.gateways().stale = true;
        }
        drop(turn);
        outcome.map_err(|lost| failures.into_iter().chain(lost).collect())
    }
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
        let gateway = self.gateway()?;
        let mut failures = Vec::new();
        let mut free = Vec::new();
        for contestant in gateway.contestants.iter() {
            match gateway.known.held(contestant.protocol, request) {
                Some(error) => failures.push(contestant.failure(error)),
                None => free.push(contestant.clone()),
            }
        }
        if !free.is_empty() {
            match self.ask(&gateway, free, request, ttl).await {
                Ok(mapping) => return Ok(mapping),
                Err(lost) => failures.extend(lost),
            }
        }
        let error =
            combine(&failures, &format!("{} port {} could not be mapped", request.transport, request.internal_port));
        if error.kind() == ErrorKind::Unavailable
            && let Some(mapping) = gateway.own_public_address(request, ttl)
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
        let gateway = self.gateway()?;
        let client = gateway.client_for(mapping)?;
        let renewed = client.client.renew(mapping).await;
        match &renewed {
            Ok(renewed) => {
                gateway.known.heard(client.protocol);
                self.holdings.renewed(mapping, renewed, &client);
            }
            Err(error) => {
                if error.kind() == ErrorKind::Refused {
                    gateway.known.heard(client.protocol);
                }
                if error.mapping_lost() {
                    self.holdings.let_go(mapping);
                }
            }
        }
        renewed
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(());
        }
        let maker = self.maker(mapping)?;
        self.holdings.let_go(mapping);
        maker.client.remove(mapping).await?;
        if let Some(present) = self.present().filter(|present| present.has(&maker)) {
            present.known.heard(maker.protocol);
        }
        self.holdings.forget(mapping);
        Ok(())
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(None);
        }
        let maker = self.maker(mapping)?;
        let verified = maker.client.verify(mapping).await;
        match &verified {
            Ok(Some(corrected)) => self.holdings.renewed(mapping, corrected, &maker),
            Ok(None) => {}
            Err(error) if error.mapping_lost() => self.holdings.let_go(mapping),
            Err(_) => {}
        }
        verified
    }

    /// Also deletes what a race could not, after its caller had gone.
    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.contests_settled(request).await;
        let mut failures = self.delete_leftovers(request).await;
        let mut asked = JoinSet::new();
        let all = self.gateways().all();
        for gateway in all {
            for contestant in gateway.contestants.iter().cloned() {
                let (known, request) = (Arc::clone(&gateway.known), *request);
                asked.spawn(async move {
                    match contestant.client.abandon(&request).await {
                        Ok(()) => {
                            known.is_cleared(contestant.protocol, &request);
                            None
                        }
                        Err(error) => Some(contestant.failure(error)),
                    }
                });
            }
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(failure) => failures.extend(failure),
                Err(panic) => failures.push(Failure::internal(format!("a protocol's client failed: {panic}"))),
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        failures.sort_by_key(|failure| Protocol::ALL.iter().position(|protocol| *protocol == failure.protocol));
        let context = format!("{} port {} may still be mapped", request.transport, request.internal_port);
        Err(combine(&failures, &context))
    }

    async fn news(&self) {
        let mut found = self.found.subscribe();
        loop {
            found.borrow_and_update();
            let present = self.present();
            let contestants = present.as_ref().map_or(&[][..], |gateway| &gateway.contestants);
            let mut news: Vec<_> = contestants.iter().map(|contestant| contestant.client.news()).collect();
            let any = poll_fn(|context| match news.iter_mut().any(|news| news.as_mut().poll(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            tokio::select! {
                () = any => return,
                // The sender is a field of `self`, so this is no error.
                _ = found.changed() => {}
            }
        }
    }

    fn reaches(&self, mapping: &PortMapping) -> bool {
        let Some(present) = self.present() else { return false };
        match mapping.protocol {
            Protocol::None => present.path.local_address == mapping.external.ip(),
            Protocol::Pcp | Protocol::NatPmp | Protocol::Upnp => {
                self.holdings.maker(mapping).is_none_or(|maker| present.has(&maker))
            }
        }
    }

    async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        let gateway = self.gateway()?;
        let mut asked = JoinSet::new();
        for (position, contestant) in gateway.contestants.iter().cloned().enumerate() {
            asked.spawn(async move { (position, contestant.protocol, contestant.client.probe_protocol().await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(position, ..)| *position);
        let reports = answers.into_iter().map(|(_, protocol, outcome)| ProtocolReport { protocol, outcome });
        let report = GatewayReport::new(Some(gateway.path.clone())).protocols(reports.collect::<Vec<_>>());
        if !gateway.learn(&report) {
            self.gateways().stale = true;
        }
        Ok(report)
    }

    fn view(&self) -> GatewayView {
        let present = self.present();
        let protocols = present.as_ref().map(|gateway| gateway.known.seen()).unwrap_or_default();
        GatewayView { path: present.map(|gateway| gateway.path), protocols }
    }

    async fn settle(&self) {
        self.behind.close();
        self.behind.wait().await;
        self.behind.reopen();
        let mut settling = JoinSet::new();
        let all = self.gateways().all();
        for gateway in all {
            for contestant in gateway.contestants.iter().cloned() {
                settling.spawn(async move { contestant.client.settle().await });
            }
        }
        while settling.join_next().await.is_some() {}
    }
}

#[cfg(test)]
#[path = "race/tests.rs"]
mod tests;
