//! portlease makes a local port reachable from the internet through the user's own router, and keeps it reachable.
//!
//! It speaks PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD 1 and 2. Mapping is best effort by nature: a router
//! that says no is a normal outcome with a reason, never a hang, a crash or a lie.
//!
//! ```no_run
//! # async fn example() -> Result<(), portlease::PortMappingError> {
//! let port = portlease::open(4000, portlease::Transport::Udp).await?;
//! println!("external address: {:?}", port.snapshot().external());
//! port.stop(None).await; // deletes the mapping on the router
//! # Ok(())
//! # }
//! ```
//!
//! The futures of this crate need no particular runtime; without any, use [`wait`].
//!
//! # Layout
//!
//! Dependencies point one way: wire codecs (private), [`client`]s, [`task`], [`Mapper`] and [`Lease`].
//!
//! | module | what |
//! |---|---|
//! | [`error`] | the only list of kinds |
//! | [`mapping`] | protocols, transports, what is asked for and what is granted |
//! | [`config`] | how a mapper behaves |
//! | [`client`] | the trait between the task and the protocols; PCP, NAT-PMP, UPnP, and their race |
//! | [`net`] | default route, local address, address classes |
//! | [`task`] | the life of one lease: probe, install, renew, revoke |
//! | [`sink`], [`snapshot`], [`event`], [`event_log`] | how the task publishes and what readers see |
//! | [`log`] | diagnostics, for hosts without `tracing` |
//! | [`waits`] | many waits at once, for hosts that cannot poll futures |
//! | [`fork`] | for hosts that can tell of a fork |

mod advice;
mod builders;
pub mod client;
mod clock;
pub mod config;
mod engine;
pub mod error;
mod escape;
pub mod event;
pub mod event_log;
mod event_text;
pub mod fork;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod lease;
pub mod log;
mod mapper;
pub mod mapping;
pub mod net;
mod open;
mod protocol;
mod resident;
mod schedule;
pub mod sink;
mod sleep;
pub mod snapshot;
mod state;
mod system;
pub mod task;
pub mod waits;
mod world;

pub use advice::Obstacle;
pub use config::{Config, RetryPolicy};
pub use engine::{wait, wait_for};
pub use error::{ErrorDetail, ErrorKind, ErrorReport, PortMappingError};
pub use event::{Event, EventKind};
pub use event_log::PulledEvent;
pub use lease::Lease;
pub use log::{LogLevel, LogReader, LogRecord};
pub use mapper::{Events, Mapper};
pub use mapping::{AddressFamily, MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
pub use net::address::AddressClass;
pub use net::scoped::ScopedAddr;
pub use open::{OpenPort, external_address, open, open_with, probe, probe_of};
pub use snapshot::{
    GatewayReport, LeaseSnapshot, LeaseState, MapperSnapshot, NatClass, ProtocolOffer, ProtocolReport, Release,
    TableEntry,
};
pub use state::{RecordedPinhole, held_ports, recorded_pinholes};
pub use waits::{Completion, WaitEnd, Waits};

/// The examples of this crate's pages, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/testing.md")]
mod pages {}
