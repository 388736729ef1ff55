//! Real forwarding: what arrives at a mapped external port reaches the internal one, and answers flow back.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::Transport;

/// Most UDP peers, or TCP connections, of one mapping at a time. What comes beyond is dropped.
const MAX_SESSIONS: usize = 256;
/// A UDP peer is forgotten after this long without traffic: shorter than the 2 minutes that RFC 4787 (4.3) asks
/// of a NAT, because tests make many peers.
const UDP_IDLE: Duration = Duration::from_secs(60);
/// How long the internal host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A socket that fails this often in a row is given up.
const MAX_ERRORS: u32 = 64;
/// The longest UDP payload.
const MAX_DATAGRAM: usize = 65_535;

/// The open external port of one mapping. Forwarding ends when it is closed or dropped.
#[derive(Debug)]
pub(crate) struct Forwarder {
    reach: SocketAddr,
    target: Target,
    /// Datagrams and connections that have come in.
    packets: Arc<AtomicU32>,
    /// None where forwarding is switched off.
    task: Option<JoinHandle<()>>,
}

/// Who may come in from outside; the default value is everybody.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    pub(crate) remote_host: Option<IpAddr>,
    pub(crate) remote_port: Option<u16>,
}

/// A gate that counts what comes in.
struct Counted(Gate, Arc<AtomicU32>);

impl Counted {
    fn lets_in(&self, peer: SocketAddr) -> bool {
        let Self(gate, packets) = self;
        let may = gate.remote_host.is_none_or(|host| host == peer.ip())
            && gate.remote_port.is_none_or(|port| port == peer.port());
        packets.fetch_add(u32::from(may), Ordering::Relaxed);
        may
    }
}

/// The internal address, which a UPnP client may change while the mapping lives.
#[derive(Clone, Debug)]
struct Target(Arc<Mutex<SocketAddr>>);

impl Target {
    fn get(&self) -> SocketAddr {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwarder {
    /// Opens the first of `choices` that can be had; forwards to `target` what `gate` lets in.
    pub(crate) fn open(
        runtime: &Handle,
        transport: Transport,
        choices: &[SocketAddr],
        target: SocketAddr,
        gate: Gate,
    ) -> io::Result<Self> {
        // Tokio's sockets register with the runtime that they are made in.
        let _in_runtime = runtime.enter();
        let target = Target(Arc::new(Mutex::new(target)));
        let packets = Arc::default();
        let gate = Counted(gate, Arc::clone(&packets));
        let (reach, task) = match transport {
            Transport::Udp => {
                let socket = std::net::UdpSocket::bind(choices)?;
                socket.set_nonblocking(true)?;
                let reach = socket.local_addr()?;
                let socket = UdpSocket::from_std(socket)?;
                (reach, runtime.spawn(forward_udp(socket, target.clone(), gate)))
            }
            Transport::Tcp => {
                let listener = std::net::TcpListener::bind(choices)?;
                listener.set_nonblocking(true)?;
                let reach = listener.local_addr()?;
                let listener = TcpListener::from_std(listener)?;
                (reach, runtime.spawn(forward_tcp(listener, target.clone(), gate)))
            }
        };
        Ok(Self { reach, target, packets, task: Some(task) })
    }

    /// Stands for an external port without opening it.
    pub(crate) fn closed(external: SocketAddr, target: SocketAddr) -> Self {
        Self { reach: external, target: Target(Arc::new(Mutex::new(target))), packets: Arc::default(), task: None }
    }

    /// Where traffic enters.
    pub(crate) fn reach(&self) -> SocketAddr {
        self.reach
    }

    /// How many datagrams and connections have come in.
    pub(crate) fn packets(&self) -> u32 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Forwards to another internal address from now on.
    pub(crate) fn retarget(&self, target: SocketAddr) {
        *self.target.0.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Closes the port and returns when it is closed, so that it can be opened again at once.
    pub(crate) async fn close(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The only possible error is the cancellation just asked for.
            let _ = task.await;
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// One peer outside, with the socket that stands for it inside.
struct Session {
    inner: Arc<UdpSocket>,
    target: SocketAddr,
    used: Arc<AtomicBool>,
}

async fn forward_udp(outer: UdpSocket, target: Target, gate: Counted) {
    let outer = Arc::new(outer);
    let mut sessions: HashMap<SocketAddr, Session> = HashMap::new();
    // Dropped with this future: no session outlives its mapping.
    let mut tasks: JoinSet<SocketAddr> = JoinSet::new();
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut errors = 0;
    while errors < MAX_ERRORS {
        tokio::select! {
            received = outer.recv_from(&mut buffer) => {
                let (length, peer) = match received {
                    Ok(received) => received,
                    // So Windows tells that a peer, to which an answer was sent, has gone. The others have not.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                    Err(_) => {
                        errors += 1;
                        continue;
                    }
                };
                errors = 0;
                if !gate.lets_in(peer) {
                    continue;
                }
                let target = target.get();
                let stale = sessions.get(&peer).is_none_or(|session| session.target != target);
                if stale {
                    if sessions.len() >= MAX_SESSIONS {
                        continue;
                    }
                    let Ok(inner) = connect_inside(target).await else { continue };
                    let session = Session { inner: Arc::new(inner), target, used: Arc::new(AtomicBool::new(true)) };
                    tasks.spawn(answers(session.inner.clone(), outer.clone(), peer, session.used.clone()));
                    sessions.insert(peer, session);
                }
                if let Some(session) = sessions.get(&peer) {
                    session.used.store(true, Ordering::Relaxed);
                    // A refusal by the internal host is the sender's to notice, as with a real router.
                    let _ = session.inner.send(&buffer[..length]).await;
                }
            }
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Ok(peer) = ended {
                    sessions.remove(&peer);
                }
            }
        }
    }
}

async fn connect_inside(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if target.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Sends back what the internal host answers, until neither side has said anything for [`UDP_IDLE`].
async fn answers(inner: Arc<UdpSocket>, outer: Arc<UdpSocket>, peer: SocketAddr, used: Arc<AtomicBool>) -> SocketAddr {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut errors = 0;
    while errors < MAX_ERRORS {
        match timeout(UDP_IDLE, inner.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                errors = 0;
                used.store(true, Ordering::Relaxed);
                let _ = outer.send_to(&buffer[..length], peer).await;
            }
            // Nobody listens inside (ICMP); somebody may later.
            Ok(Err(_)) => errors += 1,
            Err(_) if used.swap(false, Ordering::Relaxed) => {}
            Err(_) => break,
        }
    }
    peer
}

async fn forward_tcp(listener: TcpListener, target: Target, gate: Counted) {
    let mut connections = JoinSet::new();
    let mut errors = 0;
    while errors < MAX_ERRORS {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((outer, peer)) if gate.lets_in(peer) && connections.len() < MAX_SESSIONS => {
                    errors = 0;
                    connections.spawn(splice(outer, target.get()));
                }
                Ok(_) => errors = 0,
                Err(_) => errors += 1,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn splice(mut outer: TcpStream, target: SocketAddr) {
    // Without an internal listener the outer connection closes, which is all that a peer can be told.
    if let Ok(Ok(mut inner)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
        let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
    }
}
