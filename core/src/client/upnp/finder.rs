//! The device that mappings are asked of: searched for once, remembered, and searched for again when it is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::config::UpnpConfig;
use super::description::Service;
use super::device::Device;
use super::search;
use super::soap::{CallError, Caller, NOT_AUTHORIZED};
use crate::error::PortMappingError;
use crate::schedule::UPNP_SEARCH_TURN_DEADLINE;

/// Finds the gateway, and remembers it for the life of the mapper.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) config: UpnpConfig,
    caller: Caller,
    /// What the latest search found, best first. The first is in use.
    devices: Mutex<Vec<Arc<Device>>>,
    /// Services that refused for good: they are asked only if there is nothing else.
    refusers: Mutex<Vec<Service>>,
    /// When the latest search that found none ended, and why.
    failed: Mutex<Option<(Instant, PortMappingError)>>,
    /// One search at a time; the others use what it finds.
    searching: Semaphore,
}

impl Finder {
    /// A finder that has found nothing yet. Sends nothing.
    pub(super) fn new(config: UpnpConfig, caller: Caller) -> Self {
        Self {
            config,
            caller,
            devices: Mutex::default(),
            refusers: Mutex::default(),
            failed: Mutex::default(),
            searching: Semaphore::new(1),
        }
    }

    /// The device that is known, or one that is searched for.
    pub(super) async fn device(&self) -> Result<Arc<Device>, PortMappingError> {
        match self.known() {
            Some(device) => Ok(device),
            None => self.search_since(Instant::now()).await,
        }
    }

    /// The best of the devices that the latest search found.
    pub(super) fn known(&self) -> Option<Arc<Device>> {
        self.devices().first().cloned()
    }

    /// Forgets all devices: the next call searches. For a device that does not answer any more.
    pub(super) fn forget(&self) {
        self.devices().clear();
    }

    fn devices(&self) -> MutexGuard<'_, Vec<Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the device with this service because it has refused for good ([`refuses_for_good`]), and gives the next
    /// best to ask instead. Searches for one, once, if the search had ended with this device. `None`: there is no other,
    /// and the refusal is the answer.
    ///
    /// Ends after a few calls: no service that has refused is given again.
    pub(super) async fn refused(&self, service: &Service) -> Option<Arc<Device>> {
        self.devices().retain(|device| device.service != *service);
        self.known()
    }

    /// Waits until a device was found after a search that had failed. Another attempt is worthwhile then.
    pub(super) async fn news(&self) {
        std::future::pending().await
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
        *self.devices() = device.iter().cloned().collect();
        let failed = device.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        device
    }
}

/// UPnP codes of a device that will say the same to any mapping: it does not have the action, or not for this machine
/// (UDA 1.1 table 3-3).
const REFUSED_FOR_GOOD: [u16; 3] = [401, 602, NOT_AUTHORIZED];
/// HTTP statuses that mean that there is no such service, or none without a password.
const NO_SUCH_SERVICE: [u16; 6] = [401, 403, 404, 405, 410, 501];

/// Whether asking this device again is useless, whatever the mapping.
pub(super) fn refuses_for_good(error: &CallError) -> bool {
    match error {
        CallError::Fault(fault) => match fault.code {
            Some(code) => REFUSED_FOR_GOOD.contains(&code),
            None => NO_SUCH_SERVICE.contains(&fault.status),
        },
        CallError::Gone(status) => NO_SUCH_SERVICE.contains(status),
        CallError::Http(_) | CallError::Nonsense(_) | CallError::AnotherHost { .. } | CallError::Crowded => false,
    }
}
