//! The handle on a mapper.

use std::sync::Arc;

use napi::bindgen_prelude::{Either4, Object};
use napi_derive::napi;
use portlease::Mapper;

use crate::config::limit;
use crate::error::{Failure, failure};
use crate::event::EventView;
use crate::host::Shared;
use crate::lease::LeaseHandle;
use crate::settings;
use crate::snapshot::{MapperView, ReportView};
use crate::wait::Wait;

/// A mapper.
#[napi]
pub struct MapperHandle {
    mapper: Arc<Mapper>,
    shared: Arc<Shared>,
}

impl MapperHandle {
    pub(crate) fn new(mapper: Arc<Mapper>, shared: Arc<Shared>) -> Self {
        Self { mapper, shared }
    }
}

#[napi]
impl MapperHandle {
    /// Begins to map a port.
    #[napi(catch_unwind)]
    pub fn map(&self, request: Object<'_>) -> Result<LeaseHandle, Failure> {
        let lease = settings::request(&request).and_then(|request| self.mapper.map(request));
        let lease = lease.map_err(|error| failure(&error))?;
        Ok(LeaseHandle::new(lease, Arc::clone(&self.shared)))
    }

    /// The present state.
    #[napi(catch_unwind)]
    pub fn snapshot(&self) -> MapperView {
        MapperView::from(&self.mapper.snapshot())
    }

    /// Waits for the next event, without a limit.
    #[napi(catch_unwind)]
    pub fn next_event(&self) -> Wait {
        let mapper = Arc::clone(&self.mapper);
        Wait::new(&self.shared.bell, async move {
            mapper.next_event(None).await.map(|event| Either4::C(EventView::from(&event)))
        })
    }

    /// Asks what the gateway offers.
    #[napi(catch_unwind)]
    pub fn probe(&self) -> Wait {
        let mapper = Arc::clone(&self.mapper);
        Wait::new(
            &self.shared.bell,
            async move { mapper.probe().await.map(|report| Either4::D(ReportView::from(&report))) },
        )
    }

    /// Stops; `true` where all is over.
    #[napi(catch_unwind)]
    pub fn stop(&self, timeout: Option<f64>) -> Result<Wait, Failure> {
        let limit = limit(timeout).map_err(|error| failure(&error))?;
        let mapper = Arc::clone(&self.mapper);
        Ok(Wait::new(&self.shared.bell, async move { Ok(Either4::A(mapper.stop(limit).await)) }))
    }
}

impl Drop for MapperHandle {
    fn drop(&mut self) {
        self.shared.let_go(&self.mapper);
    }
}
