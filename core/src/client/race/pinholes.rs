//! Pinholes that are closed by another protocol, or another program, than the one that has opened them.

use super::RaceMapper;
use super::contestant::Contestant;
use super::failure::{Failure, combine};
use super::gateways::Gateway;
use super::recorded::mapping_of;
use crate::client::by::By;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, Transport};
use crate::schedule::MIN_TTL;
use crate::state::{Maker, Record};

impl RaceMapper {
    /// How the delete of `mapping` by the client of `maker` has ended. If the gateway has refused to close a pinhole, another
    /// protocol may close it: some routers forget at a renewal by PCP whose it is.
    pub(super) async fn or_closed(
        &self,
        mapping: &PortMapping,
        maker: &Contestant,
        outcome: Result<(), PortMappingError>,
    ) -> Result<(), PortMappingError> {
        let refused = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Refused);
        if self.family == AddressFamily::Ipv4 || !refused {
            return outcome;
        }
        let gateways = self.gateways().all();
        for gateway in gateways.iter().filter(|gateway| gateway.path == *maker.at) {
            if close_by_another(gateway, maker, mapping).await {
                return Ok(());
            }
        }
        outcome
    }

    /// Closes the port of this machine at every gateway of the present network, whoever has opened it: by PCP with the nonce that is
    /// on record, else by UPnP. Answers with the protocol that has closed it.
    pub(super) async fn close_here(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
        let request = MapRequest::new(port, transport).family(self.family);
        let here = self.look()?;
        let records = self.records.as_ref().map(|records| records.store.all_of(request.key())).unwrap_or_default();
        let (mut closed, mut failures) = (None, Vec::new());
        for gateway in here.iter() {
            match close_at(gateway, &request, &records).await {
                Ok(protocol) => {
                    self.forget_closed(gateway, &records);
                    closed = closed.or(Some(protocol));
                }
                Err(error) => failures.extend(error),
            }
        }
        closed.ok_or_else(|| combine(&failures, &format!("{transport} port {port} could not be closed")))
    }

    /// What other processes have on record stays theirs.
    fn forget_closed(&self, gateway: &Gateway, records: &[Record]) {
        let Some(store) = self.records.as_ref().map(|records| &records.store) else { return };
        for record in records {
            if gateway.contestants.iter().any(|contestant| contestant.client.left_here(record)) {
                store.forget(&record.key());
            }
        }
    }
}

/// Closes what `request` is about at one gateway.
async fn close_at(gateway: &Gateway, request: &MapRequest, records: &[Record]) -> Result<Protocol, Vec<Failure>> {
    let mut failures = Vec::new();
    for contestant in gateway.contestants.iter() {
        match close_by(contestant, request, records).await {
            Ok(()) => return Ok(contestant.protocol),
            Err(error) => failures.push(contestant.failure(error)),
        }
    }
    Err(failures)
}

async fn close_by(contestant: &Contestant, request: &MapRequest, records: &[Record]) -> Result<(), PortMappingError> {
    if contestant.protocol != Protocol::Pcp {
        let own = (contestant.at.local_address, request.internal_port);
        return contestant.client.close(&PortMapping::new(request.clone(), own, MIN_TTL, contestant.protocol)).await;
    }
    let is_ours = |record: &&Record| matches!(record.maker, Maker::Pcp { .. }) && contestant.client.left_here(record);
    let mut outcome = Err(By::protocol(Protocol::Pcp)
        .unavailable("pcp: only the nonce that opened a pinhole can close it, and none is on record for this port"));
    for record in records.iter().filter(is_ours) {
        outcome = contestant.client.clear(&mapping_of(record)).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Has another protocol of the gateway close the pinhole that `maker` may not close. Returns whether that has worked.
pub(super) async fn close_by_another(gateway: &Gateway, maker: &Contestant, mapping: &PortMapping) -> bool {
    for other in gateway.contestants.iter().filter(|other| other.protocol != maker.protocol) {
        if other.client.close(mapping).await.is_ok() {
            // What it has on record is gone.
            maker.client.let_go(mapping);
            return true;
        }
    }
    false
}
