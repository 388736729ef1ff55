//! The Port Control Protocol, version 2 (RFC 6887): MAP for IPv4.

pub(crate) mod wire;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::wire::{MapFields, Opcode, Reply, Response, ResultCode};
use super::port_mapper::PortMapperClient;
use super::udp::{GatewayPort, another_port, wire_lifetime};
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::PCP_RETRANSMIT_JITTER;

/// Suggests no address: any will do (RFC 6887 11.1).
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

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
    port: Arc<GatewayPort>,
    /// The nonce of each port, kept beyond its mapping: where the answer to a request was lost, or a mapping was given
    /// up while the gateway was away, the gateway has an entry that only its first nonce can renew or delete.
    nonces: Mutex<HashMap<(Transport, u16), [u8; 12]>>,
}

impl PcpMapper {
    /// Speaks PCP to `gateway` (its address and port, usually 5351) from `local_address`; `None` leaves the choice to
    /// the system. Sends nothing yet.
    pub fn new(gateway: SocketAddr, local_address: impl Into<Option<IpAddr>>) -> Self {
        Self::on(GatewayPort::new(gateway, local_address.into()))
    }

    /// Speaks to the gateway behind `port`, which other clients use too.
    pub(crate) fn on(port: Arc<GatewayPort>) -> Self {
        Self { port, nonces: Mutex::default() }
    }

    fn nonce_of(&self, request: &MapRequest) -> [u8; 12] {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        *nonces.entry((request.transport, request.internal_port)).or_insert_with(rand::random)
    }

    /// Asks the gateway for a sign of life (ANNOUNCE, RFC 6887 14.1) and answers with the round-trip time. Maps nothing.
    ///
    /// Fails as every exchange does, and with kind `refused` or `unavailable` by the gateway's result code.
    pub async fn announce(&self) -> Result<Duration, PortMappingError> {
        let (response, round_trip) = self.ask(Opcode::Announce, wire::announce_request, |_| true).await?;
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
        self.map(request, ttl, nonce, SocketAddr::new(ANY_ADDRESS, request.suggested_port())).await
    }

    async fn map(
        &self,
        request: &MapRequest,
        ttl: Duration,
        nonce: [u8; 12],
        suggested: SocketAddr,
    ) -> Result<PortMapping, PortMappingError> {
        let fields = fields(request, nonce, suggested);
        let lifetime = wire_lifetime(ttl);
        let (response, map) = self.ask_map(lifetime, &fields, request.exact).await?;
        if response.result != ResultCode::Success {
            return Err(refusal(&response));
        }
        if response.lifetime.is_zero() || map.external_port == 0 {
            return Err(PortMappingError::refused(format!(
                "pcp: the gateway granted external port {} for {} s, which is no mapping",
                map.external_port,
                response.lifetime.as_secs()
            )));
        }
        if request.exact && map.external_port != request.suggested_port() {
            // PREFER_FAILURE was not heeded: miniupnpd on nftables, for one. Whether or not the delete succeeds, the
            // answer to the caller is the same, and the lease ends by itself.
            if let Err(error) = self.delete(request, nonce).await {
                tracing::warn!(error = %error.message(), "a mapping to another port than the one insisted on could not be deleted");
            }
            return Err(another_port(Protocol::Pcp, request.suggested_port(), map.external_port));
        }
        // `::` is no address any more than 0.0.0.0 is; the one form is enough.
        let address = if map.external_address.is_unspecified() { ANY_ADDRESS } else { map.external_address };
        Ok(PortMapping {
            request: *request,
            external: SocketAddr::new(address, map.external_port),
            requested_ttl: ttl,
            lifetime: Some(response.lifetime),
            protocol: Protocol::Pcp,
            token: ProtocolToken::Pcp { nonce },
        })
    }

    /// Lifetime 0, same nonce, no suggestion (RFC 6887 15.1).
    async fn delete(&self, request: &MapRequest, nonce: [u8; 12]) -> Result<(), PortMappingError> {
        let (response, _) = self.ask_map(0, &fields(request, nonce, SocketAddr::new(ANY_ADDRESS, 0)), false).await?;
        match response.result {
            // To delete what is not there is a success (RFC 6887 15.1); older miniupnpd says NO_RESOURCES.
            ResultCode::Success | ResultCode::NoResources => Ok(()),
            _ => Err(refusal(&response)),
        }
    }

    async fn ask_map(
        &self,
        lifetime: u32,
        fields: &MapFields,
        prefer_failure: bool,
    ) -> Result<(Response, MapFields), PortMappingError> {
        let same_mapping = |map: &MapFields| {
            (map.nonce, map.protocol, map.internal_port) == (fields.nonce, fields.protocol, fields.internal_port)
        };
        let (response, _) = self
            .ask(
                Opcode::Map,
                |client| wire::map_request(client, lifetime, fields, prefer_failure),
                |response| match &response.map {
                    Some(map) => same_mapping(map),
                    // Some servers answer an error with the header alone.
                    None => response.result != ResultCode::Success,
                },
            )
            .await?;
        Ok((response, response.map.unwrap_or(*fields)))
    }

    /// One exchange. `request` is given the local address, `ours` the responses to `opcode`.
    async fn ask(
        &self,
        opcode: Opcode,
        request: impl FnOnce(IpAddr) -> Vec<u8>,
        ours: impl Fn(&Response) -> bool,
    ) -> Result<(Response, Duration), PortMappingError> {
        let mut socket = self.port.open(Protocol::Pcp).await?;
        let request = request(socket.local_address());
        let matcher = |datagram: &[u8]| {
            wire::parse(datagram).filter(|reply| match reply {
                Reply::Response(response) => response.opcode == opcode as u8 && ours(response),
                Reply::OtherVersion(_) => true,
            })
        };
        match socket.exchange(&request, PCP_RETRANSMIT_JITTER, matcher).await? {
            (Reply::Response(response), round_trip) => Ok((response, round_trip)),
            (Reply::OtherVersion(version), _) => Err(PortMappingError::unavailable(format!(
                "pcp UNSUPP_VERSION: the gateway speaks no PCP version {}, but version {version}{}",
                wire::VERSION,
                if version == 0 { ", which is NAT-PMP" } else { "" }
            ))),
        }
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
        self.install_with_nonce(request, ttl, self.nonce_of(request)).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        // The granted address is suggested too, so that a gateway that lost its state can restore it (RFC 6887 11.2.1).
        // Not with PREFER_FAILURE: that is about the port, and would turn a new external address into a refusal.
        let address = if mapping.request.exact { ANY_ADDRESS } else { mapping.external.ip() };
        let suggested = SocketAddr::new(address, mapping.external.port());
        self.map(&mapping.request, mapping.requested_ttl, nonce(mapping)?, suggested).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        self.delete(&mapping.request, nonce(mapping)?).await
    }
}

fn nonce(mapping: &PortMapping) -> Result<[u8; 12], PortMappingError> {
    if let ProtocolToken::Pcp { nonce } = mapping.token {
        return Ok(nonce);
    }
    Err(PortMappingError::internal(format!("pcp was given a mapping by {}", mapping.protocol)))
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

/// The error for a response that is no success.
fn refusal(response: &Response) -> PortMappingError {
    let message = format!("pcp {}: {}", response.result, hint(response.result));
    match response.result {
        ResultCode::UnsuppVersion | ResultCode::UnsuppOpcode => PortMappingError::unavailable(message),
        _ if response.lifetime.is_zero() => PortMappingError::refused(message),
        _ => PortMappingError::refused_for(message, response.lifetime),
    }
}

/// What a result means to a user.
fn hint(result: ResultCode) -> &'static str {
    match result {
        ResultCode::Success => "done",
        ResultCode::UnsuppVersion => "the gateway speaks no PCP version 2",
        ResultCode::NotAuthorized => "the gateway does not allow this host, or this port, to be mapped",
        ResultCode::MalformedRequest | ResultCode::MalformedOption => "the gateway does not understand the request",
        ResultCode::UnsuppOpcode => "the gateway does not know this kind of request",
        ResultCode::UnsuppOption => "the gateway does not know an option of the request",
        ResultCode::NetworkFailure => "the gateway's own connection has failed; it may have no external address",
        ResultCode::NoResources => "the gateway cannot make the mapping now; its table may be full",
        ResultCode::UnsuppProtocol => "the gateway cannot map this transport",
        ResultCode::UserExQuota => "this host has as many mappings as the gateway allows",
        ResultCode::CannotProvideExternal => "the gateway cannot give this external port",
        ResultCode::AddressMismatch => "another NAT stands between this host and the gateway",
        ResultCode::ExcessiveRemotePeers => "the gateway cannot filter so many remote peers",
        ResultCode::Other(_) => "the gateway gave a reason that has no name",
    }
}

#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
