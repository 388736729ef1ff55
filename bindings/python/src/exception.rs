//! Exceptions: each kind has its own class, which `portlease._errors` defines.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The exception for a value that is not allowed, where core has not seen it yet.
pub(crate) fn invalid(py: Python<'_>, argument: &str, message: &str) -> PyErr {
    make(py, "invalid", &format!("{argument}: {message}"), &[])
}

/// The exception for an argument of the wrong type; Python users expect a `TypeError`, and this is one too.
pub(crate) fn wrong_type(py: Python<'_>, argument: &str, message: &str) -> PyErr {
    make(py, "type", &format!("{argument}: {message}"), &[])
}

/// Calls no function that is written in Python: in a daemon thread, that is where the end of the interpreter takes the
/// thread away, through frames of Rust's, which is the end of the process by a crash.
pub(crate) fn make(py: Python<'_>, kind: &str, message: &str, attributes: &[(&str, Bound<'_, PyAny>)]) -> PyErr {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let made = || -> PyResult<_> {
        let classes = CLASSES.import(py, "portlease._errors", "CLASSES")?;
        let class = classes.get_item(kind)?.ok_or_else(|| PyKeyError::new_err(kind.to_owned()))?;
        let error = class.call1((message,))?;
        for (name, value) in attributes {
            error.setattr(*name, value)?;
        }
        Ok(error)
    };
    made().map_or_else(|error| error, PyErr::from_value)
}
