//! Failures as snapshots and events show them.

use portlease::PortMappingError;

use crate::message::message;
use crate::names::ErrorKind;

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
        Self { kind: report.kind.into(), message: message(report) }
    }
}

impl From<&PortMappingError> for ErrorReport {
    fn from(error: &PortMappingError) -> Self {
        Self::from(&portlease::ErrorReport::from(error))
    }
}
