//! UPnP Internet Gateway Device 1 and 2 (WANIPConnection and WANPPPConnection), with an SSDP search, a description
//! reader and an HTTP client of our own: those of the libraries lose too many real routers.
//!
//! Discovery remembers its device for the life of the mapper. A device that refuses connections or answers 404 has
//! probably restarted on another port: it is searched for once more, and the action is tried again.
//!
//! An answer that makes no sense is of kind `unavailable`: whatever answered, it offers no service that we can use.

mod action;
pub mod description;
mod discover;
pub mod http;
mod ladder;
pub mod soap;
pub mod ssdp;
mod table;
mod xml;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::action::{Control, Entry, External};
use self::description::Service;
use self::discover::Device;
use self::ladder::{Granted, Ladder};
use self::soap::{CallError, Caller, NO_SUCH_ENTRY, Turns};
use super::PortMapperClient;
use crate::builders::builders;
use crate::config::{DEFAULT_DESCRIPTION, MAX_DESCRIPTION_LENGTH};
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::{UPNP_DISCOVERY_TURN_DEADLINE, UPNP_EXTERNAL_ADDRESS_FRESH};

pub use self::action::TableEntry;
pub use self::discover::DeviceInfo;

/// What a [`UpnpMapper`] needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpnpConfig {
    /// The default gateway, IPv4. It is asked directly, and preferred among equals; other devices may answer too.
    pub gateway: IpAddr,
    /// The local address to send from. Default: the system's choice.
    pub local_address: Option<IpAddr>,
    /// Where the search is sent. Default: 239.255.255.250:1900 and port 1900 of the gateway.
    pub ssdp_address: Option<SocketAddr>,
    /// The text that the router shows beside the mapping. Cut to 64 characters; control characters are left out.
    pub description: String,
}

impl UpnpConfig {
    /// The gateway at `gateway`, everything else by default; mappings are described as `portlease`.
    pub fn new(gateway: impl Into<IpAddr>) -> Self {
        let description = DEFAULT_DESCRIPTION.to_owned();
        Self { gateway: gateway.into(), local_address: None, ssdp_address: None, description }
    }

    builders! {
        local_address(impl Into<Option<IpAddr>>),
        ssdp_address(impl Into<Option<SocketAddr>>),
        description(impl Into<String>),
    }
}

/// Maps ports by UPnP-IGD.
#[derive(Debug)]
pub struct UpnpMapper {
    config: UpnpConfig,
    description: String,
    caller: Caller,
    /// The device that discovery found.
    device: Mutex<Option<Arc<Device>>>,
    /// When the latest discovery that found none ended, and why.
    failed: Mutex<Option<(Instant, PortMappingError)>>,
    /// One discovery at a time; the others use what it finds.
    discovery: Semaphore,
}

impl UpnpMapper {
    /// A mapper that has found nothing yet. Sends nothing.
    pub fn new(config: UpnpConfig) -> Self {
        let description = config.description.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION_LENGTH).collect();
        Self {
            caller: Caller { local: config.local_address, turns: Turns::default() },
            description,
            config,
            device: Mutex::default(),
            failed: Mutex::default(),
            discovery: Semaphore::new(1),
        }
    }

    /// Searches for the gateway anew, and remembers it. Maps nothing.
    ///
    /// Fails with `unavailable` where no gateway answered or none maps ports, and as the failed call otherwise.
    pub async fn discover(&self) -> Result<DeviceInfo, PortMappingError> {
        self.search(Instant::now()).await.map(|device| DeviceInfo::from(&*device))
    }

    /// The router's table as far as it shows it to us, at most 1024 entries.
    ///
    /// Fails as [`discover`](Self::discover), and with `refused` where the router does not show its table.
    pub async fn mappings(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        let device = self.device().await?;
        let mut place = Place::at(device.service.clone());
        loop {
            let result = table::read(self.control(&place)).await;
            if let Some(result) = self.settled(&mut place, result).await {
                return result.map_err(|error| self.failed(error, "GetGenericPortMappingEntry", &place));
            }
        }
    }

    /// Deletes the mapping of an external port, whoever made it. One that is not there is a success.
    ///
    /// Fails as [`discover`](Self::discover), and with `refused` where the router says no.
    pub async fn delete(&self, transport: Transport, external_port: u16) -> Result<(), PortMappingError> {
        let device = self.device().await?;
        self.delete_at(device.service.clone(), transport, external_port).await
    }

    async fn delete_at(&self, service: Service, transport: Transport, port: u16) -> Result<(), PortMappingError> {
        let mut place = Place::at(service);
        loop {
            let result = match self.control(&place).delete(transport, port).await {
                // It is gone, which is what was asked for.
                Err(CallError::Fault(fault)) if fault.code == Some(NO_SUCH_ENTRY) => Ok(()),
                result => result,
            };
            if let Some(result) = self.settled(&mut place, result).await {
                return result.map_err(|error| self.failed(error, "DeletePortMapping", &place));
            }
        }
    }

    /// The device that is known, or one that is searched for.
    async fn device(&self) -> Result<Arc<Device>, PortMappingError> {
        match self.known() {
            Some(device) => Ok(device),
            None => self.search(Instant::now()).await,
        }
    }

    fn known(&self) -> Option<Arc<Device>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, device: Option<Arc<Device>>) {
        *self.device.lock().unwrap_or_else(PoisonError::into_inner) = device;
    }

    /// Searches, unless another search has ended since `asked`: then its outcome serves, whether device or failure.
    async fn search(&self, asked: Instant) -> Result<Arc<Device>, PortMappingError> {
        let turn = tokio::time::timeout(UPNP_DISCOVERY_TURN_DEADLINE, self.discovery.acquire()).await;
        let Ok(Ok(_permit)) = turn else {
            return Err(PortMappingError::timeout(format!(
                "no turn to search for the upnp gateway within {} s",
                UPNP_DISCOVERY_TURN_DEADLINE.as_secs()
            )));
        };
        if let Some(device) = self.known().filter(|device| device.found > asked) {
            return Ok(device);
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = failed.filter(|(ended, _)| *ended > asked) {
            return Err(error);
        }
        let device = discover::discover(&self.config, &self.caller).await.map(Arc::new);
        self.remember(device.as_ref().ok().cloned());
        let failed = device.as_ref().err().map(|error| (Instant::now(), error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        device
    }

    fn control<'a>(&'a self, place: &'a Place) -> Control<'a> {
        Control { caller: &self.caller, service: &place.service }
    }

    /// Looks at what an action on `place` brought. `None`: the service was gone, the gateway has been found at another
    /// place, and the action is to be tried there. That happens once.
    async fn settled<T>(&self, place: &mut Place, result: Result<T, CallError>) -> Option<Result<T, CallError>> {
        let Err(error) = &result else { return Some(result) };
        if place.moved || !error.may_have_moved() {
            return Some(result);
        }
        tracing::debug!(url = %place.service.control_url, %error, "the gateway may have moved: searching for it");
        match self.search(place.asked).await {
            Ok(device) => {
                *place = Place { service: device.service.clone(), asked: Instant::now(), moved: true };
                None
            }
            Err(search) => {
                tracing::debug!(error = %search.message(), "and it is not found");
                Some(result)
            }
        }
    }

    /// The error for the user. A device that does not answer is forgotten: the next attempt searches for it.
    fn failed(&self, error: CallError, action: &str, place: &Place) -> PortMappingError {
        if matches!(error, CallError::Http(_) | CallError::Gone(_)) {
            self.remember(None);
        }
        error.explain(action, &place.service)
    }
}

#[async_trait]
impl PortMapperClient for UpnpMapper {
    /// Searches for the gateway and asks for its address; a device that is known already is only asked for its address.
    async fn probe(&self) -> Result<(), PortMappingError> {
        let Some(device) = self.known() else {
            return self.search(Instant::now()).await.map(drop);
        };
        let mut place = Place::at(device.service.clone());
        loop {
            let result = self.control(&place).external_address().await;
            match self.settled(&mut place, result).await {
                // A refusal is an answer, and that is what was asked.
                Some(Ok(_) | Err(CallError::Fault(_))) => return Ok(()),
                Some(Err(error)) => return Err(self.failed(error, "GetExternalIPAddress", &place)),
                None => {}
            }
        }
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        let mut place = Place::at(self.device().await?.service.clone());
        loop {
            let result = self.try_install(&place, request, ttl).await;
            if let Some(result) = self.settled(&mut place, result).await {
                return result.map_err(|error| self.failed(error, "AddPortMapping", &place));
            }
        }
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let mut place = Place::at(service_of(mapping)?);
        loop {
            let result = self.try_renew(&place, mapping).await;
            if let Some(result) = self.settled(&mut place, result).await {
                return result.map_err(|error| self.failed(error, "AddPortMapping", &place));
            }
        }
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.delete_at(service_of(mapping)?, mapping.request.transport, mapping.external.port()).await
    }
}

impl UpnpMapper {
    async fn try_install(&self, place: &Place, request: &MapRequest, ttl: Duration) -> Result<PortMapping, CallError> {
        let control = self.control(place);
        let device = self.known_at(place);
        // What discovery brought a moment ago is good enough: in a race every round trip counts.
        let fresh = device.as_ref().and_then(|device| device.external);
        let external = match fresh.filter(|(_, since)| since.elapsed() < UPNP_EXTERNAL_ADDRESS_FRESH) {
            Some((external, _)) => external,
            None => external_address(control, None).await?,
        };
        let ladder = Ladder {
            control,
            entry: self.entry(request, external),
            lease: whole_seconds(ttl),
            permanent_first: device.as_ref().is_some_and(|device| device.permanent_only()),
            device: device.as_deref(),
        };
        let granted = ladder.install(request.suggested_port(), request.exact).await?;
        Ok(granted_mapping(request, ttl, external, granted, place))
    }

    async fn try_renew(&self, place: &Place, old: &PortMapping) -> Result<PortMapping, CallError> {
        let control = self.control(place);
        let device = self.known_at(place);
        let external = external_address(control, Some(old.external.ip())).await?;
        let ladder = Ladder {
            control,
            entry: self.entry(&old.request, external),
            lease: whole_seconds(old.requested_ttl),
            permanent_first: old.permanent() || device.as_ref().is_some_and(|device| device.permanent_only()),
            device: device.as_deref(),
        };
        let granted = ladder.renew(old.external.port()).await?;
        Ok(granted_mapping(&old.request, old.requested_ttl, external, granted, place))
    }

    /// What is known of the device at `place`.
    fn known_at(&self, place: &Place) -> Option<Arc<Device>> {
        self.known().filter(|device| device.service == place.service)
    }

    fn entry(&self, request: &MapRequest, external: External) -> Entry<'_> {
        Entry {
            transport: request.transport,
            internal: SocketAddr::new(external.local, request.internal_port),
            description: &self.description,
        }
    }
}

/// Where an action goes.
struct Place {
    service: Service,
    /// When it was known to be there.
    asked: Instant,
    /// Whether it has been searched for since.
    moved: bool,
}

impl Place {
    fn at(service: Service) -> Self {
        Self { service, asked: Instant::now(), moved: false }
    }
}

/// The lease to ask for: at least a second, because 0 means for ever.
fn whole_seconds(ttl: Duration) -> u32 {
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The router's address and ours. Comes before AddPortMapping, because nothing that can fail may come after it. A router
/// that refuses to tell its address still maps ports: `otherwise` is what is shown then.
async fn external_address(control: Control<'_>, otherwise: Option<IpAddr>) -> Result<External, CallError> {
    match control.external_address().await {
        Err(CallError::Fault(fault)) => {
            tracing::debug!(%fault, "GetExternalIPAddress");
            let local = control.local_address().map_err(http::HttpError::Io)?;
            Ok(External { address: otherwise.filter(|address| !address.is_unspecified()), local })
        }
        result => result,
    }
}

fn service_of(mapping: &PortMapping) -> Result<Service, PortMappingError> {
    let ProtocolToken::Upnp { control_url, service_type } = &mapping.token else {
        return Err(PortMappingError::internal(format!("a mapping by {} came to upnp", mapping.protocol)));
    };
    Service::known(control_url, service_type).ok_or_else(|| {
        PortMappingError::internal(format!("`{control_url}` with `{service_type}` is no upnp service that maps ports"))
    })
}

fn granted_mapping(
    request: &MapRequest,
    ttl: Duration,
    external: External,
    granted: Granted,
    place: &Place,
) -> PortMapping {
    let address = external.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    PortMapping {
        request: *request,
        external: SocketAddr::new(address, granted.external_port),
        requested_ttl: ttl,
        lifetime: granted.lifetime(),
        protocol: Protocol::Upnp,
        token: ProtocolToken::Upnp {
            control_url: place.service.control_url.to_string(),
            service_type: place.service.service_type.clone(),
        },
    }
}

#[cfg(test)]
mod ladder_tests;
#[cfg(test)]
mod peer;
#[cfg(test)]
#[path = "upnp_tests.rs"]
mod tests;
#[cfg(test)]
mod vector_tests;
