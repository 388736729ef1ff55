//! Failures as snapshots and events show them, and as exceptions carry them.

use portlease::PortMappingError;

use crate::message::message;
use crate::names::{ErrorKind, Protocol};
use crate::value::Seconds;

/// What one protocol has answered, as a part of an error.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ErrorDetail {
    /// The protocol that was tried.
    pub protocol: Protocol,
    /// Why it failed.
    pub kind: ErrorKind,
    /// The router's number for that, if it answered with one: a PCP result code, a NAT-PMP result code or a UPnP error
    /// code.
    #[uniffi(default = None)]
    pub code: Option<i64>,
    /// The standard's name of the code, such as `NOT_AUTHORIZED` or `ConflictInMappingEntry`, if the code has one.
    #[uniffi(default = None)]
    pub name: Option<String>,
    /// For how long the router says that the refusal holds, if it gave a time.
    #[uniffi(default = None)]
    pub retry_after: Option<Seconds>,
    /// For people; nothing matches on it.
    pub message: String,
}

impl From<&portlease::ErrorDetail> for ErrorDetail {
    fn from(detail: &portlease::ErrorDetail) -> Self {
        Self {
            protocol: detail.protocol.into(),
            kind: detail.kind.into(),
            code: detail.code.map(Into::into),
            name: detail.name.clone(),
            retry_after: detail.retry_after.map(Into::into),
            message: detail.message.clone(),
        }
    }
}

/// A failure: the stable kind, a message for people, and the reasons.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ErrorReport {
    /// The stable kind.
    pub kind: ErrorKind,
    /// For people; nothing matches on it.
    pub message: String,
    /// What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked.
    #[uniffi(default = [])]
    pub details: Vec<ErrorDetail>,
    /// One sentence for people about what to do now; absent if there is nothing to do.
    #[uniffi(default = None)]
    pub advice: Option<String>,
    /// How long it is useless to try again, if that is known.
    #[uniffi(default = None)]
    pub retry_after: Option<Seconds>,
}

impl From<&portlease::ErrorReport> for ErrorReport {
    fn from(report: &portlease::ErrorReport) -> Self {
        Self {
            kind: report.kind.into(),
            message: message(report),
            details: report.details.iter().map(Into::into).collect(),
            advice: report.advice.clone(),
            retry_after: report.retry_after.map(Into::into),
        }
    }
}

impl From<&PortMappingError> for ErrorReport {
    fn from(error: &PortMappingError) -> Self {
        Self::from(&portlease::ErrorReport::from(error))
    }
}
