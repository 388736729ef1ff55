//! How a command ends.

use std::io;

use portlease::PortMappingError;

/// All went well.
pub(crate) const DONE: u8 = 0;
/// The router said no, or nothing at all.
pub(crate) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(crate) const BAD_USAGE: u8 = 2;
/// The port is mapped on a router that the internet cannot reach.
pub(crate) const UNREACHABLE: u8 = 3;
/// Something may be left on the router.
pub(crate) const UNCONFIRMED: u8 = 4;
// What `env`, `nohup` and shells return for a program that they cannot start; the others are the program's.
/// `run` could not get as far as the program.
pub(crate) const NOT_STARTED: u8 = 125;
/// The program cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
pub(crate) const NOT_FOUND: u8 = 127;

/// What the exit status of every command means, in one place: the help, the manual pages and the README have this text.
pub(crate) const STATUSES: [(u8, &str); 5] = [
    (DONE, "mapped, and released at the end; for other commands: done"),
    (FAILED, "not mapped, or the command failed: the reason and what to try are on stderr"),
    (BAD_USAGE, "the command line is wrong"),
    (
        UNREACHABLE,
        "mapped, but the internet cannot reach it: the router has a private address or is behind carrier-grade NAT",
    ),
    (UNCONFIRMED, "the router did not confirm that everything is released: stderr names what may stay mapped"),
];

/// The end of a help text: what comes before, and the meaning of the exit status.
pub(crate) fn with_statuses(help: &str) -> String {
    let lines = STATUSES.iter().map(|(status, meaning)| format!("\n  {status}  {meaning}"));
    format!("{help}\n\nExit status:{}", lines.collect::<String>())
}

/// Why a command did not reach its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Kind `invalid` is bad usage, every other kind a failure on the way to the router.
    Mapping(PortMappingError),
    /// Nobody reads what we write, or it cannot be written.
    Output(io::Error),
}

impl From<PortMappingError> for Failure {
    fn from(error: PortMappingError) -> Self {
        Self::Mapping(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The exit status, or why there is none.
pub(crate) type Outcome = Result<u8, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_meaning_of_every_exit_status() {
        let readme = include_str!("../README.md");
        for (status, meaning) in STATUSES {
            assert!(readme.contains(&format!("| {status} | {meaning} |")), "{status}: {meaning}");
        }
    }
}
