//! Events, on their way out; a cancelled wait loses none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portlease::{Events, PortMappingError, PulledEvent};

use crate::error::ErrorReport;
use crate::names::{AddressClass, AddressFamily, EventKind, PortLeaseError, Protocol, Transport};
use crate::relay::Relay;
use crate::snapshot::text;
use crate::value::{Port, Seconds, count};

/// Something that happened to a lease, or to all of them at once.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The number of the lease; absent if the event is about the whole mapper (`network-changed`, and `failed` where
    /// something does not work that no lease depends on, such as the state directory).
    pub lease: Option<i64>,
    /// UDP or TCP, if the event is about a lease.
    pub transport: Option<Transport>,
    /// IPv4 for a port mapping, IPv6 for a pinhole, if the event is about a lease.
    pub family: Option<AddressFamily>,
    /// The local port, if the event is about a lease.
    pub internal_port: Option<Port>,
    /// The external address and port, `address:port`, if there is a mapping and the gateway knows its address.
    pub external: Option<String>,
    /// The external port, if there is a mapping.
    pub external_port: Option<Port>,
    /// The protocol of the mapping.
    pub protocol: Option<Protocol>,
    /// The granted lifetime; absent if there is no mapping or it is permanent.
    pub lifetime: Option<Seconds>,
    /// The class of the external address.
    pub address_class: AddressClass,
    /// Why, for `failed`, `revoked` and, if there is a reason, `exited`.
    pub error: Option<ErrorReport>,
    /// How long the attempt took that this event ends; zero if it ends none.
    pub elapsed: Seconds,
    /// How many events this reader lost just before this one because it did not pull them in time.
    pub dropped: i64,
}

impl From<portlease::Event> for Event {
    fn from(event: portlease::Event) -> Self {
        Self {
            kind: event.kind.into(),
            lease: event.lease.map(count),
            transport: event.transport.map(Into::into),
            family: event.family.map(Into::into),
            internal_port: event.internal_port.map(Into::into),
            external: text(event.external),
            external_port: event.external_port.map(Into::into),
            protocol: event.protocol.map(Into::into),
            lifetime: event.lifetime.map(Into::into),
            address_class: event.address_class.into(),
            error: event.error.as_deref().map(Into::into),
            elapsed: event.elapsed.into(),
            dropped: count(event.dropped),
        }
    }
}

/// Where events come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The mapper's one queue, whose readers share the events.
    Queue(Arc<portlease::Mapper>),
    /// A place of its own in the mapper's log.
    Log(Events),
}

impl Source {
    async fn pull(&self, limit: Option<Duration>) -> Result<PulledEvent, PortMappingError> {
        match self {
            Self::Queue(mapper) => mapper.pull_event(limit).await,
            Self::Log(events) => events.pull(limit).await,
        }
    }
}

/// Reads a mapper's events.
///
/// UniFFI drops the result of a wait that its host cancels at the last moment. For such hosts a wait has two parts: the
/// event for which `ready` has waited stays here until `take`, and goes back to its source if this goes without that.
#[derive(Debug, uniffi::Object)]
pub struct EventReader {
    source: Arc<Source>,
    relay: Arc<Relay>,
    event: Mutex<Option<PulledEvent>>,
}

impl EventReader {
    pub(crate) fn new(source: Source, relay: &Arc<Relay>) -> Self {
        Self { source: Arc::new(source), relay: Arc::clone(relay), event: Mutex::default() }
    }

    async fn pull(&self, timeout: Option<Seconds>) -> Result<PulledEvent, PortLeaseError> {
        let limit = timeout.map(Seconds::limit);
        Ok(self.relay.wait(&self.source, |source| async move { source.pull(limit).await }).await?)
    }
}

#[uniffi::export]
impl EventReader {
    /// Waits for the next event, at most for `timeout`; without one, for ever.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and this reader has had its last event.
    #[uniffi::method(default(timeout = None))]
    pub async fn next(&self, timeout: Option<Seconds>) -> Result<Event, PortLeaseError> {
        Ok(self.pull(timeout).await?.take().into())
    }

    /// The first part of `next`: waits for the event and keeps it.
    #[uniffi::method(default(timeout = None))]
    pub async fn ready(&self, timeout: Option<Seconds>) -> Result<(), PortLeaseError> {
        let event = self.pull(timeout).await?;
        // Nothing under this lock can panic.
        *self.event.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
        Ok(())
    }

    /// The second part: the event for which `ready` has waited. Fails with `internal` if there is none.
    pub fn take(&self) -> Result<Event, PortLeaseError> {
        let event = self.event.lock().unwrap_or_else(PoisonError::into_inner).take();
        let event = event.ok_or_else(|| PortMappingError::internal("take: no event was waited for"))?;
        Ok(event.take().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_about_no_lease_has_nothing_of_one() {
        let event = Event::from(portlease::Event::new(portlease::EventKind::NetworkChanged));
        assert_eq!(event.kind, EventKind::NetworkChanged);
        assert!(event.lease.is_none() && event.transport.is_none() && event.internal_port.is_none());
        assert!(event.external.is_none() && event.external_port.is_none() && event.protocol.is_none());
        assert!(event.error.is_none());
    }
}
