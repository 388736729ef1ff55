//! What portlease tells, for programs to put into their own logs.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::time::UNIX_EPOCH;

use portlease::{LogReader, LogRecord};

use crate::error::{free, guard, portlease_error};
use crate::gateway::PORTLEASE_NAME_SIZE;
use crate::memory::{Caller, To, field, fill, growing};
use crate::names::{portlease_kind, portlease_log_level, read_log_level};
use crate::values::timeout;

/// The size of a log's message with its end.
pub const PORTLEASE_LOG_MESSAGE_SIZE: usize = 1020;

/// A reader of what portlease tells in this process, all mappers together. Each reader gets every record from its making
/// on.
#[allow(non_camel_case_types)]
pub struct portlease_log {
    reader: LogReader,
}

/// One thing that was told.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_log_record {
    /// sizeof(portlease_log_record)
    pub struct_size: usize,
    /// When: seconds since 1970 began, UTC.
    pub time: f64,
    /// How many records this reader lost just before this one because it did not pull them in time.
    pub dropped: u64,
    /// How much it matters.
    pub level: portlease_log_level,
    /// What happened, followed by " name=value" for each detail.
    pub message: [c_char; PORTLEASE_LOG_MESSAGE_SIZE],
    /// The part of portlease that tells it, such as "portlease::client::pcp".
    pub target: [c_char; PORTLEASE_NAME_SIZE],
}

growing!(portlease_log_record: target [c_char; PORTLEASE_NAME_SIZE]);

fn put_record(to: To<'_, portlease_log_record>, record: &LogRecord) {
    fill!(to, {
        time: record.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        dropped: record.dropped,
        level: record.level.into(),
    });
    field!(to, message).set_text(&record.message);
    field!(to, target).set_text(&record.target);
}

/// Makes a reader of the log records at `level` and above. Does not block. Fails with PORTLEASE_INVALID only. Free
/// it with portlease_log_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_log_new(
    level: MaybeUninit<portlease_log_level>,
    log: *mut *mut portlease_log,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let log = caller.handle_out("log", log)?;
        crate::fork::watch();
        log.put(portlease_log { reader: LogReader::new(read_log_level("level", level)?) });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Pulls the next record, waiting for it (default: without limit). 4096 wait for that; then the oldest are dropped. Fails
/// with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the log is stopped and its last record was pulled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_log_next(
    log: *mut portlease_log,
    timeout_seconds: f64,
    record: *mut portlease_log_record,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let reader = &caller.handle("log", log)?.reader;
        let out = caller.out("record", record)?;
        let next = reader.next(timeout(timeout_seconds)?)?;
        out.put(|to| put_record(to, &next));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Ends the reading, which wakes every thread in portlease_log_next. Does not block. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_log_stop(log: *mut portlease_log, error: *mut portlease_error) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        caller.handle("log", log)?.reader.close();
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Frees the handle. No other thread may be in a call on it (stop first, and let them return). Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_log_free(log: *mut portlease_log) {
    // SAFETY: the header's rules.
    unsafe { free(log) }
}
