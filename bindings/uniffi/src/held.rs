//! What the handle on a mapped port holds: a lease alone, or one with a mapper of its own.

use std::time::Duration;

use portlease::{OpenPort, Release};

/// What a handle holds.
#[derive(Debug)]
pub(crate) enum Held {
    /// A lease of a mapper that has a handle too.
    Lease(portlease::Lease),
    /// What `open` made: a lease with a mapper of its own.
    Port(OpenPort),
}

impl Held {
    pub(crate) fn lease(&self) -> &portlease::Lease {
        match self {
            Self::Lease(lease) => lease,
            Self::Port(port) => port.lease(),
        }
    }

    pub(crate) fn begin_stop(&self) {
        match self {
            Self::Lease(lease) => lease.begin_stop(),
            Self::Port(port) => port.begin_stop(),
        }
    }

    pub(crate) async fn stop(&self, limit: Option<Duration>) -> Release {
        match self {
            Self::Lease(lease) => lease.stop(limit).await,
            Self::Port(port) => port.stop(limit).await,
        }
    }

    pub(crate) fn begin_detach(&self) {
        match self {
            Self::Lease(lease) => lease.begin_detach(),
            Self::Port(port) => port.begin_detach(),
        }
    }

    pub(crate) async fn detach(&self) -> Release {
        match self {
            Self::Lease(lease) => lease.detach().await,
            Self::Port(port) => port.detach().await,
        }
    }
}
