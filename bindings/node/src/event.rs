//! Events on their way to JavaScript.

use napi_derive::napi;
use portlease::Event;

use crate::error::ErrorView;
use crate::error::milliseconds;

/// Something that happened.
#[napi(object)]
pub struct EventView {
    /// What happened.
    pub kind: String,
    /// The number of the lease.
    pub lease: Option<f64>,
    /// UDP or TCP.
    pub transport: Option<String>,
    /// IPv4 or IPv6.
    pub family: Option<String>,
    /// The local port.
    pub internal_port: Option<u16>,
    /// The external address and port.
    pub external: Option<String>,
    /// The external port.
    pub external_port: Option<u16>,
    /// The protocol of the mapping.
    pub protocol: Option<String>,
    /// The granted lifetime, in milliseconds.
    pub lifetime: Option<f64>,
    /// The class of the external address.
    pub address_class: String,
    /// Why.
    pub error: Option<ErrorView>,
    /// How long the attempt took, in milliseconds.
    pub elapsed: f64,
    /// How many events were dropped just before.
    pub dropped: f64,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        Self {
            kind: event.kind.to_string(),
            lease: event.lease.map(|lease| lease as f64),
            transport: event.transport.map(|transport| transport.to_string()),
            family: event.family.map(|family| family.to_string()),
            internal_port: event.internal_port,
            external: event.external.map(|external| external.to_string()),
            external_port: event.external_port,
            protocol: event.protocol.map(|protocol| protocol.to_string()),
            lifetime: event.lifetime.map(milliseconds),
            address_class: event.address_class.as_str().to_owned(),
            error: event.error.as_deref().map(ErrorView::from),
            elapsed: milliseconds(event.elapsed),
            dropped: event.dropped as f64,
        }
    }
}
