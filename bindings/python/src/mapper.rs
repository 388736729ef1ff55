//! The handle on one engine.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portlease::{Mapper as Core, wait_for};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::args;
use crate::error::Raise;
use crate::fork::Birth;
use crate::lease::Lease;
use crate::settings;
use crate::views::MapperSnapshot;
use crate::wait::{Outcome, Wait};

/// A mapper of core. Dropping it releases all mappings in the background.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Mapper {
    core: Arc<Core>,
    birth: Birth,
}

#[pymethods]
impl Mapper {
    /// Checks the settings, a dict by name, and starts the engine.
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let core = Core::start(args::config(settings)?).or_raise(settings.py())?;
        Ok(Self { core: Arc::new(core), birth: Birth::now() })
    }

    /// Begins to map a port and returns at once.
    fn map(&self, request: &Bound<'_, PyDict>) -> PyResult<Lease> {
        self.core.map(settings::request(request)?).or_raise(request.py()).map(Lease::from)
    }

    /// The present state of the mapper and of every lease that has not exited.
    fn snapshot(&self) -> MapperSnapshot {
        MapperSnapshot(self.core.snapshot())
    }

    /// Waits for the next event, at most for `timeout` seconds: an `Event`.
    fn next_event(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (Arc::clone(&self.core), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Event(core.pull_event(limit).await) }))
    }

    /// Asks what the router offers: a `GatewayReport`.
    fn probe(&self) -> Wait {
        let core = Arc::clone(&self.core);
        Wait::new(async move { Outcome::Report(core.probe().await) })
    }

    /// Releases every mapping, ends the engine and waits for that: whether all was over in time.
    fn stop(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (Arc::clone(&self.core), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Over(core.stop(limit).await) }))
    }

    /// Asks the engine to release and to end, and does not wait: whether it has ended.
    fn begin_stop(&self) -> bool {
        let mut stopping = std::pin::pin!(self.core.stop(None));
        wait_for(stopping.as_mut(), Duration::ZERO).unwrap_or(false)
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        if self.birth.is_foreign() {
            std::mem::forget(Arc::clone(&self.core)); // the parent's: nothing of it may run here
        }
    }
}

/// Stops all of them at once and waits for `limit` seconds at most: whether all were over by then.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>, mappers: Vec<Py<Mapper>>, limit: f64) -> PyResult<bool> {
    let limit = Duration::try_from_secs_f64(limit).unwrap_or_default();
    let cores: Vec<_> = mappers.iter().map(|mapper| Arc::clone(&mapper.get().core)).collect();
    let over = py.detach(|| {
        let end = Instant::now() + limit;
        let mut stops: Vec<Pin<Box<_>>> = cores.iter().map(|core| Box::pin(core.stop(limit))).collect();
        let mut over: Vec<bool> =
            stops.iter_mut().map(|stop| wait_for(stop.as_mut(), Duration::ZERO).is_some()).collect();
        for (stop, over) in stops.iter_mut().zip(&mut over).filter(|(_, over)| !**over) {
            *over = wait_for(stop.as_mut(), end.saturating_duration_since(Instant::now())).unwrap_or(false);
        }
        over.into_iter().all(|over| over)
    });
    Ok(over)
}
