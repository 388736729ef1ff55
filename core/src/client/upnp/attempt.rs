//! One attempt to map, and one to renew.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::UpnpMapper;
use super::action::{Control, Entry, External};
use super::description::Service;
use super::device::Device;
use super::http::HttpError;
use super::ladder::{Granted, Ladder};
use super::renewal::Renewed;
use super::soap::CallError;
use super::target::{Target, adopted};
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken};
use crate::schedule::UPNP_EXTERNAL_ADDRESS_FRESH;

impl UpnpMapper {
    pub(super) async fn try_install(
        &self,
        target: &Target,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, CallError> {
        let caller = self.caller.timed();
        let control = target.control(&caller);
        let device = self.known_at(target);
        // What was told a moment ago is good enough: in a race every round trip counts, and so they do for many leases.
        let searched = device.as_ref().and_then(|device| device.external);
        let fresh = |(_, since): &(External, Instant)| since.elapsed() < UPNP_EXTERNAL_ADDRESS_FRESH;
        let external = match searched.filter(fresh).or_else(|| self.told_by(&target.service).filter(fresh)) {
            Some((external, _)) => external,
            None => self.external_address(control).await?,
        };
        let entry = self.entry(request, external);
        self.ledger.describes(request, entry.description);
        let identity = target.identity.clone();
        let ladder = Ladder::new(control, entry, whole_seconds(ttl), device.as_deref(), &self.ledger, identity);
        let granted = ladder.install(request.suggested_port(), request.exact).await?;
        Ok(granted_mapping(request, ttl, external, granted, target))
    }

    pub(super) async fn try_renew(
        &self,
        target: &Target,
        before: &Target,
        old: &PortMapping,
    ) -> Result<PortMapping, CallError> {
        let caller = self.caller.timed();
        let control = target.control(&caller);
        let device = self.known_at(target);
        let external = self.external_address(control).await?;
        let entry = self.entry(&old.request, external);
        let lease = whole_seconds(old.requested_ttl);
        let identity = target.identity.clone();
        let ladder = Ladder::new(control, entry, lease, device.as_deref(), &self.ledger, identity);
        let (port, lifetime) = (old.external.port(), old.lifetime);
        let elsewhere = before.identity != target.identity;
        let granted = ladder.renew(Renewed { port, adopted: adopted(old), lifetime, elsewhere }).await?;
        if elsewhere {
            // The first device may still have the mapping, and no lease holds that any longer.
            self.ledger.doubt(&before.place(old.request.transport, port), old.request.internal_port);
        }
        Ok(granted_mapping(&old.request, old.requested_ttl, external, granted, target))
    }

    /// The router's address and ours. Comes before AddPortMapping, because nothing that can fail may come after it. A
    /// router that does not tell its address still maps ports.
    async fn external_address(&self, control: Control<'_>) -> Result<External, CallError> {
        let external = match control.external_address().await {
            Err(error) if maps_all_the_same(&error) => {
                tracing::debug!(%error, "the device does not say its external address");
                External { address: None, local: control.local_address().map_err(HttpError::Io)? }
            }
            result => result?,
        };
        let told = Some((control.service.clone(), external, Instant::now()));
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        Ok(external)
    }

    /// What this service said last about its address, and when.
    fn told_by(&self, service: &Service) -> Option<(External, Instant)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.as_ref().filter(|(of, ..)| of == service).map(|(_, external, since)| (*external, *since))
    }

    /// What is known of the device at `target`.
    pub(super) fn known_at(&self, target: &Target) -> Option<Arc<Device>> {
        self.finder.known().filter(|device| device.service == target.service)
    }

    /// The text that the entry for this request has.
    pub(super) fn description_for<'a>(&'a self, request: &'a MapRequest) -> &'a str {
        request.description.as_deref().unwrap_or(&self.description)
    }

    pub(super) fn entry<'a>(&'a self, request: &'a MapRequest, external: External) -> Entry<'a> {
        Entry {
            transport: request.transport,
            internal: SocketAddr::new(external.local, request.internal_port),
            description: self.description_for(request),
        }
    }
}

/// The lease to ask for: at least a second, because 0 means for ever.
pub(super) fn whole_seconds(ttl: Duration) -> u32 {
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0)).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Whether a device that answers GetExternalIPAddress in this way may still map ports.
pub(super) const fn maps_all_the_same(error: &CallError) -> bool {
    match error {
        CallError::Fault(_) | CallError::Nonsense(_) | CallError::Unanswered => true,
        CallError::Http(HttpError::Timeout(_) | HttpError::Malformed(_)) => true,
        CallError::Http(HttpError::Refused(_) | HttpError::Io(_)) => false,
        CallError::Gone(_)
        | CallError::AnotherHost { .. }
        | CallError::Taken { .. }
        | CallError::Busy(_)
        | CallError::Lost(_)
        | CallError::LostBy(..)
        | CallError::Untold(_) => false,
    }
}

fn granted_mapping(
    request: &MapRequest,
    ttl: Duration,
    external: External,
    granted: Granted,
    target: &Target,
) -> PortMapping {
    let address = external.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    PortMapping {
        request: request.clone(),
        external: SocketAddr::new(address, granted.external_port),
        requested_ttl: ttl,
        lifetime: granted.lifetime(),
        protocol: Protocol::Upnp,
        token: ProtocolToken::Upnp {
            control_url: target.service.control_url.to_string(),
            service_type: target.service.service_type.clone(),
            udn: target.identity.udn().to_owned(),
            adopted: granted.adopted,
        },
    }
}
