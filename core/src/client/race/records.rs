//! What earlier runs of this program have left on gateways: a lease that asks for the same takes it up again, and the rest is
//! deleted.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use super::RaceMapper;
use super::contestant::Contestant;
use super::gateways::Gateway;
use super::holdings::{Port, port_of};
use crate::mapping::MapRequest;
use crate::schedule::{ADOPTION_GRACE, LEFTOVER_RETRIES};
use crate::state::{Leftover, Record, Store};

/// So many leftovers are deleted at a time: home routers are slow, and the leases come first.
const AT_ONCE: usize = 4;

/// The records of this mapper, and of those before it.
pub(super) struct Records {
    pub(super) store: Arc<Store>,
    /// Changes at the first request for a mapping.
    begun: watch::Sender<bool>,
    /// The external ports of earlier runs that leases ask for until they are granted a mapping.
    ports: Mutex<HashMap<Port, (MapRequest, u16)>>,
    /// The ports whose leftovers are being deleted. A lease that asks for one of them waits for that.
    releasing: watch::Sender<HashSet<Port>>,
}

impl Records {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, begun: watch::Sender::new(false), ports: Mutex::default(), releasing: watch::Sender::default() }
    }

    /// Makes what is recorded of the port known to the clients of `gateway`, and answers with the request that gets the same
    /// mapping again. What cannot be taken up, because another external port is wished for now, is deleted first: PCP and
    /// NAT-PMP have one mapping for each port.
    pub(super) async fn take_up(&self, gateway: &Gateway, request: &MapRequest) -> MapRequest {
        let port = port_of(request);
        self.store.wishes(port, request.external_port);
        self.store.adopt(port);
        self.store.claim(port);
        self.begun.send_if_modified(|begun| !std::mem::replace(begun, true));
        // The sender is a field of `self`, so this is no error.
        drop(self.releasing.subscribe().wait_for(|ports| !ports.contains(&port_of(request))).await);
        let (own, found) = self.store.of_port(port);
        for record in &found {
            let Some(contestant) = gateway.contestants.iter().find(|one| one.client.left_here(record)) else {
                continue;
            };
            // What this mapper asks for has a nonce already.
            if own.iter().all(|own| own.maker.protocol() != record.maker.protocol()) {
                contestant.client.inherit(record);
            }
            if !is_wished(record, request) {
                // What cannot be deleted is left to the end of the lease.
                let _ = delete(contestant, record).await;
            } else if let Some(port) = record.external_port.filter(|port| *port != request.suggested_port()) {
                self.ports().insert(port_of(request), (request.clone(), port));
            }
        }
        let again = self.ports().get(&port_of(request)).filter(|(asked, _)| asked == request).map(|(_, port)| *port);
        MapRequest { external_port: again.or(request.external_port), ..request.clone() }
    }

    /// The lease has a mapping: what it asks for from now on is its own business.
    pub(super) fn granted(&self, request: &MapRequest) {
        self.ports().remove(&port_of(request));
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<Port, (MapRequest, u16)>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the mapping of `record` is what `request` asks for.
fn is_wished(record: &Record, request: &MapRequest) -> bool {
    let same_port = record.external_port == Some(request.suggested_port());
    match request.external_port {
        _ if request.exact => same_port,
        Some(wish) => same_port || record.wish == Some(wish),
        None => true,
    }
}

async fn delete(contestant: &Contestant, record: &Record) -> bool {
    let protocol = contestant.protocol;
    let (transport, port) = (record.transport, record.internal_port);
    match contestant.client.delete(record).await {
        Ok(()) => {
            tracing::debug!(%protocol, %transport, port, "what an earlier run had left is cleared");
            true
        }
        Err(error) => {
            let error = error.message();
            tracing::warn!(%error, %protocol, %transport, port, "what an earlier run has left was not deleted");
            false
        }
    }
}

impl RaceMapper {
    /// Deletes what earlier runs have left at the gateways of the present network and no lease has asked for. Ends when nothing
    /// is left.
    pub(super) async fn release_leftovers(&self) {
        let Some(records) = &self.records else { return };
        // The senders are fields of fields of `self`, so there are no errors.
        drop(records.begun.subscribe().wait_for(|begun| *begun).await);
        sleep(ADOPTION_GRACE).await;
        records.store.adopt_all();
        let mut found = self.found.subscribe();
        let mut retries = LEFTOVER_RETRIES.into_iter();
        while !records.store.leftovers().is_empty() {
            found.borrow_and_update();
            let retry = match self.release_leftovers_here(records).await {
                true => None,
                false => retries.next(),
            };
            let retry = async {
                match retry {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = found.changed() => {}
                () = retry => {}
            }
        }
    }

    /// Returns whether all were deleted that are at a gateway of the present network.
    async fn release_leftovers_here(&self, records: &Records) -> bool {
        let here = self.gateways().here();
        let mut by_port: HashMap<Port, Vec<(Contestant, Leftover)>> = HashMap::new();
        for leftover in records.store.leftovers() {
            let mut contestants = here.iter().flat_map(|gateway| gateway.contestants.iter());
            if let Some(contestant) = contestants.find(|one| one.client.left_here(&leftover.record)) {
                let port = leftover.record.port();
                by_port.entry(port).or_default().push((contestant.clone(), leftover));
            }
        }
        let mut all = true;
        let mut deletes = JoinSet::new();
        for (port, mut leftovers) in by_port {
            if deletes.len() == AT_ONCE {
                all &= deleted(deletes.join_next().await);
            }
            // First nobody may begin to ask for it, and then it is seen whether anybody has.
            let releasing = Releasing::begin(records, port);
            let count = leftovers.len();
            leftovers.retain(|(_, leftover)| records.store.is_left(leftover) && self.is_free(leftover));
            all &= leftovers.len() == count;
            deletes.spawn(async move {
                let mut all = true;
                for (contestant, leftover) in &leftovers {
                    all &= delete(contestant, &leftover.record).await;
                }
                drop(releasing);
                all
            });
        }
        while !deletes.is_empty() {
            all &= deleted(deletes.join_next().await);
        }
        all
    }

    /// Whether no lease can have the mapping, or ask for it. The lease of its port may, until it has another one.
    fn is_free(&self, leftover: &Leftover) -> bool {
        let record = &leftover.record;
        let (family, transport, internal_port) = record.port();
        let request = MapRequest::new(internal_port, transport).family(family);
        let held = |other: u16| Some(other) != record.external_port;
        !leftover.claimed || self.holdings.of(&request).is_some_and(|holding| held(holding.mapping.external.port()))
    }
}

/// How deletes ended; a task that has panicked has not deleted everything.
fn deleted(outcome: Option<Result<bool, JoinError>>) -> bool {
    outcome.is_none_or(|outcome| outcome.unwrap_or(false))
}

/// While this lives, no lease asks for the port.
struct Releasing {
    releasing: watch::Sender<HashSet<Port>>,
    port: Port,
}

impl Releasing {
    fn begin(records: &Records, port: Port) -> Self {
        records.releasing.send_modify(|ports| {
            ports.insert(port);
        });
        Self { releasing: records.releasing.clone(), port }
    }
}

impl Drop for Releasing {
    fn drop(&mut self) {
        self.releasing.send_modify(|ports| {
            ports.remove(&self.port);
        });
    }
}
