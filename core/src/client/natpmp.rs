//! The NAT Port Mapping Protocol (RFC 6886). The natpmp crate builds and reads the messages, our sockets carry them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use natpmp::{AsyncUdpSocket, new_natpmp_async_with};

use super::port_mapper::PortMapperClient;
use super::udp::{GatewayPort, another_port, wire_lifetime};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken, Transport};

/// The longest answer (RFC 6886 3.3); the natpmp crate reads this many bytes whatever the answer's length.
pub(crate) const ANSWER_LENGTH: usize = 16;

/// Result codes (RFC 6886 3.5).
const UNSUPPORTED_VERSION: u16 = 1;
const NOT_AUTHORIZED: u16 = 2;
const NETWORK_FAILURE: u16 = 3;
const OUT_OF_RESOURCES: u16 = 4;
const UNSUPPORTED_OPCODE: u16 = 5;

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
    port: Arc<GatewayPort>,
}

impl NatPmpMapper {
    /// Speaks NAT-PMP to `gateway` (its address and port, usually 5351) from `local_address`; `None` leaves the choice to
    /// the system. Sends nothing yet.
    pub fn new(gateway: SocketAddr, local_address: impl Into<Option<IpAddr>>) -> Self {
        Self::on(GatewayPort::new(gateway, local_address.into()))
    }

    /// Speaks to the gateway behind `port`, which other clients use too.
    pub(crate) fn on(port: Arc<GatewayPort>) -> Self {
        Self { port }
    }

    /// Asks for the gateway's external address (RFC 6886 3.2) and answers with the round-trip time too; `None` where
    /// the gateway says that it has no address (result 3, or 0.0.0.0). Maps nothing.
    ///
    /// Fails as every exchange does, and with kind `refused` or `unavailable` by the gateway's result code.
    pub async fn external_address(&self) -> Result<(Option<Ipv4Addr>, Duration), PortMappingError> {
        let answer = self.ask(&Request::ExternalAddress).await?;
        match answer.response {
            Ok(natpmp::Response::Gateway(gateway)) => {
                Ok((Some(*gateway.public_address()).filter(|address| !address.is_unspecified()), answer.round_trip))
            }
            Err(_) if answer.result == NETWORK_FAILURE => Ok((None, answer.round_trip)),
            response => Err(refusal(answer.result, response)),
        }
    }

    /// The map request and the request for the address, together. `known` is the address to go by where the
    /// gateway grants the mapping but does not answer the question for its address.
    async fn install_known(
        &self,
        request: &MapRequest,
        ttl: Duration,
        suggested_port: u16,
        known: IpAddr,
    ) -> Result<PortMapping, PortMappingError> {
        // A mapping that is refused ends both: then nobody wants the address.
        let (granted, address) = tokio::try_join!(self.map(request, suggested_port, wire_lifetime(ttl)), async {
            Ok(self.external_address().await)
        })?;
        if request.exact && granted.port != request.suggested_port() {
            // Whether or not the delete succeeds, the answer to the caller is the same, and the lease ends by itself.
            if let Err(error) = self.delete(request).await {
                tracing::warn!(error = %error.message(), "a mapping to another port than the one insisted on could not be deleted");
            }
            return Err(another_port(Protocol::NatPmp, request.suggested_port(), granted.port));
        }
        let address = match address {
            // The gateway is there, as the mapping shows: datagrams were lost. Once more, for the mapping is made.
            Err(error) if error.kind() == ErrorKind::Timeout => self.external_address().await,
            address => address,
        };
        let address = match address {
            Ok((address, _)) => IpAddr::V4(address.unwrap_or(Ipv4Addr::UNSPECIFIED)),
            Err(error) => {
                tracing::warn!(error = %error.message(), "the gateway made the mapping but does not say its external address");
                known
            }
        };
        Ok(PortMapping {
            request: *request,
            external: SocketAddr::new(address, granted.port),
            requested_ttl: ttl,
            lifetime: Some(granted.lifetime),
            protocol: Protocol::NatPmp,
            token: ProtocolToken::None,
        })
    }

    async fn map(&self, request: &MapRequest, suggested_port: u16, lifetime: u32) -> Result<Granted, PortMappingError> {
        let granted = self.ask_map(request, suggested_port, lifetime).await?;
        if granted.lifetime.is_zero() || granted.port == 0 {
            return Err(PortMappingError::refused(format!(
                "nat-pmp: the gateway granted external port {} for {} s, which is no mapping",
                granted.port,
                granted.lifetime.as_secs()
            )));
        }
        Ok(granted)
    }

    /// Lifetime 0 and external port 0, which the gateway ignores (RFC 6886 3.4).
    async fn delete(&self, request: &MapRequest) -> Result<(), PortMappingError> {
        self.ask_map(request, 0, 0).await.map(|_| ())
    }

    async fn ask_map(
        &self,
        request: &MapRequest,
        external_port: u16,
        lifetime: u32,
    ) -> Result<Granted, PortMappingError> {
        let transport = match request.transport {
            Transport::Udp => natpmp::Protocol::UDP,
            Transport::Tcp => natpmp::Protocol::TCP,
        };
        let map = Request::Map { transport, internal_port: request.internal_port, external_port, lifetime };
        let answer = self.ask(&map).await?;
        match answer.response {
            Ok(natpmp::Response::UDP(map) | natpmp::Response::TCP(map)) => {
                Ok(Granted { port: map.public_port(), lifetime: *map.lifetime() })
            }
            response => Err(refusal(answer.result, response)),
        }
    }

    /// One exchange.
    async fn ask(&self, request: &Request) -> Result<Answer, PortMappingError> {
        let IpAddr::V4(gateway) = self.port.gateway().ip() else {
            return Err(PortMappingError::unavailable(format!(
                "nat-pmp: {} is IPv6, and NAT-PMP is for IPv4 alone",
                self.port.gateway()
            )));
        };
        let exchange = Exchange::new(&self.port);
        let mut client = new_natpmp_async_with(&exchange, gateway);
        let built = match *request {
            Request::ExternalAddress => client.send_public_address_request().await,
            Request::Map { transport, internal_port, external_port, lifetime } => {
                client.send_port_mapping_request(transport, internal_port, external_port, lifetime).await
            }
        };
        built.map_err(|error| PortMappingError::internal(format!("nat-pmp: cannot build the request: {error:?}")))?;
        let response = client.read_response_or_retry().await;
        let (answer, round_trip) = exchange.into_outcome()?;
        Ok(Answer { result: u16::from_be_bytes([answer[2], answer[3]]), response, round_trip })
    }
}

#[async_trait]
impl PortMapperClient for NatPmpMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        self.external_address().await.map(|_| ())
    }

    async fn install(&self, request: &MapRequest, ttl: Duration) -> Result<PortMapping, PortMappingError> {
        request.validate()?;
        self.install_known(request, ttl, request.suggested_port(), IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await
    }

    async fn renew(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        check(mapping)?;
        let external = mapping.external;
        self.install_known(&mapping.request, mapping.requested_ttl, external.port(), external.ip()).await
    }

    async fn remove(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        check(mapping)?;
        self.delete(&mapping.request).await
    }
}

fn check(mapping: &PortMapping) -> Result<(), PortMappingError> {
    if mapping.protocol == Protocol::NatPmp {
        return Ok(());
    }
    Err(PortMappingError::internal(format!("nat-pmp was given a mapping by {}", mapping.protocol)))
}

enum Request {
    ExternalAddress,
    Map { transport: natpmp::Protocol, internal_port: u16, external_port: u16, lifetime: u32 },
}

struct Answer {
    /// The result code, which the natpmp crate does not always tell.
    result: u16,
    response: natpmp::Result<natpmp::Response>,
    round_trip: Duration,
}

struct Granted {
    port: u16,
    lifetime: Duration,
}

/// The error for an answer that is no success.
fn refusal(result: u16, response: natpmp::Result<natpmp::Response>) -> PortMappingError {
    match result {
        UNSUPPORTED_VERSION => {
            PortMappingError::unavailable("nat-pmp UNSUPPORTED_VERSION: the gateway speaks no NAT-PMP")
        }
        NOT_AUTHORIZED => PortMappingError::refused(
            "nat-pmp NOT_AUTHORIZED: port mapping is switched off on the gateway, or not allowed for this host or port",
        ),
        NETWORK_FAILURE => {
            PortMappingError::refused("nat-pmp NETWORK_FAILURE: the gateway has no external address at this time")
        }
        OUT_OF_RESOURCES => {
            PortMappingError::refused("nat-pmp OUT_OF_RESOURCES: the gateway's table of mappings is full")
        }
        UNSUPPORTED_OPCODE => PortMappingError::unavailable(
            "nat-pmp UNSUPPORTED_OPCODE: the gateway does not know this kind of NAT-PMP request",
        ),
        0 => PortMappingError::internal(format!("nat-pmp: an answer to another request got through: {response:?}")),
        other => PortMappingError::refused(format!("nat-pmp result code {other}: a reason that has no name")),
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

type Outcome = Result<([u8; ANSWER_LENGTH], Duration), PortMappingError>;

/// One exchange in the shape of the socket that the natpmp crate wants: `send` keeps the request, `recv` runs the
/// whole exchange, once. The crate calls `recv` again after an error and drops the error, so both are kept here.
struct Exchange<'a> {
    port: &'a GatewayPort,
    request: Mutex<Vec<u8>>,
    outcome: Mutex<Option<Outcome>>,
}

impl<'a> Exchange<'a> {
    fn new(port: &'a GatewayPort) -> Self {
        Self { port, request: Mutex::default(), outcome: Mutex::default() }
    }

    async fn run(&self) -> Outcome {
        let request = lock(&self.request).clone();
        let mut socket = self.port.open(Protocol::NatPmp).await?;
        // RFC 6886 3.1 spreads nothing.
        socket.exchange(&request, 0.0, |datagram| match_answer(&request, datagram)).await
    }

    fn into_outcome(self) -> Outcome {
        self.outcome
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .unwrap_or_else(|| Err(PortMappingError::internal("nat-pmp: the request was never sent")))
    }
}

#[async_trait]
impl AsyncUdpSocket for &Exchange<'_> {
    async fn connect(&self, _address: &str) -> io::Result<()> {
        // The socket of the exchange is connected when it is opened.
        Ok(())
    }

    async fn send(&self, request: &[u8]) -> io::Result<usize> {
        *lock(&self.request) = request.to_vec();
        Ok(request.len())
    }

    async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if lock(&self.outcome).is_some() {
            return Err(io::Error::other("the exchange is over"));
        }
        let outcome = self.run().await;
        let received = match &outcome {
            Ok((answer, _)) => {
                let length = buffer.len().min(answer.len());
                buffer[..length].copy_from_slice(&answer[..length]);
                Ok(length)
            }
            Err(error) => Err(io::Error::other(error.message())),
        };
        *lock(&self.outcome) = Some(outcome);
        received
    }
}

/// Nothing can panic while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "natpmp_tests.rs"]
mod tests;
