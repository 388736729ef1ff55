//! The gateways of the networks in which this machine was.

use std::sync::Arc;
use std::time::Duration;

use super::contestant::Contestant;
use super::known::Known;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken};
use crate::net::address::AddressClass;
use crate::net::route::NetworkPath;
use crate::snapshot::{GatewayReport, ProtocolReport};

/// The gateways of this many networks are remembered, the present one included.
const MAX_GATEWAYS: usize = 4;

/// The gateways that were found; the last one is the present one. The earlier ones are kept for deletes, and in case the
/// machine returns to their networks: their clients know which requests are in flight or were not answered.
#[derive(Default)]
pub(super) struct Gateways {
    all: Vec<Gateway>,
    /// Nothing answered, so the machine may be in another network: the path must be looked up again.
    pub(super) stale: bool,
}

#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) path: NetworkPath,
    pub(super) contestants: Arc<[Contestant]>,
    pub(super) known: Arc<Known>,
}

impl Gateways {
    /// All gateways that may hold a mapping of ours, the present one last.
    pub(super) fn all(&self) -> Vec<Gateway> {
        self.all.clone()
    }

    /// The gateway that was found last, if there is one; it may be stale.
    pub(super) fn present(&self) -> Option<Gateway> {
        self.all.last().cloned()
    }

    /// The same, unless it is stale.
    pub(super) fn fresh(&self) -> Option<Gateway> {
        self.present().filter(|_| !self.stale)
    }

    /// Makes `path` the present one. If it was known before, its earlier clients are used again.
    pub(super) fn arrive(&mut self, path: NetworkPath, contestants: Vec<Contestant>) -> Gateway {
        self.stale = false;
        let gateway = match self.all.iter().position(|gateway| gateway.path == path) {
            Some(known) => self.all.remove(known),
            None => Gateway { path, contestants: contestants.into(), known: Arc::default() },
        };
        if self.all.len() == MAX_GATEWAYS {
            self.all.remove(0);
        }
        self.all.push(gateway.clone());
        gateway
    }
}

impl Gateway {
    pub(super) fn client_for(&self, mapping: &PortMapping) -> Result<Contestant, PortMappingError> {
        self.contestants.iter().find(|contestant| contestant.protocol == mapping.protocol).cloned().ok_or_else(|| {
            PortMappingError::internal(format!("there is no client for {}, which made the mapping", mapping.protocol))
        })
    }

    /// Whether `client` is one of this gateway's.
    pub(super) fn has(&self, client: &Contestant) -> bool {
        self.contestants.iter().any(|own| Arc::ptr_eq(&own.client, &client.client))
    }

    /// Learns from a report which protocols the gateway speaks. Returns whether any made an offer.
    pub(super) fn learn(&self, report: &GatewayReport) -> bool {
        let offer = report.protocols.iter().find(|report| report.outcome.is_ok());
        for ProtocolReport { protocol, outcome } in &report.protocols {
            match outcome.as_ref().map_err(PortMappingError::kind) {
                Ok(_) => self.known.saw(*protocol),
                Err(ErrorKind::Refused) => self.known.heard(*protocol),
                Err(ErrorKind::Timeout | ErrorKind::Unavailable) if offer.is_some() => self.known.is_missing(*protocol),
                Err(_) => {}
            }
        }
        if let Some(offer) = offer {
            self.known.offered(offer.protocol);
        }
        offer.is_some()
    }

    /// A host whose own address is public, and to which no gateway answers, stands in no NAT.
    pub(super) fn own_public_address(&self, request: &MapRequest, ttl: Duration) -> Option<PortMapping> {
        let address = self.path.local_address;
        (AddressClass::of(address) == AddressClass::Public
            && (!request.exact || request.suggested_port() == request.internal_port))
            .then(|| PortMapping {
                request: *request,
                external: (address, request.internal_port).into(),
                requested_ttl: ttl,
                lifetime: Some(ttl),
                protocol: Protocol::None,
                token: ProtocolToken::None,
            })
    }
}
