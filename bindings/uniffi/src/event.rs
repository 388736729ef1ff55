//! Events, on their way out.

use crate::error::ErrorReport;
use crate::names::{AddressClass, EventKind, Protocol, Transport};
use crate::number::{Port, Seconds, count};
use crate::snapshot::text;

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
            ttl: event.ttl.map(Into::into),
            address_class: event.address_class.into(),
            error: event.error.as_deref().map(Into::into),
            elapsed: event.elapsed.into(),
            dropped: count(event.dropped),
        }
    }
}
