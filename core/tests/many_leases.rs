//! Many leases at once: what goes over the wire, and how soon they are told.

mod common;

use std::time::{Duration, Instant};

use common::{LONG, config, gateway};
use portlease::{ErrorKind, MapRequest, Mapper, Protocol, Release, Transport};
use portlease_gateway::{Counters, Faults, Mode};

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);

fn silent(faults: &mut Faults) {
    (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
}

/// Maps a hundred ports at once by `winner`, the only protocol that answers, and tells what the gateway was asked.
async fn hundred_leases(winner: Protocol) -> Counters {
    let gateway = gateway();
    let mode = |protocol| if protocol == winner { Mode::Normal } else { Mode::Silent };
    gateway.update_faults(|faults| {
        (faults.pcp, faults.nat_pmp, faults.upnp) = (mode(Protocol::Pcp), mode(Protocol::NatPmp), mode(Protocol::Upnp));
    });
    let mapper = Mapper::start(config(&gateway)).expect("the mapper starts");
    let map = |port| mapper.map(MapRequest::new(port, Transport::Udp)).expect("a good request");
    let leases: Vec<_> = (4000..4100).map(map).collect();
    for lease in &leases {
        let mapped = lease.ready(LONG).await.expect("mapped");
        assert_eq!(mapped.protocol(), Some(winner));
    }
    let counters = gateway.counters();
    mapper.stop(None).await;
    assert!(gateway.mappings().is_empty(), "{winner}");
    counters
}

/// Whether the protocols that do not answer were asked once for all: one request, and what is sent again until it is given up.
fn is_one_race(winner: Protocol, counters: &Counters) -> bool {
    let most = |protocol, kind, most| winner == protocol || counters.get(kind) <= most;
    most(Protocol::Pcp, "pcp_map", 4)
        && most(Protocol::NatPmp, "natpmp_map_udp", 0)
        && most(Protocol::NatPmp, "natpmp_address", 4)
        && most(Protocol::Upnp, "ssdp_search", 42)
}

/// A gateway that says nothing at all for 400 ms counts as silent, and one that shares a busy machine may do that: then the others
/// are asked too. So it must be seen once in a few times.
#[tokio::test]
async fn a_hundred_leases_at_once_are_one_race_and_one_request_each() {
    for winner in Protocol::ALL {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|counters| is_one_race(winner, counters)) {
            assert!(seen.len() < 5, "{winner}: {seen:?}");
            seen.push(hundred_leases(winner).await);
        }
    }
}

#[tokio::test]
async fn a_hundred_leases_at_once_are_told_within_two_seconds_that_nothing_answers() {
    let gateway = gateway();
    gateway.update_faults(silent);
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let asked = Instant::now();
    let leases: Vec<_> = (4000..4100).map(|port| mapper.map(MapRequest::new(port, Transport::Udp)).unwrap()).collect();
    for lease in &leases {
        assert_eq!(lease.ready(LONG).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn leases_that_come_when_the_decided_protocol_has_died_are_told_within_two_seconds() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    first.ready(LONG).await.unwrap();
    gateway.update_faults(silent);
    let asked = Instant::now();
    let leases: Vec<_> = (4001..4101).map(|port| mapper.map(MapRequest::new(port, Transport::Udp)).unwrap()).collect();
    for lease in &leases {
        assert!(lease.ready(LONG).await.is_err());
    }
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn the_releases_of_many_leases_at_a_silent_gateway_wait_side_by_side() {
    let gateway = gateway();
    gateway.update_faults(silent);
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let leases: Vec<_> = (4000..4200).map(|port| mapper.map(MapRequest::new(port, Transport::Udp)).unwrap()).collect();
    for lease in &leases {
        lease.ready(LONG).await.unwrap_err();
    }
    let stopped = Instant::now();
    assert_eq!(mapper.stop(LONG).await, Release::Released);
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
}
