//! Events.

use portlease::{Protocol, Transport};
use pyo3::prelude::*;

use crate::error::ErrorReport;
use crate::names::{ADDRESS_CLASS, EVENT_KIND, PROTOCOL, TRANSPORT, endpoint, member, member_or_none};
use crate::view::{any, seconds, view};

view! {
    /// Something that happened to a lease, or to all of them at once.
    Event(portlease::Event) {
        /// What happened (`EventKind`).
        kind: |event, py| member(py, &EVENT_KIND, event.kind.as_str()),
        /// The number of the lease; `None` where the event is about the whole machine (`network-changed`).
        lease: |event, py| any(py, event.lease),
        /// UDP or TCP (`Transport`), where the event is about a lease.
        transport: |event, py| member_or_none(py, &TRANSPORT, event.transport.map(Transport::as_str)),
        /// The local port, where the event is about a lease.
        internal_port: |event, py| any(py, event.internal_port),
        /// The external address and port (`Endpoint`), where there is a mapping.
        external: |event, py| endpoint(py, event.external),
        /// The protocol of the mapping (`Protocol`).
        protocol: |event, py| member_or_none(py, &PROTOCOL, event.protocol.map(Protocol::as_str)),
        /// The granted lifetime in seconds; `None` where there is no mapping or it is permanent.
        ttl: |event, py| seconds(py, event.lifetime),
        /// The class of the external address (`AddressClass`).
        address_class: |event, py| member(py, &ADDRESS_CLASS, event.address_class.as_str()),
        /// Why (`ErrorReport`), for `failed`, `revoked` and, where there is a reason, `exited`.
        error: |event, py| any(py, event.error.as_deref().cloned().map(ErrorReport)),
        /// Seconds that the attempt took which this event ends; 0 where it ends none.
        elapsed: |event, py| seconds(py, Some(event.elapsed)),
        /// How many events were dropped just before this one because nobody pulled them.
        dropped: |event, py| any(py, event.dropped),
    }
}
