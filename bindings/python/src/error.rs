//! Errors of core, as exceptions.

use portlease::{ErrorKind, ErrorReport, PortMappingError};
use pyo3::prelude::*;

use crate::exception::make;
use crate::settings::spelled;
use crate::view::{Show, any};

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
    let report = ErrorReport::from(error);
    match attributes(py, error, &report) {
        Ok(attributes) => make(py, error.kind().as_str(), &message(&report), &attributes),
        Err(failure) => failure,
    }
}

/// What the exception has beside its message; what there is nothing of, its class says.
fn attributes<'py>(
    py: Python<'py>,
    error: &PortMappingError,
    report: &ErrorReport,
) -> PyResult<Vec<(&'static str, Bound<'py, PyAny>)>> {
    let mut found = Vec::new();
    // Of transport errors alone, whose class is an `OSError`.
    if let PortMappingError::Transport { source: Some(source), .. } = error
        && let Some(errno) = source.raw_os_error()
    {
        found.push(("errno", any(py, errno)?));
    }
    if !report.details.is_empty() {
        found.push(("details", report.details.show(py)?));
    }
    if report.advice.is_some() {
        found.push(("advice", report.advice.show(py)?));
    }
    if report.retry_after.is_some() {
        found.push(("retry_after", report.retry_after.show(py)?));
    }
    Ok(found)
}

/// The message of a failure; the argument that it names is spelled as in Python.
pub(crate) fn message(report: &ErrorReport) -> String {
    match report.message.split_once(": ") {
        Some((argument, rest)) if report.kind == ErrorKind::Invalid => format!("{}: {rest}", spelled(argument)),
        _ => report.message.clone(),
    }
}
