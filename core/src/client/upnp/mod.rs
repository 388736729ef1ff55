//! UPnP Internet Gateway Device 1 and 2 (WANIPConnection and WANPPPConnection), with an SSDP search, a description
//! reader and an HTTP client of our own: those of the libraries lose too many real routers.
//!
//! The device that a search found is remembered for the life of the mapper. A device that refuses connections or answers 404 has
//! probably restarted on another port: it is searched for once more, and the action is tried again.
//!
//! An answer that makes no sense is of kind `unavailable`: whatever answered, it offers no service that we can use.

mod action;
mod config;
pub(crate) mod description;
mod device;
mod finder;
pub(crate) mod http;
mod ladder;
mod leads;
mod search;
pub(crate) mod soap;
pub(crate) mod ssdp;
mod table;
mod xml;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::action::{Control, Entry, External};
use self::description::Service;
use self::device::Device;
use self::finder::Finder;
use self::ladder::{Granted, Ladder};
use self::soap::{CallError, Caller, NO_SUCH_ENTRY, Turns};
use super::port_mapper::PortMapperClient;
use crate::config::MAX_DESCRIPTION_LENGTH;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::UPNP_EXTERNAL_ADDRESS_FRESH;

pub use self::action::TableEntry;
pub use self::config::UpnpConfig;
pub use self::device::DeviceInfo;

/// Maps ports by UPnP-IGD.
///
/// ```no_run
/// use portlease::client::{UpnpConfig, UpnpMapper};
///
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let upnp = UpnpMapper::new(UpnpConfig::new([192, 168, 1, 1]));
/// for entry in upnp.mappings().await? {
///     println!("{}/{} leads to {}", entry.external_port, entry.transport, entry.internal_client);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UpnpMapper {
    description: String,
    caller: Caller,
    finder: Finder,
}

impl UpnpMapper {
    /// A mapper that has found nothing yet. Sends nothing.
    pub fn new(config: UpnpConfig) -> Self {
        let description = config.description.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION_LENGTH).collect();
        let caller = Caller { local: config.local_address, turns: Turns::default() };
        Self { description, finder: Finder::new(config, caller.clone()), caller }
    }

    /// Searches for the gateway anew, and remembers it. Maps nothing.
    ///
    /// Fails with `unavailable` where no gateway answered or none maps ports, and as the failed call otherwise.
    pub async fn search(&self) -> Result<DeviceInfo, PortMappingError> {
        self.finder.search_since(Instant::now()).await.map(|device| DeviceInfo::from(&*device))
    }

    /// The router's table as far as it shows it to us, at most 1024 entries.
    ///
    /// Fails as [`search`](Self::search), and with `refused` where the router does not show its table.
    pub async fn mappings(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        let device = self.finder.device().await?;
        let mut target = Target::at(device.service.clone());
        loop {
            let result = table::read(self.control(&target)).await;
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "GetGenericPortMappingEntry", &target));
            }
        }
    }

    /// Deletes the mapping of an external port, whoever made it. One that is not there is a success.
    ///
    /// Fails as [`search`](Self::search), and with `refused` where the router says no.
    pub async fn delete(&self, transport: Transport, external_port: u16) -> Result<(), PortMappingError> {
        let device = self.finder.device().await?;
        self.delete_at(device.service.clone(), transport, external_port).await
    }

    async fn delete_at(&self, service: Service, transport: Transport, port: u16) -> Result<(), PortMappingError> {
        let mut target = Target::at(service);
        loop {
            let result = match self.control(&target).delete(transport, port).await {
                // It is gone, which is what was asked for.
                Err(CallError::Fault(fault)) if fault.code == Some(NO_SUCH_ENTRY) => Ok(()),
                result => result,
            };
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "DeletePortMapping", &target));
            }
        }
    }

    fn control<'a>(&'a self, target: &'a Target) -> Control<'a> {
        Control { caller: &self.caller, service: &target.service }
    }

    /// Looks at what an action on `target` brought. `None`: the service was gone, the gateway has been found elsewhere,
    /// and the action is to be tried there. That happens once.
    async fn settled<T>(&self, target: &mut Target, result: Result<T, CallError>) -> Option<Result<T, CallError>> {
        let Err(error) = &result else { return Some(result) };
        if target.moved || !error.may_have_moved() {
            return Some(result);
        }
        tracing::debug!(url = %target.service.control_url, %error, "the gateway may have moved: searching for it");
        match self.finder.search_since(target.asked).await {
            Ok(device) => {
                *target = Target { service: device.service.clone(), asked: Instant::now(), moved: true };
                None
            }
            Err(search) => {
                tracing::debug!(error = %search.message(), "and it is not found");
                Some(result)
            }
        }
    }

    /// The error for the user. A device that does not answer is forgotten: the next attempt searches for it.
    fn failed(&self, error: CallError, action: &str, target: &Target) -> PortMappingError {
        if matches!(error, CallError::Http(_) | CallError::Gone(_)) {
            self.finder.forget();
        }
        error.explain(action, &target.service)
    }
}

#[async_trait]
impl PortMapperClient for UpnpMapper {
    /// Searches for the gateway and asks for its address; a device that is known already is only asked for its address.
    async fn probe(&self) -> Result<(), PortMappingError> {
        let Some(device) = self.finder.known() else {
            return self.finder.search_since(Instant::now()).await.map(drop);
        };
        let mut target = Target::at(device.service.clone());
        loop {
            let result = self.control(&target).external_address().await;
            match self.settled(&mut target, result).await {
                // A refusal is an answer, and that is what was asked.
                Some(Ok(_) | Err(CallError::Fault(_))) => return Ok(()),
                Some(Err(error)) => return Err(self.failed(error, "GetExternalIPAddress", &target)),
                None => {}
            }
        }
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        let mut target = Target::at(self.finder.device().await?.service.clone());
        loop {
            let result = self.try_install(&target, request, ttl).await;
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "AddPortMapping", &target));
            }
        }
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let mut target = Target::at(service_of(mapping)?);
        loop {
            let result = self.try_renew(&target, mapping).await;
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "AddPortMapping", &target));
            }
        }
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.delete_at(service_of(mapping)?, mapping.request.transport, mapping.external.port()).await
    }

    /// Waits until a search that went on behind its failure has found a gateway.
    async fn news(&self) {
        self.finder.news().await;
    }
}

impl UpnpMapper {
    async fn try_install(
        &self,
        target: &Target,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, CallError> {
        let control = self.control(target);
        let device = self.known_at(target);
        // What a search brought a moment ago is good enough: in a race every round trip counts.
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
        Ok(granted_mapping(request, ttl, external, granted, target))
    }

    async fn try_renew(&self, target: &Target, old: &PortMapping) -> Result<PortMapping, CallError> {
        let control = self.control(target);
        let device = self.known_at(target);
        let external = external_address(control, Some(old.external.ip())).await?;
        let ladder = Ladder {
            control,
            entry: self.entry(&old.request, external),
            lease: whole_seconds(old.requested_ttl),
            permanent_first: old.permanent() || device.as_ref().is_some_and(|device| device.permanent_only()),
            device: device.as_deref(),
        };
        let granted = ladder.renew(old.external.port()).await?;
        Ok(granted_mapping(&old.request, old.requested_ttl, external, granted, target))
    }

    /// What is known of the device at `target`.
    fn known_at(&self, target: &Target) -> Option<Arc<Device>> {
        self.finder.known().filter(|device| device.service == target.service)
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
struct Target {
    service: Service,
    /// When it was known to be there.
    asked: Instant,
    /// Whether it has been searched for since.
    moved: bool,
}

impl Target {
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
    let ProtocolToken::Upnp { control_url, service_type, .. } = &mapping.token else {
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
    target: &Target,
) -> PortMapping {
    let address = external.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    PortMapping {
        request: *request,
        external: SocketAddr::new(address, granted.external_port),
        requested_ttl: ttl,
        lifetime: granted.lifetime(),
        protocol: Protocol::Upnp,
        token: ProtocolToken::Upnp {
            control_url: target.service.control_url.to_string(),
            service_type: target.service.service_type.clone(),
            udn: String::new(),
            adopted: false,
        },
    }
}

#[cfg(test)]
mod ladder_tests;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
#[path = "upnp_tests.rs"]
mod tests;
#[cfg(test)]
mod vector_tests;
