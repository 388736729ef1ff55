//! What is tried, in which order, when a router says no: other leases first, then other ports. Renewals are in `renewal`.
//!
//! A port is looked at before it is asked for, because many routers let anybody overwrite anybody's entry. AddPortMapping
//! comes last: the first that succeeds ends the climb, and nothing that can fail comes after it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;

use super::action::{Control, Entry};
use super::device::Device;
use super::ledger::{Claim, Identity, Ledger, Place, Port, Reservation};
use super::look::{Look, Owner, look, owner_at};
use super::release::clear;
use super::soap::{
    ACTION_FAILED, CONFLICT, CONFLICT_ELSEWHERE, CallError, Fault, INVALID_ARGS, NO_ROOM, NOT_AUTHORIZED, Need,
    ONLY_PERMANENT, PERMANENT, SAME_PORT_REQUIRED,
};
use super::table;
use crate::schedule::{UPNP_LADDER_DEADLINE, UPNP_STATUS_DEADLINE};
use crate::snapshot::TableEntry;

/// Requests of one climb: a router that is full or busy is not helped by more of them.
const MAX_REQUESTS: usize = 6;
/// Other ports that are tried once the wished one is taken.
const OTHER_PORTS: u32 = 2;
/// The lowest of them: ports below are refused by many routers, and belong to well-known services.
const LOWEST_OTHER_PORT: u16 = 1024;

/// A mapping that a router has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) external_port: u16,
    /// In seconds; [`PERMANENT`] is without end.
    pub(super) lease: u32,
    /// Somebody else made it before.
    pub(super) adopted: bool,
}

impl Granted {
    /// UPnP answers carry no lifetime: what was asked for was granted.
    pub(super) fn lifetime(self) -> Option<Duration> {
        (self.lease != PERMANENT).then(|| Duration::from_secs(self.lease.into()))
    }

    pub(super) fn adopted(entry: &TableEntry) -> Self {
        let lease = entry.lifetime.map_or(PERMANENT, |left| u32::try_from(left.as_secs()).unwrap_or(u32::MAX));
        Self { external_port: entry.external_port, lease, adopted: true }
    }
}

/// One attempt to get one port mapped.
pub(super) struct Ladder<'a> {
    /// With a clock of its own.
    pub(super) control: Control<'a>,
    pub(super) entry: Entry<'a>,
    /// The lease to ask for, in seconds.
    pub(super) lease: u32,
    /// Where it is remembered that only permanent mappings work.
    device: Option<&'a Device>,
    pub(super) ledger: &'a Ledger,
    pub(super) identity: Identity,
    installs: bool,
    pub(super) requests: usize,
    /// The lease that is asked for alone, once it is known which.
    settled_lease: Option<u32>,
    /// One more try of the same lease is not worth a request.
    pub(super) hasty: bool,
    /// Our entry was deleted to be replaced.
    pub(super) deleted: bool,
    /// The whole table may be read: for the wished port, not for those that nobody has chosen.
    reads_table: bool,
}

impl<'a> Ladder<'a> {
    pub(super) fn new(
        control: Control<'a>,
        entry: Entry<'a>,
        lease: u32,
        device: Option<&'a Device>,
        ledger: &'a Ledger,
        identity: Identity,
    ) -> Self {
        Self {
            control,
            entry,
            lease,
            device,
            ledger,
            identity,
            installs: false,
            requests: 0,
            settled_lease: None,
            hasty: false,
            deleted: false,
            reads_table: false,
        }
    }

    /// Maps `wish`, or another port unless `exact`.
    pub(super) async fn install(mut self, wish: u16, exact: bool) -> Result<Granted, CallError> {
        (self.installs, self.reads_table) = (true, true);
        match self.port(wish).await {
            Err(error) if !exact && (tries_other_ports(&error) || forbidden(wish, &error)) => {
                tracing::debug!(port = wish, %error, "trying other ports");
                self.other_ports(wish, error).await
            }
            result => result,
        }
    }

    /// Maps another port than `wish`, which was refused with `error`.
    async fn other_ports(&mut self, wish: u16, mut error: CallError) -> Result<Granted, CallError> {
        self.reads_table = false;
        let mut conflicts_only = true;
        let mut same_port_left = wish != self.entry.internal.port();
        let mut any_port_left = self.control.service.adds_any_port();
        let mut others = 0;
        loop {
            let code = if let CallError::Fault(fault) = &error { Some(fault.effective_code()) } else { None };
            conflicts_only &= code == Some(CONFLICT);
            if self.requests >= MAX_REQUESTS || self.control.caller.spent() >= UPNP_LADDER_DEADLINE {
                return Err(self.conclude(error, conflicts_only));
            }
            let attempt = if code == Some(SAME_PORT_REQUIRED) {
                // No other external port can work.
                if !std::mem::take(&mut same_port_left) {
                    return Err(error);
                }
                self.port(self.entry.internal.port()).await
            } else if std::mem::take(&mut any_port_left) {
                match self.any_port().await {
                    // Not implemented after all, or no better: ports by hand.
                    Err(CallError::Fault(other)) if other.effective_code() != NO_ROOM => {
                        tracing::debug!(fault = %other, "AddAnyPortMapping");
                        continue;
                    }
                    result => result,
                }
            } else if others < OTHER_PORTS && self.requests + 2 <= MAX_REQUESTS {
                others += 1;
                self.port(other_port()).await
            } else {
                return Err(self.conclude(error, conflicts_only));
            };
            error = match attempt {
                Err(error) if tries_other_ports(&error) => error,
                result => return result,
            };
        }
    }

    /// What is said of a climb that led nowhere.
    fn conclude(&self, error: CallError, conflicts_only: bool) -> CallError {
        match error {
            CallError::Fault(fault) if conflicts_only => {
                CallError::AnotherHost { fault, local: self.entry.internal.ip() }
            }
            error => error,
        }
    }

    /// Looks at a port, and maps it unless it is another's.
    async fn port(&mut self, port: u16) -> Result<Granted, CallError> {
        let place = self.place(Port::Known(port));
        let reservation = self.reserve(&place)?;
        self.clear_leftover(&place, port).await?;
        let seen = self.look(&place).await?;
        match self.look_closer(seen, &place, port).await? {
            Look::Nothing | Look::Unknown(_) => self.leases(&reservation).await,
            Look::Entry(entry) => match self.owner(&entry, &place) {
                Owner::Ours => self.extend(&reservation, &entry).await,
                Owner::ThisHost => {
                    self.ledger.forget(&place, self.entry.internal.port());
                    tracing::debug!(port, description = entry.description, "adopting an entry that leads here");
                    Ok(Granted::adopted(&entry))
                }
                Owner::Another(why) => {
                    self.ledger.forget(&place, self.entry.internal.port());
                    Err(CallError::Taken { port, why })
                }
            },
        }
    }

    /// Some routers show no single entry, or none at all, and let a host overwrite its own: then the external port of another
    /// program would lead to this one. So the whole table is read once, and what is on record is heeded.
    async fn look_closer(&mut self, seen: Look, place: &Place, port: u16) -> Result<Look, CallError> {
        let asks_for_another = port != self.entry.internal.port();
        let shows_nothing = match &seen {
            Look::Entry(_) => return Ok(seen),
            // By the usual wish two programs do not get in each other's way, and this is how most mappings begin.
            Look::Nothing => asks_for_another && !self.ledger.shown(&self.identity).entries,
            Look::Unknown(_) => true,
        };
        if self.ledger.is_taken(place, &self.entry, self.control.service) {
            return Err(CallError::Taken { port, why: "leads to another port of this host".to_owned() });
        }
        if !shows_nothing || !std::mem::take(&mut self.reads_table) {
            return Ok(seen);
        }
        match table::find_soon(self.control, place.transport, port).await {
            Ok(Some(entry)) if entry.internal_port != 0 && entry.client().is_some() => Ok(Look::Entry(entry)),
            Ok(_) => Ok(seen),
            Err(error) => {
                tracing::debug!(%error, port, "the router shows no table either");
                Ok(seen)
            }
        }
    }

    /// Deletes what another lease of this process, which is over, may have left at a port that is reserved by now.
    async fn clear_leftover(&mut self, place: &Place, port: u16) -> Result<(), CallError> {
        let internal_port = self.entry.internal.port();
        let Some(left) = self.ledger.added_for_another(place, internal_port) else { return Ok(()) };
        // A look and a delete.
        self.requests += 2;
        let internal = SocketAddr::new(self.entry.internal.ip(), left.internal.port());
        match clear(self.control, self.ledger, place, internal, self.entry.description).await {
            Err(error @ (CallError::Fault(_) | CallError::Untold(_))) => {
                let why = format!("still leads to port {} of this host: {error}", left.internal.port());
                Err(CallError::Taken { port, why })
            }
            result => result,
        }
    }

    /// Has the router choose a port.
    async fn any_port(&mut self) -> Result<Granted, CallError> {
        let place = self.place(Port::ChosenFor(self.entry.internal.port()));
        let reservation = self.reserve(&place)?;
        self.leases(&reservation).await
    }

    /// Maps a port at which our own entry stands: some routers refuse to extend one that exists.
    pub(super) async fn extend(
        &mut self,
        reservation: &Arc<Reservation>,
        entry: &TableEntry,
    ) -> Result<Granted, CallError> {
        match self.leases(reservation).await {
            Err(CallError::Fault(fault)) if fault.effective_code() == CONFLICT => {}
            result => return result,
        }
        let port = entry.external_port;
        if entry.lifetime.is_none() {
            reservation.granted(PERMANENT);
            return Ok(Granted { external_port: port, lease: PERMANENT, adopted: false });
        }
        // It would run out: make room for a new one.
        tracing::debug!(port, "our own entry is in the way: replacing it");
        self.requests += 1;
        self.control.delete(self.entry.transport, port).await?;
        self.ledger.forget(&reservation.place, self.entry.internal.port());
        self.deleted = true;
        self.leases(reservation).await
    }

    /// Maps a reserved place with the lease asked for, or else without end; the other way round if only permanent
    /// mappings are known to work.
    ///
    /// 725 says that the lease is the trouble. 402 and 501 may mean anything, also that the router is busy, so they are
    /// answered by the same lease once more before the mapping is made permanent.
    pub(super) async fn leases(&mut self, reservation: &Arc<Reservation>) -> Result<Granted, CallError> {
        let mut first: Option<Fault> = None;
        let mut last: Option<Fault> = None;
        let order = self.order(reservation.place.port);
        for lease in order.iter().copied() {
            if self.requests >= MAX_REQUESTS || self.settled_lease.is_some_and(|settled| settled != lease) {
                continue;
            }
            let fault = match self.add(reservation, lease).await {
                Ok(granted) => return Ok(granted),
                Err(CallError::Fault(fault)) if tries_other_leases(&fault) => fault,
                Err(error) => return Err(error),
            };
            if lease != PERMANENT && fault.code == Some(ONLY_PERMANENT) {
                self.settled_lease = Some(PERMANENT);
                if let Some(device) = self.device {
                    device.remember_permanent_only();
                }
            }
            first.get_or_insert_with(|| fault.clone());
            last = Some(fault);
        }
        // No lease was good enough, so the lease is not what is wrong.
        self.settled_lease = self.settled_lease.or(order.first().copied());
        // The first refusal says more than that of the makeshift, unless it was only about the lease.
        let only_lease = |fault: &Fault| fault.code == Some(ONLY_PERMANENT);
        let fault = first.filter(|fault| !only_lease(fault)).or(last);
        Err(fault.map_or_else(|| CallError::Nonsense("too many requests".to_owned()), CallError::Fault))
    }

    /// The leases to try.
    fn order(&self, port: Port) -> Vec<u32> {
        if let Some(lease) = self.settled_lease {
            vec![lease]
        } else if self.device.is_some_and(Device::permanent_only) {
            vec![PERMANENT, self.lease]
        } else if self.hasty || matches!(port, Port::ChosenFor(_)) {
            vec![self.lease, PERMANENT]
        } else {
            vec![self.lease, self.lease, PERMANENT]
        }
    }

    async fn add(&mut self, reservation: &Arc<Reservation>, lease: u32) -> Result<Granted, CallError> {
        self.requests += 1;
        let claim = Some(Claim { reservation: Arc::clone(reservation), lease });
        let external_port = match reservation.place.port {
            Port::Known(port) => {
                self.control.add(&self.entry, port, lease, claim).await?;
                reservation.granted(lease);
                port
            }
            Port::ChosenFor(_) => {
                let doubtful = self.ledger.added(&reservation.place, self.entry.internal.port()).is_some();
                let port = self.control.add_any(&self.entry, lease, claim).await?;
                reservation.granted_at(self.place(Port::Known(port)), lease);
                if !doubtful {
                    self.ledger.forget(&reservation.place, self.entry.internal.port());
                }
                port
            }
        };
        Ok(Granted { external_port, lease, adopted: false })
    }

    pub(super) fn place(&self, port: Port) -> Place {
        Place { device: self.identity.clone(), transport: self.entry.transport, port }
    }

    pub(super) fn reserve(&self, place: &Place) -> Result<Arc<Reservation>, CallError> {
        let reservation = self.ledger.reserve(place.clone(), &self.entry, self.control.service);
        reservation.ok_or(CallError::Busy(place.port))
    }

    pub(super) async fn look(&mut self, place: &Place) -> Result<Look, CallError> {
        // An address that never came must not make a failure late. A renewal may take its time.
        let in_vain = self.control.caller.spent() >= UPNP_STATUS_DEADLINE;
        let need = if self.installs && self.requests == 0 && in_vain { Need::Hurried } else { Need::Full };
        self.requests += 1;
        match look(self.control, self.ledger, place, self.entry.description, need).await {
            // If there is no such URL at all, the request that follows will say so.
            Err(CallError::Gone(status)) => Ok(Look::Unknown(CallError::Gone(status).to_string())),
            result => result,
        }
    }

    pub(super) fn owner(&self, entry: &TableEntry, place: &Place) -> Owner {
        owner_at(self.ledger, place, entry, self.entry.internal, self.entry.description)
    }
}

/// Many routers permit no external port below 1024, and say so with the code for "not you". If it was that, the next
/// port is refused with the same code, and the climb ends.
fn forbidden(port: u16, error: &CallError) -> bool {
    port < LOWEST_OTHER_PORT && matches!(error, CallError::Fault(fault) if fault.code == Some(NOT_AUTHORIZED))
}

fn other_port() -> u16 {
    rand::rng().random_range(LOWEST_OTHER_PORT..=u16::MAX)
}

/// The lease may be what the router does not like.
fn tries_other_leases(fault: &Fault) -> bool {
    matches!(fault.effective_code(), ONLY_PERMANENT | INVALID_ARGS | ACTION_FAILED)
}

/// The port may be what the router does not like.
fn tries_other_ports(error: &CallError) -> bool {
    const PORT: [u16; 5] = [CONFLICT, CONFLICT_ELSEWHERE, ACTION_FAILED, SAME_PORT_REQUIRED, INVALID_ARGS];
    match error {
        CallError::Fault(fault) => PORT.contains(&fault.effective_code()),
        CallError::Taken { .. } | CallError::Busy(_) => true,
        CallError::AnotherHost { .. }
        | CallError::Gone(_)
        | CallError::Http(_)
        | CallError::Nonsense(_)
        | CallError::Lost(_)
        | CallError::LostBy(..)
        | CallError::Untold(_)
        | CallError::Unanswered => false,
    }
}
