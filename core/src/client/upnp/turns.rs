//! Who may call a device when: one call at a time, because some routers choke on parallel calls, and first come first
//! served.
//!
//! A turn is waited for as long as the device answers the calls before it, however many they are. If it has fallen
//! silent, those that wait fail with the call that met the silence: they learn no more by waiting for their own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

/// Calls in a row that a device left unanswered, after which those behind them fail too.
const SILENCES: u64 = 3;

/// How much silence before its turn a call bears.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Patience {
    /// Its answer is good to have, and some routers never give it. That says nothing about other calls.
    Optional,
    /// It is tried again later if it fails: one silence is enough, unless the device has shown meanwhile that it lives.
    #[default]
    Retried,
    /// There is no later try: what it was to delete would stay.
    Last,
}

/// The queues of all devices. Copies share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    queues: Arc<Mutex<HashMap<IpAddr, Arc<Queue>>>>,
    /// The calls under way, which outlive their callers.
    pub(super) calls: TaskTracker,
}

/// The calls to one device.
#[derive(Debug)]
struct Queue {
    turn: Arc<Semaphore>,
    history: Mutex<History>,
}

/// How the calls so far have ended.
#[derive(Debug, Clone, Copy, Default)]
struct History {
    answers: u64,
    silences: u64,
    silences_in_a_row: u64,
    /// Silences behind calls whose answer is only good to have.
    optional_silences: u64,
}

/// The right to call. Ends with the value.
#[derive(Debug)]
pub(super) struct Turn {
    queue: Arc<Queue>,
    patience: Patience,
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// Waits for a turn with this device. `None`: the device has left the calls before this one unanswered.
    pub(super) async fn take(&self, device: IpAddr, patience: Patience) -> Option<Turn> {
        let queue = self.of(device);
        let before = *queue.history();
        // Nobody closes the semaphore.
        let permit = Arc::clone(&queue.turn).acquire_owned().await.ok()?;
        let now = *queue.history();
        let silences = now.silences - before.silences;
        let fails = match patience {
            Patience::Optional => silences + now.optional_silences - before.optional_silences > 0,
            Patience::Retried if now.answers == before.answers => silences > 0,
            Patience::Retried | Patience::Last => silences.min(now.silences_in_a_row) >= SILENCES,
        };
        (!fails).then_some(Turn { queue, patience, _permit: permit })
    }

    fn of(&self, device: IpAddr) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // A device that nobody is calling needs no entry.
        queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        let new = || Arc::new(Queue { turn: Arc::new(Semaphore::new(1)), history: Mutex::default() });
        Arc::clone(queues.entry(device).or_insert_with(new))
    }
}

impl Queue {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// The device has answered the call.
    pub(super) fn answered(&self) {
        let mut history = self.queue.history();
        history.answers += 1;
        history.silences_in_a_row = 0;
    }

    /// The device has not answered the call in time.
    pub(super) fn met_silence(&self) {
        let mut history = self.queue.history();
        match self.patience {
            Patience::Optional => history.optional_silences += 1,
            Patience::Retried | Patience::Last => {
                history.silences += 1;
                history.silences_in_a_row += 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
