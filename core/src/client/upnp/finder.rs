//! The device that mappings are asked of: searched for once, remembered, and searched for again when it is gone.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::config::UpnpConfig;
use super::description::Service;
use super::device::Device;
use super::search::Hunt;
use super::soap::{BY_UPNP, CallError, Caller, NOT_AUTHORIZED};
use super::sought::Sought;
use crate::error::PortMappingError;
use crate::schedule::{UPNP_DEADLINE, UPNP_REMEMBERED_HEDGE, UPNP_SEARCH_TURN_DEADLINE};
use crate::state::KnownDevice;

/// The services that have refused for good and are remembered as such.
const MAX_REFUSERS: usize = 16;

/// Finds the gateway, and remembers it for the life of the mapper.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) config: UpnpConfig,
    pub(super) sought: Sought,
    caller: Caller,
    found: Arc<Known>,
    /// The device of an earlier start, until the first search.
    remembered: Mutex<Option<KnownDevice>>,
    /// Services that refused for good: they are asked only if there is nothing else.
    refusers: Mutex<Vec<Service>>,
    /// When the latest search that found none ended, and why.
    failed: Mutex<Option<(Instant, PortMappingError)>>,
    /// One search at a time; the others use what it finds.
    searching: Semaphore,
    /// A search that continues in the background after its answer. Ends with this struct.
    late: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What searches have found.
#[derive(Debug, Default)]
struct Known {
    /// Best first. The first is in use.
    devices: Mutex<Vec<Arc<Device>>>,
    /// Whether there is a device that was found behind a failure and that nobody has used yet.
    news: watch::Sender<bool>,
}

impl Known {
    fn devices(&self) -> MutexGuard<'_, Vec<Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a late search has found, if nothing is known by now, or if it is the `gateway` and another device is in
    /// use.
    fn late(&self, found: Vec<Arc<Device>>, gateway: Option<IpAddr>) {
        let mut devices = self.devices();
        let known = devices.first().map(|device| device.responder);
        if known.is_some_and(|known| gateway.is_none_or(|gateway| gateway == known)) {
            return;
        }
        let worse = std::mem::replace(&mut *devices, found);
        devices.extend(worse);
        drop(devices);
        if known.is_none() {
            self.news.send_replace(true);
        }
    }
}

impl Finder {
    /// A finder that has found nothing yet. Sends nothing.
    pub(super) fn new(config: UpnpConfig, sought: Sought, caller: Caller) -> Self {
        Self {
            config,
            sought,
            caller,
            found: Arc::default(),
            remembered: Mutex::default(),
            refusers: Mutex::default(),
            failed: Mutex::default(),
            searching: Semaphore::new(1),
            late: Mutex::default(),
        }
    }

    /// Takes a device of an earlier start, which [`device`](Self::device) then checks before it searches.
    pub(super) fn remember(&self, device: KnownDevice) {
        *self.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(device);
    }

    /// The device that is known, or was known at an earlier start and is still there, or else one that is searched for.
    pub(super) async fn device(&self) -> Result<Arc<Device>, PortMappingError> {
        match self.known() {
            Some(device) => {
                self.no_news();
                Ok(device)
            }
            None => self.find_since(Instant::now(), true).await,
        }
    }

    /// The best of the devices that the latest search found.
    pub(super) fn known(&self) -> Option<Arc<Device>> {
        self.found.devices().first().cloned()
    }

    /// The device with this unique name, if a search has found it.
    pub(super) fn named(&self, udn: &str) -> Option<Arc<Device>> {
        self.found.devices().iter().find(|device| device.udn == udn).cloned()
    }

    /// Takes a device that has proved by its unique name to be one of those known, wherever it is by now. One that was
    /// forgotten meanwhile is known again.
    pub(super) fn found_again(&self, device: Device) {
        let mut devices = self.found.devices();
        match devices.iter().position(|known| known.udn == device.udn) {
            Some(position) => {
                if devices[position].permanent_only() {
                    device.remember_permanent_only();
                }
                devices[position] = Arc::new(device);
            }
            None if device.responder == self.config.gateway => devices.insert(0, Arc::new(device)),
            None => devices.push(Arc::new(device)),
        }
        drop(devices);
    }

    /// Forgets all devices: the next call searches. For a device that does not answer any more.
    pub(super) fn forget(&self) {
        self.found.devices().clear();
        self.no_news();
    }

    /// Those who wait already have heard the news; later ones have nothing to hear.
    fn no_news(&self) {
        self.found.news.send_if_modified(|news| {
            *news = false;
            false
        });
    }

    /// Passes over the device with this service because it has refused for good ([`refuses_for_good`]), and gives the next
    /// best to ask instead. If the search had ended with this device, others are searched for, once. `None`: there is no
    /// other, and the refusal is the answer.
    ///
    /// Ends after a few calls: no service that has refused is given again. It stays the last resort of
    /// [`device`](Self::device), so that a user who then changes the router's settings is served at once.
    pub(super) async fn refused(&self, service: &Service) -> Option<Arc<Device>> {
        let asked = Instant::now();
        let first_time = self.remember_refuser(service);
        let (next, was_gateway) = {
            let mut devices = self.found.devices();
            devices.sort_by_key(|device| device.service == *service);
            let refuser = devices.last().filter(|device| device.service == *service);
            let was_gateway = refuser.is_some_and(|device| device.responder == self.config.gateway);
            (devices.first().cloned(), was_gateway)
        };
        let untried = |device: &Arc<Device>| !self.refusers().contains(&device.service);
        match next.filter(untried) {
            Some(next) => Some(next),
            None if first_time && was_gateway => self.search_since(asked).await.ok().filter(untried),
            None => None,
        }
    }

    /// Whether this is the first refusal of the service.
    fn remember_refuser(&self, service: &Service) -> bool {
        let mut refusers = self.refusers();
        if refusers.contains(service) {
            return false;
        }
        if refusers.len() >= MAX_REFUSERS {
            refusers.remove(0);
        }
        refusers.push(service.clone());
        true
    }

    fn refusers(&self) -> MutexGuard<'_, Vec<Service>> {
        self.refusers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a device was found after a search that had failed. Another attempt is worthwhile then.
    pub(super) async fn news(&self) {
        let mut news = self.found.news.subscribe();
        if !*news.borrow_and_update() {
            // It lives as long as this struct does.
            let _ = news.changed().await;
        }
    }

    /// Searches, unless another search has ended since `asked`: then its outcome serves, whether device or failure.
    ///
    /// Where the gateway did not answer in time, the search goes on in the background.
    pub(super) async fn search_since(&self, asked: Instant) -> Result<Arc<Device>, PortMappingError> {
        self.find_since(asked, false).await
    }

    /// As [`search_since`](Self::search_since). With `remembers` the device of an earlier start is checked first.
    async fn find_since(&self, asked: Instant, remembers: bool) -> Result<Arc<Device>, PortMappingError> {
        let turn = timeout(UPNP_SEARCH_TURN_DEADLINE, self.searching.acquire()).await;
        let Ok(Ok(_permit)) = turn else {
            return Err(BY_UPNP.timeout(format!(
                "no turn to search for the upnp gateway within {} s",
                UPNP_SEARCH_TURN_DEADLINE.as_secs()
            )));
        };
        if let Some(device) = self.known().filter(|device| device.found > asked) {
            self.no_news();
            return Ok(device);
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = failed.filter(|(ended, _)| *ended > asked) {
            return Err(error);
        }
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = match remembered.filter(|_| remembers) {
            Some(device) => self.check_or_search(device).await,
            None => self.search().await,
        };
        self.no_news();
        let failed = outcome.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        outcome
    }

    /// The device of an earlier start if it is still there, or else one that is searched for. If the check takes long, the
    /// search begins beside it.
    async fn check_or_search(&self, remembered: KnownDevice) -> Result<Arc<Device>, PortMappingError> {
        let bounded = timeout(UPNP_DEADLINE, remembered.check(&self.sought, &self.caller, self.config.gateway));
        let mut check = pin!(async { bounded.await.ok().flatten() });
        match timeout(UPNP_REMEMBERED_HEDGE, &mut check).await {
            Ok(Some(device)) => return Ok(self.believe(device)),
            Ok(None) => return self.search().await,
            Err(_) => tracing::debug!("the remembered device has not answered yet: searching beside it"),
        }
        let mut search = pin!(self.search());
        tokio::select! {
            checked = &mut check => match checked {
                Some(device) => Ok(self.believe(device)),
                None => search.await,
            },
            found = &mut search => match found {
                Ok(device) => Ok(device),
                Err(error) => check.await.map(|device| self.believe(device)).ok_or(error),
            },
        }
    }

    fn believe(&self, device: Device) -> Arc<Device> {
        tracing::debug!(url = %device.service.control_url, "the remembered device is still there");
        let device = Arc::new(device);
        *self.found.devices() = vec![Arc::clone(&device)];
        device
    }

    async fn search(&self) -> Result<Arc<Device>, PortMappingError> {
        let started = Instant::now();
        let refusers = self.refusers().clone();
        let mut hunt =
            Hunt::start(&self.config, &self.sought, &self.caller, refusers).await.inspect_err(|_| self.forget())?;
        let outcome = hunt.run().await;
        let best = {
            let mut devices = self.found.devices();
            match &outcome {
                Ok(found) => devices.clone_from(found),
                // An earlier search that went on in the background may have found one meanwhile.
                Err(_) => devices.retain(|device| device.found > started),
            }
            devices.first().cloned()
        };
        if best.as_ref().is_none_or(|device| device.responder != self.config.gateway) && hunt.go_on() {
            self.go_on(hunt);
        }
        match (best, outcome) {
            (Some(device), _) => Ok(device),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(PortMappingError::internal("the upnp search found nothing and did not fail")),
        }
    }

    /// Lets a search go on in the background. One at a time: the earlier one is heard to its end.
    fn go_on(&self, mut hunt: Hunt) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late.as_ref().is_some_and(|late| !late.is_finished()) {
            return;
        }
        let known = Arc::clone(&self.found);
        *late = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            match hunt.run().await {
                Ok(found) => {
                    let gateway = found.first().filter(|device| hunt.ends_with(device)).map(|device| device.responder);
                    known.late(found, gateway);
                }
                Err(error) => tracing::debug!(error = %error.message(), "no late answer either"),
            }
        })));
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
        CallError::Http(_)
        | CallError::Nonsense(_)
        | CallError::AnotherHost { .. }
        | CallError::Taken { .. }
        | CallError::Busy(_)
        | CallError::Lost(_)
        | CallError::LostBy(..)
        | CallError::Untold(_)
        | CallError::Unanswered => false,
    }
}
