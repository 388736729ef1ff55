//! One race for each address family, behind one client.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::port_mapper::{GatewayView, PortMapperClient};
use super::race::RaceMapper;
use crate::config::Config;
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, Transport};
use crate::snapshot::{GatewayReport, TableEntry};
use crate::state::Store;
use crate::world::Worlds;

/// Passes each call on to the race of the family that it is about. The one for IPv6 is made by the first request for IPv6:
/// without that, nothing is sent, opened or watched for IPv6.
pub(crate) struct Families {
    config: Config,
    worlds: Worlds,
    /// One for both families, so that a mapper has one file.
    store: Option<Arc<Store>>,
    ipv4: RaceMapper,
    ipv6: OnceLock<RaceMapper>,
    /// Whether that is there.
    begun: watch::Sender<bool>,
}

impl Families {
    /// The races by `config`, which must be valid. Each tells the world of its family what it notices.
    pub(crate) fn new(config: Config, worlds: &Worlds) -> Self {
        let (family, worlds) = (AddressFamily::Ipv4, worlds.clone());
        let folder = config.state_dir.clone();
        let store = folder.map(|folder| Arc::new(Store::new(folder, worlds.of(family).clone())));
        let ipv4 = RaceMapper::of_family(family, config.clone(), store.clone(), worlds.of(family).clone());
        Self { config, worlds, store, ipv4, ipv6: OnceLock::new(), begun: watch::Sender::new(false) }
    }

    fn make_ipv6(&self) -> RaceMapper {
        let family = AddressFamily::Ipv6;
        RaceMapper::of_family(family, self.config.clone(), self.store.clone(), self.worlds.of(family).clone())
    }

    /// See [`RaceMapper::prepare`]. Most programs never ask for IPv6.
    pub(crate) fn prepare(&self) {
        self.ipv4.prepare();
    }

    /// The race for `family`.
    fn of(&self, family: AddressFamily) -> &RaceMapper {
        match family {
            AddressFamily::Ipv4 => &self.ipv4,
            AddressFamily::Ipv6 => {
                let race = self.ipv6.get_or_init(|| self.make_ipv6());
                self.begun.send_if_modified(|begun| !std::mem::replace(begun, true));
                race
            }
        }
    }

    /// Deletes what earlier runs have left of a family that no lease asks for: that it is on record says that there is a way to
    /// that family's router. The leases come first, so nothing is sent before the first of them has its answer.
    async fn delete_leftovers(&self) {
        let ipv6 = async { self.begun().await.has_answered().await };
        tokio::select! {
            () = self.ipv4.has_answered() => {}
            () = ipv6 => {}
        }
        let Some(store) = &self.store else { return };
        store.adopt_all();
        if store.has_left(AddressFamily::Ipv4) {
            self.ipv4.delete_leftovers_now();
        }
        if store.has_left(AddressFamily::Ipv6) {
            // Nothing of IPv6 stays open behind this, as it does behind a request.
            let race = self.ipv6.get_or_init(|| self.make_ipv6());
            tokio::select! {
                biased;
                // From then on it does so by itself.
                _ = self.begun() => {}
                () = race.delete_leftovers_alone() => {}
            }
        }
    }

    /// The race for IPv6, from the first request for it on.
    async fn begun(&self) -> &RaceMapper {
        // The sender is a field of `self`, so this is no error.
        drop(self.begun.subscribe().wait_for(|begun| *begun).await);
        self.of(AddressFamily::Ipv6)
    }
}

#[async_trait]
impl PortMapperClient for Families {
    /// Fails if no family in use has an answer.
    async fn probe(&self) -> Result<(), PortMappingError> {
        let probed = self.ipv4.probe().await;
        match (probed, self.ipv6.get()) {
            (Err(silent), Some(ipv6)) => ipv6.probe().await.or(Err(silent)),
            (probed, _) => probed,
        }
    }

    fn install_is_probe(&self) -> bool {
        self.ipv4.install_is_probe()
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        self.of(request.family).install(request, ttl).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.of(mapping.request.family).renew(mapping).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.of(mapping.request.family).remove(mapping).await
    }

    async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.of(mapping.request.family).clear(mapping).await
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        self.of(mapping.request.family).verify(mapping).await
    }

    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.of(request.family).abandon(request).await
    }

    fn detach(&self, mapping: &PortMapping) {
        self.of(mapping.request.family).detach(mapping);
    }

    async fn news(&self) {
        let ipv6 = async { self.begun().await.news().await };
        tokio::select! {
            () = self.ipv4.news() => {}
            () = ipv6 => {}
        }
    }

    fn reaches(&self, mapping: &PortMapping) -> bool {
        self.of(mapping.request.family).reaches(mapping)
    }

    async fn attend(&self) {
        let ipv6 = async { self.begun().await.attend().await };
        tokio::join!(self.ipv4.attend(), ipv6, self.delete_leftovers());
    }

    async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        self.ipv4.report().await
    }

    async fn report_of(&self, family: AddressFamily) -> Result<GatewayReport, PortMappingError> {
        self.of(family).report().await
    }

    async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        self.ipv4.external_address().await
    }

    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        self.ipv4.table().await
    }

    async fn entry(&self, transport: Transport, external_port: u16) -> Result<Option<TableEntry>, PortMappingError> {
        self.ipv4.entry(transport, external_port).await
    }

    async fn add_entry(&self, entry: &TableEntry) -> Result<(), PortMappingError> {
        self.ipv4.add_entry(entry).await
    }

    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        self.ipv4.delete_entry(transport, external_port, any_host).await
    }

    async fn close_pinhole(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
        self.of(AddressFamily::Ipv6).close_pinhole(transport, port).await
    }

    /// The way of IPv4, if there is one.
    fn view(&self) -> GatewayView {
        let mut view = self.ipv4.view();
        if let Some(GatewayView { path, protocols }) = self.ipv6.get().map(RaceMapper::view) {
            view.path = view.path.or(path);
            let more: Vec<_> = protocols.into_iter().filter(|protocol| !view.protocols.contains(protocol)).collect();
            view.protocols.extend(more);
        }
        view
    }

    async fn settle(&self) {
        let ipv6 = async {
            if let Some(race) = self.ipv6.get() {
                race.settle().await;
            }
        };
        tokio::join!(self.ipv4.settle(), ipv6);
    }
}

#[cfg(test)]
#[path = "families_tests.rs"]
mod tests;
