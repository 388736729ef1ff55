//! Failures, with their text in the caller's own buffer.

use std::any::Any;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use portlease::{ErrorReport, PortMappingError};

use crate::memory::{Caller, To, field};
use crate::names::portlease_kind;
use crate::names::portlease_kind::PORTLEASE_OK;
use crate::{latest, thread};

/// The size of an error message with its end.
pub const PORTLEASE_MESSAGE_SIZE: usize = 508;

/// Why a call, an attempt or a lease failed. If nothing failed, `kind` is PORTLEASE_OK and the message is empty.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_error {
    /// What programs go by.
    pub kind: portlease_kind,
    /// For people: UTF-8, lower case, no full stop, cut off if it is too long.
    pub message: [c_char; PORTLEASE_MESSAGE_SIZE],
}

/// Fills in an error; the bytes after the message's end stay as they are.
pub(crate) fn put_error(to: To<'_, portlease_error>, kind: portlease_kind, message: &str) {
    field!(to, kind).set(kind);
    field!(to, message).set_text(message);
}

/// Fills in the failure that a snapshot or an event shows.
pub(crate) fn put_report(to: To<'_, portlease_error>, report: Option<&ErrorReport>) {
    let (kind, message) = report.map_or((PORTLEASE_OK, ""), |report| (report.kind.into(), report.message.as_str()));
    put_error(to, kind, message);
}

/// Runs the body of an exported function: nothing unwinds into C, and the caller's error says how it went.
///
/// # Safety
/// A C program has called that function and keeps the header's rules, and the body gives only its arguments to the
/// [`Caller`].
pub(crate) unsafe fn guard(
    error: *mut portlease_error,
    body: impl for<'c> FnOnce(Caller<'c>) -> Result<(), PortMappingError>,
) -> portlease_kind {
    let _uncancelled = thread::Uncancelled::new();
    thread::enter();
    // SAFETY: as this function.
    unsafe { guard_read(error, body) }
}

/// As [`guard`], for a body that only reads: it needs no thread-local, makes no call at which a thread can be cancelled, and
/// every nanosecond of it counts.
///
/// # Safety
/// As [`guard`].
pub(crate) unsafe fn guard_read(
    error: *mut portlease_error,
    body: impl for<'c> FnOnce(Caller<'c>) -> Result<(), PortMappingError>,
) -> portlease_kind {
    // SAFETY: the promise is the same.
    let caller = unsafe { Caller::new() };
    let outcome = unpanicked(|| body(caller));
    let kind = outcome.as_ref().err().map_or(PORTLEASE_OK, |failure| failure.kind().into());
    if let Err(failure) = &outcome {
        latest::remember_failure(failure);
    }
    if let Ok(Some(error)) = caller.optional_place("error", error) {
        match &outcome {
            Ok(()) => put_error(error, PORTLEASE_OK, ""),
            Err(failure) => put_error(error, kind, &failure.message()),
        }
    }
    kind
}

/// Frees a handle, on a thread on which core can end what it holds.
///
/// # Safety
/// As [`guard`]; `handle` is the argument of the function.
pub(crate) unsafe fn free<T: Send>(handle: *mut T) {
    let body = |caller: Caller<'_>| {
        let handle = caller.take(handle);
        thread::living(|| drop(handle));
        Ok(())
    };
    // SAFETY: as this function.
    unsafe { guard(std::ptr::null_mut(), body) };
}

/// Turns a panic into an error of kind `internal`.
fn unpanicked<T>(body: impl FnOnce() -> Result<T, PortMappingError>) -> Result<T, PortMappingError> {
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

    /// What a call with this body answers, and the error that it writes.
    fn answered(body: impl Fn() -> Result<(), PortMappingError>) -> (portlease_kind, portlease_kind, String) {
        let mut error = portlease_error { kind: PORTLEASE_OK, message: [1; PORTLEASE_MESSAGE_SIZE] };
        // SAFETY: the error can be written, and the body uses no pointer.
        let kind = unsafe { guard(&raw mut error, |_| body()) };
        let message = error.message.iter().take_while(|char| **char != 0).map(|char| *char as u8);
        (kind, error.kind, String::from_utf8(message.collect()).unwrap())
    }

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_message() {
        let internal = portlease_kind::PORTLEASE_INTERNAL;
        assert_eq!(answered(|| panic!("boom {}", 1)), (internal, internal, "panicked: boom 1".to_owned()));
    }

    #[test]
    fn a_message_has_the_systems_error_in_it() {
        let fail = || Err(PortMappingError::transport("cannot send", std::io::Error::other("boom")));
        assert_eq!(answered(fail).2, "cannot send: boom");
    }
}
