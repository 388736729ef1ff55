//! The Port Control Protocol, version 2 (RFC 6887): MAP, for IPv4 mappings and IPv6 pinholes.

pub(crate) mod nonces;
mod pinhole;
mod refusal;
pub(crate) mod wire;
mod words;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::DropGuard;

use self::nonces::Nonces;
use self::refusal::{by, refusal};
use self::wire::{MapFields, Opcode, Reply, Response, ResultCode};
use super::by::By;
use super::epoch::Rule;
use super::port_mapper::PortMapperClient;
use super::trace::{self, NoAnswer, Traced};
use super::udp::{Answered, Behind, GatewayPort, Late, Manner, another_port, wire_lifetime};
use crate::clock::Moment;
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::{DELETE_DEADLINE, MAP_DEADLINE, PCP_RETRANSMIT_JITTER, granted_lifetime};

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
        // `::` is no address any more than 0.0.0.0 is; the one form is enough.
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

/// The requests, and what is remembered of those that were not answered.
#[derive(Debug, Clone)]
struct Channel {
    port: Arc<GatewayPort>,
    behind: Arc<Behind>,
}

/// What a MAP request is about.
#[derive(Debug, Clone)]
struct Asked {
    fields: MapFields,
    /// The mapping that is wanted; `None` for a delete.
    wanted: Option<MapRequest>,
    /// In seconds.
    lifetime: u32,
}

impl Channel {
    /// Asks for a mapping, which stays in doubt until the caller accepts it. `renewal` is whether the gateway had granted it
    /// before.
    async fn map(
        &self,
        request: &MapRequest,
        ttl: Duration,
        fields: &MapFields,
        renewal: bool,
    ) -> Result<(Duration, MapFields), PortMappingError> {
        let (mut before, mut own) = (None, None);
        let lifetime = wire_lifetime(ttl);
        let asked = Asked { fields: *fields, wanted: Some(request.clone()), lifetime };
        let ask = self.ask(Opcode::Map, Some(asked), |client| {
            before = self.behind.asking(request);
            own = Some(client);
            let option = request.exact && request.family == AddressFamily::Ipv4;
            wire::map_request(client, lifetime, &pinhole::suggesting(*fields, client), option)
        });
        let Answered { answer, repeated, .. } = ask.await?;
        let granted = grant(answer, request, renewal).map(|(lifetime, map)| match own {
            Some(own) => (lifetime, pinhole::told(map, own)),
            None => (lifetime, map),
        });
        if granted.is_err() {
            self.behind.refused(request, before, repeated);
        }
        granted
    }

    async fn delete(&self, request: &MapRequest, nonce: [u8; 12]) -> Result<(), PortMappingError> {
        let asked = Asked { fields: delete_fields(request, nonce), wanted: None, lifetime: 0 };
        let fields = asked.fields;
        let ask = self.ask(Opcode::Map, Some(asked), |client| wire::map_request(client, 0, &fields, false));
        let response = in_our_version(ask.await?.answer)?;
        match (response.result, response.map) {
            // To delete what is not there is a success (RFC 6887 15.1); older miniupnpd says NO_RESOURCES.
            (ResultCode::Success | ResultCode::NoResources, Some(_)) => {
                self.behind.deleted(request);
                Ok(())
            }
            _ => Err(refusal(&response)),
        }
    }

    /// One exchange. `build` is given the local address when the request is about to be sent.
    async fn ask(
        &self,
        opcode: Opcode,
        asked: Option<Asked>,
        build: impl FnOnce(IpAddr) -> Vec<u8>,
    ) -> Result<Answered<Reply>, PortMappingError> {
        let (gateway, words) = (self.port.gateway(), || words::Request(asked.clone()));
        let opened = self.port.open(Protocol::Pcp).await;
        let socket = opened.inspect_err(|error| trace::not_sent(Protocol::Pcp, gateway, words(), error))?;
        let traced = Traced::begin(Protocol::Pcp, gateway, words);
        let request = build(socket.local_address());
        let fields = asked.as_ref().map(|asked| asked.fields);
        let matcher = move |datagram: &[u8]| wire::parse(datagram).filter(|reply| fits(reply, opcode, fields));
        let (channel, sent) = (self.clone(), self.port.restarts().now());
        let insist = match &asked {
            None => Duration::ZERO,
            Some(Asked { wanted: None, .. }) => DELETE_DEADLINE,
            Some(Asked { wanted: Some(_), .. }) => MAP_DEADLINE,
        };
        let late = Late {
            end: self.behind.end(),
            heard: Box::new(move |reply, round_trip| channel.heard_late(reply, sent, round_trip, asked.as_ref())),
        };
        let manner = Manner { jitter: PCP_RETRANSMIT_JITTER, insist };
        let outcome = socket.exchange(&request, manner, matcher, late).await;
        traced.ended(outcome.as_ref().map(|answered| words::Answer(&answered.answer)).map_err(NoAnswer));
        let answer = outcome?;
        self.heard(answer.answer, sent);
        Ok(answer)
    }

    /// An answer to a request that was sent at `sent` for the first time. Refusals tell the epoch too (RFC 6887 7.2).
    fn heard(&self, reply: Reply, sent: Moment) {
        if let Ok(response) = in_our_version(reply) {
            self.behind.spoke();
            self.port.restarts().heard(Rule::Pcp, response.epoch, sent);
        }
    }

    fn heard_late(&self, reply: Reply, sent: Moment, round_trip: Duration, asked: Option<&Asked>) {
        if trace::is_heard() {
            let (request, answer) = (words::Request(asked.cloned()), words::Answer(&reply));
            trace::tell(Protocol::Pcp, self.port.gateway(), request, format_args!("{answer}, too late"), round_trip);
        }
        self.heard(reply, sent);
        self.behind.answered_late(round_trip);
        if let Some(Asked { fields, wanted: Some(request), .. }) = asked
            && grant(reply, request, false).is_ok()
        {
            let (channel, unwanted, nonce) = (self.clone(), request.clone(), fields.nonce);
            self.behind.delete_unwanted(request, async move { channel.delete(&unwanted, nonce).await });
        }
    }
}

/// Whether `reply` answers a request with `opcode` about `asked`.
///
/// Anybody who can forge the gateway's address can send an answer without a nonce, so it must at least be one that the
/// gateway could give. A refusal of the version comes in another one, because a server that answers in ours speaks it
/// (RFC 6887 9). Other errors may be the header alone, which some servers send.
fn fits(reply: &Reply, opcode: Opcode, asked: Option<MapFields>) -> bool {
    match reply {
        Reply::OtherVersion { opcode: answered, .. } => *answered == opcode as u8,
        Reply::Response(response) if response.opcode != opcode as u8 => false,
        Reply::Response(response) => match (asked, response.map) {
            (Some(asked), Some(map)) => {
                (map.nonce, map.protocol, map.internal_port) == (asked.nonce, asked.protocol, asked.internal_port)
            }
            (Some(_), None) => !matches!(response.result, ResultCode::Success | ResultCode::UnsuppVersion),
            (None, _) => response.result != ResultCode::UnsuppVersion,
        },
    }
}

/// The response, if the gateway speaks our version.
fn in_our_version(reply: Reply) -> Result<Response, PortMappingError> {
    match reply {
        Reply::Response(response) => Ok(response),
        Reply::OtherVersion { version, .. } => Err(by(ResultCode::UnsuppVersion).unavailable(format!(
            "pcp UNSUPP_VERSION: the gateway speaks no PCP version {}, but version {version}{}",
            wire::VERSION,
            if version == 0 { ", which is NAT-PMP" } else { "" }
        ))),
    }
}

/// The lifetime and the fields of what was granted for `request`. `renewal` is whether the gateway held it for us before: if it
/// cannot provide the port that is insisted on any more, the mapping is gone.
fn grant(reply: Reply, request: &MapRequest, renewal: bool) -> Result<(Duration, MapFields), PortMappingError> {
    let response = in_our_version(reply)?;
    let exact_renewal = renewal && request.exact;
    match (response.result, response.map) {
        // miniupnpd repeats the port that was suggested, which another client may have left out, and a pinhole has no other.
        (ResultCode::Success, Some(map))
            if !response.lifetime.is_zero() && (map.external_port != 0 || request.family == AddressFamily::Ipv6) =>
        {
            Ok((response.lifetime, map))
        }
        (ResultCode::Success, map) => Err(BY_PCP.refused(format!(
            "pcp: the gateway granted external port {} for {} s, which is no mapping",
            map.map_or(0, |map| map.external_port),
            response.lifetime.as_secs()
        ))),
        (ResultCode::CannotProvideExternal, Some(_)) if exact_renewal => {
            Err(by(response.result).refused_and_lost(refusal(&response).to_string()))
        }
        _ => Err(refusal(&response)),
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
