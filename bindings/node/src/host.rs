//! What the handles of one environment (the main thread or a worker) share.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use napi::bindgen_prelude::Object;
use napi_derive::napi;
use portlease::Mapper;

use crate::config::milliseconds;
use crate::error::{Failure, failure};
use crate::mapper::MapperHandle;
use crate::settings;
use crate::wait::Bell;

/// How long a process that ends waits beyond the mappers' own limit, for an engine that does not answer.
const GRACE: Duration = Duration::from_millis(200);

/// How long a worker that is terminated waits for its mappers.
const TERMINATED: Duration = Duration::from_secs(2);

type Ending = Pin<Box<dyn Future<Output = bool> + Send>>;

/// The bell, and the mappers that the end of the process must stop.
pub(crate) struct Shared {
    pub(crate) bell: Arc<Bell>,
    mappers: Mutex<Mappers>,
}

#[derive(Default)]
struct Mappers {
    live: Vec<Weak<Mapper>>,
    /// The stops of those that the garbage collector took and that have not ended.
    ending: Vec<Ending>,
    /// The end has waited for them, and waits no second time.
    waited: bool,
}

impl Mappers {
    fn sweep(&mut self) {
        self.live.retain(|mapper| mapper.strong_count() > 0);
        self.ending.retain_mut(is_pending);
    }
}

/// Begins or continues; nobody is woken by it.
fn is_pending(ending: &mut Ending) -> bool {
    ending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

impl Shared {
    fn mappers(&self) -> MutexGuard<'_, Mappers> {
        // Nothing under this lock leaves the lists half-changed, so poisoned ones are still whole.
        self.mappers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a mapper go that nobody can reach any more: it releases in the background.
    pub(crate) fn let_go(&self, mapper: &Arc<Mapper>) {
        let mapper = Arc::clone(mapper);
        let mut ending: Ending = Box::pin(async move { mapper.stop(None).await });
        let mut mappers = self.mappers();
        mappers.sweep();
        if is_pending(&mut ending) {
            mappers.ending.push(ending);
        }
    }

    /// Stops every mapper and waits for that, at most for `limit`.
    fn stop_all(&self, limit: Duration) -> bool {
        let waited = Mappers { waited: true, ..Mappers::default() };
        let Mappers { live, mut ending, .. } = std::mem::replace(&mut *self.mappers(), waited);
        for mapper in live.iter().filter_map(Weak::upgrade) {
            ending.push(Box::pin(async move { mapper.stop(limit).await }));
        }
        let mut all = true;
        let mut ended = std::pin::pin!(std::future::poll_fn(|context| {
            ending.retain_mut(|ending| match ending.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(over) => {
                    all &= over;
                    false
                }
            });
            if ending.is_empty() { Poll::Ready(all) } else { Poll::Pending }
        }));
        portlease::wait_for(ended.as_mut(), limit.saturating_add(GRACE)).unwrap_or(false)
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
}

#[napi]
impl Host {
    /// `bell` is called with the number of each wait that is to be polled.
    #[napi(constructor, catch_unwind)]
    pub fn new(#[napi(ts_arg_type = "(wait: number) => void")] bell: Bell) -> Self {
        Self { shared: Arc::new(Shared { bell: Arc::new(bell), mappers: Mutex::default() }) }
    }

    /// Starts a mapper.
    #[napi(catch_unwind)]
    pub fn start(&self, settings: Object<'_>) -> Result<MapperHandle, Failure> {
        let config = settings::config(&settings).map_err(|error| failure(&error))?;
        let mapper = Arc::new(Mapper::start(config).map_err(|error| failure(&error))?);
        let mut mappers = self.shared.mappers();
        mappers.sweep();
        mappers.live.push(Arc::downgrade(&mapper));
        drop(mappers);
        Ok(MapperHandle::new(mapper, Arc::clone(&self.shared)))
    }

    /// Stops every mapper and waits for that, at most for so many milliseconds: for the end of the process.
    #[napi(catch_unwind)]
    pub fn stop_all(&self, timeout: f64) -> Result<bool, Failure> {
        let limit = milliseconds("timeout", timeout).map_err(|error| failure(&error))?;
        Ok(self.shared.stop_all(limit))
    }
}
