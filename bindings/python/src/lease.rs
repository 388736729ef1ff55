//! The handle on one mapped port.

use portlease::Lease as Core;
use pyo3::prelude::*;

use crate::args;
use crate::fork::Handle;
use crate::view::Show;
use crate::views::LeaseSnapshot;
use crate::wait::{Outcome, Wait};

/// A lease of core. Dropping it releases the mapping in the background.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Lease(Handle<Core>);

impl From<Core> for Lease {
    fn from(core: Core) -> Self {
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

    /// Where the lease stands.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.state().show(py)
    }

    /// Whether a granted, unexpired mapping is there.
    #[getter]
    fn active(&self) -> bool {
        self.0.active()
    }

    /// The external address and port, while active and if the gateway knows its address.
    #[getter]
    fn external<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.external().show(py)
    }

    /// The external port, while active; also if the gateway does not know its address.
    #[getter]
    fn external_port(&self) -> Option<u16> {
        self.0.external_port()
    }

    /// The protocol that made the mapping, while active.
    #[getter]
    fn protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.protocol().show(py)
    }

    /// The class of the external address; `unknown` while not active.
    #[getter]
    fn address_class<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.address_class().show(py)
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
