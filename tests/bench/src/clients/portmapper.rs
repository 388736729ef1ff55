//! The crate portmapper (n0, of iroh): all three protocols; looks the gateway up itself. Its client is a watch: a
//! mapping appears some time after the local port was set, and a failure only shows in its metrics.
//!
//! Without a probe before it, it asks by UPnP alone; with one, by the best protocol that the probe found. Both ways
//! are in its documentation, so both are measured.

use std::num::NonZeroU16;
use std::time::Duration;

use portmapper::Client as Portmap;

use super::{Attempt, Client, Failure, Kind, Mapped, Protocol, World};

/// How often the metrics are looked at for a failure; a mapping is seen at once.
const LOOK: Duration = Duration::from_millis(1);
/// The client tells nobody when its release is done, and forgets it when dropped.
const RELEASE: Duration = Duration::from_millis(500);

pub(super) struct Portmapper {
    /// Whether to probe first, and to count that.
    pub(super) probe: bool,
}

impl Client for Portmapper {
    fn name(&self) -> &'static str {
        match self.probe {
            false => "portmapper",
            true => "portmapper (probe first)",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn speaks(&self) -> &'static [Protocol] {
        match self.probe {
            false => &[Protocol::Upnp],
            true => &[Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp],
        }
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let Some(local_port) = NonZeroU16::new(port) else {
            return Attempt::failed(Failure::Answer("port 0".to_owned()));
        };
        let map = async {
            let client = Portmap::default();
            if self.probe {
                let found = client.probe().await.map_err(|error| error.to_string())?;
                let found = found.map_err(|error| error.to_string())?;
                if !(found.pcp || found.nat_pmp || found.upnp) {
                    return Err(format!("the probe found {found}"));
                }
            }
            let mut external = client.watch_external_address();
            client.update_local_port(local_port);
            let mut look = tokio::time::interval(LOOK);
            loop {
                if let Some(address) = *external.borrow_and_update() {
                    return Ok((client, address));
                }
                tokio::select! {
                    changed = external.changed() => changed.map_err(|error| error.to_string())?,
                    _ = look.tick() => {
                        if client.metrics().mapping_failures.get() > 0 {
                            return Err("metrics: a mapping attempt has failed".to_owned());
                        }
                    }
                }
            }
        };
        match world.attempt(map) {
            Err(failure) => Attempt::failed(failure),
            Ok((client, address)) => Attempt::mapped(
                Mapped { address: Some((*address.ip()).into()), port: address.port(), protocol: None },
                move || {
                    client.deactivate();
                    world.runtime.block_on(async { tokio::time::sleep(RELEASE).await });
                    drop(client);
                    Ok(())
                },
            ),
        }
    }
}
