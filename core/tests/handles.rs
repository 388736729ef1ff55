//! Waiting on the handles: what each of several waiters sees, and what does not depend on the caller's runtime.

mod common;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{LONG, config_for, gateway};
use portlease::client::MockPortMapperClient;
use portlease::task::Timing;
use portlease::{
    ErrorKind, EventKind, LeaseState, MapRequest, Mapper, OpenPort, Protocol, Release, RetryPolicy, Transport,
    open_with,
};
use portlease_gateway::Mode;

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);
const INSTANT: Duration = Duration::ZERO;

#[tokio::test]
async fn every_wait_for_a_mapping_hears_of_a_failed_attempt_and_a_later_one_waits_for_the_next() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(2));
    let mut config = config_for(&gateway, Protocol::Pcp);
    config.retry = RetryPolicy::backoff(Some(LONG), None);
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    let (one, other) = tokio::join!(lease.ready(LONG), lease.ready(LONG));
    assert_eq!(one.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(lease.ready(INSTANT).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_wait_for_a_change_sees_each_state_once_and_ends_with_the_lease() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    let mut seen = lease.snapshot();
    while seen.state != LeaseState::Installed {
        seen = lease.changed(seen.revision, LONG).await.unwrap();
    }
    assert!(seen.active);
    assert_eq!(lease.changed(seen.revision, INSTANT).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(lease.changed(0, INSTANT).await.unwrap().active, "what has changed already is told at once");
    lease.begin_stop();
    let last = lease.changed(seen.revision, LONG).await.unwrap();
    assert_eq!(last.state, LeaseState::Exited);
    assert_eq!(lease.changed(last.revision, LONG).await.unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test]
async fn each_reader_of_events_gets_every_event_from_its_start_on() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let (one, other) = (mapper.events(), mapper.events());
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    lease.stop(None).await;
    for reader in [&one, &other] {
        assert_eq!(reader.next(LONG).await.unwrap().kind, EventKind::Installed);
        assert_eq!(reader.next(LONG).await.unwrap().kind, EventKind::Exited);
        assert_eq!(reader.next(INSTANT).await.unwrap_err().kind(), ErrorKind::Timeout);
    }
    mapper.stop(None).await;
    assert_eq!(one.next(LONG).await.unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test]
async fn a_reader_of_events_does_not_keep_the_mapper_that_nobody_holds() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let events = mapper.events();
    let reading = tokio::spawn(async move { events.next(LONG).await });
    tokio::task::yield_now().await;
    drop(mapper);
    assert_eq!(reading.await.unwrap().unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test]
async fn a_wait_for_events_keeps_to_its_limit_after_the_last_handle_was_dropped() {
    let client = Arc::new(MockPortMapperClient::default());
    let granted = MockPortMapperClient::mapping(UDP_4000, (Ipv4Addr::new(192, 0, 1, 1), 4000), LONG);
    // The release takes as long as it may.
    client.on_probe(INSTANT, Ok(())).on_install(INSTANT, Ok(granted)).on_remove(Duration::from_secs(600), Ok(()));
    let mapper = Mapper::start_with(client, Timing::default()).unwrap();
    let events = mapper.events();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(events.next(LONG).await.unwrap().kind, EventKind::Installed);
    drop((lease, mapper));
    assert_eq!(events.next(INSTANT).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn whether_a_mapping_is_left_is_decided_by_the_first_who_ends_the_lease() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    lease.begin_stop();
    lease.begin_detach();
    assert_eq!(lease.stop(LONG).await, Release::Released);
    assert!(gateway.mappings().is_empty(), "stopped first");

    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    lease.begin_detach();
    assert_eq!(lease.stop(LONG).await, Release::Released);
    assert_eq!(gateway.mappings().len(), 1, "detached first");

    let lease = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap();
    lease.ready(LONG).await.unwrap();
    mapper.begin_stop();
    lease.detach().await;
    assert_eq!(gateway.mappings().len(), 1, "the mapper was stopped first");
}

#[tokio::test]
async fn all_mappers_can_be_stopped_without_a_limit_and_without_giving_up_the_handles() {
    let none: [&Mapper; 0] = [];
    assert_eq!(Mapper::stop_all(none, Duration::MAX).await, Release::Released);
    let gateway = gateway();
    let ports = [4000, 4001].map(|port| {
        let config = config_for(&gateway, Protocol::Pcp);
        OpenPort::begin(config, MapRequest::new(port, Transport::Udp)).unwrap()
    });
    assert_eq!(
        Mapper::stop_all(ports.iter().map(|port| Arc::clone(port.mapper())), Duration::MAX).await,
        Release::Released
    );
    assert!(ports.iter().all(|port| port.mapper().snapshot().stopped));
}

#[tokio::test]
async fn waits_for_a_mapping_that_are_called_together_hear_of_the_same_failure_also_if_it_was_before() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(2));
    let mut config = config_for(&gateway, Protocol::Pcp);
    config.retry = RetryPolicy::backoff(LONG, LONG);
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(mapper.next_event(LONG).await.unwrap().kind, EventKind::Failed);
    let (one, other) = tokio::join!(lease.ready(LONG), lease.ready(Duration::from_secs(1)));
    assert_eq!(one.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn an_event_whose_wait_was_cancelled_between_its_end_and_its_result_is_the_next_to_be_pulled() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    drop(mapper.pull_event(LONG).await.unwrap());
    assert_eq!(mapper.next_event(INSTANT).await.unwrap().kind, EventKind::Installed);
}

#[tokio::test(start_paused = true)]
async fn a_lease_lives_by_the_engines_clock_and_not_by_that_of_the_runtime_that_looks_at_it() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(None).await.unwrap();
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    let snapshot = lease.snapshot();
    assert!(snapshot.active, "{snapshot:?}");
    assert!(snapshot.expires_in.unwrap() > Duration::from_secs(3000), "{snapshot:?}");
}

#[tokio::test]
async fn an_open_port_ends_with_its_engine_whether_it_is_stopped_or_detached() {
    let gateway = gateway();
    let config = config_for(&gateway, Protocol::Pcp);
    let port = open_with(config.clone(), UDP_4000, LONG).await.unwrap();
    assert!(port.snapshot().active);
    assert_eq!(port.stop(None).await, Release::Released);
    assert!(gateway.mappings().is_empty() && port.mapper().snapshot().stopped);

    let port = open_with(config, UDP_4000, LONG).await.unwrap();
    port.detach().await;
    assert_eq!(gateway.mappings().len(), 1, "the mapping is left to its lifetime");
    assert!(port.mapper().snapshot().stopped);
}

#[tokio::test]
async fn an_open_port_that_fails_leaves_no_engine_behind() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(2));
    let config = config_for(&gateway, Protocol::Pcp);
    let port = OpenPort::begin(config, UDP_4000).unwrap();
    let events = port.mapper().events();
    assert_eq!(port.ready(LONG).await.unwrap_err().kind(), ErrorKind::Refused);
    drop(port);
    while let Ok(event) = events.next(LONG).await {
        assert_ne!(event.kind, EventKind::Installed);
    }
}

#[tokio::test]
async fn many_mappers_are_stopped_at_once_within_one_limit() {
    let gateway = gateway();
    let mappers: Vec<_> = (4000..4004)
        .map(|port| {
            let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
            (mapper.map(MapRequest::new(port, Transport::Udp)).unwrap(), Arc::new(mapper))
        })
        .collect();
    for (lease, _) in &mappers {
        lease.ready(LONG).await.unwrap();
    }
    gateway.update_faults(|faults| faults.pcp_delay_ms = 500);
    let asked = Instant::now();
    let limit = Duration::from_millis(50);
    assert_eq!(Mapper::stop_all(mappers.iter().map(|(_, mapper)| Arc::clone(mapper)), limit).await, Release::Pending);
    assert!(asked.elapsed() < 4 * Duration::from_millis(500), "one limit for all of them");
    assert_eq!(Mapper::stop_all(mappers.iter().map(|(_, mapper)| Arc::clone(mapper)), LONG).await, Release::Released);
    assert!(gateway.mappings().is_empty());
}
