//! Errors: each kind is raised as its own class, which `portlease._errors` defines.

use portlease::{ErrorKind, ErrorReport, PortMappingError};
use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

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

/// The exception for a value that is not allowed, where core has not seen it yet.
pub(crate) fn invalid(py: Python<'_>, argument: &str, message: &str) -> PyErr {
    make(py, "invalid", &format!("{argument}: {message}"), None)
}

/// The exception for an argument of the wrong type; Python users expect a `TypeError`, and this is one too.
pub(crate) fn wrong_type(py: Python<'_>, argument: &str, message: &str) -> PyErr {
    make(py, "type", &format!("{argument}: {message}"), None)
}

/// Calls no function that is written in Python: in a daemon thread, that is where the end of the interpreter takes the
/// thread away, through frames of Rust's, which is the end of the process by a crash.
fn make(py: Python<'_>, kind: &str, message: &str, errno: Option<i32>) -> PyErr {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let made = || -> PyResult<_> {
        let classes = CLASSES.import(py, "portlease._errors", "CLASSES")?;
        let class = classes.get_item(kind)?.ok_or_else(|| PyKeyError::new_err(kind.to_owned()))?;
        let error = class.call1((message,))?;
        if let Some(errno) = errno {
            error.setattr(intern!(py, "errno"), errno)?;
        }
        Ok(error)
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

/// The message of a failure; the argument that it names is spelled as in Python.
pub(crate) fn message(report: &ErrorReport) -> String {
    match report.message.split_once(": ") {
        Some((argument, rest)) if report.kind == ErrorKind::Invalid => format!("{}: {rest}", spelled(argument)),
        _ => report.message.clone(),
    }
}
