//! Stable strings become members of the enumerations in `portlease._names`, and compare equal to their text.

use std::net::SocketAddr;
use std::sync::Mutex;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// An enumeration of `portlease._names`.
pub(crate) struct Enumeration {
    class: &'static str,
    members: PyOnceLock<Py<PyDict>>,
}

impl Enumeration {
    const fn new(class: &'static str) -> Self {
        Self { class, members: PyOnceLock::new() }
    }
}

pub(crate) static ADDRESS_CLASS: Enumeration = Enumeration::new("AddressClass");
pub(crate) static ERROR_KIND: Enumeration = Enumeration::new("ErrorKind");
pub(crate) static EVENT_KIND: Enumeration = Enumeration::new("EventKind");
pub(crate) static LEASE_STATE: Enumeration = Enumeration::new("LeaseState");
pub(crate) static NAT_CLASS: Enumeration = Enumeration::new("NatClass");
pub(crate) static PROTOCOL: Enumeration = Enumeration::new("Protocol");
pub(crate) static TRANSPORT: Enumeration = Enumeration::new("Transport");

/// The member with this text.
pub(crate) fn member<'py>(py: Python<'py>, of: &'static Enumeration, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let members = of.members.get_or_try_init(py, || -> PyResult<_> {
        let class = py.import("portlease._names")?.getattr(of.class)?;
        let members = class.getattr("_value2member_map_")?.cast_into::<PyDict>()?;
        Ok(members.unbind())
    })?;
    let found = members.bind(py).get_item(text)?;
    found.ok_or_else(|| PyKeyError::new_err(format!("{} has no member {text:?}", of.class)))
}

/// The same, or `None`.
pub(crate) fn member_or_none<'py>(
    py: Python<'py>,
    of: &'static Enumeration,
    text: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    text.map_or_else(|| Ok(py.None().into_bound(py)), |text| member(py, of, text))
}

/// How many addresses are remembered as Python objects.
const REMEMBERED: usize = 64;

/// An address with its port, and the Python object for it.
type Made = (SocketAddr, Py<PyAny>);

/// The endpoints that were made last, each in the place of its port: making one takes ten times as long as all of a
/// snapshot, and the same few are read again and again.
static RECENT: Mutex<[Option<Made>; REMEMBERED]> = Mutex::new([const { None }; REMEMBERED]);

/// An address with its port as `portlease.Endpoint`, or `None`.
pub(crate) fn endpoint(py: Python<'_>, address: Option<SocketAddr>) -> PyResult<Bound<'_, PyAny>> {
    static ENDPOINT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Some(address) = address else { return Ok(py.None().into_bound(py)) };
    let place = usize::from(address.port()) % REMEMBERED;
    // Never waits for the lock: without the GIL two threads may want it at once, and in a forked child nobody may free it.
    if let Ok(recent) = RECENT.try_lock()
        && let Some((known, endpoint)) = &recent[place]
        && *known == address
    {
        return Ok(endpoint.bind(py).clone());
    }
    let made = ENDPOINT.import(py, "portlease._names", "Endpoint")?.call1((address.ip(), address.port()))?;
    let forgotten =
        RECENT.try_lock().ok().and_then(|mut recent| recent[place].replace((address, made.clone().unbind())));
    drop(forgotten); // with the lock free: it may be Python's last reference
    Ok(made)
}
