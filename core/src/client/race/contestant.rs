//! The protocols as they enter the race: which they are and how long they hold back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::failure::Failure;
use super::known::Known;
use super::owned::Owned;
use super::recorded::Recorded;
use crate::client::natpmp::NatPmpMapper;
use crate::client::owners::Member;
use crate::client::pcp::PcpMapper;
use crate::client::pcp::nonces::Nonces;
use crate::client::port_mapper::PortMapperClient;
use crate::client::udp::GatewayPort;
use crate::client::upnp::{UpnpConfig, UpnpMapper};
use crate::config::Config;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{PortMapping, Protocol};
use crate::net::route::NetworkPath;
use crate::schedule::{DECIDED_HEAD_START, NAT_PMP_HEDGE, RACE_HEAD_START, UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP};
use crate::snapshot::ProtocolOffer;
use crate::state::{Journal, Record, Store};
use crate::world::World;

/// A client of one protocol.
#[async_trait]
pub(super) trait ProtocolClient: PortMapperClient {
    /// Asks what the gateway offers by this protocol; maps nothing.
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError>;

    /// Calls `unsure` whenever the gateway shows that it has lost its mappings, or may have, and listens for what it announces.
    /// Never ends.
    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync));

    /// Looks whether `mapping` is still there, soon after it was made and now and then later, as cheaply as the protocol allows.
    /// The answer is the mapping as it is now. By PCP and NAT-PMP there is no question but the renewal.
    ///
    /// Fails with [`mapping_lost`](PortMappingError::mapping_lost) if it is gone; any other error says nothing.
    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.renew(mapping).await
    }

    /// Another mapper of this process has `mapping` from now on: nothing of it is this client's to delete.
    fn let_go(&self, mapping: &PortMapping) {
        let _ = mapping;
    }

    /// Whether what an earlier run has recorded is this client's to take up again or to delete.
    fn left_here(&self, record: &Record) -> bool {
        let _ = record;
        false
    }

    /// Learns what an earlier run has recorded, so that a request for the same port takes it up again.
    fn inherit(&self, record: &Record) {
        let _ = record;
    }

    /// Deletes what an earlier run has left.
    async fn delete(&self, record: &Record) -> Result<(), PortMappingError> {
        let _ = record;
        Ok(())
    }
}

/// One protocol in the race.
#[derive(Clone)]
pub(super) struct Contestant {
    pub(super) protocol: Protocol,
    pub(super) client: Arc<dyn ProtocolClient>,
    /// The way to its gateway.
    pub(super) at: Arc<NetworkPath>,
    /// What this mapper shares with others of the process.
    pub(super) member: Option<Arc<Member>>,
    /// Whether it listens to the gateway. Protocols that share a port need one listener.
    pub(super) listens: bool,
    /// Whether the install itself shows whether the gateway speaks the protocol, so that probing would only
    /// cost a round trip.
    pub(super) install_is_probe: bool,
    /// Whether the gateway has answered by this protocol before.
    pub(super) proven: bool,
    /// How long after the start it does nothing at all, unless all better ones have failed before.
    pub(super) head_start: Duration,
    /// How long after the start it lets better protocols answer first.
    pub(super) hedge: Duration,
    /// The same where a better protocol has shown that it is alive.
    pub(super) hedge_behind_alive: Duration,
}

impl Contestant {
    /// Why this one failed, before it asked for a mapping.
    pub(super) fn failure(&self, error: PortMappingError) -> Failure {
        let alive = self.proven || error.kind() == ErrorKind::Refused;
        Failure { protocol: self.protocol, at: Some(Arc::clone(&self.at)), alive, asked: false, error }
    }

    /// Whether what both make for a port is one entry of one table. The interface does not matter to the gateway.
    pub(super) fn shares_table_with(&self, other: &Self) -> bool {
        (self.at.gateway, self.at.local_address) == (other.at.gateway, other.at.local_address)
    }
}

/// The contestants of one race.
pub(super) struct Order {
    pub(super) contestants: Vec<Contestant>,
    /// Whether the first is known to work. Then the others are asked only if it does not answer.
    pub(super) decided: bool,
}

/// Puts the contestants in order by what is known. The decided protocol goes first and without a probe, and all others give
/// it a long head start. Absent protocols (the gateway did not answer by them while it answered by another) go last, after a
/// head start too: no lease waits for them, but they are found if they come back.
pub(super) fn line_up(mut contestants: Vec<Contestant>, known: &Known) -> Order {
    for contestant in &mut contestants {
        contestant.proven = known.last_heard(contestant.protocol).is_some();
    }
    let decided = known.decided().filter(|decided| contestants.iter().any(|one| one.protocol == *decided));
    let (mut present, mut absent): (Vec<_>, Vec<_>) =
        contestants.into_iter().partition(|one| Some(one.protocol) == decided || !known.is_absent(one.protocol));
    present.sort_by_key(|one| Some(one.protocol) != decided);
    for late in present.iter_mut().skip(1).filter(|_| decided.is_some()).chain(&mut absent) {
        late.head_start = DECIDED_HEAD_START;
    }
    present.append(&mut absent);
    if let Some(first) = present.first_mut() {
        (first.head_start, first.hedge, first.hedge_behind_alive) = Default::default();
        if decided.is_some() {
            first.install_is_probe = true;
        }
    }
    Order { contestants: present, decided: decided.is_some() }
}

/// The configured protocols over `path`, in the configured order; none if there is no gateway to ask. The first never holds
/// back.
pub(super) fn contestants(
    config: &Config,
    path: &NetworkPath,
    nonces: &Nonces,
    store: Option<&Arc<Store>>,
    world: &World,
) -> Vec<Contestant> {
    let Some(gateway) = path.gateway else { return Vec::new() };
    let at = Arc::new(path.clone());
    let journal = store.map(|store| Journal::new(Arc::clone(store), gateway, path.local_address));
    let address = SocketAddr::new(gateway, config.pcp_port);
    let port = GatewayPort::new(address, Some(path.local_address));
    let member = Arc::new(Member::new(address, path.local_address, config.protocols.clone(), world.clone()));
    let mut contestants: Vec<Contestant> = Vec::new();
    for protocol in config.protocols.iter().copied() {
        let (client, hedge, behind) = match protocol {
            Protocol::Pcp => {
                let pcp = PcpMapper::on(Arc::clone(&port)).with_nonces(nonces.clone());
                let recorded = |pcp, journal| Recorded::pcp(pcp, nonces.clone(), journal);
                (on_record(pcp, journal.as_ref(), recorded), NAT_PMP_HEDGE, NAT_PMP_HEDGE)
            }
            Protocol::NatPmp => {
                let nat_pmp = NatPmpMapper::on(Arc::clone(&port));
                (on_record(nat_pmp, journal.as_ref(), Recorded::nat_pmp), NAT_PMP_HEDGE, NAT_PMP_HEDGE)
            }
            Protocol::Upnp => {
                let upnp = upnp(config, gateway, path.local_address).among(Arc::clone(&member));
                (on_record(upnp, journal.as_ref(), Recorded::upnp), UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP)
            }
            // Not to be asked for, which `Config::validate` sees to.
            Protocol::None => continue,
        };
        let client = Arc::new(Owned { client, protocol, member: Arc::clone(&member), nonces: nonces.clone() });
        let first = contestants.is_empty();
        let on_the_port = |protocol| matches!(protocol, Protocol::Pcp | Protocol::NatPmp);
        let listens = !on_the_port(protocol) || contestants.iter().all(|other| !on_the_port(other.protocol));
        let wait = |time| if first { Duration::ZERO } else { time };
        contestants.push(Contestant {
            protocol,
            install_is_probe: client.install_is_probe(),
            client,
            at: Arc::clone(&at),
            member: Some(Arc::clone(&member)),
            listens,
            proven: false,
            head_start: wait(RACE_HEAD_START),
            hedge: wait(hedge),
            hedge_behind_alive: wait(behind),
        });
    }
    contestants
}

/// The client, or one that keeps its requests in `journal`.
fn on_record<C: ProtocolClient + 'static>(
    client: C,
    journal: Option<&Journal>,
    recorded: impl FnOnce(C, Journal) -> Recorded,
) -> Arc<dyn ProtocolClient> {
    match journal {
        Some(journal) => Arc::new(recorded(client, journal.clone())),
        None => Arc::new(client),
    }
}

fn upnp(config: &Config, gateway: IpAddr, local_address: IpAddr) -> UpnpMapper {
    UpnpMapper::new(UpnpConfig {
        gateway,
        local_address: Some(local_address),
        ssdp_address: config.ssdp_address,
        description: config.description.clone(),
        gateway_only: config.gateway.is_some(),
    })
}

#[async_trait]
impl ProtocolClient for PcpMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let round_trip = self.announce().await?;
        Ok(ProtocolOffer { external_address: None, device: None, round_trip })
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        self.port().attend(unsure).await;
    }
}

#[async_trait]
impl ProtocolClient for NatPmpMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let (address, round_trip) = self.external_address().await?;
        Ok(ProtocolOffer { external_address: address.map(IpAddr::V4), device: None, round_trip })
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        self.port().attend(unsure).await;
    }
}

#[async_trait]
impl ProtocolClient for UpnpMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let device = self.search().await?;
        Ok(ProtocolOffer {
            external_address: device.external_address,
            device: Some(device.friendly_name),
            round_trip: device.round_trip,
        })
    }

    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.see(mapping).await
    }

    fn let_go(&self, mapping: &PortMapping) {
        Self::let_go(self, mapping);
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        let tell = async {
            loop {
                self.restarted().await;
                unsure();
            }
        };
        tokio::join!(self.attend(), tell);
    }
}

#[cfg(test)]
#[path = "contestant_tests.rs"]
mod tests;
