//! The gateway's port 5351, which PCP and NAT-PMP share: connected sockets, retransmission and matching.

mod behind;
mod late;
mod pace;
mod restarts;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

pub(crate) use self::behind::Behind;
pub(crate) use self::late::Late;
use self::late::{MAX_LISTENERS, Question, Unsettled};
use self::pace::{Lane, Turn, Unanswered};
pub(crate) use self::restarts::Restarts;
use super::by::By;
use crate::clock::Clock;
use crate::error::{ErrorKind, PortMappingError, in_seconds};
use crate::mapping::Protocol;
use crate::schedule::UDP_DEADLINE_MAX;

/// The longest answer that is read: the limit of PCP (RFC 6887 7); NAT-PMP's are shorter.
pub(crate) const MAX_DATAGRAM: usize = 1100;
/// Exchanges that may be under way with one gateway at once; each holds a file descriptor, of which a process
/// may have as few as 256.
pub(crate) const MAX_EXCHANGES: usize = 64;

/// The gateway's port as PCP and NAT-PMP share it.
///
/// Every exchange has a socket of its own, so that answers cannot be mixed up, but all know of each other: an ICMP
/// port unreachable that one of them sees ends all that are pending in either protocol. It is about the port, which
/// both use, and gateways limit how many they send, so that the other exchanges may never see one.
#[derive(Debug)]
pub(crate) struct GatewayPort {
    gateway: SocketAddr,
    local_address: Option<IpAddr>,
    /// The number of the interface on which an IPv6 gateway announces; 0 leaves the choice to the system.
    link: u32,
    sockets: Semaphore,
    listeners: Arc<Semaphore>,
    pcp: Arc<Lane>,
    nat_pmp: Arc<Lane>,
    /// Counts the ICMP port unreachables.
    unreachable: watch::Sender<u64>,
    restarts: Restarts,
}

impl GatewayPort {
    /// The port at `gateway`, spoken to from `local_address` where one is given, else from the address that the
    /// system's routes choose. Opens nothing yet.
    pub(crate) fn new(gateway: SocketAddr, local_address: Option<IpAddr>) -> Arc<Self> {
        let link = match gateway {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(gateway) => gateway.scope_id(),
        };
        Self::on_link(gateway, local_address, link)
    }

    /// The same for a gateway on the interface with this number.
    pub(crate) fn on_link(gateway: SocketAddr, local_address: Option<IpAddr>, link: u32) -> Arc<Self> {
        Self::with_clock(gateway, local_address, link, Clock::runtime())
    }

    fn with_clock(gateway: SocketAddr, local_address: Option<IpAddr>, link: u32, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            gateway,
            local_address,
            link,
            sockets: Semaphore::new(MAX_EXCHANGES),
            listeners: Arc::new(Semaphore::new(MAX_LISTENERS)),
            pcp: Arc::new(Lane::new()),
            nat_pmp: Arc::new(Lane::new()),
            unreachable: watch::Sender::new(0),
            restarts: Restarts::new(clock),
        })
    }

    /// The gateway's address and port.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// What the gateway's answers say about whether it still has its mappings.
    pub(crate) fn restarts(&self) -> &Restarts {
        &self.restarts
    }

    /// Waits for a reason to think that the gateway has lost its mappings or has another external address: an answer that
    /// proves it, or, while somebody [attends](Self::attend), an announcement. Ends once for each reason, those included that
    /// came while nobody waited; several that nobody waited for are one. If several wait, one of them is told.
    pub(crate) async fn doubtful(&self) {
        self.restarts.doubtful().await;
    }

    /// Calls `unsure` whenever the gateway is [doubtful](Self::doubtful), and listens for its announcements meanwhile. To be
    /// polled as long as the gateway is the present one. Never ends.
    pub(crate) async fn attend(&self, unsure: impl Fn()) {
        let tell = async {
            loop {
                self.doubtful().await;
                unsure();
            }
        };
        tokio::join!(self.restarts.listen(self.gateway, self.local_address, self.link), tell);
    }

    /// Opens a socket for one exchange in `protocol`. Waits for its turn behind those that asked before, where the
    /// gateway has as many requests as it can take, or [`MAX_EXCHANGES`] are under way. Each of them ends at its
    /// deadline, and gives up its turn at the first repetition if the gateway says nothing to anybody.
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
            waited = async { Ok((lane.turn().await?, self.sockets.acquire().await?)) } => waited,
            _ = unreachable.changed() => return Err(self.nothing_listens(protocol)),
        };
        let (turn, slot) =
            waited.map_err(|_: AcquireError| PortMappingError::internal("the queue to the gateway was closed"))?;
        let socket = self.connect(protocol)?;
        let context = |what| move |error| By::protocol(protocol).transport(format!("{protocol}: {what}"), error);
        let local = socket.local_addr().map_err(context("cannot read the local address"))?.ip();
        let socket = UdpSocket::from_std(socket).map_err(context("cannot watch a socket"))?;
        let place = Place { port: self, lane, protocol, unreachable, turn: Some(turn), _slot: slot };
        Ok(GatewaySocket { socket, local, place })
    }

    /// Sends the request that `build` makes of the local address, once, without a turn and without waiting for an answer.
    pub(crate) fn tell(
        &self,
        protocol: Protocol,
        build: impl FnOnce(IpAddr) -> Vec<u8>,
    ) -> Result<(), PortMappingError> {
        let socket = self.connect(protocol)?;
        let sent = socket.local_addr().and_then(|local| socket.send(&build(local.ip())));
        sent.map(|_| ()).map_err(|error| self.failure(protocol, error))
    }

    fn connect(&self, protocol: Protocol) -> Result<std::net::UdpSocket, PortMappingError> {
        let context =
            |what: String| move |error| By::protocol(protocol).transport(format!("{protocol}: {what}"), error);
        let local = self.local_address.unwrap_or(match self.gateway {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        });
        let socket = std::net::UdpSocket::bind((local, 0))
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(context(format!("cannot use local address {local}")))?;
        socket.connect(self.gateway).map_err(context(format!("cannot reach {}", self.gateway)))?;
        Ok(socket)
    }

    fn nothing_listens(&self, protocol: Protocol) -> PortMappingError {
        By::protocol(protocol)
            .unavailable(format!("{protocol}: nothing listens on {} (ICMP port unreachable)", self.gateway))
    }

    fn failure(&self, protocol: Protocol, error: io::Error) -> PortMappingError {
        if is_refusal(&error) {
            self.unreachable.send_modify(|count| *count += 1);
            return self.nothing_listens(protocol);
        }
        By::protocol(protocol).transport(format!("{protocol}: cannot exchange datagrams with {}", self.gateway), error)
    }
}

/// A socket connected to the gateway, for one exchange: only the gateway's answers get in, and the ICMP port
/// unreachable of a gateway without the service is heard.
#[derive(Debug)]
pub(crate) struct GatewaySocket<'a> {
    socket: UdpSocket,
    local: IpAddr,
    place: Place<'a>,
}

impl GatewaySocket<'_> {
    /// The local address from which the gateway is spoken to: the client address of a PCP request (RFC 6887 8.1).
    pub(crate) fn local_address(&self) -> IpAddr {
        self.local
    }

    /// Sends `request` and waits for the datagram for which `matcher` answers `Some`; all others are ignored and the
    /// wait goes on. Deadline and repetitions are as `manner` says, and count from the first sending.
    ///
    /// An answer that comes after the exchange has ended, at its deadline or because its future was dropped, goes to
    /// `late`.
    ///
    /// Fails with kind `timeout` at the deadline, `unavailable` as soon as the gateway says that nothing listens (to
    /// this exchange or to another one), `transport` on any other socket error.
    pub(crate) async fn exchange<T: Send + 'static>(
        self,
        request: &[u8],
        manner: Manner,
        matcher: impl Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
        late: Late<T>,
    ) -> Result<Answered<T>, PortMappingError> {
        let Self { socket, place, .. } = self;
        let mut open = Unsettled {
            question: Arc::new(Question { socket, matcher, late }),
            lane: place.lane,
            listeners: &place.port.listeners,
            sent_at: Instant::now(),
            settled: false,
        };
        let outcome = place.ask(&open.question, open.sent_at, request, manner).await;
        open.settled = !outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Timeout);
        outcome
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) answer: T,
    /// The time between the first sending and the answer.
    pub(crate) round_trip: Duration,
    /// Whether the request was sent more than once. Then nobody knows which sending was answered, nor how the gateway
    /// has answered the others.
    pub(crate) repeated: bool,
}

/// How a request is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The waits double from sending to sending, and each is longer or shorter by up to this share. They double only
    /// once if the gateway answers other requests meanwhile, so that this one must have been lost.
    pub(crate) jitter: f64,
    /// For how long the gateway is asked as long as it answers other requests: then this one was lost. Zero: no longer than
    /// any.
    pub(crate) insist: Duration,
}

/// An exchange's place among the others.
#[derive(Debug)]
struct Place<'a> {
    port: &'a GatewayPort,
    lane: &'a Arc<Lane>,
    protocol: Protocol,
    unreachable: watch::Receiver<u64>,
    turn: Option<Turn<'a>>,
    _slot: SemaphorePermit<'a>,
}

impl Place<'_> {
    async fn ask<T, M: Fn(&[u8]) -> Option<T>>(
        mut self,
        question: &Question<T, M>,
        sent_at: Instant,
        request: &[u8],
        Manner { jitter, insist }: Manner,
    ) -> Result<Answered<T>, PortMappingError> {
        let (mut patience, repeat_after) = self.lane.times();
        let mut deadline = sent_at + patience;
        let mut gap = spread(repeat_after, jitter);
        let mut next = sent_at + gap;
        let mut repeated = false;
        let (sent, mut heard) = (self.lane.send(), self.lane.heard());
        self.send(&question.socket, request, deadline, patience).await?;
        loop {
            // The socket comes first: an answer that is there when a stalled runtime goes on is not too late.
            tokio::select! {
                biased;
                received = question.receive() => match received {
                    Ok(Some(answer)) => {
                        let round_trip = sent_at.elapsed();
                        self.lane.answered(sent, (!repeated).then_some(round_trip));
                        return Ok(Answered { answer, round_trip, repeated });
                    }
                    Ok(None) => tracing::trace!(protocol = %self.protocol, "ignored a datagram that is no answer"),
                    Err(error) => return Err(self.port.failure(self.protocol, error)),
                },
                _ = self.unreachable.changed() => return Err(self.port.nothing_listens(self.protocol)),
                () = sleep_until(next.min(deadline)) => {}
            }
            // Looked at after every event, so that a flood of datagrams holds up neither.
            let now = Instant::now();
            if now >= deadline {
                let heard_before = std::mem::replace(&mut heard, self.lane.heard());
                if patience >= insist || heard == heard_before {
                    return Err(self.timeout(patience));
                }
                patience = (patience + UDP_DEADLINE_MAX).min(insist);
                deadline = sent_at + patience;
            }
            if now >= next {
                let longest = match self.lane.unanswered(sent, self.turn.is_some()) {
                    Unanswered::Lost => repeat_after * 2,
                    // Those behind need not wait for this one if nobody is answered.
                    Unanswered::Silence => {
                        self.turn = None;
                        gap * 2
                    }
                };
                tracing::trace!(protocol = %self.protocol, to = %self.port.gateway, after = ?sent_at.elapsed(), "asking again");
                self.send(&question.socket, request, deadline, patience).await?;
                (gap, repeated) = (spread((gap * 2).min(longest), jitter), true);
                next = now + gap;
            }
        }
    }

    async fn send(
        &self,
        socket: &UdpSocket,
        request: &[u8],
        deadline: Instant,
        patience: Duration,
    ) -> Result<(), PortMappingError> {
        // Past the runtime, which would first wait to hear that the new socket can be written to.
        match SockRef::from(socket).send(request) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(self.port.failure(self.protocol, error)),
        }
        match timeout_at(deadline, socket.send(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.port.failure(self.protocol, error)),
            Err(_) => Err(self.timeout(patience)),
        }
    }

    fn timeout(&self, patience: Duration) -> PortMappingError {
        By::protocol(self.protocol).timeout(format!(
            "{}: {} did not answer within {}",
            self.protocol,
            self.port.gateway,
            in_seconds(patience)
        ))
    }
}

/// The next datagram of a connected socket.
///
/// Under wine an ICMP port unreachable closes a socket, and what it was about is lost: the socket stays ready, with nothing to be
/// read. tokio's own `recv` would then try for ever, and use up what a task may do before others have their turn, so that
/// no deadline beside it ends the wait.
pub(crate) async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        match socket.try_recv(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && ready.is_read_closed() => {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

/// Whether this is how a connected socket tells an ICMP port unreachable: as a refusal, on Windows as a reset.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// Whether this is how Windows says that a datagram was longer than the buffer (WSAEMSGSIZE).
pub(crate) fn cut_short(error: &io::Error) -> bool {
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
pub(crate) fn another_port(by: By, wanted: u16, offered: u16) -> PortMappingError {
    by.refused_and_lost(format!(
        "{}: the gateway does not give external port {wanted}, it offered {offered} in its place",
        by.protocol
    ))
}

#[cfg(test)]
#[path = "udp_tests.rs"]
pub(crate) mod tests;
