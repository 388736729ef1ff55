use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::client::mock::MockPortMapperClient;
use crate::error::ErrorKind;
use crate::mapping::{Protocol, Transport};

const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const HOUR: Duration = Duration::from_secs(3600);

fn sink() -> (MappingSink, Arc<EventLog>) {
    let events = Arc::new(EventLog::default());
    (MappingSink::new(1, REQUEST, Arc::clone(&events)), events)
}

fn mapping(last: u8, port: u16) -> PortMapping {
    MockPortMapperClient::mapping(REQUEST, (Ipv4Addr::new(192, 0, 1, last), port), HOUR)
}

fn install(sink: &MappingSink, mapping: &PortMapping) {
    let now = sink.clock().now();
    sink.installed(mapping, now, now.after(HOUR / 2));
}

#[tokio::test]
async fn revoking_twice_is_the_same_as_once() {
    let (sink, events) = sink();
    install(&sink, &mapping(1, 4000));
    let error = PortMappingError::timeout("no answer");
    sink.revoked(&error);
    let once = format!("{:?}", sink.snapshot());
    sink.revoked(&PortMappingError::internal("another"));
    assert_eq!(format!("{:?}", sink.snapshot()), once);
    events.close();
    let mut kinds = Vec::new();
    let reader = events.reader();
    while let Some(event) = reader.pull().await {
        kinds.push(event.take().kind);
    }
    assert_eq!(kinds, [EventKind::Installed, EventKind::Revoked]);
}

#[test]
fn exiting_twice_keeps_the_first_reason() {
    let (sink, _) = sink();
    sink.exited(&PortMappingError::refused("no"));
    sink.exited(&PortMappingError::internal("later"));
    sink.stopped(None);
    assert_eq!(sink.snapshot().last_error.unwrap().kind, ErrorKind::Refused);
}

#[test]
fn how_the_gateway_was_left_is_no_other_state_of_a_lease_that_is_over() {
    let (sink, _) = sink();
    sink.stopping(&PortMappingError::timeout("no answer"));
    let over = sink.snapshot().revision;
    sink.stopped(None);
    assert_eq!((sink.snapshot().revision, sink.release()), (over, Release::Released));
}

#[test]
fn a_mapping_that_moved_to_another_protocol_is_published_anew() {
    let (sink, _) = sink();
    install(&sink, &mapping(1, 4000));
    let moved = PortMapping { protocol: Protocol::Upnp, ..mapping(1, 4000) };
    let now = sink.clock().now();
    sink.renewed(&moved, now, now.after(HOUR));
    assert_eq!(sink.snapshot().protocol(), Some(Protocol::Upnp));
}

#[test]
fn readiness_follows_the_latest_attempt() {
    let (sink, _) = sink();
    assert!(matches!(sink.readiness(), Readiness::Pending));
    sink.probing();
    assert!(matches!(sink.readiness(), Readiness::Pending));
    sink.failed(&PortMappingError::unavailable("nothing"), sink.clock().now());
    assert!(matches!(sink.readiness(), Readiness::Failed(error, 1) if error.kind() == ErrorKind::Unavailable));
    install(&sink, &mapping(1, 4000));
    assert!(matches!(sink.readiness(), Readiness::Ready));
    sink.revoked(&PortMappingError::timeout("no answer"));
    assert!(matches!(sink.readiness(), Readiness::Pending), "a revoked lease is being mapped again");
    sink.stopped(Some(&PortMappingError::timeout("the gateway did not answer the delete")));
    assert!(matches!(sink.readiness(), Readiness::Exited(None)), "a stop is no failure of the lease");
    assert_eq!(sink.snapshot().last_error.unwrap().kind, ErrorKind::Timeout);
}

/// Each publication carries the same number in its address, its port and its counter; a torn read would mix them.
#[test]
fn a_reader_racing_with_publications_never_sees_a_torn_state() {
    let (sink, events) = sink();
    events.close();
    install(&sink, &mapping(0, 1));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0u64;
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let snapshot = sink.snapshot();
                        if let Some(external) = snapshot.external() {
                            let std::net::IpAddr::V4(address) = external.ip() else { panic!("an IPv4 address") };
                            let number = snapshot.renewals;
                            assert_eq!(u64::from(address.octets()[3]), number % 256, "{snapshot:?}");
                            assert_eq!(u64::from(external.port()), number % 60_000 + 1, "{snapshot:?}");
                            assert!(
                                snapshot.active
                                    && snapshot.lifetime.is_some()
                                    && snapshot.state == LeaseState::Installed
                            );
                        }
                        assert!(snapshot.renewals >= last, "publications are seen in their order");
                        last = snapshot.renewals;
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for number in 1..=50_000u64 {
            let now = sink.clock().now();
            sink.renewed(&mapping((number % 256) as u8, (number % 60_000 + 1) as u16), now, now.after(HOUR));
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}
