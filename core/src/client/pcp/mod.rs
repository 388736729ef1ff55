//! The Port Control Protocol, version 2 (RFC 6887): MAP, for IPv4 mappings and IPv6 pinholes.

mod channel;
pub(crate) mod nonces;
pub(crate) mod pinhole;
mod refusal;
pub(crate) mod wire;
mod words;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::DropGuard;

use self::channel::{Asked, Channel, in_our_version};
use self::nonces::Nonces;
use self::refusal::{by, refusal};
use self::wire::{MapFields, Opcode, ResultCode};
use super::by::By;
use super::port_mapper::PortMapperClient;
use super::trace;
use super::udp::{Answered, Behind, GatewayPort, another_port};
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::granted_lifetime;

/// Suggests no address: any will do (RFC 6887 11.1).
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The same for IPv6.
const ANY_ADDRESS6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

const BY_PCP: By = By::protocol(Protocol::Pcp);

/// Maps ports by PCP. Each mapping has a random nonce of its own, kept in its token through renewal and deletion.
///
/// ```no_run
/// use portlease::client::{PcpMapper, PortMapperClient};
/// use portlease::{MapRequest, Transport};
/// use std::net::SocketAddr;
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let pcp = PcpMapper::new(SocketAddr::from(([192, 168, 1, 1], 5351)), None);
/// let mapping = pcp.install(&MapRequest::new(4000, Transport::Udp), Duration::from_secs(3600)).await?;
/// let mapping = pcp.renew(&mapping).await?; // before mapping.lifetime ends
/// pcp.remove(&mapping).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PcpMapper {
    channel: Channel,
    nonces: Nonces,
    _end: DropGuard,
}

impl PcpMapper {
    /// Speaks PCP to `gateway` (its address and port, usually 5351) from `local_address`; `None` leaves the choice to
    /// the system. Sends nothing yet.
    pub fn new(gateway: SocketAddr, local_address: impl Into<Option<IpAddr>>) -> Self {
        Self::on(GatewayPort::new(gateway, local_address.into()))
    }

    /// Speaks to the gateway behind `port`, which other clients use too.
    pub(crate) fn on(port: Arc<GatewayPort>) -> Self {
        let behind = Arc::<Behind>::default();
        let end = behind.guard();
        Self { channel: Channel { port, behind }, nonces: Nonces::default(), _end: end }
    }

    /// The same with `nonces`, which it shares with the clients of other gateways.
    pub(crate) fn with_nonces(self, nonces: Nonces) -> Self {
        Self { nonces, ..self }
    }

    /// The gateway's port.
    pub(crate) fn port(&self) -> &GatewayPort {
        &self.channel.port
    }

    /// Asks the gateway for a sign of life (ANNOUNCE, RFC 6887 14.1) and answers with the round-trip time. Maps nothing.
    ///
    /// Fails as every exchange does, and with kind `refused` or `unavailable` by the gateway's result code.
    pub async fn announce(&self) -> Result<Duration, PortMappingError> {
        let Answered { answer, round_trip, .. } =
            self.channel.ask(Opcode::Announce, None, wire::announce_request).await?;
        let response = in_our_version(answer)?;
        match response.result {
            // A gateway that knows MAP only has answered all the same.
            ResultCode::Success | ResultCode::UnsuppOpcode => Ok(round_trip),
            _ => Err(refusal(&response)),
        }
    }

    /// As [`install`](PortMapperClient::install), with a nonce of the caller's choice: the one of a mapping that
    /// is to be taken up again, or random.
    pub async fn install_with_nonce(
        &self,
        request: &MapRequest,
        ttl: Duration,
        nonce: [u8; 12],
    ) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        let suggested = SocketAddr::new(any_address(request), request.suggested_port());
        let fields = fields(request, nonce, suggested);
        match self.map(request, ttl, &fields, false).await {
            Err(refusal) if request.family == AddressFamily::Ipv6 => {
                self.open_anew(request, ttl, &fields, refusal).await
            }
            mapped => mapped,
        }
    }

    async fn renew_as_it_is(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let request = &mapping.request;
        // The granted address is suggested too, so that a gateway that lost its state can restore it (RFC 6887 11.2.1).
        // Not with PREFER_FAILURE: that is about the port, and would turn a new external address into a refusal.
        let prefers_failure = request.exact && request.family == AddressFamily::Ipv4;
        let address = if prefers_failure { ANY_ADDRESS } else { mapping.external.ip() };
        let suggested = SocketAddr::new(address, mapping.external.port());
        self.map(request, mapping.requested_ttl, &fields(request, nonce(mapping)?, suggested), true).await
    }

    async fn map(
        &self,
        request: &MapRequest,
        ttl: Duration,
        fields: &MapFields,
        renewal: bool,
    ) -> Result<PortMapping, PortMappingError> {
        let nonce = fields.nonce;
        // Whatever this request leaves on the gateway has this nonce.
        self.nonces.set(request, nonce);
        let (lifetime, map) = self.channel.map(request, ttl, fields, renewal).await?;
        if is_exact(request) && map.external_port != request.suggested_port() {
            // PREFER_FAILURE was not heeded (RFC 6887 13.2): miniupnpd on nftables, for one. Whether or not the delete succeeds, the
            // answer to the caller is the same; what is left stays in doubt, and is deleted when the lease ends.
            if let Err(error) = self.channel.delete(request, nonce).await {
                tracing::warn!(error = %error.message(), "pcp: a mapping to another port than the one asked for could not be deleted");
            }
            return Err(another_port(
                by(ResultCode::CannotProvideExternal),
                request.suggested_port(),
                map.external_port,
            ));
        }
        self.channel.behind.granted(request);
        // `::` stands for "none", as 0.0.0.0 does; the one form is enough.
        let address = if map.external_address.is_unspecified() { any_address(request) } else { map.external_address };
        Ok(PortMapping {
            request: request.clone(),
            external: SocketAddr::new(address, map.external_port),
            requested_ttl: ttl,
            lifetime: Some(granted_lifetime(lifetime, ttl)),
            protocol: Protocol::Pcp,
            token: ProtocolToken::Pcp { nonce },
        })
    }
}

#[async_trait]
impl PortMapperClient for PcpMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.announce().await.map(|_| ())
    }

    fn install_is_probe(&self) -> bool {
        true
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        self.install_with_nonce(request, ttl, self.nonces.of(request)).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        match mapping.request.family {
            AddressFamily::Ipv4 => self.renew_as_it_is(mapping).await,
            AddressFamily::Ipv6 => self.renew_pinhole(mapping).await,
        }
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        match mapping.request.family {
            AddressFamily::Ipv4 => self.channel.delete(&mapping.request, nonce(mapping)?).await,
            AddressFamily::Ipv6 => self.close_pinhole(mapping).await,
        }
    }

    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let Channel { port, behind } = &self.channel;
        let delete = async { self.channel.delete(request, self.nonces.of(request)).await };
        let tell = async {
            let fields = delete_fields(request, self.nonces.of(request));
            port.tell(Protocol::Pcp, |client| wire::map_request(client, 0, &fields, false))?;
            trace::sent(
                Protocol::Pcp,
                port.gateway(),
                words::Request(Some(Asked { fields, wanted: None, lifetime: 0 })),
            );
            Ok(())
        };
        behind.abandon(request, delete, tell).await
    }

    async fn news(&self) {
        self.channel.behind.news().await;
    }

    async fn settle(&self) {
        self.channel.behind.settle().await;
    }
}

fn nonce(mapping: &PortMapping) -> Result<[u8; 12], PortMappingError> {
    if let ProtocolToken::Pcp { nonce } = mapping.token {
        return Ok(nonce);
    }
    Err(PortMappingError::internal(format!("pcp was given a mapping by {}", mapping.protocol)))
}

/// No address in particular, of the family that is asked for.
fn any_address(request: &MapRequest) -> IpAddr {
    match request.family {
        AddressFamily::Ipv4 => ANY_ADDRESS,
        AddressFamily::Ipv6 => ANY_ADDRESS6,
    }
}

/// Whether another external port than the suggested one is none. A firewall translates no ports.
fn is_exact(request: &MapRequest) -> bool {
    request.exact || request.family == AddressFamily::Ipv6
}

fn fields(request: &MapRequest, nonce: [u8; 12], suggested: SocketAddr) -> MapFields {
    MapFields {
        nonce,
        protocol: match request.transport {
            Transport::Udp => 17,
            Transport::Tcp => 6,
        },
        internal_port: request.internal_port,
        external_port: suggested.port(),
        external_address: suggested.ip(),
    }
}

/// Lifetime 0 deletes, and nothing is suggested (RFC 6887 15.1).
fn delete_fields(request: &MapRequest, nonce: [u8; 12]) -> MapFields {
    fields(request, nonce, SocketAddr::new(any_address(request), 0))
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
