//! What an earlier run of this program has left on the router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::UpnpMapper;
use super::description::Service;
use super::ledger::{Identity, Place, Port};
use super::soap::BY_UPNP;
use crate::client::owners::Member;
use crate::error::PortMappingError;
use crate::state::{Journal, Maker, Record};

impl UpnpMapper {
    /// The same, which keeps beyond this process what it asks for. To be called before the first call.
    pub(crate) fn kept_in(self, journal: Journal) -> Self {
        Self { ledger: self.ledger.kept_in(journal), ..self }
    }

    /// The same, which shares its mappings with other mappers of this process. To be called before the first call.
    pub(crate) fn among(self, owners: Arc<Member>) -> Self {
        Self { ledger: self.ledger.among(owners), ..self }
    }

    /// Learns of a mapping that an earlier run has made, or asked for: a lease for its port takes it up again, and `abandon`
    /// deletes it.
    pub(crate) fn inherit(&self, record: &Record) {
        let Maker::Upnp { udn, control_url, service_type } = &record.maker else { return };
        let Some(service) = Service::known(control_url, service_type) else {
            tracing::debug!(control_url, service_type, "recorded, but no upnp service that maps ports");
            return;
        };
        let left = record.end.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let port = record.external_port.map_or(Port::ChosenFor(record.internal_port), Port::Known);
        let place = Place { device: Identity::of(udn, &service), transport: record.transport, port };
        let internal = SocketAddr::new(record.local_address, record.internal_port);
        self.ledger.inherit(place, internal, &self.description, &service, left.map(|left| Instant::now() + left));
    }

    /// Fails if the device that `record` is about is not in this network. Many routers have the same address and the same
    /// URLs, and what another one says about the port says nothing about the mapping.
    pub(crate) async fn require_device_of(&self, record: &Record) -> Result<(), PortMappingError> {
        let Maker::Upnp { udn, .. } = &record.maker else { return Ok(()) };
        let is_here = || udn.is_empty() || self.finder.named(udn).is_some();
        if !is_here() {
            self.finder.device().await?;
        }
        match is_here() {
            true => Ok(()),
            false => Err(BY_UPNP.unavailable(format!("the upnp device {udn} is not in this network"))),
        }
    }
}

#[cfg(test)]
#[path = "inherit_tests.rs"]
mod tests;
