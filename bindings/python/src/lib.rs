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
use std::sync::OnceLock;

use pyo3::exceptions::PyImportError;
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

/// Fails in every interpreter but the first: classes and names are kept for the whole process, and those of one
/// interpreter are not those of another, so `except portlease.RefusedError` would catch nothing there.
fn claim_interpreter(py: Python<'_>) -> PyResult<()> {
    static OWNER: OnceLock<usize> = OnceLock::new();
    let this = py.import("sys")?.as_ptr() as usize;
    if *OWNER.get_or_init(|| this) == this {
        return Ok(());
    }
    Err(PyImportError::new_err("another interpreter of this process has loaded this module"))
}

#[pymodule(gil_used = false)]
mod _portlease {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::claim_interpreter(module.py())
    }

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
