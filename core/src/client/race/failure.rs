//! Why there is no mapping, and one error out of the failures of all protocols.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, PortMappingError, reasons};
use crate::mapping::Protocol;

/// Why one protocol made no mapping.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) protocol: Protocol,
    /// Whether the gateway answers by this protocol.
    pub(super) alive: bool,
    /// Whether a mapping was asked for: without an answer, it may have been granted all the same.
    pub(super) asked: bool,
    pub(super) error: PortMappingError,
}

impl Failure {
    /// A defect: neither the gateway nor the network is the cause.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { protocol: Protocol::None, alive: true, asked: false, error: PortMappingError::internal(message) }
    }

    /// Whether any other request would have failed in the same way, because the gateway cannot be reached by this protocol.
    pub(super) fn is_about_the_gateway(&self) -> bool {
        match self.error.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Transport => true,
            ErrorKind::Refused | ErrorKind::Invalid | ErrorKind::Stopped | ErrorKind::Internal => false,
        }
    }

    /// Whether the gateway does not seem to speak the protocol. A transport error does not count: its cause is this machine.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
    }
}

/// One error out of the failures of all protocols: a refusal says more than silence, and contact more than none.
pub(super) fn combine(failures: &[Failure], context: &str) -> PortMappingError {
    let message = format!("{context}: {}", reasons(failures.iter().map(|failure| &failure.error)));
    let has = |kind| failures.iter().any(|failure| failure.error.kind() == kind);
    if has(ErrorKind::Internal) {
        PortMappingError::internal(message)
    } else if has(ErrorKind::Refused) {
        // Only where every protocol says for how long is it useless to come back earlier.
        let holds: Option<Vec<Duration>> = failures.iter().map(|failure| failure.error.retry_after()).collect();
        match holds.and_then(|holds| holds.into_iter().min()) {
            Some(hold) => PortMappingError::refused_for(message, hold),
            None => PortMappingError::refused(message),
        }
    } else if failures.iter().any(|failure| failure.alive && failure.error.kind() == ErrorKind::Timeout) {
        PortMappingError::timeout(message)
    } else if let Some(source) = common_cause(failures) {
        // The cause is told once, as the source.
        let without: Vec<String> = failures.iter().map(|failure| failure.error.to_string()).collect();
        PortMappingError::Transport {
            message: format!("{context}: {}", without.join("; ")),
            source: Some(source),
            details: Vec::new(),
        }
    } else if !failures.is_empty() && failures.iter().all(|failure| failure.error.kind() == ErrorKind::Transport) {
        PortMappingError::Transport { message, source: None, details: Vec::new() }
    } else {
        PortMappingError::unavailable(message)
    }
}

/// The system's error, if every protocol failed because of the same one.
fn common_cause(failures: &[Failure]) -> Option<Arc<io::Error>> {
    let mut causes = failures.iter().map(|failure| failure.error.cause());
    let first = causes.next()??;
    causes.all(|cause| cause.is_some_and(|cause| cause.to_string() == first.to_string())).then(|| Arc::clone(first))
}
