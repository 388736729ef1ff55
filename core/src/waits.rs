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

/// Many waits at once. The caller begins each with a token of its own, and [`next`](Self::next) gives out the end of
/// each exactly once, also if it was cancelled.
///
/// Only `next` polls the futures, on the thread that calls it: `Waits` starts no thread, and an engine's thread runs
/// none of the host's code but `notify`. A host with an event loop watches [`descriptor`](Self::descriptor) or is called
/// by [`with_notify`](Self::with_notify); others block in `next`.
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
    /// The process that made it: in the child of a fork, a thread that does not exist there may hold the lock.
    process: u32,
}

/// A wait that is over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion<T> {
    /// The token with which the wait was begun.
    pub token: u64,
    /// How it ended.
    pub end: WaitEnd<T>,
}

/// How a wait ended.
#[derive(Debug)]
#[must_use = "an event or a lease may be in it"]
pub enum WaitEnd<T> {
    /// The future ended with this result.
    Done(T),
    /// [`Waits::cancel`] or [`Waits::stop`] ended the wait.
    Cancelled,
    /// The future panicked, which is a defect.
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
    /// The slots to look at, each once: those that are `Cancelled` or `Waiting` and woken.
    woken: VecDeque<u64>,
    stopped: bool,
    /// Whether the host was told to call `next`, and has since found something each time.
    told: bool,
    signal: Option<Signal>,
}

enum Slot<T> {
    Waiting { wait: Wait<T>, woken: bool },
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
        if state.wake(self.token) {
            self.shared.tell(state);
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing under this lock can panic half-way, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// If `next` is worth a call, wakes a thread in it and tells the host.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>) {
        if state.woken.is_empty() && !state.stopped {
            return;
        }
        let first = !std::mem::replace(&mut state.told, true);
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
    /// Queues a wait that was woken. `false` if it stands in the queue already, or the thread that polls it looks again.
    fn wake(&mut self, token: u64) -> bool {
        match self.slots.get_mut(&token) {
            Some(Slot::Waiting { woken, .. }) if !*woken => {
                *woken = true;
                self.woken.push_back(token);
                true
            }
            Some(Slot::Polling { woken, .. }) => {
                *woken = true;
                false
            }
            Some(Slot::Waiting { .. } | Slot::Cancelled) | None => false,
        }
    }

    /// Cancels a wait that is not over. The future is for the caller to drop, without the lock.
    fn cancel(&mut self, token: u64) -> Option<Wait<T>> {
        let slot = self.slots.get_mut(&token)?;
        if let Slot::Polling { cancelled, .. } = slot {
            *cancelled = true;
            return None;
        }
        let Slot::Waiting { wait, woken } = std::mem::replace(slot, Slot::Cancelled) else { return None };
        if !woken {
            self.woken.push_back(token);
        }
        Some(wait)
    }

    /// Takes the next slot of the queue: a wait to be polled, or none if the wait was cancelled.
    fn take(&mut self) -> Option<(u64, Option<Wait<T>>)> {
        let token = self.woken.pop_front()?;
        let Some(Slot::Waiting { wait, .. }) = self.slots.remove(&token) else { return Some((token, None)) };
        self.slots.insert(token, Slot::Polling { woken: false, cancelled: false });
        Some((token, Some(wait)))
    }

    /// The host found nothing: it is told again when something is there.
    fn found_nothing(&mut self) {
        if self.stopped {
            return; // `next` stays worth a call: it tells that
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
    /// Creates an empty set of waits, for hosts that block in [`next`](Self::next) or watch
    /// [`descriptor`](Self::descriptor).
    pub fn new() -> Self {
        Self::with(None)
    }

    /// Creates an empty set of waits that calls `notify` when `next` with a timeout of zero is worth a call. After a call
    /// of `notify`, the next one comes only after `next` has failed with `timeout`. Any thread may call it, an engine's
    /// included, so it must not block.
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

    /// Begins a wait; does not block. The token can be used again once [`next`](Self::next) has given out the wait's end.
    ///
    /// Fails with `invalid` if the token is in use, and with `stopped` after [`stop`](Self::stop) and in the child of a
    /// fork.
    pub fn begin(&self, token: u64, wait: impl Future<Output = T> + Send + 'static) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        if state.stopped {
            return Err(PortMappingError::stopped("the waits are stopped"));
        }
        if state.slots.contains_key(&token) {
            return Err(PortMappingError::invalid("token", format!("{token} belongs to a wait that is not over")));
        }
        state.slots.insert(token, Slot::Waiting { wait: Box::pin(wait), woken: false });
        state.wake(token);
        self.shared.tell(state);
        Ok(())
    }

    /// Cancels the wait with this token, if there is one, by dropping its future. A wait that `next` finds over at this
    /// moment keeps its result. Fails with `stopped` in the child of a fork.
    pub fn cancel(&self, token: u64) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        let wait = state.cancel(token);
        self.shared.tell(state);
        wait.into_iter().for_each(discard);
        Ok(())
    }

    /// Cancels all waits and refuses new ones, which wakes every thread in [`next`](Self::next). Fails with `stopped` in
    /// the child of a fork.
    pub fn stop(&self) -> Result<(), PortMappingError> {
        let mut state = self.lock()?;
        state.stopped = true;
        let tokens: Vec<u64> = state.slots.keys().copied().collect();
        let waits: Vec<_> = tokens.into_iter().filter_map(|token| state.cancel(token)).collect();
        self.shared.tell(state);
        waits.into_iter().for_each(discard);
        Ok(())
    }

    /// Returns a descriptor for `poll(2)` and similar calls: it is readable while `next` with a timeout of zero is worth a
    /// call. It belongs to the waits: do not read from it or close it.
    ///
    /// Fails with `invalid` on systems without such descriptors (Windows), with `internal` if the system gives none, and
    /// with `stopped` in the child of a fork.
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

    /// Waits, at most for `timeout`, for the next wait that is over; zero only looks. Several threads may call it.
    ///
    /// Fails with `timeout`, and with `stopped` once the waits are stopped and the end of each was given out, or in the
    /// child of a fork.
    pub fn next(&self, timeout: impl Into<Option<Duration>>) -> Result<Completion<T>, PortMappingError> {
        let limit = timeout.into();
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock()?;
        loop {
            // Each once, and then a look at the clock: a wait may wake itself again and again.
            for _ in 0..state.woken.len() {
                let Some((token, wait)) = state.take() else { break };
                let Some(wait) = wait else { return Ok(Completion { token, end: WaitEnd::Cancelled }) };
                drop(state);
                if let Some(end) = self.poll(token, wait) {
                    return Ok(Completion { token, end });
                }
                state = self.shared.lock();
            }
            if state.stopped && state.slots.is_empty() {
                return Err(PortMappingError::stopped("the waits are stopped"));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left != Some(Duration::ZERO) && !state.woken.is_empty() {
                continue;
            }
            state.found_nothing();
            state = match left {
                Some(Duration::ZERO) => {
                    self.shared.tell(state);
                    return Err(PortMappingError::timeout(format!("no wait was over within {}", seconds(limit))));
                }
                Some(left) => self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Polls a wait once; how it ended, if it did.
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
            Some(Slot::Waiting { .. } | Slot::Cancelled) | None => (false, true),
        };
        if ended.is_none() && !cancelled {
            state.slots.insert(token, Slot::Waiting { wait, woken: false });
            if woken {
                state.wake(token);
            }
            return None;
        }
        state.slots.remove(&token);
        // After a stop, other threads may wait until the last one is gone.
        self.shared.tell(state);
        discard(wait);
        Some(ended.unwrap_or(WaitEnd::Cancelled))
    }
}

/// Drops a future. If its drop panics, that must not take a completion along.
fn discard<T>(wait: Wait<T>) {
    if catch_unwind(AssertUnwindSafe(|| drop(wait))).is_err() {
        tracing::error!("a wait panicked while it was dropped");
    }
}

impl<T> Drop for Waits<T> {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // Locks inside the futures may never be released here; the memory goes with the process.
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
