//! A client of one protocol that shares its mappings with the other mappers of this process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::RaceMapper;
use super::contestant::ProtocolClient;
use super::failure::Failure;
use crate::client::owners::Member;
use crate::client::pcp::nonces::Nonces;
use crate::client::port_mapper::PortMapperClient;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol, Transport};
use crate::snapshot::{ProtocolOffer, TableEntry};
use crate::state::Record;

/// Passes everything on to a client, but for deletes that would hit what another mapper has.
pub(super) struct Owned {
    pub(super) client: Arc<dyn ProtocolClient>,
    pub(super) protocol: Protocol,
    pub(super) member: Arc<Member>,
    /// PCP's.
    pub(super) nonces: Nonces,
}

impl Owned {
    fn lost<T>(&self, mapping: &PortMapping, outcome: &Result<T, PortMappingError>) {
        if outcome.as_ref().is_err_and(PortMappingError::mapping_lost) {
            self.member.lost(mapping);
        }
    }

    /// PCP and NAT-PMP delete by the internal port, whoever has it mapped. UPnP's client looks at each external port itself.
    fn is_anothers(&self, request: &MapRequest) -> bool {
        self.protocol != Protocol::Upnp
            && self.member.is_anothers((request.transport, request.internal_port), self.protocol, None)
    }

    /// Fails with `invalid` for an external port that another mapper of this process has.
    fn require_free(&self, transport: Transport, external_port: u16) -> Result<(), PortMappingError> {
        let Some(port) = self.member.taken_for(transport, external_port).first().copied() else { return Ok(()) };
        let message = format!(
            "{external_port} is held by another mapper of this process, by its lease on {transport} port {port}; stop that lease first"
        );
        Err(PortMappingError::invalid("external_port", message))
    }
}

/// A delete that is under way. Its end is told, also if nobody waits for the answer any more.
struct Deleting<'a>(&'a Member, &'a MapRequest);

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        self.0.has_deleted(self.1);
    }
}

#[async_trait]
impl PortMapperClient for Owned {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.client.probe().await
    }

    fn install_is_probe(&self) -> bool {
        self.client.install_is_probe()
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        match self.protocol {
            // A gateway refuses a second nonce, or makes a second entry of it, or takes the first one's away.
            Protocol::Pcp => {
                if let Some(nonce) = self.member.asks(request, Some(self.nonces.of(request))) {
                    self.nonces.set(request, nonce);
                }
            }
            Protocol::NatPmp | Protocol::Upnp | Protocol::None => drop(self.member.asks(request, None)),
        }
        let installed = self.client.install(request, ttl).await;
        if let Ok(mapping) = &installed {
            self.member.has(mapping);
        }
        installed
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let renewed = self.client.renew(mapping).await;
        if let Ok(renewed) = &renewed {
            self.member.has(renewed);
        }
        self.lost(mapping, &renewed);
        renewed
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if !self.member.gives_up(mapping) {
            let (protocol, external) = (self.protocol, mapping.external);
            tracing::debug!(%protocol, %external, "not deleted, because another mapper of this process has it too");
            self.client.let_go(mapping);
            return Ok(());
        }
        let _deleting = Deleting(&self.member, &mapping.request);
        self.client.remove(mapping).await
    }

    async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.member.lost(mapping);
        let _deleting = Deleting(&self.member, &mapping.request);
        self.client.clear(mapping).await
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        let verified = self.client.verify(mapping).await;
        self.lost(mapping, &verified);
        verified
    }

    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        match self.is_anothers(request) {
            true => Ok(()),
            false => self.client.abandon(request).await,
        }
    }

    fn detach(&self, mapping: &PortMapping) {
        self.member.lost(mapping);
        self.member.ends(&mapping.request);
        self.client.detach(mapping);
    }

    async fn news(&self) {
        self.client.news().await;
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
        self.require_free(entry.transport, entry.external_port)?;
        self.client.add_entry(entry).await
    }

    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        self.require_free(transport, external_port)?;
        self.client.delete_entry(transport, external_port, any_host).await
    }

    async fn settle(&self) {
        self.client.settle().await;
    }
}

#[async_trait]
impl ProtocolClient for Owned {
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
        self.client.let_go(mapping);
    }

    fn left_here(&self, record: &Record) -> bool {
        self.client.left_here(record)
    }

    fn inherit(&self, record: &Record) {
        self.client.inherit(record);
    }

    async fn delete(&self, record: &Record) -> Result<(), PortMappingError> {
        let port = (record.transport, record.internal_port);
        let external_port = record.external_port.filter(|_| self.protocol == Protocol::Upnp);
        match self.member.is_anothers(port, self.protocol, external_port) {
            true => Ok(()),
            false => self.client.delete(record).await,
        }
    }
}

impl RaceMapper {
    /// Deletes what other mappers of this process have left to the last one of the port, if that is this mapper, which has it no
    /// more.
    pub(super) async fn delete_inherited(&self, request: &MapRequest) -> Vec<Failure> {
        let mut failures = Vec::new();
        let all = self.gateways().all();
        for gateway in all {
            let Some(member) = gateway.contestants.iter().find_map(|contestant| contestant.member.clone()) else {
                continue;
            };
            for left in member.inherits(request) {
                match gateway.client_for(&left) {
                    Ok(maker) => {
                        let removed = maker.client.remove(&left).await;
                        failures.extend(removed.err().map(|error| maker.failure(error)));
                    }
                    Err(error) => failures.push(Failure::internal(error.message())),
                }
            }
            member.ends(request);
        }
        failures
    }
}
