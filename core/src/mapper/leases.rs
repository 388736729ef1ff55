//! The leases of a mapper.

use std::sync::Arc;

use crate::error::PortMappingError;
use crate::lease::{Lease, WeakLease};
use crate::mapping::MapRequest;
use crate::sink::MappingSink;
use crate::snapshot::Release;
use crate::task::Shutdown;

#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) last_id: u64,
    /// Leases that have not left the gateway. Those that have are removed by the next call that uses the list.
    pub(super) live: Vec<LiveLease>,
    /// Renewals of the leases that were removed.
    pub(super) past_renewals: u64,
    /// Whether one of the leases that were removed may have left something on the gateway.
    unconfirmed: bool,
}

#[derive(Debug)]
pub(super) struct LiveLease {
    pub(super) sink: Arc<MappingSink>,
    pub(super) shutdown: Shutdown,
    pub(super) lease: WeakLease,
}

impl LiveLease {
    /// The lease, unless it [ends](Self::ends).
    pub(super) fn lease(&self) -> Option<Lease> {
        if self.ends() { None } else { self.lease.upgrade() }
    }

    /// Whether it is over, was told to end, or nobody holds it any more, which tells it to end.
    pub(super) fn ends(&self) -> bool {
        self.shutdown.is_requested() || self.sink.has_exited() || self.lease.is_gone()
    }
}

impl Leases {
    pub(super) fn sweep(&mut self) {
        let (past, unconfirmed) = (&mut self.past_renewals, &mut self.unconfirmed);
        self.live.retain(|lease| {
            let release = lease.sink.release();
            if release != Release::Pending {
                *past += lease.sink.snapshot().renewals;
                *unconfirmed |= release == Release::Unconfirmed;
            }
            release == Release::Pending
        });
    }

    /// How all leases of the mapper have left the gateway.
    pub(super) fn release(&mut self) -> Release {
        self.sweep();
        match (self.live.is_empty(), self.unconfirmed) {
            (false, _) => Release::Pending,
            (true, true) => Release::Unconfirmed,
            (true, false) => Release::Released,
        }
    }
}

/// The error if two requests would use the same entry of the gateway's table.
pub(super) fn clash(live: &MapRequest, new: &MapRequest) -> Option<PortMappingError> {
    if (live.transport, live.family) != (new.transport, new.family) {
        return None;
    }
    let transport = new.transport;
    if live.internal_port == new.internal_port {
        let message =
            format!("{transport} port {} has a lease of this mapper already; stop that first", new.internal_port);
        return Some(PortMappingError::invalid("internal_port", message));
    }
    (live.suggested_port() == new.suggested_port()).then(|| {
        let message = format!(
            "{transport} port {} is asked for by this mapper's lease on port {}; choose another",
            new.suggested_port(),
            live.internal_port
        );
        PortMappingError::invalid("external_port", message)
    })
}
