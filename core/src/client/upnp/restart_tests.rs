//! Announcements and remembered devices against the simulated gateway.

use std::net::Ipv4Addr;
use std::sync::Arc;

use portlease_gateway::{Announcement, Faults, Gateway, GatewayConfig};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::config::SSDP_ADDRESS;
use crate::schedule::UPNP_REMEMBERED_HEDGE;

const HOUR: Duration = Duration::from_secs(3600);
/// A test that waits for so long has failed.
const LONG: Duration = Duration::from_secs(60);

/// A gateway with an address of its own, so that announcements to the group that other tests send are another device's.
fn gateway(host: u8, faults: Faults) -> Gateway {
    let bind = Ipv4Addr::new(127, 0, 83, host).into();
    let config = GatewayConfig { bind, faults, pcp: false, nat_pmp: false, ..GatewayConfig::default() };
    Gateway::start(config).unwrap()
}

fn mapper(gateway: &Gateway) -> UpnpMapper {
    let config = UpnpConfig::new(gateway.address()).ssdp_address(gateway.ssdp_address());
    UpnpMapper::new(config.local_address(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)))
}

/// How many searches have come, and how many requests by HTTP.
fn asked(gateway: &Gateway) -> (u64, u64) {
    let counters = gateway.counters();
    let http = counters.0.iter().filter(|(name, _)| name.starts_with("http") || name.starts_with("soap"));
    (counters.get("ssdp_search"), http.map(|(_, count)| count).sum())
}

#[tokio::test]
async fn a_gateway_that_announces_its_restart_to_the_group_is_found_again_without_a_search() {
    let gateway = gateway(1, Faults::default());
    let mapper = Arc::new(mapper(&gateway));
    if let Err(error) = ssdp::open_group(&mapper.finder.config) {
        eprintln!("skipped: no socket for announcements on this machine ({error})");
        return;
    }
    let attending = Arc::clone(&mapper);
    let _attending = AbortOnDropHandle::new(tokio::spawn(async move { match UpnpMapper::attend(&attending).await {} }));
    let mut mappings = Vec::new();
    for port in 4000..4008 {
        mappings.push(mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap());
    }
    let (searches, _) = asked(&gateway);
    gateway.reboot();
    // Until it is heard: the socket may not be open yet.
    let told = async {
        loop {
            gateway.announce(Announcement::SsdpAlive, SSDP_ADDRESS).unwrap();
            if tokio::time::timeout(Duration::from_millis(100), mapper.restarted()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, told).await.expect("nobody is told");
    for mapping in &mappings {
        assert_eq!(mapper.renew(mapping).await.unwrap().external, mapping.external);
    }
    assert_eq!(gateway.mappings().len(), mappings.len());
    assert_eq!(asked(&gateway).0, searches, "it was searched for");
}

#[tokio::test]
async fn a_remembered_gateway_is_asked_for_its_description_in_place_of_a_search() {
    let gateway = gateway(2, Faults::default());
    let (first, later) = (mapper(&gateway), mapper(&gateway));
    let request = MapRequest::new(4000, Transport::Udp);
    let mapping = first.install(&request, HOUR).await.unwrap();
    first.remove(&mapping).await.unwrap();
    let (searches, before) = asked(&gateway);
    later.remember(first.known_device().unwrap());
    let started = std::time::Instant::now();
    later.install(&request, HOUR).await.unwrap();
    let is_busy = started.elapsed() >= UPNP_REMEMBERED_HEDGE;
    let (searches_after, after) = asked(&gateway);
    // Description, external address, a look, the mapping. On a busy machine the search begins beside them.
    let counted = (searches_after - searches, after - before);
    assert!(counted == (0, 4) || is_busy, "{counted:?}: {:?}", gateway.counters());
}

#[tokio::test]
async fn a_gateway_that_has_restarted_elsewhere_since_it_was_remembered_is_searched_for() {
    let gateway = gateway(3, Faults::default());
    let (first, later) = (mapper(&gateway), mapper(&gateway));
    first.search().await.unwrap();
    let known = first.known_device().unwrap();
    gateway.reboot();
    later.remember(known.clone());
    later.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    let found = later.known_device().unwrap();
    assert!(found.udn == known.udn && found.location != known.location);
}
