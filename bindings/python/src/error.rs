//! Errors: each kind is raised as its own class, which `portlease._errors` defines.

use portlease::PortMappingError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::names::{ERROR_KIND, member};
use crate::view::{any, view};

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
    let errno = match error {
        PortMappingError::Transport { source: Some(source), .. } => source.raw_os_error(),
        _ => None,
    };
    make(py, error.kind().as_str(), &error.to_string(), errno)
}

/// The exception for a value that is not allowed, where core has not seen it yet.
pub(crate) fn invalid(py: Python<'_>, argument: &str, message: &str) -> PyErr {
    make(py, "invalid", &format!("{argument}: {message}"), None)
}

/// The exception for an argument of the wrong type; Python users expect a `TypeError`, and this is one too.
pub(crate) fn wrong_type(py: Python<'_>, argument: &str, message: &str) -> PyErr {
    make(py, "type", &format!("{argument}: {message}"), None)
}

fn make(py: Python<'_>, kind: &str, message: &str, errno: Option<i32>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = MAKE.import(py, "portlease._errors", "make_error").and_then(|make| make.call1((kind, message, errno)));
    match made {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

view! {
    /// A failure as snapshots, events and reports show it.
    ErrorReport(portlease::ErrorReport) {
        /// The stable kind (`ErrorKind`).
        kind: |error, py| member(py, &ERROR_KIND, error.kind.as_str()),
        /// For people; nothing matches on it.
        message: |error, py| any(py, error.message.as_str()),
    }
}
