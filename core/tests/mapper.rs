//! The handles against the simulated gateway: what a user of the library notices.

mod common;

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{LONG, UdpApp, config, config_for, gateway, gateway_with};
use portlease::client::PortMapperClient;
use portlease::task::Timing;
use portlease::{
    AddressClass, Config, ErrorKind, EventKind, LeaseState, MapRequest, Mapper, PortMapping, PortMappingError,
    Protocol, Release, RetryPolicy, Transport, wait,
};
use portlease_gateway::Mode;

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);

#[tokio::test]
async fn the_systems_error_is_the_source_in_rust_and_part_of_what_snapshots_and_events_say() {
    // Only who asked for it may send to the broadcast address, and without a network there is no way to it: nothing leaves the
    // machine.
    let config = Config::default().gateway(IpAddr::from([255; 4])).protocols([Protocol::Pcp]).retry(RetryPolicy::Never);
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    let error = lease.ready(LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>()).expect("the system's error");
    assert!(matches!(cause.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NetworkUnreachable), "{cause}");
    assert!(!error.to_string().contains(&cause.to_string()), "{error}");
    let told = error.message();
    assert!(told.ends_with(&cause.to_string()), "{told}");
    assert_eq!(lease.snapshot().last_error.unwrap().message, told);
    assert_eq!(mapper.next_event(LONG).await.unwrap().error.unwrap().message, told);
}

#[tokio::test]
async fn a_datagram_reaches_the_app_through_each_protocol_and_nothing_is_left_after_stop() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let app = UdpApp::start();
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let lease = mapper.map(MapRequest::new(app.port(), Transport::Udp)).unwrap();
        let snapshot = lease.ready(LONG).await.unwrap();
        assert_eq!(snapshot.protocol(), Some(protocol));
        assert_eq!(snapshot.external(), Some((Ipv4Addr::new(192, 0, 1, 1), app.port()).into()));
        let entrance = gateway.mappings()[0].reach;
        assert!(app.answers_through(entrance), "{protocol}");
        mapper.stop(None).await;
        assert!(gateway.mappings().is_empty(), "{protocol}: {:?}", gateway.mappings());
        assert_eq!(lease.snapshot().state, LeaseState::Exited);
    }
}

#[tokio::test]
async fn a_tcp_connection_reaches_the_app_through_each_protocol() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let lease = mapper.map(MapRequest::new(app.local_addr().unwrap().port(), Transport::Tcp)).unwrap();
        lease.ready(LONG).await.unwrap();
        let mut outside = TcpStream::connect(gateway.mappings()[0].reach).unwrap();
        outside.write_all(b"knock").unwrap();
        let (mut inside, _) = app.accept().unwrap();
        let mut heard = [0; 5];
        inside.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"knock");
        lease.stop(None).await;
        assert!(gateway.mappings().is_empty(), "{protocol}");
    }
}

/// On a busy machine PCP's answer may come so late that the other protocols are asked too. So it must be seen once in a few times
/// that they are not.
#[tokio::test]
async fn all_protocols_together_leave_exactly_one_entry_and_it_is_pcps() {
    let mut seen = Vec::new();
    while seen.last() != Some(&(1, [1, 1, 0, 0])) {
        assert!(seen.len() < 5, "{seen:?}");
        let gateway = gateway();
        let mapper = Mapper::start(config(&gateway)).unwrap();
        let lease = mapper.map(UDP_4000).unwrap();
        assert_eq!(lease.ready(LONG).await.unwrap().protocol(), Some(Protocol::Pcp));
        let entries = gateway.mappings().len();
        mapper.stop(None).await;
        assert!(gateway.mappings().is_empty());
        let counters = gateway.counters();
        let kinds = ["pcp_map", "pcp_delete", "natpmp_map_udp", "soap_AddPortMapping"];
        seen.push((entries, kinds.map(|kind| counters.get(kind))));
    }
}

#[tokio::test]
async fn a_protocol_that_answers_too_late_leaves_nothing_behind() {
    let gateway = gateway();
    gateway.update_faults(|faults| {
        faults.pcp_delay_ms = 400;
        faults.nat_pmp = Mode::Silent;
    });
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap().protocol(), Some(Protocol::Upnp));
    mapper.stop(None).await;
    assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
}

#[tokio::test]
async fn a_chosen_external_port_is_granted() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let lease = mapper.map(UDP_4000.external_port(4100).exact()).unwrap();
        assert_eq!(lease.ready(LONG).await.unwrap().external().unwrap().port(), 4100, "{protocol}");
    }
}

#[tokio::test]
async fn a_taken_external_port_gives_another_one_or_where_exact_a_refusal() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let other = "127.0.0.9:4000".parse().unwrap();
        gateway.add_mapping(portlease_gateway::Transport::Udp, 4000, other, None).unwrap();
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let granted = mapper.map(UDP_4000).unwrap().ready(LONG).await.unwrap();
        assert_ne!(granted.external().unwrap().port(), 4000, "{protocol}");
        let exact = mapper.map(MapRequest::new(4001, Transport::Udp).external_port(4000).exact()).unwrap();
        assert_eq!(exact.ready(LONG).await.unwrap_err().kind(), ErrorKind::Refused, "{protocol}");
    }
}

#[tokio::test]
async fn a_second_lease_on_the_same_port_is_invalid_until_the_first_is_over() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    let error = mapper.map(UDP_4000.external_port(5000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().starts_with("internal_port: udp port 4000 has a lease of this mapper already"),
        "{error}"
    );
    let tcp = mapper.map(MapRequest::new(4000, Transport::Tcp)).unwrap();
    tcp.ready(LONG).await.unwrap();
    first.stop(None).await;
    mapper.map(UDP_4000).unwrap().ready(LONG).await.unwrap();
}

#[tokio::test]
async fn two_leases_may_not_ask_for_the_same_external_port() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let _first = mapper.map(UDP_4000).unwrap();
    let error = mapper.map(MapRequest::new(4001, Transport::Udp).external_port(4000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().starts_with("external_port: udp port 4000 is asked for by"), "{error}");
}

#[tokio::test]
async fn a_port_can_be_mapped_again_as_soon_as_its_lease_was_dropped() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp_delay_ms = 100);
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    first.ready(LONG).await.unwrap();
    drop(first);
    let second = mapper.map(UDP_4000).unwrap();
    assert!(second.ready(LONG).await.unwrap().active);
    let counters = gateway.counters();
    assert_eq!(
        (counters.get("pcp_map"), counters.get("pcp_delete")),
        (2, 1),
        "the new one waits for the old to let go"
    );
    assert_eq!(gateway.mappings().len(), 1);
}

#[tokio::test]
async fn each_failed_attempt_is_raised_once_and_the_next_wait_is_for_the_next_attempt() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(2));
    let retry = RetryPolicy::backoff(Duration::from_millis(200), Duration::from_millis(200));
    gateway.update_faults(|faults| faults.error_lifetime = Some(0));
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(retry)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(lease.ready(Duration::from_millis(20)).await.unwrap_err().kind(), ErrorKind::Timeout);
    gateway.update_faults(|faults| faults.pcp = Mode::Normal);
    let mut outcome = lease.ready(LONG).await;
    if outcome.is_err() {
        outcome = lease.ready(LONG).await; // the attempt that was under way when the gateway gave in
    }
    assert!(outcome.unwrap().active);
}

#[tokio::test]
async fn an_answer_that_came_too_late_does_not_lock_the_port() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp_delay_ms = 1500);
    let retry = RetryPolicy::backoff(Duration::from_millis(100), Duration::from_millis(100));
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(retry)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(gateway.wait_for(LONG, |state| !state.mappings.is_empty()), "the gateway has made the mapping");
    gateway.update_faults(|faults| faults.pcp_delay_ms = 0);
    loop {
        match lease.ready(LONG).await {
            Ok(snapshot) => break assert!(snapshot.active),
            Err(error) => assert_ne!(error.kind(), ErrorKind::Refused, "its own nonce must be accepted: {error}"),
        }
    }
    mapper.stop(None).await;
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn many_leases_without_a_gateway_all_fail_within_two_seconds() {
    let gateway = gateway();
    gateway.update_faults(|faults| {
        (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
    });
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let asked = Instant::now();
    let leases: Vec<_> = (0..8).map(|n| mapper.map(MapRequest::new(4000 + n, Transport::Udp)).unwrap()).collect();
    for lease in &leases {
        assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(asked.elapsed() < Duration::from_millis(2500), "one search serves all: {:?}", asked.elapsed());
}

#[tokio::test]
async fn stop_waits_for_every_release_however_many_queue_at_a_slow_gateway() {
    let gateway = gateway_with(|config| config.igd_version = 1);
    gateway.update_faults(|faults| {
        faults.http_delay_ms = 30;
        faults.nonzero_lease_error = Some(725);
    });
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let leases: Vec<_> = (0..80).map(|n| mapper.map(MapRequest::new(21_000 + n, Transport::Udp)).unwrap()).collect();
    for lease in &leases {
        lease.ready(3 * LONG).await.unwrap();
    }
    assert_eq!(mapper.stop(3 * LONG).await, Release::Released);
    assert!(gateway.mappings().is_empty(), "{} left", gateway.mappings().len());
}

#[tokio::test]
async fn a_wait_for_events_ends_as_stopped_when_another_stops_the_mapper() {
    let gateway = gateway();
    let mapper = Arc::new(Mapper::start(config(&gateway)).unwrap());
    for limit in [Some(LONG), None] {
        let mapper = Arc::new(Mapper::start(config(&gateway)).unwrap());
        let waiting = tokio::spawn({
            let mapper = Arc::clone(&mapper);
            async move { mapper.next_event(limit).await.unwrap_err().kind() }
        });
        tokio::task::yield_now().await;
        assert_eq!(mapper.stop(None).await, Release::Released);
        assert_eq!(waiting.await.unwrap(), ErrorKind::Stopped, "{limit:?}");
    }
    // A stop that is given up goes on, and ends the waits all the same.
    drop(tokio::time::timeout(Duration::ZERO, mapper.stop(None)).await);
    assert_eq!(mapper.next_event(None).await.unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test]
async fn bad_requests_are_invalid_and_named() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let error = mapper.map(MapRequest::new(0, Transport::Udp)).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().starts_with("internal_port: must be"), "{error}");
    let error = Mapper::start(Config::default().ttl(Duration::ZERO)).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().starts_with("ttl: must be between"), "{error}");
}

#[tokio::test]
async fn ready_can_time_out_and_succeed_later() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp_delay_ms = 400);
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(lease.ready(Duration::from_millis(50)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(lease.ready(LONG).await.unwrap().active);
}

#[tokio::test]
async fn a_silent_gateway_is_reported_within_two_seconds_and_mapped_once_it_answers() {
    let gateway = gateway();
    gateway.update_faults(|faults| {
        (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
    });
    let retry = RetryPolicy::backoff(Duration::from_millis(100), Duration::from_millis(100));
    let mapper = Mapper::start(config(&gateway).retry(retry)).unwrap();
    let asked = Instant::now();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(asked.elapsed() < Duration::from_secs(2), "the bound of the promise: {:?}", asked.elapsed());
    assert_eq!(mapper.next_event(LONG).await.unwrap().kind, EventKind::Failed);
    gateway.update_faults(|faults| faults.pcp = Mode::Normal);
    loop {
        let event = mapper.next_event(LONG).await.unwrap();
        if event.kind == EventKind::Installed {
            break;
        }
    }
    assert!(lease.ready(LONG).await.unwrap().active);
}

#[tokio::test]
async fn a_refusal_has_its_kind_and_names_protocol_and_code() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(2));
    let config = config_for(&gateway, Protocol::Pcp).retry(RetryPolicy::Never);
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    let error = lease.ready(LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("pcp NOT_AUTHORIZED"), "{error}");
    let kinds = [mapper.next_event(LONG).await.unwrap().kind, mapper.next_event(LONG).await.unwrap().kind];
    assert_eq!(kinds, [EventKind::Failed, EventKind::Exited]);
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Refused, "and still says why it is over");
}

#[tokio::test]
async fn a_short_lease_is_renewed_in_time_and_counted_by_each_protocol() {
    let mut side_by_side = tokio::task::JoinSet::new();
    for protocol in Protocol::ALL {
        side_by_side.spawn(async move {
            let gateway = gateway();
            let config = config_for(&gateway, protocol).ttl(Duration::from_secs(2));
            let mapper = Mapper::start(config).unwrap();
            let lease = mapper.map(UDP_4000).unwrap();
            let mut kinds = Vec::new();
            for _ in 0..4 {
                kinds.push(mapper.next_event(LONG).await.unwrap().kind);
            }
            assert_eq!(kinds, [EventKind::Installed, EventKind::Renewed, EventKind::Renewed, EventKind::Renewed]);
            let snapshot = lease.snapshot();
            assert_eq!((snapshot.renewals, snapshot.active, gateway.mappings().len()), (3, true, 1), "{protocol}");
            lease.stop(None).await;
            assert!(gateway.mappings().is_empty(), "{protocol}");
        });
    }
    side_by_side.join_all().await;
}

#[tokio::test]
async fn a_moved_external_address_is_published_as_changed() {
    let gateway = gateway();
    let config = config_for(&gateway, Protocol::NatPmp).ttl(Duration::from_secs(2));
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    gateway.set_external_address(Some(Ipv4Addr::new(192, 0, 1, 7)));
    assert_eq!(mapper.next_event(LONG).await.unwrap().kind, EventKind::Installed);
    let changed = mapper.next_event(LONG).await.unwrap();
    assert_eq!((changed.kind, changed.external), (EventKind::Changed, Some("192.0.1.7:4000".parse().unwrap())));
    assert_eq!(lease.snapshot().external(), changed.external);
}

#[tokio::test]
async fn a_mapping_behind_carrier_grade_nat_is_made_and_says_so() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        gateway.update_faults(|faults| faults.cgnat = true);
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let snapshot = mapper.map(UDP_4000).unwrap().ready(LONG).await.unwrap();
        assert_eq!((snapshot.active, snapshot.address_class), (true, AddressClass::Cgnat), "{protocol}");
    }
}

#[tokio::test]
async fn a_permanent_mapping_is_deleted_at_stop() {
    let gateway = gateway_with(|config| config.igd_version = 1);
    gateway.update_faults(|faults| faults.nonzero_lease_error = Some(725));
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    let snapshot = lease.ready(LONG).await.unwrap();
    assert!(snapshot.permanent && snapshot.lifetime.is_none() && snapshot.expires_in.is_none());
    mapper.stop(None).await;
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn stopping_is_bounded_when_the_gateway_is_dead_and_may_be_repeated() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| {
        (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
    });
    let asked = Instant::now();
    lease.stop(Duration::from_millis(50)).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "the caller's own bound: {:?}", asked.elapsed());
    mapper.stop(None).await;
    mapper.stop(None).await;
    lease.stop(None).await;
    let snapshot = lease.snapshot();
    assert_eq!((snapshot.state, snapshot.active, mapper.snapshot().stopped), (LeaseState::Exited, false, true));
}

#[tokio::test]
async fn a_stopped_mapper_answers_stopped_after_its_last_event() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    mapper.stop(None).await;
    assert_eq!(mapper.map(UDP_4000).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(mapper.probe().await.unwrap_err().kind(), ErrorKind::Stopped);
    let kinds = [mapper.next_event(LONG).await.unwrap().kind, mapper.next_event(LONG).await.unwrap().kind];
    assert_eq!(kinds, [EventKind::Installed, EventKind::Exited]);
    assert_eq!(mapper.next_event(LONG).await.unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test]
async fn next_event_times_out_on_an_idle_mapper() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let error = mapper.next_event(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn one_mapper_serves_many_leases() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let leases: Vec<_> = (0..200)
        .map(|n| mapper.map(MapRequest::new(20_000 + n, Transport::ALL[usize::from(n) % 2])).unwrap())
        .collect();
    for lease in &leases {
        lease.ready(LONG).await.unwrap();
    }
    let snapshot = mapper.snapshot();
    assert_eq!((snapshot.active, snapshot.leases.len(), gateway.mappings().len()), (200, 200, 200));
    assert_eq!(snapshot.protocols, [Protocol::Pcp]);
    mapper.stop(LONG).await;
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn dropping_a_lease_releases_it_in_the_background() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    drop(lease);
    assert!(gateway.wait_for(LONG, |state| state.mappings.is_empty()));
}

#[tokio::test]
async fn dropping_every_handle_releases_everything_in_the_background() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let leases = [mapper.map(UDP_4000).unwrap(), mapper.map(MapRequest::new(4000, Transport::Tcp)).unwrap()];
    for lease in &leases {
        lease.ready(LONG).await.unwrap();
    }
    drop(mapper);
    assert_eq!(gateway.mappings().len(), 2, "a lease keeps its engine alive");
    drop(leases);
    assert!(gateway.wait_for(LONG, |state| state.mappings.is_empty()));
}

#[tokio::test]
async fn a_detached_lease_leaves_its_mapping() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    lease.detach().await;
    mapper.stop(None).await;
    assert_eq!(gateway.mappings().len(), 1);
}

#[tokio::test]
async fn a_probe_maps_nothing_and_tells_the_external_address() {
    let gateway = gateway();
    let asked = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];
    let mapper = Mapper::start(config(&gateway).protocols(asked)).unwrap();
    let report = mapper.probe().await.unwrap();
    assert_eq!(report.gateway, Some(gateway.address().into()));
    let offers: Vec<_> = report.protocols.iter().map(|r| (r.protocol, r.outcome.as_ref().unwrap())).collect();
    assert_eq!(offers.iter().map(|(protocol, _)| *protocol).collect::<Vec<_>>(), asked);
    let addresses: Vec<_> = offers.iter().map(|(_, offer)| offer.external_address).collect();
    let external = Some(Ipv4Addr::new(192, 0, 1, 1).into());
    assert_eq!(addresses, [None, external, external]);
    assert!(offers[2].1.device.is_some());
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_probe_of_a_gateway_that_offers_nothing_is_unavailable_and_a_report_says_why() {
    let gateway = gateway();
    gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Off, Mode::Off, Mode::Off));
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let error = mapper.probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let report = mapper.report().await.unwrap();
    assert!(report.protocols.iter().all(|report| report.outcome.is_err()));
    assert_eq!(report.protocols.len(), Protocol::ALL.len());
}

#[test]
fn without_any_runtime_the_calling_thread_can_wait() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert!(wait(lease.ready(LONG)).unwrap().active);
    let mut pending = std::pin::pin!(async {
        loop {
            if mapper.next_event(None).await.unwrap().kind == EventKind::Exited {
                return;
            }
        }
    });
    assert!(portlease::wait_for(pending.as_mut(), Duration::from_millis(20)).is_none(), "nothing ends the lease yet");
    wait(mapper.stop(None));
    assert!(portlease::wait_for(pending.as_mut(), LONG).is_some());
}

#[test]
fn eight_threads_may_stop_at_once() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    wait(lease.ready(LONG)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| wait(mapper.stop(None)));
        }
    });
    assert!(gateway.mappings().is_empty());
}

/// A client with a defect.
#[derive(Debug)]
struct Panicking;

#[async_trait]
impl PortMapperClient for Panicking {
    async fn probe(&self) -> Result<(), PortMappingError> {
        panic!("a defect in the client")
    }

    async fn install(&self, _: &MapRequest, _: Duration) -> Result<PortMapping, PortMappingError> {
        Err(PortMappingError::unavailable("never asked"))
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        Ok(mapping.clone())
    }

    async fn remove(&self, _: &PortMapping) -> Result<(), PortMappingError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_in_the_engine_ends_the_lease_as_internal_and_leaves_the_host_alone() {
    let mapper = Mapper::start_with(Arc::new(Panicking), Timing::from(&Config::default())).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Internal);
    let event = mapper.next_event(LONG).await.unwrap();
    assert_eq!((event.kind, event.error.as_ref().unwrap().kind), (EventKind::Exited, ErrorKind::Internal));
    assert_eq!(lease.snapshot().last_error.unwrap().kind, ErrorKind::Internal);
    mapper.stop(None).await;
}

/// A client with a defect in what it does while nobody asks.
struct PanickingAside;

#[async_trait]
impl PortMapperClient for PanickingAside {
    async fn probe(&self) -> Result<(), PortMappingError> {
        Ok(())
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        Ok(PortMapping::new(request.clone(), ([203, 0, 113, 7], 4000), ttl, Protocol::None))
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        Ok(mapping.clone())
    }

    async fn remove(&self, _: &PortMapping) -> Result<(), PortMappingError> {
        Ok(())
    }

    async fn attend(&self) {
        panic!("a defect in the client")
    }
}

#[tokio::test]
async fn a_panic_in_what_the_client_does_aside_is_a_warning_and_the_leases_live_on() {
    let mapper = Mapper::start_with(Arc::new(PanickingAside), Timing::from(&Config::default())).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    let warning = loop {
        let event = mapper.next_event(LONG).await.unwrap();
        if event.lease.is_none() {
            break event;
        }
    };
    assert_eq!((warning.kind, warning.error.unwrap().kind), (EventKind::Failed, ErrorKind::Internal));
    assert_eq!(mapper.snapshot().last_error.unwrap().kind, ErrorKind::Internal);
    assert!(lease.snapshot().active);
    mapper.stop(None).await;
}

#[cfg(target_os = "linux")]
#[test]
fn starting_and_stopping_leaves_no_thread_and_no_file_descriptor_behind() {
    let count = |folder| std::fs::read_dir(folder).unwrap().count();
    let gateway = gateway();
    let cycle = || {
        let mapper = Mapper::start(config(&gateway)).unwrap();
        let lease = mapper.map(UDP_4000).unwrap();
        wait(lease.ready(LONG)).unwrap();
        wait(mapper.stop(None));
    };
    cycle();
    let before = (count("/proc/self/task"), count("/proc/self/fd"));
    for _ in 0..50 {
        cycle();
    }
    let after = (count("/proc/self/task"), count("/proc/self/fd"));
    // Other tests of this file come and go at the same time; fifty cycles would leave far more than they have.
    assert!(after.0 < before.0 + 25 && after.1 < before.1 + 100, "{before:?} -> {after:?}");
}
