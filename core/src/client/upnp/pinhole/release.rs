//! Closing pinholes.

use super::action::Hole;
use super::attempt::{lease_of, number_of};
use super::words::NO_SUCH_PINHOLE;
use super::{Numbering, PinholeMapper, is_fault};
use crate::client::upnp::action::Control;
use crate::client::upnp::http::HttpError;
use crate::client::upnp::ledger::Place;
use crate::client::upnp::soap::{BY_UPNP, CallError};
use crate::client::upnp::target::Target;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Transport};
use crate::schedule::MIN_TTL;

/// The lease with which what cannot be closed ends by itself at once.
fn shortest() -> u32 {
    lease_of(MIN_TTL)
}

impl PinholeMapper {
    /// Closes a pinhole. What could not be closed is doubtful from now on.
    pub(super) async fn release(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let mut target = Target::of_mapping(mapping)?;
        let place = target.place(mapping.request.transport, mapping.request.internal_port);
        loop {
            let result = self.try_release(&target, &place, number_of(mapping)).await;
            let Some(result) = self.upnp.settled_same(&mut target, result).await else { continue };
            return result.map_err(|error| {
                self.upnp.ledger.doubt(&place, mapping.request.internal_port);
                self.not_closed(error, &place, &target)
            });
        }
    }

    /// Closes what requests for this port may have left: those that were sent and that no lease holds, and what could not be closed
    /// before.
    pub(super) async fn release_doubtful(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let mut outcome = Ok(());
        for (place, line) in self.upnp.ledger.doubtful(request.transport, request.internal_port) {
            let mut target = Target::of_line(&place, &line);
            if self.upnp.ledger.is_shared(&place, request.internal_port) {
                self.forget(&place);
                continue;
            }
            let result = loop {
                let result = self.try_release(&target, &place, self.number_at(&place)).await;
                if let Some(result) = self.upnp.settled_same(&mut target, result).await {
                    break result;
                }
            };
            outcome = outcome.and(result.map_err(|error| self.not_closed(error, &place, &target)));
        }
        outcome
    }

    /// Closes this machine's port, whatever has opened it: another protocol, whose delete the router refuses, or another program.
    /// A port that is closed is a success.
    ///
    /// Fails as [`search`](Self::search), and with `refused` if the router says no.
    pub async fn close_port(&self, transport: Transport, port: u16) -> Result<(), PortMappingError> {
        let device = self.upnp.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let result = self.find_and_close(&target, self.hole(transport, port)).await;
            if let Some(result) = self.upnp.settled_same(&mut target, result).await {
                return result.map_err(|error| self.not_closed(error, &target.place(transport, port), &target));
            }
        }
    }

    async fn try_release(&self, target: &Target, place: &Place, number: Option<u16>) -> Result<(), CallError> {
        let hole = self.hole_at(place);
        if self.upnp.ledger.leaves(place, hole.port) {
            self.forget(place);
            return Ok(());
        }
        if self.upnp.ledger.has_run_out(place) {
            self.forget(place);
            return Ok(());
        }
        let caller = self.upnp.caller.for_deletes();
        let closed = match number.filter(|number| self.is_proven(target, place, *number)) {
            Some(number) => match delete(target.control(&caller), number).await {
                Err(CallError::Fault(fault)) => {
                    tracing::debug!(%fault, number, "the pinhole is not closed by its number: asking for its number");
                    false
                }
                result => result.map(|()| true)?,
            },
            // The number may be another pinhole's by now.
            None => false,
        };
        if !closed {
            self.find_and_close(target, hole).await?;
        }
        self.forget(place);
        Ok(())
    }

    /// Asks for the pinhole with the shortest lease, and closes the one with the number that the router tells.
    async fn find_and_close(&self, target: &Target, hole: Hole) -> Result<(), CallError> {
        let caller = self.upnp.caller.for_deletes();
        let control = target.control(&caller);
        let number = control.add_pinhole(hole, shortest(), None).await?;
        if self.numbering_of(target).is_none() {
            let again = control.add_pinhole(hole, shortest(), None).await?;
            let numbering = if again == number { Numbering::Kept } else { Numbering::Anew };
            self.numbering().insert(target.identity.clone(), numbering);
            if again != number {
                close(control, again).await?;
            }
        }
        close(control, number).await?;
        match self.numbering_of(target) {
            Some(Numbering::Anew) => {
                Err(CallError::Untold("it gives each request for a pinhole another number".to_owned()))
            }
            Some(Numbering::Kept) | None => Ok(()),
        }
    }

    fn not_closed(&self, error: CallError, place: &Place, target: &Target) -> PortMappingError {
        let port = self.hole_at(place).port;
        if error.may_have_moved() {
            let url = &target.service.control_url;
            return BY_UPNP
                .unavailable(format!("the upnp device at {url} is gone ({error}): port {port} was not closed"));
        }
        self.failed(error, "DeletePinhole", target, Some(port))
    }
}

/// Closes a pinhole, or has it end by itself at once.
async fn close(control: Control<'_>, number: u16) -> Result<(), CallError> {
    match delete(control, number).await {
        // Unknown by the number that the router has just told, but the lease that it was asked for with is over in a second.
        Err(error) if is_fault(&error, &[NO_SUCH_PINHOLE]) => Ok(()),
        Err(error @ CallError::Fault(_)) => control.update_pinhole(number, shortest()).await.map_err(|_| error),
        result => result,
    }
}

/// DeletePinhole, which is sent once more if it was not answered.
async fn delete(control: Control<'_>, number: u16) -> Result<(), CallError> {
    match control.delete_pinhole(number).await {
        Err(CallError::Http(HttpError::Timeout(_) | HttpError::Io(_))) => {
            match control.delete_pinhole(number).await {
                // The first one has done it.
                Err(error) if is_fault(&error, &[NO_SUCH_PINHOLE]) => Ok(()),
                result => result,
            }
        }
        result => result,
    }
}
