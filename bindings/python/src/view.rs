//! Frozen views of core's plain values: nothing is converted before somebody reads it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portlease::PortMappingError;
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::names::endpoint;

/// Defines a frozen class that reads its attributes out of a value of core, with `asdict()`, `repr` and `==`.
macro_rules! view {
    ($(#[$about:meta])* $name:ident($inner:ty) {
        $($(#[$field_about:meta])* $field:ident: |$this:pat_param| $read:expr,)*
    }) => {
        $(#[$about])*
        #[pyclass(frozen, module = "portlease")]
        pub(crate) struct $name(pub(crate) $inner);

        impl $name {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }

        #[pymethods]
        impl $name {
            $($(#[$field_about])*
            #[getter]
            fn $field<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let $this = &self.0;
                $crate::view::Show::show(&$read, py)
            })*

            /// The attributes as a new dict, the views in it as dicts too.
            fn asdict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
                $crate::view::asdict(slf, Self::FIELDS)
            }

            fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
                $crate::view::repr(slf, stringify!($name), Self::FIELDS)
            }

            fn __eq__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                $crate::view::same(slf, other, Self::FIELDS)
            }
        }

        impl $crate::view::Show for $inner {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                $crate::view::any(py, $name(self.clone()))
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

/// The attributes by name; views within, also in tuples, become dicts too.
pub(crate) fn asdict<'py>(view: &Bound<'py, PyAny>, fields: &[&str]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(view.py());
    for field in fields {
        dict.set_item(field, plain(view.getattr(*field)?)?)?;
    }
    Ok(dict)
}

fn plain(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = value.py();
    if let Ok(items) = value.cast_exact::<PyTuple>() {
        let items = items.iter().map(plain).collect::<PyResult<Vec<_>>>()?;
        return Ok(PyList::new(py, items)?.into_any());
    }
    match value.getattr_opt(intern!(py, "asdict"))? {
        Some(asdict) => asdict.call0(),
        None => Ok(value),
    }
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

/// Whether both are of one class and all attributes are equal; `NotImplemented` for another class.
pub(crate) fn same<'py>(
    view: &Bound<'py, PyAny>,
    other: &Bound<'py, PyAny>,
    fields: &[&str],
) -> PyResult<Bound<'py, PyAny>> {
    let py = view.py();
    if !other.get_type().is(view.get_type()) {
        return any(py, py.NotImplemented());
    }
    for field in fields {
        if !view.getattr(*field)?.eq(other.getattr(*field)?)? {
            return any(py, false);
        }
    }
    any(py, true)
}
