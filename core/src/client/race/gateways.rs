//! The gateways of the networks in which this machine was.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::contestant::Contestant;
use super::known::Known;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken};
use crate::net::address::AddressClass;
use crate::net::route::NetworkPath;
use crate::schedule::PATH_FRESH_SHARE;
use crate::snapshot::{GatewayReport, ProtocolReport};

/// This many gateways are remembered, those of the present network included.
const MAX_GATEWAYS: usize = 8;
/// This many default routes are asked; a machine with more has them for other purposes.
pub(super) const MAX_PATHS: usize = 4;

/// The gateways that were found. Those of earlier networks are kept for deletes, and in case the machine returns to their
/// networks: their clients know which requests are in flight or were not answered.
#[derive(Default)]
pub(super) struct Gateways {
    /// Every gateway that is remembered, the one that was found last at the end.
    all: Vec<Gateway>,
    /// The paths of the present network as they were looked up last, the best first; empty if there is no network. `None`:
    /// nobody has looked yet.
    paths: Option<Vec<NetworkPath>>,
    /// When these paths were looked up.
    looked: Option<Instant>,
    /// How long that took.
    look_took: Duration,
    /// The gateways of these paths, in the order in which they are asked.
    here: Arc<[Gateway]>,
    /// The path whose gateway made the last mapping; it is asked first until it fails or the network changes.
    proven: Option<NetworkPath>,
}

/// What a look at the paths has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The paths are the same.
    Same,
    /// Nobody had looked before.
    First,
    /// The paths differ, and what was proven stays the best.
    Other,
    /// The machine is in another network, or in none.
    Moved,
}

#[derive(Clone)]
pub(super) struct Gateway {
    pub(super) path: NetworkPath,
    pub(super) contestants: Arc<[Contestant]>,
    pub(super) known: Arc<Known>,
}

impl Gateways {
    /// All gateways that may hold a mapping of ours.
    pub(super) fn all(&self) -> Vec<Gateway> {
        self.all.clone()
    }

    /// The gateways of the present network, in the order in which they are asked.
    pub(super) fn here(&self) -> Arc<[Gateway]> {
        Arc::clone(&self.here)
    }

    /// The gateway that is asked first, if there is a network.
    pub(super) fn present(&self) -> Option<Gateway> {
        self.here.first().cloned()
    }

    /// The gateway that was found last, also if it is out of reach by now.
    pub(super) fn latest(&self) -> Option<Gateway> {
        self.present().or_else(|| self.all.last().cloned())
    }

    /// Whether anybody has looked for a network yet.
    pub(super) fn looked(&self) -> bool {
        self.paths.is_some()
    }

    /// A look at the paths has taken this long, in which nothing else could be done.
    pub(super) fn look_took(&mut self, time: Duration) {
        self.look_took = time;
    }

    /// The gateways of the present network, if it was looked up less than `fresh_for` ago, or some time ago if that took long:
    /// Windows asks the gateway for its hardware address, and a gateway that is off lets it wait for seconds.
    pub(super) fn fresh(&self, fresh_for: Duration) -> Option<Arc<[Gateway]>> {
        let fresh_for = fresh_for.max(self.look_took.saturating_mul(PATH_FRESH_SHARE));
        let fresh = self.looked.is_some_and(|looked| looked.elapsed() < fresh_for);
        (fresh && !self.here.is_empty()).then(|| self.here())
    }

    /// Whether these are the paths of the present network, which was looked up just now.
    pub(super) fn stay(&mut self, paths: &[NetworkPath]) -> bool {
        self.looked = Some(Instant::now());
        self.paths.as_deref() == Some(paths)
    }

    pub(super) fn knows(&self, path: &NetworkPath) -> bool {
        self.all.iter().any(|gateway| gateway.path == *path)
    }

    /// Whether a gateway of the present network can be asked by this path.
    pub(super) fn reaches(&self, path: &NetworkPath) -> bool {
        self.here.iter().any(|gateway| gateway.path == *path)
    }

    /// Whether a mapping was made since the machine came into this network.
    pub(super) fn is_settled(&self) -> bool {
        self.proven.is_some()
    }

    /// Makes `paths` the present ones. `made` are the gateways of those that are not known; a known one goes on with its
    /// earlier clients.
    pub(super) fn arrive(&mut self, paths: Vec<NetworkPath>, made: Vec<Gateway>) -> Look {
        self.looked = Some(Instant::now());
        let look = self.compare(&paths);
        if look == Look::Same {
            return look;
        }
        let arrived = |gateway: &Gateway| paths.contains(&gateway.path);
        let (mut here, mut gone): (Vec<_>, Vec<_>) = self.all.drain(..).partition(arrived);
        here.extend(made.into_iter().filter(arrived));
        gone.drain(..(here.len() + gone.len()).saturating_sub(MAX_GATEWAYS).min(gone.len()));
        if look == Look::Moved {
            self.proven = None;
            // Another router may have the same address: what this one refused, or did not speak, counts no more.
            here.iter().for_each(|gateway| gateway.known.begin_anew());
        }
        here.sort_by_key(|gateway| paths.iter().position(|path| *path == gateway.path));
        here.dedup_by(|one, other| one.path == other.path);
        self.all = gone;
        self.all.extend(here.iter().rev().cloned());
        self.paths = Some(paths);
        self.line_up(here);
        look
    }

    /// There is no network any more.
    pub(super) fn leave(&mut self) -> Look {
        let look = match &self.paths {
            None => Look::First,
            Some(paths) if paths.is_empty() => Look::Same,
            Some(_) => Look::Moved,
        };
        (self.paths, self.here, self.proven) = (Some(Vec::new()), Arc::default(), None);
        look
    }

    /// What lies behind the proven path does not matter, nor does a better one that was there before: it had no offer. A tunnel
    /// without an offer may come and go many times.
    fn compare(&self, paths: &[NetworkPath]) -> Look {
        let Some(before) = &self.paths else { return Look::First };
        if before == paths {
            return Look::Same;
        }
        let Some(proven) = &self.proven else { return Look::Moved };
        match paths.iter().position(|path| path == proven) {
            Some(at) if paths[..at].iter().all(|path| before.contains(path) || self.had_no_offer(path)) => Look::Other,
            Some(_) | None => Look::Moved,
        }
    }

    /// Whether the gateway of `path` was asked in vain before, and by every protocol.
    fn had_no_offer(&self, path: &NetworkPath) -> bool {
        self.all.iter().any(|gateway| gateway.path == *path && gateway.known.had_no_offer())
    }

    /// The gateway of `path` has made a mapping.
    pub(super) fn prove(&mut self, path: &NetworkPath) {
        if self.proven.as_ref() != Some(path) && self.reaches(path) {
            self.proven = Some(path.clone());
            self.line_up(self.here.to_vec());
        }
    }

    fn line_up(&mut self, mut here: Vec<Gateway>) {
        here.sort_by_key(|gateway| {
            let place = self.paths.iter().flatten().position(|path| *path == gateway.path);
            (self.proven.as_ref() != Some(&gateway.path), place)
        });
        self.here = here.into();
    }
}

impl Gateway {
    pub(super) fn new(path: NetworkPath, contestants: Vec<Contestant>) -> Self {
        Self { path, contestants: contestants.into(), known: Arc::default() }
    }

    /// Whether `address` is this machine's on the way to the gateway.
    pub(super) fn is_own_address(&self, address: IpAddr) -> bool {
        self.path.local_address == address
    }

    /// The client that makes mappings like this one.
    pub(super) fn client_for(&self, mapping: &PortMapping) -> Result<Contestant, PortMappingError> {
        self.contestants.iter().find(|contestant| contestant.protocol == mapping.protocol).cloned().ok_or_else(|| {
            PortMappingError::internal(format!("there is no client for {}, which made the mapping", mapping.protocol))
        })
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

    /// A host whose own address is public, and to which no gateway answers, stands in no NAT. Every IPv6 host has such an address,
    /// and what its router's firewall lets through does not show in that.
    pub(super) fn own_public_address(&self, request: &MapRequest, ttl: Duration) -> Option<PortMapping> {
        let address = self.path.local_address;
        (address.is_ipv4()
            && AddressClass::of(address) == AddressClass::Public
            && (!request.exact || request.suggested_port() == request.internal_port))
            .then(|| PortMapping {
                request: request.clone(),
                external: (address, request.internal_port).into(),
                requested_ttl: ttl,
                lifetime: Some(ttl),
                protocol: Protocol::None,
                token: ProtocolToken::None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_took_long_serves_for_longer() {
        let mut gateways = Gateways::default();
        let path = NetworkPath::new([192, 168, 1, 1], [192, 168, 1, 10]);
        gateways.arrive(vec![path.clone()], vec![Gateway::new(path, Vec::new())]);
        let millis = Duration::from_millis;
        for (took, serves) in [(millis(0), millis(1)), (millis(100), millis(900)), (millis(0), millis(1))] {
            gateways.look_took(took);
            gateways.stay(&[]);
            tokio::time::advance(serves - Duration::from_micros(1)).await;
            assert!(gateways.fresh(millis(1)).is_some(), "{took:?}");
            tokio::time::advance(millis(1)).await;
            assert!(gateways.fresh(millis(1)).is_none(), "{took:?}");
        }
    }
}
