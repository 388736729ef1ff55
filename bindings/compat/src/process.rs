//! What belongs to this process: the routers that it asks, and when it began.
//!
//! A child of a fork has the memory but not the engine's threads, and a lock may be held for ever by a thread that did not come
//! along. So it begins anew, and what it has of its parent is never touched again.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portlease::{PortMappingError, fork};
use portlease_host::thread::living;

use crate::memory::guard;
use crate::natpmp::Channels;
use crate::router::Router;

/// How long the end of a program may take for the sake of what it has mapped: enough to write a record to a slow disk.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// Of this process, or of its parent.
static LATEST: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());

/// What belongs to one process. It lives as long as that does.
pub(crate) struct Process {
    /// Which of a line of forks it is.
    generation: u32,
    pub(crate) began: Instant,
    /// By the gateway that the program names; `None` is the one of the default route.
    routers: Mutex<HashMap<Option<Ipv4Addr>, &'static Router>>,
    pub(crate) channels: Channels,
}

impl Process {
    /// This process.
    pub(crate) fn here() -> &'static Self {
        portlease_host::fork::watch();
        let known = LATEST.load(Ordering::Acquire);
        if let Some(here) = of_this_process(known) {
            return here;
        }
        let (routers, channels) = Default::default();
        let new = Self { generation: fork::generation(), began: Instant::now(), routers, channels };
        let new = Box::into_raw(Box::new(new));
        match LATEST.compare_exchange(known, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it was made by a box just now and is never freed.
            Ok(_) => unsafe { &*new },
            Err(another) => {
                // SAFETY: nobody has seen it but this thread.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: another thread of this process was first; what is in LATEST is never freed.
                unsafe { &*another }
            }
        }
    }

    /// The gateway that the program names, or the one of the default route. Fails as [`Router::start`].
    pub(crate) fn router(&self, gateway: Option<Ipv4Addr>) -> Result<&'static Router, PortMappingError> {
        let mut routers = self.routers();
        if let Some(router) = routers.get(&gateway) {
            return Ok(router);
        }
        let router: &'static Router = Box::leak(Box::new(Router::start(gateway)?));
        routers.insert(gateway, router);
        Ok(router)
    }

    fn routers(&self) -> MutexGuard<'_, HashMap<Option<Ipv4Addr>, &'static Router>> {
        // A router is in the list or not.
        self.routers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pointer from [`LATEST`] leads to, if it is about this process.
fn of_this_process(known: *mut Process) -> Option<&'static Process> {
    // SAFETY: it is NULL or was made by a box and is never freed.
    unsafe { known.as_ref() }.filter(|process| process.generation == fork::generation())
}

/// The loader calls it after all that the program itself does at its end: handlers of atexit(3) and destructors may still delete
/// what the program has mapped.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;

/// The program ends. What it has not deleted stays until its lifetime ends, as with the libraries in whose place this one is: a
/// record says that it was left on purpose.
extern "C" fn at_exit() {
    let Some(process) = of_this_process(LATEST.load(Ordering::Acquire)) else { return };
    // Without room for another thread, nothing is left on purpose; the program still ends as it meant to.
    guard((), || {
        let routers: Vec<_> = process.routers().values().copied().collect();
        if !routers.is_empty() {
            // The thread's own memory is gone by now.
            living(|| Router::leave_all(&routers, EXIT_PATIENCE));
        }
    });
}
