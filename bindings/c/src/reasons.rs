//! The reasons of a failure, protocol by protocol: too much for an error that lives on the caller's stack.

use std::ffi::c_char;

use portlease::{ErrorDetail, ErrorReport, PortMappingError};

use crate::error::{PORTLEASE_MESSAGE_SIZE, guard, portlease_error};
use crate::gateway::PORTLEASE_NAME_SIZE;
use crate::latest;
use crate::lease::portlease_lease;
use crate::memory::{Caller, Out, OutArray, To, field, fill, growing};
use crate::names::portlease_kind::PORTLEASE_OK;
use crate::names::{portlease_kind, portlease_protocol};
use crate::snapshot::seconds;

/// The size of an advice with its end.
pub const PORTLEASE_ADVICE_SIZE: usize = 512;

/// A failure with its reasons.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_error_report {
    /// sizeof(portlease_error_report)
    pub struct_size: usize,
    /// How many protocols were tried, also if fewer fit into the caller's array; 0 if it is about none.
    pub detail_count: usize,
    /// For how many seconds it is useless to try again; negative if that is not known.
    pub retry_after: f64,
    /// As in portlease_error; PORTLEASE_OK if nothing has failed.
    pub kind: portlease_kind,
    /// As in portlease_error.
    pub message: [c_char; PORTLEASE_MESSAGE_SIZE],
    /// One sentence for people about what to do now, or "".
    pub advice: [c_char; PORTLEASE_ADVICE_SIZE],
}

/// What one protocol has answered, in the configured order.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_error_detail {
    /// sizeof(portlease_error_detail)
    pub struct_size: usize,
    /// The protocol that was tried.
    pub protocol: portlease_protocol,
    /// Why it failed.
    pub kind: portlease_kind,
    /// For how many seconds the router says that the refusal holds; negative if it gave no time.
    pub retry_after: f64,
    /// The router's number: a PCP or NAT-PMP result code, or a UPnP error code; 0 if it answered with none.
    pub code: u32,
    /// For people.
    pub message: [c_char; PORTLEASE_MESSAGE_SIZE],
    /// The name of the code in its standard, such as "NOT_AUTHORIZED", or "".
    pub name: [c_char; PORTLEASE_NAME_SIZE],
}

growing!(
    portlease_error_report: advice [c_char; PORTLEASE_ADVICE_SIZE],
    portlease_error_detail: name [c_char; PORTLEASE_NAME_SIZE],
);

/// Where a failure with its reasons goes.
struct ReasonsOut<'c> {
    report: Option<Out<'c, portlease_error_report>>,
    details: OutArray<'c, portlease_error_detail>,
}

impl<'c> ReasonsOut<'c> {
    fn new(
        caller: Caller<'c>,
        report: *mut portlease_error_report,
        details: *mut portlease_error_detail,
        capacity: usize,
    ) -> Result<Self, PortMappingError> {
        let report = caller.optional_out("report", report)?;
        Ok(Self { report, details: caller.out_array("details", details, capacity)? })
    }

    fn put(&self, failure: Option<&ErrorReport>) {
        if let Some(report) = &self.report {
            report.put(|to| put_report(to, failure));
        }
        self.details.put(failure.iter().flat_map(|failure| &failure.details), put_detail);
    }
}

fn put_report(to: To<'_, portlease_error_report>, failure: Option<&ErrorReport>) {
    fill!(to, {
        kind: failure.map_or(PORTLEASE_OK, |failure| failure.kind.into()),
        detail_count: failure.map_or(0, |failure| failure.details.len()),
        retry_after: seconds(failure.and_then(|failure| failure.retry_after)),
    });
    field!(to, message).set_text(failure.map_or("", |failure| &failure.message));
    field!(to, advice).set_text(failure.and_then(|failure| failure.advice.as_deref()).unwrap_or_default());
}

fn put_detail(to: To<'_, portlease_error_detail>, detail: &ErrorDetail) {
    fill!(to, {
        protocol: detail.protocol.into(),
        kind: detail.kind.into(),
        retry_after: seconds(detail.retry_after),
        code: detail.code.unwrap_or_default(),
    });
    field!(to, message).set_text(&detail.message);
    field!(to, name).set_text(detail.name.as_deref().unwrap_or_default());
}

/// The latest failure that this thread was told, with its reasons: that of a call, of an event, or of a wait that was
/// handed out. A call that succeeds leaves it as it is, as with errno. `report` may be NULL, and so may `details` if
/// `capacity` is 0. Does not block. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_error_get_report(
    report: *mut portlease_error_report,
    details: *mut portlease_error_detail,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let out = ReasonsOut::new(caller, report, details, capacity)?;
        out.put(latest::failure().as_deref());
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// The same for `last_error` of the lease's snapshot, whichever thread was told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_get_error(
    lease: *const portlease_lease,
    report: *mut portlease_error_report,
    details: *mut portlease_error_detail,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = ReasonsOut::new(caller, report, details, capacity)?;
        out.put(lease.snapshot().last_error.as_deref());
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portlease::{ErrorKind, Protocol};

    use super::*;
    use crate::names::portlease_kind::{PORTLEASE_REFUSED, PORTLEASE_UNAVAILABLE};

    /// A struct of C that the caller has not filled in but for its size.
    fn init<T>() -> T {
        let mut made = std::mem::MaybeUninit::<T>::zeroed();
        // SAFETY: the first field is the size, and zero is a value of every field of the structs below.
        unsafe {
            made.as_mut_ptr().cast::<usize>().write(size_of::<T>());
            made.assume_init()
        }
    }

    fn said(text: &[c_char]) -> String {
        String::from_utf8(text.iter().take_while(|char| **char != 0).map(|char| *char as u8).collect()).unwrap()
    }

    #[test]
    fn the_latest_failure_of_a_thread_is_told_with_what_each_protocol_has_answered() {
        let refused = ErrorDetail::new(Protocol::Pcp, ErrorKind::Refused, "no")
            .code(2)
            .name("NOT_AUTHORIZED".to_owned())
            .retry_after(Duration::from_secs(30));
        let silent = ErrorDetail::new(Protocol::NatPmp, ErrorKind::Unavailable, "silent");
        let failure = PortMappingError::refused_for("both", Duration::from_secs(30)).with_details([refused, silent]);
        latest::remember_failure(&failure);
        let (mut report, mut details) = (init::<portlease_error_report>(), [init::<portlease_error_detail>(); 2]);
        // SAFETY: the report and the array can be written.
        let kind = unsafe {
            portlease_error_get_report(&raw mut report, details.as_mut_ptr(), details.len(), std::ptr::null_mut())
        };
        assert_eq!(
            (kind, report.kind, report.detail_count, report.retry_after),
            (PORTLEASE_OK, PORTLEASE_REFUSED, 2, 30.0)
        );
        assert_eq!((said(&report.message), said(&report.advice)), ("both".to_owned(), failure.advice().unwrap()));
        let [pcp, nat_pmp] = details;
        assert_eq!((pcp.protocol, pcp.kind), (Protocol::Pcp.into(), PORTLEASE_REFUSED));
        assert_eq!((pcp.code, pcp.retry_after, said(&pcp.name)), (2, 30.0, "NOT_AUTHORIZED".to_owned()));
        assert_eq!((nat_pmp.kind, nat_pmp.code, said(&nat_pmp.name)), (PORTLEASE_UNAVAILABLE, 0, String::new()));
        assert!(nat_pmp.retry_after < 0.0 && said(&nat_pmp.message) == "silent");
    }
}
