//! What is tried, in which order, when a router says no: other leases first, then other ports.
//!
//! Every step is one AddPortMapping; the first that succeeds ends the climb, and nothing that can fail comes after it.

use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use super::action::{Control, Entry};
use super::device::Device;
use super::soap::{
    ACTION_FAILED, CONFLICT, CONFLICT_ELSEWHERE, CallError, Fault, INVALID_ARGS, NOT_AUTHORIZED, ONLY_PERMANENT,
    SAME_PORT_REQUIRED,
};
use crate::schedule::UPNP_LADDER_DEADLINE;

/// Other ports that are tried once the wished one is taken.
const OTHER_PORTS: u32 = 8;
/// The lowest of them: ports below are refused by many routers, and belong to well-known services.
const LOWEST_OTHER_PORT: u16 = 1024;
/// AddPortMapping's lease for a mapping without an end.
pub(super) const PERMANENT: u32 = 0;

/// A mapping that a router has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) external_port: u16,
    /// In seconds; [`PERMANENT`] is without end.
    pub(super) lease: u32,
}

impl Granted {
    /// UPnP answers carry no lifetime: what was asked for was granted.
    pub(super) fn lifetime(self) -> Option<Duration> {
        (self.lease != PERMANENT).then(|| Duration::from_secs(self.lease.into()))
    }
}

/// One attempt to get one port mapped.
pub(super) struct Ladder<'a> {
    pub(super) control: Control<'a>,
    pub(super) entry: Entry<'a>,
    /// The lease to ask for, in seconds.
    pub(super) lease: u32,
    /// Try a permanent mapping first: nothing else works here, or the mapping is permanent already.
    pub(super) permanent_first: bool,
    /// Where it is remembered that only permanent mappings work.
    pub(super) device: Option<&'a Device>,
}

impl Ladder<'_> {
    /// Maps `wish`, or another port unless `exact`.
    pub(super) async fn install(&self, wish: u16, exact: bool) -> Result<Granted, CallError> {
        let started = Instant::now();
        let first = match self.keep(wish).await {
            Ok(granted) => return Ok(granted),
            Err(CallError::Fault(fault)) if !exact && (tries_other_ports(&fault) || forbidden(wish, &fault)) => fault,
            Err(error) => return Err(error),
        };
        tracing::debug!(port = wish, fault = %first, "trying other ports");
        let (mut fault, mut conflicts_only) = (first, true);
        let mut same_port_left = wish != self.entry.internal.port();
        let mut others = 0;
        let mut any_port_left = self.control.service.adds_any_port();
        loop {
            conflicts_only &= fault.effective_code() == CONFLICT;
            if started.elapsed() >= UPNP_LADDER_DEADLINE {
                return Err(CallError::Fault(fault));
            }
            let attempt = if fault.effective_code() == SAME_PORT_REQUIRED {
                // No other external port can work.
                if !std::mem::take(&mut same_port_left) {
                    return Err(CallError::Fault(fault));
                }
                self.keep(self.entry.internal.port()).await
            } else if std::mem::take(&mut any_port_left) {
                match self.leases(None).await {
                    // Not implemented after all, or no better: ports by hand.
                    Err(CallError::Fault(other)) => {
                        tracing::debug!(fault = %other, "AddAnyPortMapping");
                        continue;
                    }
                    result => result,
                }
            } else if others < OTHER_PORTS {
                others += 1;
                self.leases(Some(other_port())).await
            } else if conflicts_only {
                return Err(CallError::AnotherHost { fault, local: self.entry.internal.ip() });
            } else {
                return Err(CallError::Fault(fault));
            };
            fault = match attempt {
                Ok(granted) => return Ok(granted),
                Err(CallError::Fault(fault)) if tries_other_ports(&fault) => fault,
                Err(error) => return Err(error),
            };
        }
    }

    /// Maps the same external port again, and no other: a renewal that took a new port would leak one each time.
    pub(super) async fn renew(&self, external_port: u16) -> Result<Granted, CallError> {
        self.keep(external_port).await
    }

    /// Maps this port. A conflict with our own entry is none: some routers refuse to extend an entry that exists.
    async fn keep(&self, port: u16) -> Result<Granted, CallError> {
        let conflict = match self.leases(Some(port)).await {
            Err(CallError::Fault(fault)) if fault.effective_code() == CONFLICT => fault,
            result => return result,
        };
        let transport = self.entry.transport;
        match self.control.specific(transport, port).await {
            Ok(entry) if entry.leads_to(self.entry.internal) => {
                if entry.lifetime.is_none() {
                    return Ok(Granted { external_port: port, lease: PERMANENT });
                }
                // It would run out: make room for a new one.
                tracing::debug!(port, "our own entry is in the way: replacing it");
                self.control.delete(transport, port).await?;
                self.leases(Some(port)).await
            }
            // Another's entry, or a router that does not tell.
            _ => Err(CallError::Fault(conflict)),
        }
    }

    /// Maps this port, or any for `None`, with the lease asked for, or else without end; the other way round where
    /// only permanent mappings are known to work.
    async fn leases(&self, port: Option<u16>) -> Result<Granted, CallError> {
        let mut leases = [self.lease, PERMANENT];
        if self.permanent_first {
            leases.reverse();
        }
        let first = match self.add(port, leases[0]).await {
            Ok(external_port) => return Ok(Granted { external_port, lease: leases[0] }),
            Err(CallError::Fault(fault)) if tries_other_leases(&fault) => fault,
            Err(error) => return Err(error),
        };
        match self.add(port, leases[1]).await {
            Ok(external_port) => {
                if leases[1] == PERMANENT
                    && let Some(device) = self.device
                {
                    device.remember_permanent_only();
                }
                Ok(Granted { external_port, lease: leases[1] })
            }
            // The first refusal says more than the refusal of the makeshift, unless it only was about the lease.
            Err(CallError::Fault(second)) if first.code == Some(ONLY_PERMANENT) => Err(CallError::Fault(second)),
            Err(CallError::Fault(second)) if tries_other_leases(&second) => Err(CallError::Fault(first)),
            Err(error) => Err(error),
        }
    }

    async fn add(&self, port: Option<u16>, lease: u32) -> Result<u16, CallError> {
        match port {
            Some(port) => self.control.add(&self.entry, port, lease).await.map(|()| port),
            None => self.control.add_any(&self.entry, lease).await,
        }
    }
}

/// Many routers permit no external port below 1024, and say so with the code for "not you". If it was that, the next
/// port is refused with the same code, and the climb ends.
fn forbidden(port: u16, fault: &Fault) -> bool {
    port < LOWEST_OTHER_PORT && fault.code == Some(NOT_AUTHORIZED)
}

fn other_port() -> u16 {
    rand::rng().random_range(LOWEST_OTHER_PORT..=u16::MAX)
}

/// The lease may be what the router does not like.
fn tries_other_leases(fault: &Fault) -> bool {
    matches!(fault.effective_code(), ONLY_PERMANENT | INVALID_ARGS | ACTION_FAILED)
}

/// The port may be what the router does not like.
fn tries_other_ports(fault: &Fault) -> bool {
    matches!(fault.effective_code(), CONFLICT | CONFLICT_ELSEWHERE | ACTION_FAILED | SAME_PORT_REQUIRED | INVALID_ARGS)
}
