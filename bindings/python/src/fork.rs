//! What a forked child must not touch: locks that a thread may have held which did not come along.

use std::ops::Deref;
use std::sync::Arc;

use portlease::fork;

/// Something that is never dropped in the child of a fork, because its drop may need such a lock.
pub(crate) struct Handle<T> {
    value: Arc<T>,
    generation: u32,
}

impl<T> Handle<T> {
    /// Whether this process is a fork of the one in which the handle was made.
    pub(crate) fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
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
        Self { value, generation: fork::generation() }
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
