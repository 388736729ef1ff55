//! How a command ends.

use std::io;

use portlease::PortMappingError;

/// All went well.
pub(crate) const DONE: u8 = 0;
/// The router said no, or nothing at all.
pub(crate) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(crate) const BAD_USAGE: u8 = 2;
// What `env`, `nohup` and shells return for a program that they cannot start; the others are the program's.
/// `run` could not get as far as the program.
pub(crate) const NOT_STARTED: u8 = 125;
/// The program cannot be executed.
#[cfg(target_os = "linux")]
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
#[cfg(target_os = "linux")]
pub(crate) const NOT_FOUND: u8 = 127;

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
