//! Time that goes on while the machine sleeps. Lifetimes on a gateway do, and the clocks of std and tokio do not.

use std::sync::OnceLock;
#[cfg(test)]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use std::time::Duration;

use tokio::time::Instant;

use crate::system;

/// A point of time on a [`Clock`]. Those of different clocks have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// The time from `earlier` to this; zero if it is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// `time` later, or so far away that it never comes.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// `time` earlier; `None` before the clock began.
    pub(crate) fn before(self, time: Duration) -> Option<Self> {
        self.0.checked_sub(time).map(Self)
    }
}

/// Tells the time, the time in sleep included. Copies tell the same time.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// The system's clock. It can be read anywhere, also in a host's runtime whose own clock is paused.
    System,
    /// The clock of the runtime in which it is read, which a test can pause, and the system's sleep.
    Runtime,
    /// The clock of the runtime, and a sleep of this many nanoseconds in all.
    #[cfg(test)]
    Test(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub(crate) fn system() -> Self {
        Self(Source::System)
    }

    /// The clock of the runtime in which it is read, with the system's sleep.
    pub(crate) fn runtime() -> Self {
        Self(Source::Runtime)
    }

    /// The clock of the runtime in which it is read, which sleeps by [`sleep_through`](Self::sleep_through) alone.
    #[cfg(test)]
    pub(crate) fn test() -> Self {
        Self(Source::Test(Arc::default()))
    }

    /// Lets `time` pass in which nothing runs.
    #[cfg(test)]
    pub(crate) fn sleep_through(&self, time: Duration) {
        if let Source::Test(slept) = &self.0 {
            slept.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// The present time.
    pub(crate) fn now(&self) -> Moment {
        Moment(match &self.0 {
            Source::System => system::time(),
            Source::Runtime if system::INSTANT_RUNS_IN_SLEEP => runtime_time(),
            Source::Runtime => runtime_time() + self.slept(),
            #[cfg(test)]
            Source::Test(_) => runtime_time() + self.slept(),
        })
    }

    /// How long the machine has slept. Only the difference of two answers has a meaning.
    pub(crate) fn slept(&self) -> Duration {
        match &self.0 {
            Source::System | Source::Runtime => system::slept(),
            #[cfg(test)]
            Source::Test(slept) => Duration::from_nanos(slept.load(Ordering::Relaxed)),
        }
    }

    /// Waits until `moment`. Time in which the machine sleeps counts only at the next look, so a wait that began before a sleep
    /// may end late by as much; whoever must not miss that listens for it, see [`crate::world`].
    pub(crate) async fn sleep_until(&self, moment: Moment) {
        /// A timer cannot be set for longer.
        const LONGEST: Duration = Duration::from_secs(86_400 * 365);
        loop {
            let left = moment.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LONGEST)).await;
        }
    }
}

/// The time since the first call, by the clock of the runtime.
fn runtime_time() -> Duration {
    /// Earlier than the first call, so that a moment before it can be told.
    const HEAD: Duration = Duration::from_secs(86_400 * 30);
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let began = *BEGAN.get_or_init(|| now);
    // A runtime that is paused later may be behind the first call.
    match now.checked_duration_since(began) {
        Some(since) => HEAD + since,
        None => HEAD.saturating_sub(began.duration_since(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_runs_and_agrees_with_the_monotonic_one_while_the_machine_is_awake() {
        let clock = Clock::system();
        let (before, awake) = (clock.now(), std::time::Instant::now());
        std::thread::yield_now();
        let passed = clock.now().since(before);
        assert!(passed <= awake.elapsed() + Duration::from_millis(100), "{passed:?}");
        assert!(clock.now() >= before);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_sleep_counts_and_a_wait_that_began_before_ends_at_its_next_look() {
        let clock = Clock::test();
        let began = clock.now();
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.sleep_through(Duration::from_secs(60));
        assert_eq!(clock.now().since(began), Duration::from_secs(65));
        let awake = Instant::now();
        clock.sleep_until(began.after(Duration::from_secs(30))).await;
        assert_eq!(awake.elapsed(), Duration::ZERO);
        clock.sleep_until(began.after(Duration::from_secs(70))).await;
        assert_eq!(awake.elapsed(), Duration::from_secs(5));
    }
}
