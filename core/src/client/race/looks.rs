//! Looks whether the mappings that leases have are still there: another program of this host may have deleted one that both had.

use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};

use super::RaceMapper;
use super::contest::release;
use super::contestant::Contestant;
use super::gateways::Gateway;
use super::holdings::{Holding, Holdings};
use super::known::Known;
use crate::error::PortMappingError;
use crate::mapping::{PortMapping, Protocol};
use crate::schedule::LOOK_PACE;
use crate::world::World;

impl RaceMapper {
    /// Looks at each mapping a few times soon after it was made.
    pub(super) async fn look_after_mappings(&self) {
        if self.check_interval.is_zero() {
            return;
        }
        let mut changes = self.holdings.changes();
        loop {
            changes.borrow_and_update();
            let Some((due, holding)) = self.holdings.next_look(self.check_after()) else {
                // The sender is a field of a field of `self`, so this is no error.
                drop(changes.changed().await);
                continue;
            };
            if due > Instant::now() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    _ = changes.changed() => {}
                }
                // It may be nobody's any more.
                continue;
            }
            let gateway = self
                .look()
                .ok()
                .and_then(|here| here.iter().find(|gateway| gateway.path == *holding.maker.at).cloned());
            match gateway {
                Some(gateway) => drop(self.look_at(&gateway, holding).await),
                None => self.holdings.looked(&holding.mapping, &holding.maker),
            }
            sleep(LOOK_PACE).await;
        }
    }

    /// Looks at a mapping of `gateway`. If it is gone, or another one, all leases renew. The look goes on in the background, as a
    /// race does, when nobody waits for it any more: it may make the mapping anew, so whoever ends the lease waits for it.
    pub(super) async fn look_at(&self, gateway: &Gateway, holding: Holding) -> Result<(), PortMappingError> {
        let Holding { mapping, maker, .. } = holding;
        self.holdings.looked(&mapping, &maker);
        let (holdings, world) = (Arc::clone(&self.holdings), self.world.clone());
        let known = Arc::clone(&gateway.known);
        let of_the_port = self.contests_of(&mapping.request);
        let look = async move { look_at(&holdings, &known, &maker, &mapping, &world).await };
        let look = self.behind.spawn(of_the_port.track_future(look));
        look.await
            .unwrap_or_else(|panic| Err(PortMappingError::internal(format!("a protocol's client failed: {panic}"))))
    }
}

async fn look_at(
    holdings: &Holdings,
    known: &Known,
    maker: &Contestant,
    mapping: &PortMapping,
    world: &World,
) -> Result<(), PortMappingError> {
    let (protocol, external) = (mapping.protocol, mapping.external);
    let seen = maker.client.look_at(mapping).await;
    match &seen {
        Ok(seen) => {
            known.heard(protocol);
            if is_another(seen, mapping) {
                tracing::debug!(%protocol, %external, now = %seen.external, "the mapping is another one by now");
                world.unsure();
            }
            if protocol != Protocol::Upnp {
                settle(holdings, maker, seen).await;
            }
        }
        Err(error) if error.mapping_lost() => {
            let error = error.message();
            tracing::debug!(%protocol, %external, error, "the mapping is gone: making it again");
            holdings.look_anew(mapping, maker);
            world.unsure();
        }
        Err(error) => {
            tracing::debug!(%protocol, %external, error = %error.message(), "the mapping could not be looked at");
        }
    }
    seen.map(drop)
}

/// Whether `seen` has another port or address. A gateway that does not tell its address says nothing of it.
fn is_another(seen: &PortMapping, mapping: &PortMapping) -> bool {
    let (seen, known) = (seen.external, mapping.external);
    seen.port() != known.port() || (!seen.ip().is_unspecified() && seen.ip() != known.ip())
}

/// The look was a renewal: if the lease has ended meanwhile, the renewal may have brought back what was deleted.
async fn settle(holdings: &Holdings, maker: &Contestant, seen: &PortMapping) {
    if holdings.holder(seen, maker).is_some() {
        return;
    }
    // The delete would hit what the lease has, or is asking for.
    if holdings.is_asked_for(&seen.request) || holdings.of(&seen.request).as_ref().is_some_and(Holding::is_kept) {
        drop(holdings.leave(seen, maker));
    } else {
        release(holdings, maker, seen).await;
    }
}
