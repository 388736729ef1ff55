//! Whether the machine has slept. Then every mapping is older than the timers say, and may be gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::sleep;

use crate::clock::Clock;
use crate::schedule::{SLEEP_CHECK_INTERVAL, SLEEP_TOLERANCE};
use crate::world::Worlds;

/// Looks now and then at the clock of one mapper, as long as a lease lives.
#[derive(Debug, Clone)]
pub(crate) struct SleepWatch {
    clock: Clock,
    worlds: Worlds,
    running: Arc<AtomicBool>,
}

impl SleepWatch {
    /// A watch that tells `worlds` that the machine has slept.
    pub(crate) fn new(clock: Clock, worlds: Worlds) -> Self {
        Self { clock, worlds, running: Arc::default() }
    }

    /// What is to be run for a new lease, which watches its world already: nothing where the watch is kept for others.
    pub(crate) fn begin(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let begins = !self.running.swap(true, Ordering::AcqRel);
        begins.then(|| self.clone().keep())
    }

    async fn keep(self) {
        let mut slept = self.clock.slept();
        loop {
            sleep(SLEEP_CHECK_INTERVAL).await;
            if !self.worlds.is_watched() {
                self.running.store(false, Ordering::Release);
                // A lease that came in between has found the watch running.
                if !self.worlds.is_watched() || self.running.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
            let asleep = self.clock.slept().saturating_sub(slept);
            // Short sleeps add up.
            if asleep >= SLEEP_TOLERANCE {
                slept += asleep;
                tracing::debug!(?asleep, "the machine has slept: every lease renews");
                self.worlds.unsure();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mapping::AddressFamily;
    use crate::world::Change;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_told_at_the_next_look_and_once_and_short_ones_add_up() {
        let (clock, worlds) = (Clock::test(), Worlds::default());
        let watch = SleepWatch::new(clock.clone(), worlds.clone());
        let mut changes = worlds.of(AddressFamily::Ipv6).watch();
        tokio::spawn(watch.begin().unwrap());
        assert!(watch.begin().is_none(), "one is enough");
        sleep(SLEEP_CHECK_INTERVAL * 10).await;
        assert_eq!(changes.take(), None);
        for time in [Duration::from_secs(60), SLEEP_TOLERANCE] {
            clock.sleep_through(time);
            sleep(SLEEP_CHECK_INTERVAL).await;
            assert_eq!(changes.take(), Some(Change::Unsure));
            sleep(SLEEP_CHECK_INTERVAL * 10).await;
            assert_eq!(changes.take(), None);
        }
        clock.sleep_through(SLEEP_TOLERANCE / 2);
        sleep(SLEEP_CHECK_INTERVAL * 2).await;
        assert_eq!(changes.take(), None);
        clock.sleep_through(SLEEP_TOLERANCE / 2);
        sleep(SLEEP_CHECK_INTERVAL * 2).await;
        assert_eq!(changes.take(), Some(Change::Unsure));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lease_nothing_wakes_up_and_the_next_lease_begins_the_watch_again() {
        let (clock, worlds) = (Clock::test(), Worlds::default());
        let watch = SleepWatch::new(clock, worlds.clone());
        let changes = worlds.of(AddressFamily::Ipv6).watch();
        let task = tokio::spawn(watch.begin().unwrap());
        drop(changes);
        task.await.unwrap();
        let _changes = worlds.of(AddressFamily::Ipv6).watch();
        assert!(watch.begin().is_some());
    }
}
