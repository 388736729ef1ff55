//! A socket that the kernel sends messages to.

#![expect(unsafe_code, reason = "tokio takes a socket of ours")]

use std::future;
use std::io::{self, ErrorKind, Read};

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Only the beginning of a message is looked at; the rest is dropped with it.
const BEGINNING: usize = 32;

pub(super) struct Watcher {
    socket: AsyncFd<Socket>,
    /// Tells by the beginning of a message whether it matters.
    matters: fn(&[u8]) -> bool,
}

impl Watcher {
    /// Begins to listen on `socket`, which must be bound.
    pub(super) fn listen(socket: Socket, matters: fn(&[u8]) -> bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // SAFETY: a `Socket` owns its descriptor, and is neither replaced nor closed before the `AsyncFd` goes.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { socket, matters })
    }

    pub(super) async fn changed(&mut self) {
        loop {
            let drained = match self.socket.readable().await {
                Ok(mut ready) => {
                    let drained = self.drain();
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
                    future::pending::<()>().await;
                }
            }
        }
    }

    /// Takes all messages out. Returns whether any of them matters.
    pub(super) fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        let mut beginning = [0; BEGINNING];
        loop {
            match self.socket.get_ref().read(&mut beginning) {
                Ok(length) => any |= (self.matters)(&beginning[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Some messages are lost, and one of them may matter.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(error) => return Err(error),
            }
        }
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn socket(&self) -> &Socket {
        self.socket.get_ref()
    }
}
