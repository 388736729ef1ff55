//! What a gateway has shown of its protocols so far.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use super::holdings::{Port, port_of};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, Protocol};
use crate::schedule::{MAX_REFUSAL_HOLD, RACE_TURN_DEADLINE};

/// The most refusals that are remembered. Beyond that, the one that ends first is forgotten.
pub(super) const MAX_HOLDS: usize = 1024;

/// What was learned about one gateway. Shared with the contests, which learn more after their callers have an answer.
pub(super) struct Known {
    learned: Mutex<Learned>,
    losses: watch::Sender<Losses>,
    /// Held by the one lease that races while no protocol is decided.
    turn: Arc<Semaphore>,
    /// Held by the one race that asks the other protocols as soon as the decided one falls silent.
    pub(super) first_to_doubt: Arc<Semaphore>,
}

#[derive(Default)]
struct Learned {
    /// The protocol that is asked first until it fails.
    decided: Option<Protocol>,
    /// The protocols that mapped or offered to, in the order in which they were seen.
    seen: Vec<Protocol>,
    /// When the gateway last answered by a protocol.
    heard: HashMap<Protocol, Instant>,
    /// When it was last asked for a sign of life and gave none.
    checked: HashMap<Protocol, Instant>,
    /// Protocols by which the gateway gave no answer while it answered by another.
    absent: HashSet<Protocol>,
    /// Refusals that hold for a while by the gateway's word (RFC 6887 7.4).
    holds: HashMap<(Protocol, MapRequest), (Instant, PortMappingError)>,
    /// Ports for which a mapping was requested and no answer came.
    unanswered: HashSet<(Protocol, Port)>,
}

/// How many of the races whose outcome counts for other leases were lost, and why the latest of them was.
#[derive(Clone, Default)]
struct Losses {
    count: u64,
    latest: Arc<[Failure]>,
}

impl Default for Known {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self { learned: Mutex::default(), losses: watch::Sender::default(), turn: one(), first_to_doubt: one() }
    }
}

impl Known {
    fn learned(&self) -> MutexGuard<'_, Learned> {
        // Each field is true by itself, so a poisoned state is still usable.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn decided(&self) -> Option<Protocol> {
        self.learned().decided
    }

    pub(super) fn seen(&self) -> Vec<Protocol> {
        self.learned().seen.clone()
    }

    pub(super) fn last_heard(&self, protocol: Protocol) -> Option<Instant> {
        self.learned().heard.get(&protocol).copied()
    }

    /// The gateway was asked for a sign of life by one of these protocols and gave none.
    pub(super) fn checked(&self, protocols: &[Protocol]) {
        let now = Instant::now();
        self.learned().checked.extend(protocols.iter().map(|protocol| (*protocol, now)));
    }

    /// When the gateway last answered by one of these protocols, or did not answer a check.
    pub(super) fn last_checked(&self, protocols: &[Protocol]) -> Option<Instant> {
        let learned = self.learned();
        let last = |protocol| [learned.heard.get(protocol), learned.checked.get(protocol)];
        protocols.iter().flat_map(last).flatten().max().copied()
    }

    /// Whether the gateway has answered by any protocol since `start`.
    pub(super) fn was_heard_since(&self, start: Instant) -> bool {
        self.learned().heard.values().any(|heard| *heard >= start)
    }

    pub(super) fn is_absent(&self, protocol: Protocol) -> bool {
        self.learned().absent.contains(&protocol)
    }

    /// The gateway answered by `protocol`.
    pub(super) fn heard(&self, protocol: Protocol) {
        let mut learned = self.learned();
        learned.heard.insert(protocol, Instant::now());
        learned.absent.remove(&protocol);
    }

    /// The gateway mapped by `protocol`, or offered to.
    pub(super) fn saw(&self, protocol: Protocol) {
        self.heard(protocol);
        let mut learned = self.learned();
        if !learned.seen.contains(&protocol) {
            learned.seen.push(protocol);
        }
    }

    /// The gateway granted `request` by `protocol`.
    pub(super) fn granted(&self, protocol: Protocol, request: &MapRequest) {
        self.saw(protocol);
        self.is_cleared(protocol, request);
    }

    /// `protocol` is asked first from now on.
    pub(super) fn decide(&self, protocol: Protocol) {
        self.learned().decided = Some(protocol);
    }

    /// `protocol` gave no answer while another one did.
    pub(super) fn is_missing(&self, protocol: Protocol) {
        self.learned().absent.insert(protocol);
    }

    /// `first` is the first protocol in the configured order that answered a probe. It is asked first from now on, unless
    /// another one is decided and has not gone missing.
    pub(super) fn offered(&self, first: Protocol) {
        let mut learned = self.learned();
        if learned.decided.is_none_or(|decided| learned.absent.contains(&decided)) {
            learned.decided = Some(first);
        }
    }

    /// Nothing answered a request that began at `start`. The decision is dropped, unless its protocol has answered another
    /// lease since.
    pub(super) fn nothing_answered(&self, start: Instant) {
        let mut learned = self.learned();
        let heard = learned.decided.and_then(|decided| learned.heard.get(&decided).copied());
        if heard.is_none_or(|heard| heard <= start) {
            learned.decided = None;
        }
    }

    /// Remembers what a failure says about the protocol and the port.
    pub(super) fn failed(&self, failure: &Failure, request: &MapRequest) {
        match failure.error.kind() {
            ErrorKind::Refused => {
                self.heard(failure.protocol);
                self.hold(failure, request);
            }
            ErrorKind::Timeout if failure.asked => {
                self.learned().unanswered.insert((failure.protocol, port_of(request)));
            }
            ErrorKind::Timeout
            | ErrorKind::Unavailable
            | ErrorKind::Transport
            | ErrorKind::Invalid
            | ErrorKind::Stopped
            | ErrorKind::Internal => {}
        }
    }

    fn hold(&self, failure: &Failure, request: &MapRequest) {
        let Some(hold) = failure.error.retry_after() else { return };
        let mut learned = self.learned();
        learned.holds.insert(
            (failure.protocol, request.clone()),
            (Instant::now() + hold.min(MAX_REFUSAL_HOLD), failure.error.clone()),
        );
        if learned.holds.len() > MAX_HOLDS
            && let Some(first) = learned.holds.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone())
        {
            learned.holds.remove(&first);
        }
    }

    /// A refusal that still holds, with what is left of its time.
    pub(super) fn held(&self, protocol: Protocol, request: &MapRequest) -> Option<PortMappingError> {
        let now = Instant::now();
        let mut learned = self.learned();
        learned.holds.retain(|_, (until, _)| *until > now);
        learned
            .holds
            .get(&(protocol, request.clone()))
            .map(|(until, error)| error.clone().holding_for(until.saturating_duration_since(now)))
    }

    /// The machine has arrived at the gateway, or at another one with its address: refusals hold no more, and every protocol
    /// may be there.
    pub(super) fn begin_anew(&self) {
        let mut learned = self.learned();
        learned.holds.clear();
        learned.absent.clear();
    }

    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        self.learned().holds.len()
    }

    /// Whether `protocol`, which the gateway speaks, may have made a mapping of the port without saying so.
    pub(super) fn is_doubtful(&self, protocol: Protocol, request: &MapRequest) -> bool {
        let learned = self.learned();
        learned.heard.contains_key(&protocol) && learned.unanswered.contains(&(protocol, port_of(request)))
    }

    /// A mapping of the port that `protocol` may have left is deleted.
    pub(super) fn is_cleared(&self, protocol: Protocol, request: &MapRequest) {
        self.learned().unanswered.remove(&(protocol, port_of(request)));
    }

    /// Waits until no other lease races, first come first served, and no longer than a race without any answer takes.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        timeout(RACE_TURN_DEADLINE, Arc::clone(&self.turn).acquire_owned()).await.ok()?.ok()
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses.borrow().count
    }

    /// A race whose outcome counts for other leases was lost.
    pub(super) fn lost(&self, failures: &[Failure]) {
        self.losses.send_modify(|losses| *losses = Losses { count: losses.count + 1, latest: failures.into() });
    }

    /// Whether the gateway was asked, and has never answered well.
    pub(super) fn had_no_offer(&self) -> bool {
        self.losses() > 0 && self.learned().seen.is_empty()
    }

    /// Why the latest race whose outcome counts for other leases was lost, if there was one after the count was `before`.
    pub(super) fn lost_since(&self, before: u64) -> Option<Arc<[Failure]>> {
        let losses = self.losses.borrow();
        (losses.count > before).then(|| Arc::clone(&losses.latest))
    }

    /// Waits until another race shows that the gateway is silent: it was lost, and nothing was heard since `start`.
    pub(super) async fn silence_for_all(&self, before: u64, start: Instant) -> Vec<Failure> {
        let mut losses = self.losses.subscribe();
        let silence = |losses: &Losses| {
            losses.count > before
                && losses.latest.iter().all(Failure::is_about_the_gateway)
                && self.learned().heard.values().all(|heard| *heard <= start)
        };
        let met = losses.wait_for(silence).await.ok().map(|losses| losses.latest.to_vec());
        match met {
            Some(failures) => failures,
            // The sender is a field of `self`, so this is no error.
            None => std::future::pending().await,
        }
    }
}
