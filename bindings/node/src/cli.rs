//! The command line.

use napi_derive::napi;

/// Runs the command line, its name first, to its end, and answers with the exit status. Blocks.
#[napi(catch_unwind)]
pub(crate) fn run(arguments: Vec<String>) -> u8 {
    portlease_cli::run(arguments.into_iter().map(Into::into))
}
