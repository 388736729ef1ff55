//! Many waits at once without a thread for each: polled by whoever asks for the next that is over, and by nobody else.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use portlease::{Event, GatewayReport, LeaseSnapshot, PortMappingError};

use crate::error::unpanicked;
use crate::signal::Signal;
use crate::thread::living;

/// What a wait ends with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The call has no result but that it is done.
    Done,
    Lease(LeaseSnapshot),
    Event(Event),
    Report(GatewayReport),
}

pub(crate) type Outcome = Result<Answer, PortMappingError>;
type Wait = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A wait that is over.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) token: u64,
    /// `None`: it was cancelled.
    pub(crate) outcome: Option<Outcome>,
}

/// The waits that were begun and have not been handed out.
pub(crate) struct Pending {
    shared: Arc<Shared>,
    /// The process that made it: in the child of a fork the lock may be held by a thread that did not come along.
    process: u32,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Under the lock nothing is polled and nothing is dropped: both may wake.
#[derive(Default)]
struct State {
    slots: HashMap<u64, Slot>,
    /// The slots to look at; one may stand here twice.
    woken: VecDeque<u64>,
    stopped: bool,
    signal: Option<Signal>,
}

enum Slot {
    Waiting(Wait),
    Polling { woken: bool, cancelled: bool },
    Cancelled,
}

/// Wakes one wait.
struct Knock {
    token: u64,
    shared: Arc<Shared>,
}

impl Wake for Knock {
    fn wake(self: Arc<Self>) {
        let mut state = self.shared.lock();
        match state.slots.get_mut(&self.token) {
            Some(Slot::Waiting(_)) => state.look_at(self.token),
            Some(Slot::Polling { woken, .. }) => *woken = true,
            Some(Slot::Cancelled) | None => return,
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look_at(&mut self, token: u64) {
        self.woken.push_back(token);
        self.raise_signal();
    }

    fn raise_signal(&mut self) {
        if let Some(signal) = &mut self.signal {
            signal.raise();
        }
    }

    /// Cancels a wait that is not over. The future is for the caller to drop, without the lock.
    fn cancel(&mut self, token: u64) -> Option<Wait> {
        let slot = self.slots.get_mut(&token)?;
        match slot {
            Slot::Polling { cancelled, .. } => *cancelled = true,
            Slot::Cancelled => {}
            Slot::Waiting(_) => {
                let before = std::mem::replace(slot, Slot::Cancelled);
                self.look_at(token);
                if let Slot::Waiting(wait) = before {
                    return Some(wait);
                }
            }
        }
        None
    }

    /// Takes a woken wait out to be polled; `None` where there is nothing to poll or another thread is at it.
    fn take(&mut self, token: u64) -> Option<Wait> {
        let slot = self.slots.get_mut(&token)?;
        if let Slot::Polling { woken, .. } = slot {
            *woken = true;
        }
        if !matches!(slot, Slot::Waiting(_)) {
            return None;
        }
        match std::mem::replace(slot, Slot::Polling { woken: false, cancelled: false }) {
            Slot::Waiting(wait) => Some(wait),
            Slot::Polling { .. } | Slot::Cancelled => None,
        }
    }
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::default(), process: std::process::id() }
    }

    fn foreign(&self) -> bool {
        std::process::id() != self.process
    }

    /// Fails with `stopped` in the child of a fork.
    fn lock(&self) -> Result<MutexGuard<'_, State>, PortMappingError> {
        match self.foreign() {
            true => Err(PortMappingError::stopped("the waits belong to the process before the fork")),
            false => Ok(self.shared.lock()),
        }
    }

    /// Begins a wait. Fails with `invalid` where another has this token, and with `stopped`.
    pub(crate) fn begin(
        &self,
        token: u64,
        wait: impl Future<Output = Outcome> + Send + 'static,
    ) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        if state.stopped {
            return Err(PortMappingError::stopped("the waits are stopped"));
        }
        if state.slots.contains_key(&token) {
            return Err(PortMappingError::invalid("token", format!("{token} is that of a wait that is not over")));
        }
        state.slots.insert(token, Slot::Waiting(Box::pin(wait)));
        state.look_at(token);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Cancels a wait. One that is over already, or is found to be over at this moment, keeps its outcome.
    pub(crate) fn cancel(&self, token: u64) -> Result<(), PortMappingError> {
        let wait = self.lock()?.cancel(token);
        self.shared.changed.notify_one();
        drop(wait);
        Ok(())
    }

    /// Cancels all waits and lets none begin any more.
    pub(crate) fn stop(&self) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        state.stopped = true;
        let tokens: Vec<u64> = state.slots.keys().copied().collect();
        let waits: Vec<Wait> = tokens.into_iter().filter_map(|token| state.cancel(token)).collect();
        state.raise_signal();
        drop(state);
        self.shared.changed.notify_all();
        drop(waits);
        Ok(())
    }

    /// A descriptor that can be read from while there is something to look at.
    pub(crate) fn descriptor(&self) -> Result<i32, PortMappingError> {
        let mut state = self.lock()?;
        if let Some(signal) = &state.signal {
            return Ok(signal.descriptor());
        }
        let mut signal = Signal::new()?;
        if state.stopped || !state.woken.is_empty() {
            signal.raise();
        }
        Ok(state.signal.insert(signal).descriptor())
    }

    /// The next wait that is over. Fails with `timeout`, and with `stopped` once stopped and none is left.
    pub(crate) fn next(&self, limit: Option<Duration>) -> Result<Completion, PortMappingError> {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock()?;
        loop {
            while let Some(token) = state.woken.pop_front() {
                if let Some(Slot::Cancelled) = state.slots.get(&token) {
                    state.slots.remove(&token);
                    return Ok(Completion { token, outcome: None });
                }
                let Some(wait) = state.take(token) else { continue };
                drop(state);
                if let Some(over) = self.poll(token, wait) {
                    return Ok(over);
                }
                state = self.shared.lock();
            }
            if state.stopped && state.slots.is_empty() {
                return Err(PortMappingError::stopped("the waits are stopped"));
            }
            if !state.stopped
                && let Some(signal) = &mut state.signal
            {
                signal.lower();
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => {
                    let limit = limit.unwrap_or_default();
                    return Err(PortMappingError::timeout(format!("no wait was over within {limit:?}")));
                }
                Some(left) => self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn poll(&self, token: u64, mut wait: Wait) -> Option<Completion> {
        let waker = Waker::from(Arc::new(Knock { token, shared: Arc::clone(&self.shared) }));
        let polled = unpanicked(|| match living(|| wait.as_mut().poll(&mut Context::from_waker(&waker))) {
            Poll::Ready(outcome) => outcome.map(Some),
            Poll::Pending => Ok(None),
        });
        let mut state = self.shared.lock();
        let (woken, cancelled) = match state.slots.get(&token) {
            Some(Slot::Polling { woken, cancelled }) => (*woken, *cancelled),
            _ => (false, true),
        };
        let outcome = polled.transpose();
        if outcome.is_none() && !cancelled {
            state.slots.insert(token, Slot::Waiting(wait));
            if woken {
                state.look_at(token);
            }
            return None;
        }
        state.slots.remove(&token);
        let stopped = state.stopped;
        drop(state);
        drop(wait);
        if stopped {
            // Others may wait for the last one to be gone.
            self.shared.changed.notify_all();
        }
        Some(Completion { token, outcome })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.foreign() {
            // What the futures hold may be locked for ever here; it goes with the process.
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
        let slots = std::mem::take(&mut self.shared.lock().slots);
        drop(slots);
    }
}
