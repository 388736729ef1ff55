//! The handle on one engine, and the call that opens a port with an engine of its own.

use std::mem::MaybeUninit;
use std::sync::Arc;

use portlease::{Mapper, OpenPort, PortMappingError};

use crate::config::{portlease_config, portlease_request, read_config, read_request};
use crate::error::{free, guard, portlease_error};
use crate::event::{portlease_event, put_event};
use crate::fork;
use crate::gateway::{ReportOut, portlease_gateway_report, portlease_protocol_report};
use crate::lease::portlease_lease;
use crate::memory::Caller;
use crate::names::{portlease_family, portlease_kind, portlease_release, read_family};
use crate::snapshot::{portlease_lease_snapshot, portlease_mapper_snapshot, put_lease, put_mapper};
use crate::thread::{living, wait, without_signals};
use crate::values::timeout;

/// A background engine: finds the gateway once, serves many leases.
#[allow(non_camel_case_types)]
pub struct portlease_mapper {
    pub(crate) mapper: Arc<Mapper>,
}

/// Starts an engine, whose thread takes no signals.
fn start<T>(start: impl FnOnce() -> Result<T, PortMappingError>) -> Result<T, PortMappingError> {
    fork::watch();
    without_signals(start)
}

/// Maps one port and waits for the mapping: start, map and ready in one call. `config` and `snapshot` may be NULL. Waits
/// until the first attempt has ended, by default about 2 s at most. Fails as these three do; then both handles are NULL,
/// and what may have been mapped is released in the background. Stopping the mapper releases the port. To leave the
/// mapping on the gateway instead, detach the lease and then stop the mapper, which ends the engine. Free both handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_open(
    request: *const portlease_request,
    config: *const portlease_config,
    timeout_seconds: f64,
    mapper: *mut *mut portlease_mapper,
    lease: *mut *mut portlease_lease,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let mapper = caller.handle_out("mapper", mapper)?;
        let lease = caller.handle_out("lease", lease)?;
        let snapshot = caller.optional_out("snapshot", snapshot)?;
        let request = read_request(caller, request)?;
        let limit = timeout(timeout_seconds)?;
        let config = read_config(caller, config)?;
        let port = start(|| OpenPort::begin(config, request))?;
        let ready = wait(port.ready(limit))?;
        if let Some(snapshot) = snapshot {
            snapshot.put(|to| put_lease(to, &ready));
        }
        lease.put(portlease_lease { lease: port.lease().clone() });
        mapper.put(portlease_mapper { mapper: Arc::clone(port.mapper()) });
        Ok(())
    };
    // SAFETY: the header's rules.
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
    let body = |caller: Caller<'_>| {
        let mapper = caller.handle_out("mapper", mapper)?;
        let config = read_config(caller, config)?;
        let started = start(|| Mapper::start(config))?;
        mapper.put(portlease_mapper { mapper: Arc::new(started) });
        Ok(())
    };
    // SAFETY: the header's rules.
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
    let body = |caller: Caller<'_>| {
        let lease = caller.handle_out("lease", lease)?;
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let made = engine.map(read_request(caller, request)?)?;
        lease.put(portlease_lease { lease: made });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Gives the lease that exists for an equal request, in a handle of its own, or makes a new one as portlease_mapper_map does.
/// So a program may ask again for what it has. Free the handle; the lease ends with its last one. Fails as
/// portlease_mapper_map does, also for a lease on the same port with other wishes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_ensure(
    mapper: *mut portlease_mapper,
    request: *const portlease_request,
    lease: *mut *mut portlease_lease,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = caller.handle_out("lease", lease)?;
        let engine = &caller.handle("mapper", mapper)?.mapper;
        lease.put(portlease_lease { lease: engine.ensure(read_request(caller, request)?)? });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Begins to map a port over UDP and over TCP: two leases. The transport of the request does not matter, but must be one.
/// Either lease may fail without the other. Fails as portlease_mapper_map does; then there is no lease.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_map_both(
    mapper: *mut portlease_mapper,
    request: *const portlease_request,
    udp: *mut *mut portlease_lease,
    tcp: *mut *mut portlease_lease,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let (udp, tcp) = (caller.handle_out("udp", udp)?, caller.handle_out("tcp", tcp)?);
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let both = engine.map_both(read_request(caller, request)?)?;
        udp.put(portlease_lease { lease: both.0 });
        tcp.put(portlease_lease { lease: both.1 });
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Gives the leases that live and were not told to end, by number. Copies up to `capacity` new handles into `leases` (may be
/// NULL if `capacity` is 0), each to be freed, and the total into `count` (or NULL). Does not block. Fails with
/// PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_leases(
    mapper: *mut portlease_mapper,
    leases: *mut *mut portlease_lease,
    capacity: usize,
    count: *mut usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let places = caller.handles_out("leases", leases, capacity)?;
        let count = caller.optional_place("count", count)?;
        let live = engine.leases();
        count.iter().for_each(|count| count.set(live.len()));
        for (place, lease) in places.into_iter().zip(live) {
            place.put(portlease_lease { lease });
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Gives the present state of the mapper, and copies that of up to `capacity` of its leases into `leases` (may be NULL if
/// `capacity` is 0). Does not block. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_get_snapshot(
    mapper: *const portlease_mapper,
    snapshot: *mut portlease_mapper_snapshot,
    leases: *mut portlease_lease_snapshot,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = caller.out("snapshot", snapshot)?;
        let array = caller.out_array("leases", leases, capacity)?;
        let seen = engine.snapshot();
        out.put(|to| put_mapper(to, &seen));
        array.put(&seen.leases, put_lease);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Pulls the next event, waiting for it (default: without limit). All calls pull from one queue, which begins at the first
/// call with the events that nobody has read yet, so each event is given out once; for several readers see
/// portlease_events. The queue holds 1024; then the oldest are dropped and counted. Fails with PORTLEASE_TIMEOUT, and
/// with PORTLEASE_STOPPED once the mapper is stopped and its last event was pulled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_next_event(
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    event: *mut portlease_event,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = caller.out("event", event)?;
        let pulled = wait(engine.next_event(timeout(timeout_seconds)?))?;
        out.put(|to| put_event(to, &pulled));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Asks by every configured protocol what the gateway offers; maps nothing. Blocks for about 2 s at most. `report` may be
/// NULL, and so may `protocols` if `capacity` is 0. Fails with PORTLEASE_UNAVAILABLE or PORTLEASE_REFUSED if no protocol
/// has an offer, with PORTLEASE_TRANSPORT, and with PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_probe(
    mapper: *mut portlease_mapper,
    report: *mut portlease_gateway_report,
    protocols: *mut portlease_protocol_report,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = ReportOut::new(caller, report, protocols, capacity)?;
        out.put(&wait(engine.probe())?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// portlease_mapper_probe, of the gateway of one family. For IPv6 it tells by which protocols the router could be asked for
/// pinholes, but not whether its firewall lets packets through without them. Fails as portlease_mapper_probe
/// does; with PORTLEASE_UNAVAILABLE also if this machine has no global IPv6 address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_probe_of(
    mapper: *mut portlease_mapper,
    family: MaybeUninit<portlease_family>,
    report: *mut portlease_gateway_report,
    protocols: *mut portlease_protocol_report,
    capacity: usize,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = ReportOut::new(caller, report, protocols, capacity)?;
        out.put(&wait(engine.probe_of(read_family("family", family)?))?);
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Tells that the network may have changed: every lease looks again at once. Only for hosts that know before portlease,
/// which watches the network itself: phones tell their apps, and sandboxes hide the network. Does not block. Does nothing
/// once the mapper is stopped, and in the child of a fork. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_network_changed(
    mapper: *mut portlease_mapper,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        living(|| engine.network_changed());
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Releases every mapping on the gateway and ends the engine's thread; waits for that (default: 5 s, and 0.1 s more for
/// each lease that is left). `release` is as for portlease_lease_stop, over all leases of the mapper, also those that
/// ended before. May be called again, and from several threads. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_stop(
    mapper: *mut portlease_mapper,
    timeout_seconds: f64,
    release: *mut portlease_release,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let engine = &caller.handle("mapper", mapper)?.mapper;
        let out = caller.optional_place("release", release)?;
        let release = wait(engine.stop(timeout(timeout_seconds)?));
        out.iter().for_each(|out| out.set(release.into()));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Frees the handle. Its leases live on; the engine ends when the last of them is freed, too. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_mapper_free(mapper: *mut portlease_mapper) {
    // SAFETY: the header's rules.
    unsafe { free(mapper) }
}
