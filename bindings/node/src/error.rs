//! Errors on their way to JavaScript.

use napi::{Error, Status};
use napi_derive::napi;
use portlease::{ErrorKind, ErrorReport, PortMappingError};

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

/// A failure as snapshots and events show it.
#[napi(object)]
pub struct ErrorView {
    /// The stable kind.
    pub kind: String,
    /// For people.
    pub message: String,
}

impl From<&ErrorReport> for ErrorView {
    fn from(report: &ErrorReport) -> Self {
        let message = match report.message.split_once(": ") {
            Some((argument, rest)) if report.kind == ErrorKind::Invalid => format!("{}: {rest}", spelled(argument)),
            _ => report.message.clone(),
        };
        Self { kind: report.kind.as_str().to_owned(), message }
    }
}

impl From<&PortMappingError> for ErrorView {
    fn from(error: &PortMappingError) -> Self {
        Self::from(&ErrorReport::from(error))
    }
}
