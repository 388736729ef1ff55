//! The network is looked at before each call, and what is done if it is another one.

use std::io;
use std::sync::{Arc, PoisonError};

use tokio::time::{Instant, timeout};

use super::RaceMapper;
use super::contestant::Contestant;
use super::failure::Failure;
use super::gateways::{Gateway, Look, MAX_PATHS};
use super::holdings::Leftover;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping};
use crate::net::route::NetworkPath;
use crate::schedule::{OLD_RELEASE_DEADLINE, PREPARED_FRESH};

/// How the paths to the gateways, and the clients for each, are found.
pub(super) struct Finder {
    pub(super) paths: Box<FindPaths>,
    pub(super) contestants: Box<MakeContestants>,
}

type FindPaths = dyn Fn() -> Result<Vec<NetworkPath>, PortMappingError> + Send + Sync;
type MakeContestants = dyn Fn(&NetworkPath) -> Vec<Contestant> + Send + Sync;

impl Finder {
    fn find(&self) -> Result<Vec<NetworkPath>, PortMappingError> {
        let mut paths = (self.paths)()?;
        paths.truncate(MAX_PATHS);
        match paths.is_empty() {
            false => Ok(paths),
            true => Err(PortMappingError::no_gateway("there is no default route, so there is no gateway to ask")),
        }
    }

    fn gateway(&self, path: &NetworkPath) -> Gateway {
        Gateway::new(path.clone(), (self.contestants)(path))
    }
}

/// What [`RaceMapper::prepare`] has found, and when.
pub(super) type Prepared = (Instant, Vec<Gateway>);

impl RaceMapper {
    /// Looks the gateways up before anybody asks for them, on a thread that has nothing else to do: the first mapping need
    /// not wait for that then. Sends nothing, and says nothing: what fails is found out again by the first call.
    pub(crate) fn prepare(&self) {
        if let Some(records) = &self.records {
            records.store.look();
        }
        let found = self.finder.find().ok();
        let found = found.map(|paths| paths.iter().map(|path| self.finder.gateway(path)).collect());
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = found.map(|found| (Instant::now(), found));
    }

    fn take_prepared(&self) -> Option<Vec<Gateway>> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).take();
        prepared.filter(|(since, _)| since.elapsed() < PREPARED_FRESH).map(|(_, found)| found)
    }

    /// The gateways of this moment, in the order in which they are to be asked; never none.
    pub(super) fn look(&self) -> Result<Arc<[Gateway]>, PortMappingError> {
        let fresh = self.gateways().fresh(self.fresh_for);
        fresh.map_or_else(|| self.look_up(), Ok)
    }

    /// The same. Looks the paths up in any case, and tells the world if they lead into another network than before, or nowhere.
    pub(super) fn look_up(&self) -> Result<Arc<[Gateway]>, PortMappingError> {
        if let Some(prepared) = self.take_prepared() {
            let paths = prepared.iter().map(|gateway| gateway.path.clone()).collect();
            return Ok(self.arrive(paths, prepared));
        }
        let began = Instant::now();
        let found = self.finder.find();
        self.gateways().look_took(began.elapsed());
        match found {
            Ok(paths) => {
                let (here, made) = {
                    let mut gateways = self.gateways();
                    if gateways.stay(&paths) {
                        return Ok(gateways.here());
                    }
                    (gateways.here(), paths.iter().filter(|path| !gateways.knows(path)).cloned().collect::<Vec<_>>())
                };
                tracing::debug!(?paths, before = here.len(), "the paths to the gateways have changed");
                Ok(self.arrive(paths, made.iter().map(|path| self.finder.gateway(path)).collect()))
            }
            Err(error) if is_nowhere(&error) => {
                let look = self.gateways().leave();
                self.looked(look);
                Err(error)
            }
            // The system's tables could not be read, which says nothing about the network.
            Err(error) => match self.gateways().here() {
                here if here.is_empty() => Err(error),
                here => {
                    tracing::warn!(error = %error.message(), "the gateway could not be looked up");
                    Ok(here)
                }
            },
        }
    }

    fn arrive(&self, paths: Vec<NetworkPath>, made: Vec<Gateway>) -> Arc<[Gateway]> {
        let mut look = self.gateways().arrive(paths, made);
        let here = self.gateways().here();
        if look == Look::Other && self.holdings.any_out_of_reach(|path| is_among(&here, path)) {
            look = Look::Moved;
        }
        self.looked(look);
        here
    }

    fn looked(&self, look: Look) {
        match look {
            Look::Same => return,
            Look::First | Look::Other => {
                tracing::debug!(path = ?self.present().map(|gateway| gateway.path), "gateway found");
            }
            Look::Moved => {
                tracing::debug!(path = ?self.present().map(|gateway| gateway.path), "the leases have to move to other gateways");
                self.world.moved();
            }
        }
        self.found.send_replace(());
        let here = self.gateways().here();
        for left in self.holdings.leftovers_of_the_past(|maker| is_near(&here, maker)) {
            self.release_behind(left);
        }
    }

    /// Whether the gateways are still these, as far as it is known without a look.
    pub(super) fn stays(&self, before: &[Gateway]) -> bool {
        is_same(&self.gateways().here(), before)
    }

    /// Prepares for a mapping of a port by the gateways `here`: the mapping that the port has in another network is released
    /// in the background, and what was left here before is not deleted, because the gateway may grant the same entry again.
    pub(super) fn leave_behind(&self, request: &MapRequest, here: &[Gateway]) {
        self.holdings.keep_leftovers(request, |maker| is_near(here, maker));
        if let Some(left) = self.holdings.leave_behind(request, |path| is_among(here, path))
            && !is_near(here, &left.maker)
        {
            self.release_behind(left);
        }
    }

    /// Deletes, in the background, what the port has left at these gateways beside its new mapping.
    pub(super) fn tidy_behind(&self, mapping: &PortMapping, maker: &Contestant, here: &[Gateway]) {
        for left in self.holdings.leftovers_beside(mapping, maker, |maker| is_near(here, maker)) {
            self.release_behind(left);
        }
    }

    /// Deletes what no lease has, in the background. If that fails, it is tried again at the end of the lease, or in its
    /// network.
    pub(super) fn release_behind(&self, left: Leftover) {
        let holdings = Arc::clone(&self.holdings);
        self.behind.spawn(async move {
            let released = timeout(OLD_RELEASE_DEADLINE, left.maker.client.remove(&left.mapping));
            let external = left.mapping.external;
            tokio::select! {
                biased;
                () = left.taken.cancelled() => {}
                released = released => match released {
                    Ok(Ok(())) => {
                        tracing::debug!(%external, "old mapping released");
                        holdings.is_gone(&left);
                    }
                    Ok(Err(error)) => tracing::debug!(error = %error.message(), %external, "old mapping not released"),
                    Err(_) => tracing::debug!(%external, "the delete of an old mapping was not answered"),
                }
            }
        });
    }
}

/// Whether these are the same gateways, in whatever order they are asked.
pub(super) fn is_same(here: &[Gateway], before: &[Gateway]) -> bool {
    here.len() == before.len() && before.iter().all(|gateway| is_among(here, &gateway.path))
}

pub(super) fn is_among(here: &[Gateway], path: &NetworkPath) -> bool {
    here.iter().any(|gateway| gateway.path == *path)
}

/// Whether what `maker` has made is in the table of one of the gateways `here`.
fn is_near(here: &[Gateway], maker: &Contestant) -> bool {
    here.iter().flat_map(|gateway| &*gateway.contestants).any(|own| own.shares_table_with(maker))
}

/// Whether there is no way to any gateway: no route, or the configured interface or address is gone.
fn is_nowhere(error: &PortMappingError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Invalid) || is_about_this_machine(error)
}

/// Whether a call failed because the local address or the route that it used is gone.
pub(super) fn is_about_this_machine(error: &PortMappingError) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable};
    let cause = error.cause().map(|cause| cause.kind());
    matches!(cause, Some(AddrNotAvailable | HostUnreachable | NetworkDown | NetworkUnreachable))
}

/// Whether any of the calls failed because of this machine.
pub(super) fn any_about_this_machine(failures: &[Failure]) -> bool {
    failures.iter().any(|failure| is_about_this_machine(&failure.error))
}
