//! Completes the hosts' waits on a thread of its own.
//!
//! Waking a host runs the host's code: on the JVM the thread is attached, waits for the garbage collector, and may run
//! the program there and then (`Dispatchers.Unconfined`). Core's thread, which renews leases and ends waits in time, must
//! do none of that. So each mapper has one more thread, which polls core's futures and hands over their results.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use portlease::{PortMappingError, Waits};
use tokio::sync::oneshot;

use crate::names::PortLeaseError;

/// The waits of one mapper, its leases and its readers of events.
#[derive(Debug)]
pub(crate) struct Relay {
    waits: Arc<Waits<()>>,
    last_token: AtomicU64,
}

impl Relay {
    /// Starts the thread. Fails with `internal` if the system gives none.
    pub(crate) fn start() -> Result<Arc<Self>, PortLeaseError> {
        let waits = Arc::new(Waits::new());
        let polled = Arc::clone(&waits);
        thread::Builder::new()
            .name("portlease-wake".to_owned())
            .spawn(move || while polled.next(None).is_ok() {})
            .map_err(|error| PortMappingError::internal(format!("cannot start the waking thread: {error}")))?;
        Ok(Arc::new(Self { waits, last_token: AtomicU64::new(0) }))
    }

    /// Waits for the future that `begin` makes from one of core's handles. Dropping this future drops that one.
    pub(crate) async fn wait<C, F>(&self, core: &Arc<C>, begin: impl Fn(Arc<C>) -> F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let future = begin(Arc::clone(core));
        let token = self.last_token.fetch_add(1, Ordering::Relaxed);
        // If the thread has ended, this drops the future and `done` with it.
        let begun = self.waits.begin(token, async move { drop(done.send(future.await)) });
        let _cancel = begun.is_ok().then(|| Cancel { waits: &self.waits, token });
        match result.await {
            Ok(result) => result,
            // The engine has ended, so nothing is left to wait for and core's thread wakes nobody.
            Err(_) => begin(Arc::clone(core)).await,
        }
    }

    /// Ends the thread. The engine must have ended; waits that are not over yet end on the hosts' own threads.
    pub(crate) fn end(&self) {
        drop(self.waits.stop());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

/// Cancels a wait when its host no longer waits; does nothing to one that is over.
struct Cancel<'a> {
    waits: &'a Waits<()>,
    token: u64,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        drop(self.waits.cancel(self.token));
    }
}
