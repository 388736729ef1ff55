//! Noticing a fork at the price of one load, where the host can be told of forks.
//!
//! A forked child has the parent's memory but not its threads: its handles must answer `stopped`, and neither renew nor
//! release the parent's mappings. Without a hook that costs a question to the system, which every call but a snapshot
//! asks; a snapshot asks at most every 10 ms. A host with a hook
//! (`pthread_atfork(3)`, Python's `os.register_at_fork`) installs it once, calls [`rely_on_hook`] and, in the child,
//! [`in_child`]: then snapshots cost less and notice at once.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static HOOKED: AtomicBool = AtomicBool::new(false);
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// From now on [`in_child`] is called in the child of every fork, before anything else of this crate. A program that
/// says so and does not do it reads the parent's state in the child.
pub fn rely_on_hook() {
    HOOKED.store(true, Ordering::Relaxed);
}

/// Tells portlease that this process is the child of a fork. Async-signal-safe; takes no lock and allocates nothing.
pub fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Which process of a line of forks this is, by the hook's word: what was made under another number belongs to a
/// process before a fork. Without a hook it never changes.
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether there is a hook, so that [`generation`] can be relied on.
pub(crate) fn is_hooked() -> bool {
    HOOKED.load(Ordering::Relaxed)
}
