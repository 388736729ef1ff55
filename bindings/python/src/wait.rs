//! Waits of both faces. The blocking face polls a wait on the calling thread, in [`Wait::block`]. asyncio gives all its
//! waits to one [`Driver`], and a thread of Python's takes them out again as they end.

use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portlease::{
    ErrorKind, GatewayReport, LeaseSnapshot, PortMappingError, PulledEvent, Release, TableEntry, WaitEnd, Waits,
    wait_for,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::Raise;
use crate::fork::Handle;
use crate::view::{Show, list};

/// How often a blocking wait checks for Ctrl-C, which must end it within 100 ms.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What a wait can end with.
pub(crate) enum Outcome {
    Lease(Result<LeaseSnapshot, PortMappingError>),
    Event(Result<PulledEvent, PortMappingError>),
    Report(Result<GatewayReport, PortMappingError>),
    Address(Result<IpAddr, PortMappingError>),
    Table(Result<Vec<TableEntry>, PortMappingError>),
    Entry(Result<Option<TableEntry>, PortMappingError>),
    Release(Release),
    /// A panic in core.
    Defect,
}

impl Outcome {
    fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Lease(lease) => lease.or_raise(py)?.show(py),
            Self::Event(event) => event.or_raise(py)?.take().show(py),
            Self::Report(report) => report.or_raise(py)?.show(py),
            Self::Address(address) => address.or_raise(py)?.show(py),
            Self::Table(table) => list(py, &table.or_raise(py)?),
            Self::Entry(entry) => entry.or_raise(py)?.show(py),
            Self::Release(release) => release.show(py),
            Self::Defect => Err(PortMappingError::internal("a wait ended by a panic")).or_raise(py),
        }
    }
}

type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Polls until the wait ends or `limit` is over; a panic ends it.
fn poll(wait: &mut Pending, limit: Duration) -> Option<Outcome> {
    let step = AssertUnwindSafe(|| wait_for(Pin::new(wait), limit));
    catch_unwind(step).unwrap_or(Some(Outcome::Defect))
}

enum Stage {
    Pending(Pending),
    Done(Outcome),
    /// Taken, cancelled, given to a driver, or on its way through `block`.
    Gone,
}

/// One wait, which begins with `block()` or `step()`. Dropping it ends the wait, and nothing that is waited for is lost.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Wait(Handle<Mutex<Stage>>);

impl Wait {
    pub(crate) fn new(wait: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self::at(Stage::Pending(Box::pin(wait)))
    }

    fn at(stage: Stage) -> Self {
        Self(Handle::from(Mutex::new(stage)))
    }

    fn replace(&self, stage: Stage) -> Stage {
        if self.0.is_foreign() {
            return Stage::Gone;
        }
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), stage)
    }
}

#[pymethods]
impl Wait {
    /// Waits on the calling thread, with the GIL released, and returns the result. Ctrl-C ends the wait.
    fn block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Stage::Pending(mut wait) = self.replace(Stage::Gone) else { return Err(no_result()) };
        loop {
            if let Some(outcome) = py.detach(|| poll(&mut wait, LOOK_UP)) {
                return outcome.into_python(py);
            }
            py.check_signals()?;
        }
    }

    /// Polls once: whether the wait has ended, so that `take()` has its result.
    fn step(&self) -> PyResult<bool> {
        let Stage::Pending(mut wait) = self.replace(Stage::Gone) else { return Err(no_result()) };
        let outcome = poll(&mut wait, Duration::ZERO);
        let ended = outcome.is_some();
        self.replace(outcome.map_or(Stage::Pending(wait), Stage::Done));
        Ok(ended)
    }

    /// Returns the result of a wait that has ended.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.replace(Stage::Gone) {
            Stage::Done(outcome) => outcome.into_python(py),
            Stage::Pending(_) | Stage::Gone => Err(no_result()),
        }
    }

    /// Gives up the result; an event goes back to its reader.
    fn discard(&self) {
        drop(self.replace(Stage::Gone));
    }
}

fn no_result() -> PyErr {
    PyRuntimeError::new_err("the wait has no result to give")
}

/// Many waits at once, each with a number of the caller's as its key.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Driver(Waits<Outcome>);

#[pymethods]
impl Driver {
    #[new]
    fn new() -> Self {
        Self(Waits::new())
    }

    /// Begins a wait without blocking; `next()` gives its end.
    fn begin(&self, py: Python<'_>, key: u64, wait: &Wait) -> PyResult<()> {
        let Stage::Pending(pending) = wait.replace(Stage::Gone) else { return Err(no_result()) };
        self.0.begin(key, pending).or_raise(py)
    }

    /// Cancels the wait with this key, if it has not ended; what it waits for goes on.
    fn cancel(&self, key: u64) {
        // Fails only in the child of a fork, where no wait goes on.
        drop(self.0.cancel(key));
    }

    /// Blocks, with the GIL released, until waits end; returns their keys, each with the wait to `take()` from.
    fn next(&self, py: Python<'_>) -> PyResult<Vec<(u64, Wait)>> {
        let mut ended = Vec::new();
        py.detach(|| {
            while let Some((key, end)) = self.next_end(ended.is_empty())? {
                match end {
                    WaitEnd::Done(outcome) => ended.push((key, Wait::at(Stage::Done(outcome)))),
                    WaitEnd::Panicked => ended.push((key, Wait::at(Stage::Done(Outcome::Defect)))),
                    WaitEnd::Cancelled => {}
                }
            }
            Ok(())
        })
        .or_raise(py)?;
        Ok(ended)
    }
}

impl Driver {
    /// The next end, waiting for it or only looking.
    fn next_end(&self, waiting: bool) -> Result<Option<(u64, WaitEnd<Outcome>)>, PortMappingError> {
        match self.0.next((!waiting).then_some(Duration::ZERO)) {
            Ok(completion) => Ok(Some((completion.token, completion.end))),
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(None),
            Err(error) => Err(error),
        }
    }
}
