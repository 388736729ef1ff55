//! The trait between the task and the protocols, and its implementations.

pub mod mock;
pub mod natpmp;
pub mod null;
pub mod pcp;
pub mod race;
pub mod udp;
pub mod upnp;
#[cfg(test)]
mod vectors;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::builders::builders;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol};
use crate::net::route::NetworkPath;
use crate::snapshot::GatewayReport;

/// What a client knows about the gateway at this moment, without asking it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GatewayView {
    /// The way to the gateway, once it was looked for and found.
    pub path: Option<NetworkPath>,
    /// The protocols by which the gateway has answered so far.
    pub protocols: Vec<Protocol>,
}

impl GatewayView {
    builders! {
        path(impl Into<Option<NetworkPath>>),
        protocols(impl Into<Vec<Protocol>>),
    }
}

/// A way to ask a gateway for mappings. Every call is bounded by the implementation's own deadline
/// (see [`crate::schedule`]) and may be cancelled by dropping its future.
#[async_trait]
pub trait PortMapperClient: Send + Sync {
    /// Whether the gateway answers at all; maps nothing. A composed client may answer at once and let
    /// [`install`](Self::install) be the probe.
    async fn probe(&self) -> Result<(), PortMappingError>;

    /// Asks for a new mapping that lives for `ttl`. The gateway may grant another port and another lifetime.
    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError>;

    /// Asks for `mapping.requested_ttl` again. The answer replaces `mapping`.
    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError>;

    /// Deletes the mapping, best effort. A mapping that is already gone is a success.
    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError>;

    /// Asks by every protocol what the gateway offers; maps nothing. Fails only where there is no gateway to ask.
    async fn survey(&self) -> Result<GatewayReport, PortMappingError> {
        self.probe().await?;
        Ok(GatewayReport::new(self.view().path))
    }

    /// What is known about the gateway; never waits.
    fn view(&self) -> GatewayView {
        GatewayView::default()
    }

    /// Waits until what the client still does behind its answers (releasing what came too late) is done.
    /// Bounded by the protocols' deadlines.
    async fn settle(&self) {}
}

#[async_trait]
impl<C: PortMapperClient + ?Sized> PortMapperClient for Arc<C> {
    async fn probe(&self) -> Result<(), PortMappingError> {
        (**self).probe().await
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        (**self).install(request, ttl).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        (**self).renew(mapping).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        (**self).remove(mapping).await
    }

    async fn survey(&self) -> Result<GatewayReport, PortMappingError> {
        (**self).survey().await
    }

    fn view(&self) -> GatewayView {
        (**self).view()
    }

    async fn settle(&self) {
        (**self).settle().await;
    }
}
