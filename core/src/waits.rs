//! Many waits at once without a thread for each, for hosts that cannot poll Rust's futures.

mod signal;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::engine::seconds;
use crate::error::PortMappingError;
use signal::Signal;

type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Many waits at once. Each is begun with a token of the caller's, and its end is given out by [`next`](Self::next)
/// exactly once, also if it was cancelled.
///
/// The futures are polled by whoever calls `next`, on that thread, and by nobody else: there is no thread behind it, and
/// nothing of the host's runs on an engine. A host with an event loop watches [`descriptor`](Self::descriptor) or is
/// called by [`with_notify`](Self::with_notify); another one blocks in `next`.
///
/// ```
/// # fn main() -> Result<(), portlease::PortMappingError> {
/// let waits = portlease::Waits::new();
/// waits.begin(7, async { "done" })?;
/// let over = waits.next(None)?;
/// assert!(over.token == 7 && matches!(over.end, portlease::WaitEnd::Done("done")));
/// # Ok(())
/// # }
/// ```
pub struct Waits<T> {
    shared: Arc<Shared<T>>,
    /// The process that made it: in the child of a fork the lock may be held by a thread that did not come along.
    process: u32,
}

/// A wait that is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion<T> {
    /// The token with which it was begun.
    pub token: u64,
    /// How it ended.
    pub end: WaitEnd<T>,
}

/// How a wait ended.
#[derive(Debug)]
#[must_use = "an event or a lease may be in it"]
pub enum WaitEnd<T> {
    /// With this result.
    Done(T),
    /// By [`Waits::cancel`] or [`Waits::stop`].
    Cancelled,
    /// By a panic, which is a defect.
    Panicked,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    notify: Option<Box<dyn Fn() + Send + Sync>>,
}

/// Under the lock nothing is polled and nothing is dropped: both may wake.
struct State<T> {
    slots: HashMap<u64, Slot<T>>,
    /// The slots to look at; one may stand here twice.
    woken: VecDeque<u64>,
    stopped: bool,
    /// Whether the host was told to look and has not yet found nothing.
    told: bool,
    signal: Option<Signal>,
}

enum Slot<T> {
    Waiting(Wait<T>),
    Polling { woken: bool, cancelled: bool },
    Cancelled,
}

/// Wakes one wait.
struct Knock<T> {
    token: u64,
    shared: Arc<Shared<T>>,
}

impl<T> Wake for Knock<T> {
    fn wake(self: Arc<Self>) {
        let mut state = self.shared.lock();
        match state.slots.get_mut(&self.token) {
            Some(Slot::Waiting(_)) => state.woken.push_back(self.token),
            Some(Slot::Polling { woken, .. }) => *woken = true,
            Some(Slot::Cancelled) | None => return,
        }
        self.shared.tell(state);
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing under this lock can panic half-way, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits, in `next` or elsewhere, that there may be something to look at.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>) {
        let first = (state.stopped || !state.woken.is_empty()) && !std::mem::replace(&mut state.told, true);
        if first && let Some(signal) = &mut state.signal {
            signal.raise();
        }
        let stopped = state.stopped;
        drop(state);
        match stopped {
            true => self.changed.notify_all(),
            false => self.changed.notify_one(),
        }
        if first && let Some(notify) = &self.notify {
            notify();
        }
    }
}

impl<T> State<T> {
    /// Cancels a wait that is not over. The future is for the caller to drop, without the lock.
    fn cancel(&mut self, token: u64) -> Option<Wait<T>> {
        let slot = self.slots.get_mut(&token)?;
        match slot {
            Slot::Polling { cancelled, .. } => *cancelled = true,
            Slot::Cancelled => {}
            Slot::Waiting(_) => {
                self.woken.push_back(token);
                if let Slot::Waiting(wait) = std::mem::replace(slot, Slot::Cancelled) {
                    return Some(wait);
                }
            }
        }
        None
    }

    /// Takes a woken wait out to be polled; `None` if there is nothing to poll or another thread is at it.
    fn take(&mut self, token: u64) -> Option<Wait<T>> {
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

    /// Nothing was found: the host is told anew when something is there.
    fn found_nothing(&mut self) {
        if self.stopped {
            return; // whoever comes shall find that out
        }
        self.told = false;
        if let Some(signal) = &mut self.signal {
            signal.lower();
        }
    }
}

impl<T> fmt::Debug for Waits<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").field("process", &self.process).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Default for Waits<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Waits<T> {
    /// A place for waits, for hosts that block in [`next`](Self::next) or watch the [`descriptor`](Self::descriptor).
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A place for waits that calls `notify` when `next` with a time-out of zero is worth a call; once, until `next` has
    /// found nothing. `notify` is called on any thread, an engine's included, and must not block.
    pub fn with_notify(notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self::with(Some(Box::new(notify)))
    }

    fn with(notify: Option<Box<dyn Fn() + Send + Sync>>) -> Self {
        let state = State { slots: HashMap::new(), woken: VecDeque::new(), stopped: false, told: false, signal: None };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), notify };
        Self { shared: Arc::new(shared), process: std::process::id() }
    }

    /// Fails with `stopped` in the child of a fork.
    fn lock(&self) -> Result<MutexGuard<'_, State<T>>, PortMappingError> {
        match std::process::id() == self.process {
            true => Ok(self.shared.lock()),
            false => Err(PortMappingError::stopped("the waits belong to the process before the fork")),
        }
    }

    /// Begins a wait; does not block. Fails with `invalid` if a wait with this token is not over, and with `stopped`.
    pub fn begin(&self, token: u64, wait: impl Future<Output = T> + Send + 'static) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        if state.stopped {
            return Err(PortMappingError::stopped("the waits are stopped"));
        }
        if state.slots.contains_key(&token) {
            return Err(PortMappingError::invalid("token", format!("{token} belongs to a wait that is not over")));
        }
        state.slots.insert(token, Slot::Waiting(Box::pin(wait)));
        state.woken.push_back(token);
        self.shared.tell(state);
        Ok(())
    }

    /// Cancels the wait with this token; what was waited for goes on. A wait that is over already, or is found to be
    /// over at this moment, keeps its result. Fails with `stopped` in the child of a fork.
    pub fn cancel(&self, token: u64) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        let wait = state.cancel(token);
        self.shared.tell(state);
        drop(wait);
        Ok(())
    }

    /// Cancels all waits and lets none begin any more, which wakes everyone in [`next`](Self::next). Fails with `stopped`
    /// in the child of a fork.
    pub fn stop(&self) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        state.stopped = true;
        let tokens: Vec<u64> = state.slots.keys().copied().collect();
        let waits: Vec<_> = tokens.into_iter().filter_map(|token| state.cancel(token)).collect();
        self.shared.tell(state);
        drop(waits);
        Ok(())
    }

    /// A descriptor for `poll(2)` and its kin: readable while `next` with a time-out of zero is worth a call. It belongs
    /// to the waits. Fails with `invalid` on systems without such descriptors (Windows), with `internal` if the system
    /// gives none, and with `stopped` in the child of a fork.
    pub fn descriptor(&self) -> Result<i32, PortMappingError> {
        let mut state = self.lock()?;
        if let Some(signal) = &state.signal {
            return Ok(signal.descriptor());
        }
        let mut signal = Signal::new()?;
        if state.told {
            signal.raise();
        }
        Ok(state.signal.insert(signal).descriptor())
    }

    /// The next wait that is over, waiting for one at most for `timeout`; zero only looks. Several threads may call it.
    ///
    /// Fails with `timeout`, and with `stopped` once the waits are stopped and all were given out.
    pub fn next(&self, timeout: impl Into<Option<Duration>>) -> Result<Completion<T>, PortMappingError> {
        let limit = timeout.into();
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock()?;
        loop {
            while let Some(token) = state.woken.pop_front() {
                if let Some(Slot::Cancelled) = state.slots.get(&token) {
                    state.slots.remove(&token);
                    return Ok(Completion { token, end: WaitEnd::Cancelled });
                }
                let Some(wait) = state.take(token) else { continue };
                drop(state);
                if let Some(end) = self.poll(token, wait) {
                    return Ok(Completion { token, end });
                }
                state = self.shared.lock();
            }
            if state.stopped && state.slots.is_empty() {
                return Err(PortMappingError::stopped("the waits are stopped"));
            }
            state.found_nothing();
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    return Err(PortMappingError::timeout(format!("no wait was over within {}", seconds(limit))));
                }
                Some(left) => self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes one step; how the wait ended, if it did.
    fn poll(&self, token: u64, mut wait: Wait<T>) -> Option<WaitEnd<T>> {
        let waker = Waker::from(Arc::new(Knock { token, shared: Arc::clone(&self.shared) }));
        let step = AssertUnwindSafe(|| wait.as_mut().poll(&mut Context::from_waker(&waker)));
        let ended = match catch_unwind(step) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(result)) => Some(WaitEnd::Done(result)),
            Err(_) => Some(WaitEnd::Panicked),
        };
        let mut state = self.shared.lock();
        let (woken, cancelled) = match state.slots.get(&token) {
            Some(Slot::Polling { woken, cancelled }) => (*woken, *cancelled),
            Some(Slot::Waiting(_) | Slot::Cancelled) | None => (false, true),
        };
        if ended.is_none() && !cancelled {
            state.slots.insert(token, Slot::Waiting(wait));
            if woken {
                state.woken.push_back(token);
            }
            return None;
        }
        state.slots.remove(&token);
        // After a stop others may wait for the last one to be gone.
        self.shared.tell(state);
        drop(wait);
        Some(ended.unwrap_or(WaitEnd::Cancelled))
    }
}

impl<T> Drop for Waits<T> {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // What the futures hold may be locked for ever here; it goes with the process.
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
        let slots = std::mem::take(&mut self.shared.lock().slots);
        drop(slots);
    }
}

#[cfg(test)]
#[path = "waits_tests.rs"]
mod tests;
