//! What others have: other mappers of this process, and other programs of this host.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Ledger, Line, Place};
use crate::client::owners::Member;
use crate::client::upnp::action::Entry;
use crate::client::upnp::description::Service;
use crate::client::upnp::http::shown;
use crate::mapping::{MapRequest, Protocol, Transport};
use crate::schedule::UPNP_LEASE_TOLERANCE;
use crate::snapshot::TableEntry;
use crate::state::{Journal, Record};

impl Ledger {
    /// The same, of a mapper that shares its mappings with others of this process.
    pub(in crate::client::upnp) fn among(self, owners: Arc<Member>) -> Self {
        Self { owners: Some(owners), ..self }
    }

    /// Entries of this port are called so from now on.
    pub(in crate::client::upnp) fn describes(&self, request: &MapRequest, description: &str) {
        if let Some(owners) = &self.owners {
            owners.describes(request, &shown(description));
        }
    }

    /// Whether a mapper of this process calls its entries of the port so.
    pub(in crate::client::upnp) fn is_described(
        &self,
        transport: Transport,
        internal_port: u16,
        description: &str,
    ) -> bool {
        self.owners.as_ref().is_some_and(|owners| owners.is_described((transport, internal_port), description))
    }

    /// Whether another mapper of this process has what stands at the place.
    pub(in crate::client::upnp) fn is_shared(&self, place: &Place, internal_port: u16) -> bool {
        let Some(external_port) = place.port.known() else { return false };
        let port = (place.transport, internal_port);
        let shared = |owners: &Arc<Member>| owners.is_anothers(port, Protocol::Upnp, Some(external_port));
        self.owners.as_ref().is_some_and(shared)
    }

    /// Whether the place is on record as that of another port of this machine: of another mapper of this process, or of another
    /// program that lives.
    pub(in crate::client::upnp) fn is_taken(&self, place: &Place, entry: &Entry<'_>, service: &Service) -> bool {
        let Some(external_port) = place.port.known() else { return false };
        let in_process =
            |owners: &Arc<Member>| owners.is_taken((place.transport, entry.internal.port()), external_port);
        let line = Line::new(entry.internal, entry.description, service);
        let elsewhere = |(journal, record): (&Journal, Record)| journal.store().is_taken(&record);
        self.owners.as_ref().is_some_and(in_process) || self.record(place, &line, None).is_some_and(elsewhere)
    }

    /// Leaves what stands at the place to another process of this host that has recorded it too, if there is one.
    pub(in crate::client::upnp) fn leaves(&self, place: &Place, internal_port: u16) -> bool {
        let Some(line) = self.added(place, internal_port) else { return false };
        let left = self.record(place, &line, None).is_some_and(|(journal, record)| journal.leave(&record));
        if left {
            self.forget(place, internal_port);
        }
        left
    }

    /// Whether the entry of a line shows what is left of its lease, and not the whole of it.
    pub(in crate::client::upnp) fn counts(&self, place: &Place, entry: &TableEntry) -> bool {
        let book = self.book();
        let line = book.lines.get(place).filter(|line| line.proven);
        let Some((line, left)) = line.zip(entry.lifetime) else { return false };
        let Some(until) = line.until else { return false };
        let expected = until.saturating_duration_since(Instant::now());
        let granted = until.saturating_duration_since(line.since);
        left.abs_diff(expected) <= UPNP_LEASE_TOLERANCE && left + UPNP_LEASE_TOLERANCE * 2 <= granted
    }

    /// Whether somebody else has renewed the entry of a line since, so that it ends later than it was granted here.
    pub(in crate::client::upnp) fn is_renewed_elsewhere(&self, place: &Place, entry: &TableEntry) -> bool {
        let line = self.book().lines.get(place).filter(|line| line.proven).cloned();
        let until = line.and_then(|line| line.until);
        let Some((until, left)) = until.zip(entry.lifetime) else { return false };
        self.shown(&place.device).counts
            && left > until.saturating_duration_since(Instant::now()) + UPNP_LEASE_TOLERANCE
    }
}
