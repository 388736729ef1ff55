//! Waits that do not block, for event loops and for hosts with threads of their own kind.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portlease::{PortMappingError, wait_for};

use crate::error::{guard, portlease_error, put_error};
use crate::event::{portlease_event, put_event};
use crate::gateway::{ReportOut, portlease_gateway_report, portlease_protocol_report};
use crate::lease::portlease_lease;
use crate::mapper::{portlease_mapper, released};
use crate::memory::{Out, Place, growing, handle, take, timeout};
use crate::names::portlease_kind;
use crate::names::portlease_kind::{PORTLEASE_CANCELLED, PORTLEASE_OK};
use crate::pending::{Answer, Completion, Pending};
use crate::snapshot::{portlease_lease_snapshot, put_lease};
use crate::thread::living;

/// Many waits at once. Each is begun by a function below, which returns at once, and its end is handed out by
/// portlease_waits_next, exactly once, also when it was cancelled. Nothing happens between two calls of that: there is
/// no thread behind it. A wait keeps what its handle stands for alive, so the handle may be freed before.
#[allow(non_camel_case_types)]
pub struct portlease_waits {
    pending: Pending,
}

/// One wait that is over. Set the pointers to where results shall go, or to NULL; each is filled in only by the calls
/// that have such a result.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_completion {
    /// sizeof(portlease_completion)
    pub struct_size: usize,
    /// Filled in: the token with which the wait was begun.
    pub token: u64,
    /// From portlease_waits_lease_ready.
    pub snapshot: *mut portlease_lease_snapshot,
    /// From portlease_waits_mapper_next_event.
    pub event: *mut portlease_event,
    /// From portlease_waits_mapper_probe.
    pub report: *mut portlease_gateway_report,
    /// From portlease_waits_mapper_probe: an array.
    pub protocols: *mut portlease_protocol_report,
    /// How many fit into `protocols`.
    pub protocols_capacity: usize,
    /// Filled in: how the call ended, as the call that blocks would have; PORTLEASE_CANCELLED where it was cancelled.
    pub error: portlease_error,
}

growing!(portlease_completion: error portlease_error);

/// Makes a place for waits. Does not block. Free it with portlease_waits_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_new(
    waits: *mut *mut portlease_waits,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        unsafe { Place::new("waits", waits)? }.put(portlease_waits { pending: Pending::new() });
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Begins portlease_lease_ready. `token` is the caller's and comes back in the completion. None of these functions
/// blocks; they fail with PORTLEASE_INVALID, also where a wait with this token is not over, and with
/// PORTLEASE_STOPPED; then no completion comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_lease_ready(
    waits: *mut portlease_waits,
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let lease = Arc::clone(&unsafe { handle("lease", lease)? }.lease);
        let limit = timeout(timeout_seconds)?;
        pending.begin(token, async move { lease.ready(limit).await.map(Answer::Lease) })
    };
    unsafe { guard(error, body) }
}

/// Begins portlease_lease_stop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_lease_stop(
    waits: *mut portlease_waits,
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let lease = Arc::clone(&unsafe { handle("lease", lease)? }.lease);
        let limit = timeout(timeout_seconds)?;
        let stopping = Arc::clone(&lease);
        pending.begin(token, async move { released(lease.stop(limit).await).map(|()| Answer::Done) })?;
        begin_now(stopping.stop(limit));
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Begins portlease_lease_detach.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_lease_detach(
    waits: *mut portlease_waits,
    lease: *mut portlease_lease,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let lease = Arc::clone(&unsafe { handle("lease", lease)? }.lease);
        let ending = Arc::clone(&lease);
        pending.begin(token, async move {
            lease.detach().await;
            Ok(Answer::Done)
        })?;
        begin_now(ending.detach());
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_next_event. An event is pulled only by a wait that is handed out with it: cancelling loses
/// none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_next_event(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let mapper = Arc::clone(&unsafe { handle("mapper", mapper)? }.mapper);
        let limit = timeout(timeout_seconds)?;
        pending.begin(token, async move { mapper.next_event(limit).await.map(Answer::Event) })
    };
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_probe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_probe(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let mapper = Arc::clone(&unsafe { handle("mapper", mapper)? }.mapper);
        pending.begin(token, async move { mapper.probe().await.map(Answer::Report) })
    };
    unsafe { guard(error, body) }
}

/// Begins portlease_mapper_stop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_mapper_stop(
    waits: *mut portlease_waits,
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let mapper = Arc::clone(&unsafe { handle("mapper", mapper)? }.mapper);
        let limit = timeout(timeout_seconds)?;
        let stopping = Arc::clone(&mapper);
        pending.begin(token, async move { released(mapper.stop(limit).await).map(|()| Answer::Done) })?;
        begin_now(stopping.stop(limit));
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Takes the first step of what has begun, which is the release itself: it goes on also where nobody ever looks at the
/// wait, or the wait is cancelled before that.
fn begin_now<F: Future<Output: Send> + Send>(call: F) {
    drop(living(|| wait_for(pin!(call), Duration::ZERO)));
}

/// Cancels the wait with this token: it ends with PORTLEASE_CANCELLED, unless it was over already. Cancels the wait
/// only: the lease goes on, and so does a stop or detach. Does not block. Fails with PORTLEASE_INVALID for NULL only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_cancel(
    waits: *mut portlease_waits,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    unsafe { guard(error, || handle("waits", waits)?.pending.cancel(token)) }
}

/// Hands out the next wait that is over, waiting for one (default: without limit; 0 only looks). Several threads may
/// call it. Fails with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the waits are stopped and all handed out.
/// `error` is this call's own; how the wait went is in `completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_next(
    waits: *mut portlease_waits,
    timeout_seconds: f64,
    completion: *mut portlease_completion,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        let place = unsafe { CompletionOut::new(completion)? };
        place.put(&pending.next(timeout(timeout_seconds)?)?);
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// A descriptor for poll(2), select(2) and their kin: readable when portlease_waits_next(waits, 0, ...) is worth a
/// call; call that until it answers PORTLEASE_TIMEOUT. Belongs to `waits`: never read from it, never close it.
/// PORTLEASE_INVALID where the system has no such thing (Windows).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_descriptor(
    waits: *mut portlease_waits,
    descriptor: *mut i32,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let pending = &unsafe { handle("waits", waits)? }.pending;
        unsafe { handle("descriptor", descriptor)? };
        let number = pending.descriptor()?;
        unsafe { descriptor.write(number) };
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Cancels all waits and lets none begin any more, which wakes every thread in portlease_waits_next. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_stop(
    waits: *mut portlease_waits,
    error: *mut portlease_error,
) -> portlease_kind {
    unsafe { guard(error, || handle("waits", waits)?.pending.stop()) }
}

/// Frees it and cancels what is in it; no completions come any more. No other thread may be in a call on it (stop
/// first, and let them return). Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_free(waits: *mut portlease_waits) {
    let body = || {
        drop(unsafe { take(waits) });
        Ok(())
    };
    unsafe { guard(std::ptr::null_mut(), body) };
}

/// Where a completion and its result go; all checked before anything is taken out.
struct CompletionOut {
    completion: *mut portlease_completion,
    snapshot: Option<Out<portlease_lease_snapshot>>,
    event: Option<Out<portlease_event>>,
    report: ReportOut,
}

impl CompletionOut {
    /// # Safety
    /// As [`Out::new`], for the completion and for what its pointers point to.
    unsafe fn new(completion: *mut portlease_completion) -> Result<Self, PortMappingError> {
        unsafe {
            // All its fields are of the first version, so that the size needs no thought beyond this check.
            Out::new("completion", completion)?;
            let (report, protocols) = ((*completion).report, (*completion).protocols);
            Ok(Self {
                completion,
                snapshot: Out::optional("snapshot", (*completion).snapshot)?,
                event: Out::optional("event", (*completion).event)?,
                report: ReportOut::new(report, protocols, (*completion).protocols_capacity)?,
            })
        }
    }

    fn put(&self, over: &Completion) {
        match &over.outcome {
            Some(Ok(Answer::Lease(lease))) => {
                self.snapshot.iter().for_each(|out| out.put(|to| unsafe { put_lease(to, lease) }));
            }
            Some(Ok(Answer::Event(event))) => {
                self.event.iter().for_each(|out| out.put(|to| unsafe { put_event(to, event) }));
            }
            Some(Ok(Answer::Report(report))) => self.report.put(report),
            Some(Ok(Answer::Done) | Err(_)) | None => {}
        }
        let (kind, message) = match &over.outcome {
            None => (PORTLEASE_CANCELLED, "the wait was cancelled".to_owned()),
            Some(Err(error)) => (error.kind().into(), error.message()),
            Some(Ok(_)) => (PORTLEASE_OK, String::new()),
        };
        // `new` has checked the pointer.
        unsafe {
            (*self.completion).token = over.token;
            put_error(&raw mut (*self.completion).error, kind, &message);
        }
    }
}
