//! Leases over IPv6 by UPnP, through the whole library.

use std::net::IpAddr;
use std::time::Duration;

use super::peer::{HOME, Router};
use crate::client::families::Families;
use crate::client::port_mapper::PortMapperClient;
use crate::client::udp::tests::FakeGateway;
use crate::config::Config;
use crate::error::ErrorKind;
use crate::mapper::Mapper;
use crate::mapping::{AddressFamily, MapRequest, Protocol, Transport};
use crate::schedule::DEFAULT_TTL;
use crate::snapshot::Release;
use crate::world::Worlds;

/// Longer than anything that is waited for here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port for each test: to this process all routers at `::1` are one, whose ports mappers share.
fn request(port: u16) -> MapRequest {
    MapRequest::new(port, Transport::Udp).family(AddressFamily::Ipv6)
}

fn config(router: &Router) -> Config {
    let config = Config::default().gateway(IpAddr::from(HOME)).protocols([Protocol::Upnp]);
    config.ssdp_address(router.ssdp.address)
}

#[tokio::test]
async fn a_pinhole_by_upnp_lives_as_long_as_its_lease() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapper = Mapper::start(config(&router)).unwrap();
    let lease = mapper.map(request(6100)).unwrap();
    let ready = lease.ready(PATIENCE).await.unwrap();
    assert_eq!((ready.external(), ready.protocol()), (Some((HOME, 6100).into()), Some(Protocol::Upnp)));
    assert_eq!(router.pinholes.of("17 6100").len(), 1);
    let report = mapper.report_of(AddressFamily::Ipv6).await.unwrap();
    assert_eq!(report.protocols.len(), 1);
    assert_eq!(report.external_address(), Some(HOME.into()));
    assert_eq!(lease.stop(PATIENCE).await, Release::Released);
    assert_eq!(router.pinholes.count(), 0);
    assert_eq!(mapper.stop(PATIENCE).await, Release::Released);
}

#[tokio::test]
async fn a_pinhole_that_an_earlier_run_has_left_is_taken_up_and_closed() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let folder = std::env::temp_dir().join(format!("portlease-pinholes-{}", std::process::id()));
    let config = config(&router).state_dir(folder.clone());
    let first = Mapper::start(config.clone()).unwrap();
    let lease = first.map(request(6101)).unwrap();
    lease.ready(PATIENCE).await.unwrap();
    lease.detach().await;
    first.stop(PATIENCE).await;
    // What a mapper that lives has on record is not closed.
    drop((lease, first));
    let left = router.pinholes.of("17 6101");
    assert_eq!(left.len(), 1);
    let second = Mapper::start(config).unwrap();
    let lease = second.map(request(6101)).unwrap();
    lease.ready(PATIENCE).await.unwrap();
    assert_eq!(router.pinholes.of("17 6101")[0].0, left[0].0);
    assert_eq!(second.stop(PATIENCE).await, Release::Released);
    assert_eq!(router.pinholes.count(), 0);
    // It is a folder of this test alone.
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn a_router_that_says_no_is_told_with_its_code() {
    let refuses = |call: &crate::client::upnp::peer::Call, _: &_| {
        (call.action == "AddPinhole").then(|| crate::client::upnp::peer::fault(703))
    };
    let Some(router) = Router::start(refuses).await else { return };
    let mapper = Mapper::start(config(&router)).unwrap();
    let error = mapper.map(request(6102)).unwrap().ready(PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.details()[0].code, Some(703));
    mapper.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_pinhole_that_a_crash_has_left_is_closed_though_only_ipv4_is_asked_for() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let folder = std::env::temp_dir().join(format!("portlease-pinhole-left-{}", std::process::id()));
    let config = config(&router).state_dir(folder.clone());
    let crashed = Families::new(config.clone(), &Worlds::default());
    crashed.install(&request(6103), DEFAULT_TTL).await.unwrap();
    drop(crashed);
    assert_eq!(router.pinholes.count(), 1);
    let mapper = Mapper::start(config).unwrap();
    // Over IPv4 nobody answers.
    let lease = mapper.map(MapRequest::new(6104, Transport::Udp)).unwrap();
    lease.ready(PATIENCE).await.unwrap_err();
    all_closed(&router).await;
    mapper.stop(PATIENCE).await;
    // It is a folder of this test alone.
    let _ = std::fs::remove_dir_all(folder);
}

async fn all_closed(router: &Router) {
    let closed = async {
        while router.pinholes.count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("nobody closes it");
}

/// Grants by PCP whatever is asked for, but closes nothing and leaves two minutes at least, as miniupnpd 2.3.1 does after a renewal.
fn closes_nothing(request: &[u8]) -> Vec<Vec<u8>> {
    let asked = u32::from_be_bytes(request[4..8].try_into().unwrap());
    let mut answer = request[..60].to_vec();
    answer[1] |= 0x80;
    answer[3] = if asked == 0 { 2 } else { 0 };
    answer[4..8].copy_from_slice(&asked.max(120).to_be_bytes());
    answer[8..24].fill(0);
    vec![answer]
}

#[tokio::test]
async fn a_pinhole_that_a_crash_has_left_and_pcp_may_not_close_any_more_is_closed_by_upnp() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let (_requests, pcp) = FakeGateway::answering_at(HOME.into(), closes_nothing).await;
    let folder = std::env::temp_dir().join(format!("portlease-pinhole-refused-{}", std::process::id()));
    let config = config(&router).state_dir(folder.clone()).pcp_port(pcp.gateway().port());
    let crashed = Families::new(config.clone().protocols([Protocol::Pcp]), &Worlds::default());
    crashed.install(&request(6106), DEFAULT_TTL).await.unwrap();
    drop(crashed);
    // It is the same firewall.
    router.pinholes.open("17", 6106);
    let mapper = Mapper::start(config.protocols([Protocol::Pcp, Protocol::Upnp])).unwrap();
    let lease = mapper.map(MapRequest::new(6107, Transport::Udp)).unwrap();
    lease.ready(PATIENCE).await.unwrap_err();
    all_closed(&router).await;
    mapper.stop(PATIENCE).await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing of it stays on record");
    // It is a folder of this test alone.
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test]
async fn two_mappers_of_a_process_share_a_pinhole_by_upnp_and_the_last_one_closes_it() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let open = async || {
        let mapper = Mapper::start(config(&router)).unwrap();
        let lease = mapper.map(request(6105)).unwrap();
        lease.ready(PATIENCE).await.unwrap();
        (mapper, lease)
    };
    let (first, last) = (open().await, open().await);
    assert_eq!(router.pinholes.of("17 6105").len(), 1);
    assert_eq!(first.0.stop(PATIENCE).await, Release::Released);
    assert_eq!(router.pinholes.of("17 6105").len(), 1);
    assert_eq!(last.0.stop(PATIENCE).await, Release::Released);
    assert_eq!(router.pinholes.count(), 0);
}
