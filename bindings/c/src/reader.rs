//! Readers of events, for programs that have several.

use portlease::Events;

use crate::error::{free, guard, portlease_error};
use crate::event::{portlease_event, put_event};
use crate::mapper::portlease_mapper;
use crate::memory::Caller;
use crate::names::portlease_kind;
use crate::thread::wait;
use crate::values::timeout;

/// A reader of a mapper's events. Each reader gets every event, whoever else reads them. It does not keep the mapper
/// running.
#[allow(non_camel_case_types)]
pub struct portlease_events {
    pub(crate) events: Events,
}

/// Makes a reader. It gets the events that nobody has read yet, and then every event from now on. If it falls 1024 events
/// behind, it loses the oldest, and `dropped` of the next event says how many. Does not block. Fails with
/// PORTLEASE_INVALID only. Free it with portlease_events_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_events_new(
    mapper: *mut portlease_mapper,
    events: *mut *mut portlease_events,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let events = caller.handle_out("events", events)?;
        events.put(portlease_events { events: caller.handle("mapper", mapper)?.mapper.events() });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Reads the next event, waiting for it (default: without limit). Several threads that use one reader share its events.
/// Fails with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the mapper is stopped and its last event was read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_events_next(
    events: *mut portlease_events,
    timeout_seconds: f64,
    event: *mut portlease_event,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let events = &caller.handle("events", events)?.events;
        let out = caller.out("event", event)?;
        let read = wait(events.next(timeout(timeout_seconds)?))?;
        out.put(|to| put_event(to, &read));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Frees the handle. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_events_free(events: *mut portlease_events) {
    // SAFETY: the header's rules.
    unsafe { free(events) }
}
