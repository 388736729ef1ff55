//! Threads: the caller's in its last moments, and what the engine's takes over from the caller's.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::pin;

thread_local! {
    /// Goes when the other thread-locals of Rust go.
    static LOCALS: Locals = const { Locals };
}

struct Locals;

impl Drop for Locals {
    /// Only what has something to do at its end is ever gone.
    fn drop(&mut self) {}
}

/// Before the first thread-local of core is used on a thread: from now on [`living`] can tell whether they are gone.
pub fn enter() {
    // Where they are gone already there is nothing to do.
    let _ = LOCALS.try_with(|_| ());
    #[cfg(any(target_os = "linux", target_os = "android"))]
    crate::stand_in::watch();
}

/// Holds back pthread_cancel(3) as long as it lives: the thread ends at the first opportunity after that. Otherwise it would
/// be unwound through Rust, which ends the process.
#[cfg(all(unix, not(target_os = "android")))]
pub struct Uncancelled(libc::c_int);

#[cfg(all(unix, not(target_os = "android")))]
impl Uncancelled {
    /// From now on.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let mut before = 0;
        // SAFETY: the old state can be written.
        unsafe { cancel::pthread_setcancelstate(cancel::DISABLE, &raw mut before) };
        Self(before)
    }
}

#[cfg(all(unix, not(target_os = "android")))]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        let mut ours = 0;
        // SAFETY: as above; the state is the one that the thread had.
        unsafe { cancel::pthread_setcancelstate(self.0, &raw mut ours) };
    }
}

/// What the crate `libc` does not have.
#[cfg(all(unix, not(target_os = "android")))]
mod cancel {
    use std::ffi::c_int;

    /// PTHREAD_CANCEL_DISABLE of <pthread.h>.
    pub(super) const DISABLE: c_int = if cfg!(target_vendor = "apple") { 0 } else { 1 };

    unsafe extern "C" {
        pub(super) fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    }
}

/// There is no pthread_cancel.
#[cfg(not(all(unix, not(target_os = "android"))))]
pub struct Uncancelled;

#[cfg(not(all(unix, not(target_os = "android"))))]
impl Uncancelled {
    /// Does nothing.
    #[expect(clippy::new_without_default, reason = "as where it does something")]
    pub fn new() -> Self {
        Self
    }
}

/// Runs `body` here, or on a thread of its own where the thread-locals of this one are gone, without which core cannot
/// wait: in handlers of atexit(3) and in destructors of C++ statics, which run after them.
pub fn living<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    if LOCALS.try_with(|_| ()).is_ok() {
        return body();
    }
    std::thread::scope(|scope| scope.spawn(body).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// Waits for a future of core on this thread, also in its last moments.
pub fn wait<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    living(|| portlease::wait(future))
}

/// A future of core that starts an engine, whose thread takes no signals.
pub async fn quiet<F: Future>(future: F) -> F::Output {
    crate::fork::watch();
    let mut future = pin!(future);
    poll_fn(|context| without_signals(|| future.as_mut().poll(context))).await
}

/// Runs `body`; threads that it starts take no signals. So a handler of the program runs on none of them, and a program
/// that waits for a signal, in sigwait(3) or signalfd(2), does not lose it to them.
#[cfg(unix)]
pub fn without_signals<T>(body: impl FnOnce() -> T) -> T {
    use std::mem::MaybeUninit;

    /// These tell a thread of its own defect: nobody else can take them.
    const OWN: [libc::c_int; 7] =
        [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];

    struct Restore(libc::sigset_t);

    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was filled in by the system, and the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
        }
    }

    let (mut blocked, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // All of them fail for numbers that are no signals, and for nothing else.
    // SAFETY: the sets can be written; `before` is read only if the system has filled it in.
    let _restore = unsafe {
        libc::sigfillset(blocked.as_mut_ptr());
        for signal in OWN {
            libc::sigdelset(blocked.as_mut_ptr(), signal);
        }
        let asked = libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr());
        (asked == 0).then(|| Restore(before.assume_init()))
    };
    body()
}

/// There are no signals.
#[cfg(not(unix))]
pub fn without_signals<T>(body: impl FnOnce() -> T) -> T {
    body()
}
