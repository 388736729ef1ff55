//! Arguments: from Python's types to core's, or an error that names the argument. No policy beyond that.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use portlease::{AddressFamily, PortMappingError, Protocol, RetryPolicy, ScopedAddr, Transport, config};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyDict, PyFloat, PyList, PyString, PyTuple};

use crate::exception::{invalid, wrong_type};

/// What an argument can be: from Python's value, or an error that names the argument.
pub(crate) trait Argument: Sized {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self>;
}

/// Puts an argument in its place, if it is given.
pub(crate) fn set<T: Argument>(given: &Bound<'_, PyDict>, argument: &'static str, place: &mut T) -> PyResult<()> {
    if let Some(value) = given.get_item(argument)? {
        *place = T::read(argument, &value)?;
    }
    Ok(())
}

/// A time-out; `None` is none.
pub(crate) fn timeout(value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    if value.is_none() { Ok(None) } else { seconds("timeout", value).map(Some) }
}

/// The number of a lease's state; `None` is none.
pub(crate) fn revision(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if value.is_none() {
        return Ok(None);
    }
    let number = index(argument, value, "a LeaseSnapshot or its revision is expected")?;
    let wrong = |_| invalid(value.py(), argument, &format!("{} is not the revision of a snapshot", shown(value)));
    number.extract::<u64>().map(Some).map_err(wrong)
}

/// A number of seconds, or a `timedelta`.
pub(crate) fn seconds(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let py = value.py();
    let number = if value.is_instance_of::<PyDelta>() {
        value.call_method0("total_seconds")?.extract::<f64>()?
    } else if let Ok(number) = value.cast::<PyFloat>() {
        number.value()
    } else {
        let number = index(argument, value, "seconds as int or float, or a timedelta, are expected")?;
        // A whole number that no float holds is out of every range here.
        number.extract::<f64>().unwrap_or(f64::INFINITY)
    };
    Duration::try_from_secs_f64(number).map_err(|_| {
        let what = if number.is_nan() {
            "not a number"
        } else if number < 0.0 {
            "negative"
        } else {
            "too long"
        };
        invalid(py, argument, &format!("{} s is {what}; give seconds, 0 or more", shown(value)))
    })
}

impl Argument for Duration {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        seconds(argument, value)
    }
}

impl Argument for u16 {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        integer(argument, value, Self::MAX)
    }
}

impl Argument for u32 {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        integer(argument, value, Self::MAX)
    }
}

/// A whole number, of which core says whether it may be 0.
fn integer<T: TryFrom<i64> + Display>(argument: &str, value: &Bound<'_, PyAny>, most: T) -> PyResult<T> {
    let number = index(argument, value, "an int is expected")?;
    let fitting = number.extract::<i64>().ok().and_then(|number| T::try_from(number).ok());
    let message = || format!("{} is out of range; allowed are 1 to {most}", shown(value));
    fitting.ok_or_else(|| invalid(value.py(), argument, &message()))
}

/// What Python counts as a whole number, but for `bool`, which is a mistake here.
fn index<'py>(argument: &str, value: &Bound<'py, PyAny>, wanted: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let mistaken = || wrong_type(py, argument, &format!("{wanted}, not {}", kind(value)));
    if value.is_instance_of::<PyBool>() {
        return Err(mistaken());
    }
    let index = py.import("operator")?.getattr("index")?;
    index.call1((value,)).map_err(|error| if error.is_instance_of::<PyTypeError>(py) { mistaken() } else { error })
}

impl Argument for bool {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        match value.cast::<PyBool>() {
            Ok(flag) => Ok(flag.is_true()),
            Err(_) => Err(wrong_type(value.py(), argument, &format!("a bool is expected, not {}", kind(value)))),
        }
    }
}

impl Argument for String {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        text(argument, value)
    }
}

fn text(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(wrong_type(value.py(), argument, &format!("a str is expected, not {}", kind(value))));
    };
    // A lone surrogate is no text that could be sent.
    text.to_cow().map(Into::into).map_err(|_| invalid(value.py(), argument, "the text is not valid Unicode"))
}

/// The exception for text that core cannot read.
fn refused(py: Python<'_>, argument: &str, error: &PortMappingError) -> PyErr {
    let PortMappingError::Invalid { message, .. } = error else { return invalid(py, argument, &error.message()) };
    invalid(py, argument, message)
}

/// Reads stable strings of core.
macro_rules! names {
    ($($name:ty)*) => {$(
        impl Argument for $name {
            fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
                text(argument, value)?.parse().map_err(|error| refused(value.py(), argument, &error))
            }
        }
    )*};
}

names! { AddressFamily Protocol Transport }

/// The text of an address, which may be an object of `ipaddress`.
fn address(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if value.is_instance_of::<PyString>() {
        return text(argument, value);
    }
    if value.hasattr("packed")? {
        return Ok(value.str()?.to_string());
    }
    let message = format!("a str or an address of ipaddress is expected, not {}", kind(value));
    Err(wrong_type(value.py(), argument, &message))
}

impl Argument for IpAddr {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = address(argument, value)?;
        config::parse_address(argument, &text).map_err(|error| refused(value.py(), argument, &error))
    }
}

impl Argument for ScopedAddr {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = address(argument, value)?;
        config::parse_scoped_address(argument, &text).map_err(|error| refused(value.py(), argument, &error))
    }
}

/// `"address:port"`, or a pair.
impl Argument for SocketAddr {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = value.py();
        if let Ok((host, port)) = value.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
            && value.is_instance_of::<PyTuple>()
        {
            return Ok(Self::new(IpAddr::read(argument, &host)?, u16::read(argument, &port)?));
        }
        if !value.is_instance_of::<PyString>() {
            let message = format!("\"address:port\" or a pair of address and port is expected, not {}", kind(value));
            return Err(wrong_type(py, argument, &message));
        }
        let text = text(argument, value)?;
        config::parse_socket_address(argument, &text).map_err(|error| refused(py, argument, &error))
    }
}

/// A `str`, or a path of `pathlib` or another class that is `os.PathLike`.
impl Argument for PathBuf {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        value.extract::<Self>().map_err(|_| {
            let message = format!("a str or an os.PathLike is expected, not {}", kind(value));
            wrong_type(value.py(), argument, &message)
        })
    }
}

impl<T: Argument> Argument for Option<T> {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_none() { Ok(None) } else { T::read(argument, value).map(Some) }
    }
}

impl<T: Argument> Argument for Vec<T> {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        // A string is a sequence of letters to Python, and never meant as one here.
        if value.is_instance_of::<PyString>() || value.try_iter().is_err() {
            let message = format!("a list of names is expected, not {}", kind(value));
            return Err(wrong_type(value.py(), argument, &message));
        }
        value.try_iter()?.map(|item| T::read(argument, &item?)).collect()
    }
}

/// `"never"`, or a pair of the shortest and the longest wait.
impl Argument for RetryPolicy {
    fn read(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<Self> {
        const WANTED: &str = "give \"never\" or a pair of seconds, the shortest and the longest wait";
        let py = value.py();
        if value.is_instance_of::<PyString>() {
            return match text(argument, value)?.as_str() {
                "never" => Ok(Self::Never),
                word => Err(invalid(py, argument, &format!("`{word}` is not known; {WANTED}"))),
            };
        }
        let pair = value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>();
        match value.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
            Ok((min, max)) if pair => Ok(Self::backoff(Some(seconds(argument, &min)?), Some(seconds(argument, &max)?))),
            _ => Err(wrong_type(py, argument, WANTED)),
        }
    }
}

/// A value for an error message: short, and never an error itself.
fn shown(value: &Bound<'_, PyAny>) -> String {
    const LONGEST: usize = 40;
    match value.str() {
        Ok(text) if text.to_string_lossy().len() <= LONGEST => text.to_string_lossy().into_owned(),
        _ => "such a large number".to_owned(),
    }
}

/// The name of a value's type.
fn kind(value: &Bound<'_, PyAny>) -> String {
    if value.is_none() {
        return "None".to_owned();
    }
    value.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}
