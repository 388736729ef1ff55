//! portlease for Kotlin and Swift, by UniFFI: converts, calls core, and converts back.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | `mapper` | the handle on an engine |
//! | `lease` | the handle on a mapped port, and `open` |
//! | `held` | what the latter holds |
//! | `config` | generated: settings and requests, on their way in |
//! | `snapshot` | leases, mappers and gateways, on their way out |
//! | `event` | events, on their way out, and their readers |
//! | `error` | failures as snapshots and events show them |
//! | `message` | error messages in the hosts' spelling |
//! | `names` | generated: the enums, and the one error with its kinds |
//! | `value` | reads one value; ports and seconds, which the hosts write as numbers of their own |
//! | `view` | snapshots in one call that fills memory of the host's |
//! | `gateway` | the simulated gateway, for tests |
//! | `log` | diagnostics, for the host's own log |
//! | `exit` | stops what still runs at the end of a process |
//! | `relay` | completes the hosts' waits, away from core's thread |

#![warn(clippy::wildcard_enum_match_arm)]

mod config;
mod error;
mod event;
mod exit;
mod gateway;
mod held;
mod lease;
mod log;
mod mapper;
mod message;
mod names;
mod relay;
mod snapshot;
mod value;
mod view;

pub use config::{Config, MapRequest};
pub use error::{ErrorDetail, ErrorReport};
pub use event::{Event, EventReader};
pub use exit::stop_all;
pub use gateway::{SimulatedAddresses, SimulatedFirewall, SimulatedGateway, SimulatedMapping, SimulatedState};
pub use lease::{Lease, begin_open, open};
pub use log::{LogReader, LogRecord};
pub use mapper::{Mapper, external_address, probe, start_mapper};
pub use names::{
    AddressClass, AddressFamily, ErrorKind, EventKind, LeaseState, LogLevel, NatClass, PortLeaseError, Protocol,
    Transport,
};
pub use snapshot::{GatewayReport, LeaseSnapshot, MapperSnapshot, ProtocolReport, TableEntry};
pub use value::{Port, RetryPolicy, Seconds};

uniffi::setup_scaffolding!("portlease");
