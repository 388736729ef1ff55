//! What reaches a lease from outside while it is mapped or waits: changes of the world, and the wish to be repaired.

use tokio::sync::{mpsc, oneshot};

use crate::clock::Moment;
use crate::error::PortMappingError;
use crate::schedule::REPAIR_PACE;
use crate::world::{Change, Changes};

/// How a repair ended, for whoever asked for it.
pub(super) type Reply = oneshot::Sender<Result<(), PortMappingError>>;

/// Asks one lease to be repaired. Copies ask the same lease.
#[derive(Debug, Clone)]
pub(crate) struct Repairs(mpsc::UnboundedSender<Reply>);

impl Repairs {
    /// Asks for a repair and waits for its end. Dropping the future ends the wait, not the repair. Fails as the attempt does, and
    /// with `stopped` where the lease is over, or ends before the repair.
    pub(crate) async fn ask(&self) -> Result<(), PortMappingError> {
        let (reply, outcome) = oneshot::channel();
        let over = || PortMappingError::stopped("the lease is over");
        self.0.send(reply).map_err(|_| over())?;
        outcome.await.unwrap_or_else(|_| Err(over()))
    }
}

/// What a task is told.
#[derive(Debug)]
pub(super) enum Signal {
    Changed(Change),
    Repair(Reply),
}

/// The receiving end of everything that a task is told.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    changes: Option<Changes>,
    repairs: Option<mpsc::UnboundedReceiver<Reply>>,
    /// Those who asked while the lease was not mapped: the next attempt is their answer.
    waiting: Vec<Reply>,
    repaired_at: Option<Moment>,
}

impl Signals {
    /// Hears of `changes`, and of the wishes to be repaired that come by the other half.
    pub(crate) fn new(changes: Changes) -> (Self, Repairs) {
        let (ask, asked) = mpsc::unbounded_channel();
        (Self { changes: Some(changes), repairs: Some(asked), ..Self::default() }, Repairs(ask))
    }

    /// Waits for the next signal. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Signal {
        let Self { changes, repairs, .. } = self;
        let change = async {
            match changes {
                Some(changes) => changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            change = change => Signal::Changed(change),
            reply = asked(repairs) => Signal::Repair(reply),
        }
    }

    /// Waits until the machine is in another network; what else comes meanwhile stays to be heard of.
    pub(super) async fn moved(&mut self) {
        match &mut self.changes {
            Some(changes) => changes.moved().await,
            None => std::future::pending().await,
        }
    }

    /// An attempt to map begins, in the network of this moment. Whatever has changed before is dealt with by that. Returns whether
    /// the machine has come into another network.
    pub(super) fn begin_attempt(&mut self) -> bool {
        self.changes.as_mut().and_then(Changes::take) == Some(Change::Moved)
    }

    /// The next attempt to map is the answer to `reply`.
    pub(super) fn answer_by_next_attempt(&mut self, reply: Reply) {
        self.waiting.push(reply);
    }

    /// An attempt to map has ended, and is about to be published: it will be the answer to all who have asked so far. A caller that
    /// has seen how it ended and asks again asks for another attempt.
    pub(super) fn ended_attempt(&mut self) {
        let Self { repairs, waiting, .. } = self;
        waiting.extend(repairs.iter_mut().flat_map(|asked| std::iter::from_fn(|| asked.try_recv().ok())));
    }

    /// The attempt ended so, which is published.
    pub(super) fn attempted(&mut self, outcome: &Result<(), PortMappingError>) {
        for reply in self.waiting.drain(..) {
            // The caller may have gone.
            let _ = reply.send(outcome.clone());
        }
    }

    /// Whether a repair may begin at `now`; the next one has to wait then.
    pub(super) fn may_repair(&mut self, now: Moment) -> Result<(), PortMappingError> {
        let since = self.repaired_at.map(|last| now.since(last));
        match since.and_then(|since| REPAIR_PACE.checked_sub(since)).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(PortMappingError::refused_for(
                format!(
                    "the lease was repaired less than {} s ago; repair it again in {:.1} s at the earliest",
                    REPAIR_PACE.as_secs(),
                    wait.as_secs_f64()
                ),
                wait,
            )),
            None => {
                self.repaired_at = Some(now);
                Ok(())
            }
        }
    }
}

async fn asked(repairs: &mut Option<mpsc::UnboundedReceiver<Reply>>) -> Reply {
    if let Some(asked) = repairs
        && let Some(reply) = asked.recv().await
    {
        return reply;
    }
    // Nobody is left who could ask.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[tokio::test]
    async fn an_attempt_answers_those_who_asked_before_it_was_published_and_no_others() {
        let (mut signals, repairs) = Signals::new(World::default().watch());
        let ask = || {
            let (reply, outcome) = oneshot::channel();
            repairs.0.send(reply).unwrap();
            outcome
        };
        let (mut before, mut after) = (ask(), {
            signals.ended_attempt();
            ask()
        });
        signals.attempted(&Ok(()));
        assert!(before.try_recv().unwrap().is_ok());
        assert!(after.try_recv().is_err(), "it has no answer yet");
        assert!(matches!(signals.next().await, Signal::Repair(_)));
    }
}
