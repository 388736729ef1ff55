//! Errors of core, as exceptions.

use portlease::{ErrorKind, ErrorReport, PortMappingError};
use pyo3::prelude::*;

use crate::exception::make;
use crate::settings::spelled;

/// Outcome of a call that raises one of ours.
pub(crate) trait Raise<T> {
    /// The value, or the exception of the error's kind.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> Raise<T> for Result<T, PortMappingError> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}

/// The exception for an error of core.
pub(crate) fn raise(py: Python<'_>, error: &PortMappingError) -> PyErr {
    // Of transport errors alone, whose class is an `OSError`.
    let errno =
        if let PortMappingError::Transport { source: Some(source), .. } = error { source.raw_os_error() } else { None };
    make(py, error.kind().as_str(), &message(&ErrorReport::from(error)), errno)
}

/// The message of a failure; the argument that it names is spelled as in Python.
pub(crate) fn message(report: &ErrorReport) -> String {
    match report.message.split_once(": ") {
        Some((argument, rest)) if report.kind == ErrorKind::Invalid => format!("{}: {rest}", spelled(argument)),
        _ => report.message.clone(),
    }
}
