//! The handle on one mapped port.

use std::sync::Arc;

use portlease::Lease as Core;
use pyo3::prelude::*;

use crate::args;
use crate::fork::Birth;
use crate::views::LeaseSnapshot;
use crate::wait::{Outcome, Wait};

/// A lease of core. Dropping it releases the mapping in the background.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Lease {
    core: Arc<Core>,
    birth: Birth,
}

impl From<Core> for Lease {
    fn from(core: Core) -> Self {
        Self { core: Arc::new(core), birth: Birth::now() }
    }
}

#[pymethods]
impl Lease {
    /// The lease's number within its mapper, from 1.
    #[getter]
    fn id(&self) -> u64 {
        self.core.id()
    }

    /// Waits for a mapping, at most for `timeout` seconds: a `LeaseSnapshot`.
    fn ready(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (Arc::clone(&self.core), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Lease(core.ready(limit).await) }))
    }

    /// The present state; takes no lock and never waits.
    fn snapshot(&self) -> LeaseSnapshot {
        LeaseSnapshot(self.core.snapshot())
    }

    /// Releases the mapping and waits for that: whether all was over in time.
    fn stop(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (Arc::clone(&self.core), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Over(core.stop(limit).await) }))
    }

    /// Ends the lease and leaves the mapping on the router.
    fn detach(&self) -> Wait {
        let core = Arc::clone(&self.core);
        Wait::new(async move {
            core.detach().await;
            Outcome::Nothing
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.birth.is_foreign() {
            std::mem::forget(Arc::clone(&self.core)); // the parent's: nothing of it may run here
        }
    }
}
