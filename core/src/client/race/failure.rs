//! Why there is no mapping, and one error out of the failures of all protocols.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorDetail, ErrorKind, PortMappingError, reasons};
use crate::mapping::Protocol;
use crate::net::route::NetworkPath;

/// Why one protocol made no mapping.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) protocol: Protocol,
    /// The way to the gateway that was asked; `None` for a defect.
    pub(super) at: Option<Arc<NetworkPath>>,
    /// Whether the gateway answers by this protocol.
    pub(super) alive: bool,
    /// Whether a mapping was asked for: without an answer, it may have been granted all the same.
    pub(super) asked: bool,
    pub(super) error: PortMappingError,
}

impl Failure {
    /// A defect: neither the gateway nor the network is the cause.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self {
            protocol: Protocol::None,
            at: None,
            alive: true,
            asked: false,
            error: PortMappingError::internal(message),
        }
    }

    /// Whether any other request would have failed in the same way, because the gateway cannot be reached by this protocol.
    pub(super) fn is_about_the_gateway(&self) -> bool {
        match self.error.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Transport => true,
            ErrorKind::Refused | ErrorKind::Invalid | ErrorKind::Stopped | ErrorKind::Internal => false,
        }
    }

    /// Whether the gateway speaks the protocol, and has not answered this request.
    pub(super) fn is_silence_of_the_known(&self) -> bool {
        self.alive && self.error.kind() == ErrorKind::Timeout
    }

    /// Whether the gateway does not seem to speak the protocol. A transport error does not count: its cause is this machine.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
    }
}

/// One error out of the failures of all protocols, in the order of preference: a refusal says more than silence, and contact
/// more than none.
pub(super) fn combine(failures: &[Failure], context: &str) -> PortMappingError {
    let message = format!("{context}: {}", reasons(failures.iter().map(|failure| &failure.error)));
    let first = |kind| failures.iter().find(|failure| failure.error.kind() == kind);
    let (error, told) = if let Some(defect) = first(ErrorKind::Internal) {
        (PortMappingError::internal(message), defect)
    } else if let Some(refused) = first(ErrorKind::Refused) {
        // Only if every protocol says for how long, an earlier attempt is useless.
        let holds: Option<Vec<Duration>> = failures.iter().map(|failure| failure.error.retry_after()).collect();
        let error = match holds.and_then(|holds| holds.into_iter().min()) {
            Some(hold) => PortMappingError::refused_for(message, hold),
            None => PortMappingError::refused(message),
        };
        (error, refused)
    } else {
        let Some(failure) = failures.first() else { return PortMappingError::unavailable(message) };
        (unanswered(failures, context, message), failure)
    };
    error.with_details(details(failures, told))
}

/// The error where nobody said no.
fn unanswered(failures: &[Failure], context: &str, message: String) -> PortMappingError {
    if let Some(source) = common_cause(failures) {
        // The cause is told once, as the source.
        let without: Vec<String> = failures.iter().map(|failure| failure.error.to_string()).collect();
        let message = format!("{context}: {}", without.join("; "));
        PortMappingError::Transport { message, source: Some(source), details: Vec::new() }
    } else if failures.iter().all(|failure| failure.error.kind() == ErrorKind::Transport) {
        PortMappingError::Transport { message, source: None, details: Vec::new() }
    } else {
        PortMappingError::unavailable(message)
    }
}

/// What each protocol has answered on the path of the failure that is told.
fn details(failures: &[Failure], told: &Failure) -> Vec<ErrorDetail> {
    let mut details: Vec<ErrorDetail> = Vec::new();
    let there = failures.iter().filter(|failure| told.at.is_none() || failure.at == told.at);
    for Failure { protocol, error, .. } in there.filter(|failure| failure.protocol != Protocol::None) {
        if details.iter().all(|detail| detail.protocol != *protocol) {
            details.push(error.detail_of(*protocol));
        }
    }
    details
}

/// The system's error, if every protocol failed because of the same one.
fn common_cause(failures: &[Failure]) -> Option<Arc<io::Error>> {
    let mut causes = failures.iter().map(|failure| failure.error.cause());
    let first = causes.next()??;
    causes.all(|cause| cause.is_some_and(|cause| cause.to_string() == first.to_string())).then(|| Arc::clone(first))
}
