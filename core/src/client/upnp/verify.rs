//! A look behind a grant: some routers answer with success and make no entry, or cut its lease.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::UpnpMapper;
use super::action::{Control, Entry};
use super::http::HttpError;
use super::ledger::{Claim, Place, Reservation};
use super::look::{Look, Owner, look, owner_at};
use super::soap::{CallError, Need, PERMANENT};
use super::table;
use super::target::{Target, adopted, adopted_from};
use crate::mapping::PortMapping;
use crate::schedule::UPNP_LEASE_TOLERANCE;
use crate::snapshot::TableEntry;

impl UpnpMapper {
    /// Compares a mapping with the router's entry. `None`: there is nothing to say against it.
    pub(super) async fn try_verify(
        &self,
        target: &Target,
        mapping: &PortMapping,
    ) -> Result<Option<PortMapping>, CallError> {
        if adopted(mapping) {
            // It was seen before it was adopted.
            return Ok(None);
        }
        let caller = self.caller.timed();
        let control = target.control(&caller);
        let (transport, port) = (mapping.request.transport, mapping.external.port());
        let place = target.place(transport, port);
        let local = control.local_address().map_err(HttpError::Io)?;
        let internal = SocketAddr::new(local, mapping.request.internal_port);
        let description = self.description_for(&mapping.request);
        let entry = match look(control, &self.ledger, &place, description, Need::Full).await? {
            Look::Unknown(_) => return Ok(None),
            Look::Entry(entry) => entry,
            // Some routers find no single entry, but show the whole table.
            Look::Nothing => match table::find(control, transport, port).await {
                Ok(Some(entry)) => entry,
                Ok(None) => return self.make_permanent(target, control, mapping, internal).await.map(Some),
                Err(error @ (CallError::Http(HttpError::Timeout(_)) | CallError::Unanswered)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, port, "the router shows no entry, and no table");
                    return Ok(None);
                }
            },
        };
        match owner_at(&self.ledger, &place, &entry, internal, description) {
            Owner::Ours => Ok(self.as_shown(&place, &entry, mapping)),
            Owner::ThisHost => {
                // Somebody has put an entry of their own in the place of ours.
                self.ledger.forget(&place, mapping.request.internal_port);
                Ok(Some(PortMapping { lifetime: entry.lifetime, ..adopted_from(mapping) }))
            }
            Owner::Another(why) => {
                self.ledger.forget(&place, mapping.request.internal_port);
                Err(CallError::Lost(format!("external port {port} was granted, but {why}")))
            }
        }
    }

    /// Looks whether the entry is still there. A router that shows no entries says nothing against the mapping.
    pub(super) async fn try_see(&self, target: &Target, mapping: &PortMapping) -> Result<(), CallError> {
        let caller = self.caller.timed();
        let control = target.control(&caller);
        let description = self.description_for(&mapping.request);
        let port = mapping.external.port();
        let place = target.place(mapping.request.transport, port);
        let local = control.local_address().map_err(HttpError::Io)?;
        let internal = SocketAddr::new(local, mapping.request.internal_port);
        let why = match look(control, &self.ledger, &place, description, Need::Full).await? {
            Look::Entry(entry) => match owner_at(&self.ledger, &place, &entry, internal, description) {
                Owner::Ours | Owner::ThisHost => return Ok(()),
                Owner::Another(why) => format!("{why} by now"),
            },
            Look::Nothing if self.ledger.shown(&target.identity).entries => "is no longer mapped".to_owned(),
            Look::Nothing | Look::Unknown(_) => return Ok(()),
        };
        Err(CallError::Lost(format!("external port {port} {why}")))
    }

    /// The mapping with the lease that its entry shows, if that is another than was granted.
    fn as_shown(&self, place: &Place, entry: &TableEntry, mapping: &PortMapping) -> Option<PortMapping> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        // Since the grant some time has passed.
        let granted = mapping.lifetime.map(|lifetime| self.ledger.until(place).map_or(lifetime, left));
        match (granted, entry.lifetime) {
            (None, None) => return None,
            (Some(granted), Some(shown)) if shown + UPNP_LEASE_TOLERANCE >= granted => return None,
            // Many routers show 0 for every lease.
            (Some(_), None) if !self.ledger.shown(&place.device).leases => {
                tracing::debug!(port = entry.external_port, "the entry shows no lease: believing what was granted");
                return None;
            }
            (_, shown) => tracing::debug!(?shown, port = entry.external_port, "the lease is not as it was granted"),
        }
        self.ledger.corrected(place, entry.lifetime);
        Some(PortMapping { lifetime: entry.lifetime, ..mapping.clone() })
    }

    /// Maps once more, for ever: some builds of DD-WRT answer any other lease with success and make nothing.
    async fn make_permanent(
        &self,
        target: &Target,
        control: Control<'_>,
        mapping: &PortMapping,
        internal: SocketAddr,
    ) -> Result<PortMapping, CallError> {
        let (transport, port) = (mapping.request.transport, mapping.external.port());
        let place = target.place(transport, port);
        let lost = || {
            self.ledger.forget(&place, mapping.request.internal_port);
            CallError::Lost(format!("the router answered that external port {port} is mapped, but it made no mapping"))
        };
        let entry = Entry { transport, internal, description: self.description_for(&mapping.request) };
        let reservation = self.ledger.reserve(place.clone(), &entry, &target.service).ok_or_else(lost)?;
        if mapping.permanent() {
            return Err(lost());
        }
        match add_permanent(control, &entry, port, &reservation).await {
            Err(CallError::Fault(fault)) => {
                tracing::debug!(%fault, port, "the router makes no permanent entry either");
                return Err(lost());
            }
            result => result?,
        }
        let lifetime = match look(control, &self.ledger, &place, entry.description, Need::Full).await? {
            // WANIPConnection:2 makes a week of it.
            Look::Entry(entry) if entry.leads_to(internal) => entry.lifetime,
            Look::Entry(_) => return Err(lost()),
            Look::Nothing | Look::Unknown(_) => {
                // What the router does not show may be there all the same, and would stay for ever.
                control.delete(transport, port).await.or_else(|error| match error {
                    CallError::Fault(_) => Ok(()),
                    error => Err(error),
                })?;
                return Err(lost());
            }
        };
        self.ledger.corrected(&place, lifetime);
        if let Some(device) = self.known_at(target) {
            device.remember_permanent_only();
        }
        Ok(PortMapping { lifetime, ..mapping.clone() })
    }
}

async fn add_permanent(
    control: Control<'_>,
    entry: &Entry<'_>,
    port: u16,
    reservation: &Arc<Reservation>,
) -> Result<(), CallError> {
    let claim = Claim { reservation: Arc::clone(reservation), lease: PERMANENT };
    control.add(entry, port, PERMANENT, Some(claim)).await?;
    reservation.granted(PERMANENT);
    Ok(())
}
