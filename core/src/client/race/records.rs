//! What earlier runs of this program have left on gateways: a lease that asks for the same takes it up again, and the rest is
//! deleted.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::RaceMapper;
use super::contestant::Contestant;
use super::gateways::Gateway;
use super::holdings::{Port, port_of};
use super::pinholes::close_by_another;
use super::recorded::mapping_of;
use crate::error::ErrorKind;
use crate::mapping::{AddressFamily, MapRequest};
use crate::schedule::{ADOPTION_GRACE, LEFTOVER_RETRIES};
use crate::state::{Leftover, Record, Store};

/// So many leftovers are deleted at a time: home routers are slow, and the leases come first.
const AT_ONCE: usize = 4;

/// The records of this mapper, and of those before it.
pub(super) struct Records {
    pub(super) store: Arc<Store>,
    /// When what no lease has asked for may be deleted; `None` before the first request for a mapping.
    due: watch::Sender<Option<Instant>>,
    /// Whether a request for a mapping has been answered, or has failed.
    answered: watch::Sender<bool>,
    /// The external ports of earlier runs that leases ask for until they are granted a mapping.
    ports: Mutex<HashMap<Port, (MapRequest, u16)>>,
    /// The ports whose leftovers are being deleted. A lease that asks for one of them waits for that.
    releasing: watch::Sender<HashSet<Port>>,
}

impl Records {
    pub(super) fn new(store: Arc<Store>) -> Self {
        let (due, answered, releasing) = Default::default();
        Self { store, due, answered, ports: Mutex::default(), releasing }
    }

    /// What no lease has asked for by then may be deleted.
    fn may_delete_at(&self, due: Instant) {
        self.due.send_if_modified(|known| known.is_none() && known.replace(due).is_none());
    }

    /// Makes what is recorded of the port known to the clients of `gateway`, and answers with the request that gets the same
    /// mapping again. What cannot be taken up, because another external port is wished for now, is deleted first: PCP and
    /// NAT-PMP have one mapping for each port.
    pub(super) async fn take_up(&self, gateway: &Gateway, request: &MapRequest) -> MapRequest {
        let port = port_of(request);
        self.store.wishes(port, request.external_port);
        self.store.adopt(port);
        self.store.claim(port);
        self.may_delete_at(Instant::now() + ADOPTION_GRACE);
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
                let _ = delete(gateway, contestant, record).await;
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

/// Deletes what `record` is about by the client that has it, or closes a pinhole by another one if the gateway refuses that.
async fn delete(gateway: &Gateway, contestant: &Contestant, record: &Record) -> bool {
    let protocol = contestant.protocol;
    let (family, transport, port) = record.port();
    match contestant.client.delete(record).await {
        Ok(()) => {
            tracing::debug!(%protocol, %transport, port, "what an earlier run had left is cleared");
            true
        }
        Err(error)
            if family == AddressFamily::Ipv6
                && error.kind() == ErrorKind::Refused
                && close_by_another(gateway, contestant, &mapping_of(record)).await =>
        {
            tracing::debug!(%protocol, %transport, port, "another protocol has closed what an earlier run had left");
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
    /// A request for a mapping has been answered, or has failed.
    pub(super) fn answered(&self) {
        if let Some(records) = &self.records {
            records.answered.send_if_modified(|answered| !std::mem::replace(answered, true));
        }
    }

    /// Waits until a request has been answered, or has failed, and its program has had the time to ask for more.
    pub(crate) async fn has_answered(&self) {
        match &self.records {
            // The sender is a field of a field of `self`, so this is no error.
            Some(records) => drop(records.answered.subscribe().wait_for(|answered| *answered).await),
            None => std::future::pending().await,
        }
        sleep(ADOPTION_GRACE).await;
    }

    /// Has what earlier runs have left deleted, though no lease of this family has asked for anything.
    pub(crate) fn delete_leftovers_now(&self) {
        if let Some(records) = &self.records {
            // The first look is the first call's as a rule, and there may never be one.
            if let Err(error) = self.look() {
                tracing::debug!(error = %error.message(), "what an earlier run has left cannot be deleted yet");
            }
            records.may_delete_at(Instant::now());
        }
    }

    /// The same for a family that nobody attends to. Ends when nothing is left.
    pub(crate) async fn delete_leftovers_alone(&self) {
        self.delete_leftovers_now();
        tokio::select! {
            () = self.release_leftovers() => {}
            () = self.attend_to_network() => {}
        }
    }

    /// Deletes what earlier runs have left at the gateways of the present network and no lease has asked for. Ends when nothing
    /// is left.
    pub(super) async fn release_leftovers(&self) {
        let Some(records) = &self.records else { return };
        let mut due = records.due.subscribe();
        // The sender is a field of a field of `self`, so this is no error.
        let Ok(due) = due.wait_for(Option::is_some).await.map(|due| *due) else { return };
        sleep_until(due.unwrap_or_else(Instant::now)).await;
        records.store.adopt_all();
        let mut found = self.found.subscribe();
        let mut retries = LEFTOVER_RETRIES.into_iter();
        while records.store.has_left(self.family) {
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
        let mut by_port: HashMap<Port, Vec<(Gateway, Contestant, Leftover)>> = HashMap::new();
        for leftover in records.store.leftovers() {
            let mut contestants = here.iter().flat_map(|at| at.contestants.iter().map(move |one| (at, one)));
            if let Some((at, one)) = contestants.find(|(_, one)| one.client.left_here(&leftover.record)) {
                let port = leftover.record.port();
                by_port.entry(port).or_default().push((at.clone(), one.clone(), leftover));
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
            leftovers.retain(|(.., leftover)| records.store.is_left(leftover) && self.is_free(leftover));
            all &= leftovers.len() == count;
            deletes.spawn(async move {
                let mut all = true;
                for (gateway, contestant, leftover) in &leftovers {
                    all &= delete(gateway, contestant, &leftover.record).await;
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
