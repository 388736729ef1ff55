//! UPnP Internet Gateway Device 1 and 2 (WANIPConnection and WANPPPConnection), with an SSDP search, a description
//! reader and an HTTP client of our own: those of the libraries lose too many real routers.
//!
//! The device that a search found is remembered for the life of the mapper. A device that refuses connections or answers 404 has
//! probably restarted on another port: it is searched for once more, and the action is tried again.
//!
//! Routers with no checks of their own let anybody overwrite and delete anybody's entry, so every change is preceded by a
//! look at the table (`look`), and a `ledger` knows what this process has added. Only that, or what has our description,
//! is deleted.
//!
//! An answer that makes no sense is of kind `unavailable`: whatever answered, it offers no service that we can use.

mod action;
mod attempt;
mod attend;
mod config;
pub(crate) mod description;
mod device;
mod examine;
mod finder;
pub(crate) mod http;
mod inherit;
mod ladder;
mod leads;
mod ledger;
mod look;
pub(crate) mod notify;
pub(crate) mod pinhole;
mod presence;
mod release;
mod remembered;
mod renewal;
mod repair;
mod search;
pub(crate) mod soap;
mod sought;
pub(crate) mod ssdp;
mod table;
mod target;
mod turns;
mod verify;
mod wan;
mod xml;

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::action::External;
use self::description::Service;
use self::finder::{Finder, refuses_for_good};
use self::ledger::Ledger;
use self::soap::{CallError, Caller, NO_SUCH_ENTRY};
use self::sought::Sought;
use self::target::Target;
use super::port_mapper::PortMapperClient;
use crate::config::MAX_DESCRIPTION_LENGTH;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Transport};
use crate::snapshot::TableEntry;

pub use self::config::UpnpConfig;
pub use self::device::DeviceInfo;
pub use self::pinhole::{FirewallStatus, PinholeConfig, PinholeMapper};
pub use self::wan::WanStatus;

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
    ledger: Ledger,
    /// What a service said last about its address, and when.
    told: Mutex<Option<(Service, External, Instant)>>,
    /// A device that holds a mapping has restarted, as it seems, and nobody has heard of it yet.
    restarts: Notify,
}

impl UpnpMapper {
    /// A mapper that has found nothing yet. Sends nothing.
    pub fn new(config: UpnpConfig) -> Self {
        Self::searching(config, Sought::Ports, 0)
    }

    /// The same for what is `sought`, by the interface with the index `scope` if that matters.
    fn searching(config: UpnpConfig, sought: Sought, scope: u32) -> Self {
        let description = config.description.chars().filter(|c| !c.is_control()).take(MAX_DESCRIPTION_LENGTH).collect();
        let caller = Caller::new(config.local_address).by(scope);
        let finder = Finder::new(config, sought, caller.clone());
        Self { description, caller, finder, ledger: Ledger::default(), told: Mutex::default(), restarts: Notify::new() }
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
        let mut target = Target::of_device(&device);
        loop {
            let caller = self.caller.timed();
            let result = table::read(target.control(&caller)).await;
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
        let mut target = Target::of_device(&device);
        loop {
            let result = match target.control(&self.caller).delete(transport, external_port).await {
                // It is gone, which is what was asked for.
                Err(CallError::Fault(fault)) if fault.code == Some(NO_SUCH_ENTRY) => Ok(()),
                result => result,
            };
            if let Some(result) = self.settled_same(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "DeletePortMapping", &target));
            }
        }
    }

    /// Looks at what an action on `target` brought. `None`: the service was gone, the gateway has been found elsewhere,
    /// and the action is to be tried there. That happens once by a search, and once where another lease's search has found
    /// the device.
    async fn settled<T>(&self, target: &mut Target, result: Result<T, CallError>) -> Option<Result<T, CallError>> {
        self.settled_at(target, result, |_| true).await
    }

    /// As [`settled`](Self::settled), for what must not happen at another device: only one that proves by its unique name
    /// to be the same is tried.
    async fn settled_same<T>(&self, target: &mut Target, result: Result<T, CallError>) -> Option<Result<T, CallError>> {
        let same = target.identity.clone();
        self.settled_at(target, result, |found| !same.udn().is_empty() && found.identity == same).await
    }

    async fn settled_at<T>(
        &self,
        target: &mut Target,
        result: Result<T, CallError>,
        fits: impl Fn(&Target) -> bool,
    ) -> Option<Result<T, CallError>> {
        let Err(error) = &result else { return Some(result) };
        if target.moved || !error.may_have_moved() {
            return Some(result);
        }
        if let Some(found) = self.followed(target).filter(&fits) {
            tracing::debug!(url = %found.service.control_url, %error, "the device was found there meanwhile");
            *target = found;
            return None;
        }
        tracing::debug!(url = %target.service.control_url, %error, "the gateway may have moved: searching for it");
        let found = self.finder.search_since(target.asked).await.map(|device| Target::of_device(&device));
        match found {
            Ok(found) if fits(&found) => {
                *target = Target { moved: true, ..found };
                None
            }
            Ok(found) => {
                tracing::debug!(url = %found.service.control_url, "another device was found");
                Some(result)
            }
            Err(search) => {
                tracing::debug!(error = %search.message(), "the device was searched for and not found");
                Some(result)
            }
        }
    }

    /// Where the device is by now, if it has been found elsewhere for another lease, or by its announcement.
    fn followed(&self, target: &Target) -> Option<Target> {
        let udn = target.identity.udn();
        if target.followed || udn.is_empty() {
            return None;
        }
        let device = self.finder.named(udn).filter(|device| device.service != target.service)?;
        Some(Target { followed: true, ..Target::of_device(&device) })
    }

    /// The error for the user. A device that does not answer is forgotten: the next attempt searches for it.
    fn failed(&self, error: CallError, action: &str, target: &Target) -> PortMappingError {
        if matches!(error, CallError::Http(_) | CallError::Gone(_)) {
            self.finder.forget();
        }
        error.explain(action, &target.service)
    }
}

impl UpnpMapper {
    /// Looks whether the entry of `mapping` is still there, and answers with the mapping. Fails with
    /// [`mapping_lost`](PortMappingError::mapping_lost) if it is not, and otherwise as [`search`](Self::search).
    pub(crate) async fn see(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let mut target = Target::of_mapping(mapping)?;
        loop {
            let seen = self.try_see(&target, mapping).await;
            let Some(seen) = self.settled_same(&mut target, seen).await else { continue };
            let explain = |error: CallError| error.explain("GetSpecificPortMappingEntry", &target.service);
            return seen.map(|()| mapping.clone()).map_err(explain);
        }
    }
}

#[async_trait]
impl PortMapperClient for UpnpMapper {
    /// Searches for the gateway and asks for its address; a device that is known already is only asked for its address.
    async fn probe(&self) -> Result<(), PortMappingError> {
        let Some(device) = self.finder.known() else {
            return self.finder.device().await.map(drop);
        };
        let mut target = Target::of_device(&device);
        loop {
            let control = target.control(&self.caller);
            let result = match control.external_address().await {
                Err(error) if attempt::maps_all_the_same(&error) => control.connected().await.map(drop),
                result => result.map(drop),
            };
            match self.settled(&mut target, result).await {
                // A refusal is an answer, and that is what was asked.
                Some(Ok(()) | Err(CallError::Fault(_))) => return Ok(()),
                Some(Err(error)) => return Err(self.failed(error, "GetExternalIPAddress", &target)),
                None => {}
            }
        }
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        let device = self.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let result = self.try_install(&target, request, ttl).await;
            let Some(result) = self.settled(&mut target, result).await else { continue };
            if let Err(error) = &result
                && refuses_for_good(error)
                && let Some(next) = self.finder.refused(&target.service).await
            {
                tracing::debug!(url = %target.service.control_url, %error, "asking the next best device");
                target = Target::of_device(&next);
                continue;
            }
            return result.map_err(|error| self.failed(error, "AddPortMapping", &target));
        }
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let before = Target::of_mapping(mapping)?;
        let mut target = Target::of_mapping(mapping)?;
        loop {
            let result = self.try_renew(&target, &before, mapping).await;
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "AddPortMapping", &target));
            }
        }
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.release(mapping).await
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        let target = Target::of_mapping(mapping)?;
        let result = self.try_verify(&target, mapping).await;
        result.map_err(|error| self.failed(error, "GetSpecificPortMappingEntry", &target))
    }

    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.release_doubtful(request).await
    }

    /// Waits until a search that continues after its failure has found a gateway.
    async fn news(&self) {
        self.finder.news().await;
    }

    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        self.mappings().await
    }

    async fn entry(&self, transport: Transport, external_port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        let device = self.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let caller = self.caller.timed();
            let result = table::entry(target.control(&caller), transport, external_port).await;
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "GetSpecificPortMappingEntry", &target));
            }
        }
    }

    async fn add_entry(&self, entry: &TableEntry) -> Result<(), PortMappingError> {
        let device = self.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let caller = self.caller.timed();
            let result = table::add(target.control(&caller), entry).await;
            if let Some(result) = self.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "AddPortMapping", &target));
            }
        }
    }

    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        let entries = self.mappings().await?;
        // One that is open to a single remote host is another entry, even with the same port.
        let is_it = |entry: &TableEntry| {
            (entry.transport, entry.external_port) == (transport, external_port) && entry.is_for_everybody()
        };
        let Some(entry) = entries.into_iter().find(is_it) else { return Ok(None) };
        if !any_host {
            entry.require_this_machine()?;
        }
        self.delete(transport, external_port).await?;
        Ok(Some(entry))
    }

    async fn settle(&self) {
        let calls = &self.caller.turns.calls;
        calls.close();
        calls.wait().await;
        calls.reopen();
    }
}

#[cfg(test)]
mod attend_tests;
#[cfg(test)]
mod doubt_tests;
#[cfg(test)]
mod ladder_tests;
#[cfg(test)]
mod leftover_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod owners_tests;
#[cfg(test)]
mod ownership_tests;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod peer_table;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
#[path = "upnp_tests.rs"]
mod tests;
#[cfg(test)]
mod vector_tests;
#[cfg(test)]
mod verify_tests;
