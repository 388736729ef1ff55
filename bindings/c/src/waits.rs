//! Waits that do not block, for event loops and for hosts with threads of their own kind: core's `Waits`, for C.

use std::ffi::c_char;
use std::net::IpAddr;
use std::sync::Arc;

use portlease::{
    Completion, GatewayReport, LeaseSnapshot, PortMappingError, PulledEvent, Release, TableEntry, WaitEnd, Waits,
};

use crate::error::{free, guard, portlease_error, put_error};
use crate::event::{portlease_event, put_event};
use crate::gateway::{ReportOut, portlease_gateway_report, portlease_protocol_report};
use crate::latest::remember_failure;
use crate::lease::portlease_lease;
use crate::mapper::portlease_mapper;
use crate::memory::place::PORTLEASE_ADDRESS_SIZE;
use crate::memory::{Caller, Out, To, field, growing};
use crate::names::portlease_kind::{PORTLEASE_CANCELLED, PORTLEASE_INTERNAL, PORTLEASE_OK};
use crate::names::{portlease_kind, portlease_release};
use crate::reader::portlease_events;
use crate::snapshot::{portlease_lease_snapshot, put_lease};
use crate::table::{TableOut, portlease_table_entry};
use crate::thread::living;
use crate::values::{address_out, timeout};

/// What a wait ends with, if the call has not failed.
pub(crate) enum Answer {
    Lease(LeaseSnapshot),
    /// It is taken when it is handed out, and not before.
    Event(PulledEvent),
    Report(GatewayReport),
    Release(Release),
    Address(IpAddr),
    Table(Vec<TableEntry>),
}

pub(crate) type Outcome = Result<Answer, PortMappingError>;

/// Many waits at once. Each is begun by a function below, which returns at once, and its end is handed out by
/// portlease_waits_next, exactly once, also if it was cancelled. Nothing happens between two calls of that: there is
/// no thread behind it. A wait keeps what its handle stands for alive, so the handle may be freed before.
#[allow(non_camel_case_types)]
pub struct portlease_waits {
    pub(crate) waits: Waits<Outcome>,
}

/// One wait that is over. Set each pointer to where that result is to go, or to NULL; it is filled in only by the calls
/// that have such a result.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_completion {
    /// sizeof(portlease_completion)
    pub struct_size: usize,
    /// Filled in: the token with which the wait was begun.
    pub token: u64,
    /// From portlease_waits_lease_ready, portlease_waits_lease_changed and portlease_waits_lease_repair.
    pub snapshot: *mut portlease_lease_snapshot,
    /// From portlease_waits_mapper_next_event and portlease_waits_events_next.
    pub event: *mut portlease_event,
    /// From portlease_waits_mapper_probe, portlease_waits_probe, and these two with `_of`.
    pub report: *mut portlease_gateway_report,
    /// From the same: an array.
    pub protocols: *mut portlease_protocol_report,
    /// How many fit into `protocols`.
    pub protocols_capacity: usize,
    /// From portlease_waits_lease_stop, portlease_waits_lease_detach and portlease_waits_mapper_stop.
    pub release: *mut portlease_release,
    /// Filled in: how the call ended, as the call that blocks would have; PORTLEASE_CANCELLED if it was cancelled.
    pub error: portlease_error,
    /// From portlease_waits_mapper_table and portlease_waits_mapper_delete: an array.
    pub entries: *mut portlease_table_entry,
    /// How many fit into `entries`.
    pub entries_capacity: usize,
    /// From the same two: how many there are.
    pub entry_count: usize,
    /// From portlease_waits_mapper_external_address and portlease_waits_external_address: PORTLEASE_ADDRESS_SIZE bytes.
    pub address: *mut c_char,
}

growing!(portlease_completion: address *mut c_char => entries);

/// Makes an object that holds waits. Does not block. Free it with portlease_waits_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_new(
    waits: *mut *mut portlease_waits,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        caller.handle_out("waits", waits)?.put(portlease_waits { waits: Waits::new() });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_lease_ready. `token` is the caller's; the completion carries it. None of these functions
/// blocks. They fail with PORTLEASE_INVALID, also if a wait with this token is not over, and with PORTLEASE_STOPPED;
/// then no completion comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_lease_ready(
    waits: *mut portlease_waits,
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let ready = caller.handle("lease", lease)?.lease.ready_owned(timeout(timeout_seconds)?);
        waits.begin(token, async move { ready.await.map(Answer::Lease) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_lease_changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_lease_changed(
    waits: *mut portlease_waits,
    lease: *mut portlease_lease,
    since_revision: u64,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let lease = caller.handle("lease", lease)?.lease.clone();
        let limit = timeout(timeout_seconds)?;
        waits.begin(token, async move { lease.changed(since_revision, limit).await.map(Answer::Lease) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_lease_repair. Cancelling it ends the wait, not the repair.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_lease_repair(
    waits: *mut portlease_waits,
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let lease = caller.handle("lease", lease)?.lease.clone();
        let limit = timeout(timeout_seconds)?;
        waits.begin(token, async move { lease.repair(limit).await.map(Answer::Lease) })
    };
    // SAFETY: the header's rules.
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
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let lease = caller.handle("lease", lease)?.lease.clone();
        let limit = timeout(timeout_seconds)?;
        let stopping = lease.clone();
        waits.begin(token, async move { Ok(Answer::Release(lease.stop(limit).await)) })?;
        begin_now(|| stopping.begin_stop())
    };
    // SAFETY: the header's rules.
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
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let lease = caller.handle("lease", lease)?.lease.clone();
        let ending = lease.clone();
        waits.begin(token, async move { Ok(Answer::Release(lease.detach().await)) })?;
        begin_now(|| ending.begin_detach())
    };
    // SAFETY: the header's rules.
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
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        let limit = timeout(timeout_seconds)?;
        waits.begin(token, async move { mapper.pull_event(limit).await.map(Answer::Event) })
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins portlease_events_next. Cancelling loses no event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_events_next(
    waits: *mut portlease_waits,
    events: *mut portlease_events,
    timeout_seconds: f64,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let events = caller.handle("events", events)?.events.clone();
        let limit = timeout(timeout_seconds)?;
        waits.begin(token, async move { events.pull(limit).await.map(Answer::Event) })
    };
    // SAFETY: the header's rules.
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
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let mapper = Arc::clone(&caller.handle("mapper", mapper)?.mapper);
        let limit = timeout(timeout_seconds)?;
        let stopping = Arc::clone(&mapper);
        waits.begin(token, async move { Ok(Answer::Release(mapper.stop(limit).await)) })?;
        begin_now(|| stopping.begin_stop())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins the release at once, so that it goes on also if the wait is never looked at, or is cancelled before.
fn begin_now(begin: impl FnOnce() + Send) -> Result<(), PortMappingError> {
    living(begin);
    Ok(())
}

/// Cancels the wait with this token: it ends with PORTLEASE_CANCELLED, unless it was over already. Cancels the wait
/// only: the lease goes on, and so does a stop or detach. Does not block. Fails with PORTLEASE_INVALID for NULL only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_cancel(
    waits: *mut portlease_waits,
    token: u64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        living(|| waits.cancel(token))
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Hands out the next wait that is over, waiting for one (default: without limit; 0 only looks). Several threads may
/// call it. Fails with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the waits are stopped and all handed out.
/// `error` is this call's own; how the wait ended is in `completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_next(
    waits: *mut portlease_waits,
    timeout_seconds: f64,
    completion: *mut portlease_completion,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let out = CompletionOut::new(caller, completion)?;
        let limit = timeout(timeout_seconds)?;
        out.put(living(|| waits.next(limit))?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// A descriptor for poll(2), select(2) and their kin: readable when portlease_waits_next(waits, 0, ...) is worth a
/// call; call that until it answers PORTLEASE_TIMEOUT. Belongs to `waits`: never read from it, never close it.
/// PORTLEASE_INVALID if the system has no such thing (Windows).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_descriptor(
    waits: *mut portlease_waits,
    descriptor: *mut i32,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        let to = caller.place("descriptor", descriptor)?;
        to.set(waits.descriptor()?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Cancels all waits and lets none begin any more, which wakes every thread in portlease_waits_next. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_stop(
    waits: *mut portlease_waits,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let waits = &caller.handle("waits", waits)?.waits;
        living(|| waits.stop())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Frees it and cancels what is in it; no completions come any more. No other thread may be in a call on it (stop
/// first, and let them return). Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_waits_free(waits: *mut portlease_waits) {
    // SAFETY: the header's rules.
    unsafe { free(waits) }
}

/// Where a completion and its result go; all is checked before a wait is handed out.
struct CompletionOut<'c> {
    to: To<'c, portlease_completion>,
    table: Option<TableOut<'c>>,
    address: Option<To<'c, [c_char; PORTLEASE_ADDRESS_SIZE]>>,
    snapshot: Option<Out<'c, portlease_lease_snapshot>>,
    event: Option<Out<'c, portlease_event>>,
    report: ReportOut<'c>,
    release: Option<To<'c, portlease_release>>,
}

impl<'c> CompletionOut<'c> {
    fn new(caller: Caller<'c>, completion: *mut portlease_completion) -> Result<Self, PortMappingError> {
        let out = caller.out("completion", completion)?;
        let to = out.place();
        let (mut table, mut address) = (None, None);
        // A program of an older version has not these fields.
        if out.is_whole() {
            let (entries, capacity) = (field!(to, entries).get(), field!(to, entries_capacity).get());
            table = Some(TableOut::new(caller, entries, capacity, field!(to, entry_count).pointer())?);
            let text = field!(to, address).get();
            address = (!text.is_null()).then(|| address_out(caller, text)).transpose()?;
        }
        let (report, protocols) = (field!(to, report).get(), field!(to, protocols).get());
        Ok(Self {
            to,
            table,
            address,
            snapshot: caller.optional_out("snapshot", field!(to, snapshot).get())?,
            event: caller.optional_out("event", field!(to, event).get())?,
            report: ReportOut::new(caller, report, protocols, field!(to, protocols_capacity).get())?,
            release: caller.optional_place("release", field!(to, release).get())?,
        })
    }

    fn put(&self, over: Completion<Outcome>) {
        let (kind, message) = match over.end {
            WaitEnd::Done(Ok(answer)) => {
                self.put_answer(answer);
                (PORTLEASE_OK, String::new())
            }
            WaitEnd::Done(Err(error)) => {
                remember_failure(&error);
                (error.kind().into(), error.message())
            }
            WaitEnd::Cancelled => (PORTLEASE_CANCELLED, "the wait was cancelled".to_owned()),
            WaitEnd::Panicked => (PORTLEASE_INTERNAL, "the wait panicked".to_owned()),
        };
        field!(self.to, token).set(over.token);
        put_error(field!(self.to, error), kind, &message);
    }

    fn put_answer(&self, answer: Answer) {
        match answer {
            Answer::Lease(lease) => {
                self.snapshot.iter().for_each(|out| out.put(|to| put_lease(to, &lease)));
            }
            Answer::Event(pulled) => {
                let event = pulled.take();
                self.event.iter().for_each(|out| out.put(|to| put_event(to, &event)));
            }
            Answer::Report(report) => self.report.put(&report),
            Answer::Release(release) => self.release.iter().for_each(|out| out.set(release.into())),
            Answer::Address(address) => self.address.iter().for_each(|out| out.set_address(Some(address))),
            Answer::Table(entries) => self.table.iter().for_each(|out| out.put(&entries)),
        }
    }
}
