//! The handle on a port with an engine of its own.

use std::sync::Arc;

use portlease::{AddressFamily, OpenPort as Core};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::args::{self, Argument};
use crate::config::config;
use crate::error::Raise;
use crate::fork::Handle;
use crate::lease::Lease;
use crate::mapper::Mapper;
use crate::settings;
use crate::wait::{Outcome, Wait};

/// An open port of core: a lease and the mapper that serves it alone.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct OpenPort(Handle<Core>);

#[pymethods]
impl OpenPort {
    /// The lease.
    #[getter]
    fn lease(&self) -> Lease {
        Lease::from(self.0.lease().clone())
    }

    /// The mapper.
    #[getter]
    fn mapper(&self) -> Mapper {
        Mapper::from(Arc::clone(self.0.mapper()))
    }

    /// Leaves the mapping on the gateway, ends the lease and the engine, and waits for that: a `Release`.
    fn detach(&self) -> Wait {
        let core = self.0.share();
        Wait::new(async move { Outcome::Release(core.detach().await) })
    }
}

/// Asks what the gateway of a family offers, with an engine that ends with the wait: a `GatewayReport`.
#[pyfunction]
pub(crate) fn begin_probe(given: &Bound<'_, PyDict>, family: &Bound<'_, PyAny>) -> PyResult<Wait> {
    let (config, family) = (config(given)?, AddressFamily::read("family", family)?);
    Ok(Wait::new(async move { Outcome::Report(portlease::probe_of(config, family).await) }))
}

/// Asks for the external address, with an engine that ends with the wait.
#[pyfunction]
pub(crate) fn begin_external_address(given: &Bound<'_, PyDict>, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
    let (config, limit) = (config(given)?, args::timeout(timeout)?);
    Ok(Wait::new(async move { Outcome::Address(portlease::external_address(config, limit).await) }))
}

/// Checks all arguments, starts an engine and begins to map: the open port, and the wait for its first mapping.
#[pyfunction]
pub(crate) fn begin_open(
    given: &Bound<'_, PyDict>,
    request: &Bound<'_, PyDict>,
    timeout: &Bound<'_, PyAny>,
) -> PyResult<(OpenPort, Wait)> {
    let (config, request, limit) = (config(given)?, settings::request(request)?, args::timeout(timeout)?);
    let port = OpenPort(Handle::from(Core::begin(config, request).or_raise(given.py())?));
    let core = port.0.share();
    Ok((port, Wait::new(async move { Outcome::Lease(core.ready(limit).await) })))
}
