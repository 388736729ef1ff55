//! Events, on their way out; a cancelled wait loses none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portlease::{PortMappingError, PulledEvent};

use crate::error::ErrorReport;
use crate::mapper::Mapper;
use crate::names::PortLeaseError;
use crate::names::{AddressClass, EventKind, Protocol, Transport};
use crate::snapshot::text;
use crate::value::{Port, Seconds, count};

/// Something that happened to a lease, or to all of them at once.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The number of the lease; absent where the event is about the whole machine (`network-changed`).
    pub lease: Option<i64>,
    /// UDP or TCP, where the event is about a lease.
    pub transport: Option<Transport>,
    /// The local port, where the event is about a lease.
    pub internal_port: Option<Port>,
    /// The external address and port, `address:port`, where there is a mapping.
    pub external: Option<String>,
    /// The protocol of the mapping.
    pub protocol: Option<Protocol>,
    /// The granted lifetime; absent where there is no mapping or it is permanent.
    pub ttl: Option<Seconds>,
    /// The class of the external address.
    pub address_class: AddressClass,
    /// Why, for `failed`, `revoked` and, where there is a reason, `exited`.
    pub error: Option<ErrorReport>,
    /// How long the attempt took that this event ends; zero where it ends none.
    pub elapsed: Seconds,
    /// How many events were dropped just before this one because nobody pulled them.
    pub dropped: i64,
}

impl From<portlease::Event> for Event {
    fn from(event: portlease::Event) -> Self {
        Self {
            kind: event.kind.into(),
            lease: event.lease.map(count),
            transport: event.transport.map(Into::into),
            internal_port: event.internal_port.map(Into::into),
            external: text(event.external),
            protocol: event.protocol.map(Into::into),
            ttl: event.lifetime.map(Into::into),
            address_class: event.address_class.into(),
            error: event.error.as_deref().map(Into::into),
            elapsed: event.elapsed.into(),
            dropped: count(event.dropped),
        }
    }
}

/// One wait for an event, for hosts that may cancel a wait between its end and its result: UniFFI drops the result then.
/// So the event stays here until it is taken; let go before that, it is the next to be pulled.
#[derive(Debug, uniffi::Object)]
pub struct Pull {
    mapper: Arc<Mapper>,
    event: Mutex<Option<PulledEvent>>,
}

impl Pull {
    pub(crate) fn new(mapper: Arc<Mapper>) -> Self {
        Self { mapper, event: Mutex::default() }
    }

    fn event(&self) -> MutexGuard<'_, Option<PulledEvent>> {
        // Nothing under this lock can panic.
        self.event.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[uniffi::export]
impl Pull {
    /// Waits for an event as `Mapper.next_event` does, and keeps it.
    #[uniffi::method(default(timeout = None))]
    pub async fn ready(&self, timeout: Option<Seconds>) -> Result<(), PortLeaseError> {
        let event = self.mapper.pulled(timeout).await?;
        *self.event() = Some(event);
        Ok(())
    }

    /// The event for which `ready` has waited. Fails with `internal` where there is none.
    pub fn take(&self) -> Result<Event, PortLeaseError> {
        let event = self.event().take();
        let event = event.ok_or_else(|| PortMappingError::internal("an event was taken that was not waited for"))?;
        Ok(event.take().into())
    }
}
