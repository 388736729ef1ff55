//! The Python extension module of portlease: `portlease._portlease`, on which the package in `python/` stands.
//!
//! It converts, calls core, converts back. No foreign code runs on an engine's thread, and every wait releases the GIL.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | `args`, `settings`, `config` | from Python's types to core's |
//! | `error`, `exception`, `names`, `view`, `views` | from core's types to Python's |
//! | `mapper`, `lease`, `open`, `gateway` | the handles |
//! | `wait` | blocking waits and asyncio's |
//! | `logging` | core's diagnostics for Python's `logging` |
//! | `fork` | what a forked child must not touch |

#![warn(clippy::wildcard_enum_match_arm)]

mod args;
mod config;
mod error;
mod exception;
mod fork;
mod gateway;
mod lease;
mod logging;
mod mapper;
mod names;
mod open;
mod settings;
mod view;
mod views;
mod wait;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line with these arguments, the program's own name first; its exit status.
#[pyfunction]
fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| portlease_cli::run(arguments))
}

/// Says that `in_child` will be called in the child of every fork.
#[pyfunction]
fn rely_on_fork_hook() {
    portlease::fork::rely_on_hook();
}

/// Says that this process is the child of a fork.
#[pyfunction]
fn in_child() {
    portlease::fork::in_child();
}

#[pymodule(gil_used = false)]
mod _portlease {
    #[pymodule_export]
    use super::{
        gateway::{Gateway, gateway_defaults},
        in_child,
        lease::Lease,
        logging::LogReader,
        mapper::{Events, Mapper, stop_all},
        open::{OpenPort, begin_external_address, begin_open, begin_probe},
        rely_on_fork_hook, run_command,
        views::{
            ErrorDetail, ErrorReport, Event, GatewayReport, LeaseSnapshot, MapperSnapshot, ProtocolReport, TableEntry,
        },
        wait::{Driver, Wait},
    };

    #[pymodule_export]
    const SETTINGS: [&str; super::settings::SETTINGS.len()] = super::settings::SETTINGS;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
