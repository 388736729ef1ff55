//! Deleting an entry and adding it again as it was, whoever made it.

use std::net::SocketAddr;

use super::UpnpMapper;
use super::action::{Control, Entry};
use super::ledger::Place;
use super::look::{Look, look};
use super::soap::{BY_UPNP, CallError, Need, PERMANENT};
use super::table;
use super::target::Target;
use crate::error::PortMappingError;
use crate::snapshot::TableEntry;

impl UpnpMapper {
    /// Deletes an entry of the table and adds it again, for a router that lists it and does not forward: with the same
    /// ports, description and end, so that the program that holds it finds it unchanged. Returns the entry as the router
    /// shows it then.
    ///
    /// Fails with `refused` and changes nothing if the port leads to another place by now, if the entry has no end and the
    /// router could not add it without one, or if the router does not delete it. If the entry was deleted and could not be added again, the error says so and
    /// [`mapping_lost`](PortMappingError::mapping_lost) is true. Fails as [`search`](Self::search) otherwise.
    pub async fn repair(&self, entry: &TableEntry) -> Result<TableEntry, PortMappingError> {
        let port = entry.external_port;
        let Some(client) = entry.client() else {
            let name = &entry.internal_client;
            return Err(BY_UPNP.refused(format!("external port {port} leads to `{name}`, which is not an address")));
        };
        if !entry.enabled || !entry.is_for_everybody() {
            // AddPortMapping as it is sent here knows neither, and would open the port to more than it was.
            let why = if entry.enabled { "is open to one remote host alone" } else { "is switched off" };
            return Err(BY_UPNP.refused(format!(
                "external port {port} {why}, and would be open to everybody: change it in the router's settings"
            )));
        }
        let internal = SocketAddr::new(client, entry.internal_port);
        let device = self.finder.device().await?;
        let target = Target::of_device(&device);
        if entry.lifetime.is_none() && target.service.adds_any_port() {
            // WANIPConnection:2 2.5.16: a lease of 0 becomes one of a week. What has none was set in the router's settings.
            return Err(BY_UPNP.refused(format!(
                "external port {port} is mapped without an end, and the router would give it one: delete the mapping in the \
                 router's settings and add it again there"
            )));
        }
        let place = target.place(entry.transport, port);
        let caller = self.caller.for_deletes();
        let control = target.control(&caller);
        let failed = |error, action| self.failed(error, action, &target);
        self.must_lead_to(control, &place, internal)
            .await
            .map_err(|error| failed(error, "GetSpecificPortMappingEntry"))?;
        control.delete(entry.transport, port).await.map_err(|error| failed(error, "DeletePortMapping"))?;
        match self.add_again(control, &place, entry, internal).await {
            Ok(shown) => Ok(shown),
            Err(error) => {
                let by = error.by();
                let why = failed(error, "AddPortMapping").message();
                let message = format!("external port {port} was deleted and could not be added again: {why}");
                Err(by.refused_and_lost(message))
            }
        }
    }

    /// Fails with `Taken` if the router shows another entry at the place.
    async fn must_lead_to(&self, control: Control<'_>, place: &Place, internal: SocketAddr) -> Result<(), CallError> {
        match look(control, &self.ledger, place, &self.description, Need::Full).await? {
            Look::Entry(other) if !other.leads_to(internal) => {
                let why = format!("leads to {}:{}", other.internal_client, other.internal_port);
                Err(CallError::Taken { port: other.external_port, why })
            }
            Look::Entry(_) | Look::Nothing | Look::Unknown(_) => Ok(()),
        }
    }

    async fn add_again(
        &self,
        control: Control<'_>,
        place: &Place,
        entry: &TableEntry,
        internal: SocketAddr,
    ) -> Result<TableEntry, CallError> {
        let lease = entry.lifetime.map_or(PERMANENT, |left| u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1));
        let again = Entry { transport: entry.transport, internal, description: &entry.description };
        // A router that fails at the first request must not cost the mapping.
        let mut tries = 2;
        loop {
            tries -= 1;
            // Another host may have taken the port since the delete.
            self.must_lead_to(control, place, internal).await?;
            match control.add(&again, entry.external_port, lease, None).await {
                Ok(()) => break,
                Err(error) if tries == 0 => return Err(error),
                Err(error) => tracing::debug!(%error, port = entry.external_port, "adding the entry once more"),
            }
        }
        match look(control, &self.ledger, place, &self.description, Need::Full).await {
            Ok(Look::Entry(shown)) if shown.leads_to(internal) => Ok(shown),
            Ok(Look::Entry(other)) => {
                let why = format!("leads to {}:{}", other.internal_client, other.internal_port);
                Err(CallError::Taken { port: other.external_port, why })
            }
            // Some routers find no single entry, but show the whole table.
            Ok(Look::Nothing) => match table::find(control, entry.transport, entry.external_port).await {
                Ok(None) => Err(CallError::Lost("the router agreed, but its table does not show it".to_owned())),
                Ok(Some(shown)) => Ok(shown),
                Err(_) => Ok(entry.clone()),
            },
            // It was granted, and that it cannot be seen says nothing against it.
            Ok(Look::Unknown(_)) | Err(_) => Ok(entry.clone()),
        }
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
