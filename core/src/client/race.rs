//! All protocols at once: the first usable answer wins, and nothing that comes later is left on the gateway.

mod address;
mod ask;
mod attend;
mod calls;
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::pcp::nonces::Nonces;
use crate::config::Config;
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, MapRequest, PortMapping};
use crate::net::route::find_paths_of;
use crate::schedule::PATH_FRESH;
use crate::state::Store;
use crate::world::World;
use attend::{Wakes, watch_network};
use contestant::Contestant;
use failure::Failure;
use gateways::{Gateway, Gateways};
use holdings::{Holdings, Port, port_of};
use moves::{Finder, Prepared};
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
    /// A race for IPv4 mappings by `config`, which must be valid. The gateway is looked for before each call, because the machine
    /// may be in another network by then.
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

#[cfg(test)]
#[path = "race/tests.rs"]
mod tests;
