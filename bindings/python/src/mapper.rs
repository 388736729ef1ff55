//! The handle on one engine, and readers of its events.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portlease::{AddressFamily, Events as CoreEvents, Mapper as Core, Release, Transport, wait, wait_for};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::args::{self, Argument};
use crate::config::config;
use crate::error::Raise;
use crate::fork::Handle;
use crate::lease::Lease;
use crate::settings;
use crate::views::MapperSnapshot;
use crate::wait::{Outcome, Wait};

/// A mapper of core. Dropping it releases all mappings in the background.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Mapper(Handle<Core>);

impl From<Arc<Core>> for Mapper {
    fn from(core: Arc<Core>) -> Self {
        Self(Handle::from(core))
    }
}

#[pymethods]
impl Mapper {
    /// Checks the settings, a dict by name, and starts the engine.
    #[new]
    fn new(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let core = Core::start(config(settings)?).or_raise(settings.py())?;
        Ok(Self::from(Arc::new(core)))
    }

    /// Begins to map a port, which a dict describes, and returns at once.
    fn map(&self, request: &Bound<'_, PyDict>) -> PyResult<Lease> {
        let lease = self.0.map(settings::request(request)?).or_raise(request.py())?;
        Ok(Lease::from(lease))
    }

    /// The lease that lives for an equal request, or a new one.
    fn ensure(&self, request: &Bound<'_, PyDict>) -> PyResult<Lease> {
        let lease = self.0.ensure(settings::request(request)?).or_raise(request.py())?;
        Ok(Lease::from(lease))
    }

    /// Begins to map a port over UDP and over TCP.
    fn map_both(&self, request: &Bound<'_, PyDict>) -> PyResult<(Lease, Lease)> {
        let (udp, tcp) = self.0.map_both(settings::request(request)?).or_raise(request.py())?;
        Ok((Lease::from(udp), Lease::from(tcp)))
    }

    /// Handles of every lease that lives, by number.
    fn leases(&self) -> Vec<Lease> {
        self.0.leases().into_iter().map(Lease::from).collect()
    }

    /// The present state of the mapper and of every lease that has not exited.
    fn snapshot(&self) -> MapperSnapshot {
        MapperSnapshot::from(self.0.snapshot())
    }

    /// Waits for the next event of the queue that all calls share, at most for `timeout` seconds: an `Event`.
    fn next_event(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Event(core.pull_event(limit).await) }))
    }

    /// Begins to read events: those that nobody has read yet, then every one from now on.
    fn events(&self) -> Events {
        Events(Handle::from(self.0.events()))
    }

    /// Asks what the gateway of a family offers: a `GatewayReport`.
    fn probe(&self, family: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, family) = (self.0.share(), AddressFamily::read("family", family)?);
        Ok(Wait::new(async move { Outcome::Report(core.probe_of(family).await) }))
    }

    /// Asks for the external address, at most for `timeout` seconds.
    fn external_address(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Address(core.external_address(limit).await) }))
    }

    /// Reads the router's table: a list of `TableEntry`.
    fn table(&self) -> Wait {
        let core = self.0.share();
        Wait::new(async move { Outcome::Table(core.table().await) })
    }

    /// Deletes an entry of the router's table: a `TableEntry`, or `None` if there is none.
    fn delete(
        &self,
        external_port: &Bound<'_, PyAny>,
        transport: &Bound<'_, PyAny>,
        any_host: &Bound<'_, PyAny>,
    ) -> PyResult<Wait> {
        let (core, port) = (self.0.share(), u16::read("external_port", external_port)?);
        let (transport, any_host) = (Transport::read("transport", transport)?, bool::read("any_host", any_host)?);
        Ok(Wait::new(async move { Outcome::Entry(core.delete(transport, port, any_host).await) }))
    }

    /// Tells that the network may have changed: every lease looks again at once.
    fn network_changed(&self) {
        self.0.network_changed();
    }

    /// Releases every mapping, ends the engine and waits for that: a `Release`.
    fn stop(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Release(core.stop(limit).await) }))
    }

    /// Asks the engine to release every mapping and to end, and does not wait: whether it has ended already.
    fn begin_stop(&self) -> bool {
        self.0.begin_stop();
        wait_for(pin!(self.0.stop(None)), Duration::ZERO).is_some_and(|release| release != Release::Pending)
    }
}

/// Stops all mappers at once and waits for `limit` seconds at most.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>, mappers: Vec<Py<Mapper>>, limit: f64) {
    let limit = Duration::try_from_secs_f64(limit).unwrap_or_default();
    let cores: Vec<_> = mappers.iter().map(|mapper| mapper.get().0.share()).collect();
    // However it went: at the end of the interpreter nobody could do anything about it.
    py.detach(|| wait(Core::stop_all(cores, limit)));
}

/// A reader of a mapper's events. It does not keep the mapper running.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Events(Handle<CoreEvents>);

#[pymethods]
impl Events {
    /// Waits for the next event, at most for `timeout` seconds: an `Event`.
    fn next(&self, timeout: &Bound<'_, PyAny>) -> PyResult<Wait> {
        let (core, limit) = (self.0.share(), args::timeout(timeout)?);
        Ok(Wait::new(async move { Outcome::Event(core.pull(limit).await) }))
    }
}
