//! The program that `map -- COMMAND` runs while the ports are open.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::ExitStatus;

use tokio::process::{Child, Command};

use crate::outcome::{FAILED, NOT_EXECUTABLE, NOT_FOUND};
use crate::outside::Outside;
use crate::signals::Heard;

/// The program, before its start, while it runs, and after its end.
#[derive(Debug)]
pub(crate) struct Program {
    words: Vec<OsString>,
    child: Option<Child>,
}

impl Program {
    /// Nothing if there are no words.
    pub(crate) fn new(words: Vec<OsString>) -> Option<Self> {
        (!words.is_empty()).then_some(Self { words, child: None })
    }

    /// Whether it runs, or did.
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Fails with the exit status that shells have for the reason, and a message.
    pub(crate) fn start(&mut self, outside: &Outside) -> Result<(), (u8, String)> {
        let Some((program, arguments)) = self.words.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments);
        outside.tell(&mut command);
        match command.spawn() {
            Ok(child) => {
                self.child = Some(child);
                Ok(())
            }
            Err(error) => {
                let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
                Err((status, format!("{self} could not be started: {error}")))
            }
        }
    }

    /// Waits for the end of the program and returns its exit status; for ever if it has not been started.
    pub(crate) async fn ended(&mut self) -> u8 {
        match &mut self.child {
            Some(child) => child.wait().await.map_or(FAILED, status),
            None => std::future::pending().await,
        }
    }

    /// Sends the program the signal that this one got, unless the terminal has sent it to both.
    #[cfg(unix)]
    pub(crate) fn pass_on(&self, heard: Heard) {
        use rustix::process::{Pid, Signal, kill_process};

        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        let signal = Signal::from_named_raw(heard.as_raw_value());
        if let (Some(id), Some(signal)) = (id.and_then(Pid::from_raw), signal)
            && !(matches!(signal, Signal::INT | Signal::QUIT) && has_the_terminal())
        {
            // It fails if the program has just ended, which is noticed anyway.
            let _ = kill_process(id, signal);
        }
    }

    /// The console has sent it to both.
    #[cfg(windows)]
    pub(crate) fn pass_on(&self, (): Heard) {}
}

impl fmt::Display for Program {
    /// As it was named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.words.first().map(|name| name.display());
        name.map_or(Ok(()), |name| write!(f, "{name}"))
    }
}

/// Whether the keys of a terminal send their signals to this program, and so to the other one, which is in the same group.
#[cfg(unix)]
fn has_the_terminal() -> bool {
    let terminal = std::fs::File::open("/dev/tty").and_then(|tty| Ok(rustix::termios::tcgetpgrp(tty)?));
    terminal.is_ok_and(|group| group == rustix::process::getpgrp())
}

/// As shells have it: a program that a signal has ended has 128 and the number of the signal.
fn status(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(FAILED);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED)
}
