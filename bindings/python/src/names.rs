//! Stable strings become members of the enumerations in `portlease._names`, and compare equal to their text.

use std::net::SocketAddr;
use std::sync::Mutex;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The members of an enumeration of `portlease._names`, by their text.
pub(crate) struct Members {
    class: &'static str,
    members: PyOnceLock<Py<PyDict>>,
}

impl Members {
    pub(crate) const fn of(class: &'static str) -> Self {
        Self { class, members: PyOnceLock::new() }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
        let members = self.members.get_or_try_init(py, || -> PyResult<_> {
            let class = py.import("portlease._names")?.getattr(self.class)?;
            let members = class.getattr("_value2member_map_")?.cast_into::<PyDict>()?;
            Ok(members.unbind())
        })?;
        let found = members.bind(py).get_item(text)?;
        found.ok_or_else(|| PyKeyError::new_err(format!("{} has no member {text:?}", self.class)))
    }
}

/// How many addresses are remembered as Python objects.
const REMEMBERED: usize = 64;

/// An address with its port, and the Python object for it.
type Made = (SocketAddr, Py<PyAny>);

/// The endpoints that were made last, each in the place of its port: making one takes ten times as long as all of a
/// snapshot, and the same few are read again and again.
static RECENT: Mutex<[Option<Made>; REMEMBERED]> = Mutex::new([const { None }; REMEMBERED]);

/// An address with its port as `portlease.Endpoint`.
pub(crate) fn endpoint(py: Python<'_>, address: SocketAddr) -> PyResult<Bound<'_, PyAny>> {
    static ENDPOINT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let place = usize::from(address.port()) % REMEMBERED;
    // Never waits for the lock: without the GIL two threads may want it at once, and in a forked child nobody may free it.
    if let Ok(recent) = RECENT.try_lock()
        && let Some((known, endpoint)) = &recent[place]
        && *known == address
    {
        return Ok(endpoint.bind(py).clone());
    }
    let made =
        ENDPOINT.import(py, "portlease._values", "Endpoint")?.call1((address.ip().to_string(), address.port()))?;
    let forgotten =
        RECENT.try_lock().ok().and_then(|mut recent| recent[place].replace((address, made.clone().unbind())));
    drop(forgotten); // with the lock free: it may be Python's last reference
    Ok(made)
}
