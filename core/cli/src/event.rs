//! A mapper's events as JSON objects and as lines for people.

use std::net::SocketAddr;
use std::time::Duration;

use portlease::{AddressFamily, ErrorReport, Event, EventKind};
use serde::Serialize;

use crate::args::port_name;

/// An event as `--json` writes it. Fields that have no meaning for an event are left out.
#[derive(Debug, Serialize)]
pub(crate) struct JsonEvent {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_port: Option<u16>,
    /// `null` for a mapping of a router that does not know its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    /// In seconds; `null` for a mapping that does not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

impl JsonEvent {
    /// `family` is that of the event's lease, if it has one.
    pub(crate) fn new(event: &Event, family: Option<AddressFamily>) -> Self {
        let mapped = event.external_port.is_some();
        Self {
            event: event.kind.as_str(),
            kind: event.error.as_ref().map(|error| error.kind.as_str()),
            message: event.error.as_ref().map(|error| error.message.clone()),
            advice: event.error.as_ref().and_then(|error| error.advice.clone()),
            transport: event.transport.map(|transport| transport.as_str()),
            family: family.map(AddressFamily::as_str),
            internal_port: event.internal_port,
            external: mapped.then_some(event.external.map(|external| external.to_string())),
            external_port: event.external_port,
            protocol: event.protocol.map(|protocol| protocol.as_str()),
            ttl: mapped.then_some(event.lifetime.map(|ttl| ttl.as_secs())),
            address_class: mapped.then_some(event.address_class.as_str()),
            elapsed_ms: (!event.elapsed.is_zero()).then_some(millis(event.elapsed)),
            dropped: (event.dropped > 0).then_some(event.dropped),
        }
    }
}

/// Milliseconds with two decimals.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// A time for people: `42 s`, `5 min 3 s`, `1 h 30 min`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (seconds, seconds % 60, minutes % 60) {
        (0..60, ..) => format!("{seconds} s"),
        (60..3600, 0, _) => format!("{minutes} min"),
        (60..3600, second, _) => format!("{minutes} min {second} s"),
        (_, _, 0) => format!("{hours} h"),
        (_, _, minute) => format!("{hours} h {minute} min"),
    }
}

/// How long a mapping lives, for people.
pub(crate) fn lifetime(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| "until it is deleted".to_owned(), |ttl| format!("for {}", span(ttl)))
}

/// The outside of a mapping for people; not every router knows its address.
pub(crate) fn external(address: Option<SocketAddr>, port: u16) -> String {
    address.map_or_else(|| format!("port {port} of the router (its address is not known)"), |known| known.to_string())
}

/// A port for people, as on the command line; empty for an event that is about none. `family` is named if it is given.
pub(crate) fn port(event: &Event, family: Option<AddressFamily>) -> String {
    match (event.internal_port, event.transport) {
        (Some(port), Some(transport)) => port_name(port, transport, family),
        _ => String::new(),
    }
}

/// What a good event about `port` says to people; nothing for a failure.
pub(crate) fn good_news(event: &Event, port: &str) -> Option<String> {
    let verb = match event.kind {
        EventKind::Installed => "mapped to",
        EventKind::Renewed => "renewed:",
        EventKind::Changed => "moved to",
        EventKind::Repaired => "repaired:",
        EventKind::NetworkChanged => return Some("the network changed".to_owned()),
        EventKind::Failed | EventKind::Revoked | EventKind::Exited => return None,
    };
    let (port_outside, protocol) = (event.external_port?, event.protocol?);
    let (address, lifetime) = (external(event.external, port_outside), lifetime(event.lifetime));
    Some(if event.kind == EventKind::Installed {
        format!("{port} {verb} {address} by {protocol} {lifetime} ({} ms)", millis(event.elapsed))
    } else {
        format!("{port} {verb} {address} {lifetime}")
    })
}

/// What a warning of the mapper says to people: something does not work that no lease depends on.
pub(crate) fn warning(event: &Event) -> Option<&str> {
    match (event.kind, event.lease) {
        (EventKind::Failed, None) => event.error.as_ref().map(|error| error.message.as_str()),
        _ => None,
    }
}

/// The failure of the lease on `port` in words for people; nothing for a good event, or for the end of a lease, which follows on a
/// failure that was told.
pub(crate) fn bad_news(event: &Event, port: &str) -> Option<ErrorReport> {
    let error = event.error.as_ref().filter(|_| event.lease.is_some())?;
    let message = match (event.kind, event.external_port) {
        (EventKind::Failed, None) => error.message.clone(),
        (EventKind::Failed, Some(_)) => format!("{port} could not be renewed: {}", error.message),
        (EventKind::Revoked, _) => format!("{port} lost its mapping: {}", error.message),
        _ => return None,
    };
    let mut report = ErrorReport::clone(error);
    report.message = message;
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portlease::{AddressClass, ErrorKind, Protocol, Transport};
    use std::sync::Arc;

    fn event(kind: EventKind) -> Event {
        let mut event = Event::new(kind);
        event.lease = Some(1);
        event.transport = Some(Transport::Udp);
        event.internal_port = Some(4000);
        event.external = Some(([192, 0, 1, 1], 4000).into());
        event.external_port = Some(4000);
        event.protocol = Some(Protocol::Pcp);
        event.lifetime = Some(Duration::from_secs(3600));
        event.address_class = AddressClass::Public;
        event.elapsed = Duration::from_micros(1404);
        event
    }

    fn event_with(kind: EventKind, change: impl FnOnce(&mut Event)) -> Event {
        let mut event = event(kind);
        change(&mut event);
        event
    }

    fn failed(kind: EventKind, external: bool) -> Event {
        let error = Some(Arc::new(ErrorReport::new(ErrorKind::Refused, "no")));
        match external {
            true => event_with(kind, |event| event.error = error),
            false => event_with(kind, |event| {
                (event.error, event.protocol, event.lifetime) = (error, None, None);
                (event.external, event.external_port) = (None, None);
            }),
        }
    }

    fn json(event: &Event) -> String {
        serde_json::to_string(&JsonEvent::new(event, event.lease.map(|_| AddressFamily::Ipv4))).unwrap()
    }

    #[test]
    fn an_installed_event_has_the_documented_fields_in_the_documented_order() {
        assert_eq!(
            json(&event(EventKind::Installed)),
            r#"{"event":"installed","transport":"udp","family":"ipv4","internal_port":4000,"external":"192.0.1.1:4000","external_port":4000,"protocol":"pcp","ttl":3600,"address_class":"public","elapsed_ms":1.4}"#
        );
    }

    #[test]
    fn a_pinhole_is_told_with_its_family_and_its_address_in_brackets() {
        let pinhole = event_with(EventKind::Installed, |event| event.external = "[2001:db8::5]:4000".parse().ok());
        let name = port(&pinhole, Some(AddressFamily::Ipv6));
        assert_eq!(
            good_news(&pinhole, &name).unwrap(),
            "4000/udp (ipv6) mapped to [2001:db8::5]:4000 by pcp for 1 h (1.4 ms)"
        );
        let json = serde_json::to_value(JsonEvent::new(&pinhole, Some(AddressFamily::Ipv6))).unwrap();
        assert_eq!((&json["family"], &json["external"]), (&"ipv6".into(), &"[2001:db8::5]:4000".into()));
    }

    #[test]
    fn a_permanent_mapping_has_a_null_ttl() {
        assert!(json(&event_with(EventKind::Installed, |event| event.lifetime = None)).contains(r#""ttl":null"#));
    }

    #[test]
    fn a_failed_event_has_kind_and_message_and_no_mapping() {
        let mut event = failed(EventKind::Failed, false);
        event.elapsed = Duration::ZERO;
        assert_eq!(
            json(&event),
            r#"{"event":"failed","kind":"refused","message":"no","transport":"udp","family":"ipv4","internal_port":4000}"#
        );
    }

    #[test]
    fn a_change_of_network_is_about_no_port() {
        assert_eq!(json(&Event::new(EventKind::NetworkChanged)), r#"{"event":"network-changed"}"#);
    }

    #[test]
    fn a_warning_of_the_mapper_is_no_failure_of_a_port() {
        let mut warned = Event::new(EventKind::Failed);
        warned.error = Some(Arc::new(ErrorReport::new(ErrorKind::Internal, "cannot write /state: read-only")));
        assert_eq!(warning(&warned), Some("cannot write /state: read-only"));
        assert_eq!((bad_news(&warned, ""), good_news(&warned, "")), (None, None));
        assert_eq!(warning(&failed(EventKind::Failed, false)), None);
        assert_eq!(json(&warned), r#"{"event":"failed","kind":"internal","message":"cannot write /state: read-only"}"#);
    }

    #[test]
    fn people_read_what_is_mapped_where_and_for_how_long() {
        assert_eq!(
            good_news(&event(EventKind::Installed), "4000/udp").unwrap(),
            "4000/udp mapped to 192.0.1.1:4000 by pcp for 1 h (1.4 ms)"
        );
        assert_eq!(
            good_news(&event(EventKind::Repaired), "4000/udp").unwrap(),
            "4000/udp repaired: 192.0.1.1:4000 for 1 h"
        );
        assert_eq!(good_news(&Event::new(EventKind::NetworkChanged), "").unwrap(), "the network changed");
        let nowhere = event_with(EventKind::Changed, |event| {
            (event.external, event.external_port, event.lifetime) = (None, Some(4100), None);
        });
        assert_eq!(
            good_news(&nowhere, "4000/udp").unwrap(),
            "4000/udp moved to port 4100 of the router (its address is not known) until it is deleted"
        );
    }

    #[test]
    fn a_failed_renewal_does_not_read_like_a_failed_mapping() {
        let said = |message: &str| Some(ErrorReport::new(ErrorKind::Refused, message));
        assert_eq!(bad_news(&failed(EventKind::Failed, false), "4000/udp"), said("no"));
        assert_eq!(bad_news(&failed(EventKind::Failed, true), "4000/udp"), said("4000/udp could not be renewed: no"));
        assert_eq!(bad_news(&failed(EventKind::Exited, false), "4000/udp"), None);
    }

    #[test]
    fn times_are_written_in_the_units_people_use() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (5400, "1 h 30 min")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
