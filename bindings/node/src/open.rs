//! The handle on one port and the mapper that serves it alone.

use std::sync::Arc;

use napi::bindgen_prelude::Object;
use napi_derive::napi;
use portlease::OpenPort;

use crate::error::{Failure, failure};
use crate::host::{Host, Shared};
use crate::lease::LeaseHandle;
use crate::mapper::MapperHandle;
use crate::settings;

/// A port, whose lease and mapper end together.
#[napi]
pub struct PortHandle {
    port: OpenPort,
    shared: Arc<Shared>,
}

#[napi]
impl PortHandle {
    /// Starts the mapper and begins to map.
    #[napi(factory, catch_unwind)]
    pub fn begin(host: &Host, settings: Object<'_>, request: Object<'_>) -> Result<Self, Failure> {
        let port = settings::config(&settings)
            .and_then(|config| OpenPort::begin(config, settings::request(&request)?))
            .map_err(|error| failure(&error))?;
        Ok(Self { port, shared: host.shared() })
    }

    /// The mapper. To be called once: the mapper ends with the handle that this makes.
    #[napi(catch_unwind)]
    pub fn mapper(&self) -> MapperHandle {
        MapperHandle::new(Arc::clone(self.port.mapper()), Arc::clone(&self.shared))
    }

    /// The lease.
    #[napi(catch_unwind)]
    pub fn lease(&self) -> LeaseHandle {
        LeaseHandle::new(self.port.lease().clone(), Arc::clone(&self.shared.waits))
    }

    /// Asks for the end of both, which leaves the mapping, and does not wait.
    #[napi(catch_unwind)]
    pub fn begin_detach(&self) {
        self.port.begin_detach();
    }
}
