//! A protocol in the race: its client, and how long it holds back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::failure::Failure;
use crate::client::natpmp::NatPmpMapper;
use crate::client::owners::Member;
use crate::client::pcp::PcpMapper;
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::{PinholeMapper, UpnpMapper};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{AddressFamily, PortMapping, Protocol};
use crate::net::route::NetworkPath;
use crate::snapshot::ProtocolOffer;
use crate::state::Record;

/// A client of one protocol.
#[async_trait]
pub(super) trait ProtocolClient: PortMapperClient {
    /// Asks what the gateway offers by this protocol; maps nothing.
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError>;

    /// Calls `unsure` whenever the gateway shows that it has lost its mappings, or may have, and listens for what it announces.
    /// Never ends.
    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync));

    /// Looks whether `mapping` is still there, soon after it was made and now and then later, as cheaply as the protocol allows.
    /// The answer is the mapping as it is now. By PCP and NAT-PMP there is no question but the renewal.
    ///
    /// Fails with [`mapping_lost`](PortMappingError::mapping_lost) if it is gone; any other error says nothing.
    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.renew(mapping).await
    }

    /// Closes a pinhole that another protocol has opened and could not close. By default that cannot be done.
    async fn close(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let _ = mapping;
        Err(PortMappingError::unavailable("this protocol closes no pinholes of others"))
    }

    /// Another mapper of this process has `mapping` from now on: nothing of it is this client's to delete.
    fn let_go(&self, mapping: &PortMapping) {
        let _ = mapping;
    }

    /// Whether what an earlier run has recorded is this client's to take up again or to delete.
    fn left_here(&self, record: &Record) -> bool {
        let _ = record;
        false
    }

    /// Learns what an earlier run has recorded, so that a request for the same port takes it up again.
    fn inherit(&self, record: &Record) {
        let _ = record;
    }

    /// Deletes what an earlier run has left.
    async fn delete(&self, record: &Record) -> Result<(), PortMappingError> {
        let _ = record;
        Ok(())
    }
}

/// One protocol in the race.
#[derive(Clone)]
pub(super) struct Contestant {
    pub(super) protocol: Protocol,
    pub(super) client: Arc<dyn ProtocolClient>,
    /// The way to its gateway.
    pub(super) at: Arc<NetworkPath>,
    /// What this mapper shares with others of the process.
    pub(super) member: Option<Arc<Member>>,
    /// Whether it listens to the gateway. Protocols that share a port need one listener.
    pub(super) listens: bool,
    /// Whether the install itself shows whether the gateway speaks the protocol, so that probing would only
    /// cost a round trip.
    pub(super) install_is_probe: bool,
    /// Whether the gateway has answered by this protocol before.
    pub(super) proven: bool,
    /// How long after the start it does nothing at all, unless all better ones have failed before.
    pub(super) head_start: Duration,
    /// How long after the start it lets better protocols answer first.
    pub(super) hedge: Duration,
    /// The same where a better protocol has shown that it is alive.
    pub(super) hedge_behind_alive: Duration,
}

impl Contestant {
    /// Why this one failed, before it asked for a mapping.
    pub(super) fn failure(&self, error: PortMappingError) -> Failure {
        let alive = self.proven || error.kind() == ErrorKind::Refused;
        Failure { protocol: self.protocol, at: Some(Arc::clone(&self.at)), alive, asked: false, error }
    }

    /// Whether what both make for a port is one entry of one table. The interface does not matter to the gateway.
    pub(super) fn shares_table_with(&self, other: &Self) -> bool {
        (self.at.gateway, self.at.local_address) == (other.at.gateway, other.at.local_address)
    }
}

#[async_trait]
impl ProtocolClient for PcpMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let round_trip = self.announce().await?;
        Ok(ProtocolOffer { external_address: None, device: None, round_trip })
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        self.port().attend(unsure).await;
    }

    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        match mapping.request.family {
            AddressFamily::Ipv4 => self.renew(mapping).await,
            AddressFamily::Ipv6 => self.look_at_pinhole(mapping).await,
        }
    }
}

#[async_trait]
impl ProtocolClient for NatPmpMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let (address, round_trip) = self.external_address().await?;
        Ok(ProtocolOffer { external_address: address.map(IpAddr::V4), device: None, round_trip })
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        self.port().attend(unsure).await;
    }
}

#[async_trait]
impl ProtocolClient for UpnpMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let device = self.search().await?;
        Ok(ProtocolOffer {
            external_address: device.external_address,
            device: Some(device.friendly_name),
            round_trip: device.round_trip,
        })
    }

    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.see(mapping).await
    }

    fn let_go(&self, mapping: &PortMapping) {
        Self::let_go(self, mapping);
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        let tell = async {
            loop {
                self.restarted().await;
                unsure();
            }
        };
        tokio::join!(self.attend(), tell);
    }
}

#[async_trait]
impl ProtocolClient for PinholeMapper {
    async fn probe_protocol(&self) -> Result<ProtocolOffer, PortMappingError> {
        let device = self.offer().await?;
        Ok(ProtocolOffer {
            external_address: Some(self.external_address().await?),
            device: Some(device.friendly_name),
            round_trip: device.round_trip,
        })
    }

    async fn look_at(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        self.see(mapping).await
    }

    async fn close(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.close_port(mapping.request.transport, mapping.request.internal_port).await
    }

    fn let_go(&self, mapping: &PortMapping) {
        Self::let_go(self, mapping);
    }

    async fn attend_to_gateway(&self, unsure: &(dyn Fn() + Send + Sync)) {
        let tell = async {
            loop {
                self.restarted().await;
                unsure();
            }
        };
        tokio::join!(self.attend(), tell);
    }
}
