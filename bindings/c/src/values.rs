//! Values as C gives them: each reader answers `None` for what means the default.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use portlease::config::{MAX_DESCRIPTION_LENGTH, parse_address, parse_scoped_address, parse_socket_address};
use portlease::{PortMappingError, Protocol, RetryPolicy, ScopedAddr};

use crate::memory::place::PORTLEASE_ADDRESS_SIZE;
use crate::memory::{Caller, To, number, truth};
use crate::names::{self, portlease_protocol};

type Result<T> = std::result::Result<T, PortMappingError>;

/// How many protocols a list holds; shorter ones end with PORTLEASE_PROTOCOL_ABSENT.
pub const PORTLEASE_MAX_PROTOCOLS: usize = 8;

/// No address is longer, with or without a port and a zone.
const MAX_ADDRESS_BYTES: usize = 127;
/// Four bytes for each character of a description. Core checks the number of characters.
const MAX_TEXT_BYTES: usize = 4 * MAX_DESCRIPTION_LENGTH + 3;
/// Linux takes no longer path (PATH_MAX, with the zero byte at the end).
const MAX_PATH_BYTES: usize = 4095;

/// Sets a field to a value, if there is one.
pub(crate) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// A number for which 0 means the default.
pub(crate) fn nonzero<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// A time in seconds, for which 0 means the default.
pub(crate) fn seconds(argument: &'static str, value: f64) -> Result<Option<Duration>> {
    if value == 0.0 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(value).map(Some).map_err(|_| {
        PortMappingError::invalid(argument, format!("must be a number of seconds, or 0 for the default, not {value}"))
    })
}

/// A time in seconds, for which 0 means the default and a negative number never.
pub(crate) fn seconds_or_never(argument: &'static str, value: f64) -> Result<Option<Duration>> {
    if value < 0.0 { Ok(Some(Duration::ZERO)) } else { seconds(argument, value) }
}

/// A text.
pub(crate) fn text(caller: Caller<'_>, argument: &'static str, pointer: *const c_char) -> Result<Option<String>> {
    Ok(caller.text(argument, pointer, MAX_TEXT_BYTES)?.map(str::to_owned))
}

/// A path, of any bytes.
#[cfg(unix)]
pub(crate) fn path(caller: Caller<'_>, argument: &'static str, pointer: *const c_char) -> Result<Option<PathBuf>> {
    let bytes = caller.bytes(argument, pointer, MAX_PATH_BYTES)?;
    Ok(bytes.map(|bytes| std::ffi::OsStr::from_bytes(bytes).into()))
}

/// A path, in UTF-8: its bytes alone say nothing where paths are not made of bytes.
#[cfg(not(unix))]
pub(crate) fn path(caller: Caller<'_>, argument: &'static str, pointer: *const c_char) -> Result<Option<PathBuf>> {
    Ok(caller.text(argument, pointer, MAX_PATH_BYTES)?.map(PathBuf::from))
}

/// An address.
pub(crate) fn address(caller: Caller<'_>, argument: &'static str, pointer: *const c_char) -> Result<Option<IpAddr>> {
    let text = caller.text(argument, pointer, MAX_ADDRESS_BYTES)?;
    text.map(|text| parse_address(argument, text)).transpose()
}

/// An address that may have a scope.
pub(crate) fn scoped_address(
    caller: Caller<'_>,
    argument: &'static str,
    pointer: *const c_char,
) -> Result<Option<ScopedAddr>> {
    let text = caller.text(argument, pointer, MAX_ADDRESS_BYTES)?;
    text.map(|text| parse_scoped_address(argument, text)).transpose()
}

/// An address with a port.
pub(crate) fn socket_address(
    caller: Caller<'_>,
    argument: &'static str,
    pointer: *const c_char,
) -> Result<Option<SocketAddr>> {
    let text = caller.text(argument, pointer, MAX_ADDRESS_BYTES)?;
    text.map(|text| parse_socket_address(argument, text)).transpose()
}

/// A list of protocols, up to the first that is absent.
pub(crate) fn protocols(
    argument: &'static str,
    slots: &[MaybeUninit<portlease_protocol>],
) -> Result<Option<Vec<Protocol>>> {
    let absent = portlease_protocol::PORTLEASE_PROTOCOL_ABSENT as i32;
    let given = slots.iter().take_while(|slot| number(**slot) != absent);
    let protocols = given.map(|slot| names::read_protocol(argument, *slot)).collect::<Result<Vec<_>>>()?;
    Ok(nonzero(protocols))
}

/// What happens after a failure.
pub(crate) fn retry(
    argument: &'static str,
    never: MaybeUninit<bool>,
    min: f64,
    max: f64,
) -> Result<Option<RetryPolicy>> {
    let (min, max) = (seconds(argument, min)?, seconds(argument, max)?);
    if !truth(never) {
        return Ok(Some(RetryPolicy::backoff(min, max)));
    }
    if min.is_some() || max.is_some() {
        let message = "retry_never and a wait are both set; set only one of them";
        return Err(PortMappingError::invalid(argument, message));
    }
    Ok(Some(RetryPolicy::Never))
}

/// A time-out in seconds. `None` waits without limit, or as long as the call does by default.
pub(crate) fn timeout(seconds: f64) -> Result<Option<Duration>> {
    if seconds.is_nan() {
        return Err(PortMappingError::invalid("timeout", "must be seconds from 0 to INFINITY, not NAN"));
    }
    // Negative: the default. A time that no clock can count has no end.
    Ok((seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// Where an address goes: text of PORTLEASE_ADDRESS_SIZE bytes.
pub(crate) fn address_out<'c>(
    caller: Caller<'c>,
    address: *mut c_char,
) -> Result<To<'c, [c_char; PORTLEASE_ADDRESS_SIZE]>> {
    caller.place("address", address.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_zero_is_the_default_and_a_negative_one_is_never() {
        let read = |value| seconds_or_never("check_interval", value);
        assert_eq!(read(0.0).unwrap(), None);
        assert_eq!(read(2.5).unwrap(), Some(Duration::from_millis(2500)));
        assert_eq!(read(-1.0).unwrap(), Some(Duration::ZERO));
        assert_eq!(read(f64::NEG_INFINITY).unwrap(), Some(Duration::ZERO));
        for value in [f64::NAN, f64::INFINITY] {
            assert!(read(value).unwrap_err().to_string().starts_with("check_interval: "));
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_path_is_any_bytes_and_empty_text_is_none() {
        // SAFETY: the texts below end with a zero byte.
        let caller = unsafe { Caller::new() };
        let read = |text: &std::ffi::CStr| path(caller, "state_dir", text.as_ptr());
        assert_eq!(read(c"").unwrap(), None);
        assert_eq!(path(caller, "state_dir", std::ptr::null()).unwrap(), None);
        assert_eq!(read(c"/var/lib/\xff").unwrap().unwrap().as_os_str().as_bytes(), b"/var/lib/\xff");
        let long = std::ffi::CString::new(vec![b'x'; MAX_PATH_BYTES + 1]).unwrap();
        assert!(read(&long).unwrap_err().to_string().starts_with("state_dir: "));
    }

    #[test]
    fn a_timeout_is_seconds_negative_is_the_default_and_not_a_number_is_invalid() {
        assert_eq!(timeout(0.25).unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(timeout(0.0).unwrap(), Some(Duration::ZERO));
        assert_eq!(timeout(-1.0).unwrap(), None);
        assert_eq!(timeout(f64::INFINITY).unwrap(), Some(Duration::MAX));
        assert_eq!(timeout(1e300).unwrap(), Some(Duration::MAX));
        assert!(timeout(f64::NAN).unwrap_err().to_string().starts_with("timeout: "));
    }
}
