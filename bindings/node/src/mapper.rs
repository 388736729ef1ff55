//! The handles on a mapper and on readers of its events.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::Object;
use napi_derive::napi;
use portlease::{AddressFamily, Events, Lease, Mapper};

use crate::config::{self, limit};
use crate::error::{Failure, failure};
use crate::event::EventView;
use crate::host::{Host, Shared};
use crate::lease::LeaseHandle;
use crate::settings;
use crate::snapshot::MapperView;
use crate::wait::{Answer, Waits, begin};

/// A mapper. `token` is the number of a wait that begins.
#[napi]
pub struct MapperHandle {
    mapper: Arc<Mapper>,
    shared: Arc<Shared>,
}

impl MapperHandle {
    pub(crate) fn new(mapper: Arc<Mapper>, shared: Arc<Shared>) -> Self {
        shared.add(&mapper);
        Self { mapper, shared }
    }

    fn lease(&self, lease: Lease) -> LeaseHandle {
        LeaseHandle::new(lease, Arc::clone(&self.shared.waits))
    }
}

#[napi]
impl MapperHandle {
    /// Starts a mapper.
    #[napi(factory, catch_unwind)]
    pub fn start(host: &Host, settings: Object<'_>) -> Result<Self, Failure> {
        let mapper = settings::config(&settings).and_then(Mapper::start).map_err(|error| failure(&error))?;
        Ok(Self::new(Arc::new(mapper), host.shared()))
    }

    /// Begins to map a port.
    #[napi(catch_unwind)]
    pub fn map(&self, request: Object<'_>) -> Result<LeaseHandle, Failure> {
        let lease = settings::request(&request).and_then(|request| self.mapper.map(request));
        lease.map(|lease| self.lease(lease)).map_err(|error| failure(&error))
    }

    /// The lease that exists for this request, or a new one.
    #[napi(catch_unwind)]
    pub fn ensure(&self, request: Object<'_>) -> Result<LeaseHandle, Failure> {
        let lease = settings::request(&request).and_then(|request| self.mapper.ensure(request));
        lease.map(|lease| self.lease(lease)).map_err(|error| failure(&error))
    }

    /// Begins to map a port over UDP and over TCP, in this order.
    #[napi(catch_unwind)]
    pub fn map_both(&self, request: Object<'_>) -> Result<Vec<LeaseHandle>, Failure> {
        let leases = settings::request(&request).and_then(|request| self.mapper.map_both(request));
        let (udp, tcp) = leases.map_err(|error| failure(&error))?;
        Ok(vec![self.lease(udp), self.lease(tcp)])
    }

    /// Handles of all leases that live.
    #[napi(catch_unwind)]
    pub fn leases(&self) -> Vec<LeaseHandle> {
        self.mapper.leases().into_iter().map(|lease| self.lease(lease)).collect()
    }

    /// The present state.
    #[napi(catch_unwind)]
    pub fn snapshot(&self) -> MapperView {
        MapperView::from(&self.mapper.snapshot())
    }

    /// A reader that gets the events that nobody has read yet, and then every event.
    #[napi(catch_unwind)]
    pub fn events(&self) -> EventsHandle {
        EventsHandle { events: self.mapper.events(), waits: Arc::clone(&self.shared.waits) }
    }

    /// Asks what the gateway of a family offers, by default IPv4.
    #[napi(catch_unwind)]
    pub fn probe(&self, token: f64, family: Option<String>) -> Result<(), Failure> {
        let family = family.map_or(Ok(AddressFamily::default()), |family| config::name("family", &family));
        let (mapper, family) = (Arc::clone(&self.mapper), family.map_err(|error| failure(&error))?);
        begin(&self.shared.waits, token, async move { mapper.probe_of(family).await.map(Answer::Report) })
    }

    /// Asks for the external address.
    #[napi(catch_unwind)]
    pub fn external_address(&self, token: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let mapper = Arc::clone(&self.mapper);
        let asked = async move { mapper.external_address(limit(timeout)).await.map(Answer::Address) };
        begin(&self.shared.waits, token, asked)
    }

    /// Reads the router's table.
    #[napi(catch_unwind)]
    pub fn table(&self, token: f64) -> Result<(), Failure> {
        let mapper = Arc::clone(&self.mapper);
        begin(&self.shared.waits, token, async move { mapper.table().await.map(Answer::Entries) })
    }

    /// Deletes an entry of the router's table, and answers with that entry, if there was one.
    #[napi(catch_unwind)]
    pub fn delete(&self, token: f64, transport: String, external_port: u16, any_host: bool) -> Result<(), Failure> {
        let transport = config::name("transport", &transport).map_err(|error| failure(&error))?;
        let mapper = Arc::clone(&self.mapper);
        begin(&self.shared.waits, token, async move {
            let deleted = mapper.delete(transport, external_port, any_host).await?;
            Ok(Answer::Entries(deleted.into_iter().collect()))
        })
    }

    /// Tells that the network may have changed.
    #[napi(catch_unwind)]
    pub fn network_changed(&self) {
        self.mapper.network_changed();
    }

    /// Asks for the end and does not wait.
    #[napi(catch_unwind)]
    pub fn begin_stop(&self) {
        self.mapper.begin_stop();
    }

    /// Stops, and answers how the mappings left the gateway.
    #[napi(catch_unwind)]
    pub fn stop(&self, token: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let mapper = Arc::clone(&self.mapper);
        begin(&self.shared.waits, token, async move { Ok(Answer::Release(mapper.stop(limit(timeout)).await)) })
    }
}

impl Drop for MapperHandle {
    fn drop(&mut self) {
        self.shared.let_go(&self.mapper);
    }
}

/// A reader of a mapper's events.
#[napi]
pub struct EventsHandle {
    events: Events,
    waits: Arc<Waits>,
}

#[napi]
impl EventsHandle {
    /// This reader's next event, if there is one already. Does not wait.
    #[napi(catch_unwind)]
    pub fn try_next(&self) -> Option<EventView> {
        let pulled = portlease::wait_for(pin!(self.events.pull(None)), Duration::ZERO)?;
        Some(EventView::from(&pulled.ok()?.take()))
    }

    /// Waits for this reader's next event.
    #[napi(catch_unwind)]
    pub fn next(&self, token: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let events = self.events.clone();
        begin(&self.waits, token, async move { events.pull(limit(timeout)).await.map(Answer::Event) })
    }
}
