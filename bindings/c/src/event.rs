//! Events as C sees them.

use std::ffi::c_char;

use portlease::Event;

use crate::error::{portlease_error, put_report};
use crate::memory::{PORTLEASE_ADDRESS_SIZE, growing};
use crate::names::{portlease_address_class, portlease_event_kind, portlease_protocol, portlease_transport};
use crate::snapshot::{put_socket, seconds};

/// Something that happened to a lease, or to all of them at once.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_event {
    /// sizeof(portlease_event)
    pub struct_size: usize,
    /// The number of the lease; 0 where the event is about the whole machine (network-changed).
    pub lease: u64,
    /// What happened.
    pub kind: portlease_event_kind,
    /// UDP or TCP; absent where the event is about no lease.
    pub transport: portlease_transport,
    /// What made the mapping; absent where there is none.
    pub protocol: portlease_protocol,
    /// The class of the external address.
    pub address_class: portlease_address_class,
    /// The local port; 0 where the event is about no lease.
    pub internal_port: u16,
    /// The external port; 0 where there is no mapping.
    pub external_port: u16,
    /// The external address; "" where there is no mapping.
    pub external_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The granted lifetime in seconds; negative where there is no mapping or it is permanent.
    pub ttl: f64,
    /// How many seconds the attempt took that this event ends; 0 where it ends none.
    pub elapsed: f64,
    /// How many events were dropped just before this one because nobody pulled them.
    pub dropped: u64,
    /// Why, for failed, revoked and, where there is a reason, exited.
    pub error: portlease_error,
}

growing!(portlease_event: error portlease_error);

/// Fills in an event.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_event(to: *mut portlease_event, event: &Event) {
    unsafe {
        (*to).lease = event.lease.unwrap_or_default();
        (*to).kind = event.kind.into();
        (*to).transport = event.transport.into();
        (*to).protocol = event.protocol.into();
        (*to).address_class = event.address_class.into();
        (*to).internal_port = event.internal_port.unwrap_or_default();
        put_socket(&raw mut (*to).external_address, &raw mut (*to).external_port, event.external);
        (*to).ttl = seconds(event.lifetime);
        (*to).elapsed = event.elapsed.as_secs_f64();
        (*to).dropped = event.dropped;
        put_report(&raw mut (*to).error, event.error.as_deref());
    }
}
