//! Frozen views of core's plain values: nothing is converted before somebody reads it. One that was pickled, or copied,
//! holds its attributes instead.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portlease::{PortMappingError, ScopedAddr};
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use crate::names::endpoint;

/// What is another at each read, although nothing has happened: no part of what `==` and `hash` look at.
const MOVING: [(&str, &str); 3] =
    [("LeaseSnapshot", "expires_in"), ("LeaseSnapshot", "renews_in"), ("TableEntry", "lifetime")];

/// What a view shows.
pub(crate) enum Shown<T> {
    /// A value of core.
    Core(T),
    /// The attributes of a view that was pickled, by name.
    Restored(Py<PyDict>),
}

/// Defines a frozen class that reads its attributes out of a value of core, with `asdict()`, `repr`, `==`, `hash` and
/// pickling.
macro_rules! view {
    ($(#[$about:meta])* $name:ident($inner:ty) {
        $($(#[$field_about:meta])* $field:ident: |$this:pat_param| $read:expr,)*
    }) => {
        $(#[$about])*
        #[pyclass(frozen, module = "portlease")]
        pub(crate) struct $name($crate::view::Shown<$inner>);

        impl $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }

        impl From<$inner> for $name {
            fn from(core: $inner) -> Self {
                Self($crate::view::Shown::Core(core))
            }
        }

        #[pymethods]
        impl $name {
            $($(#[$field_about])*
            #[getter]
            fn $field<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                match &self.0 {
                    $crate::view::Shown::Core($this) => $crate::view::Show::show(&$read, py),
                    $crate::view::Shown::Restored(fields) => $crate::view::restored(py, fields, stringify!($field)),
                }
            })*

            /// The attributes as a new dict, the views in it as dicts too; with `json`, of nothing but what JSON has.
            #[pyo3(signature = (*, json = false))]
            fn asdict<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
                $crate::view::asdict(slf, Self::FIELDS, json)
            }

            fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
                $crate::view::repr(slf, stringify!($name), Self::FIELDS)
            }

            fn __eq__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                $crate::view::same(slf, other, stringify!($name), Self::FIELDS)
            }

            fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
                $crate::view::hash(slf, stringify!($name), Self::FIELDS)
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                $crate::view::reduce(slf, Self::FIELDS)
            }

            /// Makes a view of these attributes again.
            #[staticmethod]
            fn _restored(fields: &Bound<'_, pyo3::types::PyDict>) -> PyResult<Self> {
                // A copy, which nobody else can change.
                Ok(Self($crate::view::Shown::Restored(fields.copy()?.unbind())))
            }

            /// Lets pydantic check that something is of this class, and write it as JSON.
            #[classmethod]
            fn __get_pydantic_core_schema__<'py>(
                cls: &Bound<'py, pyo3::types::PyType>,
                _source: &Bound<'py, PyAny>,
                _handler: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                $crate::view::pydantic_schema(cls)
            }
        }

        impl $crate::view::Show for $inner {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                $crate::view::any(py, $name::from(self.clone()))
            }
        }
    };
}

/// Shows enums of core as members of Python's enumerations of the same names.
macro_rules! enumerations {
    ($($name:ident)*) => {$(
        impl $crate::view::Show for portlease::$name {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                static MEMBERS: $crate::names::Members = $crate::names::Members::of(stringify!($name));
                MEMBERS.get(py, self.as_str())
            }
        }
    )*};
}

pub(crate) use {enumerations, view};

/// A Python object from whatever pyo3 converts.
pub(crate) fn any<'py>(py: Python<'py>, value: impl IntoPyObject<'py>) -> PyResult<Bound<'py, PyAny>> {
    value.into_bound_py_any(py)
}

/// How Python sees a value of core.
pub(crate) trait Show {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

macro_rules! show_as_converted {
    ($($plain:ty)*) => {$(
        impl Show for $plain {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                any(py, self)
            }
        }
    )*};
}

show_as_converted! { bool u16 u32 u64 usize f64 String IpAddr }

impl Show for Duration {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        any(py, self.as_secs_f64())
    }
}

/// An object of `ipaddress`, whose IPv6 addresses may have a scope.
impl Show for ScopedAddr {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.scope().is_none() {
            return self.ip().show(py);
        }
        py.import(intern!(py, "ipaddress"))?.getattr(intern!(py, "IPv6Address"))?.call1((self.to_string(),))
    }
}

impl Show for SocketAddr {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        endpoint(py, *self)
    }
}

impl Show for PortMappingError {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        portlease::ErrorReport::from(self).show(py)
    }
}

impl<T: Show> Show for Option<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |value| value.show(py))
    }
}

impl<T: Show> Show for Vec<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let items = self.iter().map(|item| item.show(py)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyTuple::new(py, items)?.into_any())
    }
}

/// The same as a list, which the caller may keep and change.
pub(crate) fn list<'py>(py: Python<'py>, values: &[impl Show]) -> PyResult<Bound<'py, PyAny>> {
    let items = values.iter().map(|value| value.show(py)).collect::<PyResult<Vec<_>>>()?;
    Ok(PyList::new(py, items)?.into_any())
}

impl<T: Show + ?Sized> Show for &T {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        (**self).show(py)
    }
}

impl<T: Show> Show for Arc<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        (**self).show(py)
    }
}

/// An attribute of a view that was pickled; `None` where the version that wrote it had no such attribute.
pub(crate) fn restored<'py>(py: Python<'py>, fields: &Py<PyDict>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    Ok(fields.bind(py).get_item(name)?.unwrap_or_else(|| py.None().into_bound(py)))
}

/// The attributes by name; views within, also in tuples, become dicts too.
pub(crate) fn asdict<'py>(view: &Bound<'py, PyAny>, fields: &[&str], json: bool) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(view.py());
    for field in fields {
        dict.set_item(field, plain(view.getattr(*field)?, json)?)?;
    }
    Ok(dict)
}

fn plain(value: Bound<'_, PyAny>, json: bool) -> PyResult<Bound<'_, PyAny>> {
    let Ok(items) = value.cast_exact::<PyTuple>() else { return plain_item(value, json) };
    let items = items.iter().map(|item| plain_item(item, json)).collect::<PyResult<Vec<_>>>()?;
    Ok(PyList::new(value.py(), items)?.into_any())
}

/// No view has tuples within tuples; those of a pickle may be deeper than the stack.
fn plain_item(value: Bound<'_, PyAny>, json: bool) -> PyResult<Bound<'_, PyAny>> {
    let py = value.py();
    if let Some(asdict) = value.getattr_opt(intern!(py, "asdict"))? {
        let how = PyDict::new(py);
        how.set_item(intern!(py, "json"), json)?;
        return asdict.call((), Some(&how));
    }
    // Names, addresses and endpoints are their text there.
    Ok(if json && !in_json(&value) { value.str()?.into_any() } else { value })
}

fn in_json(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyString>()
}

/// `Name(field=value, ...)`; members of enumerations are shown as their text.
pub(crate) fn repr(view: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<String> {
    let shown = |field: &&str| {
        let value = view.getattr(*field)?;
        let text = match value.cast::<PyString>() {
            Ok(text) if !value.is_exact_instance_of::<PyString>() => format!("'{}'", text.to_cow()?),
            _ => value.repr()?.to_string(),
        };
        Ok(format!("{field}={text}"))
    };
    Ok(format!("{name}({})", fields.iter().map(shown).collect::<PyResult<Vec<_>>>()?.join(", ")))
}

/// The names of the attributes by which two views are told apart.
fn lasting<'a>(name: &'a str, fields: &'a [&str]) -> impl Iterator<Item = &'a str> {
    fields.iter().copied().filter(move |field| !MOVING.contains(&(name, *field)))
}

/// Whether both are of one class and all attributes but the moving ones are equal; `NotImplemented` for another class.
pub(crate) fn same<'py>(
    view: &Bound<'py, PyAny>,
    other: &Bound<'py, PyAny>,
    name: &str,
    fields: &[&str],
) -> PyResult<Bound<'py, PyAny>> {
    let py = view.py();
    if !other.get_type().is(view.get_type()) {
        return any(py, py.NotImplemented());
    }
    for field in lasting(name, fields) {
        if !view.getattr(field)?.eq(other.getattr(field)?)? {
            return any(py, false);
        }
    }
    any(py, true)
}

/// The same for views that are equal.
pub(crate) fn hash(view: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<isize> {
    let values = lasting(name, fields).map(|field| view.getattr(field)).collect::<PyResult<Vec<_>>>()?;
    PyTuple::new(view.py(), values)?.hash()
}

/// What pickle and copy make the view from again: its class and its attributes.
pub(crate) fn reduce<'py>(view: &Bound<'py, PyAny>, fields: &[&str]) -> PyResult<Bound<'py, PyAny>> {
    let py = view.py();
    let attributes = PyDict::new(py);
    for field in fields {
        attributes.set_item(field, view.getattr(*field)?)?;
    }
    let restored = py.import("portlease._values")?.getattr("restored")?;
    any(py, (restored, (view.get_type(), attributes)))
}

pub(crate) fn pydantic_schema<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    class.py().import("portlease._values")?.getattr("pydantic_schema")?.call1((class,))
}
