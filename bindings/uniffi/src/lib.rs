//! portlease for Kotlin and Swift, by UniFFI: converts, calls core, and converts back.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | `mapper`, `lease` | the handles, and `open` |
//! | `config` | generated: settings and requests, on their way in |
//! | `snapshot`, `event` | what is seen, on its way out |
//! | `error` | failures as snapshots and events show them |
//! | `names` | generated: the enums, and the one error with its kinds |
//! | `value` | reads one value; ports and seconds, which the hosts write as numbers of their own |
//! | `relay` | wakes the host, away from core's thread |

#![warn(clippy::wildcard_enum_match_arm)]

mod config;
mod error;
mod event;
mod lease;
mod mapper;
mod names;
mod relay;
mod snapshot;
mod value;

pub use config::{Config, MapRequest};
pub use error::ErrorReport;
pub use event::{Event, Pull};
pub use lease::Lease;
pub use mapper::{Mapper, begin_open, open, start_mapper};
pub use names::{
    AddressClass, AddressFamily, ErrorKind, EventKind, LeaseState, NatClass, PortLeaseError, Protocol, Transport,
};
pub use snapshot::{GatewayReport, LeaseSnapshot, MapperSnapshot, ProtocolReport};
pub use value::{Port, RetryPolicy, Seconds};

uniffi::setup_scaffolding!("portlease");
