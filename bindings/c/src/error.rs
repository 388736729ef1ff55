//! Kinds, and the error text in the caller's own buffer.

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use portlease::{ErrorKind, ErrorReport, PortMappingError};

use crate::memory::put_text;
use crate::thread;

/// The size of an error message with its end.
pub const PORTLEASE_MESSAGE_SIZE: usize = 508;

/// What a call answers: PORTLEASE_OK or why not. Programs go by this; messages are for people.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum portlease_kind {
    /// Done.
    PORTLEASE_OK = 0,
    /// No gateway, or none of the protocols answered, or the gateway says that it has no such service.
    PORTLEASE_UNAVAILABLE = 1,
    /// A call ran past its deadline.
    PORTLEASE_TIMEOUT = 2,
    /// A socket-level error on the way to the gateway.
    PORTLEASE_TRANSPORT = 3,
    /// The gateway answered no; the message has protocol and code.
    PORTLEASE_REFUSED = 4,
    /// An argument of the caller; the message names it and says what is allowed.
    PORTLEASE_INVALID = 5,
    /// The handle is stopped, or belongs to the process before a fork.
    PORTLEASE_STOPPED = 6,
    /// A defect in portlease.
    PORTLEASE_INTERNAL = 7,
    /// Only from portlease_waits_next: the caller cancelled this wait. Nothing has failed.
    PORTLEASE_CANCELLED = 100,
}
use portlease_kind::*;

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

impl From<ErrorKind> for portlease_kind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable => PORTLEASE_UNAVAILABLE,
            ErrorKind::Timeout => PORTLEASE_TIMEOUT,
            ErrorKind::Transport => PORTLEASE_TRANSPORT,
            ErrorKind::Refused => PORTLEASE_REFUSED,
            ErrorKind::Invalid => PORTLEASE_INVALID,
            ErrorKind::Stopped => PORTLEASE_STOPPED,
            // Also what a kind that this file does not know yet would be; a test finds that first.
            _ => PORTLEASE_INTERNAL,
        }
    }
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

    #[test]
    fn only_a_defect_is_internal() {
        for kind in ErrorKind::ALL {
            let internal = portlease_kind::from(kind) == PORTLEASE_INTERNAL;
            assert_eq!(internal, kind == ErrorKind::Internal, "{kind}");
        }
    }
}
