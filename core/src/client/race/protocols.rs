//! The configured protocols as they enter the race, each with what it keeps on record and who else has its ports.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::contestant::{Contestant, ProtocolClient};
use super::owned::Owned;
use super::recorded::Recorded;
use crate::client::natpmp::NatPmpMapper;
use crate::client::owners::Member;
use crate::client::pcp::PcpMapper;
use crate::client::pcp::nonces::Nonces;
use crate::client::port_mapper::PortMapperClient;
use crate::client::udp::GatewayPort;
use crate::client::upnp::{PinholeConfig, PinholeMapper, UpnpConfig, UpnpMapper};
use crate::config::Config;
use crate::error::{PortMappingError, list};
use crate::mapping::{AddressFamily, Protocol};
use crate::net::route::NetworkPath;
use crate::schedule::{NAT_PMP_HEDGE, RACE_HEAD_START, UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP};
use crate::state::{Journal, Store};
use crate::world::World;

/// The configured protocols over `path`, in the configured order; none if there is no gateway to ask. The first never holds
/// back.
pub(super) fn contestants(
    config: &Config,
    path: &NetworkPath,
    nonces: &Nonces,
    store: Option<&Arc<Store>>,
    world: &World,
) -> Vec<Contestant> {
    let Some((gateway, address)) = path.gateway.zip(path.gateway_port(config.pcp_port)) else { return Vec::new() };
    let family = AddressFamily::of(gateway);
    let at = Arc::new(path.clone());
    let journal = store.map(|store| Journal::new(Arc::clone(store), gateway, path.local_address));
    let port = GatewayPort::on_link(address, Some(path.local_address), path.index);
    let member = Arc::new(Member::new(address, path.local_address, config.protocols.clone(), world.clone()));
    let mut contestants: Vec<Contestant> = Vec::new();
    for protocol in config.protocols.iter().copied() {
        let (client, hedge, behind) = match protocol {
            Protocol::Pcp => {
                let pcp = PcpMapper::on(Arc::clone(&port)).with_nonces(nonces.clone());
                let recorded = |pcp, journal| Recorded::pcp(pcp, nonces.clone(), journal);
                (on_record(pcp, journal.as_ref(), recorded), NAT_PMP_HEDGE, NAT_PMP_HEDGE)
            }
            // It has no IPv6 (RFC 6886 9.5), and UPnP another service for that.
            Protocol::NatPmp if family == AddressFamily::Ipv6 => continue,
            Protocol::Upnp if family == AddressFamily::Ipv6 => {
                let Some(upnp) = pinholes(config, path) else { continue };
                let upnp = upnp.among(Arc::clone(&member));
                (on_record(upnp, journal.as_ref(), Recorded::pinholes), UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP)
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

/// Fails with `unavailable` if none of the protocols has the family.
pub(super) fn require_protocol(family: AddressFamily, protocols: &[Protocol]) -> Result<(), PortMappingError> {
    let has = |protocol: &Protocol| matches!(protocol, Protocol::Pcp | Protocol::Upnp);
    if family == AddressFamily::Ipv4 || protocols.iter().any(has) {
        return Ok(());
    }
    let (named, able) = (list(protocols), list(Protocol::ALL.iter().filter(|protocol| has(protocol))));
    Err(PortMappingError::unavailable(format!(
        "no configured protocol ({named}) opens IPv6 pinholes; these do: {able}"
    )))
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
        ssdp_address: config.ssdp_address_of(AddressFamily::of(gateway)),
        description: config.description.clone(),
        gateway_only: config.gateway_of(AddressFamily::of(gateway)).is_some(),
    })
}

fn pinholes(config: &Config, path: &NetworkPath) -> Option<PinholeMapper> {
    let gateway_only = config.gateway_of(AddressFamily::Ipv6).is_some();
    let ssdp_address = config.ssdp_address_of(AddressFamily::Ipv6);
    let config = PinholeConfig::of_path(path)?.ssdp_address(ssdp_address).gateway_only(gateway_only);
    Some(PinholeMapper::new(config))
}

#[cfg(test)]
#[path = "protocols_tests.rs"]
mod tests;
