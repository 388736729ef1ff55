//! Makes values of core out of plain ones of JavaScript. The JavaScript layer has checked the types; core checks ranges.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use napi::bindgen_prelude::{FromNapiValue, Object};
use napi_derive::napi;
use portlease::config::{parse_address, parse_scoped_address, parse_socket_address};
use portlease::{AddressFamily, PortMappingError, Protocol, RetryPolicy, ScopedAddr, Transport};

/// What fails with an error of core.
pub(crate) type Result<T> = std::result::Result<T, PortMappingError>;

/// What happens after a failure.
#[napi(object)]
pub(crate) struct Retry {
    /// Not to try again.
    pub never: Option<bool>,
    /// The first wait, in milliseconds.
    pub min: Option<f64>,
    /// The longest, in milliseconds.
    pub max: Option<f64>,
}

/// What an option can be: read out of what JavaScript has for it, or an error that names the argument.
pub(crate) trait Setting: Sized {
    type Raw: FromNapiValue;

    fn read(argument: &'static str, raw: Self::Raw) -> Result<Self>;
}

/// Puts an option in its place, if it is given.
pub(crate) fn set<T: Setting>(given: &Object<'_>, argument: &'static str, place: &mut T) -> Result<()> {
    let raw = given.get(argument).map_err(|error| PortMappingError::invalid(argument, error.reason.as_str()))?;
    if let Some(raw) = raw {
        *place = T::read(argument, raw)?;
    }
    Ok(())
}

macro_rules! as_it_is {
    ($($plain:ty)*) => {$(
        impl Setting for $plain {
            type Raw = Self;

            fn read(_: &'static str, raw: Self) -> Result<Self> {
                Ok(raw)
            }
        }
    )*};
}

as_it_is! { bool u16 u32 f64 String }

/// Reads a stable string, so that the error names the option in which it stands.
pub(crate) fn name<T: FromStr<Err = PortMappingError>>(argument: &'static str, raw: &str) -> Result<T> {
    raw.parse().map_err(|error| {
        if let PortMappingError::Invalid { message, .. } = error {
            return PortMappingError::invalid(argument, message);
        }
        error
    })
}

macro_rules! names {
    ($($name:ty)*) => {$(
        impl Setting for $name {
            type Raw = String;

            fn read(argument: &'static str, raw: String) -> Result<Self> {
                name(argument, &raw)
            }
        }
    )*};
}

names! { AddressFamily Protocol Transport }

impl Setting for IpAddr {
    type Raw = String;

    fn read(argument: &'static str, raw: String) -> Result<Self> {
        parse_address(argument, &raw)
    }
}

impl Setting for ScopedAddr {
    type Raw = String;

    fn read(argument: &'static str, raw: String) -> Result<Self> {
        parse_scoped_address(argument, &raw)
    }
}

impl Setting for SocketAddr {
    type Raw = String;

    fn read(argument: &'static str, raw: String) -> Result<Self> {
        parse_socket_address(argument, &raw)
    }
}

impl Setting for PathBuf {
    type Raw = String;

    fn read(_: &'static str, raw: String) -> Result<Self> {
        Ok(raw.into())
    }
}

impl Setting for Duration {
    type Raw = f64;

    fn read(argument: &'static str, raw: f64) -> Result<Self> {
        milliseconds(argument, raw)
    }
}

impl Setting for RetryPolicy {
    type Raw = Retry;

    fn read(argument: &'static str, raw: Retry) -> Result<Self> {
        if raw.never == Some(true) {
            return Ok(Self::Never);
        }
        let wait = |value: Option<f64>| value.map(|value| milliseconds(argument, value)).transpose();
        Ok(Self::backoff(wait(raw.min)?, wait(raw.max)?))
    }
}

impl<T: Setting> Setting for Option<T> {
    type Raw = T::Raw;

    fn read(argument: &'static str, raw: T::Raw) -> Result<Self> {
        T::read(argument, raw).map(Some)
    }
}

impl<T: Setting> Setting for Vec<T>
where
    Vec<T::Raw>: FromNapiValue,
{
    type Raw = Vec<T::Raw>;

    fn read(argument: &'static str, raw: Vec<T::Raw>) -> Result<Self> {
        raw.into_iter().map(|item| T::read(argument, item)).collect()
    }
}

/// A duration out of a number of milliseconds; `Infinity` is as long as there can be.
pub(crate) fn milliseconds(argument: &'static str, number: f64) -> Result<Duration> {
    if number == f64::INFINITY {
        return Ok(Duration::MAX);
    }
    Duration::try_from_secs_f64(number / 1000.0)
        .map_err(|_| PortMappingError::invalid(argument, format!("must be 0 ms or more, not {number}")))
}

/// The limit of a wait, which the JavaScript layer has checked; what is too long for a duration has no end.
pub(crate) fn limit(number: Option<f64>) -> Option<Duration> {
    number.map(|number| milliseconds("timeout", number).unwrap_or(Duration::MAX))
}
