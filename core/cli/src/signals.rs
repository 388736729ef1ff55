//! Ctrl-C and its like.

use portlease::PortMappingError;

/// Hears the signals that ask a program to end, from its making on.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    terminate: tokio::signal::windows::CtrlClose,
}

impl Signals {
    /// Begins to listen. Fails with `internal` where the system does not let us.
    pub(crate) fn listen() -> Result<Self, PortMappingError> {
        let listen = || -> std::io::Result<Self> {
            #[cfg(unix)]
            {
                use tokio::signal::unix::{SignalKind, signal};
                Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
            }
            #[cfg(windows)]
            {
                use tokio::signal::windows::{ctrl_c, ctrl_close};
                Ok(Self { interrupt: ctrl_c()?, terminate: ctrl_close()? })
            }
        };
        listen().map_err(|error| PortMappingError::internal(format!("cannot listen for signals: {error}")))
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
