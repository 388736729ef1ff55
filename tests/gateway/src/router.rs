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

use crate::layout::ROOT_PATH;
use crate::shared::Shared;
use crate::{Addresses, Announcement, Event, GatewayConfig, GatewayError, Mode, datagram, http, ssdp};

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

#[derive(Debug)]
pub(crate) struct Router {
    shared: Arc<Shared>,
    datagram: Option<Server>,
    ssdp: Option<Server>,
    http: Option<Server>,
}

async fn udp(what: &'static str, address: SocketAddr) -> Result<UdpSocket, GatewayError> {
    UdpSocket::bind(address).await.map_err(|source| GatewayError::Bind { what, address, source })
}

/// Beside the group's socket the port may be the same.
fn search_socket(config: &GatewayConfig, address: SocketAddr) -> Result<UdpSocket, GatewayError> {
    ssdp::socket(address, config.ssdp_multicast).map_err(|source| GatewayError::Bind {
        what: "the SSDP port",
        address,
        source,
    })
}

async fn tcp(address: SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|source| GatewayError::Bind { what: "the web server", address, source })
}

fn description_url(http: SocketAddr) -> String {
    format!("http://{http}{ROOT_PATH}")
}

impl Router {
    /// Opens all ports, so that their numbers are known, and closes those that are not wanted.
    pub(crate) async fn open(config: GatewayConfig) -> Result<Self, GatewayError> {
        let at = |port| SocketAddr::new(config.bind, port);
        let datagram = udp("the PCP port", at(config.pcp_port)).await?;
        let search = search_socket(&config, at(config.ssdp_port))?;
        let web = tcp(at(config.http_port)).await?;
        let http_address = web.local_addr()?;
        let addresses = Addresses {
            gateway: config.bind,
            pcp_port: datagram.local_addr()?.port(),
            ssdp_address: search.local_addr()?,
            http_address,
            description_url: description_url(http_address),
        };
        let shared = Arc::new(Shared::new(config, Handle::current(), addresses));
        let mut router = Self { shared, datagram: None, ssdp: None, http: None };
        router.datagram = Some(router.serve_datagrams(datagram));
        router.ssdp = Some(router.serve_searches(search)?);
        router.http = Some(router.serve_http(web));
        router.apply().await?;
        Ok(router)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    fn serve_datagrams(&self, socket: UdpSocket) -> Server {
        let socket = Arc::new(socket);
        Server::spawn(datagram::serve(self.shared(), socket.clone()), Some(socket))
    }

    /// One server for the unicast socket and, where asked, for the group: answers to both leave from the former.
    fn serve_searches(&self, socket: UdpSocket) -> Result<Server, GatewayError> {
        let bind = self.shared.config.bind;
        let group = if self.shared.config.ssdp_multicast {
            let failed = |source| GatewayError::Bind {
                what: "the multicast port",
                address: SocketAddr::new(bind, ssdp::PORT),
                source,
            };
            Some(ssdp::multicast_socket(bind).map_err(failed)?)
        } else {
            None
        };
        let socket = Arc::new(socket);
        Ok(Server::spawn(ssdp::serve(self.shared(), socket.clone(), group), Some(socket)))
    }

    fn serve_http(&self, listener: TcpListener) -> Server {
        Server::spawn(http::serve(self.shared(), listener), None)
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
        let servers = [self.datagram.take(), self.ssdp.take(), self.http.take()];
        for server in servers.into_iter().flatten() {
            server.close().await;
        }
        shared.with(|state| state.table.clear());
        shared.settle().await;
        // Whoever reads events sees their end.
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
        let server = if what.is_datagram_port() { &self.datagram } else { &self.ssdp };
        if let Some(socket) = server.as_ref().and_then(|server| server.socket.as_ref()) {
            what.send(&self.shared, socket, to).await;
        }
    }

    /// Opens and closes ports so that they fit config and switches.
    async fn apply(&mut self) -> Result<(), GatewayError> {
        let addresses = self.shared.look(|state| state.addresses.clone());
        let faults = self.shared.look(|state| state.faults.clone());
        let upnp = self.shared.config.upnp;
        let datagrams = self.shared.datagram_modes() != (Mode::Off, Mode::Off);
        let searches = upnp && faults.ssdp_mode() != Mode::Off;
        let web = upnp && faults.http_mode() != Mode::Off;
        close_unless(datagrams, &mut self.datagram).await;
        close_unless(searches, &mut self.ssdp).await;
        close_unless(web, &mut self.http).await;
        if datagrams && self.datagram.is_none() {
            let socket = udp("the PCP port", SocketAddr::new(addresses.gateway, addresses.pcp_port)).await?;
            self.datagram = Some(self.serve_datagrams(socket));
        }
        if searches && self.ssdp.is_none() {
            let socket = search_socket(&self.shared.config, addresses.ssdp_address)?;
            self.ssdp = Some(self.serve_searches(socket)?);
        }
        if web && self.http.is_none() {
            let listener = tcp(addresses.http_address).await?;
            self.http = Some(self.serve_http(listener));
        }
        Ok(())
    }

    async fn reboot(&mut self) -> Result<(), GatewayError> {
        let old = self.shared.look(|state| state.addresses.http_address);
        let keeps = self.shared.config.http_port != 0
            || self.shared.look(|state| state.faults.reboot_keeps_http_port)
            || self.http.is_none();
        // Before the old one closes, so that the number differs.
        let fresh = if keeps { None } else { Some(tcp(SocketAddr::new(old.ip(), 0)).await?) };
        self.shared.with(|state| state.reboot());
        self.shared.settle().await;
        if let Some(listener) = fresh {
            let http_address = listener.local_addr()?;
            close_unless(false, &mut self.http).await;
            self.shared.with(|state| {
                state.addresses.http_address = http_address;
                state.addresses.description_url = description_url(http_address);
            });
            self.http = Some(self.serve_http(listener));
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
    let at = shared.look(|state| state.table.next_expiry());
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
