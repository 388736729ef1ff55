//! The external address and the router's table, asked without a lease.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::RaceMapper;
use super::ask::sort;
use super::contestant::Contestant;
use super::failure::{Failure, combine};
use super::gateways::Gateway;
use super::holdings::Holdings;
use crate::advice::NETWORK_FAILURE;
use crate::client::by::By;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol, Transport};
use crate::net::address::AddressClass;
use crate::schedule::{ADDRESS_TTL, DISCARD_PORT};

impl RaceMapper {
    /// The external address of the first gateway that tells one.
    pub(super) async fn address_here(&self) -> Result<IpAddr, PortMappingError> {
        let mut failures = Vec::new();
        for gateway in self.look()?.iter() {
            match self.address_of(gateway).await {
                Ok(address) => return Ok(address),
                Err(silent) => failures.extend(silent),
            }
        }
        Err(combine(&failures, "no external address"))
    }

    /// The client that reads and changes the table of the present gateway.
    pub(super) fn table_client(&self) -> Result<Contestant, PortMappingError> {
        let here = self.look()?;
        let mut contestants = here.iter().flat_map(|gateway| gateway.contestants.iter());
        contestants.find(|contestant| contestant.protocol == Protocol::Upnp).cloned().ok_or_else(|| {
            let why = "upnp: only upnp can read the gateway's table, and the configuration leaves it out";
            By::protocol(Protocol::Upnp).unavailable(why)
        })
    }

    /// The first address that a protocol tells; else that of a mapping which is made for it.
    async fn address_of(&self, gateway: &Gateway) -> Result<IpAddr, Vec<Failure>> {
        let mut asked = JoinSet::new();
        for contestant in gateway.contestants.iter().cloned() {
            asked.spawn(async move {
                let outcome = contestant.client.probe_protocol().await;
                (contestant, outcome)
            });
        }
        let (mut failures, mut pcp) = (Vec::new(), None);
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((_, Ok(offer))) if offer.external_address.is_some() => {
                    return offer.external_address.ok_or(failures);
                }
                Ok((contestant, Ok(_))) if contestant.protocol == Protocol::Pcp => pcp = Some(contestant),
                Ok((contestant, Ok(_))) => {
                    let untold = format!("{}: the gateway has no external address", contestant.protocol);
                    failures.push(
                        contestant.failure(By::protocol(contestant.protocol).name(NETWORK_FAILURE).unavailable(untold)),
                    );
                }
                Ok((contestant, Err(error))) => failures.push(contestant.failure(error)),
                Err(panic) => failures.push(Failure::internal(format!("a protocol's client failed: {panic}"))),
            }
        }
        if let Some(pcp) = pcp {
            match self.address_by_mapping(&pcp).await {
                Ok(address) => return Ok(address),
                Err(error) => failures.push(pcp.failure(error)),
            }
        }
        let own = gateway.path.local_address;
        match AddressClass::of(own) {
            AddressClass::Public => Ok(own),
            AddressClass::Cgnat | AddressClass::Private | AddressClass::Reserved | AddressClass::Unknown => {
                sort(&mut failures, gateway);
                Err(failures)
            }
        }
    }

    /// Goes on in the background, as a race does, when nobody waits for the address any more, so that the mapping is deleted.
    pub(super) async fn address_by_mapping(&self, pcp: &Contestant) -> Result<IpAddr, PortMappingError> {
        let of_no_lease = |request: &MapRequest| !is_of_a_lease(&self.holdings, request);
        let Some(request) = [Transport::Udp, Transport::Tcp].map(discard).into_iter().find(of_no_lease) else {
            return Err(By::protocol(Protocol::Pcp).unavailable(
                "pcp: the gateway tells its address only with a mapping, and leases already use the ports for that",
            ));
        };
        let of_the_port = self.contests_of(&request);
        let (pcp, holdings) = (pcp.clone(), Arc::clone(&self.holdings));
        let asked = self.behind.spawn(of_the_port.track_future(async move {
            let address = address_by_mapping(&pcp, &request, &holdings).await;
            if let Some(member) = pcp.member.as_ref().filter(|_| !is_of_a_lease(&holdings, &request)) {
                member.ends(&request);
            }
            address
        }));
        asked
            .await
            .unwrap_or_else(|panic| Err(PortMappingError::internal(format!("a protocol's client failed: {panic}"))))
    }
}

/// The mapping that shows the address.
const fn discard(transport: Transport) -> MapRequest {
    MapRequest::new(DISCARD_PORT, transport)
}

/// Whether a lease of this mapper has the port mapped, or asks for it: a delete would be that of its mapping.
fn is_of_a_lease(holdings: &Holdings, request: &MapRequest) -> bool {
    holdings.of(request).is_some() || holdings.is_asked_for(request)
}

/// PCP tells the address only in the answer to a MAP request (RFC 6887 11.6).
async fn address_by_mapping(
    pcp: &Contestant,
    request: &MapRequest,
    holdings: &Holdings,
) -> Result<IpAddr, PortMappingError> {
    let mapping = match pcp.client.install(request, ADDRESS_TTL).await {
        Ok(mapping) => mapping,
        Err(error) => {
            if error.kind() != ErrorKind::Refused && !is_of_a_lease(holdings, request) {
                abandon(pcp, request).await;
            }
            return Err(error);
        }
    };
    if !is_of_a_lease(holdings, request) {
        delete(pcp, &mapping).await;
    }
    match mapping.external.ip() {
        address if address.is_unspecified() => Err(By::protocol(Protocol::Pcp)
            .name(NETWORK_FAILURE)
            .unavailable("pcp: the gateway has no external address")),
        address => Ok(address),
    }
}

/// It ends by itself soon.
async fn delete(pcp: &Contestant, mapping: &PortMapping) {
    if let Err(error) = pcp.client.remove(mapping).await {
        tracing::debug!(error = %error.message(), "the mapping that showed the external address was not deleted");
    }
}

async fn abandon(pcp: &Contestant, request: &MapRequest) {
    if let Err(error) = pcp.client.abandon(request).await {
        tracing::debug!(error = %error.message(), "the mapping that should show the external address may be left");
    }
}
