//! One race: who may ask when, who wins, and what becomes of the rest.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::contestant::Contestant;
use super::failure::Failure;
use super::holdings::{Holding, Holdings};
use super::known::Known;
use super::line_up::Order;
use crate::mapping::{MapRequest, PortMapping, Protocol};
use crate::schedule::{DECIDED_PATIENCE, TAKE_OVER_RETRIES};

/// How far a contestant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is known yet.
    Asking,
    /// The gateway answers by this protocol.
    Alive,
    /// Out of the race.
    Failed,
}

/// What all contestants see.
#[derive(Debug)]
struct Course {
    stages: Vec<Stage>,
    /// A mapping was granted: who has not asked for one by now must not.
    decided: bool,
    /// Of all races that wait for the decided protocol, this one may ask the other protocols first.
    first_to_doubt: bool,
}

type Outcome = (usize, Result<PortMapping, Option<Failure>>);

/// What a race is about.
pub(super) struct Contest {
    pub(super) order: Order,
    /// Whether other leases wait for its outcome.
    pub(super) leads: bool,
    pub(super) began: Instant,
    pub(super) request: MapRequest,
    pub(super) ttl: Duration,
    pub(super) known: Arc<Known>,
    pub(super) holdings: Arc<Holdings>,
}

impl Contest {
    /// Runs the race and answers with the first mapping, or with every failure. Then waits for those who had asked for
    /// a mapping by then, and puts right what they still bring or may have left.
    pub(super) async fn run(self, mut answer: oneshot::Sender<Result<PortMapping, Vec<Failure>>>) {
        let contest = Arc::new(self);
        let stages = vec![Stage::Asking; contest.order.contestants.len()];
        let course = Arc::new(watch::Sender::new(Course { stages, decided: false, first_to_doubt: false }));
        let mut running = contest.start(&course);
        let mut first_to_doubt = pin!(Arc::clone(&contest.known.first_to_doubt).acquire_owned());
        let mut doubts = None;
        let mut failures = Vec::new();
        let (winner, mapping) = loop {
            let outcome = tokio::select! {
                outcome = running.join_next() => outcome,
                // Nobody waits any more: who has not asked for a mapping by now must not.
                () = answer.closed(), if !course.borrow().decided => {
                    course.send_modify(|course| course.decided = true);
                    doubts = None;
                    continue;
                }
                turn = &mut first_to_doubt, if contest.order.decided && doubts.is_none() && !course.borrow().decided => {
                    doubts = Some(turn);
                    course.send_modify(|course| course.first_to_doubt = true);
                    continue;
                }
            };
            match outcome {
                Some(Ok((position, Ok(mapping)))) => break (position, mapping),
                Some(Ok((_, Err(failure)))) => failures.extend(failure.inspect(|failure| contest.note(failure))),
                Some(Err(panic)) => failures.push(Failure::internal(format!("a protocol's client failed: {panic}"))),
                None => {
                    if contest.leads || doubts.is_some() {
                        contest.known.lost(&failures);
                    }
                    drop(answer.send(Err(failures)));
                    return;
                }
            }
        };
        contest.known.granted(mapping.protocol, &contest.request);
        if !contest.decision_stands(&failures) {
            contest.known.decide(mapping.protocol);
        }
        course.send_modify(|course| course.decided = true);
        drop(doubts);
        let winner = &contest.order.contestants[winner];
        if answer.is_closed() {
            // Another attempt may have mapped the port by now, here or at another gateway.
            contest.settle_grant(winner, &mapping).await;
        } else {
            contest.holdings.hold(&mapping, winner);
            if answer.send(Ok(mapping.clone())).is_err() {
                contest.holdings.let_go(&mapping, winner);
                contest.holdings.forget(&mapping, winner);
                contest.settle_grant(winner, &mapping).await;
            }
        }
        contest.settle_late(failures, running).await;
        contest.clear_doubts(winner, &mapping).await;
    }

    fn start(self: &Arc<Self>, course: &Arc<watch::Sender<Course>>) -> JoinSet<Outcome> {
        let mut running = JoinSet::new();
        for position in 0..self.order.contestants.len() {
            let (contest, course) = (Arc::clone(self), Arc::clone(course));
            running.spawn(async move {
                let outcome = contest.run_one(position, &course).await;
                if outcome.is_err() {
                    course.send_modify(|course| course.stages[position] = Stage::Failed);
                }
                (position, outcome)
            });
        }
        running
    }

    /// One contestant's way: see whether the gateway answers, let better ones go first, ask for the mapping.
    /// An error of `None` means that another won before this one asked.
    async fn run_one(&self, position: usize, course: &watch::Sender<Course>) -> Result<PortMapping, Option<Failure>> {
        let contestant = &self.order.contestants[position];
        let mut view = course.subscribe();
        let mut begin = self.began;
        if !contestant.head_start.is_zero() {
            // The failure of the decided protocol is enough to begin.
            let better = if self.order.decided { 1 } else { position };
            wait_for_turn(better, &mut view, |course| self.end_of_head_start(contestant, course)).await;
            if course.borrow().decided {
                return Err(None);
            }
            if self.order.decided {
                begin = Instant::now();
            }
        }
        if !contestant.install_is_probe {
            tokio::select! {
                biased;
                _ = view.wait_for(|course| course.decided) => return Err(None),
                probed = contestant.client.probe() => probed.map_err(|error| Some(contestant.failure(error)))?,
            }
            self.known.heard(contestant.protocol);
            course.send_modify(|course| course.stages[position] = Stage::Alive);
        }
        let hedge = |alive| if alive { contestant.hedge_behind_alive } else { contestant.hedge };
        wait_for_turn(position, &mut view, |course| begin + hedge(course.stages[..position].contains(&Stage::Alive)))
            .await;
        if course.borrow().decided {
            return Err(None);
        }
        let granted = contestant.client.install(&self.request, self.ttl).await;
        granted.map_err(|error| {
            let failure = contestant.failure(error);
            Some(Failure { asked: true, alive: failure.alive || !contestant.install_is_probe, ..failure })
        })
    }

    /// The head start of a decided protocol begins anew with each of its answers to any lease: a request that still waits
    /// in its queue is no sign of silence. When the protocol falls silent, one race asks the others before the rest do.
    fn end_of_head_start(&self, contestant: &Contestant, course: &Course) -> Instant {
        if !self.order.decided {
            return self.began + contestant.head_start;
        }
        let heard = self.known.last_heard(self.order.contestants[0].protocol);
        let patience = if course.first_to_doubt { contestant.head_start } else { DECIDED_PATIENCE };
        heard.map_or(self.began, |heard| heard.max(self.began)) + patience
    }

    /// Whether the gateway has answered anybody by `protocol` since the race began.
    fn was_heard(&self, protocol: Protocol) -> bool {
        self.known.last_heard(protocol).is_some_and(|heard| heard > self.began)
    }

    /// A decided protocol that did not answer this request, but has answered others meanwhile, stays decided.
    fn decision_stands(&self, failures: &[Failure]) -> bool {
        let first = self.order.contestants[0].protocol;
        self.order.decided
            && self.was_heard(first)
            && failures.iter().any(|failure| failure.protocol == first && failure.is_absence())
    }

    fn note(&self, failure: &Failure) {
        self.known.failed(failure, &self.request);
    }

    /// Waits for the contestants that had asked before the winner was known; they may still be granted a mapping.
    async fn settle_late(&self, mut failures: Vec<Failure>, mut running: JoinSet<Outcome>) {
        while let Some(outcome) = running.join_next().await {
            match outcome {
                Ok((position, Ok(late))) => self.settle_grant(&self.order.contestants[position], &late).await,
                Ok((_, Err(failure))) => failures.extend(failure.inspect(|failure| self.note(failure))),
                Err(panic) => tracing::error!(%panic, "a protocol's client failed after the race"),
            }
        }
        for failure in failures.iter().filter(|failure| failure.is_absence()) {
            if !self.was_heard(failure.protocol) {
                self.known.is_missing(failure.protocol);
            }
        }
    }

    /// Most daemons keep one table for all protocols: a late mapping on the port that the lease has *is* the lease's
    /// entry, and deleting it would kill it, so whoever made the lease's mapping takes the entry over again by renewing.
    /// Any other late mapping is released.
    async fn settle_grant(&self, contestant: &Contestant, late: &PortMapping) {
        self.known.heard(contestant.protocol);
        match self.holdings.holder(late, contestant) {
            // The entry that the lease's protocol may have found and adopted was this program's own, as the late grant shows.
            Some(Holding { mapping, maker, .. }) => {
                if !self.take_over(&maker, &mapping.made_by_us()).await {
                    // Then the entry is still the loser's, and only the loser's protocol can delete it.
                    self.holdings.leave(late, contestant);
                }
            }
            // The lease asks for the port again, and may be given the very entry, which the delete would hit.
            None if self.holdings.is_asked_for(&self.request) => drop(self.holdings.leave(late, contestant)),
            None => release(&self.holdings, contestant, late).await,
        }
    }

    /// Makes an entry that two protocols share the lease's again, or makes it anew if the other protocol's delete has hit it.
    /// Tries more than once, because the lease itself renews much later. Returns whether that worked.
    async fn take_over(&self, maker: &Contestant, mapping: &PortMapping) -> bool {
        let mut waits = TAKE_OVER_RETRIES.into_iter();
        let taken = loop {
            match maker.client.renew(mapping).await {
                Ok(_) => break true,
                Err(error) => {
                    tracing::warn!(error = %error.message(), protocol = %mapping.protocol, "could not take over an entry that two protocols share");
                }
            }
            let Some(wait) = waits.next() else { break false };
            if self.holdings.holder(mapping, maker).is_none() {
                break false;
            }
            sleep(wait).await;
        };
        // The lease may have ended, and its mapping been deleted, while the renewal brought it back.
        if self.holdings.holder(mapping, maker).is_none() {
            release(&self.holdings, maker, mapping).await;
        }
        taken
    }

    /// If a protocol that the gateway speaks did not answer, in this race or an earlier one, it may have made a mapping all
    /// the same. That mapping is deleted. If the gateway keeps one table for all protocols, the delete can hit the winner's
    /// entry, so the winner renews. Protocols that the gateway never spoke are left for the end of the lease.
    async fn clear_doubts(&self, winner: &Contestant, mapping: &PortMapping) {
        let mut cleared = false;
        for contestant in &self.order.contestants {
            let doubtful =
                contestant.protocol != mapping.protocol && self.known.is_doubtful(contestant.protocol, &self.request);
            // A lease that is over, or that has lost this mapping, may use the other protocol by now.
            if !doubtful || self.holdings.holder(mapping, winner).is_none() {
                continue;
            }
            cleared = true;
            match contestant.client.abandon(&self.request).await {
                Ok(()) => self.known.is_cleared(contestant.protocol, &self.request),
                Err(error) => {
                    tracing::warn!(error = %error.message(), protocol = %contestant.protocol, "a mapping that may have been granted was not deleted");
                }
            }
        }
        if cleared && let Some(Holding { mapping, maker, .. }) = self.holdings.holder(mapping, winner) {
            self.take_over(&maker, &mapping).await;
        }
    }
}

/// Deletes a mapping that no lease has. If that fails, the end of the lease tries again.
pub(super) async fn release(holdings: &Holdings, maker: &Contestant, mapping: &PortMapping) {
    let (protocol, external) = (mapping.protocol, mapping.external);
    match maker.client.remove(mapping).await {
        Ok(()) => tracing::debug!(%protocol, %external, "late mapping released"),
        Err(error) => {
            tracing::warn!(error = %error.message(), %protocol, %external, "late mapping not released");
            holdings.leave(mapping, maker);
        }
    }
}

/// Waits until the first `better` contestants have failed, or until the time that `turn` names.
async fn wait_for_turn(better: usize, view: &mut watch::Receiver<Course>, turn: impl Fn(&Course) -> Instant) {
    loop {
        let turn = {
            let course = view.borrow_and_update();
            if course.decided || course.stages[..better].iter().all(|stage| *stage == Stage::Failed) {
                return;
            }
            turn(&course)
        };
        if turn <= Instant::now() {
            return;
        }
        tokio::select! {
            biased;
            // Looked at again then: it may have moved.
            () = sleep_until(turn) => {}
            changed = view.changed() => if changed.is_err() { return },
        }
    }
}
