//! The NAT Port Mapping Protocol (RFC 6886). The natpmp crate builds and reads the messages, our sockets carry them.

mod words;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use natpmp::{AsyncUdpSocket, new_natpmp_async_with};
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::by::By;
use super::epoch::Rule;
use super::port_mapper::PortMapperClient;
use super::trace::{self, NoAnswer, Traced};
use super::udp::{Answered, Behind, GatewayPort, Late, Manner, another_port, wire_lifetime};
use crate::advice::CANNOT_PROVIDE_EXTERNAL;
use crate::clock::Moment;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::schedule::{DELETE_DEADLINE, MAP_DEADLINE, PCP_DEADLINE, granted_lifetime};

/// The longest answer (RFC 6886 3.3); the natpmp crate reads this many bytes whatever the answer's length.
pub(crate) const ANSWER_LENGTH: usize = 16;

/// Result codes (RFC 6886 3.5).
const UNSUPPORTED_VERSION: u16 = 1;
const NOT_AUTHORIZED: u16 = 2;
const NETWORK_FAILURE: u16 = 3;
const OUT_OF_RESOURCES: u16 = 4;
const UNSUPPORTED_OPCODE: u16 = 5;

const BY_NAT_PMP: By = By::protocol(Protocol::NatPmp);

/// Maps ports by NAT-PMP, on IPv4 gateways only.
///
/// ```no_run
/// use portlease::client::NatPmpMapper;
/// use std::net::SocketAddr;
///
/// # async fn example() -> Result<(), portlease::PortMappingError> {
/// let nat_pmp = NatPmpMapper::new(SocketAddr::from(([192, 168, 1, 1], 5351)), None);
/// let (address, round_trip) = nat_pmp.external_address().await?;
/// println!("{address:?} within {round_trip:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct NatPmpMapper {
    channel: Channel,
    _end: DropGuard,
}

impl NatPmpMapper {
    /// Speaks NAT-PMP to `gateway` (its address and port, usually 5351) from `local_address`; `None` leaves the choice to
    /// the system. Sends nothing yet.
    pub fn new(gateway: SocketAddr, local_address: impl Into<Option<IpAddr>>) -> Self {
        Self::on(GatewayPort::new(gateway, local_address.into()))
    }

    /// Speaks to the gateway behind `port`, which other clients use too.
    pub(crate) fn on(port: Arc<GatewayPort>) -> Self {
        let behind = Arc::<Behind>::default();
        let end = behind.guard();
        Self { channel: Channel { port, behind }, _end: end }
    }

    /// The gateway's port.
    pub(crate) fn port(&self) -> &GatewayPort {
        &self.channel.port
    }

    /// Asks for the gateway's external address (RFC 6886 3.2) and answers with the round-trip time too; `None` where
    /// the gateway says that it has no address (result 3, or 0.0.0.0). Maps nothing.
    ///
    /// Fails as every exchange does, and with kind `refused` or `unavailable` by the gateway's result code.
    pub async fn external_address(&self) -> Result<(Option<Ipv4Addr>, Duration), PortMappingError> {
        let answer = self.channel.ask(Request::ExternalAddress, || ()).await?;
        match answer.response {
            Ok(natpmp::Response::Gateway(gateway)) => {
                Ok((Some(*gateway.public_address()).filter(|address| !address.is_unspecified()), answer.round_trip))
            }
            Err(_) if answer.result == NETWORK_FAILURE => Ok((None, answer.round_trip)),
            response => Err(refusal(answer.result, response)),
        }
    }

    /// The map request and the request for the address, together. The address is 0.0.0.0 if the gateway grants the
    /// mapping but does not say its address.
    async fn map(
        &self,
        request: &MapRequest,
        ttl: Duration,
        suggested_port: u16,
    ) -> Result<PortMapping, PortMappingError> {
        // A mapping that is refused ends both: then nobody wants the address.
        let (granted, address) =
            tokio::try_join!(self.channel.map(request, suggested_port, wire_lifetime(ttl)), async {
                Ok(self.external_address().await)
            })?;
        if request.exact && granted.port != request.suggested_port() {
            // Whether or not the delete succeeds, the answer to the caller is the same; what is left stays in doubt,
            // and is deleted when the lease ends.
            if let Err(error) = self.channel.delete(request).await {
                tracing::warn!(error = %error.message(), "nat-pmp: a mapping to another port than the one asked for could not be deleted");
            }
            return Err(another_port(BY_NAT_PMP.name(CANNOT_PROVIDE_EXTERNAL), request.suggested_port(), granted.port));
        }
        let address = match address {
            // The gateway is there, as the mapping shows: datagrams were lost. Once more, for the mapping is made.
            Err(error) if error.kind() == ErrorKind::Timeout => {
                timeout(PCP_DEADLINE, self.external_address()).await.unwrap_or(Err(error))
            }
            address => address,
        };
        let (address, _) = address.unwrap_or_else(|error| {
            tracing::warn!(error = %error.message(), "nat-pmp: the gateway made the mapping but does not say its external address");
            (None, Duration::ZERO)
        });
        self.channel.behind.granted(request);
        Ok(PortMapping {
            request: request.clone(),
            external: SocketAddr::from((address.unwrap_or(Ipv4Addr::UNSPECIFIED), granted.port)),
            requested_ttl: ttl,
            lifetime: Some(granted_lifetime(granted.lifetime, ttl)),
            protocol: Protocol::NatPmp,
            token: ProtocolToken::None,
        })
    }
}

/// The requests, and what is remembered of those that were not answered.
#[derive(Debug, Clone)]
struct Channel {
    port: Arc<GatewayPort>,
    behind: Arc<Behind>,
}

impl Channel {
    /// Asks for a mapping, which stays in doubt until the caller accepts it.
    async fn map(&self, request: &MapRequest, suggested_port: u16, lifetime: u32) -> Result<Granted, PortMappingError> {
        let mut before = None;
        let map = Request::Map { request: request.clone(), external_port: suggested_port, lifetime };
        let answer = self.ask(map, || before = self.behind.asking(request)).await?;
        let repeated = answer.repeated;
        let granted = granted(answer).and_then(|granted| match granted {
            Granted { port: 0, .. } | Granted { lifetime: Duration::ZERO, .. } => Err(BY_NAT_PMP.refused(format!(
                "nat-pmp: the gateway granted external port {} for {} s, which is not a mapping",
                granted.port,
                granted.lifetime.as_secs()
            ))),
            _ => Ok(granted),
        });
        if granted.is_err() {
            self.behind.refused(request, before, repeated);
        }
        granted
    }

    /// The gateway deletes by internal port and by the address that the request came from (RFC 6886 3.4), so this never
    /// deletes the mapping of another host.
    async fn delete(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        granted(self.ask(Request::delete(request), || ()).await?)?;
        self.behind.deleted(request);
        Ok(())
    }

    /// One exchange. Calls `sending` when the request is about to be sent.
    async fn ask(&self, request: Request, sending: impl FnOnce()) -> Result<Answer, PortMappingError> {
        let gateway = self.gateway()?;
        let bytes = request.encode(gateway).await?;
        let (to, opened) = (self.port.gateway(), self.port.open(Protocol::NatPmp).await);
        let socket = opened.inspect_err(|error| trace::not_sent(Protocol::NatPmp, to, &request, error))?;
        let traced = Traced::begin(Protocol::NatPmp, to, || request.clone());
        sending();
        let (channel, asked, sent) = (self.clone(), bytes.clone(), self.port.restarts().now());
        let insist = match &request {
            Request::ExternalAddress => Duration::ZERO,
            Request::Map { lifetime: 0, .. } => DELETE_DEADLINE,
            Request::Map { .. } => MAP_DEADLINE,
        };
        let late = Late {
            end: self.behind.end(),
            heard: Box::new(move |answer, round_trip| channel.heard_late(&answer, sent, round_trip, &request)),
        };
        // RFC 6886 3.1 spreads nothing.
        let manner = Manner { jitter: 0.0, insist };
        let matcher = move |datagram: &[u8]| match_answer(&asked, datagram);
        let outcome = socket.exchange(&bytes, manner, matcher, late).await;
        traced.ended(outcome.as_ref().map(|answered| words::Answer(&answered.answer)).map_err(NoAnswer));
        let Answered { answer, round_trip, repeated } = outcome?;
        self.heard(&answer, sent);
        let response = new_natpmp_async_with(&Carrier::from(answer), gateway).read_response_or_retry().await;
        Ok(Answer { result: result(&answer), response, round_trip, repeated })
    }

    fn gateway(&self) -> Result<Ipv4Addr, PortMappingError> {
        match self.port.gateway().ip() {
            IpAddr::V4(gateway) => Ok(gateway),
            IpAddr::V6(gateway) => {
                Err(BY_NAT_PMP.unavailable(format!("nat-pmp: {gateway} is IPv6, and NAT-PMP works over IPv4 only")))
            }
        }
    }

    /// An answer to a request that was sent at `sent` for the first time. Refusals tell the epoch too (RFC 6886 3.5).
    fn heard(&self, answer: &[u8; ANSWER_LENGTH], sent: Moment) {
        let [version, opcode, _, _, e0, e1, e2, e3, a, b, c, d, ..] = *answer;
        if result(answer) != UNSUPPORTED_VERSION {
            self.behind.spoke();
        }
        // A server of another version has something else there.
        if version == 0 {
            self.port.restarts().heard(Rule::NatPmp, u32::from_be_bytes([e0, e1, e2, e3]), sent);
        }
        if (version, opcode, result(answer)) == (0, 0x80, 0) {
            self.port.restarts().told_address(Ipv4Addr::new(a, b, c, d));
        }
    }

    fn heard_late(&self, answer: &[u8; ANSWER_LENGTH], sent: Moment, round_trip: Duration, request: &Request) {
        let late = format_args!("{}, too late", words::Answer(answer));
        trace::tell(Protocol::NatPmp, self.port.gateway(), request, late, round_trip);
        self.heard(answer, sent);
        self.behind.answered_late(round_trip);
        let [.., high, low, l0, l1, l2, l3] = *answer;
        let is_grant = result(answer) == 0 && [high, low] != [0; 2] && [l0, l1, l2, l3] != [0; 4];
        if let Request::Map { request, lifetime: 1.., .. } = request
            && is_grant
        {
            let (channel, unwanted) = (self.clone(), request.clone());
            self.behind.delete_unwanted(request, async move { channel.delete(&unwanted).await });
        }
    }
}

#[async_trait]
impl PortMapperClient for NatPmpMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.external_address().await.map(|_| ())
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        self.map(request, ttl, request.suggested_port()).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        check(mapping)?;
        self.map(&mapping.request, mapping.requested_ttl, mapping.external.port()).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        check(mapping)?;
        self.channel.delete(&mapping.request).await
    }

    async fn abandon(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        let Channel { port, behind } = &self.channel;
        let tell = async {
            let delete = Request::delete(request);
            let bytes = delete.encode(self.channel.gateway()?).await?;
            port.tell(Protocol::NatPmp, |_| bytes)?;
            trace::sent(Protocol::NatPmp, port.gateway(), &delete);
            Ok(())
        };
        behind.abandon(request, self.channel.delete(request), tell).await
    }

    async fn news(&self) {
        self.channel.behind.news().await;
    }

    async fn settle(&self) {
        self.channel.behind.settle().await;
    }
}

fn check(mapping: &PortMapping) -> Result<(), PortMappingError> {
    if mapping.protocol == Protocol::NatPmp {
        return Ok(());
    }
    Err(PortMappingError::internal(format!("nat-pmp was given a mapping by {}", mapping.protocol)))
}

#[derive(Debug, Clone)]
enum Request {
    ExternalAddress,
    Map { request: MapRequest, external_port: u16, lifetime: u32 },
}

impl Request {
    /// Lifetime 0 deletes, and the external port is 0 then (RFC 6886 3.4).
    fn delete(request: &MapRequest) -> Self {
        Self::Map { request: request.clone(), external_port: 0, lifetime: 0 }
    }

    async fn encode(&self, gateway: Ipv4Addr) -> Result<Vec<u8>, PortMappingError> {
        let carrier = Carrier::default();
        let mut client = new_natpmp_async_with(&carrier, gateway);
        let built = match self {
            Self::ExternalAddress => client.send_public_address_request().await,
            Self::Map { request, external_port, lifetime } => {
                let transport = match request.transport {
                    Transport::Udp => natpmp::Protocol::UDP,
                    Transport::Tcp => natpmp::Protocol::TCP,
                };
                client.send_port_mapping_request(transport, request.internal_port, *external_port, *lifetime).await
            }
        };
        built.map_err(|error| PortMappingError::internal(format!("nat-pmp: cannot build the request: {error}")))?;
        Ok(carrier.into_sent())
    }
}

struct Answer {
    /// The result code, which the natpmp crate does not always tell.
    result: u16,
    response: natpmp::Result<natpmp::Response>,
    round_trip: Duration,
    repeated: bool,
}

#[derive(Debug, Clone, Copy)]
struct Granted {
    port: u16,
    lifetime: Duration,
}

/// What a map request was answered with, a delete included.
fn granted(answer: Answer) -> Result<Granted, PortMappingError> {
    match answer.response {
        Ok(natpmp::Response::UDP(map) | natpmp::Response::TCP(map)) => {
            Ok(Granted { port: map.public_port(), lifetime: *map.lifetime() })
        }
        response => Err(refusal(answer.result, response)),
    }
}

/// The result code of an answer.
fn result(answer: &[u8; ANSWER_LENGTH]) -> u16 {
    u16::from_be_bytes([answer[2], answer[3]])
}

/// The error for an answer that is no success.
fn refusal(result: u16, response: natpmp::Result<natpmp::Response>) -> PortMappingError {
    let by = BY_NAT_PMP.code(result);
    match result {
        UNSUPPORTED_VERSION => by
            .name("UNSUPPORTED_VERSION")
            .unavailable("nat-pmp UNSUPPORTED_VERSION: the gateway does not speak NAT-PMP"),
        NOT_AUTHORIZED => by.name("NOT_AUTHORIZED").refused(
            "nat-pmp NOT_AUTHORIZED: port mapping is switched off on the gateway, or not allowed for this host or port",
        ),
        NETWORK_FAILURE => by
            .name("NETWORK_FAILURE")
            .refused("nat-pmp NETWORK_FAILURE: the gateway has no external address at this time"),
        OUT_OF_RESOURCES => {
            by.name("OUT_OF_RESOURCES").refused("nat-pmp OUT_OF_RESOURCES: the gateway's table of mappings is full")
        }
        UNSUPPORTED_OPCODE => by
            .name("UNSUPPORTED_OPCODE")
            .unavailable("nat-pmp UNSUPPORTED_OPCODE: the gateway does not know this kind of NAT-PMP request"),
        0 => PortMappingError::internal(match response {
            Ok(_) => "nat-pmp: an answer to another request got through".to_owned(),
            Err(error) => format!("nat-pmp: the answer cannot be read: {error}"),
        }),
        other => by.refused(format!("nat-pmp result code {other}: a reason that has no name")),
    }
}

/// Whether `datagram` answers `request`: if so, its first 16 bytes, zeros where it is shorter.
///
/// An answer has the request's opcode with the top bit set. A success is as long as RFC 6886 3.2 and 3.3 want and is
/// about the same internal port; of an error nothing but the header has a meaning, and the header may be alone. A
/// server of another version says so in its own (RFC 6886 3.5, RFC 6887 9).
pub(crate) fn match_answer(request: &[u8], datagram: &[u8]) -> Option<[u8; ANSWER_LENGTH]> {
    let (&[version, opcode, high, low, ..], _) = datagram.split_first_chunk::<8>()?;
    let (&[_, asked, ..], _) = request.split_first_chunk::<2>()?;
    let mut answer = [0; ANSWER_LENGTH];
    let length = datagram.len().min(ANSWER_LENGTH);
    answer[..length].copy_from_slice(&datagram[..length]);

    let result = u16::from_be_bytes([high, low]);
    if opcode != asked | 0x80 {
        return None;
    }
    let ours = match (version, result, asked) {
        (0, 0, 0) => datagram.len() >= 12,
        (0, 0, _) => datagram.len() >= ANSWER_LENGTH && request.get(4..6) == Some(&answer[8..10]),
        (0, _, _) => true,
        (_, result, _) => result == UNSUPPORTED_VERSION,
    };
    ours.then_some(answer)
}

/// The natpmp crate's socket: keeps the request that the crate sends, or hands it an answer that has come.
#[derive(Default)]
struct Carrier {
    sent: Mutex<Vec<u8>>,
    answer: [u8; ANSWER_LENGTH],
}

impl From<[u8; ANSWER_LENGTH]> for Carrier {
    fn from(answer: [u8; ANSWER_LENGTH]) -> Self {
        Self { sent: Mutex::default(), answer }
    }
}

impl Carrier {
    fn into_sent(self) -> Vec<u8> {
        self.sent.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AsyncUdpSocket for &Carrier {
    async fn connect(&self, _address: &str) -> io::Result<()> {
        Ok(())
    }

    async fn send(&self, request: &[u8]) -> io::Result<usize> {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = request.to_vec();
        Ok(request.len())
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(ANSWER_LENGTH);
        buffer[..length].copy_from_slice(&self.answer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
#[path = "natpmp_tests.rs"]
mod tests;
