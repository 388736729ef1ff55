//! What is typed is not shown while status lines are drawn: the echo of Enter would move them.

use std::io;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// While it lives, the terminal shows nothing that is typed.
#[derive(Debug)]
pub(crate) struct Quiet {
    /// Whether the terminal's echo was switched off by this.
    silenced: bool,
}

impl Quiet {
    pub(crate) fn begin() -> Self {
        let mut quiet = Self { silenced: false };
        quiet.hold();
        quiet
    }

    /// Switches the echo off again if a shell has switched it on meanwhile, as some do when a program is continued.
    pub(crate) fn hold(&mut self) {
        self.silenced |= set_echo(false);
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.silenced {
            set_echo(true);
        }
    }
}

/// Whether this changed anything. A program in the background must leave the terminal alone: it would be stopped.
fn set_echo(on: bool) -> bool {
    let terminal = io::stdout();
    if tcgetpgrp(&terminal).ok() != Some(getpgrp()) {
        return false;
    }
    let Ok(mut modes) = tcgetattr(&terminal) else { return false };
    if modes.local_modes.contains(LocalModes::ECHO) == on {
        return false;
    }
    modes.local_modes.set(LocalModes::ECHO, on);
    tcsetattr(&terminal, OptionalActions::Now, &modes).is_ok()
}
