//! The device that mappings are asked of: searched for once, remembered, and searched for again when it is gone.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::config::UpnpConfig;
use super::device::Device;
use super::search;
use super::soap::Caller;
use crate::error::PortMappingError;
use crate::schedule::UPNP_SEARCH_TURN_DEADLINE;

/// Finds the gateway, and remembers it for the life of the mapper.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) config: UpnpConfig,
    caller: Caller,
    /// The device that the latest search found.
    device: Mutex<Option<Arc<Device>>>,
    /// When the latest search that found none ended, and why.
    failed: Mutex<Option<(Instant, PortMappingError)>>,
    /// One search at a time; the others use what it finds.
    searching: Semaphore,
}

impl Finder {
    /// A finder that has found nothing yet. Sends nothing.
    pub(super) fn new(config: UpnpConfig, caller: Caller) -> Self {
        Self { config, caller, device: Mutex::default(), failed: Mutex::default(), searching: Semaphore::new(1) }
    }

    /// The device that is known, or one that is searched for.
    pub(super) async fn device(&self) -> Result<Arc<Device>, PortMappingError> {
        match self.known() {
            Some(device) => Ok(device),
            None => self.search_since(Instant::now()).await,
        }
    }

    /// The device that the latest search found.
    pub(super) fn known(&self) -> Option<Arc<Device>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another device in the place of the known one. `None`: the next call searches.
    pub(super) fn remember(&self, device: Option<Arc<Device>>) {
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = device;
    }

    /// Searches, unless another search has ended since `asked`: then its outcome serves, whether device or failure.
    pub(super) async fn search_since(&self, asked: Instant) -> Result<Arc<Device>, PortMappingError> {
        let turn = tokio::time::timeout(UPNP_SEARCH_TURN_DEADLINE, self.searching.acquire()).await;
        let Ok(Ok(_permit)) = turn else {
            return Err(PortMappingError::timeout(format!(
                "no turn to search for the upnp gateway within {} s",
                UPNP_SEARCH_TURN_DEADLINE.as_secs()
            )));
        };
        if let Some(device) = self.known().filter(|device| device.found > asked) {
            return Ok(device);
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = failed.filter(|(ended, _)| *ended > asked) {
            return Err(error);
        }
        let device = search::search(&self.config, &self.caller).await.map(Arc::new);
        self.remember(device.as_ref().ok().cloned());
        let failed = device.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        device
    }
}
