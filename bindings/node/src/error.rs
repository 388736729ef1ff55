//! Errors on their way to JavaScript.

use std::time::Duration;

use napi::{Error, Status};
use napi_derive::napi;
use portlease::{ErrorDetail, ErrorKind, ErrorReport, PortMappingError};

use crate::settings::spelled;

/// What an exported function fails with: the code of the error is the kind.
pub(crate) type Failure = Error<&'static str>;

/// The error for JavaScript: the kind as code, the message with the argument's name as JavaScript writes it, and the
/// system's error as cause, its number in a line of its own before its text.
pub(crate) fn failure(error: &PortMappingError) -> Failure {
    let mut failure = Error::new(error.kind().as_str(), ErrorView::from(error).message);
    if let PortMappingError::Transport { source: Some(cause), .. } = error {
        let text = cause.raw_os_error().map_or_else(|| cause.to_string(), |code| format!("{code}\n{cause}"));
        failure.cause = Some(Box::new(Error::new(Status::GenericFailure, text)));
    }
    failure
}

/// What one protocol has answered.
#[napi(object)]
pub struct DetailView {
    /// The protocol.
    pub protocol: String,
    /// The stable kind.
    pub kind: String,
    /// The router's number.
    pub code: Option<u32>,
    /// Its name.
    pub name: Option<String>,
    /// For how long the refusal holds, in milliseconds.
    pub retry_after: Option<f64>,
    /// For people.
    pub message: String,
}

impl From<&ErrorDetail> for DetailView {
    fn from(detail: &ErrorDetail) -> Self {
        Self {
            protocol: detail.protocol.to_string(),
            kind: detail.kind.to_string(),
            code: detail.code,
            name: detail.name.clone(),
            retry_after: detail.retry_after.map(milliseconds),
            message: detail.message.clone(),
        }
    }
}

/// A failure as snapshots and events show it.
#[napi(object)]
pub struct ErrorView {
    /// The stable kind.
    pub kind: String,
    /// For people.
    pub message: String,
    /// What each protocol has answered.
    pub details: Vec<DetailView>,
    /// What to do.
    pub advice: Option<String>,
    /// How long it is useless to try again, in milliseconds.
    pub retry_after: Option<f64>,
}

impl From<&ErrorReport> for ErrorView {
    fn from(report: &ErrorReport) -> Self {
        let message = match report.message.split_once(": ") {
            Some((argument, rest)) if report.kind == ErrorKind::Invalid => format!("{}: {rest}", spelled(argument)),
            _ => report.message.clone(),
        };
        Self {
            kind: report.kind.as_str().to_owned(),
            message,
            details: report.details.iter().map(DetailView::from).collect(),
            advice: report.advice.clone(),
            retry_after: report.retry_after.map(milliseconds),
        }
    }
}

impl From<&PortMappingError> for ErrorView {
    fn from(error: &PortMappingError) -> Self {
        Self::from(&ErrorReport::from(error))
    }
}

/// How a wait failed.
#[napi(object)]
pub struct FailedView {
    /// Why.
    pub failed: ErrorView,
    /// The system's error, if there is one.
    pub cause: Option<CauseView>,
}

/// An error of the system.
#[napi(object)]
pub struct CauseView {
    /// Its number, if it has one.
    pub number: Option<i32>,
    /// For people.
    pub message: String,
}

impl From<&PortMappingError> for FailedView {
    fn from(error: &PortMappingError) -> Self {
        let cause = if let PortMappingError::Transport { source, .. } = error { source.as_ref() } else { None };
        let cause = cause.map(|cause| CauseView { number: cause.raw_os_error(), message: cause.to_string() });
        Self { failed: ErrorView::from(error), cause }
    }
}

/// A duration as JavaScript has it.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
