//! The gateway's own thread: opens and closes the sockets, carries out commands, lets leases run out.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::ports::{self, Opened, Ports};
use crate::shared::Shared;
use crate::side::Side;
use crate::{Announcement, Event, GatewayConfig, GatewayError, Mode, datagram, http, ssdp};

type Answer = SyncSender<Result<(), GatewayError>>;

/// What the handle asks of the thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open and close what the switches say.
    Apply(Answer),
    /// Restart.
    Reboot(Answer),
    /// Say something unasked to an address.
    Announce(Announcement, SocketAddr, Answer),
    /// End.
    Stop,
}

/// A running server; its socket closes with it.
#[derive(Debug)]
struct Server {
    task: JoinHandle<()>,
    /// What announcements leave from.
    socket: Option<Arc<UdpSocket>>,
}

impl Server {
    fn spawn(work: impl Future<Output = ()> + Send + 'static, socket: Option<Arc<UdpSocket>>) -> Self {
        Self { task: tokio::spawn(work), socket }
    }

    /// Ends the server; when this returns, its port is closed.
    async fn close(mut self) {
        self.task.abort();
        // The only possible error is the cancellation just asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One half of the router with the servers that run at the moment.
#[derive(Debug)]
struct Half {
    side: Side,
    datagram: Option<Server>,
    ssdp: Option<Server>,
    http: Option<Server>,
}

impl Half {
    /// Serves all ports of one half.
    fn serve(shared: &Arc<Shared>, side: Side, ports: Ports) -> Result<Self, GatewayError> {
        Ok(Self {
            side,
            datagram: Some(serve_datagrams(shared, side, ports.datagram)),
            ssdp: Some(serve_searches(shared, side, ports.search)?),
            http: Some(serve_http(shared, side, ports.web)),
        })
    }

    /// Opens and closes ports so that they fit config and switches.
    async fn apply(&mut self, shared: &Arc<Shared>) -> Result<(), GatewayError> {
        let side = self.side;
        let places = shared.look(|state| state.addresses.on(side));
        let faults = shared.look(|state| state.faults.clone());
        let upnp = shared.config.upnp;
        let datagrams = shared.datagram_modes(side) != (Mode::Off, Mode::Off);
        let searches = upnp && faults.ssdp_mode(side) != Mode::Off;
        let web = upnp && faults.http_mode(side) != Mode::Off;
        close_unless(datagrams, &mut self.datagram).await;
        close_unless(searches, &mut self.ssdp).await;
        close_unless(web, &mut self.http).await;
        if datagrams && self.datagram.is_none() {
            self.datagram = Some(serve_datagrams(shared, side, ports::udp(places.pcp).await?));
        }
        if searches && self.ssdp.is_none() {
            let socket = ports::search_socket(&shared.config, places.ssdp)?;
            self.ssdp = Some(serve_searches(shared, side, socket)?);
        }
        if web && self.http.is_none() {
            self.http = Some(serve_http(shared, side, ports::tcp(places.http).await?));
        }
        Ok(())
    }
}

fn serve_datagrams(shared: &Arc<Shared>, side: Side, socket: UdpSocket) -> Server {
    let socket = Arc::new(socket);
    Server::spawn(datagram::serve(shared.clone(), side, socket.clone()), Some(socket))
}

/// One server for the unicast socket and, where asked, for the group: answers to both leave from the former.
fn serve_searches(shared: &Arc<Shared>, side: Side, socket: UdpSocket) -> Result<Server, GatewayError> {
    let group = match side {
        Side::Nat if shared.config.ssdp_multicast => {
            let bind = shared.config.bind;
            let failed = |source| GatewayError::Bind {
                what: "the multicast port",
                address: SocketAddr::new(bind, ssdp::PORT),
                source,
            };
            Some(ssdp::multicast_socket(bind).map_err(failed)?)
        }
        // Not every interface has multicast over IPv6: the addresses say whether the groups have been joined.
        Side::Firewall if shared.config.ssdp_multicast => ssdp::multicast_socket(shared.config.ipv6_bind).ok(),
        _ => None,
    };
    let socket = Arc::new(socket);
    Ok(Server::spawn(ssdp::serve(shared.clone(), side, socket.clone(), group), Some(socket)))
}

fn serve_http(shared: &Arc<Shared>, side: Side, listener: TcpListener) -> Server {
    Server::spawn(http::serve(shared.clone(), side, listener), None)
}

#[derive(Debug)]
pub(crate) struct Router {
    shared: Arc<Shared>,
    halves: Vec<Half>,
}

impl Router {
    /// Opens all ports, so that their numbers are known, and closes those that are not used.
    pub(crate) async fn open(config: GatewayConfig) -> Result<Self, GatewayError> {
        let opened = Opened::open(&config).await?;
        let addresses = opened.addresses(&config)?;
        let shared = Arc::new(Shared::new(config, Handle::current(), addresses));
        let mut halves = vec![Half::serve(&shared, Side::Nat, opened.nat)?];
        if let Some(ports) = opened.firewall {
            halves.push(Half::serve(&shared, Side::Firewall, ports)?);
        }
        let mut router = Self { shared, halves };
        router.apply().await?;
        Ok(router)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Serves until told to stop.
    pub(crate) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        let shared = self.shared();
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Apply(answer)) => self.report(answer, |router| Box::pin(router.apply())).await,
                    Some(Command::Reboot(answer)) => self.report(answer, |router| Box::pin(router.reboot())).await,
                    Some(Command::Announce(what, to, answer)) => {
                        self.announce(what, to).await;
                        // The caller may have given up.
                        let _ = answer.send(Ok(()));
                    }
                    Some(Command::Stop) | None => break,
                },
                () = next_expiry(&shared) => {}
            }
            // Whatever happened may have taken mappings out of the table.
            shared.settle().await;
        }
        for mut half in self.halves.drain(..) {
            for server in [half.datagram.take(), half.ssdp.take(), half.http.take()].into_iter().flatten() {
                server.close().await;
            }
        }
        shared.with(|state| state.clear());
        shared.settle().await;
        // A reader of events sees their end.
        shared.with(|state| state.unsubscribe_all());
    }

    async fn report<'a>(
        &'a mut self,
        answer: Answer,
        work: impl FnOnce(&'a mut Self) -> std::pin::Pin<Box<dyn Future<Output = Result<(), GatewayError>> + 'a>>,
    ) {
        let shared = self.shared();
        let result = work(self).await;
        shared.settle().await;
        // The caller may have given up.
        let _ = answer.send(result);
    }

    async fn announce(&self, what: Announcement, to: SocketAddr) {
        // From the half that speaks the address's protocol; a router without a firewall for IPv6 has only one.
        let half = self.halves.iter().rfind(|half| half.side == Side::Nat || to.is_ipv6());
        let Some(half) = half else { return };
        let server = if what.is_datagram_port() { &half.datagram } else { &half.ssdp };
        if let Some(socket) = server.as_ref().and_then(|server| server.socket.as_ref()) {
            what.send(&self.shared, half.side, socket, to).await;
        }
    }

    async fn apply(&mut self) -> Result<(), GatewayError> {
        for half in &mut self.halves {
            half.apply(&self.shared).await?;
        }
        Ok(())
    }

    async fn reboot(&mut self) -> Result<(), GatewayError> {
        let keeps = self.shared.config.http_port != 0 || self.shared.look(|state| state.faults.reboot_keeps_http_port);
        // Before the old ones close, so that the number differs.
        let mut fresh = Vec::new();
        let mut number = 0;
        for (index, half) in self.halves.iter().enumerate().filter(|(_, half)| !keeps && half.http.is_some()) {
            let ip = self.shared.look(|state| state.addresses.on(half.side).http.ip());
            let listener = match ports::tcp(SocketAddr::new(ip, number)).await {
                // Taken over IPv6, where another number does as well.
                Err(_) if number != 0 => ports::tcp(SocketAddr::new(ip, 0)).await?,
                other => other?,
            };
            number = listener.local_addr()?.port();
            fresh.push((index, listener));
        }
        self.shared.with(|state| state.reboot());
        self.shared.settle().await;
        for (index, listener) in fresh {
            let half = &mut self.halves[index];
            let http_address = listener.local_addr()?;
            close_unless(false, &mut half.http).await;
            self.shared.with(|state| state.addresses.move_http(half.side, http_address));
            half.http = Some(serve_http(&self.shared, half.side, listener));
        }
        self.shared.with(|state| {
            let addresses = state.addresses.clone();
            state.emit(Event::Reboot(addresses));
        });
        Ok(())
    }
}

async fn close_unless(wanted: bool, server: &mut Option<Server>) {
    if !wanted && let Some(server) = server.take() {
        server.close().await;
    }
}

/// Returns when the next lease may have run out, or the table has changed.
async fn next_expiry(shared: &Shared) {
    let at = shared.look(|state| state.next_expiry());
    let due = async {
        match at {
            Some(at) => sleep_until(Instant::from_std(at)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = due => shared.with(|_| ()),
        () = shared.expiry_moved.notified() => {}
    }
}
