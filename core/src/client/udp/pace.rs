//! How many requests a gateway is given at once, when they are repeated, and how long their answers are waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use crate::schedule::{PCP_DEADLINE, QUEUE_TOLERANCE, RETRANSMIT_INITIAL, UDP_DEADLINE_MAX};

/// Requests that an unknown gateway is given at once.
pub(super) const START: u32 = 4;
/// A loss alone never brings the number below this: on Wi-Fi it is the air that loses, not the gateway, and whoever waits for
/// a repetition keeps it no less busy than before.
pub(super) const LOSSY: u32 = 8;
/// The fewest: one after another, for a gateway whose answers take longer the more it is asked.
const MIN: u32 = 1;
/// The most. Two protocols at this size use as many sockets as there are.
pub(super) const MAX: u32 = 32;

/// Repeated exchanges in a row that are taken for losses. After more of them the gateway is taken to be slow.
const REPEATED_BY_LOSS: u32 = 1;
/// How often the wait before a repetition doubles at most.
const MAX_DOUBLINGS: u32 = 3;

/// What the answers of one gateway in one protocol tell about its speed. Pure: it knows of no clock and no socket.
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    /// Answers since `size` last grew.
    credit: u32,
    /// By how much the window is wider as long as nothing is heard at all.
    in_silence: u32,
    /// Requests sent so far.
    sent: u64,
    /// Answers so far.
    heard: u64,
    /// Requests sent before this one say nothing new about a window that was halved since.
    halved_at: u64,
    /// The shortest round trip so far.
    least: Option<Duration>,
    smoothed: Option<Duration>,
    /// Answers in a row that came only after a repetition, so that their round trip is not known.
    repeated: u32,
}

/// A request as the window knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    number: u64,
    heard_before: u64,
}

/// What no answer by the time of the repetition means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Others were answered meanwhile: this one was lost, or the gateway is busy.
    Lost,
    /// Nobody was.
    Silence,
}

impl Window {
    const fn new() -> Self {
        Self {
            size: START,
            credit: 0,
            in_silence: 0,
            sent: 0,
            heard: 0,
            halved_at: 0,
            least: None,
            smoothed: None,
            repeated: 0,
        }
    }

    /// How many requests may be under way.
    fn size(&self) -> u32 {
        (self.size + self.in_silence).min(MAX)
    }

    fn send(&mut self) -> Sent {
        self.sent += 1;
        Sent { number: self.sent, heard_before: self.heard }
    }

    /// An answer came. `round_trip` is that of a request that was sent once: of a repeated one nobody knows which
    /// sending was answered. The window grows only if it is `full`, because otherwise its size was not put to the test.
    fn answered(&mut self, request: Sent, round_trip: Option<Duration>, full: bool) {
        self.heard += 1;
        self.in_silence = 0;
        match round_trip {
            Some(time) => {
                self.repeated = 0;
                self.least = Some(self.least.map_or(time, |least| least.min(time)));
                self.smoothed = Some(self.smoothed.map_or(time, |smoothed| (smoothed * 3 + time) / 4));
            }
            None => self.repeated = self.repeated.saturating_add(1),
        }
        if self.crowded() {
            self.halve(request, MIN);
        } else if full {
            self.credit += 1;
            if self.credit >= self.size {
                (self.size, self.credit) = ((self.size + 1).min(MAX), 0);
            }
        }
    }

    /// An answer came after its exchange had been given up.
    fn answered_late(&mut self, round_trip: Duration) {
        self.heard += 1;
        self.in_silence = 0;
        self.least = Some(self.least.map_or(round_trip, |least| least.min(round_trip)));
        self.smoothed = Some(self.smoothed.map_or(round_trip, |smoothed| smoothed.max(round_trip)));
    }

    /// It is time to repeat a request, `holds_turn` if it counts among those under way. In silence the window widens,
    /// because those behind need not wait for a gateway that is not there: each round of requests may be twice the one
    /// before.
    fn unanswered(&mut self, request: Sent, holds_turn: bool) -> Unanswered {
        if self.heard == request.heard_before {
            self.in_silence = (self.in_silence + u32::from(holds_turn)).min(MAX);
            return Unanswered::Silence;
        }
        self.halve(request, if self.crowded() { MIN } else { LOSSY });
        Unanswered::Lost
    }

    /// Whether the gateway takes longer because it is asked so much.
    fn crowded(&self) -> bool {
        matches!((self.smoothed, self.least), (Some(smoothed), Some(least)) if smoothed > least * 2 + QUEUE_TOLERANCE)
    }

    /// Halves the window, once for all the requests that were under way at the time.
    fn halve(&mut self, request: Sent, floor: u32) {
        if request.number <= self.halved_at || self.size <= floor {
            return;
        }
        (self.size, self.credit) = ((self.size / 2).max(floor), 0);
        self.halved_at = self.sent;
    }

    /// How long an answer is waited for: longer where the gateway is known to take its time.
    fn deadline(&self) -> Duration {
        (self.smoothed.unwrap_or_default() * 2).clamp(PCP_DEADLINE, UDP_DEADLINE_MAX)
    }

    /// When a request is repeated for the first time. A repetition to a gateway that is merely slow makes it slower, so
    /// it waits for twice the round trip, but leaves time for an answer before the deadline.
    fn repeat_after(&self) -> Duration {
        let doublings = self.repeated.saturating_sub(REPEATED_BY_LOSS).min(MAX_DOUBLINGS);
        let wait = (self.smoothed.unwrap_or_default() * 2).max(RETRANSMIT_INITIAL) * 2u32.pow(doublings);
        wait.min(self.deadline() * 2 / 3)
    }
}

/// One protocol's way to the gateway. Each has its own, because a gateway may be silent in one and answer in another.
#[derive(Debug)]
pub(super) struct Lane {
    /// First come, first served.
    turns: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// Turns that exist, given out or not.
    turns: u32,
}

impl Lane {
    pub(super) fn new() -> Self {
        let turns = Semaphore::new(START as usize);
        Self { turns, state: Mutex::new(State { window: Window::new(), turns: START }) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, AcquireError> {
        Ok(Turn { lane: self, permit: Some(self.turns.acquire().await?) })
    }

    pub(super) fn send(&self) -> Sent {
        self.state().window.send()
    }

    pub(super) fn answered(&self, request: Sent, round_trip: Option<Duration>) {
        let full = self.turns.available_permits() == 0;
        self.change(|window| window.answered(request, round_trip, full));
    }

    pub(super) fn answered_late(&self, round_trip: Duration) {
        self.change(|window| window.answered_late(round_trip));
    }

    pub(super) fn unanswered(&self, request: Sent, holds_turn: bool) -> Unanswered {
        self.change(|window| window.unanswered(request, holds_turn))
    }

    /// How many answers were heard so far.
    pub(super) fn heard(&self) -> u64 {
        self.state().window.heard
    }

    /// The deadline of a request that is sent now, and when it is to be repeated for the first time.
    pub(super) fn times(&self) -> (Duration, Duration) {
        let state = self.state();
        (state.window.deadline(), state.window.repeat_after())
    }

    /// Lets the number of turns follow the window. Turns that are given out are taken away when they are returned.
    fn change<T>(&self, act: impl FnOnce(&mut Window) -> T) -> T {
        let mut state = self.state();
        let outcome = act(&mut state.window);
        let size = state.window.size();
        if let Some(more) = size.checked_sub(state.turns) {
            self.turns.add_permits(more as usize);
            state.turns = size;
        } else {
            let gone = self.turns.forget_permits((state.turns - size) as usize);
            state.turns -= u32::try_from(gone).unwrap_or(state.turns);
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.state().window.size() as usize
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.turns.available_permits()
    }
}

/// The right to have a request under way. Given back when dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.lane.state();
        if state.turns > state.window.size() {
            state.turns -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
