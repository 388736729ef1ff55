//! The handle on a lease.

use std::sync::Arc;

use napi::bindgen_prelude::Float64ArraySlice;
use napi_derive::napi;
use portlease::snapshot::PublishedMapping;
use portlease::{ErrorReport, Lease};

use crate::config::limit;
use crate::error::{ErrorView, Failure};
use crate::snapshot::write_numbers;
use crate::wait::{Answer, Waits, begin};

/// A lease, and the texts of its last snapshot: JavaScript asks for them again only when they have changed. `token` is
/// the number of a wait that begins.
#[napi]
pub struct LeaseHandle {
    lease: Lease,
    waits: Arc<Waits>,
    mapping: Option<Arc<PublishedMapping>>,
    error: Option<Arc<ErrorReport>>,
    version: u32,
}

impl LeaseHandle {
    pub(crate) fn new(lease: Lease, waits: Arc<Waits>) -> Self {
        Self { lease, waits, mapping: None, error: None, version: 0 }
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
            external: self.mapping.as_ref().and_then(|mapping| mapping.external).map(|external| external.to_string()),
            last_error: self.error.as_deref().map(ErrorView::from),
        }
    }

    /// Waits for a mapping.
    #[napi(catch_unwind)]
    pub fn ready(&self, token: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let ready = self.lease.ready_owned(limit(timeout));
        begin(&self.waits, token, async move { ready.await.map(Answer::Lease) })
    }

    /// Waits for another state than the one with this revision.
    #[napi(catch_unwind)]
    pub fn changed(&self, token: f64, since: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let lease = self.lease.clone();
        begin(&self.waits, token, async move { lease.changed(since as u64, limit(timeout)).await.map(Answer::Lease) })
    }

    /// Deletes the mapping and makes it again.
    #[napi(catch_unwind)]
    pub fn repair(&self, token: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let lease = self.lease.clone();
        begin(&self.waits, token, async move { lease.repair(limit(timeout)).await.map(Answer::Lease) })
    }

    /// Asks for the release and does not wait.
    #[napi(catch_unwind)]
    pub fn begin_stop(&self) {
        self.lease.begin_stop();
    }

    /// Stops, and answers how the mapping left the gateway.
    #[napi(catch_unwind)]
    pub fn stop(&self, token: f64, timeout: Option<f64>) -> Result<(), Failure> {
        let lease = self.lease.clone();
        begin(&self.waits, token, async move { Ok(Answer::Release(lease.stop(limit(timeout)).await)) })
    }

    /// Asks for the end of the lease, which leaves the mapping, and does not wait.
    #[napi(catch_unwind)]
    pub fn begin_detach(&self) {
        self.lease.begin_detach();
    }

    /// Ends the lease and leaves the mapping.
    #[napi(catch_unwind)]
    pub fn detach(&self, token: f64) -> Result<(), Failure> {
        let lease = self.lease.clone();
        begin(&self.waits, token, async move { Ok(Answer::Release(lease.detach().await)) })
    }
}
