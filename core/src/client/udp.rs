//! The gateway's port 5351, which PCP and NAT-PMP share: connected sockets, retransmission and matching.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::error::PortMappingError;
use crate::mapping::Protocol;
use crate::schedule::{PCP_DEADLINE, RETRANSMIT_INITIAL};

/// The longest answer that is read: the limit of PCP (RFC 6887 7); NAT-PMP's are shorter.
pub(crate) const MAX_DATAGRAM: usize = 1100;
/// Exchanges that may be under way with one gateway at once; each holds a file descriptor, of which a process
/// may have as few as 256.
pub(crate) const MAX_EXCHANGES: usize = 64;
/// Requests of one protocol that a gateway which answers is given at once. miniupnpd needs some 10 ms for each as
/// its table grows: with many more, requests are repeated, and so done twice, before their turn has come.
pub(crate) const MAX_IN_FLIGHT: usize = 8;

/// The gateway's port as PCP and NAT-PMP share it.
///
/// Every exchange has a socket of its own, so that answers cannot be mixed up, but all know of each other: an ICMP
/// port unreachable that one of them sees ends all that are pending, because gateways limit how many they send.
#[derive(Debug)]
pub(crate) struct GatewayPort {
    gateway: SocketAddr,
    local_address: Option<IpAddr>,
    sockets: Semaphore,
    pcp: Lane,
    nat_pmp: Lane,
    /// Counts the ICMP port unreachables.
    unreachable: watch::Sender<u64>,
}

/// One protocol's share of the port. Each has its own, because a gateway may be silent in one and answer in another.
#[derive(Debug)]
struct Lane {
    turns: Semaphore,
    /// Counts the answers.
    heard: AtomicU64,
}

impl Lane {
    fn new() -> Self {
        Self { turns: Semaphore::new(MAX_IN_FLIGHT), heard: AtomicU64::new(0) }
    }
}

impl GatewayPort {
    /// The port at `gateway`, spoken to from `local_address` where one is given, else from the address that the
    /// system's routes choose. Opens nothing yet.
    pub(crate) fn new(gateway: SocketAddr, local_address: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            local_address,
            sockets: Semaphore::new(MAX_EXCHANGES),
            pcp: Lane::new(),
            nat_pmp: Lane::new(),
            unreachable: watch::Sender::new(0),
        })
    }

    /// The gateway's address and port.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Opens a socket for one exchange in `protocol`. Waits for its turn where [`MAX_IN_FLIGHT`] or [`MAX_EXCHANGES`]
    /// are before it; each of them is over within [`PCP_DEADLINE`], and gives up its turn at the first repetition
    /// if the gateway says nothing to anybody.
    ///
    /// Fails with kind `transport` where the system has no such local address, no route or no socket left, and with
    /// kind `unavailable` where an ICMP port unreachable came while waiting; with kind `internal` for a protocol that
    /// does not use the port.
    pub(crate) async fn open(&self, protocol: Protocol) -> Result<GatewaySocket<'_>, PortMappingError> {
        let mut unreachable = self.unreachable.subscribe();
        let lane = match protocol {
            Protocol::Pcp => &self.pcp,
            Protocol::NatPmp => &self.nat_pmp,
            Protocol::Upnp | Protocol::None => {
                return Err(PortMappingError::internal(format!("{protocol} does not use the gateway's PCP port")));
            }
        };
        let waited = tokio::select! {
            waited = async { Ok((lane.turns.acquire().await?, self.sockets.acquire().await?)) } => waited,
            _ = unreachable.changed() => return Err(self.nothing_listens(protocol)),
        };
        let (turn, slot) =
            waited.map_err(|_: AcquireError| PortMappingError::internal("the queue to the gateway was closed"))?;
        let context = |what: String| move |error| PortMappingError::transport(format!("{protocol}: {what}"), error);
        let local = self.local_address.unwrap_or(match self.gateway {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        });
        let socket = UdpSocket::bind((local, 0)).await.map_err(context(format!("cannot use local address {local}")))?;
        socket.connect(self.gateway).await.map_err(context(format!("cannot reach {}", self.gateway)))?;
        let local = socket.local_addr().map_err(context("cannot read the local address".to_owned()))?.ip();
        Ok(GatewaySocket { port: self, lane, protocol, socket, local, unreachable, turn: Some(turn), _slot: slot })
    }

    fn nothing_listens(&self, protocol: Protocol) -> PortMappingError {
        PortMappingError::unavailable(format!(
            "{protocol}: nothing listens on {} (ICMP port unreachable)",
            self.gateway
        ))
    }
}

/// A socket connected to the gateway, for one exchange: only the gateway's answers get in, and the ICMP port
/// unreachable of a gateway without the service is heard.
#[derive(Debug)]
pub(crate) struct GatewaySocket<'a> {
    port: &'a GatewayPort,
    lane: &'a Lane,
    protocol: Protocol,
    socket: UdpSocket,
    local: IpAddr,
    unreachable: watch::Receiver<u64>,
    turn: Option<SemaphorePermit<'a>>,
    _slot: SemaphorePermit<'a>,
}

impl GatewaySocket<'_> {
    /// The local address from which the gateway is spoken to: the client address of a PCP request (RFC 6887 8.1).
    pub(crate) fn local_address(&self) -> IpAddr {
        self.local
    }

    /// Sends `request` and waits for the datagram for which `matcher` answers `Some`; all others are ignored and the
    /// wait goes on. The request is sent again after [`RETRANSMIT_INITIAL`], doubling, each time spread by `jitter`
    /// (a share, 0 for none). Answers also with the time between the first sending and the answer.
    ///
    /// Fails with kind `timeout` after [`PCP_DEADLINE`], `unavailable` as soon as the gateway says that nothing
    /// listens (to this exchange or to another one), `transport` on any other socket error.
    pub(crate) async fn exchange<T>(
        &mut self,
        request: &[u8],
        jitter: f64,
        matcher: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<(T, Duration), PortMappingError> {
        let start = Instant::now();
        let deadline = start + PCP_DEADLINE;
        let mut gap = spread(RETRANSMIT_INITIAL, jitter);
        let mut next = start + gap;
        let heard_before = self.lane.heard.load(Ordering::Relaxed);
        // One byte more than the longest answer: a longer one is noticed, not taken for its own beginning.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        self.send(request, deadline).await?;
        loop {
            // The socket comes first: an answer that is there when a stalled runtime goes on is not too late.
            tokio::select! {
                biased;
                received = self.socket.recv(&mut buffer) => match received {
                    Ok(length) if length <= MAX_DATAGRAM => {
                        if let Some(answer) = matcher(&buffer[..length]) {
                            self.lane.heard.fetch_add(1, Ordering::Relaxed);
                            return Ok((answer, start.elapsed()));
                        }
                        tracing::trace!(protocol = %self.protocol, length, "ignored a datagram that is no answer");
                    }
                    Ok(_) => {}
                    Err(error) if cut_short(&error) => {}
                    Err(error) => return Err(self.failure(error)),
                },
                _ = self.unreachable.changed() => return Err(self.port.nothing_listens(self.protocol)),
                () = sleep_until(next.min(deadline)) => {}
            }
            // Looked at after every event, so that a flood of datagrams holds up neither.
            let now = Instant::now();
            if now >= deadline {
                return Err(self.timeout());
            }
            if now >= next {
                // Lost, or busy with others? Where nobody is answered, those behind need not wait for this one.
                if self.lane.heard.load(Ordering::Relaxed) == heard_before {
                    self.turn = None;
                }
                self.send(request, deadline).await?;
                gap = spread(gap * 2, jitter);
                next = now + gap;
            }
        }
    }

    async fn send(&self, request: &[u8], deadline: Instant) -> Result<(), PortMappingError> {
        match timeout_at(deadline, self.socket.send(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.failure(error)),
            Err(_) => Err(self.timeout()),
        }
    }

    fn timeout(&self) -> PortMappingError {
        PortMappingError::timeout(format!(
            "{}: {} did not answer within {PCP_DEADLINE:?}",
            self.protocol, self.port.gateway
        ))
    }

    fn failure(&self, error: io::Error) -> PortMappingError {
        match error.kind() {
            // Windows reports the ICMP port unreachable as a reset.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                self.port.unreachable.send_modify(|count| *count += 1);
                self.port.nothing_listens(self.protocol)
            }
            _ => PortMappingError::transport(
                format!("{}: cannot exchange datagrams with {}", self.protocol, self.port.gateway),
                error,
            ),
        }
    }
}

/// Whether this is how Windows says that a datagram was longer than the buffer (WSAEMSGSIZE).
fn cut_short(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error() == Some(10_040)
}

/// `time`, longer or shorter by up to the share `jitter`.
fn spread(time: Duration, jitter: f64) -> Duration {
    if jitter > 0.0 { time.mul_f64(1.0 + rand::random_range(-jitter..=jitter)) } else { time }
}

/// A lifetime as it goes on the wire: whole seconds, a fraction rounded up, and never 0, which would delete.
pub(crate) fn wire_lifetime(ttl: Duration) -> u32 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

/// The error for a gateway that grants another external port than the one insisted on, which was deleted again.
pub(crate) fn another_port(protocol: Protocol, wanted: u16, offered: u16) -> PortMappingError {
    PortMappingError::refused_and_lost(format!(
        "{protocol}: the gateway does not give external port {wanted}, it offered {offered} in its place"
    ))
}

#[cfg(test)]
#[path = "udp_tests.rs"]
pub(crate) mod tests;
