//! The one error, and failures as snapshots and events show them.

use std::fmt;

use portlease::{ErrorKind as Kind, PortMappingError};

use crate::names::ErrorKind;

/// Why a call failed: one variant for each kind, with a message for people.
#[derive(Debug, Clone, uniffi::Error)]
#[uniffi(flat_error)]
pub enum PortLeaseError {
    /// No gateway, or none of the protocols answered, or the gateway says that it has no such service.
    Unavailable(String),
    /// The call ran past its deadline.
    Timeout(String),
    /// A socket-level error on the way to the gateway.
    Transport(String),
    /// The gateway answered no; the message carries protocol and code.
    Refused(String),
    /// The caller's argument: the message names it and says what is allowed.
    Invalid(String),
    /// The handle is closed.
    Stopped(String),
    /// A defect in portlease.
    Internal(String),
}

impl fmt::Display for PortLeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(message)
            | Self::Timeout(message)
            | Self::Transport(message)
            | Self::Refused(message)
            | Self::Invalid(message)
            | Self::Stopped(message)
            | Self::Internal(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for PortLeaseError {}

impl From<PortMappingError> for PortLeaseError {
    fn from(error: PortMappingError) -> Self {
        let message = error.message();
        match error.kind() {
            Kind::Unavailable => Self::Unavailable(message),
            Kind::Timeout => Self::Timeout(message),
            Kind::Transport => Self::Transport(message),
            Kind::Refused => Self::Refused(message),
            Kind::Invalid => Self::Invalid(message),
            Kind::Stopped => Self::Stopped(message),
            // `internal`, and a kind that is new in core: which this binding then lacks, a defect.
            _ => Self::Internal(message),
        }
    }
}

/// A failure as snapshots and events show it: the stable kind and a message for people.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ErrorReport {
    /// The stable kind.
    pub kind: ErrorKind,
    /// For people; nothing matches on it.
    pub message: String,
}

impl From<&portlease::ErrorReport> for ErrorReport {
    fn from(report: &portlease::ErrorReport) -> Self {
        Self { kind: report.kind.into(), message: report.message.clone() }
    }
}

impl From<&PortMappingError> for ErrorReport {
    fn from(error: &PortMappingError) -> Self {
        Self { kind: error.kind().into(), message: error.message() }
    }
}
