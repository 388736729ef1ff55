//! Waits: one class for both faces. The sync face blocks in [`Wait::block`] with the GIL released; asyncio drives all of
//! its waits at once from one thread of Python's, which runs [`Driver::next`].
//!
//! A wait is driven by wakers that only put it into the driver's queue, so nothing of Python's runs on the engine.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use portlease::{GatewayReport, LeaseSnapshot, PortMappingError, PulledEvent, wait_for};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::Raise;
use crate::fork::Birth;
use crate::view::Show;

/// How often a blocking wait looks up for Ctrl-C, which must end it within 100 ms.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What a wait can end with.
pub(crate) enum Outcome {
    Lease(Result<LeaseSnapshot, PortMappingError>),
    Event(Result<PulledEvent, PortMappingError>),
    Report(Result<GatewayReport, PortMappingError>),
    /// Whether all was over in time.
    Over(bool),
    Nothing,
    /// A panic in core.
    Defect,
}

impl Outcome {
    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Lease(lease) => lease.or_raise(py)?.show(py),
            Self::Event(event) => event.or_raise(py)?.take().show(py),
            Self::Report(report) => report.or_raise(py)?.show(py),
            Self::Over(over) => over.show(py),
            Self::Nothing => Ok(py.None().into_bound(py)),
            Self::Defect => Err(PortMappingError::internal("a wait ended by a panic")).or_raise(py),
        }
    }
}

type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A future whose panic is an outcome.
struct Guarded(Pending);

impl Future for Guarded {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let poll = AssertUnwindSafe(|| self.0.as_mut().poll(context));
        catch_unwind(poll).unwrap_or(Poll::Ready(Outcome::Defect))
    }
}

enum Stage {
    Pending(Guarded),
    Done(Outcome),
    /// Taken, cancelled, or on its way through `block`.
    Gone,
}

struct Shared {
    stage: Mutex<Stage>,
    /// Whose queue this wait goes into, and by what key it is known there.
    driver: OnceLock<(Arc<Queue>, u64)>,
    queued: AtomicBool,
    birth: Birth,
}

impl Shared {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one step; whether the wait is over. A wait that was cancelled is not over: nobody wants to hear of it.
    fn step(self: &Arc<Self>) -> bool {
        self.queued.store(false, Ordering::Release);
        let mut stage = self.stage();
        let Stage::Pending(future) = &mut *stage else { return false };
        let waker = Waker::from(Arc::clone(self));
        match Pin::new(future).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => false,
            Poll::Ready(outcome) => {
                *stage = Stage::Done(outcome);
                true
            }
        }
    }

    fn take(&self) -> Stage {
        std::mem::replace(&mut *self.stage(), Stage::Gone)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        if let Some((queue, _)) = self.driver.get()
            && !self.queued.swap(true, Ordering::AcqRel)
        {
            queue.push(Arc::clone(&self));
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.birth.is_foreign() {
            // The locks inside belong to threads of the parent, which will never let go of them here.
            let stage = self.stage.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::replace(stage, Stage::Gone));
        }
    }
}

/// Something that is waited for, from `block()` or `start()` on. Dropping or cancelling it ends the wait alone.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Wait(Arc<Shared>);

impl Wait {
    pub(crate) fn new(future: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self(Arc::new(Shared {
            stage: Mutex::new(Stage::Pending(Guarded(Box::pin(future)))),
            driver: OnceLock::new(),
            queued: AtomicBool::new(false),
            birth: Birth::now(),
        }))
    }
}

#[pymethods]
impl Wait {
    /// Waits on the calling thread, with the GIL released, and returns the result. Ctrl-C ends it.
    fn block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut future = match self.0.take() {
            Stage::Pending(future) => future,
            Stage::Done(outcome) => return outcome.into_python(py),
            Stage::Gone => return Err(over()),
        };
        loop {
            if let Some(outcome) = py.detach(|| wait_for(Pin::new(&mut future), LOOK_UP)) {
                return outcome.into_python(py);
            }
            py.check_signals()?;
        }
    }

    /// Begins to wait without blocking: `driver` will name `key` when it is over. True where it is over already.
    fn start(&self, driver: &Driver, key: u64) -> PyResult<bool> {
        match self.0.driver.set((Arc::clone(&driver.0), key)) {
            Ok(()) => Ok(self.0.step()),
            Err(_) => Err(PyRuntimeError::new_err("the wait has begun already")),
        }
    }

    /// The result of a wait that is over.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0.take() {
            Stage::Done(outcome) => outcome.into_python(py),
            Stage::Pending(_) | Stage::Gone => Err(over()),
        }
    }

    /// Ends the wait now, if it is not over; what it waited for goes on. An event that nobody took goes back.
    fn cancel(&self) {
        if !self.0.birth.is_foreign() {
            drop(self.0.take());
        }
    }
}

fn over() -> PyErr {
    PyRuntimeError::new_err("the wait has no result to give")
}

/// Waits that were woken and want another step.
#[derive(Default)]
struct Queue {
    ready: Mutex<VecDeque<Arc<Shared>>>,
    woken: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Shared>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, wait: Arc<Shared>) {
        self.lock().push_back(wait);
        self.woken.notify_one();
    }

    /// Blocks until waits are over; their keys.
    fn next(&self) -> Vec<u64> {
        loop {
            let ready = {
                let waiting = self.woken.wait_while(self.lock(), |ready| ready.is_empty());
                std::mem::take(&mut *waiting.unwrap_or_else(PoisonError::into_inner))
            };
            let over = ready.iter().filter(|wait| wait.step());
            let keys: Vec<u64> = over.filter_map(|wait| wait.driver.get().map(|(_, key)| *key)).collect();
            if !keys.is_empty() {
                return keys;
            }
        }
    }
}

/// All the waits of one thread.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Driver(Arc<Queue>);

#[pymethods]
impl Driver {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Blocks, with the GIL released, until waits are over, and returns their keys.
    fn next(&self, py: Python<'_>) -> Vec<u64> {
        py.detach(|| self.0.next())
    }
}
