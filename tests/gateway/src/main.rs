//! The command `portlease-gateway`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    portlease_gateway::cli::run(std::env::args_os())
}
