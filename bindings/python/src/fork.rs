//! What a forked child must not touch: locks that a thread may have held which did not come along.

use std::ops::Deref;
use std::sync::Arc;

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

/// Something that is never dropped in the child of a fork, because its drop may need such a lock.
pub(crate) struct Handle<T> {
    value: Arc<T>,
    birth: Birth,
}

impl<T> Handle<T> {
    pub(crate) fn is_foreign(&self) -> bool {
        self.birth.is_foreign()
    }

    /// Another reference, for a wait.
    pub(crate) fn share(&self) -> Arc<T> {
        Arc::clone(&self.value)
    }
}

impl<T> From<T> for Handle<T> {
    fn from(value: T) -> Self {
        Self::from(Arc::new(value))
    }
}

impl<T> From<Arc<T>> for Handle<T> {
    fn from(value: Arc<T>) -> Self {
        Self { value, birth: Birth::now() }
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if self.is_foreign() {
            std::mem::forget(self.share());
        }
    }
}
