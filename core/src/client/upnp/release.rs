//! Deleting what is ours, and nothing else.

use std::net::SocketAddr;

use super::UpnpMapper;
use super::action::{Control, Entry};
use super::http::HttpError;
use super::ledger::{Ledger, Line, Place, Port};
use super::look::{Look, Owner, look, owner, owner_at};
use super::soap::{BY_UPNP, CallError, NO_SUCH_ENTRY, Need};
use super::table;
use super::target::{Target, adopted};
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Transport};

impl UpnpMapper {
    /// Deletes a mapping if it is ours. An entry that is gone, or another's, is a success. What could not be deleted is
    /// doubtful from now on.
    pub(super) async fn release(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let mut target = Target::of_mapping(mapping)?;
        let (transport, port) = (mapping.request.transport, mapping.external.port());
        let (place, internal_port) = (target.place(transport, port), mapping.request.internal_port);
        // An entry that was gone meanwhile, and that this process has put back, is ours.
        if adopted(mapping) && self.ledger.added(&place, internal_port).is_none() {
            return Ok(());
        }
        loop {
            let result = self.try_release(&target, &place, internal_port).await;
            let Some(result) = self.settled_same(&mut target, result).await else { continue };
            return result.map_err(|error| {
                self.ledger.doubt(&place, internal_port);
                self.not_deleted(error, place.port, &target)
            });
        }
    }

    /// Another mapper of this process has the mapping from now on.
    pub(crate) fn let_go(&self, mapping: &PortMapping) {
        if let Ok(target) = Target::of_mapping(mapping) {
            let place = target.place(mapping.request.transport, mapping.external.port());
            self.ledger.forget(&place, mapping.request.internal_port);
        }
    }

    /// Deletes what requests for this port may have left: those that were sent and that no lease holds, and what could not
    /// be deleted before.
    pub(super) async fn release_doubtful(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let mut outcome = Ok(());
        let mut silent = Vec::new();
        let doubtful = self.ledger.doubtful(request.transport, request.internal_port).into_iter();
        // All at once: a device that has moved is searched for once.
        let doubtful: Vec<_> = doubtful.map(|(place, line)| (Target::of_line(&place, &line), place, line)).collect();
        for (mut target, place, line) in doubtful {
            // A device that does not answer one question does not answer the next either.
            if silent.contains(&place.device) {
                continue;
            }
            let Err(error) = self.release_line(&mut target, &place, &line).await else { continue };
            if matches!(error, CallError::Http(_) | CallError::Gone(_) | CallError::Unanswered) {
                silent.push(place.device.clone());
            }
            outcome = outcome.and(Err(self.not_deleted(error, place.port, &target)));
        }
        outcome
    }

    async fn release_line(&self, target: &mut Target, place: &Place, line: &Line) -> Result<(), CallError> {
        if self.ledger.is_shared(place, line.internal.port()) {
            self.ledger.forget(place, line.internal.port());
            return Ok(());
        }
        loop {
            let result = match place.port {
                Port::Known(_) => self.try_release(target, place, line.internal.port()).await,
                Port::ChosenFor(_) => self.release_chosen(target, place, line).await,
            };
            if let Some(result) = self.settled_same(target, result).await {
                return result;
            }
        }
    }

    async fn try_release(&self, target: &Target, place: &Place, internal_port: u16) -> Result<(), CallError> {
        if self.ledger.added_for_another(place, internal_port).is_some() {
            // Another lease has mapped the port since, which it could only once it was free.
            return Ok(());
        }
        if self.ledger.leaves(place, internal_port) {
            return Ok(());
        }
        let caller = self.caller.for_deletes();
        let control = target.control(&caller);
        let internal = SocketAddr::new(control.local_address().map_err(HttpError::Io)?, internal_port);
        let added = self.ledger.added(place, internal_port);
        let description = added.as_ref().map_or(&self.description, |line| &line.description);
        let entry = Entry { transport: place.transport, internal, description };
        // So that no other lease maps the port between the look and the delete.
        let Some(_kept) = self.ledger.reserve(place.clone(), &entry, &target.service) else {
            return Err(CallError::Busy(place.port));
        };
        clear(control, &self.ledger, place, internal, description).await
    }

    /// Deletes what the router has made at a port of its choice and has not told, or has told too late.
    async fn release_chosen(&self, target: &Target, place: &Place, line: &Line) -> Result<(), CallError> {
        let caller = self.caller.for_deletes().timed();
        let control = target.control(&caller);
        for entry in table::read(control).await? {
            let found = target.place(entry.transport, entry.external_port);
            let held = self.ledger.held(&found) || self.ledger.is_shared(&found, line.internal.port());
            let shown = self.ledger.shown(&place.device);
            let ours = owner(&entry, line.internal, &line.description, None, shown) == Owner::Ours;
            if ours && !held && entry.transport == place.transport {
                delete(control, entry.transport, entry.external_port).await?;
            }
        }
        self.ledger.forget(place, line.internal.port());
        Ok(())
    }

    fn not_deleted(&self, error: CallError, port: Port, target: &Target) -> PortMappingError {
        if error.may_have_moved() {
            let url = &target.service.control_url;
            return BY_UPNP.unavailable(format!("the upnp device at {url} is gone ({error}): {port} was not deleted"));
        }
        self.failed(error, "DeletePortMapping", target)
    }
}

/// Looks at a place and deletes what stands there if it is ours.
///
/// The protocol knows no "delete if": an entry that another host puts there between the look and the delete is
/// deleted, on a router that does not check who asks. The time in between is one round trip.
///
/// A delete without an answer is looked at once more, and repeated if it was not done. A look without an answer is not: a
/// device that is gone must not make the end of a lease late.
pub(super) async fn clear(
    control: Control<'_>,
    ledger: &Ledger,
    place: &Place,
    internal: SocketAddr,
    description: &str,
) -> Result<(), CallError> {
    let mut repeats = true;
    loop {
        let seen = look(control, ledger, place, description, Need::Full).await?;
        let added = ledger.added(place, internal.port());
        // A device that has restarted since may have lost our entry, and the port may be another's by now.
        let proven = added.as_ref().is_some_and(|line| line.proven && line.service == *control.service);
        let ours = match seen {
            // Some routers find no single entry, whatever is there.
            Look::Nothing if proven && !ledger.shown(&place.device).entries => {
                repeats = false;
                place.port.known()
            }
            Look::Nothing => None,
            Look::Entry(entry) => match owner_at(ledger, place, &entry, internal, description) {
                Owner::Ours if ledger.is_renewed_elsewhere(place, &entry) => {
                    tracing::debug!(
                        port = entry.external_port,
                        "not deleted, because another program has renewed it since"
                    );
                    None
                }
                Owner::Ours => Some(entry.external_port),
                Owner::ThisHost => {
                    tracing::debug!(?entry, "not deleted: somebody else has made it");
                    None
                }
                Owner::Another(why) => {
                    tracing::debug!(?entry, why, "not deleted");
                    None
                }
            },
            Look::Unknown(_) if proven && place.port.known().is_some() => {
                // Without a look, a second delete could hit what came after the first.
                repeats = false;
                place.port.known()
            }
            Look::Unknown(_) if ledger.has_run_out(place) => None,
            Look::Unknown(why) => return Err(CallError::Untold(why)),
        };
        if let Some(port) = ours {
            match delete(control, place.transport, port).await {
                Err(CallError::Http(HttpError::Timeout(_) | HttpError::Io(_))) if std::mem::take(&mut repeats) => {
                    tracing::debug!(port, "the delete was not answered: looking whether it was done");
                    continue;
                }
                result => result?,
            }
        }
        ledger.forget(place, internal.port());
        return Ok(());
    }
}

async fn delete(control: Control<'_>, transport: Transport, port: u16) -> Result<(), CallError> {
    match control.delete(transport, port).await {
        // It is gone, which is what was asked for.
        Err(CallError::Fault(fault)) if fault.code == Some(NO_SUCH_ENTRY) => Ok(()),
        result => result,
    }
}
