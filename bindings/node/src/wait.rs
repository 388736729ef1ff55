//! A pending call: a future that the environment's own thread polls whenever something has woken it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use napi::Status;
use napi::bindgen_prelude::Either4;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use portlease::PortMappingError;

use crate::error::{Failure, failure};
use crate::event::EventView;
use crate::snapshot::{LeaseView, ReportView};

/// Tells the environment's thread which wait to poll. It does not keep the event loop alive (`Weak`); its queue is
/// unbounded, but holds each wait once at most.
pub(crate) type Bell = ThreadsafeFunction<u32, (), u32, Status, false, true>;

/// What a wait can end with.
pub(crate) type Answer = Either4<bool, LeaseView, EventView, ReportView>;

type Pending = Pin<Box<dyn Future<Output = Result<Answer, PortMappingError>> + Send>>;

static LAST_ID: AtomicU32 = AtomicU32::new(0);

/// A pending call.
#[napi]
pub struct Wait {
    pending: Option<Pending>,
    ringer: Arc<Ringer>,
}

/// Rings the bell. Called on any thread, the core's among them: puts a number into a queue and returns.
struct Ringer {
    id: u32,
    bell: Arc<Bell>,
    rung: AtomicBool,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Where the environment has gone, nobody is there to be woken.
            let _closing = self.bell.call(self.id, ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Wait {
    pub(crate) fn new(
        bell: &Arc<Bell>,
        future: impl Future<Output = Result<Answer, PortMappingError>> + Send + 'static,
    ) -> Self {
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed);
        let ringer = Ringer { id, bell: Arc::clone(bell), rung: AtomicBool::new(false) };
        Self { pending: Some(Box::pin(future)), ringer: Arc::new(ringer) }
    }
}

#[napi]
impl Wait {
    /// The number by which the bell names it.
    #[napi(getter, catch_unwind)]
    pub fn id(&self) -> u32 {
        self.ringer.id
    }

    /// Looks whether it has ended: the answer, `null` where it goes on, or the error. Once ended or cancelled it is
    /// `null` for ever.
    #[napi(catch_unwind, ts_return_type = "boolean | LeaseView | EventView | ReportView | null")]
    pub fn poll(&mut self) -> Result<Option<Answer>, Failure> {
        let Some(pending) = self.pending.as_mut() else { return Ok(None) };
        // Before the poll, so that whatever wakes it from now on rings again, and in one step with reading, so that
        // the poll sees what those have done who found it rung.
        self.ringer.rung.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&self.ringer));
        match pending.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => Ok(None),
            Poll::Ready(outcome) => {
                self.pending = None;
                outcome.map(Some).map_err(|error| failure(&error))
            }
        }
    }

    /// Ends the wait; what was waited for goes on.
    #[napi(catch_unwind)]
    pub fn cancel(&mut self) {
        self.pending = None;
    }
}
