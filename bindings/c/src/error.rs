//! Failures, with their text in the caller's own buffer.

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use portlease::{ErrorReport, PortMappingError};

use crate::memory::put_text;
use crate::names::portlease_kind;
use crate::names::portlease_kind::*;
use crate::thread;

/// The size of an error message with its end.
pub const PORTLEASE_MESSAGE_SIZE: usize = 508;

/// Why a call, an attempt or a lease failed. `kind` PORTLEASE_OK: nothing did, and the message is empty.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_error {
    /// What programs go by.
    pub kind: portlease_kind,
    /// For people: UTF-8, lower case, no full stop, cut off where it is too long.
    pub message: [c_char; PORTLEASE_MESSAGE_SIZE],
}

/// Fills an error in; the bytes behind the message's end stay as they are.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_error(to: *mut portlease_error, kind: portlease_kind, message: &str) {
    unsafe {
        (*to).kind = kind;
        put_text(&raw mut (*to).message, message);
    }
}

/// Fills in the failure that a snapshot or an event shows.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_report(to: *mut portlease_error, report: Option<&ErrorReport>) {
    let (kind, message) = report.map_or((PORTLEASE_OK, ""), |report| (report.kind.into(), report.message.as_str()));
    unsafe { put_error(to, kind, message) }
}

/// Runs the body of an exported function: nothing unwinds into C, and the caller's error says how it went.
///
/// # Safety
/// `error` is NULL or can be written.
pub(crate) unsafe fn guard(
    error: *mut portlease_error,
    body: impl FnOnce() -> Result<(), PortMappingError>,
) -> portlease_kind {
    thread::enter();
    unsafe { guard_read(error, body) }
}

/// As [`guard`], for a body that only reads: it needs no thread-local, and every nanosecond of it counts.
///
/// # Safety
/// As [`guard`].
pub(crate) unsafe fn guard_read(
    error: *mut portlease_error,
    body: impl FnOnce() -> Result<(), PortMappingError>,
) -> portlease_kind {
    let outcome = unpanicked(body);
    let kind = outcome.as_ref().err().map_or(PORTLEASE_OK, |failure| failure.kind().into());
    if !error.is_null() && error.is_aligned() {
        match &outcome {
            Ok(()) => unsafe { put_error(error, PORTLEASE_OK, "") },
            Err(failure) => unsafe { put_error(error, kind, &failure.message()) },
        }
    }
    kind
}

/// Turns a panic into an error of kind `internal`.
pub(crate) fn unpanicked<T>(body: impl FnOnce() -> Result<T, PortMappingError>) -> Result<T, PortMappingError> {
    // What the body borrowed from handles is behind core's own locks, which outlive a panic.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(PortMappingError::internal(said_by(&*panic))))
}

fn said_by(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_message() {
        let mut error = portlease_error { kind: PORTLEASE_OK, message: [1; PORTLEASE_MESSAGE_SIZE] };
        let kind = unsafe { guard(&raw mut error, || panic!("boom {}", 1)) };
        assert_eq!((kind, error.kind), (PORTLEASE_INTERNAL, PORTLEASE_INTERNAL));
        let message = unsafe { std::ffi::CStr::from_ptr(error.message.as_ptr()) };
        assert_eq!(message.to_str().unwrap(), "panicked: boom 1");
    }

    #[test]
    fn a_message_has_the_systems_error_in_it() {
        let mut error = portlease_error { kind: PORTLEASE_OK, message: [1; PORTLEASE_MESSAGE_SIZE] };
        let cause = std::io::Error::other("boom");
        unsafe { guard(&raw mut error, || Err(PortMappingError::transport("cannot send", cause))) };
        let message = unsafe { std::ffi::CStr::from_ptr(error.message.as_ptr()) };
        assert_eq!(message.to_str().unwrap(), "cannot send: boom");
    }
}
