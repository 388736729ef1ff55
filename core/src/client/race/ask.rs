//! One gateway is asked for a mapping: who races, and who waits for another lease's race.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::RaceMapper;
use super::contest::{Contest, release};
use super::contestant::Contestant;
use super::failure::{Failure, combine};
use super::gateways::Gateway;
use super::holdings::port_of;
use super::line_up::line_up;
use crate::error::ErrorKind;
use crate::mapping::{MapRequest, PortMapping};

impl RaceMapper {
    /// Asks this gateway for a mapping by every protocol that may bring one.
    pub(super) async fn install_on(
        &self,
        gateway: &Gateway,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, Vec<Failure>> {
        let Some(records) = &self.records else { return self.install_anew(gateway, request, ttl).await };
        let again = records.take_up(gateway, request).await;
        let outcome = self.install_anew(gateway, &again, ttl).await;
        if outcome.is_ok() {
            records.granted(request);
        }
        outcome
    }

    async fn install_anew(
        &self,
        gateway: &Gateway,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, Vec<Failure>> {
        let mut failures = Vec::new();
        let mut free = Vec::new();
        for contestant in gateway.contestants.iter() {
            match gateway.known.held(contestant.protocol, request) {
                Some(error) => failures.push(contestant.failure(error)),
                None => free.push(contestant.clone()),
            }
        }
        if !free.is_empty() {
            match self.ask(gateway, free, request, ttl).await {
                Ok(mapping) => return Ok(mapping),
                Err(lost) => failures.extend(lost),
            }
        }
        let silent = combine(&failures, "").kind() == ErrorKind::Unavailable;
        if silent
            && !failures.iter().any(Failure::is_silence_of_the_known)
            && let Some(mapping) = gateway.own_public_address(request, ttl)
        {
            return Ok(mapping);
        }
        sort(&mut failures, gateway);
        Err(failures)
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
        }
        drop(turn);
        outcome.map_err(|lost| failures.into_iter().chain(lost).collect())
    }

    /// What runs in the background for the port, and what the end of its lease waits for.
    pub(super) fn contests_of(&self, request: &MapRequest) -> TaskTracker {
        let mut contests = self.contests.lock().unwrap_or_else(PoisonError::into_inner);
        contests.retain(|_, contests| !contests.is_empty());
        contests.entry(port_of(request)).or_default().clone()
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
            request: request.clone(),
            ttl,
            known: Arc::clone(&gateway.known),
            holdings: Arc::clone(&self.holdings),
        };
        let of_the_port = self.contests_of(request);
        self.behind.spawn(of_the_port.track_future(contest.run(answer)));
        let mut waiting = Waiting { race: self, gateway, of_the_port, outcome };
        (&mut waiting.outcome)
            .await
            .unwrap_or_else(|_| Err(vec![Failure::internal("the race of the protocols ended without an outcome")]))
    }
}

/// Puts failures into the configured order of the protocols.
pub(super) fn sort(failures: &mut [Failure], gateway: &Gateway) {
    failures.sort_by_key(|failure| gateway.contestants.iter().position(|one| one.protocol == failure.protocol));
}

/// Waits for the outcome of a race.
struct Waiting<'a> {
    race: &'a RaceMapper,
    gateway: &'a Gateway,
    of_the_port: TaskTracker,
    outcome: oneshot::Receiver<Result<PortMapping, Vec<Failure>>>,
}

/// A mapping that was granted and that nobody has taken, because the caller went away just then, is released.
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.outcome.close();
        let Ok(Ok(mapping)) = self.outcome.try_recv() else { return };
        let Ok(maker) = self.gateway.client_for(&mapping) else { return };
        let holdings = Arc::clone(&self.race.holdings);
        holdings.let_go(&mapping, &maker);
        match Handle::try_current() {
            Ok(runtime) => {
                let released = async move {
                    if holdings.holder(&mapping, &maker).is_none() {
                        holdings.forget(&mapping, &maker);
                        release(&holdings, &maker, &mapping).await;
                    }
                };
                let tracked = self.race.behind.track_future(self.of_the_port.track_future(released));
                drop(runtime.spawn(tracked));
            }
            Err(_) => drop(holdings.leave(&mapping, &maker)),
        }
    }
}
