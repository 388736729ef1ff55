//! Opening a pinhole, keeping it open, and looking whether the router knows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::action::Hole;
use super::words::{NO_SUCH_ACTION, NO_SUCH_PINHOLE};
use super::{Numbering, PinholeMapper, is_fault, is_there};
use crate::client::upnp::action::{Control, Entry};
use crate::client::upnp::attempt::whole_seconds;
use crate::client::upnp::ledger::{Claim, Place, Reservation};
use crate::client::upnp::soap::{ACTION_FAILED, CallError, Fault};
use crate::client::upnp::target::Target;
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken};
use crate::schedule::MAX_TTL;

impl PinholeMapper {
    pub(super) async fn try_install(
        &self,
        target: &Target,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, CallError> {
        let place = target.place(request.transport, request.internal_port);
        let before = self.number_at(&place);
        let number = self.open(target, &place, before, ttl).await?;
        Ok(self.granted_mapping(request, ttl, number, target))
    }

    pub(super) async fn try_renew(
        &self,
        target: &Target,
        before: &Target,
        old: &PortMapping,
    ) -> Result<PortMapping, CallError> {
        let (transport, port) = (old.request.transport, old.request.internal_port);
        let place = target.place(transport, port);
        let elsewhere = before.identity != target.identity;
        let known = if elsewhere { self.number_at(&place) } else { number_of(old) };
        let number = self.open(target, &place, known, old.requested_ttl).await?;
        if elsewhere {
            // The first router may still have the pinhole, and no lease holds that any longer.
            self.upnp.ledger.doubt(&before.place(transport, port), port);
        }
        Ok(self.granted_mapping(&old.request, old.requested_ttl, number, target))
    }

    /// Compares a mapping with what the router knows. `None`: there is nothing to say against it.
    ///
    /// The lifetime is set on the way: miniupnpd up to 2.3.1 adds its uptime to that of a pinhole which it already has when it is
    /// asked for it.
    pub(super) async fn try_verify(
        &self,
        target: &Target,
        mapping: &PortMapping,
    ) -> Result<Option<PortMapping>, CallError> {
        let Some(number) = number_of(mapping) else { return Ok(None) };
        let (request, ttl) = (&mapping.request, mapping.requested_ttl);
        let control = target.control(&self.upnp.caller);
        match control.update_pinhole(number, lease_of(ttl)).await {
            Err(error) if is_fault(&error, &[NO_SUCH_PINHOLE]) => {}
            Err(error) if is_fault(&error, &NO_SUCH_ACTION) || is_fault(&error, &[ACTION_FAILED]) => return Ok(None),
            result => return result.map(|()| None),
        }
        // It has made none, or told the wrong number.
        let place = target.place(request.transport, request.internal_port);
        let again = self.open(target, &place, None, ttl).await?;
        match control.update_pinhole(again, lease_of(ttl)).await {
            Ok(()) => Ok(Some(self.granted_mapping(request, ttl, again, target))),
            Err(CallError::Fault(fault)) if fault.code == Some(NO_SUCH_PINHOLE) => {
                self.forget(&place);
                let port = request.internal_port;
                let why = format!("the router answered that port {port} is open, and does not know the pinhole");
                Err(CallError::LostBy(fault, why))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the router knows the pinhole by its number.
    pub(super) async fn try_see(&self, target: &Target, mapping: &PortMapping) -> Result<bool, CallError> {
        let place = target.place(mapping.request.transport, mapping.request.internal_port);
        let number = number_of(mapping).filter(|number| self.is_proven(target, &place, *number));
        let Some(number) = number else { return Ok(false) };
        let control = target.control(&self.upnp.caller);
        match control.update_pinhole(number, lease_of(mapping.requested_ttl)).await {
            // One that cannot renew has it all the same.
            Err(error) if is_fault(&error, &[ACTION_FAILED]) => is_there(control, number).await,
            Err(CallError::Fault(_) | CallError::Gone(_)) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Asks for the pinhole, which the router opens or extends. `before` is the number by which it was known, if it was.
    async fn open(&self, target: &Target, place: &Place, before: Option<u16>, ttl: Duration) -> Result<u16, CallError> {
        let (control, lease) = (target.control(&self.upnp.caller), lease_of(ttl));
        let reservation = self.reserve(target, place)?;
        let hole = self.hole_at(place);
        // After a restart the number may be another pinhole's.
        let proven = |number: &u16| self.is_proven(target, place, *number);
        if let Some(number) = before.filter(proven)
            && self.numbering_of(target) == Some(Numbering::Anew)
        {
            match control.update_pinhole(number, lease).await {
                Err(CallError::Fault(fault)) => tracing::debug!(%fault, number, "the pinhole is not extended"),
                result => {
                    result?;
                    return Ok(self.granted(&reservation, lease, number));
                }
            }
        }
        let claim = Some(Claim { reservation: Arc::clone(&reservation), lease });
        let number = match (control.add_pinhole(hole, lease, claim).await, before.filter(proven)) {
            (Ok(number), _) => number,
            (Err(CallError::Fault(fault)), Some(number)) => {
                let now = self.extend(control, &reservation, lease, number, fault).await?;
                if now != number {
                    return Ok(self.granted(&reservation, lease, now));
                }
                number
            }
            (Err(error), _) => return Err(error),
        };
        self.granted(&reservation, lease, number);
        match before {
            Some(before) if before == number => {
                self.numbering().insert(target.identity.clone(), Numbering::Kept);
                // For the sake of the lifetime, see `try_verify`.
                if let Err(error) = control.update_pinhole(number, lease).await {
                    tracing::debug!(%error, number, "the pinhole was extended, but not once more by its number");
                }
            }
            Some(before) => self.renumbered(target, hole, lease, before, number).await,
            None => {}
        }
        Ok(number)
    }

    /// The router has answered a request for the pinhole `number` with `fault`. Some routers do not like to be asked for what they
    /// have, so that it is extended by its number; miniupnpd with pf cannot extend it at all, so that it is closed and opened again.
    async fn extend(
        &self,
        control: Control<'_>,
        reservation: &Arc<Reservation>,
        lease: u32,
        number: u16,
        fault: Fault,
    ) -> Result<u16, CallError> {
        let place = &reservation.place;
        let hole = self.hole_at(place);
        let lost = |fault, what| {
            self.forget(place);
            let why = format!("the router {what} the pinhole for port {} and does not open it again", hole.port);
            CallError::LostBy(fault, why)
        };
        match control.update_pinhole(number, lease).await {
            Ok(()) => return Ok(number),
            Err(error) if is_fault(&error, &[NO_SUCH_PINHOLE]) => return Err(lost(fault, "has lost")),
            Err(error) if is_fault(&error, &[ACTION_FAILED]) && fault.code == Some(ACTION_FAILED) => {}
            Err(_) => return Err(CallError::Fault(fault)),
        }
        if let Err(error) = control.delete_pinhole(number).await {
            tracing::debug!(%error, number, "a pinhole that cannot be extended was not closed");
            return Err(CallError::Fault(fault));
        }
        let claim = Some(Claim { reservation: Arc::clone(reservation), lease });
        match control.add_pinhole(hole, lease, claim).await {
            Err(CallError::Fault(fault)) => Err(lost(fault, "cannot extend")),
            opened => opened,
        }
    }

    /// The router has given the pinhole another number than `before`. Either that pinhole is lost, and the number may be that of
    /// another program of this machine by now; or the router gives each request a pinhole of its own, and this one would stay.
    async fn renumbered(&self, target: &Target, hole: Hole, lease: u32, before: u16, now: u16) {
        let control = target.control(&self.upnp.caller);
        let left = match self.numbering_of(target) {
            Some(Numbering::Kept) => Vec::new(),
            Some(Numbering::Anew) => vec![before],
            None => match control.add_pinhole(hole, lease, None).await {
                Ok(again) if again == now => {
                    self.numbering().insert(target.identity.clone(), Numbering::Kept);
                    Vec::new()
                }
                Ok(again) => {
                    tracing::debug!(before, now, again, "the router numbers each request for a pinhole anew");
                    self.numbering().insert(target.identity.clone(), Numbering::Anew);
                    vec![again, before]
                }
                Err(error) => {
                    tracing::debug!(%error, before, now, "whether the pinhole before is lost cannot be told");
                    Vec::new()
                }
            },
        };
        for number in left {
            if let Err(error) = control.delete_pinhole(number).await {
                tracing::debug!(%error, number, "a pinhole that is not needed any more was not closed");
            }
        }
    }

    fn reserve(&self, target: &Target, place: &Place) -> Result<Arc<Reservation>, CallError> {
        let hole = self.hole_at(place);
        let internal = SocketAddr::new(hole.address.into(), hole.port);
        let entry = Entry { transport: hole.transport, internal, description: "" };
        self.upnp.ledger.reserve(place.clone(), &entry, &target.service).ok_or(CallError::Busy(place.port))
    }

    fn granted(&self, reservation: &Reservation, lease: u32, number: u16) -> u16 {
        reservation.granted(lease);
        self.numbers().insert(reservation.place.clone(), number);
        number
    }

    /// No lease holds the pinhole any more, and it is closed, or never was open.
    pub(super) fn forget(&self, place: &Place) {
        self.numbers().remove(place);
        self.upnp.ledger.forget(place, self.hole_at(place).port);
    }

    /// The number by which a pinhole is known that this process has opened, or may have opened.
    pub(super) fn number_at(&self, place: &Place) -> Option<u16> {
        self.upnp.ledger.added(place, self.hole_at(place).port)?;
        self.numbers().get(place).copied()
    }

    /// Whether the router has given this number since it was last seen to start.
    pub(super) fn is_proven(&self, target: &Target, place: &Place, number: u16) -> bool {
        let line = self.upnp.ledger.added(place, self.hole_at(place).port);
        line.is_some_and(|line| line.proven && line.service == target.service) && self.number_at(place) == Some(number)
    }

    pub(super) fn numbering_of(&self, target: &Target) -> Option<Numbering> {
        self.numbering().get(&target.identity).copied()
    }

    /// A pinhole's port outside is its port inside.
    pub(super) fn hole_at(&self, place: &Place) -> Hole {
        self.hole(place.transport, place.port.known().unwrap_or_default())
    }

    fn granted_mapping(&self, request: &MapRequest, ttl: Duration, number: u16, target: &Target) -> PortMapping {
        PortMapping {
            request: request.clone(),
            external: SocketAddr::new(self.local.into(), request.internal_port),
            requested_ttl: ttl,
            lifetime: Some(Duration::from_secs(lease_of(ttl).into())),
            protocol: Protocol::Upnp,
            token: ProtocolToken::Pinhole {
                control_url: target.service.control_url.to_string(),
                service_type: target.service.service_type.clone(),
                udn: target.identity.udn().to_owned(),
                unique_id: number,
            },
        }
    }
}

/// The lease to ask for: 1 to 86400 seconds (2.2.4).
pub(super) fn lease_of(ttl: Duration) -> u32 {
    whole_seconds(ttl.min(MAX_TTL))
}

pub(super) const fn number_of(mapping: &PortMapping) -> Option<u16> {
    match mapping.token {
        ProtocolToken::Pinhole { unique_id, .. } => Some(unique_id),
        ProtocolToken::None | ProtocolToken::Pcp { .. } | ProtocolToken::Upnp { .. } => None,
    }
}
