//! What readers see: immutable copies of a moment.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::builders::builders;
use crate::error::{ErrorDetail, ErrorKind, ErrorReport, PortMappingError, check, reasons};
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, Transport, check_description};
use crate::net::address::AddressClass;
use crate::net::route::NetworkPath;
use crate::net::scoped::ScopedAddr;

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum LeaseState {
    /// Not begun, or waiting for the next attempt.
    #[default]
    Idle,
    /// Asking the gateway for a mapping.
    Probing,
    /// Mapped.
    Installed,
    /// Mapped, and asking the gateway to keep it.
    Renewing,
    /// The mapping was lost: renewals failed or its lifetime ran out.
    Revoked,
    /// Over: stopped, or failed without retry.
    Exited,
}

impl LeaseState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Probing, Self::Installed, Self::Renewing, Self::Revoked, Self::Exited];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Probing => "probing",
            Self::Installed => "installed",
            Self::Renewing => "renewing",
            Self::Revoked => "revoked",
            Self::Exited => "exited",
        }
    }
}

/// Whether the port can be assumed open to the other side of the NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum NatClass {
    /// A granted, unexpired mapping with a public address is published.
    Open,
    /// Nothing is known, or the external address is not known to be public.
    #[default]
    Unknown,
}

impl NatClass {
    /// The class of a mapping whose external address is of this class.
    pub(crate) const fn of(external: AddressClass) -> Self {
        match external {
            AddressClass::Public => Self::Open,
            AddressClass::Cgnat | AddressClass::Private | AddressClass::Reserved | AddressClass::Unknown => {
                Self::Unknown
            }
        }
    }

    /// Every class.
    pub const ALL: [Self; 2] = [Self::Open, Self::Unknown];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

/// How the end of a lease, or of all leases of a mapper, left the gateway; from the best outcome to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum Release {
    /// Over, and nothing is left: the gateway has confirmed the delete or had nothing to delete. Also the answer if
    /// `detach` left the mapping on purpose.
    Released,
    /// Over, but the delete was not confirmed: the mapping may stay until its lifetime ends.
    Unconfirmed,
    /// Not over yet: the release goes on in the background.
    Pending,
}

impl Release {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Released, Self::Unconfirmed, Self::Pending];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Unconfirmed => "unconfirmed",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for NatClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The part of a mapping that others are told: as long as it does not change, readers hold the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishedMapping {
    /// The external address and port; `None` where the gateway does not know its address.
    pub external: Option<SocketAddr>,
    /// The external port, which is known in any case.
    pub external_port: u16,
    /// The protocol that made the mapping.
    pub protocol: Protocol,
    /// Whether the internet can reach that address.
    pub address_class: AddressClass,
}

impl From<&PortMapping> for PublishedMapping {
    fn from(mapping: &PortMapping) -> Self {
        Self {
            external: Some(mapping.external).filter(|external| !external.ip().is_unspecified()),
            external_port: mapping.external.port(),
            protocol: mapping.protocol,
            address_class: AddressClass::of(mapping.external.ip()),
        }
    }
}

/// One lease at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LeaseSnapshot {
    /// The lease's number within its mapper, from 1.
    pub id: u64,
    /// The number of this state: it grows with each change, and tells [`Lease::changed`](crate::Lease::changed) what the
    /// caller has seen.
    pub revision: u64,
    /// Where the lease stands.
    pub state: LeaseState,
    /// Whether a granted, unexpired mapping is published.
    pub active: bool,
    /// The mapping, while active. The pointer stays the same as long as the external address does.
    pub mapping: Option<Arc<PublishedMapping>>,
    /// The local port.
    pub internal_port: u16,
    /// UDP or TCP.
    pub transport: Transport,
    /// IPv4 for a port mapping, IPv6 for a pinhole.
    pub family: AddressFamily,
    /// The granted lifetime; `None` while not active or if the mapping is permanent.
    pub lifetime: Option<Duration>,
    /// The time until the gateway ends the mapping if it is not renewed; `None` as for `lifetime`.
    pub expires_in: Option<Duration>,
    /// The time until the next renewal is due; `None` while not active.
    pub renews_in: Option<Duration>,
    /// Whether the mapping stays on the gateway until it is deleted.
    pub permanent: bool,
    /// Successful renewals of the present mapping and of those before it.
    pub renewals: u64,
    /// Consecutive failures: of renewals while active, of attempts to map otherwise.
    pub failures: u32,
    /// The latest failure; cleared by the next success.
    pub last_error: Option<Arc<ErrorReport>>,
    /// `open` while active with a public external address.
    pub nat_class: NatClass,
    /// The class of the external address; `unknown` while not active.
    pub address_class: AddressClass,
}

impl LeaseSnapshot {
    /// The lease with this number before its first attempt: for tests of what shows snapshots.
    pub fn new(id: u64, request: &MapRequest) -> Self {
        Self {
            id,
            revision: 0,
            state: LeaseState::Idle,
            active: false,
            mapping: None,
            internal_port: request.internal_port,
            transport: request.transport,
            family: request.family,
            lifetime: None,
            expires_in: None,
            renews_in: None,
            permanent: false,
            renewals: 0,
            failures: 0,
            last_error: None,
            nat_class: NatClass::Unknown,
            address_class: AddressClass::Unknown,
        }
    }

    /// The external address and port, while active and if the gateway knows its address.
    pub fn external(&self) -> Option<SocketAddr> {
        self.mapping.as_ref().and_then(|mapping| mapping.external)
    }

    /// The external port, while active; also where the gateway does not know its address.
    pub fn external_port(&self) -> Option<u16> {
        self.mapping.as_ref().map(|mapping| mapping.external_port)
    }

    /// The protocol that made the mapping, while active.
    pub fn protocol(&self) -> Option<Protocol> {
        self.mapping.as_ref().map(|mapping| mapping.protocol)
    }
}

/// A mapper at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MapperSnapshot {
    /// The gateway, once it was looked for and found; IPv4's if there is one. A link-local address has its scope,
    /// `fe80::1%eth0`.
    pub gateway: Option<ScopedAddr>,
    /// The local address to which the gateway forwards, once known.
    pub local_address: Option<IpAddr>,
    /// The protocols by which the gateway has answered so far.
    pub protocols: Vec<Protocol>,
    /// Leases with a granted, unexpired mapping.
    pub active: usize,
    /// Successful renewals, all leases together.
    pub renewals: u64,
    /// Events that nobody pulled in time and that were dropped for newer ones.
    pub events_dropped: u64,
    /// Every lease that has not exited, by number.
    pub leases: Vec<LeaseSnapshot>,
    /// The last thing that did not work and that no lease depends on, such as writing to the state directory.
    pub last_error: Option<Arc<ErrorReport>>,
    /// Whether the mapper was stopped.
    pub stopped: bool,
}

/// What a gateway offers, asked without mapping anything.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GatewayReport {
    /// The gateway's address; a link-local one has its scope, `fe80::1%eth0`.
    pub gateway: Option<ScopedAddr>,
    /// The local address from which it is reached.
    pub local_address: Option<IpAddr>,
    /// The interface of the default route, where it is known.
    pub interface: Option<String>,
    /// One entry for each configured protocol that has the family (NAT-PMP has no IPv6), in the configured order.
    pub protocols: Vec<ProtocolReport>,
}

/// One protocol's part of a [`GatewayReport`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProtocolReport {
    /// The protocol.
    pub protocol: Protocol,
    /// What it answered, or why it did not.
    pub outcome: Result<ProtocolOffer, PortMappingError>,
}

impl ProtocolReport {
    /// What `protocol` answered.
    pub const fn new(protocol: Protocol, outcome: Result<ProtocolOffer, PortMappingError>) -> Self {
        Self { protocol, outcome }
    }
}

/// What a protocol answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProtocolOffer {
    /// The gateway's external address, where the protocol can tell without mapping and the gateway has one.
    pub external_address: Option<IpAddr>,
    /// The device's name (UPnP).
    pub device: Option<String>,
    /// How long the answer took; for UPnP from the search to the last answer.
    pub round_trip: Duration,
}

impl ProtocolOffer {
    builders! {
        external_address(impl Into<Option<IpAddr>>),
        device(impl Into<Option<String>>),
        round_trip(Duration),
    }
}

impl GatewayReport {
    /// A report about the gateway at the end of `path`, without protocols.
    pub fn new(path: Option<NetworkPath>) -> Self {
        let gateway = path.as_ref().and_then(NetworkPath::scoped_gateway);
        let (local_address, interface) = path.map(|path| (path.local_address, path.interface)).unzip();
        Self { gateway, local_address, interface: interface.flatten(), protocols: Vec::new() }
    }

    builders! {
        protocols(impl Into<Vec<ProtocolReport>>),
    }

    /// The external address that the first protocol tells which has one.
    pub fn external_address(&self) -> Option<IpAddr> {
        self.protocols.iter().find_map(|report| report.outcome.as_ref().ok()?.external_address)
    }

    /// Fails unless a protocol answered: with `refused` if one said no, else with `unavailable`; the message gives
    /// the reason of each.
    pub fn require_offer(&self) -> Result<(), PortMappingError> {
        if self.protocols.is_empty() || self.protocols.iter().any(|report| report.outcome.is_ok()) {
            return Ok(());
        }
        let failures = || self.protocols.iter().filter_map(|report| report.outcome.as_ref().err());
        let gateway = self.gateway.map_or_else(String::new, |gateway| format!(" {gateway}"));
        let offers = match self.gateway.is_some_and(|gateway| gateway.ip().is_ipv6()) {
            true => "opens no pinholes",
            false => "offers no port mapping",
        };
        let message = format!("gateway{gateway} {offers}: {}", reasons(failures()));
        let error = match failures().any(|error| error.kind() == ErrorKind::Refused) {
            true => PortMappingError::refused(message),
            false => PortMappingError::unavailable(message),
        };
        Err(error.with_details(self.details()))
    }

    /// What each protocol that failed has answered.
    fn details(&self) -> Vec<ErrorDetail> {
        let failures =
            self.protocols.iter().filter_map(|report| Some((report.protocol, report.outcome.as_ref().err()?)));
        failures.map(|(protocol, error)| error.detail_of(protocol)).collect()
    }
}

/// A line of the router's table of mapped ports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableEntry {
    /// The port on the router's public side.
    pub external_port: u16,
    /// UDP or TCP.
    pub transport: Transport,
    /// The host inside to which the router forwards: an address, on some routers a name.
    pub internal_client: String,
    /// The port on that host.
    pub internal_port: u16,
    /// What the one who made it calls it.
    pub description: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// The time that is left; `None` for an entry that does not end by itself.
    pub lifetime: Option<Duration>,
    /// The only host that may use it; empty for everybody.
    pub remote_host: String,
    /// Whether it forwards to this machine.
    pub this_machine: bool,
}

impl TableEntry {
    /// An entry in force, for every remote host and without end, that forwards to a port of `internal_client`.
    pub fn new(
        transport: Transport,
        external_port: u16,
        internal_client: impl Into<String>,
        internal_port: u16,
    ) -> Self {
        Self {
            external_port,
            transport,
            internal_client: internal_client.into(),
            internal_port,
            description: String::new(),
            enabled: true,
            lifetime: None,
            remote_host: String::new(),
            this_machine: false,
        }
    }

    builders! {
        description(impl Into<String>),
        lifetime(impl Into<Option<Duration>>),
    }

    /// Fails with `invalid` for what cannot be added to a table.
    pub(crate) fn validate(&self) -> Result<(), PortMappingError> {
        PortMappingError::check_port("external_port", self.external_port)?;
        PortMappingError::check_port("internal_port", self.internal_port)?;
        check("internal_client", self.client().is_some_and(|client| client.is_ipv4()), || {
            format!("`{:.64}` is not an IPv4 address; give one such as 192.168.1.20", self.internal_client)
        })?;
        check("remote_host", self.is_for_everybody(), || {
            format!("`{:.64}` is not allowed; routers open ports to everybody, so leave it empty", self.remote_host)
        })?;
        let lifetime = self.lifetime.is_none_or(|lifetime| lifetime.as_secs() > 0);
        check("lifetime", lifetime, || "must be at least 1 s, or none for an entry that does not end".to_owned())?;
        check_description(&self.description)
    }

    /// Fails with `refused` unless the entry forwards to this machine.
    pub(crate) fn require_this_machine(&self) -> Result<(), PortMappingError> {
        if self.this_machine {
            return Ok(());
        }
        let Self { transport, external_port, internal_client, internal_port, .. } = self;
        Err(PortMappingError::refused(format!(
            "external {transport} port {external_port} leads to {internal_client}:{internal_port}, not to this machine"
        )))
    }

    /// The host inside, if it is given by its address.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.internal_client.parse().ok()
    }

    /// Whether the entry is open to every remote host, which routers write in several ways.
    pub fn is_for_everybody(&self) -> bool {
        ["", "*", "0.0.0.0"].contains(&self.remote_host.as_str())
    }

    /// Whether the entry forwards to this address and port.
    pub(crate) fn leads_to(&self, internal: SocketAddr) -> bool {
        self.internal_port == internal.port() && self.client() == Some(internal.ip())
    }
}
