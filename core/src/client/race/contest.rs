//! One race: who may ask when, who wins, and what becomes of the rest.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::contestant::Contestant;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol, Transport};

/// The mappings that leases hold: what is not wanted any more must not be taken over.
#[derive(Debug, Default)]
pub(super) struct Wanted(Mutex<HashSet<(Transport, u16)>>);

impl Wanted {
    fn with<T>(&self, act: impl FnOnce(&mut HashSet<(Transport, u16)>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn insert(&self, mapping: &PortMapping) {
        self.with(|ports| ports.insert(entry(mapping)));
    }

    pub(super) fn remove(&self, mapping: &PortMapping) {
        self.with(|ports| ports.remove(&entry(mapping)));
    }

    fn contains(&self, mapping: &PortMapping) -> bool {
        self.with(|ports| ports.contains(&entry(mapping)))
    }
}

/// What identifies an entry in a gateway's table.
fn entry(mapping: &PortMapping) -> (Transport, u16) {
    (mapping.request.transport, mapping.external.port())
}

/// Why one protocol made no mapping.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) protocol: Protocol,
    /// Whether the gateway had answered by this protocol before the failure.
    pub(super) alive: bool,
    pub(super) error: PortMappingError,
}

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
}

type Outcome = (usize, Result<PortMapping, Option<Failure>>);

/// Runs one race and answers with the first mapping, or with every failure. Then waits for those who had asked
/// for a mapping by then, and puts right what they still bring.
pub(super) async fn contest(
    contestants: Vec<Contestant>,
    request: MapRequest,
    ttl: Duration,
    wanted: Arc<Wanted>,
    mut answer: oneshot::Sender<Result<PortMapping, Vec<Failure>>>,
) {
    let course = watch::Sender::new(Course { stages: vec![Stage::Asking; contestants.len()], decided: false });
    let course = Arc::new(course);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (position, contestant) in contestants.iter().cloned().enumerate() {
        let course = Arc::clone(&course);
        running.spawn(async move {
            let outcome = run(&contestant, position, &course, start, request, ttl).await;
            if outcome.is_err() {
                course.send_modify(|course| course.stages[position] = Stage::Failed);
            }
            (position, outcome)
        });
    }
    let mut failures = Vec::new();
    let winner = loop {
        let outcome = tokio::select! {
            outcome = running.join_next() => outcome,
            // Nobody waits any more: who has not asked for a mapping by now must not.
            () = answer.closed(), if !course.borrow().decided => {
                course.send_modify(|course| course.decided = true);
                continue;
            }
        };
        match outcome {
            Some(Ok((position, Ok(mapping)))) => break (position, mapping),
            Some(Ok((_, Err(failure)))) => failures.extend(failure),
            Some(Err(panic)) => {
                let error = PortMappingError::internal(format!("a protocol's client failed: {panic}"));
                failures.push(Failure { protocol: Protocol::None, alive: true, error });
            }
            None => {
                drop(answer.send(Err(failures)));
                return;
            }
        }
    };
    course.send_modify(|course| course.decided = true);
    let (position, mapping) = winner;
    wanted.insert(&mapping);
    if answer.send(Ok(mapping.clone())).is_err() {
        wanted.remove(&mapping);
        release(&contestants[position], &mapping).await;
    }
    settle_late(&contestants, running, (position, mapping), &wanted).await;
}

/// One contestant's way: see whether the gateway answers, let better ones go first, ask for the mapping.
/// An error of `None` means that another won before this one asked.
async fn run(
    contestant: &Contestant,
    position: usize,
    course: &watch::Sender<Course>,
    start: Instant,
    request: MapRequest,
    ttl: Duration,
) -> Result<PortMapping, Option<Failure>> {
    let failed = |alive, error| Some(Failure { protocol: contestant.protocol, alive, error });
    let mut view = course.subscribe();
    let mut alive = contestant.proven;
    if !contestant.head_start.is_zero() {
        wait_for_turn(position, &mut view, |_| start + contestant.head_start).await;
        if course.borrow().decided {
            return Err(None);
        }
    }
    if !contestant.install_is_probe {
        tokio::select! {
            biased;
            _ = view.wait_for(|course| course.decided) => return Err(None),
            probed = contestant.client.probe() => probed.map_err(|error| failed(false, error))?,
        }
        alive = true;
        course.send_modify(|course| course.stages[position] = Stage::Alive);
    }
    let hedge = |alive| if alive { contestant.hedge_behind_alive } else { contestant.hedge };
    wait_for_turn(position, &mut view, |better_alive| start + hedge(better_alive)).await;
    if course.borrow().decided {
        return Err(None);
    }
    contestant.client.install(&request, ttl).await.map_err(|error| failed(alive, error))
}

/// Waits until every better contestant has failed, or until the time that `turn` names: it is told whether a better
/// one has shown that it is alive.
async fn wait_for_turn(position: usize, view: &mut watch::Receiver<Course>, turn: impl Fn(bool) -> Instant) {
    loop {
        let turn = {
            let course = view.borrow_and_update();
            let better = &course.stages[..position];
            if course.decided || better.iter().all(|stage| *stage == Stage::Failed) {
                return;
            }
            turn(better.contains(&Stage::Alive))
        };
        tokio::select! {
            biased;
            () = sleep_until(turn) => return,
            changed = view.changed() => if changed.is_err() { return },
        }
    }
}

/// Those who asked before the winner was known may still be granted a mapping. Most daemons keep one table for
/// all protocols: a late mapping on the winner's port *is* the winner's entry, and deleting it would kill the
/// winner's, so the winner takes the entry over again by renewing. Any other late mapping is released.
async fn settle_late(
    contestants: &[Contestant],
    mut running: JoinSet<Outcome>,
    (winner, mapping): (usize, PortMapping),
    wanted: &Wanted,
) {
    while let Some(outcome) = running.join_next().await {
        let Ok((position, Ok(late))) = outcome else { continue };
        if entry(&late) != entry(&mapping) || !wanted.contains(&mapping) {
            release(&contestants[position], &late).await;
            continue;
        }
        if let Err(error) = contestants[winner].client.renew(&mapping).await {
            tracing::warn!(error = %error.message(), protocol = %mapping.protocol, "could not take over an entry that two protocols share");
        }
        // The lease may have ended, and its mapping been deleted, while the renewal brought it back.
        if !wanted.contains(&mapping) {
            release(&contestants[winner], &mapping).await;
        }
    }
}

async fn release(contestant: &Contestant, mapping: &PortMapping) {
    match contestant.client.remove(mapping).await {
        Ok(()) => tracing::debug!(protocol = %mapping.protocol, external = %mapping.external, "late mapping released"),
        Err(error) => {
            tracing::warn!(error = %error.message(), protocol = %mapping.protocol, external = %mapping.external, "late mapping not released");
        }
    }
}
