//! What an app sees when the world around its ports changes, and of a repair: against the simulated gateway.

mod common;

use common::{LONG, UdpApp, config_for, gateway, gateway_with};
use portlease::{ErrorKind, EventKind, MapRequest, Mapper, Protocol, Transport};
use portlease_gateway::Event as Router;

#[tokio::test]
async fn a_repair_deletes_the_entry_and_adds_it_again_with_the_same_external_port_by_each_protocol() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let app = UdpApp::start();
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let lease = mapper.map(MapRequest::new(app.port(), Transport::Udp)).unwrap();
        let before = lease.ready(LONG).await.unwrap();
        let router = gateway.events();
        let after = lease.repair(LONG).await.unwrap();
        assert_eq!(after.external(), before.external(), "{protocol}");
        assert!(router.find(LONG, |event| matches!(event, Router::Unmapped(_))).is_some(), "{protocol}: not deleted");
        assert!(router.find(LONG, |event| matches!(event, Router::Mapped(_))).is_some(), "{protocol}: not added");
        let told = std::iter::from_fn(|| portlease::wait(mapper.next_event(LONG)).ok());
        assert!(told.into_iter().any(|event| event.kind == EventKind::Repaired), "{protocol}");
        assert!(app.answers_through(gateway.mappings()[0].reach), "{protocol}");
        let refused = lease.repair(LONG).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused, "{protocol}");
        assert!(refused.retry_after().is_some(), "{protocol}");
        mapper.stop(None).await;
        assert!(gateway.mappings().is_empty(), "{protocol}");
        assert_eq!(lease.repair(LONG).await.unwrap_err().kind(), ErrorKind::Stopped, "{protocol}");
    }
}

#[tokio::test]
async fn a_host_that_says_that_its_network_changed_makes_every_lease_look_again_at_once() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let leases: Vec<_> =
        (0..3).map(|index| mapper.map(MapRequest::new(4000 + index, Transport::Udp)).unwrap()).collect();
    for lease in &leases {
        lease.ready(LONG).await.unwrap();
    }
    mapper.network_changed();
    for lease in &leases {
        let mut seen = lease.snapshot();
        while seen.renewals == 0 {
            seen = lease.changed(seen.revision, LONG).await.unwrap();
        }
    }
    mapper.stop(None).await;
    mapper.network_changed();
}

#[tokio::test]
async fn a_host_that_says_that_its_network_changed_ends_the_backoff() {
    let gateway = gateway_with(|config| config.faults.pcp = portlease_gateway::Mode::Silent);
    let config = config_for(&gateway, Protocol::Pcp);
    let mapper = Mapper::start(config.retry(portlease::RetryPolicy::backoff(LONG * 6, None))).unwrap();
    let lease = mapper.map(MapRequest::new(4000, Transport::Udp)).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Unavailable);
    gateway.update_faults(|faults| faults.pcp = portlease_gateway::Mode::default());
    mapper.network_changed();
    assert!(lease.ready(LONG).await.unwrap().active);
}
