//! A lease and a mapper at one moment, as C sees them.

use std::ffi::c_char;
use std::time::Duration;

use portlease::{LeaseSnapshot, MapperSnapshot};

use crate::error::{portlease_error, put_report};
use crate::memory::place::PORTLEASE_ADDRESS_SIZE;
use crate::memory::{To, field, fill, growing};
use crate::names::{
    portlease_address_class, portlease_family, portlease_nat_class, portlease_protocol, portlease_state,
    portlease_transport,
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
    /// The number of this state: it grows with each change; portlease_lease_changed waits for another.
    pub revision: u64,
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
    /// The external address; "" while not active or if the gateway does not know its address.
    pub external_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// UDP or TCP.
    pub transport: portlease_transport,
    /// IPv4 for a port mapping, IPv6 for a pinhole.
    pub family: portlease_family,
    /// What made the mapping; absent while not active.
    pub protocol: portlease_protocol,
    /// The granted lifetime in seconds; negative while not active or if the mapping is permanent.
    pub lifetime: f64,
    /// Seconds until the gateway ends the mapping if it is not renewed; negative as for `lifetime`.
    pub expires_in: f64,
    /// Seconds until the next renewal is due; negative while not active.
    pub renews_in: f64,
    /// Successful renewals of the present mapping and of those before it.
    pub renewals: u64,
    /// Consecutive failures: of renewals while active, of attempts to map otherwise.
    pub failures: u64,
    /// Open while active with a public external address.
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
    /// The gateway, once it was looked for and found; else "". A link-local address has its scope, "fe80::1%eth0".
    pub gateway: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The local address to which the gateway forwards, once known; else "".
    pub local_address: [c_char; PORTLEASE_ADDRESS_SIZE],
    /// The protocols by which the gateway has answered so far.
    pub protocols: [portlease_protocol; PORTLEASE_MAX_PROTOCOLS],
    /// Whether the mapper was stopped.
    pub stopped: bool,
    /// Leases with a granted, unexpired mapping.
    pub active: usize,
    /// Leases that have not exited: how many there are, also if fewer fit into the caller's array.
    pub lease_count: usize,
    /// Successful renewals, all leases together.
    pub renewals: u64,
    /// Events that were dropped before anybody had pulled them.
    pub events_dropped: u64,
    /// The last thing that did not work and that no lease depends on, such as writing to `state_dir`.
    pub last_error: portlease_error,
}

growing!(portlease_lease_snapshot: last_error portlease_error, portlease_mapper_snapshot: last_error portlease_error => last_error);

/// Stands for "none" in a field that holds seconds.
const NO_TIME: f64 = -1.0;

pub(crate) fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(NO_TIME, |time| time.as_secs_f64())
}

/// Fills in a lease.
pub(crate) fn put_lease(to: To<'_, portlease_lease_snapshot>, lease: &LeaseSnapshot) {
    fill!(to, {
        id: lease.id,
        revision: lease.revision,
        state: lease.state.into(),
        active: lease.active,
        permanent: lease.permanent,
        internal_port: lease.internal_port,
        external_port: lease.external_port().unwrap_or_default(),
        transport: lease.transport.into(),
        family: lease.family.into(),
        protocol: lease.protocol().into(),
        lifetime: seconds(lease.lifetime),
        expires_in: seconds(lease.expires_in),
        renews_in: seconds(lease.renews_in),
        renewals: lease.renewals,
        failures: lease.failures.into(),
        nat_class: lease.nat_class.into(),
        address_class: lease.address_class.into(),
    });
    field!(to, external_address).set_address(lease.external().map(|external| external.ip()));
    put_report(field!(to, last_error), lease.last_error.as_deref());
}

/// Fills in a mapper without its leases.
pub(crate) fn put_mapper(to: To<'_, portlease_mapper_snapshot>, mapper: &MapperSnapshot) {
    field!(to, gateway).set_scoped_address(mapper.gateway);
    field!(to, local_address).set_address(mapper.local_address);
    fill!(to, {
        protocols: std::array::from_fn(|slot| mapper.protocols.get(slot).copied().into()),
        active: mapper.active,
        lease_count: mapper.leases.len(),
        renewals: mapper.renewals,
        events_dropped: mapper.events_dropped,
        stopped: mapper.stopped,
    });
    put_report(field!(to, last_error), mapper.last_error.as_deref());
}
