//! The handle on one mapped port.

use std::ffi::c_char;

use portlease::Lease;

use crate::error::{free, guard, guard_read, portlease_error};
use crate::memory::Caller;
use crate::names::portlease_address_class::PORTLEASE_ADDRESS_UNKNOWN;
use crate::names::portlease_protocol::PORTLEASE_PROTOCOL_ABSENT;
use crate::names::portlease_state::PORTLEASE_STATE_EXITED;
use crate::names::{portlease_address_class, portlease_kind, portlease_protocol, portlease_release, portlease_state};
use crate::snapshot::{portlease_lease_snapshot, put_lease};
use crate::thread::wait;
use crate::values::{address_out, timeout};

/// The promise to keep one port mapped.
#[allow(non_camel_case_types)]
pub struct portlease_lease {
    pub(crate) lease: Lease,
}

/// The lease's number within its mapper, from 1, as events name it; 0 for NULL. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_id(lease: *const portlease_lease) -> u64 {
    // SAFETY: the header's rules.
    unsafe { read(lease, 0, Lease::id) }
}

/// What a lease answers without a snapshot, or `nothing` for NULL.
///
/// # Safety
/// As [`guard`]; `lease` is the argument of the function.
unsafe fn read<T>(lease: *const portlease_lease, nothing: T, read: impl FnOnce(&Lease) -> T) -> T {
    let mut answer = nothing;
    let body = |caller: Caller<'_>| {
        answer = read(&caller.handle("lease", lease)?.lease);
        Ok(())
    };
    // SAFETY: as this function.
    unsafe { guard_read(std::ptr::null_mut(), body) };
    answer
}

/// Fields of the snapshot without the rest of it: they take no lock and never block. NULL is a lease that is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_state(lease: *const portlease_lease) -> portlease_state {
    // SAFETY: the header's rules.
    unsafe { read(lease, PORTLEASE_STATE_EXITED, |lease| lease.state().into()) }
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_active(lease: *const portlease_lease) -> bool {
    // SAFETY: the header's rules.
    unsafe { read(lease, false, |lease| lease.active()) }
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_external_port(lease: *const portlease_lease) -> u16 {
    // SAFETY: the header's rules.
    unsafe { read(lease, 0, |lease| lease.external_port().unwrap_or_default()) }
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_protocol(lease: *const portlease_lease) -> portlease_protocol {
    // SAFETY: the header's rules.
    unsafe { read(lease, PORTLEASE_PROTOCOL_ABSENT, |lease| lease.protocol().into()) }
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_address_class(lease: *const portlease_lease) -> portlease_address_class {
    // SAFETY: the header's rules.
    unsafe { read(lease, PORTLEASE_ADDRESS_UNKNOWN, |lease| lease.address_class().into()) }
}

/// The external address and port at one moment: text into `address`, which has PORTLEASE_ADDRESS_SIZE bytes, and the port
/// (`port` or NULL). Both as in the snapshot: "" if the router does not know its address, 0 while not active. Takes no
/// lock, never blocks. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_external(
    lease: *const portlease_lease,
    address: *mut c_char,
    port: *mut u16,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let (address, port) = (address_out(caller, address)?, caller.optional_place("port", port)?);
        let seen = lease.snapshot();
        address.set_address(seen.external().map(|external| external.ip()));
        port.iter().for_each(|port| port.set(seen.external_port().unwrap_or_default()));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard_read(error, body) }
}

/// Waits for a mapping (default: without limit) and fills in the state that has it (`snapshot` or NULL). Fails with
/// the kind of the latest whole attempt if that failed: every wait that is under way is told, and a later call waits for
/// the next attempt. Fails with PORTLEASE_TIMEOUT if no attempt has ended by then. Once the lease is over, fails with
/// what ended it, or with PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_ready(
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = caller.optional_out("snapshot", snapshot)?;
        let ready = wait(lease.ready(timeout(timeout_seconds)?))?;
        if let Some(out) = out {
            out.put(|to| put_lease(to, &ready));
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Waits (default: without limit) until the state is another than the one with the number `since_revision` (`revision`
/// of a snapshot), and fills it in (`snapshot` or NULL). Several changes between two calls are one. Fails with
/// PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the lease is over and the caller has seen that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_changed(
    lease: *mut portlease_lease,
    since_revision: u64,
    timeout_seconds: f64,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = caller.optional_out("snapshot", snapshot)?;
        let changed = wait(lease.changed(since_revision, timeout(timeout_seconds)?))?;
        if let Some(out) = out {
            out.put(|to| put_lease(to, &changed));
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Deletes the mapping and makes it again, with the same external port if the gateway gives it: for a mapping that the
/// gateway lists and does not forward. A lease without a mapping makes its next attempt at once. Waits for that (default:
/// without limit; the repair goes on after PORTLEASE_TIMEOUT) and fills in the state that has the mapping (`snapshot` or
/// NULL). Fails with PORTLEASE_REFUSED if the lease was repaired less than 10 s ago (the message says how long to wait),
/// with the kind of the attempt, after which the lease tries again, and with PORTLEASE_STOPPED once the lease is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_repair(
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = caller.optional_out("snapshot", snapshot)?;
        let repaired = wait(lease.repair(timeout(timeout_seconds)?))?;
        if let Some(out) = out {
            out.put(|to| put_lease(to, &repaired));
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Copies the present state. Takes no lock, never blocks. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_get_snapshot(
    lease: *const portlease_lease,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = caller.out("snapshot", snapshot)?;
        let seen = lease.snapshot();
        out.put(|to| put_lease(to, &seen));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard_read(error, body) }
}

/// Releases the mapping on the gateway and ends the lease; waits for that (default: 5 s). `release` (or NULL) gets how it
/// went, and PORTLEASE_PENDING if it still goes on. May be called again. Fails with PORTLEASE_INVALID only, never for a
/// gateway that is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_stop(
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    release: *mut portlease_release,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = caller.optional_place("release", release)?;
        let release = wait(lease.stop(timeout(timeout_seconds)?));
        out.iter().for_each(|out| out.set(release.into()));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until somebody
/// deletes it. Blocks for 5 s at most. `release` as above. The mapper goes on until it is stopped or freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_detach(
    lease: *mut portlease_lease,
    release: *mut portlease_release,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = |caller: Caller<'_>| {
        let lease = &caller.handle("lease", lease)?.lease;
        let out = caller.optional_place("release", release)?;
        let release = wait(lease.detach());
        out.iter().for_each(|out| out.set(release.into()));
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { guard(error, body) }
}

/// Frees the handle; a lease that was not stopped is released in the background. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_free(lease: *mut portlease_lease) {
    // SAFETY: the header's rules.
    unsafe { free(lease) }
}
