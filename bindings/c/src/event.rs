//! Events as C sees them.

use std::ffi::c_char;
use std::sync::Arc;

use portlease::Event;

use crate::error::{portlease_error, put_report};
use crate::latest;
use crate::memory::place::PORTLEASE_ADDRESS_SIZE;
use crate::memory::{To, field, fill, growing};
use crate::names::{
    portlease_address_class, portlease_event_kind, portlease_family, portlease_protocol, portlease_transport,
};
use crate::snapshot::seconds;

/// Something that happened to a lease, or to all of them at once.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_event {
    /// sizeof(portlease_event)
    pub struct_size: usize,
    /// The number of the lease; 0 if the event is about none: network-changed, and failed for what no lease depends on.
    pub lease: u64,
    /// What happened.
    pub kind: portlease_event_kind,
    /// UDP or TCP; absent if the event is about no lease.
    pub transport: portlease_transport,
    /// IPv4 for a port mapping, IPv6 for a pinhole; says nothing if the event is about no lease.
    pub family: portlease_family,
    /// What made the mapping; absent if there is no mapping.
    pub protocol: portlease_protocol,
    /// The class of the external address.
    pub address_class: portlease_address_class,
    /// The local port; 0 if the event is about no lease.
    pub internal_port: u16,
    /// The external port; 0 if there is no mapping.
    pub external_port: u16,
    /// The external address; "" if there is no mapping or the gateway does not know its address.
    pub external_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The granted lifetime in seconds; negative if there is no mapping or it is permanent.
    pub lifetime: f64,
    /// How many seconds the attempt took that this event ends; 0 if it ends none.
    pub elapsed: f64,
    /// How many events this reader lost just before this one because it did not pull them in time.
    pub dropped: u64,
    /// Why, for failed, revoked and, if there is a reason, exited.
    pub error: portlease_error,
}

growing!(portlease_event: error portlease_error);

/// Fills in an event that is handed out.
pub(crate) fn put_event(to: To<'_, portlease_event>, event: &Event) {
    fill!(to, {
        lease: event.lease.unwrap_or_default(),
        kind: event.kind.into(),
        transport: event.transport.into(),
        family: event.family.unwrap_or_default().into(),
        protocol: event.protocol.into(),
        address_class: event.address_class.into(),
        internal_port: event.internal_port.unwrap_or_default(),
        external_port: event.external_port.unwrap_or_default(),
        lifetime: seconds(event.lifetime),
        elapsed: event.elapsed.as_secs_f64(),
        dropped: event.dropped,
    });
    field!(to, external_address).set_address(event.external.map(|external| external.ip()));
    put_report(field!(to, error), event.error.as_deref());
    event.error.iter().for_each(|error| latest::remember(Arc::clone(error)));
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use portlease::EventKind;

    use super::*;

    #[test]
    fn an_event_that_is_about_no_lease_has_nothing_of_one() {
        let mut event = MaybeUninit::<portlease_event>::zeroed();
        put_event(To::local(&mut event), &Event::new(EventKind::NetworkChanged));
        // SAFETY: zero is a value of every field, and all were written.
        let event = unsafe { event.assume_init() };
        assert_eq!(event.kind, portlease_event_kind::PORTLEASE_EVENT_NETWORK_CHANGED);
        assert_eq!((event.lease, event.internal_port, event.external_port), (0, 0, 0));
        assert_eq!(event.transport, portlease_transport::PORTLEASE_TRANSPORT_ABSENT);
        assert_eq!(event.protocol, portlease_protocol::PORTLEASE_PROTOCOL_ABSENT);
        assert_eq!((event.external_address[0], event.error.kind), (0, crate::names::portlease_kind::PORTLEASE_OK));
    }
}
