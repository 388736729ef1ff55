//! A lease and a mapper at one moment, as C sees them.

use std::ffi::c_char;
use std::net::SocketAddr;
use std::time::Duration;

use portlease::{LeaseSnapshot, MapperSnapshot};

use crate::error::{portlease_error, put_report};
use crate::memory::{PORTLEASE_ADDRESS_SIZE, growing, put_address};
use crate::names::{
    portlease_address_class, portlease_nat_class, portlease_protocol, portlease_state, portlease_transport,
};
use crate::values::PORTLEASE_MAX_PROTOCOLS;

/// One lease at one moment.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_lease_snapshot {
    /// sizeof(portlease_lease_snapshot)
    pub struct_size: usize,
    /// The lease's number within its mapper, from 1.
    pub id: u64,
    /// Where the lease stands.
    pub state: portlease_state,
    /// Whether a granted, unexpired mapping is published.
    pub active: bool,
    /// Whether the mapping stays on the gateway until it is deleted.
    pub permanent: bool,
    /// The local port.
    pub internal_port: u16,
    /// The external port; 0 while not active.
    pub external_port: u16,
    /// The external address; "" while not active, 0.0.0.0 where the gateway does not know its own.
    pub external_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// UDP or TCP.
    pub transport: portlease_transport,
    /// What made the mapping; absent while not active.
    pub protocol: portlease_protocol,
    /// The granted lifetime in seconds; negative while not active and where the mapping is permanent.
    pub ttl: f64,
    /// Seconds until the gateway ends the mapping if it is not renewed; negative as for `ttl`.
    pub expires_in: f64,
    /// Seconds until the next renewal is due; negative while not active.
    pub renews_in: f64,
    /// Successful renewals of the present mapping and of those before it.
    pub renewals: u64,
    /// Consecutive failures: of renewals while active, of attempts to map otherwise.
    pub failures: u64,
    /// Open while active.
    pub nat_class: portlease_nat_class,
    /// The class of the external address.
    pub address_class: portlease_address_class,
    /// The latest failure; cleared by the next success.
    pub last_error: portlease_error,
}

/// A mapper at one moment.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_mapper_snapshot {
    /// sizeof(portlease_mapper_snapshot)
    pub struct_size: usize,
    /// The gateway, once it was looked for and found; else "".
    pub gateway: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The local address to which the gateway forwards, once known; else "".
    pub local_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The protocols by which the gateway has answered so far.
    pub protocols: [portlease_protocol; PORTLEASE_MAX_PROTOCOLS],
    /// Whether the mapper was stopped.
    pub stopped: bool,
    /// Leases with a granted, unexpired mapping.
    pub active: usize,
    /// Leases that have not exited: how many there are, also where fewer fit into the caller's array.
    pub lease_count: usize,
    /// Successful renewals, all leases together.
    pub renewals: u64,
    /// Events that nobody pulled in time and that were dropped for newer ones.
    pub events_dropped: u64,
}

growing!(portlease_lease_snapshot: last_error portlease_error, portlease_mapper_snapshot: events_dropped u64);

/// How "there is none" is written where a time is expected.
const NO_TIME: f64 = -1.0;

pub(crate) fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(NO_TIME, |time| time.as_secs_f64())
}

/// Writes an address and its port side by side.
///
/// # Safety
/// Both can be written.
pub(crate) unsafe fn put_socket(
    address: *mut [c_char; PORTLEASE_ADDRESS_SIZE],
    port: *mut u16,
    socket: Option<SocketAddr>,
) {
    unsafe {
        put_address(address, socket.map(|socket| socket.ip()));
        port.write(socket.map_or(0, |socket| socket.port()));
    }
}

/// Fills in a lease.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_lease(to: *mut portlease_lease_snapshot, lease: &LeaseSnapshot) {
    unsafe {
        (*to).id = lease.id;
        (*to).state = lease.state.into();
        (*to).active = lease.active;
        (*to).permanent = lease.permanent;
        (*to).internal_port = lease.internal_port;
        put_socket(&raw mut (*to).external_address, &raw mut (*to).external_port, lease.external());
        (*to).transport = lease.transport.into();
        (*to).protocol = lease.protocol().into();
        (*to).ttl = seconds(lease.lifetime);
        (*to).expires_in = seconds(lease.expires_in);
        (*to).renews_in = seconds(lease.renews_in);
        (*to).renewals = lease.renewals;
        (*to).failures = lease.failures.into();
        (*to).nat_class = lease.nat_class.into();
        (*to).address_class = lease.address_class.into();
        put_report(&raw mut (*to).last_error, lease.last_error.as_deref());
    }
}

/// Fills in a mapper without its leases.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_mapper(to: *mut portlease_mapper_snapshot, mapper: &MapperSnapshot) {
    let slots = std::array::from_fn(|slot| mapper.protocols.get(slot).copied().into());
    unsafe {
        put_address(&raw mut (*to).gateway, mapper.gateway);
        put_address(&raw mut (*to).local_address, mapper.local_address);
        (*to).protocols = slots;
        (*to).active = mapper.active;
        (*to).lease_count = mapper.leases.len();
        (*to).renewals = mapper.renewals;
        (*to).events_dropped = mapper.events_dropped;
        (*to).stopped = mapper.stopped;
    }
}
