//! A client of one protocol whose requests are on disk before they are sent.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::contestant::ProtocolClient;
use crate::client::natpmp::NatPmpMapper;
use crate::client::pcp::PcpMapper;
use crate::client::pcp::nonces::{Nonce, Nonces};
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::{PinholeMapper, UpnpMapper};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::MAX_TTL;
use crate::snapshot::{ProtocolOffer, TableEntry};
use crate::state::{Journal, Key, Maker, Record};

/// With so many nonces of others a port is asked for.
const MAX_SHARERS: usize = 8;

/// Passes everything on to a client, and keeps the records of what that has asked for. A UPnP client keeps those of its
/// requests itself, because only it knows which ports it tries.
pub(super) struct Recorded {
    client: Arc<dyn ProtocolClient>,
    kind: Kind,
    /// Of what is asked of this gateway.
    journal: Journal,
    /// Mappings whose delete was not confirmed: their records stay.
    undeleted: Mutex<HashSet<Key>>,
}

enum Kind {
    Pcp(Nonces),
    NatPmp,
    Upnp(Arc<UpnpMapper>),
    Pinholes(Arc<PinholeMapper>),
}

impl Recorded {
    pub(super) fn pcp(client: PcpMapper, nonces: Nonces, journal: Journal) -> Self {
        Self::new(Arc::new(client), Kind::Pcp(nonces), journal)
    }

    pub(super) fn nat_pmp(client: NatPmpMapper, journal: Journal) -> Self {
        Self::new(Arc::new(client), Kind::NatPmp, journal)
    }

    pub(super) fn upnp(client: UpnpMapper, journal: Journal) -> Self {
        let client = Arc::new(client.kept_in(journal.clone()));
        if let Some(device) = journal.store().device(journal.gateway()) {
            client.remember(device);
        }
        Self::new(Arc::clone(&client) as _, Kind::Upnp(client), journal)
    }

    pub(super) fn pinholes(client: PinholeMapper, journal: Journal) -> Self {
        let client = Arc::new(client.kept_in(journal.clone()));
        Self::new(Arc::clone(&client) as _, Kind::Pinholes(client), journal)
    }

    fn new(client: Arc<dyn ProtocolClient>, kind: Kind, journal: Journal) -> Self {
        Self { client, kind, journal, undeleted: Mutex::default() }
    }

    fn undeleted(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.undeleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a request that is about to be sent. None by UPnP.
    fn request_record(&self, request: &MapRequest, external_port: u16, lifetime: Duration) -> Option<Record> {
        let maker = match &self.kind {
            Kind::Pcp(nonces) => Maker::Pcp { nonce: nonces.of(request) },
            Kind::NatPmp => Maker::NatPmp,
            Kind::Upnp(_) | Kind::Pinholes(_) => return None,
        };
        let port = (request.transport, request.internal_port);
        Some(self.journal.entry(port, Some(external_port), Some(lifetime), maker))
    }

    /// The record of a mapping.
    fn mapping_record(&self, mapping: &PortMapping) -> Option<Record> {
        let maker = match &mapping.token {
            ProtocolToken::Pcp { nonce } => Maker::Pcp { nonce: *nonce },
            ProtocolToken::None => Maker::NatPmp,
            ProtocolToken::Upnp { adopted: true, .. } => return None,
            ProtocolToken::Upnp { control_url, service_type, udn, .. }
            | ProtocolToken::Pinhole { control_url, service_type, udn, .. } => {
                let (control_url, service_type, udn) = (control_url.clone(), service_type.clone(), udn.clone());
                Maker::Upnp { udn, control_url, service_type }
            }
        };
        let port = (mapping.request.transport, mapping.request.internal_port);
        // A gateway may grant more than was asked for.
        let lifetime = mapping.lifetime.map(|granted| granted.max(mapping.requested_ttl).min(MAX_TTL));
        Some(self.journal.entry(port, Some(mapping.external.port()), lifetime, maker))
    }

    /// The same for what this wrapper keeps the records of.
    fn own_record(&self, mapping: &PortMapping) -> Option<Record> {
        self.mapping_record(mapping).filter(|record| record.maker.protocol() != Protocol::Upnp)
    }

    fn granted(&self, mapping: &PortMapping) {
        if let Some(record) = self.own_record(mapping) {
            self.undeleted().remove(&record.key());
            self.journal.write(record);
        }
        if let Kind::Upnp(client) = &self.kind
            && let Some(device) = client.known_device()
        {
            self.journal.store().remember_device(self.journal.gateway(), device);
        }
    }

    fn forget(&self, mapping: &PortMapping) {
        if let Some(record) = self.own_record(mapping) {
            self.undeleted().remove(&record.key());
            self.journal.forget(&record.key());
        }
    }

    fn removed(&self, mapping: &PortMapping, outcome: &Result<(), PortMappingError>) {
        match (outcome, self.own_record(mapping)) {
            (Ok(()), _) => self.forget(mapping),
            (Err(_), Some(record)) => drop(self.undeleted().insert(record.key())),
            (Err(_), None) => {}
        }
    }

    fn lost<T>(&self, mapping: &PortMapping, outcome: &Result<T, PortMappingError>) {
        if outcome.as_ref().is_err_and(PortMappingError::mapping_lost) {
            self.forget(mapping);
        }
    }

    /// PCP asks for a port that another process of this host has mapped with that one's nonce, so that both have the same mapping:
    /// then one can take it over from the other. Returns whether there is one that is none of `tried`.
    fn share_nonce(&self, request: &MapRequest, tried: &[Nonce]) -> bool {
        let Kind::Pcp(nonces) = &self.kind else { return false };
        let (own, _) = self.on_record(request);
        if own.is_empty()
            && let Some(record) = self.request_record(request, request.suggested_port(), MAX_TTL)
            && let Some(nonce) = self.journal.store().nonce_of_another(&record, tried)
        {
            nonces.set(request, nonce);
            return true;
        }
        false
    }

    /// Asks for a mapping, which is on record before the request is sent.
    async fn ask(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        let record = self.request_record(request, request.suggested_port(), ttl);
        let asked = record.map(|record| (record.key(), self.journal.write(record)));
        let installed = self.client.install(request, ttl).await;
        match &installed {
            Ok(mapping) => self.granted(mapping),
            Err(error) => {
                // A refusal has made nothing. Anything else is a doubt.
                if error.kind() == ErrorKind::Refused
                    && let Some((key, before)) = asked
                {
                    self.journal.restore(&key, before);
                }
            }
        }
        installed
    }

    /// What is on record of a port at this gateway by this protocol: what was asked for here, and what was found.
    fn on_record(&self, request: &MapRequest) -> (Vec<Record>, Vec<Record>) {
        let (mut own, mut found) = self.journal.store().of_port(request.key());
        own.retain(|record| self.is_here(record));
        found.retain(|record| self.is_here(record));
        (own, found)
    }

    /// Whether another process has by now what a delete of what `record` is about would hit.
    fn is_anothers(&self, record: &Record) -> bool {
        let anothers = self.journal.store().is_anothers(record);
        if anothers {
            let (transport, port) = (record.transport, record.internal_port);
            tracing::debug!(%transport, port, "not deleted, because another process has the port too");
        }
        anothers
    }

    /// Whether this client can delete what `record` is about. A router that speaks UPnP may let it do so from another address.
    fn is_here(&self, record: &Record) -> bool {
        let protocol = record.maker.protocol();
        let (of_kind, any_address) = match &self.kind {
            Kind::Pcp(_) => (protocol == Protocol::Pcp, false),
            Kind::NatPmp => (protocol == Protocol::NatPmp, false),
            Kind::Upnp(_) => (protocol == Protocol::Upnp, true),
            // A router closes a pinhole for its own address alone.
            Kind::Pinholes(_) => (protocol == Protocol::Upnp, false),
        };
        of_kind && self.journal.is_at(record, any_address)
    }
}

/// The request that a record is about.
fn request_of(record: &Record) -> MapRequest {
    let (family, transport, internal_port) = record.port();
    let request = MapRequest::new(internal_port, transport).family(family);
    MapRequest { external_port: record.external_port, ..request }
}

/// The mapping that a record is about, for PCP and NAT-PMP, whose mappings are known by their internal port.
pub(super) fn mapping_of(record: &Record) -> PortMapping {
    let request = request_of(record);
    let address = match request.family {
        AddressFamily::Ipv4 => IpAddr::from([0, 0, 0, 0]),
        AddressFamily::Ipv6 => record.local_address,
    };
    let external = SocketAddr::new(address, request.suggested_port());
    let token = match record.maker {
        Maker::Pcp { nonce } => ProtocolToken::Pcp { nonce },
        Maker::NatPmp | Maker::Upnp { .. } => ProtocolToken::None,
    };
    let lifetime = record.lifetime.unwrap_or(MAX_TTL);
    PortMapping::new(request, external, lifetime, record.maker.protocol()).token(token)
}

#[async_trait]
impl PortMapperClient for Recorded {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.client.probe().await
    }

    fn install_is_probe(&self) -> bool {
        self.client.install_is_probe()
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        let mut tried = Vec::new();
        self.share_nonce(request, &tried);
        loop {
            let installed = self.ask(request, ttl).await;
            let Kind::Pcp(nonces) = &self.kind else { return installed };
            tried.push(nonces.of(request));
            // Processes that have asked at the same moment knew nothing of each other, and one of them has the mapping.
            let refused = installed.as_ref().is_err_and(|error| error.kind() == ErrorKind::Refused);
            if !refused || tried.len() > MAX_SHARERS || !self.share_nonce(request, &tried) {
                return installed;
            }
        }
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let renewed = self.client.renew(mapping).await;
        if let Ok(renewed) = &renewed {
            self.granted(renewed);
        }
        self.lost(mapping, &renewed);
        renewed
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        // Two programs that map one port by PCP or NAT-PMP have one mapping. UPnP's client looks for itself.
        if let Some(record) = self.own_record(mapping)
            && self.journal.leave(&record)
        {
            self.undeleted().remove(&record.key());
            return Ok(());
        }
        let removed = self.client.remove(mapping).await;
        self.removed(mapping, &removed);
        removed
    }

    async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let cleared = self.client.clear(mapping).await;
        self.removed(mapping, &cleared);
        cleared
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        let verified = self.client.verify(mapping).await;
        self.lost(mapping, &verified);
        verified
    }

    /// Also deletes what an earlier run has left for this port.
    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let (own, found) = self.on_record(request);
        let mut outcome = Ok(());
        for record in found.iter().filter(|record| !record.kept) {
            outcome = outcome.and(self.delete(record).await);
        }
        // By PCP and NAT-PMP the delete of what was not answered is that of the mapping itself.
        let is_of_the_port = |record: &&Record| record.maker.protocol() != Protocol::Upnp;
        if !own.iter().filter(is_of_the_port).any(|record| self.is_anothers(record)) {
            self.client.abandon(request).await?;
        }
        for key in own.iter().map(Record::key) {
            if !self.undeleted().contains(&key) {
                self.journal.forget(&key);
            }
        }
        outcome
    }

    async fn news(&self) {
        self.client.news().await;
    }

    fn detach(&self, mapping: &PortMapping) {
        if let Some(record) = self.mapping_record(mapping) {
            self.journal.keep(&record.key());
        }
    }

    async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        self.client.external_address().await
    }

    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        self.client.table().await
    }

    async fn entry(&self, transport: Transport, external_port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        self.client.entry(transport, external_port).await
    }

    async fn add_entry(&self, entry: &TableEntry) -> Result<(), PortMappingError> {
        self.client.add_entry(entry).await
    }

    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        self.client.delete_entry(transport, external_port, any_host).await
    }

    async fn settle(&self) {
        self.client.settle().await;
    }
}

#[async_trait]
impl ProtocolClient for Recorded {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        self.client.probe_protocol().await
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        self.client.attend_to_gateway(unsure).await;
    }

    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let seen = self.client.look_at(mapping).await;
        self.lost(mapping, &seen);
        seen
    }

    async fn close(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.client.close(mapping).await
    }

    fn let_go(&self, mapping: &PortMapping) {
        self.forget(mapping);
        self.client.let_go(mapping);
    }

    fn left_here(&self, record: &Record) -> bool {
        self.is_here(record)
    }

    fn inherit(&self, record: &Record) {
        match (&self.kind, &record.maker) {
            (Kind::Pcp(nonces), Maker::Pcp { nonce }) => nonces.set(&request_of(record), *nonce),
            (Kind::Upnp(client), Maker::Upnp { .. }) => client.inherit(record),
            (Kind::Pinholes(client), Maker::Upnp { .. }) => client.inherit(record),
            (Kind::Pcp(_) | Kind::NatPmp | Kind::Upnp(_) | Kind::Pinholes(_), _) => {}
        }
    }

    async fn delete(&self, record: &Record) -> Result<(), PortMappingError> {
        if self.is_anothers(record) {
            self.journal.forget(&record.key());
            return Ok(());
        }
        match &self.kind {
            Kind::Pcp(_) | Kind::NatPmp => self.client.remove(&mapping_of(record)).await?,
            Kind::Upnp(client) => {
                client.require_device_of(record).await?;
                client.inherit(record);
                client.abandon(&request_of(record)).await?;
            }
            Kind::Pinholes(client) => {
                client.require_device_of(record).await?;
                client.inherit(record);
                client.abandon(&request_of(record)).await?;
            }
        }
        self.journal.forget(&record.key());
        Ok(())
    }
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
