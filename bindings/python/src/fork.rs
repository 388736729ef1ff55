//! What a forked child must not touch: locks that a thread may have held which did not come along.

use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process in which something was made, as far as forks tell processes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth(u32);

impl Birth {
    /// Here and now.
    pub(crate) fn now() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process is a fork of the one that was meant.
    pub(crate) fn is_foreign(self) -> bool {
        self != Self::now()
    }
}

/// From now on [`in_child`] is called in the child of every fork that Python makes.
pub(crate) fn rely_on_hook() {
    portlease::fork::rely_on_hook();
}

/// Tells this module, and core, that this process is the child of a fork.
pub(crate) fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    portlease::fork::in_child();
}
