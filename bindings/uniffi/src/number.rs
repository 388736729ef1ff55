//! Numbers that each host writes in a type of its own: see `uniffi.toml`.

use std::time::Duration;

use portlease::PortMappingError;

use crate::error::PortLeaseError;

/// A port, 1 to 65535. `Int` in Kotlin, `UInt16` in Swift; what is out of range is `invalid`, by the argument's name.
#[derive(Debug, Clone, Copy)]
pub struct Port(i32);

uniffi::custom_newtype!(Port, i32);

impl Port {
    /// The port for core, which checks 0 by itself. Fails with `invalid` about `argument`.
    pub(crate) fn read(self, argument: &'static str) -> Result<u16, PortLeaseError> {
        let out_of_range =
            |_| PortMappingError::invalid(argument, format!("{} is no port; allowed are 1 to 65535", self.0));
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

impl Seconds {
    /// A setting. Fails with `invalid` about `argument` for what is negative or endless.
    pub(crate) fn read(self, argument: &'static str) -> Result<Duration, PortLeaseError> {
        let wrong = |_| PortMappingError::invalid(argument, format!("{} s is no length of time", self.0));
        Ok(Duration::try_from_secs_f64(self.0).map_err(wrong)?)
    }

    /// The limit of a wait, for which every number has a meaning: what is past has run out, what is too far never comes.
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
