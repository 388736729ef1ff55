//! The handle on one mapped port.

use std::sync::Arc;

use portlease::Lease as Core;
use pyo3::prelude::*;

use crate::args;
use crate::fork::Handle;
use crate::views::LeaseSnapshot;
use crate::wait::{Outcome, Wait};

/// A lease of core. Dropping it releases the mapping in the background.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Lease(Handle<Core>);

impl From<Arc<Core>> for Lease {
    fn from(core: Arc<Core>) -> Self {
        Self(Handle::from(core))
    }
}

#[pymethods]
impl Lease {
    /// The lease's number within its mapper, from 1.
    #[getter]
    fn id(&self) -> u64 {
        self.0.id()
    }

    /// Waits for a mapping, at most for `timeout` seconds: a `LeaseSnapshot`.
    fn ready(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Lease(core.ready(limit).await) }))
    }

    /// Waits for a state other than `since`, which is a snapshot, its revision, or `None` for the state at this call: a
    /// `LeaseSnapshot`.
    fn changed(&self, since: &Bound<'_, PyAny>, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let revision = match since.cast::<LeaseSnapshot>() {
            Ok(snapshot) => args::revision("since", &snapshot.getattr("revision")?)?,
            Err(_) => args::revision("since", since)?,
        };
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        let since = revision.unwrap_or_else(|| core.snapshot().revision);
        Ok(Wait::new(async move { Outcome::Lease(core.changed(since, limit).await) }))
    }

    /// Deletes the mapping and makes it again, and waits for that, at most for `timeout` seconds: a `LeaseSnapshot`.
    fn repair(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Lease(core.repair(limit).await) }))
    }

    /// The present state; takes no lock and never waits.
    fn snapshot(&self) -> LeaseSnapshot {
        LeaseSnapshot::from(self.0.snapshot())
    }

    /// Releases the mapping and waits for that: a `Release`.
    fn stop(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Release(core.stop(limit).await) }))
    }

    /// Ends the lease and leaves the mapping on the gateway: a `Release`.
    fn detach(&self) -> Wait {
        let core = self.0.share();
        Wait::new(async move { Outcome::Release(core.detach().await) })
    }
}
