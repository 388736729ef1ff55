//! All protocols at once: the first usable answer wins, and nothing that comes later is left on the gateway.

mod address;
mod ask;
mod attend;
mod contest;
mod contestant;
mod failure;
mod gateways;
mod holdings;
mod known;
mod line_up;
mod looks;
mod moves;
mod owned;
mod paths;
mod pinholes;
mod protocols;
mod recorded;
mod records;

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::pcp::nonces::Nonces;
use super::port_mapper::{GatewayView, PortMapperClient};
use crate::config::Config;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, Transport};
use crate::net::route::find_paths_of;
use crate::schedule::PATH_FRESH;
use crate::snapshot::{GatewayReport, TableEntry};
use crate::state::Store;
use crate::world::World;
use attend::{Wakes, watch_network};
use contestant::Contestant;
use failure::{Failure, combine};
use gateways::{Gateway, Gateways};
use holdings::{Holdings, Port, port_of};
use moves::{Finder, Prepared, is_about_this_machine};
use protocols::{contestants, require_protocol};
use records::Records;

/// Composes the configured protocols: races them for the first mapping and stays with the winner. [`Mapper::start`] uses
/// one for IPv4, and another for IPv6.
///
/// ```no_run
/// use portlease::Config;
/// use portlease::client::{PortMapperClient, RaceMapper};
///
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let race = RaceMapper::new(Config::default());
/// for report in race.report().await?.protocols {
///     println!("{}: {:?}", report.protocol, report.outcome);
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`Mapper::start`]: crate::Mapper::start
pub struct RaceMapper {
    family: AddressFamily,
    finder: Finder,
    prepared: Mutex<Option<Prepared>>,
    gateways: Mutex<Gateways>,
    holdings: Arc<Holdings>,
    /// Running races and their clean-up, which outlive the call that began them.
    behind: TaskTracker,
    /// The same by port.
    contests: Mutex<HashMap<Port, TaskTracker>>,
    /// Changes when the gateways of the present network become others.
    found: watch::Sender<()>,
    world: World,
    /// Begins to watch the network.
    watch: fn(AddressFamily) -> Option<Box<dyn Wakes>>,
    /// For how long a look at the paths serves further calls.
    fresh_for: Duration,
    /// How often a gateway is asked for a sign of life; zero: never.
    check_interval: Duration,
    /// When the leases were last told of another external address.
    doubted: Mutex<Option<Instant>>,
    /// What is on disk, if the configuration says so.
    records: Option<Records>,
}

impl std::fmt::Debug for RaceMapper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let present = self.present();
        f.debug_struct("RaceMapper")
            .field("path", &present.as_ref().map(|gateway| &gateway.path))
            .field("decided", &present.as_ref().and_then(|gateway| gateway.known.decided()))
            .field("seen", &present.as_ref().map(|gateway| gateway.known.seen()))
            .finish_non_exhaustive()
    }
}

impl RaceMapper {
    /// A race for IPv4 mappings by `config`, which must be valid. The gateway is looked for before each call, because the machine may be in
    /// another network by then.
    pub fn new(config: Config) -> Self {
        let world = World::default();
        let store = config.state_dir.clone().map(|folder| Arc::new(Store::new(folder, world.clone())));
        Self::of_family(AddressFamily::Ipv4, config, store, world)
    }

    /// A race for mappings of `family`, which keeps its records in `store` and tells `world` what it notices of it.
    pub(crate) fn of_family(family: AddressFamily, config: Config, store: Option<Arc<Store>>, world: World) -> Self {
        let (check_interval, nonces) = (config.check_interval, Nonces::default());
        let records = store.clone().map(Records::new);
        let (config, config_of_paths) = (config.clone(), config);
        let world_of_owners = world.clone();
        let finder = Finder {
            paths: Box::new(move || {
                require_protocol(family, &config_of_paths.protocols)?;
                find_paths_of(family, &config_of_paths)
            }),
            contestants: Box::new(move |path| contestants(&config, path, &nonces, store.as_ref(), &world_of_owners)),
        };
        Self {
            family,
            watch: watch_network,
            fresh_for: PATH_FRESH,
            check_interval,
            records,
            ..Self::with_finder(finder, world)
        }
    }

    fn with_finder(finder: Finder, world: World) -> Self {
        Self {
            family: AddressFamily::Ipv4,
            finder,
            prepared: Mutex::default(),
            gateways: Mutex::default(),
            holdings: Arc::default(),
            behind: TaskTracker::new(),
            contests: Mutex::default(),
            found: watch::Sender::new(()),
            world,
            watch: |_| None,
            fresh_for: Duration::ZERO,
            check_interval: Duration::ZERO,
            doubted: Mutex::default(),
            records: None,
        }
    }

    fn gateways(&self) -> MutexGuard<'_, Gateways> {
        // A list left half-way by a panic is still a list.
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> Option<Gateway> {
        self.gateways().present()
    }

    /// The client that renews `mapping`, with its gateway. A mapping of another network cannot be renewed from here.
    fn renewer(&self, mapping: &PortMapping, here: &[Gateway]) -> Result<(Gateway, Contestant), PortMappingError> {
        match self.holdings.maker(mapping) {
            Some(maker) => match here.iter().find(|gateway| gateway.path == *maker.at) {
                Some(gateway) => Ok((gateway.clone(), maker)),
                None => Err(PortMappingError::refused_and_lost(format!(
                    "the mapping of {} is in a network that this machine has left",
                    mapping.external
                ))),
            },
            None => {
                let first = here.first().ok_or_else(|| PortMappingError::no_gateway("there is no gateway to ask"))?;
                Ok((first.clone(), first.client_for(mapping)?))
            }
        }
    }

    /// The client that made `mapping`, or else the present gateway's client for its protocol. Never looks for the gateway anew
    /// if one is known: the mapping must be deleted on the gateway that made it.
    fn maker(&self, mapping: &PortMapping) -> Result<Contestant, PortMappingError> {
        if let Some(maker) = self.holdings.maker(mapping) {
            return Ok(maker);
        }
        let latest = self.gateways().latest();
        match latest {
            Some(gateway) => gateway.client_for(mapping),
            None => self.renewer(mapping, &self.look()?).map(|(_, client)| client),
        }
    }

    /// The client of `maker` was asked to delete `mapping`.
    fn removed(
        &self,
        mapping: &PortMapping,
        maker: &Contestant,
        outcome: Result<(), PortMappingError>,
    ) -> Result<(), PortMappingError> {
        outcome.map_err(PortMappingError::told)?;
        if let Some(gateway) = self.gateways().here().iter().find(|gateway| gateway.path == *maker.at) {
            gateway.known.heard(maker.protocol);
        }
        self.holdings.forget(mapping, maker);
        Ok(())
    }

    /// Waits until the races for this port are over: their requests in flight may still be granted.
    async fn contests_settled(&self, request: &MapRequest) {
        let contests = {
            let contests = self.contests.lock().unwrap_or_else(PoisonError::into_inner);
            contests.get(&port_of(request)).cloned()
        };
        if let Some(contests) = contests {
            contests.close();
            contests.wait().await;
            contests.reopen();
        }
    }

    /// Tries once more to delete what the races for this port have left, and answers with what still cannot be deleted.
    async fn delete_leftovers(&self, request: &MapRequest) -> Vec<Failure> {
        let mut failures = Vec::new();
        for left in self.holdings.take_leftovers(request) {
            if let Err(error) = left.maker.client.remove(&left.mapping).await {
                failures.push(left.maker.failure(error));
                self.holdings.put_back(left);
            }
        }
        failures
    }
}

#[async_trait]
impl PortMapperClient for RaceMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.report().await?.require_offer()
    }

    /// So that a PCP gateway is one round trip away.
    fn install_is_probe(&self) -> bool {
        true
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        self.install_here(request, ttl).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let here = self.look()?;
        if mapping.protocol == Protocol::None {
            // Still our own address? Then it is still reachable.
            return match here.iter().any(|gateway| gateway.is_own_address(mapping.external.ip())) {
                true => Ok(mapping.clone()),
                false => {
                    Err(PortMappingError::unavailable(format!("this machine no longer has {}", mapping.external.ip())))
                }
            };
        }
        let (gateway, client) = self.renewer(mapping, &here)?;
        let renewed = client.client.renew(mapping).await.map_err(PortMappingError::told);
        match &renewed {
            Ok(renewed) => {
                gateway.known.heard(client.protocol);
                self.granted_address(&client, renewed, Some(mapping.external.ip()));
                self.holdings.renewed(mapping, renewed, &client);
            }
            Err(error) => {
                if error.kind() == ErrorKind::Refused {
                    gateway.known.heard(client.protocol);
                }
                if error.mapping_lost() {
                    self.holdings.let_go(mapping, &client);
                }
                if is_about_this_machine(error) {
                    self.renewer(mapping, &self.look_up()?)?;
                }
            }
        }
        renewed
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(());
        }
        let maker = self.maker(mapping)?;
        self.holdings.let_go(mapping, &maker);
        let removed = maker.client.remove(mapping).await;
        let removed = self.or_closed(mapping, &maker, removed).await;
        self.removed(mapping, &maker, removed)
    }

    async fn clear(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(());
        }
        let maker = self.maker(mapping)?;
        self.holdings.let_go(mapping, &maker);
        let cleared = maker.client.clear(mapping).await;
        let cleared = self.or_closed(mapping, &maker, cleared).await;
        self.removed(mapping, &maker, cleared)
    }

    async fn verify(&self, mapping: &PortMapping) -> Result<Option<PortMapping>, PortMappingError> {
        if mapping.protocol == Protocol::None {
            return Ok(None);
        }
        let maker = self.maker(mapping)?;
        let verified = maker.client.verify(mapping).await.map_err(PortMappingError::told);
        match &verified {
            Ok(Some(corrected)) => self.holdings.renewed(mapping, corrected, &maker),
            Ok(None) => {}
            Err(error) if error.mapping_lost() => self.holdings.let_go(mapping, &maker),
            Err(_) => {}
        }
        verified
    }

    /// Also deletes what a race could not, after its caller had gone, and what the lease had in a network that it has lost.
    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.contests_settled(request).await;
        self.holdings.end(request);
        let mut failures = self.delete_leftovers(request).await;
        let mut asked = JoinSet::new();
        let all = self.gateways().all();
        for gateway in all {
            for contestant in gateway.contestants.iter().cloned() {
                let (known, request) = (Arc::clone(&gateway.known), request.clone());
                asked.spawn(async move {
                    match contestant.client.abandon(&request).await {
                        Ok(()) => {
                            known.is_cleared(contestant.protocol, &request);
                            None
                        }
                        Err(error) => Some(contestant.failure(error)),
                    }
                });
            }
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(failure) => failures.extend(failure),
                Err(panic) => failures.push(Failure::internal(format!("a protocol's client failed: {panic}"))),
            }
        }
        failures.extend(self.delete_inherited(request).await);
        if failures.is_empty() {
            return Ok(());
        }
        failures.sort_by_key(|failure| Protocol::ALL.iter().position(|protocol| *protocol == failure.protocol));
        let context = format!("{} port {} may still be mapped", request.transport, request.internal_port);
        Err(combine(&failures, &context))
    }

    fn detach(&self, mapping: &PortMapping) {
        if let Ok(maker) = self.maker(mapping) {
            self.holdings.detach(mapping, &maker);
            maker.client.detach(mapping);
        }
    }

    async fn news(&self) {
        let mut found = self.found.subscribe();
        loop {
            found.borrow_and_update();
            let here = self.gateways().here();
            let contestants = here.iter().flat_map(|gateway| &*gateway.contestants);
            let mut news: Vec<_> = contestants.map(|contestant| contestant.client.news()).collect();
            let any = poll_fn(|context| match news.iter_mut().any(|news| news.as_mut().poll(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            });
            tokio::select! {
                () = any => return,
                // The sender is a field of `self`, so this is no error.
                _ = found.changed() => {}
            }
        }
    }

    fn reaches(&self, mapping: &PortMapping) -> bool {
        let gateways = self.gateways();
        match mapping.protocol {
            Protocol::None => gateways.here().iter().any(|gateway| gateway.is_own_address(mapping.external.ip())),
            Protocol::Pcp | Protocol::NatPmp | Protocol::Upnp => {
                self.holdings.maker(mapping).is_none_or(|maker| gateways.is_settled() && gateways.reaches(&maker.at))
            }
        }
    }

    async fn report(&self) -> Result<GatewayReport, PortMappingError> {
        self.report_here().await
    }

    async fn external_address(&self) -> Result<IpAddr, PortMappingError> {
        self.address_here().await
    }

    async fn table(&self) -> Result<Vec<TableEntry>, PortMappingError> {
        self.table_client()?.client.table().await.map_err(PortMappingError::told)
    }

    async fn delete_entry(
        &self,
        transport: Transport,
        external_port: u16,
        any_host: bool,
    ) -> Result<Option<TableEntry>, PortMappingError> {
        let deleted = self.table_client()?.client.delete_entry(transport, external_port, any_host).await;
        deleted.map_err(PortMappingError::told)
    }

    async fn close_pinhole(&self, transport: Transport, port: u16) -> Result<Protocol, PortMappingError> {
        self.close_here(transport, port).await.map_err(PortMappingError::told)
    }

    async fn attend(&self) {
        self.attend_to_world().await;
    }

    fn view(&self) -> GatewayView {
        let present = self.present();
        let protocols = present.as_ref().map(|gateway| gateway.known.seen()).unwrap_or_default();
        GatewayView { path: present.map(|gateway| gateway.path), protocols }
    }

    async fn settle(&self) {
        self.behind.close();
        self.behind.wait().await;
        self.behind.reopen();
        let mut settling = JoinSet::new();
        let all = self.gateways().all();
        for gateway in all {
            for contestant in gateway.contestants.iter().cloned() {
                settling.spawn(async move { contestant.client.settle().await });
            }
        }
        while settling.join_next().await.is_some() {}
    }
}

#[cfg(test)]
#[path = "race/tests.rs"]
mod tests;
