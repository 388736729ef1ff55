//! The handle on a lease.

use std::sync::Arc;

use napi::bindgen_prelude::{Either4, Float64ArraySlice};
use napi_derive::napi;
use portlease::snapshot::PublishedMapping;
use portlease::{ErrorReport, Lease};

use crate::config::limit;
use crate::error::{ErrorView, Failure, failure};
use crate::host::Shared;
use crate::snapshot::{LeaseView, write_numbers};
use crate::wait::Wait;

/// A lease, and the texts of its last snapshot: JavaScript asks for them again only when they have changed.
#[napi]
pub struct LeaseHandle {
    lease: Arc<Lease>,
    shared: Arc<Shared>,
    mapping: Option<Arc<PublishedMapping>>,
    error: Option<Arc<ErrorReport>>,
    version: u32,
}

impl LeaseHandle {
    pub(crate) fn new(lease: Lease, shared: Arc<Shared>) -> Self {
        Self { lease: Arc::new(lease), shared, mapping: None, error: None, version: 0 }
    }
}

/// The texts of a snapshot.
#[napi(object)]
pub struct Texts {
    /// The external address and port.
    pub external: Option<String>,
    /// The latest failure.
    pub last_error: Option<ErrorView>,
}

fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

#[napi]
impl LeaseHandle {
    /// The lease's number.
    #[napi(getter, catch_unwind)]
    pub fn id(&self) -> f64 {
        self.lease.id() as f64
    }

    /// Writes the present state into `numbers` (see `snapshot.rs`); the answer changes when [`texts`](Self::texts) do.
    #[napi(catch_unwind)]
    #[allow(unsafe_code)] // the only way to write into an array of JavaScript's, and the fast one
    pub fn read(&mut self, mut numbers: Float64ArraySlice<'_>) -> u32 {
        let snapshot = self.lease.snapshot();
        // SAFETY: the JavaScript layer's own array, shared with no other thread and seen by no user; nothing else
        // runs on this thread until the call returns.
        write_numbers(&snapshot, unsafe { numbers.as_mut() });
        if !same(self.mapping.as_ref(), snapshot.mapping.as_ref())
            || !same(self.error.as_ref(), snapshot.last_error.as_ref())
        {
            self.mapping = snapshot.mapping;
            self.error = snapshot.last_error;
            self.version = self.version.wrapping_add(1);
        }
        self.version
    }

    /// The texts of the snapshot that was read last.
    #[napi(catch_unwind)]
    pub fn texts(&self) -> Texts {
        Texts {
            external: self.mapping.as_ref().map(|mapping| mapping.external.to_string()),
            last_error: self.error.as_deref().map(ErrorView::from),
        }
    }

    /// Waits for a mapping.
    #[napi(catch_unwind)]
    pub fn ready(&self, timeout: Option<f64>) -> Result<Wait, Failure> {
        let limit = limit(timeout).map_err(|error| failure(&error))?;
        let lease = Arc::clone(&self.lease);
        Ok(Wait::new(&self.shared.bell, async move {
            lease.ready(limit).await.map(|snapshot| Either4::B(LeaseView::from(&snapshot)))
        }))
    }

    /// Stops; `true` where all is over.
    #[napi(catch_unwind)]
    pub fn stop(&self, timeout: Option<f64>) -> Result<Wait, Failure> {
        let limit = limit(timeout).map_err(|error| failure(&error))?;
        let lease = Arc::clone(&self.lease);
        Ok(Wait::new(&self.shared.bell, async move { Ok(Either4::A(lease.stop(limit).await)) }))
    }

    /// Ends the lease and leaves the mapping.
    #[napi(catch_unwind)]
    pub fn detach(&self) -> Wait {
        let lease = Arc::clone(&self.lease);
        Wait::new(&self.shared.bell, async move {
            lease.detach().await;
            Ok(Either4::A(true))
        })
    }
}
