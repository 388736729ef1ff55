//! What happened to leases. [`crate::event_log`] keeps events until they are read.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorReport;
use crate::mapping::{AddressFamily, Protocol, Transport};
use crate::net::address::AddressClass;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum EventKind {
    /// The gateway granted a mapping.
    Installed,
    /// The gateway granted the same mapping again.
    Renewed,
    /// A renewal brought another external address.
    Changed,
    /// An attempt to map or to renew failed; the lease goes on.
    Failed,
    /// The mapping was lost.
    Revoked,
    /// The mapping was deleted and made again, see [`Lease::repair`](crate::Lease::repair).
    Repaired,
    /// The lease is over.
    Exited,
    /// The machine is in another network, or has lost its network: the way to the gateway is another one, or there is none.
    NetworkChanged,
}

impl EventKind {
    /// Every kind of event.
    pub const ALL: [Self; 8] = [
        Self::Installed,
        Self::Renewed,
        Self::Changed,
        Self::Failed,
        Self::Revoked,
        Self::Repaired,
        Self::Exited,
        Self::NetworkChanged,
    ];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Renewed => "renewed",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Repaired => "repaired",
            Self::Exited => "exited",
            Self::NetworkChanged => "network-changed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that happened to a lease, or to all of them at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The number of the lease; `None` if the event is about the whole mapper (`network-changed`, and `failed` where
    /// something does not work that no lease depends on, such as the [state directory](crate::Config::state_dir)).
    pub lease: Option<u64>,
    /// UDP or TCP, if the event is about a lease.
    pub transport: Option<Transport>,
    /// IPv4 for a port mapping, IPv6 for a pinhole, if the event is about a lease.
    pub family: Option<AddressFamily>,
    /// The local port, if the event is about a lease.
    pub internal_port: Option<u16>,
    /// The external address and port, if there is a mapping and the gateway knows its address.
    pub external: Option<SocketAddr>,
    /// The external port, if there is a mapping.
    pub external_port: Option<u16>,
    /// The protocol of the mapping.
    pub protocol: Option<Protocol>,
    /// The granted lifetime; `None` if there is no mapping or it is permanent.
    pub lifetime: Option<Duration>,
    /// The class of the external address.
    pub address_class: AddressClass,
    /// Why, for `failed`, `revoked` and, if the lease ended by a failure or its mapping could not be deleted, `exited`.
    pub error: Option<Arc<ErrorReport>>,
    /// How long the attempt took that ended with this event; zero if the event ends no attempt.
    pub elapsed: Duration,
    /// How many events this reader lost just before this one because it did not pull them in time.
    pub dropped: u64,
}

impl Event {
    /// Creates an event of this kind that is about no lease; the caller sets the other fields.
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            lease: None,
            transport: None,
            family: None,
            internal_port: None,
            external: None,
            external_port: None,
            protocol: None,
            lifetime: None,
            address_class: AddressClass::Unknown,
            error: None,
            elapsed: Duration::ZERO,
            dropped: 0,
        }
    }
}
