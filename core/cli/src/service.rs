//! What a service manager is told: sd_notify(3). On other systems than Linux there is none that listens.

use crate::output::Output;

/// The service manager that has started this program, if one wants to hear from it.
#[derive(Debug)]
pub(crate) struct Service {
    #[cfg(target_os = "linux")]
    socket: Option<linux::Socket>,
    ready: bool,
    status: String,
}

impl Service {
    /// Finds the socket that `NOTIFY_SOCKET` names; a name that begins with `@` is an abstract one.
    pub(crate) fn find(output: &Output) -> Self {
        #[cfg(target_os = "linux")]
        let socket = linux::Socket::find().unwrap_or_else(|error| {
            output.warning(&format!("cannot use NOTIFY_SOCKET: {error}"));
            None
        });
        #[cfg(not(target_os = "linux"))]
        let _ = output;
        Self {
            #[cfg(target_os = "linux")]
            socket,
            ready: false,
            status: String::new(),
        }
    }

    /// Tells how the ports are, if that is news, and once that the start is over.
    pub(crate) fn tell(&mut self, ready: bool, status: String) {
        if status == self.status && ready == self.ready {
            return;
        }
        let first = if ready && !self.ready { "READY=1\n" } else { "" };
        self.send(&format!("{first}STATUS={status}"));
        (self.ready, self.status) = (ready, status);
    }

    /// Tells that the end has begun.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=releasing");
    }

    fn send(&self, message: &str) {
        #[cfg(target_os = "linux")]
        if let Some(socket) = &self.socket {
            socket.send(message);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = message;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::io;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    /// How long one message may take: a manager that does not read must not hold up the leases.
    const PATIENCE: Duration = Duration::from_secs(1);

    #[derive(Debug)]
    pub(super) struct Socket {
        socket: UnixDatagram,
        manager: SocketAddr,
    }

    impl Socket {
        pub(super) fn find() -> io::Result<Option<Self>> {
            let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(None) };
            let manager = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                [b'/', ..] => SocketAddr::from_pathname(&name)?,
                _ => {
                    let why = format!("`{}` must begin with / or @", name.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
            };
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(PATIENCE))?;
            Ok(Some(Self { socket, manager }))
        }

        pub(super) fn send(&self, message: &str) {
            // A manager that is gone needs no message, and its absence is no trouble of the ports.
            let _ = self.socket.send_to_addr(message.as_bytes(), &self.manager);
        }
    }
}
