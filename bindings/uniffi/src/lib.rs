//! portlease for Kotlin and Swift, by UniFFI: converts, calls core, and converts back.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | `mapper`, `lease` | the handles, and `open` |
//! | `config` | settings and requests, on their way in |
//! | `snapshot`, `event` | what is seen, on its way out |
//! | `error` | the one error, with its kinds |
//! | `names` | the enums; their texts are core's |
//! | `number` | ports and seconds, which the hosts write as numbers of their own |
//! | `relay` | wakes the host, away from core's thread |

mod config;
mod error;
mod event;
mod lease;
mod mapper;
mod names;
mod number;
mod relay;
mod snapshot;

pub use config::{Config, MapRequest, RetryPolicy};
pub use error::{ErrorReport, PortLeaseError};
pub use event::{Event, Pull};
pub use lease::Lease;
pub use mapper::{Mapper, begin_open, open, start_mapper};
pub use names::{AddressClass, AddressFamily, ErrorKind, EventKind, LeaseState, NatClass, Protocol, Transport};
pub use number::{Port, Seconds};
pub use snapshot::{GatewayReport, LeaseSnapshot, MapperSnapshot, ProtocolReport};

uniffi::setup_scaffolding!("portlease");
