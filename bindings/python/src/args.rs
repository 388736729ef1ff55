//! Arguments: from Python's types to core's, or an error that names the argument. No policy beyond that.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use portlease::{Config, MapRequest, PortMappingError, RetryPolicy, config};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyDict, PyFloat, PyList, PyString, PyTuple};

use crate::error::{Raise, invalid, raise, wrong_type};

/// The settings of a mapper out of keyword arguments; `None` is the default.
pub(crate) fn config(settings: &Bound<'_, PyDict>) -> PyResult<Config> {
    let py = settings.py();
    let mut config = Config::default();
    for (name, value) in settings {
        let name = name.extract::<String>()?;
        if !value.is_none() {
            set(&mut config, &name, &value)?;
        } else if !SETTINGS.contains(&name.as_str()) {
            return Err(unknown_setting(py, &name));
        }
    }
    Ok(config)
}

/// The names of [`Config`]'s fields.
pub(crate) const SETTINGS: [&str; 11] = [
    "gateway",
    "local_address",
    "interface",
    "protocols",
    "ttl",
    "renewal_interval",
    "failure_threshold",
    "retry",
    "description",
    "pcp_port",
    "ssdp_address",
];

fn unknown_setting(py: Python<'_>, name: &str) -> PyErr {
    wrong_type(py, name, &format!("there is no such setting; the settings are {}", SETTINGS.join(", ")))
}

fn set(config: &mut Config, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "gateway" => config.gateway = Some(address("gateway", value)?),
        "local_address" => config.local_address = Some(address("local_address", value)?),
        "interface" => config.interface = Some(text("interface", value)?),
        "protocols" => config.protocols = protocols(value)?,
        "ttl" => config.ttl = seconds("ttl", value)?,
        "renewal_interval" => config.renewal_interval = seconds("renewal_interval", value)?,
        "failure_threshold" => {
            config.failure_threshold = integer("failure_threshold", value, "allowed are 1 to 4294967295")?;
        }
        "retry" => config.retry = retry(value)?,
        "description" => config.description = text("description", value)?,
        "pcp_port" => config.pcp_port = port("pcp_port", value)?,
        "ssdp_address" => config.ssdp_address = Some(socket_address("ssdp_address", value)?),
        _ => return Err(unknown_setting(value.py(), name)),
    }
    Ok(())
}

/// What `map` is asked for.
pub(crate) fn request(
    internal_port: &Bound<'_, PyAny>,
    transport: &Bound<'_, PyAny>,
    external_port: &Bound<'_, PyAny>,
    exact: &Bound<'_, PyAny>,
    family: &Bound<'_, PyAny>,
) -> PyResult<MapRequest> {
    let mut request = MapRequest::new(port("port", internal_port)?, name("transport", transport)?);
    request.external_port = if external_port.is_none() { None } else { Some(port("external_port", external_port)?) };
    request.exact = flag("exact", exact)?;
    request.family = name("family", family)?;
    Ok(request)
}

/// A time-out; `None` is none.
pub(crate) fn timeout(value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    if value.is_none() { Ok(None) } else { seconds("timeout", value).map(Some) }
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

/// A port, of which core says whether it may be 0.
fn port(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<u16> {
    integer(argument, value, "allowed are 1 to 65535")
}

fn integer<T: TryFrom<i64>>(argument: &str, value: &Bound<'_, PyAny>, allowed: &str) -> PyResult<T> {
    let number = index(argument, value, "an int is expected")?;
    let fitting = number.extract::<i64>().ok().and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| invalid(value.py(), argument, &format!("{} is out of range; {allowed}", shown(value))))
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

fn flag(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(wrong_type(value.py(), argument, &format!("a bool is expected, not {}", kind(value)))),
    }
}

fn text(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(wrong_type(value.py(), argument, &format!("a str is expected, not {}", kind(value))));
    };
    // A lone surrogate is no text that could be sent.
    text.to_cow().map(Into::into).map_err(|_| invalid(value.py(), argument, "the text is not valid Unicode"))
}

/// One of core's stable strings.
fn name<T: FromStr<Err = PortMappingError>>(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    text(argument, value)?.parse().map_err(|error| match error {
        PortMappingError::Invalid { message, .. } => invalid(value.py(), argument, &message),
        other => raise(value.py(), &other),
    })
}

/// Text, or an object of `ipaddress`.
fn address(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<IpAddr> {
    let py = value.py();
    let text = if value.is_instance_of::<PyString>() {
        text(argument, value)?
    } else if value.hasattr("packed")? {
        value.str()?.to_string()
    } else {
        let message = format!("a str or an address of ipaddress is expected, not {}", kind(value));
        return Err(wrong_type(py, argument, &message));
    };
    config::parse_address(argument, &text).or_raise(py)
}

/// `"address:port"`, or a pair.
fn socket_address(argument: &'static str, value: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let py = value.py();
    if let Ok((host, number)) = value.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
        && value.is_instance_of::<PyTuple>()
    {
        return Ok(SocketAddr::new(address(argument, &host)?, port(argument, &number)?));
    }
    if !value.is_instance_of::<PyString>() {
        let message = format!("\"address:port\" or a pair of address and port is expected, not {}", kind(value));
        return Err(wrong_type(py, argument, &message));
    }
    config::parse_socket_address(argument, &text(argument, value)?).or_raise(py)
}

fn protocols(value: &Bound<'_, PyAny>) -> PyResult<Vec<portlease::Protocol>> {
    // A string is a sequence of letters to Python, and never meant as one here.
    if value.is_instance_of::<PyString>() || value.try_iter().is_err() {
        let message = format!("a list of names is expected, not {}", kind(value));
        return Err(wrong_type(value.py(), "protocols", &message));
    }
    value.try_iter()?.map(|item| name("protocols", &item?)).collect()
}

fn retry(value: &Bound<'_, PyAny>) -> PyResult<RetryPolicy> {
    const WANTED: &str = "give \"never\" or a pair of seconds, the shortest and the longest wait";
    let py = value.py();
    if value.is_instance_of::<PyString>() {
        let word = text("retry", value)?;
        return match word.as_str() {
            "never" => Ok(RetryPolicy::Never),
            _ => Err(invalid(py, "retry", &format!("`{word}` is not known; {WANTED}"))),
        };
    }
    let pair = value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>();
    match value.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
        Ok((min, max)) if pair => Ok(RetryPolicy::backoff(seconds("retry", &min)?, seconds("retry", &max)?)),
        _ => Err(wrong_type(py, "retry", WANTED)),
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
