//! Pinholes in the IPv6 firewall of the router by UPnP (WANIPv6FirewallControl:1): a port of this machine's own global address is let
//! through.
//!
//! The search, the descriptions, HTTP, SOAP and the ledger are those of port mappings, in a [`UpnpMapper`] of its own that searches
//! for the other service over IPv6.
//!
//! A router knows a pinhole by a number, and shows nobody whose the pinhole with a number is: after a restart the number may be that
//! of another program of this machine. So a renewal asks for the pinhole itself, not for its number, and hears its number anew.

mod action;
mod attempt;
mod config;
pub(crate) mod read;
mod release;
mod words;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::action::Hole;
use self::words::{MUST_PERMIT, NO_PACKET_SENT, NO_SUCH_ACTION, SWITCHED_OFF};
use super::UpnpMapper;
use super::action::Control;
use super::ledger::{Identity, Place};
use super::soap::{BY_UPNP, CallError};
use super::sought::Sought;
use super::target::Target;
use crate::advice::{FIREWALL_DISABLED_NAME, PINHOLE_NOT_ALLOWED_NAME};
use crate::client::owners::Member;
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::DeviceInfo;
use crate::error::{PortMappingError, check};
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Transport};
use crate::snapshot::TableEntry;
use crate::state::{Journal, Record};

pub use self::action::FirewallStatus;
pub use self::config::PinholeConfig;

/// Opens IPv6 pinholes by UPnP.
///
/// ```no_run
/// use portlease::client::{PinholeConfig, PinholeMapper};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (router, local) = ("fe80::1".parse()?, "2001:db8:77::10".parse()?);
/// let firewall = PinholeMapper::new(PinholeConfig::new(router, local).scope_id(2));
/// println!("programs may open ports: {}", firewall.status().await?.pinholes_allowed);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PinholeMapper {
    upnp: UpnpMapper,
    local: Ipv6Addr,
    /// The number that the router gave a pinhole last.
    numbers: Mutex<HashMap<Place, u16>>,
    /// What routers have shown of how they number.
    numbering: Mutex<HashMap<Identity, Numbering>>,
}

/// How a router numbers pinholes that it is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbering {
    /// The one that is there keeps its number, as the standard has it (2.5.3). Another number means another pinhole.
    Kept,
    /// Each request makes another pinhole with a number of its own.
    Anew,
}

impl PinholeMapper {
    /// A mapper that has found nothing yet. Sends nothing.
    pub fn new(config: PinholeConfig) -> Self {
        let sought = Sought::Pinholes(config.by_ipv4());
        Self::searching(&config, sought)
    }

    fn searching(config: &PinholeConfig, sought: Sought) -> Self {
        Self {
            upnp: UpnpMapper::searching(config.of_search(), sought, config.scope_id),
            local: config.local_address,
            numbers: Mutex::default(),
            numbering: Mutex::default(),
        }
    }

    /// Searches for the router anew, and remembers it. Opens nothing.
    ///
    /// Fails with `unavailable` if no router answered or it opens no pinholes, and as the failed call otherwise.
    pub async fn search(&self) -> Result<DeviceInfo, PortMappingError> {
        self.upnp.search().await
    }

    /// What the router says of its firewall.
    ///
    /// Fails as [`search`](Self::search).
    pub async fn status(&self) -> Result<FirewallStatus, PortMappingError> {
        let device = self.upnp.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let result = target.control(&self.upnp.caller).firewall_status().await;
            if let Some(result) = self.upnp.settled(&mut target, result).await {
                return result.map_err(|error| self.failed(error, "GetFirewallStatus", &target, None));
            }
        }
    }

    /// Whether the router opens pinholes, as far as it tells. Fails with `refused` if its settings do not permit it, or its firewall
    /// is switched off, and as [`search`](Self::search) otherwise.
    pub(crate) async fn offer(&self) -> Result<DeviceInfo, PortMappingError> {
        let device = self.search().await?;
        match self.status().await? {
            FirewallStatus { enabled: true, pinholes_allowed: true } => Ok(device),
            FirewallStatus { enabled: false, .. } => {
                Err(BY_UPNP.name(FIREWALL_DISABLED_NAME).refused(format!("upnp: {SWITCHED_OFF}")))
            }
            FirewallStatus { .. } => {
                Err(BY_UPNP.name(PINHOLE_NOT_ALLOWED_NAME).refused(format!("upnp: {MUST_PERMIT}")))
            }
        }
    }

    /// Looks whether the pinhole of `mapping` is still there. What a router says of a number that it does not know differs from make
    /// to make, so unless it knows it the pinhole itself is asked for.
    pub(crate) async fn see(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let target = Target::of_mapping(mapping)?;
        match self.try_see(&target, mapping).await {
            Ok(true) => Ok(mapping.clone()),
            Ok(false) => self.renew(mapping).await,
            Err(error) => Err(self.failed(error, "UpdatePinhole", &target, None)),
        }
    }

    /// The same, which keeps beyond this process what it asks for. To be called before the first call.
    pub(crate) fn kept_in(self, journal: Journal) -> Self {
        Self { upnp: self.upnp.kept_in(journal), ..self }
    }

    /// The same, which shares its pinholes with other mappers of this process. To be called before the first call.
    pub(crate) fn among(self, owners: Arc<Member>) -> Self {
        Self { upnp: self.upnp.among(owners), ..self }
    }

    /// Learns of a pinhole that an earlier run has opened, or asked for: a lease for its port takes it up again, and `abandon`
    /// closes it.
    pub(crate) fn inherit(&self, record: &Record) {
        self.upnp.inherit(record);
    }

    /// Fails if the device that `record` is about is not in this network.
    pub(crate) async fn require_device_of(&self, record: &Record) -> Result<(), PortMappingError> {
        self.upnp.require_device_of(record).await
    }

    /// Another mapper of this process has the mapping from now on.
    pub(crate) fn let_go(&self, mapping: &PortMapping) {
        self.upnp.let_go(mapping);
    }

    /// Listens to announcements while there is a pinhole to lose. Never ends; to be polled for as long as the mapper lives.
    pub(crate) async fn attend(&self) {
        match self.upnp.attend().await {}
    }

    /// Waits until a router that has a pinhole of ours has announced something that puts its pinholes in doubt.
    pub(crate) async fn restarted(&self) {
        self.upnp.restarted().await;
    }

    fn hole(&self, transport: Transport, port: u16) -> Hole {
        Hole { transport, address: self.local, port }
    }

    fn numbers(&self) -> MutexGuard<'_, HashMap<Place, u16>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbering(&self) -> MutexGuard<'_, HashMap<Identity, Numbering>> {
        self.numbering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error for the user. A device that does not answer is forgotten: the next attempt searches for it.
    fn failed(&self, error: CallError, action: &str, target: &Target, port: Option<u16>) -> PortMappingError {
        if matches!(error, CallError::Http(_) | CallError::Gone(_)) {
            self.upnp.finder.forget();
        }
        words::explain(error, action, &target.service, port.unwrap_or(u16::MAX))
    }
}

/// Whether the device has said no with one of these codes.
fn is_fault(error: &CallError, codes: &[u16]) -> bool {
    matches!(error, CallError::Fault(fault) if fault.code.is_some_and(|code| codes.contains(&code)))
}

/// Whether there is a pinhole with this number. Routers need not have the action that tells, and the other one may answer with 0
/// packets for any number. What they say of a number that they do not know differs: 704 in the standard, 402 or 606 in the field.
async fn is_there(control: Control<'_>, number: u16) -> Result<bool, CallError> {
    let told = match control.is_pinhole_working(number).await {
        Err(error) if is_fault(&error, &NO_SUCH_ACTION) => control.pinhole_packets(number).await.map(drop),
        Err(error) if is_fault(&error, &[NO_PACKET_SENT]) => Ok(()),
        result => result.map(drop),
    };
    match told {
        Ok(()) => Ok(true),
        Err(CallError::Fault(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl PortMapperClient for PinholeMapper {
    /// Searches for the router and asks for the state of its firewall.
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.status().await.map(drop)
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        check("family", request.family == AddressFamily::Ipv6, || format!("must be {}", AddressFamily::Ipv6))?;
        let device = self.upnp.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let result = self.try_install(&target, request, ttl).await;
            if let Some(result) = self.upnp.settled(&mut target, result).await {
                let port = Some(request.internal_port);
                return result.map_err(|error| self.failed(error, "AddPinhole", &target, port));
            }
        }
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let before = Target::of_mapping(mapping)?;
        let mut target = Target::of_mapping(mapping)?;
        loop {
            let result = self.try_renew(&target, &before, mapping).await;
            if let Some(result) = self.upnp.settled(&mut target, result).await {
                let port = Some(mapping.request.internal_port);
                return result.map_err(|error| self.failed(error, "AddPinhole", &target, port));
            }
        }
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.release(mapping).await
    }

    /// Sets the lifetime once more by the number that the router has told, which shows whether it knows the pinhole.
    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        let target = Target::of_mapping(mapping)?;
        let result = self.try_verify(&target, mapping).await;
        result.map_err(|error| self.failed(error, "UpdatePinhole", &target, Some(mapping.request.internal_port)))
    }

    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.release_doubtful(request).await
    }

    /// Waits until a search that continues after its failure has found a router.
    async fn news(&self) {
        self.upnp.finder.news().await;
    }

    /// The address whose ports are opened: IPv6 translates none.
    async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        Ok(self.local.into())
    }

    /// The pinholes of this mapper. Routers show no others.
    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        let mut entries = Vec::new();
        for (place, line) in self.upnp.ledger.all_held() {
            let target = Target::of_line(&place, &line);
            let number = self.numbers().get(&place).copied();
            let (Some(port), Some(number)) = (place.port.known(), number) else { continue };
            let there = is_there(target.control(&self.upnp.caller), number).await;
            if there.map_err(|error| self.failed(error, "GetPinholePackets", &target, None))? {
                let left = self.upnp.ledger.until(&place).map(|until| until - tokio::time::Instant::now());
                let entry = TableEntry::new(place.transport, port, self.local.to_string(), port);
                entries.push(TableEntry { lifetime: left, this_machine: true, ..entry });
            }
        }
        Ok(entries)
    }

    /// Closes the port of this machine. A router does not show whether it was open, so the answer never is that there was nothing.
    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        _any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        self.close_port(transport, external_port).await?;
        let entry = TableEntry::new(transport, external_port, self.local.to_string(), external_port);
        Ok(Some(TableEntry { this_machine: true, ..entry }))
    }

    async fn settle(&self) {
        self.upnp.settle().await;
    }
}

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod mapper_tests;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;
