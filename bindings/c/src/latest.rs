//! The latest failure that a thread was told.

use std::cell::RefCell;
use std::sync::Arc;

use portlease::{ErrorReport, PortMappingError};

thread_local! {
    static LATEST: RefCell<Option<Arc<ErrorReport>>> = const { RefCell::new(None) };
}

/// Keeps the latest failure that this thread was told. In the last moments of a thread nothing is kept.
pub(crate) fn remember(report: Arc<ErrorReport>) {
    // What was kept before is dropped when the cell is free again.
    drop(LATEST.try_with(|latest| latest.replace(Some(report))));
}

/// The same for the failure of a call.
pub(crate) fn remember_failure(failure: &PortMappingError) {
    remember(Arc::new(ErrorReport::from(failure)));
}

/// What was kept last, if anything was.
pub(crate) fn failure() -> Option<Arc<ErrorReport>> {
    LATEST.try_with(|latest| latest.borrow().clone()).ok().flatten()
}
