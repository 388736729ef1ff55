//! What is noticed while nobody asks for anything: another network, a gateway that restarts.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::RaceMapper;
use super::contestant::Contestant;
use super::gateways::Gateway;
use super::moves::{is_about_this_machine, is_among};
use crate::error::ErrorKind;
use crate::mapping::{AddressFamily, PortMapping, Protocol};
use crate::net::watch::Watcher;
use crate::schedule::{
    ATTEND_AFTER, CHECK_MARGIN, CHECK_MARGIN_SHARE, CHECK_RETRIES, NETWORK_STORM_PACE, RECOVERY_PACE, RECOVERY_SPREAD,
};

/// The protocols whose gateways are checked, those together that have one server: a check asks one question for all leases.
const CHECKED: [&[Protocol]; 2] = [&[Protocol::Pcp, Protocol::NatPmp], &[Protocol::Upnp]];

/// Hears that something about the network may have changed.
#[async_trait]
pub(super) trait Wakes: Send {
    /// Waits for the next change. Dropping the future misses none.
    async fn changed(&mut self);

    /// Waits until nothing has changed for a while; bounded.
    async fn quiet(&mut self);
}

impl RaceMapper {
    /// Runs for as long as the mapper lives. Begins a moment later, because opening sockets would hold up the answer to the
    /// first request.
    pub(super) async fn attend_to_world(&self) {
        sleep(ATTEND_AFTER).await;
        tokio::join!(
            self.attend_to_network(),
            self.attend_to_gateways(),
            self.check_gateways(),
            self.look_after_mappings(),
            self.release_leftovers()
        );
        std::future::pending().await
    }

    /// Looks at the paths whenever the system says that the network has changed, once it is quiet again, and at once when the
    /// host says so. Never ends.
    pub(super) async fn attend_to_network(&self) {
        let mut wakes = (self.watch)(self.family);
        // For what changed before the watch began.
        self.look_again();
        loop {
            // What the system has said before the host does is seen by the same look; what it says later, by another.
            let pace = tokio::select! {
                () = next_change(&mut wakes) => Duration::ZERO,
                () = self.world.host_says() => NETWORK_STORM_PACE,
            };
            self.look_again();
            sleep(pace).await;
        }
    }

    /// Looks at the paths, if anybody has before: the first look belongs to the first call.
    fn look_again(&self) {
        if self.gateways().looked()
            && let Err(error) = self.look_up()
        {
            tracing::debug!(error = %error.message(), "there is no network");
        }
    }

    /// Listens to the gateways of the present network.
    async fn attend_to_gateways(&self) {
        let mut found = self.found.subscribe();
        loop {
            found.borrow_and_update();
            let here = self.gateways().here();
            // Ends its tasks when it is dropped.
            let mut listening = JoinSet::new();
            let contestants = here.iter().flat_map(|gateway| &*gateway.contestants);
            for contestant in contestants.filter(|contestant| contestant.listens) {
                let (client, protocol, world) =
                    (Arc::clone(&contestant.client), contestant.protocol, self.world.clone());
                listening.spawn(async move {
                    let unsure = || {
                        tracing::debug!(%protocol, "the gateway may have lost its mappings");
                        world.unsure();
                    };
                    client.attend_to_gateway(&unsure).await;
                });
            }
            // The sender is a field of `self`, so this is no error.
            drop(found.changed().await);
        }
    }

    /// Looks at one mapping of each gateway that has given no sign of life for a while.
    async fn check_gateways(&self) {
        if self.check_interval.is_zero() {
            return;
        }
        let mut changes = self.holdings.changes();
        loop {
            changes.borrow_and_update();
            let Some((due, gateway, protocols)) = self.next_check() else {
                // The sender is a field of a field of `self`, so this is no error.
                drop(changes.changed().await);
                continue;
            };
            if due > Instant::now() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    _ = changes.changed() => {}
                }
                // The gateway may have been heard meanwhile, or nothing of ours may be left on it.
                continue;
            }
            self.check(&gateway, protocols).await;
        }
    }

    /// How long after the last sign of life a gateway is asked for another: a little less than the interval, because the leases
    /// are to be back within that, and they renew spread behind the answer.
    pub(super) fn check_after(&self) -> Duration {
        let margin = (RECOVERY_SPREAD + CHECK_MARGIN).min(self.check_interval / CHECK_MARGIN_SHARE);
        self.check_interval - margin
    }

    /// Which gateway is to be checked next, when, and by which protocols.
    fn next_check(&self) -> Option<(Instant, Gateway, &'static [Protocol])> {
        let here = self.gateways().here();
        let checks = here.iter().flat_map(|gateway| CHECKED.map(|protocols| (gateway, protocols)));
        let checks = checks.filter_map(|(gateway, protocols)| {
            self.holdings.least_seen(&gateway.path, protocols)?;
            let due = gateway.known.last_checked(protocols)? + self.check_after();
            Some((due, gateway.clone(), protocols))
        });
        checks.min_by_key(|(due, ..)| *due)
    }

    /// Asks one question for all leases: whether the mapping that was seen least recently is still there. An answer by PCP or
    /// NAT-PMP tells the client also whether the gateway has restarted. Silence is asked again and then left to the renewals: it
    /// may be a loss, or the gateway is away and restarts before it answers again.
    async fn check(&self, gateway: &Gateway, protocols: &'static [Protocol]) {
        let began = Instant::now();
        let heard = || gateway.known.last_checked(protocols).is_some_and(|heard| heard > began);
        let mut waits = CHECK_RETRIES.into_iter();
        while let Some(holding) = self.holdings.least_seen(&gateway.path, protocols) {
            match self.look() {
                Ok(here) if is_among(&here, &gateway.path) => {}
                Ok(_) | Err(_) => break,
            }
            let protocol = holding.maker.protocol;
            match self.look_at(gateway, holding).await {
                Ok(()) => return gateway.known.heard(protocol),
                Err(error) if error.kind() == ErrorKind::Refused => return gateway.known.heard(protocol),
                Err(error) if is_about_this_machine(&error) => break,
                Err(error) => tracing::debug!(error = %error.message(), "the gateway gave no sign of life"),
            }
            let Some(wait) = waits.next() else { break };
            sleep(wait).await;
            if heard() {
                return;
            }
        }
        gateway.known.checked(protocols);
    }

    /// A lease has been given `mapping` by `maker`, in place of one with the address `before`. If the gateway has another
    /// external address than the other leases know, they are told; not too often, because a gateway may have several and give now
    /// this one and now that one. NAT-PMP's client notices that by itself.
    pub(super) fn granted_address(&self, maker: &Contestant, mapping: &PortMapping, before: Option<IpAddr>) {
        let address = mapping.external.ip();
        if before == Some(address)
            || address.is_unspecified()
            || maker.protocol == Protocol::NatPmp
            || !self.holdings.is_new_address(mapping, maker)
        {
            return;
        }
        {
            let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
            if doubted.is_some_and(|doubted| doubted.elapsed() < RECOVERY_PACE) {
                return;
            }
            *doubted = Some(Instant::now());
        }
        tracing::debug!(%address, "the gateway has another external address");
        self.world.unsure();
    }
}

/// Waits until the system says that the network has changed, and until it is quiet again.
async fn next_change(wakes: &mut Option<Box<dyn Wakes>>) {
    match wakes {
        Some(wakes) => {
            wakes.changed().await;
            wakes.quiet().await;
        }
        None => std::future::pending().await,
    }
}

/// Watches the system's network, if the system allows that. Otherwise the looks before the calls have to do.
pub(super) fn watch_network(family: AddressFamily) -> Option<Box<dyn Wakes>> {
    match Watcher::new(family) {
        Ok(watcher) => Some(Box::new(watcher)),
        Err(error) => {
            tracing::debug!(%error, "the network cannot be watched");
            None
        }
    }
}

#[async_trait]
impl Wakes for Watcher {
    async fn changed(&mut self) {
        Self::changed(self).await;
    }

    async fn quiet(&mut self) {
        Self::quiet(self).await;
    }
}
