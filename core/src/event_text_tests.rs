use std::net::Ipv4Addr;
use std::sync::Arc;

use super::*;
use crate::client::mock::MockPortMapperClient;
use crate::error::PortMappingError;
use crate::event_log::EventLog;
use crate::log::LogLevel::{self, Debug, Error, Info, Warn};
use crate::log::tests::told;
use crate::mapping::{PortMapping, Protocol, Transport};
use crate::sink::MappingSink;
use crate::snapshot::Release;

const HOUR: Duration = Duration::from_secs(3600);

fn sink() -> MappingSink {
    MappingSink::new(1, MapRequest::new(4000, Transport::Udp), Arc::<EventLog>::default())
}

fn mapping(last: u8) -> PortMapping {
    let external = (Ipv4Addr::new(192, 0, 1, last), 4000);
    let mapping = MockPortMapperClient::mapping(MapRequest::new(4000, Transport::Udp), external, HOUR);
    PortMapping { protocol: Protocol::NatPmp, ..mapping }
}

fn install(sink: &MappingSink, mapping: &PortMapping) {
    let now = sink.clock().now();
    sink.installed(mapping, now, now);
}

fn renew(sink: &MappingSink, mapping: &PortMapping) {
    let now = sink.clock().now();
    sink.renewed(mapping, now, now);
}

/// Fails unless `act` tells exactly these lines of port 4000; the time at their end is left out.
#[track_caller]
fn assert_tells(act: impl FnOnce(), expected: &[(LogLevel, &str)]) {
    let lines = told(Debug, act);
    let lines: Vec<_> = lines
        .iter()
        .map(|(level, line)| (*level, line.strip_prefix("4000/udp ").unwrap_or(line).split(" (").next().unwrap()))
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn each_event_of_a_lease_is_one_line_at_its_level() {
    let sink = sink();
    let installed = |last: u8| format!("installed: 192.0.1.{last}:4000 by nat-pmp for 3600 s");
    assert_tells(|| install(&sink, &mapping(1)), &[(Info, &installed(1))]);
    assert_tells(|| renew(&sink, &mapping(1)), &[(Debug, "renewed: 192.0.1.1:4000 by nat-pmp for 3600 s")]);
    assert_tells(
        || renew(&sink, &PortMapping { lifetime: None, ..mapping(2) }),
        &[(Info, "changed: 192.0.1.2:4000 by nat-pmp without an end, before 192.0.1.1:4000 by nat-pmp")],
    );
    assert_tells(
        || {
            sink.deleted();
            sink.repaired(&mapping(2), sink.clock().now(), sink.clock().now());
        },
        &[(Info, "repaired: 192.0.1.2:4000 by nat-pmp for 3600 s")],
    );
    let error = PortMappingError::refused("nat-pmp NOT_AUTHORIZED");
    assert_tells(
        || (0..2).for_each(|_| sink.revoked(&error)),
        &[(Info, "revoked: 192.0.1.2:4000 by nat-pmp: refused: nat-pmp NOT_AUTHORIZED")],
    );
    assert_tells(|| install(&sink, &mapping(3)), &[(Info, &installed(3))]);
    assert_tells(|| sink.stopped(None), &[(Debug, "exited"), (Info, "released: 192.0.1.3:4000 by nat-pmp")]);
}

#[test]
fn a_router_that_does_not_know_its_address_is_told_as_such() {
    let nowhere = PortMapping { external: (Ipv4Addr::UNSPECIFIED, 4000).into(), ..mapping(1) };
    assert_tells(
        || install(&sink(), &nowhere),
        &[(Info, "installed: port 4000 of an unknown address by nat-pmp for 3600 s")],
    );
}

#[test]
fn a_failure_is_a_warning_once_and_another_one_or_the_next_after_a_success_is_one_again() {
    let (silent, refused) = (PortMappingError::timeout("no answer"), PortMappingError::refused("table full"));
    let sink = sink();
    let now = sink.clock().now();
    assert_tells(
        || {
            (0..3).for_each(|_| sink.failed(&silent, now));
            sink.failed(&refused, now);
        },
        &[
            (Warn, "could not be mapped: timeout: no answer"),
            (Debug, "could not be mapped: timeout: no answer"),
            (Debug, "could not be mapped: timeout: no answer"),
            (Warn, "could not be mapped: refused: table full"),
        ],
    );
    install(&sink, &mapping(1));
    assert_tells(|| sink.renewal_failed(&refused, now, now), &[(Warn, "could not be renewed: refused: table full")]);
}

#[test]
fn an_end_is_told_by_what_it_leaves_on_the_router() {
    let end = |mapped: bool, act: &dyn Fn(&MappingSink), expected: &[(LogLevel, &str)]| {
        let sink = sink();
        if mapped {
            install(&sink, &mapping(1));
        }
        assert_tells(|| act(&sink), expected);
        assert_ne!(sink.release(), Release::Pending);
    };
    let silent = PortMappingError::timeout("no answer");
    let unconfirmed =
        "may still be mapped as 192.0.1.1:4000 by nat-pmp: the router did not confirm the release: no answer";
    end(true, &|sink| sink.stopped(Some(&silent)), &[(Debug, "exited: timeout: no answer"), (Warn, unconfirmed)]);
    let detached = "not released, because it was detached: 192.0.1.1:4000 by nat-pmp";
    end(true, &|sink| sink.detached(), &[(Debug, "exited"), (Info, detached)]);
    // Nothing was there, so nothing is released.
    end(false, &|sink| sink.stopped(None), &[(Debug, "exited")]);
    let defect = PortMappingError::internal("the lease's task failed: panic");
    end(
        false,
        &|sink| sink.broken(&defect),
        &[
            (Error, "exited: internal: the lease's task failed: panic"),
            (Warn, "may still be mapped: the router did not confirm the release"),
        ],
    );
}

#[test]
fn what_is_about_no_lease_is_told_too() {
    let log = EventLog::default();
    let error = ErrorReport::from(&PortMappingError::unavailable("state_dir /nowhere: read-only"));
    assert_tells(|| log.push(Event::new(EventKind::NetworkChanged)), &[(Info, "the network has changed")]);
    assert_tells(
        || log.push(Event { error: Some(Arc::new(error)), ..Event::new(EventKind::Failed) }),
        &[(Warn, "failed: unavailable: state_dir /nowhere: read-only")],
    );
}

#[test]
fn a_reason_that_the_router_gives_cannot_forge_a_line() {
    let sink = sink();
    let error = PortMappingError::refused("no\n4000/udp installed: \x1b[32m1.2.3.4");
    assert_tells(
        || sink.failed(&error, sink.clock().now()),
        &[(Warn, r"could not be mapped: refused: no\u{a}4000/udp installed: \u{1b}[32m1.2.3.4")],
    );
}
