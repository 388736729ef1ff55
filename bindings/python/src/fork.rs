//! What a forked child must not touch: locks that a thread may have held which did not come along.

use portlease::fork;

/// The process in which something was made, as far as forks tell processes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth(u32);

impl Birth {
    /// Here and now.
    pub(crate) fn now() -> Self {
        Self(fork::generation())
    }

    /// Whether this process is a fork of the one that was meant.
    pub(crate) fn is_foreign(self) -> bool {
        self != Self::now()
    }
}
