//! Wakes the host from a thread of its own.
//!
//! UniFFI's wakers call into the host: on the JVM such a call attaches the thread, waits for the garbage collector, and
//! may run the program's code there and then (`Dispatchers.Unconfined`). Core's thread, which renews leases and ends
//! waits in time, must do none of that. So core's futures get wakers that put the host's waker into a queue.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;

use portlease::PortMappingError;

use crate::names::PortLeaseError;

/// The queue to the thread that wakes the host.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    queue: Arc<Mutex<Option<Sender<Waker>>>>,
}

impl Relay {
    /// Starts the thread. Fails with `internal` where the system gives none.
    pub(crate) fn start() -> Result<Self, PortLeaseError> {
        let (queue, wakers) = channel::<Waker>();
        thread::Builder::new()
            .name("portlease-wake".to_owned())
            .spawn(move || wakers.into_iter().for_each(Waker::wake))
            .map_err(|error| PortMappingError::internal(format!("cannot start the waking thread: {error}")))?;
        Ok(Self { queue: Arc::new(Mutex::new(Some(queue))) })
    }

    /// Lets the thread end as soon as the waits end that go on. Core's thread must have ended: then nobody is woken but
    /// by the host's own threads.
    pub(crate) fn end(&self) {
        self.queue().take();
    }

    /// Waits for one of core's futures. Dropping the wait drops that.
    pub(crate) async fn wait<F: Future>(&self, future: F) -> F::Output {
        let queue = self.queue().clone();
        let mut future = pin!(future);
        poll_fn(|context| {
            let hop = Waker::from(Arc::new(Hop { host: context.waker().clone(), queue: queue.clone() }));
            future.as_mut().poll(&mut Context::from_waker(&hop))
        })
        .await
    }

    fn queue(&self) -> MutexGuard<'_, Option<Sender<Waker>>> {
        // Nothing under this lock can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Core's way to the host's waker.
struct Hop {
    host: Waker,
    queue: Option<Sender<Waker>>,
}

impl Wake for Hop {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match &self.queue {
            // The thread takes from the queue as long as there is a sender, and this is one.
            Some(queue) => drop(queue.send(self.host.clone())),
            None => self.host.wake_by_ref(),
        }
    }
}
