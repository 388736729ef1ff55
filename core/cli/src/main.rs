//! The `portlease` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(portlease_cli::run(std::env::args_os()))
}
