//! The handle on one engine, and the line that opens a port with an engine of its own.

use std::mem::MaybeUninit;
use std::sync::Arc;

use portlease::{Config, MapRequest, Mapper, PortMappingError};

use crate::config::{portlease_config, portlease_request, read_config, read_request};
use crate::error::{guard, portlease_error};
use crate::event::{portlease_event, put_event};
use crate::fork;
use crate::gateway::{ReportOut, portlease_gateway_report, portlease_protocol_report};
use crate::lease::portlease_lease;
use crate::memory::{Out, OutArray, Place, handle, take, timeout};
use crate::names::{self, portlease_kind, portlease_transport};
use crate::snapshot::{portlease_lease_snapshot, portlease_mapper_snapshot, put_lease, put_mapper};
use crate::thread::{wait, without_signals};

/// A background engine: finds the gateway once, serves many leases.
#[allow(non_camel_case_types)]
pub struct portlease_mapper {
    pub(crate) mapper: Arc<Mapper>,
}

fn start(config: Config) -> Result<Mapper, PortMappingError> {
    fork::watch();
    without_signals(|| Mapper::start(config))
}

/// What a stop answers: done, or going on in the background.
pub(crate) fn released(done: bool) -> Result<(), PortMappingError> {
    match done {
        true => Ok(()),
        false => Err(PortMappingError::timeout("not released in time; the release goes on in the background")),
    }
}

/// Maps one port and waits for the mapping: start, map and ready in one line. `config`, `snapshot`: or NULL. Blocks
/// until the first attempt has ended, about 2 s at most. Fails as these three do; then both handles are NULL and
/// nothing is left behind. Stop the mapper to release the port, and free both handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_open(
    port: u16,
    transport: MaybeUninit<portlease_transport>,
    config: *const portlease_config,
    mapper: *mut *mut portlease_mapper,
    lease: *mut *mut portlease_lease,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let mapper = unsafe { Place::new("mapper", mapper)? };
        let lease = unsafe { Place::new("lease", lease)? };
        let snapshot = unsafe { Out::optional("snapshot", snapshot)? };
        let request = MapRequest::new(port, names::read_transport("transport", transport)?);
        let engine = start(unsafe { read_config(config)? })?;
        let made = engine.map(request)?;
        let ready = wait(made.ready(None))?;
        if let Some(snapshot) = snapshot {
            snapshot.put(|to| unsafe { put_lease(to, &ready) });
        }
        lease.put(portlease_lease { lease: Arc::new(made) });
        mapper.put(portlease_mapper { mapper: Arc::new(engine) });
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Checks the configuration (NULL: the default) and starts the engine's thread. Does not touch the network, does not
/// block. Fails with PORTLEASE_INVALID, naming the field.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_start(
    config: *const portlease_config,
    mapper: *mut *mut portlease_mapper,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let mapper = unsafe { Place::new("mapper", mapper)? };
        let started = start(unsafe { read_config(config)? })?;
        mapper.put(portlease_mapper { mapper: Arc::new(started) });
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Begins to map a port and returns at once; the lease tells how it goes. Fails with PORTLEASE_INVALID for a bad
/// request, for a port that another lease of this mapper has inside or asks for outside, and with PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_map(
    mapper: *mut portlease_mapper,
    request: *const portlease_request,
    lease: *mut *mut portlease_lease,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let lease = unsafe { Place::new("lease", lease)? };
        let engine = &unsafe { handle("mapper", mapper)? }.mapper;
        let made = engine.map(unsafe { read_request(request)? })?;
        lease.put(portlease_lease { lease: Arc::new(made) });
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// The present state of the mapper and of its leases, of which as many as fit go to `leases` (NULL where `capacity`
/// is 0). Does not block. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_get_snapshot(
    mapper: *const portlease_mapper,
    snapshot: *mut portlease_mapper_snapshot,
    leases: *mut portlease_lease_snapshot,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let engine = &unsafe { handle("mapper", mapper)? }.mapper;
        let out = unsafe { Out::new("snapshot", snapshot)? };
        let array = unsafe { OutArray::new("leases", leases, capacity)? };
        let seen = engine.snapshot();
        out.put(|to| unsafe { put_mapper(to, &seen) });
        array.put(&seen.leases, |to, lease| unsafe { put_lease(to, lease) });
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Pulls the next event, waiting for it (default: without limit). Fails with PORTLEASE_TIMEOUT, and with
/// PORTLEASE_STOPPED once the mapper is stopped and its last event was pulled. The queue holds 1024; then the oldest
/// are dropped and counted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_next_event(
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    event: *mut portlease_event,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let engine = &unsafe { handle("mapper", mapper)? }.mapper;
        let out = unsafe { Out::new("event", event)? };
        let pulled = wait(engine.next_event(timeout(timeout_seconds)?))?;
        out.put(|to| unsafe { put_event(to, &pulled) });
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Asks by every configured protocol what the gateway offers; maps nothing. Blocks for about 2 s at most. `report` or
/// NULL; `protocols`: `capacity` of them, NULL where that is 0. Fails with PORTLEASE_UNAVAILABLE or PORTLEASE_REFUSED
/// where no protocol has an offer, with PORTLEASE_TRANSPORT, and with PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_probe(
    mapper: *mut portlease_mapper,
    report: *mut portlease_gateway_report,
    protocols: *mut portlease_protocol_report,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let engine = &unsafe { handle("mapper", mapper)? }.mapper;
        let out = unsafe { ReportOut::new(report, protocols, capacity)? };
        out.put(&wait(engine.probe())?);
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Releases every mapping on the gateway and ends the engine's thread; waits for that (default: 5 s), after which it
/// goes on in the background: PORTLEASE_TIMEOUT. May be called again, and from several threads; else never fails but
/// with PORTLEASE_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_stop(
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let engine = &unsafe { handle("mapper", mapper)? }.mapper;
        released(wait(engine.stop(timeout(timeout_seconds)?)))
    };
    unsafe { guard(error, body) }
}

/// Frees the handle. Its leases live on; the engine ends when the last of them is freed, too. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_free(mapper: *mut portlease_mapper) {
    let body = || {
        drop(unsafe { take(mapper) });
        Ok(())
    };
    unsafe { guard(std::ptr::null_mut(), body) };
}
