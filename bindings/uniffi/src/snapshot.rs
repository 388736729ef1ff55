//! Leases, mappers and gateways as users see them, on their way out. Addresses are text, as in every language.

use crate::error::ErrorReport;
use crate::names::{AddressClass, AddressFamily, LeaseState, NatClass, Protocol, Transport};
use crate::value::{Port, Seconds, count};

/// One lease at one moment.
#[derive(Debug, Clone, uniffi::Record)]
pub struct LeaseSnapshot {
    /// The lease's number within its mapper, from 1.
    pub id: i64,
    /// The number of this state: it grows with each change, and tells `changed` what the caller has seen.
    pub revision: i64,
    /// Where the lease stands.
    pub state: LeaseState,
    /// Whether a granted, unexpired mapping is published.
    pub active: bool,
    /// The external address and port, `address:port`, while active and if the gateway knows its address.
    pub external: Option<String>,
    /// The external port, while active; also if the gateway does not know its address.
    pub external_port: Option<Port>,
    /// The local port.
    pub internal_port: Port,
    /// UDP or TCP.
    pub transport: Transport,
    /// IPv4 for a port mapping, IPv6 for a pinhole.
    pub family: AddressFamily,
    /// The protocol that made the mapping, while active.
    pub protocol: Option<Protocol>,
    /// The granted lifetime; absent while not active or if the mapping is permanent.
    pub lifetime: Option<Seconds>,
    /// The time until the gateway ends the mapping if it is not renewed; absent as for `lifetime`.
    pub expires_in: Option<Seconds>,
    /// The time until the next renewal is due; absent while not active.
    pub renews_in: Option<Seconds>,
    /// Whether the mapping stays on the gateway until it is deleted.
    pub permanent: bool,
    /// Successful renewals of the present mapping and of those before it.
    pub renewals: i64,
    /// Consecutive failures: of renewals while active, of attempts to map otherwise.
    pub failures: i64,
    /// The latest failure; cleared by the next success.
    pub last_error: Option<ErrorReport>,
    /// `open` while active with a public external address.
    pub nat_class: NatClass,
    /// The class of the external address; `unknown` while not active.
    pub address_class: AddressClass,
}

impl From<portlease::LeaseSnapshot> for LeaseSnapshot {
    fn from(lease: portlease::LeaseSnapshot) -> Self {
        Self {
            id: count(lease.id),
            revision: count(lease.revision),
            state: lease.state.into(),
            active: lease.active,
            external: text(lease.external()),
            external_port: lease.external_port().map(Into::into),
            internal_port: lease.internal_port.into(),
            transport: lease.transport.into(),
            family: lease.family.into(),
            protocol: lease.protocol().map(Into::into),
            lifetime: lease.lifetime.map(Into::into),
            expires_in: lease.expires_in.map(Into::into),
            renews_in: lease.renews_in.map(Into::into),
            permanent: lease.permanent,
            renewals: count(lease.renewals),
            failures: lease.failures.into(),
            last_error: lease.last_error.as_deref().map(Into::into),
            nat_class: lease.nat_class.into(),
            address_class: lease.address_class.into(),
        }
    }
}

/// A mapper at one moment.
#[derive(Debug, Clone, uniffi::Record)]
pub struct MapperSnapshot {
    /// The gateway, once it was found. A link-local address has its scope, `fe80::1%eth0`.
    pub gateway: Option<String>,
    /// The local address to which the gateway forwards, once known.
    pub local_address: Option<String>,
    /// The protocols by which the gateway has answered so far.
    pub protocols: Vec<Protocol>,
    /// Leases with a granted, unexpired mapping.
    pub active: i64,
    /// Successful renewals, all leases together.
    pub renewals: i64,
    /// Events that were dropped for newer ones before anyone had read them.
    pub events_dropped: i64,
    /// Every lease that has not exited, by number.
    pub leases: Vec<LeaseSnapshot>,
    /// The last thing that did not work and that no lease depends on, such as writing to the state directory.
    pub last_error: Option<ErrorReport>,
    /// Whether the mapper was stopped.
    pub stopped: bool,
}

impl From<portlease::MapperSnapshot> for MapperSnapshot {
    fn from(mapper: portlease::MapperSnapshot) -> Self {
        Self {
            gateway: text(mapper.gateway),
            local_address: text(mapper.local_address),
            protocols: mapper.protocols.into_iter().map(Into::into).collect(),
            active: count(mapper.active),
            renewals: count(mapper.renewals),
            events_dropped: count(mapper.events_dropped),
            leases: mapper.leases.into_iter().map(Into::into).collect(),
            last_error: mapper.last_error.as_deref().map(Into::into),
            stopped: mapper.stopped,
        }
    }
}

/// What a gateway offers, asked without mapping anything.
#[derive(Debug, Clone, uniffi::Record)]
pub struct GatewayReport {
    /// The gateway's address; a link-local one has its scope, `fe80::1%eth0`.
    pub gateway: Option<String>,
    /// The local address from which it is reached.
    pub local_address: Option<String>,
    /// The interface of the default route, if it is known.
    pub interface: Option<String>,
    /// One entry for each configured protocol that has the family (NAT-PMP has no IPv6), in the configured order.
    pub protocols: Vec<ProtocolReport>,
}

/// One protocol's part of a gateway's report: an offer, or the error why there is none.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ProtocolReport {
    /// The protocol.
    pub protocol: Protocol,
    /// The gateway's external address, if the protocol can tell without mapping and the gateway has one.
    pub external_address: Option<String>,
    /// The device's name (UPnP).
    pub device: Option<String>,
    /// How long the answer took; absent if there was none.
    pub round_trip: Option<Seconds>,
    /// Why there is no offer.
    pub error: Option<ErrorReport>,
}

impl From<portlease::GatewayReport> for GatewayReport {
    fn from(report: portlease::GatewayReport) -> Self {
        Self {
            gateway: text(report.gateway),
            local_address: text(report.local_address),
            interface: report.interface,
            protocols: report.protocols.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<portlease::ProtocolReport> for ProtocolReport {
    fn from(report: portlease::ProtocolReport) -> Self {
        let protocol = report.protocol.into();
        match report.outcome {
            Ok(offer) => Self {
                protocol,
                external_address: text(offer.external_address),
                device: offer.device,
                round_trip: Some(offer.round_trip.into()),
                error: None,
            },
            Err(error) => {
                Self { protocol, external_address: None, device: None, round_trip: None, error: Some((&error).into()) }
            }
        }
    }
}

/// A line of the router's table of mapped ports.
#[derive(Debug, Clone, uniffi::Record)]
pub struct TableEntry {
    /// The port on the router's public side.
    pub external_port: Port,
    /// UDP or TCP.
    pub transport: Transport,
    /// The host inside to which the router forwards: an address, on some routers a name.
    pub internal_client: String,
    /// The port on that host.
    pub internal_port: Port,
    /// What the one who made it calls it.
    pub description: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// The time that is left; absent for an entry that does not end by itself.
    pub lifetime: Option<Seconds>,
    /// The only host that may use it; empty for everybody.
    pub remote_host: String,
    /// Whether it forwards to this machine.
    pub this_machine: bool,
}

impl From<portlease::TableEntry> for TableEntry {
    fn from(entry: portlease::TableEntry) -> Self {
        Self {
            external_port: entry.external_port.into(),
            transport: entry.transport.into(),
            internal_client: entry.internal_client,
            internal_port: entry.internal_port.into(),
            description: entry.description,
            enabled: entry.enabled,
            lifetime: entry.lifetime.map(Into::into),
            remote_host: entry.remote_host,
            this_machine: entry.this_machine,
        }
    }
}

/// An address as text.
pub(crate) fn text(address: Option<impl ToString>) -> Option<String> {
    address.map(|address| address.to_string())
}
