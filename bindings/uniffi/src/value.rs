//! Single values, on their way in, and numbers that each host writes in a type of its own: see `uniffi.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use portlease::config::{parse_address, parse_scoped_address, parse_socket_address};
use portlease::{PortMappingError, ScopedAddr};

use crate::names::{AddressFamily, PortLeaseError, Protocol, Transport};

/// A value that core gets as a `T`.
pub(crate) trait Read<T> {
    /// Fails with `invalid` about `argument` for what cannot even be read; core checks the rest.
    fn read(self, argument: &'static str) -> Result<T, PortLeaseError>;
}

/// Sets a field to a value, if there is one.
pub(crate) fn set<T>(field: &mut T, argument: &'static str, value: Option<impl Read<T>>) -> Result<(), PortLeaseError> {
    if let Some(value) = value {
        *field = value.read(argument)?;
    }
    Ok(())
}

/// As [`set`], for a field that can be absent in core too.
pub(crate) fn set_some<T>(
    field: &mut Option<T>,
    argument: &'static str,
    value: Option<impl Read<T>>,
) -> Result<(), PortLeaseError> {
    *field = value.map(|value| value.read(argument)).transpose()?;
    Ok(())
}

impl Read<IpAddr> for String {
    fn read(self, argument: &'static str) -> Result<IpAddr, PortLeaseError> {
        Ok(parse_address(argument, &self)?)
    }
}

impl Read<ScopedAddr> for String {
    fn read(self, argument: &'static str) -> Result<ScopedAddr, PortLeaseError> {
        Ok(parse_scoped_address(argument, &self)?)
    }
}

impl Read<SocketAddr> for String {
    fn read(self, argument: &'static str) -> Result<SocketAddr, PortLeaseError> {
        Ok(parse_socket_address(argument, &self)?)
    }
}

impl Read<u32> for i32 {
    fn read(self, argument: &'static str) -> Result<u32, PortLeaseError> {
        let negative = |_| PortMappingError::invalid(argument, format!("must be 0 or more, not {self}"));
        Ok(u32::try_from(self).map_err(negative)?)
    }
}

impl Read<Vec<portlease::Protocol>> for Vec<Protocol> {
    fn read(self, _: &'static str) -> Result<Vec<portlease::Protocol>, PortLeaseError> {
        Ok(self.into_iter().map(Into::into).collect())
    }
}

/// Says of types that every value of them is one of core's.
macro_rules! always {
    ($($own:ty => $core:ty),+) => {$(
        impl Read<$core> for $own {
            fn read(self, _: &'static str) -> Result<$core, PortLeaseError> {
                Ok(self.into())
            }
        }
    )+};
}

always!(String => String, String => PathBuf, bool => bool, Transport => portlease::Transport,
    AddressFamily => portlease::mapping::AddressFamily);

/// What happens after an attempt to map has failed, or a mapping was lost.
#[derive(Debug, Clone, Copy, uniffi::Enum)]
pub enum RetryPolicy {
    /// One attempt; then the lease has exited.
    Never,
    /// Try again after `min`, doubling up to `max`, for ever.
    Backoff {
        /// The first wait. Default 1 s.
        #[uniffi(default = None)]
        min: Option<Seconds>,
        /// The longest wait, at most a day. Default 5 min.
        #[uniffi(default = None)]
        max: Option<Seconds>,
    },
}

impl Read<portlease::RetryPolicy> for RetryPolicy {
    fn read(self, argument: &'static str) -> Result<portlease::RetryPolicy, PortLeaseError> {
        let wait = |value: Option<Seconds>| value.map(|value| value.read(argument)).transpose();
        Ok(match self {
            Self::Never => portlease::RetryPolicy::Never,
            Self::Backoff { min, max } => portlease::RetryPolicy::backoff(wait(min)?, wait(max)?),
        })
    }
}

/// A port, 1 to 65535. `Int` in Kotlin, `UInt16` in Swift; what is out of range is `invalid`, by the argument's name.
#[derive(Debug, Clone, Copy)]
pub struct Port(i32);

uniffi::custom_newtype!(Port, i32);

impl Read<u16> for Port {
    fn read(self, argument: &'static str) -> Result<u16, PortLeaseError> {
        let out_of_range =
            |_| PortMappingError::invalid(argument, format!("must be between 1 and 65535, not {}", self.0));
        Ok(u16::try_from(self.0).map_err(out_of_range)?)
    }
}

impl From<u16> for Port {
    fn from(port: u16) -> Self {
        Self(port.into())
    }
}

/// Seconds, with fractions. `kotlin.time.Duration` in Kotlin, `TimeInterval` in Swift.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(f64);

uniffi::custom_newtype!(Seconds, f64);

impl Read<Duration> for Seconds {
    fn read(self, argument: &'static str) -> Result<Duration, PortLeaseError> {
        let wrong =
            |_| PortMappingError::invalid(argument, format!("must be a finite time of 0 s or more, not {} s", self.0));
        Ok(Duration::try_from_secs_f64(self.0).map_err(wrong)?)
    }
}

impl Seconds {
    /// The limit of a wait. Every number has a meaning: a time below 0 has run out, one that is too long never ends.
    pub(crate) fn limit(self) -> Duration {
        match self.0 > 0.0 {
            true => Duration::try_from_secs_f64(self.0).unwrap_or(Duration::MAX),
            false => Duration::ZERO,
        }
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        Self(duration.as_secs_f64())
    }
}

/// A count for hosts whose numbers have a sign.
pub(crate) fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
