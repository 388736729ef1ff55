//! What happens to leases, told to the log: one line for each event, at one level.
//!
//! | level | what |
//! |---|---|
//! | INFO | installed, changed, repaired, revoked, released; the network has changed |
//! | WARN | a failure, unless the one before was of the same kind; a mapping that may be left on the router |
//! | DEBUG | renewed, repeated failures, the end of a lease |
//! | ERROR | a lease that ended by a defect |

use std::fmt::{self, Display};
use std::time::Duration;

use crate::error::{ErrorKind, ErrorReport};
use crate::escape::Escaped;
use crate::event::{Event, EventKind};
use crate::mapping::MapRequest;
use crate::snapshot::PublishedMapping;

/// The target of these lines, by which a subscriber can filter.
const TARGET: &str = "portlease::event";

/// Tells an event. `before` is the mapping that the lease had before it, and `again` whether the failure is like the last one.
pub(crate) fn tell(event: &Event, before: Option<&PublishedMapping>, again: bool) {
    let text = Text { event, before };
    match event.kind {
        EventKind::Installed
        | EventKind::Changed
        | EventKind::Repaired
        | EventKind::Revoked
        | EventKind::NetworkChanged => tracing::info!(target: TARGET, "{}", Escaped(text)),
        EventKind::Failed if !again => tracing::warn!(target: TARGET, "{}", Escaped(text)),
        EventKind::Exited if event.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Internal) => {
            tracing::error!(target: TARGET, "{}", Escaped(text));
        }
        EventKind::Failed | EventKind::Renewed | EventKind::Exited => {
            tracing::debug!(target: TARGET, "{}", Escaped(text));
        }
    }
}

/// How a lease that had `mapping` has left the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left<'a> {
    /// It was deleted.
    Released,
    /// It stays there on purpose, until its lifetime ends.
    Detached,
    /// Nobody knows, for this reason.
    Unconfirmed(Option<&'a ErrorReport>),
}

/// Tells how the end of a lease has left the gateway; nothing if nothing was there.
pub(crate) fn tell_end(request: &MapRequest, mapping: Option<&PublishedMapping>, left: Left<'_>) {
    let port = Port(request.internal_port, request.transport.as_str());
    match (left, mapping.map(Outside)) {
        (Left::Released, Some(outside)) => tracing::info!(target: TARGET, "{port} released: {outside}"),
        (Left::Detached, Some(outside)) => {
            tracing::info!(target: TARGET, "{port} not released, because it was detached: {outside}");
        }
        (Left::Released | Left::Detached, None) => {}
        (Left::Unconfirmed(error), outside) => {
            let outside = Optional(" as ", outside);
            let reason = Optional(": ", error.map(|error| Escaped(error.message.as_str())));
            tracing::warn!(target: TARGET, "{port} may still be mapped{outside}: the router did not confirm the release{reason}");
        }
    }
}

struct Text<'a> {
    event: &'a Event,
    before: Option<&'a PublishedMapping>,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, before } = *self;
        let reason = Optional(": ", event.error.as_ref().map(|error| Reason(error)));
        let (Some(port), Some(transport)) = (event.internal_port, event.transport) else {
            return match event.kind {
                EventKind::NetworkChanged => f.write_str("the network has changed"),
                kind => write!(f, "{kind}{reason}"),
            };
        };
        let port = Port(port, transport.as_str());
        let mapping = event.external_port.zip(event.protocol).map(|(external_port, protocol)| PublishedMapping {
            external: event.external,
            external_port,
            protocol,
            address_class: event.address_class,
        });
        let now = mapping.as_ref().map(|mapping| Granted(Outside(mapping), event.lifetime));
        let now = Optional(": ", now);
        match event.kind {
            EventKind::Failed if mapping.is_some() => write!(f, "{port} could not be renewed{reason}"),
            EventKind::Failed => write!(f, "{port} could not be mapped{reason}"),
            EventKind::Revoked => write!(f, "{port} revoked{}{reason}", Optional(": ", before.map(Outside))),
            EventKind::Changed => write!(f, "{port} changed{now}, before {}", Optional("", before.map(Outside))),
            EventKind::Exited => write!(f, "{port} exited{reason}"),
            EventKind::Installed | EventKind::Repaired | EventKind::Renewed => {
                write!(f, "{port} {}{now} ({})", event.kind, Millis(event.elapsed))
            }
            EventKind::NetworkChanged => write!(f, "{port} {}", event.kind),
        }
    }
}

/// `4000/udp`.
struct Port(u16, &'static str);

impl Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// `192.0.1.1:4000 by pcp`.
#[derive(Clone, Copy)]
struct Outside<'a>(&'a PublishedMapping);

impl Display for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PublishedMapping { external, external_port, protocol, .. } = self.0;
        match external {
            Some(external) => write!(f, "{external} by {protocol}"),
            None => write!(f, "port {external_port} of an unknown address by {protocol}"),
        }
    }
}

/// The same with the lifetime.
struct Granted<'a>(Outside<'a>, Option<Duration>);

impl Display for Granted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(lifetime) => write!(f, "{} for {} s", self.0, lifetime.as_secs()),
            None => write!(f, "{} without an end", self.0),
        }
    }
}

/// `refused: pcp NOT_AUTHORIZED: ...`.
struct Reason<'a>(&'a ErrorReport);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

/// The value behind a separator, or nothing.
struct Optional<T>(&'static str, Option<T>);

impl<T: Display> Display for Optional<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.as_ref().map_or(Ok(()), |value| write!(f, "{}{value}", self.0))
    }
}

/// `1.40 ms`.
pub(crate) struct Millis(pub(crate) Duration);

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms", self.0.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
#[path = "event_text_tests.rs"]
mod tests;
