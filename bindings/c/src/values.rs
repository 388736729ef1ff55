//! Values as C gives them: each reader answers `None` for what means the default.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portlease::config::{MAX_DESCRIPTION_LENGTH, parse_address, parse_socket_address};
use portlease::{PortMappingError, Protocol, RetryPolicy};

use crate::memory;
use crate::names::{self, portlease_protocol};

type Result<T> = std::result::Result<T, PortMappingError>;

/// How many protocols a list holds; shorter ones end with PORTLEASE_PROTOCOL_ABSENT.
pub const PORTLEASE_MAX_PROTOCOLS: usize = 8;

/// No address is longer, with or without a port and a zone.
const MAX_ADDRESS_BYTES: usize = 127;
/// Four bytes for each character of a description. Core checks the number of characters.
const MAX_TEXT_BYTES: usize = 4 * MAX_DESCRIPTION_LENGTH + 3;

/// Sets a field to a value, if there is one.
pub(crate) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// The number that C passed as an enum; any number can stand there.
pub(crate) fn number<T>(value: MaybeUninit<T>) -> i32 {
    const { assert!(size_of::<T>() == size_of::<i32>()) };
    // SAFETY: enums are ints in C, and what C passed by value or in zeroed memory is initialised.
    unsafe { std::mem::transmute_copy(&value) }
}

/// The error about a number that is not a value of an enum.
pub(crate) fn not_one_of(argument: &'static str, number: i32, allowed: &str) -> PortMappingError {
    PortMappingError::invalid(argument, format!("must be {allowed}, not {number}"))
}

/// What C takes for true: any byte but zero.
pub(crate) fn truth(value: MaybeUninit<bool>) -> bool {
    // SAFETY: what C passed by value or in zeroed memory is initialised.
    let byte: u8 = unsafe { std::mem::transmute_copy(&value) };
    byte != 0
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
    Duration::try_from_secs_f64(value)
        .map(Some)
        .map_err(|_| PortMappingError::invalid(argument, format!("{value} is no number of seconds; 0 is the default")))
}

/// A text.
///
/// # Safety
/// As [`memory::text`].
pub(crate) unsafe fn text(argument: &'static str, pointer: *const c_char) -> Result<Option<String>> {
    // SAFETY: the caller's promise.
    Ok(unsafe { memory::text(argument, pointer, MAX_TEXT_BYTES)? }.map(str::to_owned))
}

/// An address.
///
/// # Safety
/// As [`memory::text`].
pub(crate) unsafe fn address(argument: &'static str, pointer: *const c_char) -> Result<Option<IpAddr>> {
    // SAFETY: the caller's promise.
    let text = unsafe { memory::text(argument, pointer, MAX_ADDRESS_BYTES)? };
    text.map(|text| parse_address(argument, text)).transpose()
}

/// An address with a port.
///
/// # Safety
/// As [`memory::text`].
pub(crate) unsafe fn socket_address(argument: &'static str, pointer: *const c_char) -> Result<Option<SocketAddr>> {
    // SAFETY: the caller's promise.
    let text = unsafe { memory::text(argument, pointer, MAX_ADDRESS_BYTES)? };
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
        let message = "retry_never is set, and so is a wait; allowed is one of them";
        return Err(PortMappingError::invalid(argument, message));
    }
    Ok(Some(RetryPolicy::Never))
}
