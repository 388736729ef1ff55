//! The handle on one mapped port.

use std::sync::Arc;

use portlease::Lease;

use crate::error::{guard, guard_read, portlease_error};
use crate::mapper::released;
use crate::memory::{Out, handle, take, timeout};
use crate::names::portlease_kind;
use crate::snapshot::{portlease_lease_snapshot, put_lease};
use crate::thread::wait;

/// The promise to keep one port mapped.
#[allow(non_camel_case_types)]
pub struct portlease_lease {
    pub(crate) lease: Arc<Lease>,
}

/// The lease's number within its mapper, from 1, as events name it; 0 for NULL. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_id(lease: *const portlease_lease) -> u64 {
    unsafe { handle("lease", lease) }.map_or(0, |lease| lease.lease.id())
}

/// Waits for a mapping (default: without limit) and fills in the state that has it (`snapshot` or NULL). Fails with
/// the kind of the latest whole attempt if that failed, each once, so that the next call waits for the next attempt;
/// with PORTLEASE_TIMEOUT if none has ended by then; once the lease is over with what ended it, or PORTLEASE_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_ready(
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let lease = &unsafe { handle("lease", lease)? }.lease;
        let out = unsafe { Out::optional("snapshot", snapshot)? };
        let ready = wait(lease.ready(timeout(timeout_seconds)?))?;
        if let Some(out) = out {
            out.put(|to| unsafe { put_lease(to, &ready) });
        }
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// A copy of the present state. Takes no lock, never blocks. Fails with PORTLEASE_INVALID only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_get_snapshot(
    lease: *const portlease_lease,
    snapshot: *mut portlease_lease_snapshot,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let lease = &unsafe { handle("lease", lease)? }.lease;
        let out = unsafe { Out::new("snapshot", snapshot)? };
        let seen = lease.snapshot();
        out.put(|to| unsafe { put_lease(to, &seen) });
        Ok(())
    };
    unsafe { guard_read(error, body) }
}

/// Releases the mapping on the gateway and ends the lease; waits for that (default: 5 s), after which it goes on in the
/// background: PORTLEASE_TIMEOUT. May be called again; never fails for a gateway that is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_stop(
    lease: *mut portlease_lease,
    timeout_seconds: f64,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let lease = &unsafe { handle("lease", lease)? }.lease;
        released(wait(lease.stop(timeout(timeout_seconds)?)))
    };
    unsafe { guard(error, body) }
}

/// Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until somebody
/// deletes it. Blocks for 5 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_detach(
    lease: *mut portlease_lease,
    error: *mut portlease_error,
) -> portlease_kind {
    let body = || {
        let lease = &unsafe { handle("lease", lease)? }.lease;
        wait(lease.detach());
        Ok(())
    };
    unsafe { guard(error, body) }
}

/// Frees the handle; a lease that was not stopped is released in the background. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_lease_free(lease: *mut portlease_lease) {
    let body = || {
        drop(unsafe { take(lease) });
        Ok(())
    };
    unsafe { guard(std::ptr::null_mut(), body) };
}
