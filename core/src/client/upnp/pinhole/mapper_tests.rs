//! Leases over IPv6 by UPnP, through the whole library.

use std::net::IpAddr;
use std::time::Duration;

use super::peer::{HOME, Router};
use crate::config::Config;
use crate::error::ErrorKind;
use crate::mapper::Mapper;
use crate::mapping::{AddressFamily, MapRequest, Protocol, Transport};
use crate::snapshot::Release;

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
