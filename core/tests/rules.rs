//! Rules about real routers that only show from end to end: what goes over the wire first, from which address,
//! and what is left of it. Each test would fail if its rule were broken.

mod common;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{LONG, UdpApp, config, config_for, gateway, gateway_with};
use portlease::client::{PcpMapper, PortMapperClient, UpnpConfig, UpnpMapper};
use portlease::{ErrorKind, EventKind, MapRequest, Mapper, Protocol, Release, RetryPolicy, Transport};
use portlease_gateway::{Faults, Gateway, Mode, Transport as Wire};
use tokio::task::JoinSet;

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);
const HOUR: Duration = Duration::from_secs(3600);
/// Well below every protocol's deadline: what comes within this has waited for no other protocol's silence.
const AT_ONCE: Duration = Duration::from_millis(700);

fn upnp_mapper(ssdp_address: SocketAddr, description: &str) -> UpnpMapper {
    UpnpMapper::new(UpnpConfig::new(Ipv4Addr::LOCALHOST).ssdp_address(ssdp_address).description(description))
}

#[tokio::test]
async fn a_real_map_request_an_address_request_and_a_search_go_out_at_once() {
    let gateway = gateway();
    gateway.update_faults(|faults| {
        (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
    });
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let _lease = mapper.map(UDP_4000).unwrap();
    assert!(
        gateway.wait_for(AT_ONCE, |state| {
            let heard = |kind| state.counters.get(kind);
            heard("pcp_map") > 0 && heard("natpmp_address") > 0 && heard("ssdp_search") >= 6
        }),
        "{:?}",
        gateway.counters()
    );
    let counters = gateway.counters();
    // No question comes before the real request, and NAT-PMP asks for nothing that would have to be taken back.
    assert_eq!((counters.get("pcp_announce"), counters.get("natpmp_map_udp")), (0, 0));
}

#[tokio::test]
async fn silence_to_pcp_does_not_mean_that_nat_pmp_is_absent() {
    let gateway = gateway_with(|config| config.upnp = false);
    gateway.update_faults(|faults| faults.pcp = Mode::Silent);
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let asked = Instant::now();
    let snapshot = mapper.map(UDP_4000).unwrap().ready(LONG).await.unwrap();
    assert_eq!(snapshot.protocol(), Some(Protocol::NatPmp));
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn two_refusals_leave_the_third_protocol_in_the_race() {
    let gateway = gateway();
    gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (Mode::Refuse(2), Mode::Refuse(2)));
    let mapper = Mapper::start(config(&gateway)).unwrap();
    assert_eq!(mapper.map(UDP_4000).unwrap().ready(LONG).await.unwrap().protocol(), Some(Protocol::Upnp));
}

#[tokio::test]
async fn a_late_grant_of_the_winners_own_port_is_taken_over_and_not_deleted() {
    let gateway = gateway();
    gateway.update_faults(|faults| {
        faults.pcp_delay_ms = 600;
        faults.nat_pmp = Mode::Silent;
    });
    let app = UdpApp::start();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(MapRequest::new(app.port(), Transport::Udp)).unwrap();
    let snapshot = lease.ready(LONG).await.unwrap();
    assert_eq!((snapshot.protocol(), snapshot.external().unwrap().port()), (Some(Protocol::Upnp), app.port()));
    // UPnP found the entry that PCP had made. PCP's answer is here when UPnP takes it over.
    assert!(gateway.wait_for(LONG, |state| state.counters.get("soap_AddPortMapping") == 1));
    let table = gateway.mappings();
    assert_eq!((table.len(), gateway.counters().get("pcp_delete")), (1, 0), "{table:?}");
    assert!(app.answers_through(table[0].reach));
    mapper.stop(None).await;
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_decided_protocol_is_asked_alone_and_when_it_fails_the_others_race_again() {
    let gateway = gateway();
    // PCP wins the first race, however slow this machine is.
    gateway.update_faults(|faults| faults.nat_pmp = Mode::Silent);
    let mapper = Mapper::start(config(&gateway).protocols([Protocol::Pcp, Protocol::NatPmp])).unwrap();
    let map = async |port, protocol| {
        let lease = mapper.map(MapRequest::new(port, Transport::Udp)).unwrap();
        assert_eq!(lease.ready(LONG).await.unwrap().protocol(), Some(protocol));
        lease
    };
    let _first = map(4000, Protocol::Pcp).await;
    // The gateway reads datagrams in order: behind this lease it has read every question of the first race.
    let _second = map(4001, Protocol::Pcp).await;
    gateway.update_faults(|faults| faults.nat_pmp = Mode::Normal);
    let before = gateway.counters();
    let _third = map(4002, Protocol::Pcp).await;
    let asked = |kind: &str| gateway.counters().get(kind) - before.get(kind);
    assert_eq!((asked("pcp_map"), asked("natpmp_address")), (1, 0));

    gateway.update_faults(|faults| faults.pcp = Mode::Silent);
    let _fourth = map(4003, Protocol::NatPmp).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_configured_local_address_is_the_client_of_every_protocol() {
    // PCP's client address must be where the packet comes from, or the gateway answers ADDRESS_MISMATCH; UPnP's
    // InternalClient likewise, or it answers 718.
    let ours = std::net::IpAddr::from([127, 0, 0, 3]);
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let config = config_for(&gateway, protocol).local_address(ours);
        let mapper = Mapper::start(config).unwrap();
        let lease = mapper.map(UDP_4000).unwrap();
        lease.ready(LONG).await.unwrap_or_else(|error| panic!("{protocol}: {error}"));
        assert_eq!(gateway.mappings()[0].internal, SocketAddr::new(ours, 4000), "{protocol}");
        lease.stop(None).await;
        assert!(gateway.mappings().is_empty(), "{protocol}");
    }
}

#[tokio::test]
async fn pcp_spreads_its_retransmissions() {
    let gateway = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    gateway.set_read_timeout(Some(LONG)).unwrap();
    let mapper = Arc::new(PcpMapper::new(gateway.local_addr().unwrap(), None));
    let mut installs = JoinSet::new();
    const CLIENTS: usize = 8;
    for port in 0..CLIENTS as u16 {
        let mapper = Arc::clone(&mapper);
        installs.spawn(async move { mapper.install(&MapRequest::new(4000 + port, Transport::Udp), HOUR).await });
    }
    let gaps = tokio::task::spawn_blocking(move || {
        let mut first = std::collections::HashMap::new();
        let mut gaps = Vec::new();
        while gaps.len() < CLIENTS {
            let (_, from) = gateway.recv_from(&mut [0; 64]).unwrap();
            match first.get(&from) {
                None => drop(first.insert(from, Some(Instant::now()))),
                Some(Some(sent)) => {
                    gaps.push(sent.elapsed());
                    first.insert(from, None);
                }
                Some(None) => {}
            }
        }
        gaps
    });
    let gaps = gaps.await.unwrap();
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    // 250 ms, up or down by 10 %: eight draws that all fall into 8 of the 50 ms come once in a hundred thousand runs.
    assert!(*most - *least > Duration::from_millis(8), "{gaps:?}");
    assert!(*least < Duration::from_millis(350), "{gaps:?}");
}

#[tokio::test]
async fn a_refusal_that_says_how_long_it_holds_is_the_earliest_retry() {
    let gateway = gateway();
    gateway.update_faults(|faults| (faults.pcp, faults.error_lifetime) = (Mode::Refuse(8), Some(3)));
    let retry = RetryPolicy::backoff(Duration::from_millis(100), Duration::from_millis(100));
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(retry)).unwrap();
    let asked = Instant::now();
    let _lease = mapper.map(UDP_4000).unwrap();
    assert!(gateway.wait_for(LONG, |state| state.counters.get("pcp_map") == 2));
    assert!(asked.elapsed() >= Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn another_external_port_survives_renewals_and_the_internal_port_does_too() {
    let mut side_by_side = JoinSet::new();
    for protocol in Protocol::ALL {
        side_by_side.spawn(async move {
            let gateway = gateway();
            let app = UdpApp::start();
            let external_port = if app.port() == 4711 { 4712 } else { 4711 };
            let config = config_for(&gateway, protocol).ttl(Duration::from_secs(2));
            let mapper = Mapper::start(config).unwrap();
            let lease = mapper.map(MapRequest::new(app.port(), Transport::Udp).external_port(external_port)).unwrap();
            for kind in [EventKind::Installed, EventKind::Renewed, EventKind::Renewed] {
                assert_eq!(mapper.next_event(LONG).await.unwrap().kind, kind, "{protocol}");
            }
            let table = gateway.mappings();
            assert_eq!(table.len(), 1, "{protocol}: {table:?}");
            assert_eq!((table[0].external_port, table[0].internal.port()), (external_port, app.port()), "{protocol}");
            assert_eq!(lease.snapshot().external().unwrap().port(), external_port, "{protocol}");
            assert!(app.answers_through(table[0].reach), "{protocol}");
        });
    }
    side_by_side.join_all().await;
}

#[tokio::test]
async fn after_stop_nothing_is_sent_any_more() {
    let gateway = gateway();
    let config = config(&gateway).ttl(Duration::from_secs(1));
    let mapper = Mapper::start(config).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    lease.stop(None).await;
    let then = gateway.counters();
    // Three renewals would have come by now.
    assert!(!gateway.wait_for(Duration::from_millis(1500), |state| state.counters != then), "{:?}", gateway.counters());
}

#[tokio::test]
async fn a_gateway_that_is_slow_to_release_one_lease_holds_up_nothing_else() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let slow = mapper.map(UDP_4000).unwrap();
    slow.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| faults.pcp = Mode::Silent);
    let began = Instant::now();
    let stopping = slow.stop(LONG);
    let others = async {
        assert!(gateway.wait_for(LONG, |state| state.counters.get("pcp_delete") > 0));
        let other = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap();
        assert_eq!(mapper.snapshot().leases.len(), 2);
        assert!(gateway.wait_for(LONG, |state| state.counters.get("pcp_map") == 2), "the new lease's request is out");
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        gateway.update_faults(|faults| faults.pcp = Mode::Normal);
        other.ready(LONG).await.unwrap();
        other
    };
    let (_, other) = tokio::join!(stopping, others);
    assert!(other.snapshot().active);
}

#[tokio::test]
async fn actions_reach_a_device_one_after_another() {
    const DELAY: Duration = Duration::from_millis(50);
    const LEASES: u16 = 10;
    let gateway = gateway();
    let mapper = Arc::new(upnp_mapper(gateway.ssdp_address(), "queue"));
    mapper.search().await.unwrap();
    gateway.update_faults(|faults| faults.http_delay_ms = DELAY.as_millis() as u64);
    let asked = Instant::now();
    let mut installs = JoinSet::new();
    for port in 4000..4000 + LEASES {
        let mapper = Arc::clone(&mapper);
        installs.spawn(async move { mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap() });
    }
    installs.join_all().await;
    assert!(asked.elapsed() >= DELAY * LEASES.into(), "some went side by side: {:?}", asked.elapsed());
    assert_eq!(gateway.mappings().len(), usize::from(LEASES));
}

#[tokio::test]
async fn a_description_has_at_most_64_characters_and_no_control_characters() {
    let gateway = gateway();
    let mapper = upnp_mapper(gateway.ssdp_address(), &format!("a\u{7}<&>\n{}", "é".repeat(100)));
    mapper.install(&UDP_4000, HOUR).await.unwrap();
    assert_eq!(gateway.mappings()[0].description, format!("a<&>{}", "é".repeat(60)));
}

#[tokio::test]
async fn a_week_in_place_of_for_ever_is_begun_anew_by_every_check() {
    // IGD:2 turns lease 0 into 604800 s and does not say so.
    let gateway = gateway_with(|config| config.igd_version = 2);
    gateway.update_faults(|faults| faults.nonzero_lease_error = Some(725));
    let mapper = upnp_mapper(gateway.ssdp_address(), "week");
    let mapping = mapper.install(&UDP_4000, HOUR).await.unwrap();
    assert!(mapping.permanent());
    let adds = |gateway: &Gateway| gateway.counters().get("soap_AddPortMapping");
    let week = gateway.mappings()[0].expires_in.expect("IGD:2 has no permanent mappings");
    assert!(week > 86_400, "{week} s");
    let before = adds(&gateway);
    assert!(mapper.renew(&mapping).await.unwrap().permanent());
    assert_eq!((adds(&gateway), gateway.mappings().len()), (before + 1, 1));
}

#[tokio::test]
async fn a_flood_of_search_answers_ends_with_the_search() {
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mapper = upnp_mapper(peer.local_addr().unwrap(), "flood");
    peer.set_nonblocking(true).unwrap();
    let peer = tokio::net::UdpSocket::from_std(peer).unwrap();
    let flood = async {
        let (_, client) = peer.recv_from(&mut [0; 2048]).await.unwrap();
        for number in 0u64.. {
            let answer = match number % 3 {
                0 => vec![0xff; 4096],
                // Well made, and somewhere else.
                1 => format!("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: http://127.9.9.9:9/{number}\r\n\r\n")
                    .into(),
                // Well made, and nobody listens there.
                _ => format!("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nLOCATION: http://127.0.0.1:9/{number}\r\n\r\n")
                    .into(),
            };
            // The client's socket is closed when it has had enough.
            let _ = peer.send_to(&answer, client).await;
            tokio::task::yield_now().await;
        }
    };
    let asked = Instant::now();
    let error = tokio::select! {
        found = mapper.search() => found.unwrap_err(),
        () = flood => unreachable!(),
    };
    assert!(asked.elapsed() < Duration::from_millis(2400), "{:?}", asked.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crowd_of_hosts_that_answer_a_search_is_not_fetched_from_as_a_whole() {
    let searched = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mapper = upnp_mapper(searched.local_addr().unwrap(), "crowd");
    let hosts: Vec<_> = (1..=60).map(|last| Ipv4Addr::new(127, 0, 77, last)).collect();
    let listeners: Vec<_> = hosts.iter().map(|host| std::net::TcpListener::bind((*host, 0)).unwrap()).collect();
    let crowd = async {
        // The first datagram comes from a socket that watches for a refusal, and hears the searched address alone.
        searched.recv_from(&mut [0; 2048]).await.unwrap();
        let (_, client) = searched.recv_from(&mut [0; 2048]).await.unwrap();
        for (host, listener) in hosts.iter().zip(&listeners) {
            let location = listener.local_addr().unwrap();
            let st = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
            let answer = format!("HTTP/1.1 200 OK\r\nST: {st}\r\nLOCATION: http://{location}/\r\n\r\n");
            UdpSocket::bind((*host, 0)).unwrap().send_to(answer.as_bytes(), client).unwrap();
        }
        std::future::pending::<()>().await;
    };
    let asked = Instant::now();
    let error = tokio::select! {
        found = mapper.search() => found.unwrap_err(),
        () = crowd => unreachable!(),
    };
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let asked = listeners.iter().filter(|listener| {
        listener.set_nonblocking(true).unwrap();
        listener.accept().is_ok()
    });
    assert_eq!(asked.count(), 16);
}

fn soon() -> RetryPolicy {
    RetryPolicy::backoff(Duration::from_millis(100), Duration::from_millis(100))
}

fn all(mode: Mode) -> impl FnOnce(&mut Faults) {
    move |faults| (faults.pcp, faults.nat_pmp, faults.upnp) = (mode, mode, mode)
}

async fn until(mapper: &Mapper, kind: EventKind) {
    while mapper.next_event(LONG).await.expect("an event").kind != kind {}
}

#[tokio::test]
async fn a_later_lease_too_is_told_within_two_seconds_that_nothing_answers() {
    for first_protocol in Protocol::ALL {
        let gateway = gateway();
        let mut protocols = vec![first_protocol];
        protocols.extend(Protocol::ALL.into_iter().filter(|other| *other != first_protocol));
        // One protocol alone answers, so that no late grant of another keeps the router busy behind the first lease.
        let mode = |protocol| if protocol == first_protocol { Mode::Normal } else { Mode::Silent };
        gateway.update_faults(|faults| {
            (faults.pcp, faults.nat_pmp, faults.upnp) =
                (mode(Protocol::Pcp), mode(Protocol::NatPmp), mode(Protocol::Upnp));
        });
        let mapper = Mapper::start(config(&gateway).protocols(protocols)).unwrap();
        let first = mapper.map(UDP_4000).unwrap();
        assert_eq!(first.ready(LONG).await.unwrap().protocol(), Some(first_protocol));
        gateway.update_faults(all(Mode::Silent));
        let asked = Instant::now();
        let later = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap();
        later.ready(LONG).await.unwrap_err();
        assert!(asked.elapsed() < Duration::from_secs(2), "{first_protocol}: {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_mapper_whose_probe_saw_pcp_dropped_maps_without_asking_for_it_again() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp = Mode::Silent);
    let mapper = Mapper::start(config(&gateway)).unwrap();
    mapper.probe().await.unwrap();
    let before = gateway.counters();
    let snapshot = mapper.map(UDP_4000).unwrap().ready(LONG).await.unwrap();
    assert_eq!(snapshot.protocol(), Some(Protocol::NatPmp));
    let asked = |kind| gateway.counters().get(kind) - before.get(kind);
    assert_eq!((asked("pcp_map"), asked("ssdp_search"), asked("natpmp_map_udp")), (0, 0, 1));
}

#[tokio::test]
async fn a_lost_mapping_is_asked_for_again_at_its_own_external_port() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        gateway.add_mapping(Wire::Udp, 4000, "127.0.0.9:4000".parse().unwrap(), None).unwrap();
        let config = config_for(&gateway, protocol).retry(soon()).failure_threshold(1).ttl(Duration::from_secs(3));
        let mapper = Mapper::start(config).unwrap();
        let lease = mapper.map(UDP_4000).unwrap();
        let granted = lease.ready(LONG).await.unwrap().external();
        gateway.update_faults(all(Mode::Silent));
        until(&mapper, EventKind::Revoked).await;
        gateway.remove_mapping(Wire::Udp, 4000);
        gateway.update_faults(all(Mode::Normal));
        until(&mapper, EventKind::Installed).await;
        assert_eq!(lease.snapshot().external(), granted, "{protocol}");
    }
}

#[tokio::test]
async fn a_probe_ends_when_every_protocol_has_answered_or_was_refused() {
    let gateway = gateway_with(|config| config.upnp = false);
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let asked = Instant::now();
    let report = mapper.probe().await.unwrap();
    assert_eq!(report.protocols.iter().filter(|report| report.outcome.is_ok()).count(), 2);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_grant_of_the_decided_protocol_whose_answer_was_lost_is_put_right_when_another_protocol_wins() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway).protocols([Protocol::Pcp, Protocol::NatPmp])).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    first.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| faults.pcp_lose_answers = 1000);
    let app = UdpApp::start();
    let lease = mapper.map(MapRequest::new(app.port(), Transport::Udp)).unwrap();
    assert_eq!(lease.ready(LONG).await.unwrap().protocol(), Some(Protocol::NatPmp));
    // The delete hits the entry that both protocols share, and the renewal behind it brings it back.
    assert!(gateway.wait_for(LONG, |state| state.counters.get("pcp_delete") > 0), "{:?}", gateway.counters());
    gateway.update_faults(|faults| faults.pcp_lose_answers = 0);
    let renewed =
        gateway.wait_for(LONG, |state| state.counters.get("natpmp_map_udp") >= 2 && state.mappings.len() == 2);
    assert!(renewed, "{:?}", gateway.counters());
    let table = gateway.mappings();
    let entry = table.iter().find(|entry| entry.internal.port() == app.port()).expect("the lease's entry");
    assert!(app.answers_through(entry.reach));
    assert_eq!(mapper.stop(LONG).await, Release::Released);
    assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
}
