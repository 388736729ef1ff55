//! Messages of the routing socket (`man 4 route`).

use std::io::{self, Read};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(super) struct Watcher {
    socket: AsyncFd<Socket>,
}

impl Watcher {
    pub(super) fn new() -> io::Result<Self> {
        // Messages about IPv4 alone.
        let family = Protocol::from(libc::AF_INET);
        let socket = Socket::new(Domain::from(libc::PF_ROUTE), Type::RAW, Some(family))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: AsyncFd::with_interest(socket, Interest::READABLE)? })
    }

    pub(super) async fn changed(&mut self) {
        loop {
            let drained = match self.socket.readable().await {
                Ok(mut ready) => {
                    let drained = drain(ready.get_inner());
                    ready.clear_ready();
                    drained
                }
                Err(error) => Err(error),
            };
            match drained {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "changes of the network are not heard any more");
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// Takes all messages out. Returns whether any of them matters.
fn drain(mut socket: &Socket) -> io::Result<bool> {
    let mut any = false;
    // The rest of a message is dropped with it.
    let mut message = [0; HEADER];
    loop {
        match socket.read(&mut message) {
            Ok(length) => any |= matters(&message[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Some messages are lost.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
            Err(error) => return Err(error),
        }
    }
}

/// The part of a message that is looked at: up to `rtm_flags`.
const HEADER: usize = FLAGS + 4;
const FLAGS: usize = if cfg!(target_os = "openbsd") { 16 } else { 8 };

/// Whether the message is about an address, or a route that may be a default route. A route to a single host is none: each
/// neighbour that is found makes one. Misses and the like come in thousands and change nothing.
fn matters(message: &[u8]) -> bool {
    let Some(kind) = message.get(3) else { return false };
    match i32::from(*kind) {
        libc::RTM_NEWADDR | libc::RTM_DELADDR => true,
        // macOS removes the addresses of an interface without a network, and has much else to say about interfaces.
        libc::RTM_IFINFO => cfg!(not(target_os = "macos")),
        libc::RTM_ADD | libc::RTM_DELETE | libc::RTM_CHANGE => message
            .get(FLAGS..HEADER)
            .and_then(|flags| flags.try_into().ok())
            .is_none_or(|flags| i32::from_ne_bytes(flags) & libc::RTF_HOST == 0),
        _ => false,
    }
}
