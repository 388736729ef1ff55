//! What the handles of one environment (the main thread or a worker) share.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use portlease::{Completion, Mapper, PortMappingError, Release, WaitEnd};

use crate::config::limit;
use crate::error::{FailedView, Failure, failure};
use crate::wait::{AnswerView, Bell, Outcome, Waits};

/// How long a process that ends waits beyond the mappers' own limit, for an engine that does not answer.
const GRACE: Duration = Duration::from_millis(200);

/// How long a worker that is terminated waits for its mappers.
const TERMINATED: Duration = Duration::from_secs(2);

/// The pending calls, and the mappers that the end of the process must stop.
pub(crate) struct Shared {
    pub(crate) waits: Arc<Waits>,
    mappers: Mutex<Mappers>,
}

#[derive(Default)]
struct Mappers {
    live: Vec<Weak<Mapper>>,
    /// Those that the garbage collector took and that may not have ended.
    ending: Vec<Arc<Mapper>>,
    /// The end has waited for them, and does not wait a second time.
    waited: bool,
}

impl Mappers {
    fn sweep(&mut self) {
        self.live.retain(|mapper| mapper.strong_count() > 0);
        self.ending.retain(|mapper| !has_ended(mapper));
    }
}

/// Whether a mapper that was asked to stop has ended; does not wait.
fn has_ended(mapper: &Mapper) -> bool {
    let looked = portlease::wait_for(pin!(mapper.stop(Duration::ZERO)), Duration::ZERO);
    looked.is_some_and(|release| release != Release::Pending)
}

impl Shared {
    fn mappers(&self) -> MutexGuard<'_, Mappers> {
        // Nothing under this lock leaves the lists half-changed, so poisoned ones are still whole.
        self.mappers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a mapper stopped at the end of the process.
    pub(crate) fn add(&self, mapper: &Arc<Mapper>) {
        let mut mappers = self.mappers();
        mappers.sweep();
        mappers.live.push(Arc::downgrade(mapper));
    }

    /// Lets a mapper go that nobody can reach any more: it releases in the background.
    pub(crate) fn let_go(&self, mapper: &Arc<Mapper>) {
        mapper.begin_stop();
        let mut mappers = self.mappers();
        mappers.sweep();
        if !has_ended(mapper) {
            mappers.ending.push(Arc::clone(mapper));
        }
    }

    /// Stops every mapper and waits for that, at most for `limit`, however it goes: at the end nobody could do anything
    /// about it.
    fn stop_all(&self, limit: Duration) {
        let waited = Mappers { waited: true, ..Mappers::default() };
        let Mappers { live, ending, .. } = std::mem::replace(&mut *self.mappers(), waited);
        let all = ending.into_iter().chain(live.iter().filter_map(Weak::upgrade));
        let _release = portlease::wait_for(pin!(Mapper::stop_all(all, limit)), limit.saturating_add(GRACE));
    }
}

impl Drop for Shared {
    /// A worker that is terminated runs no JavaScript in the end, so nobody has called [`Host::stop_all`]: its own
    /// thread waits here.
    fn drop(&mut self) {
        if !self.mappers().waited {
            self.stop_all(TERMINATED);
        }
    }
}

/// The start of everything in one environment.
#[napi]
pub struct Host {
    shared: Arc<Shared>,
    /// How the wait ended that [`next`](Self::next) found last. If nobody takes it, an event in it goes back.
    outcome: Option<Outcome>,
}

impl Host {
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

#[napi]
impl Host {
    /// `bell` is called when it is time to call [`next`](Self::next) until that finds nothing.
    #[napi(constructor, catch_unwind)]
    pub fn new(#[napi(ts_arg_type = "() => void")] bell: Bell) -> Self {
        let waits = Waits::with_notify(move || {
            // If the environment has gone, nobody is left to be woken.
            let _closing = bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Self { shared: Arc::new(Shared { waits: Arc::new(waits), mappers: Mutex::default() }), outcome: None }
    }

    /// The number of the next wait that is over, if there is one; `take` has its outcome. Does not wait.
    #[napi(catch_unwind)]
    pub fn next(&mut self) -> Option<f64> {
        loop {
            let Completion { token, end, .. } = self.shared.waits.next(Duration::ZERO).ok()?;
            self.outcome = Some(match end {
                WaitEnd::Done(outcome) => outcome,
                WaitEnd::Panicked => Err(PortMappingError::internal("the call failed by a panic")),
                // JavaScript has forgotten it already.
                WaitEnd::Cancelled => continue,
            });
            return Some(token as f64);
        }
    }

    /// How the wait ended that `next` found last; `null` the second time.
    #[napi(
        catch_unwind,
        ts_return_type = "string | LeaseView | EventView | ReportView | Array<EntryView> | FailedView | null"
    )]
    pub fn take(&mut self) -> Option<AnswerView> {
        Some(match self.outcome.take()? {
            Ok(answer) => AnswerView::from(answer),
            Err(error) => AnswerView::F(FailedView::from(&error)),
        })
    }

    /// Ends a wait; what was waited for goes on.
    #[napi(catch_unwind)]
    pub fn cancel(&self, token: f64) -> Result<(), Failure> {
        self.shared.waits.cancel(token as u64).map_err(|error| failure(&error))
    }

    /// Stops every mapper and waits for that, at most for so many milliseconds: for the end of the process.
    #[napi(catch_unwind)]
    pub fn stop_all(&self, timeout: f64) {
        self.shared.stop_all(limit(Some(timeout)).unwrap_or_default());
    }
}
