//! Noticing forks: once a program uses portlease, its children's handles answer `stopped`.

/// Asks the system, once in the life of the process, to be told of forks. Where it will not, core finds out by itself.
#[cfg(unix)]
pub fn watch() {
    use std::sync::Once;

    static ONCE: Once = Once::new();

    extern "C" fn in_child() {
        portlease::fork::in_child();
    }

    ONCE.call_once(|| {
        // SAFETY: the handler takes no lock, allocates nothing and cannot panic.
        if unsafe { libc::pthread_atfork(None, None, Some(in_child)) } == 0 {
            portlease::fork::rely_on_hook();
        }
    });
}

/// There are no forks.
#[cfg(not(unix))]
pub fn watch() {}
