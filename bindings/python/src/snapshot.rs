//! What a lease, a mapper and a gateway look like at one moment.

use std::net::IpAddr;

use portlease::{ErrorReport as Report, Protocol};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::ErrorReport;
use crate::names::{ADDRESS_CLASS, LEASE_STATE, NAT_CLASS, PROTOCOL, TRANSPORT, endpoint, member, member_or_none};
use crate::view::{any, seconds, view};

view! {
    /// One lease at one moment.
    LeaseSnapshot(portlease::LeaseSnapshot) {
        /// The lease's number within its mapper, from 1.
        id: |lease, py| any(py, lease.id),
        /// Where the lease stands (`LeaseState`).
        state: |lease, py| member(py, &LEASE_STATE, lease.state.as_str()),
        /// Whether a granted, unexpired mapping is published.
        active: |lease, py| any(py, lease.active),
        /// The external address and port (`Endpoint`), while active; the address is 0.0.0.0 where the router does not
        /// know its own.
        external: |lease, py| endpoint(py, lease.external()),
        /// The local port.
        internal_port: |lease, py| any(py, lease.internal_port),
        /// UDP or TCP (`Transport`).
        transport: |lease, py| member(py, &TRANSPORT, lease.transport.as_str()),
        /// The protocol that made the mapping (`Protocol`), while active.
        protocol: |lease, py| member_or_none(py, &PROTOCOL, lease.protocol().map(Protocol::as_str)),
        /// The granted lifetime in seconds; `None` while not active or where the mapping is permanent.
        ttl: |lease, py| seconds(py, lease.lifetime),
        /// Seconds until the router ends the mapping if it is not renewed; `None` as for `ttl`.
        expires_in: |lease, py| seconds(py, lease.expires_in),
        /// Seconds until the next renewal is due; `None` while not active.
        renews_in: |lease, py| seconds(py, lease.renews_in),
        /// Whether the mapping stays on the router until it is deleted.
        permanent: |lease, py| any(py, lease.permanent),
        /// Successful renewals of the present mapping and of those before it.
        renewals: |lease, py| any(py, lease.renewals),
        /// Consecutive failures: of renewals while active, of attempts to map otherwise.
        failures: |lease, py| any(py, lease.failures),
        /// The latest failure (`ErrorReport`); cleared by the next success.
        last_error: |lease, py| any(py, lease.last_error.as_deref().cloned().map(ErrorReport)),
        /// `open` while active, else `unknown` (`NatClass`).
        nat_class: |lease, py| member(py, &NAT_CLASS, lease.nat_class.as_str()),
        /// Whether the internet can reach the external address (`AddressClass`); `unknown` while not active.
        address_class: |lease, py| member(py, &ADDRESS_CLASS, lease.address_class.as_str()),
    }
}

view! {
    /// A mapper at one moment.
    MapperSnapshot(portlease::MapperSnapshot) {
        /// The router's address, once it was looked for and found.
        gateway: |mapper, py| any(py, mapper.gateway),
        /// The local address to which the router forwards, once known.
        local_address: |mapper, py| any(py, mapper.local_address),
        /// The protocols by which the router has answered so far (`Protocol`).
        protocols: |mapper, py| protocols(py, &mapper.protocols),
        /// How many leases have a granted, unexpired mapping.
        active: |mapper, py| any(py, mapper.active),
        /// Successful renewals, all leases together.
        renewals: |mapper, py| any(py, mapper.renewals),
        /// Events that nobody pulled in time and that were dropped for newer ones.
        events_dropped: |mapper, py| any(py, mapper.events_dropped),
        /// Every lease that has not exited, by number.
        leases: |mapper, py| views(py, mapper.leases.iter().cloned().map(LeaseSnapshot)),
        /// Whether the mapper was stopped.
        stopped: |mapper, py| any(py, mapper.stopped),
    }
}

view! {
    /// What a router offers, asked without mapping anything.
    GatewayReport(portlease::GatewayReport) {
        /// The router's address.
        gateway: |report, py| any(py, report.gateway),
        /// The local address from which it is reached.
        local_address: |report, py| any(py, report.local_address),
        /// The interface of the default route, where it is known.
        interface: |report, py| any(py, report.interface.as_deref()),
        /// One entry for each configured protocol, in the configured order.
        protocols: |report, py| views(py, report.protocols.iter().cloned().map(ProtocolReport)),
    }
}

view! {
    /// One protocol's part of a `GatewayReport`.
    ProtocolReport(portlease::ProtocolReport) {
        /// The protocol (`Protocol`).
        protocol: |report, py| member(py, &PROTOCOL, report.protocol.as_str()),
        /// The router's external address, where the protocol can tell without mapping and the router has one.
        external_address: |report, py| any(py, offer(report).and_then(|offer| offer.external_address) as Option<IpAddr>),
        /// The device's name (UPnP).
        device: |report, py| any(py, offer(report).and_then(|offer| offer.device.as_deref())),
        /// How long the answer took, in seconds; for UPnP from the search to the last answer.
        round_trip: |report, py| seconds(py, offer(report).map(|offer| offer.round_trip)),
        /// Why there was no answer (`ErrorReport`).
        error: |report, py| any(py, report.outcome.as_ref().err().map(|error| ErrorReport(Report::from(error)))),
    }
}

fn offer(report: &portlease::ProtocolReport) -> Option<&portlease::ProtocolOffer> {
    report.outcome.as_ref().ok()
}

fn protocols<'py>(py: Python<'py>, protocols: &[Protocol]) -> PyResult<Bound<'py, PyAny>> {
    let members = protocols.iter().map(|protocol| member(py, &PROTOCOL, protocol.as_str()));
    Ok(PyTuple::new(py, members.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

fn views<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    views: impl ExactSizeIterator<Item = T>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyTuple::new(py, views)?.into_any())
}
