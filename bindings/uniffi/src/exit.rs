//! What the end of a process must not forget: the mappers that run.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use portlease::{Mapper, Release as Core};

use crate::names::Release;
use crate::value::Seconds;

/// How long a process that ends waits beyond the limit, for an engine that does not answer.
const GRACE: Duration = Duration::from_millis(200);

static RUNNING: Mutex<Vec<Weak<Mapper>>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<Weak<Mapper>>> {
    // Nothing under this lock leaves the list half-changed.
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has [`stop_all`] stop this one too.
pub(crate) fn adopt(mapper: &Arc<Mapper>) {
    let mut running = running();
    running.retain(|mapper| mapper.strong_count() > 0);
    running.push(Arc::downgrade(mapper));
}

/// Stops every mapper of the process and waits for that on the calling thread, at most for `timeout`, all together; for
/// the end of the process. Answers with the worst outcome.
#[uniffi::export]
pub fn stop_all(timeout: Seconds) -> Release {
    let limit = timeout.limit();
    let mappers: Vec<_> = running().drain(..).filter_map(|mapper| mapper.upgrade()).collect();
    let stopped = portlease::wait_for(pin!(Mapper::stop_all(mappers, limit)), limit.saturating_add(GRACE));
    stopped.unwrap_or(Core::Pending).into()
}
