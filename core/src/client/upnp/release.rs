//! Deleting what is ours, and nothing else.

use std::net::SocketAddr;

use super::UpnpMapper;
use super::action::Control;
use super::http::HttpError;
use super::ledger::{Line, Place, Port};
use super::look::{Look, Owner, look, owner};
use super::soap::{CallError, NO_SUCH_ENTRY, Need};
use super::table;
use super::target::{Target, adopted};
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Transport};

impl UpnpMapper {
    /// Deletes a mapping if it is ours. An entry that is gone, or another's, is a success.
    pub(super) async fn release(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let mut target = Target::of_mapping(mapping)?;
        let (transport, port) = (mapping.request.transport, mapping.external.port());
        // An entry that was gone meanwhile, and that this process has put back, is ours.
        if adopted(mapping) && self.ledger.added(&target.place(transport, port)).is_none() {
            return Ok(());
        }
        loop {
            let place = target.place(transport, port);
            let result = self.try_release(&target, &place, mapping.request.internal_port).await;
            if let Some(result) = self.settled_same(&mut target, result).await {
                return result.map_err(|error| self.not_deleted(error, port, &target));
            }
        }
    }

    /// Deletes what requests for this port may have left that were sent and that no lease holds.
    pub(super) async fn release_doubtful(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let mut outcome = Ok(());
        for (place, line) in self.ledger.doubtful(request.transport, request.internal_port) {
            let target = Target::of_line(&place, &line);
            let result = match place.port {
                Port::Known(_) => self.try_release(&target, &place, line.internal.port()).await,
                Port::ChosenFor(_) => self.release_chosen(&target, &place, &line).await,
            };
            let Err(error) = result else { continue };
            let port = if let Port::Known(port) = place.port { port } else { 0 };
            // A device that does not answer one question does not answer the next either.
            let silent = matches!(error, CallError::Http(_) | CallError::Gone(_) | CallError::Unanswered);
            outcome = outcome.and(Err(self.not_deleted(error, port, &target)));
            if silent {
                break;
            }
        }
        outcome
    }

    /// Looks at a place and deletes what stands there if it is ours.
    ///
    /// The protocol knows no "delete if": an entry that another host puts there between the look and the delete is
    /// deleted, on a router that does not check who asks. The time in between is one round trip.
    async fn try_release(&self, target: &Target, place: &Place, internal_port: u16) -> Result<(), CallError> {
        let caller = self.caller.for_deletes();
        let control = target.control(&caller);
        let internal = SocketAddr::new(control.local_address().map_err(HttpError::Io)?, internal_port);
        let seen = look(control, &self.ledger, place, &self.description, Need::Full).await?;
        let (added, shown) = (self.ledger.added(place), self.ledger.shown(&place.device));
        match seen {
            Look::Nothing => {}
            Look::Entry(entry) => match owner(&entry, internal, &self.description, added.as_ref(), shown) {
                Owner::Ours => delete(control, place.transport, entry.external_port).await?,
                Owner::ThisHost => tracing::debug!(?entry, "not deleted: somebody else has made it"),
                Owner::Another(why) => tracing::debug!(?entry, why, "not deleted"),
            },
            Look::Unknown(why) => match (added, place.port) {
                (Some(line), Port::Known(port)) if !line.contested => delete(control, place.transport, port).await?,
                _ if self.ledger.has_run_out(place) => {}
                _ => return Err(CallError::Untold(why)),
            },
        }
        self.ledger.forget(place);
        Ok(())
    }

    /// Deletes what the router has made at a port of its choice and has not told, or has told too late.
    async fn release_chosen(&self, target: &Target, place: &Place, line: &Line) -> Result<(), CallError> {
        let caller = self.caller.for_deletes().timed();
        let control = target.control(&caller);
        for entry in table::read(control).await? {
            let held = self.ledger.held(&target.place(entry.transport, entry.external_port));
            let shown = self.ledger.shown(&place.device);
            let ours = owner(&entry, line.internal, &self.description, None, shown) == Owner::Ours;
            if ours && !held && entry.transport == place.transport {
                delete(control, entry.transport, entry.external_port).await?;
            }
        }
        self.ledger.forget(place);
        Ok(())
    }

    fn not_deleted(&self, error: CallError, port: u16, target: &Target) -> PortMappingError {
        if error.may_have_moved() {
            let url = &target.service.control_url;
            return PortMappingError::unavailable(format!(
                "the upnp device at {url} is gone ({error}): external port {port} was not deleted"
            ));
        }
        self.failed(error, "DeletePortMapping", target)
    }
}

async fn delete(control: Control<'_>, transport: Transport, port: u16) -> Result<(), CallError> {
    match control.delete(transport, port).await {
        // It is gone, which is what was asked for.
        Err(CallError::Fault(fault)) if fault.code == Some(NO_SUCH_ENTRY) => Ok(()),
        result => result,
    }
}
