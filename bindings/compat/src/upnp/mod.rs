//! libminiupnpc, API 17 and 18.
//!
//! | module | what |
//! |---|---|
//! | [`types`] | its structs, byte for byte |
//! | `device` | the one device that is ever found, and what is said of it |
//! | [`discovery`] | finding it: upnpDiscover, UPNP_GetValidIGD |
//! | [`mapping`] | UPNP_AddPortMapping, UPNP_DeletePortMapping and their kin |
//! | [`table`] | what is mapped |
//! | [`status`] | addresses and the state of the connection |
//! | [`errors`] | strupnperror |
//! | [`absent`] | what is not imitated, each with its own way to say so |

pub mod absent;
pub(crate) mod device;
pub mod discovery;
pub mod errors;
pub mod mapping;
pub mod status;
pub mod table;
pub mod types;

use std::ffi::{c_char, c_int};

use portlease::{PortMappingError, Transport};

use crate::codes::{of_upnp, upnp};
use crate::memory::read;
use crate::process::Process;
use crate::router::Router;

/// The router of the default route: control URLs name no other.
fn router() -> Result<&'static Router, c_int> {
    Process::here().router(None).map_err(|error| of_upnp(&error))
}

/// The code of an answer.
fn code(outcome: Result<(), c_int>) -> c_int {
    outcome.err().unwrap_or(upnp::SUCCESS)
}

fn failed(error: PortMappingError) -> c_int {
    of_upnp(&error)
}

/// Reads a port, 1 to 65535.
///
/// # Safety
/// As [`read`].
unsafe fn port(text: *const c_char) -> Result<u16, c_int> {
    // SAFETY: the promise is this function's.
    let text = unsafe { read(text) }.ok_or(upnp::INVALID_ARGS)?;
    text.trim().parse().ok().filter(|port| *port != 0).ok_or(upnp::INVALID_ARGS)
}

/// Reads `TCP` or `UDP`, in any case.
///
/// # Safety
/// As [`read`].
unsafe fn transport(text: *const c_char) -> Result<Transport, c_int> {
    // SAFETY: the promise is this function's.
    let text = unsafe { read(text) }.ok_or(upnp::INVALID_ARGS)?;
    text.to_ascii_lowercase().parse().map_err(|_| upnp::INVALID_ARGS)
}

/// As UPnP writes it.
const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    }
}

/// Fails unless everybody on the internet may use the port: routers know nothing else.
///
/// # Safety
/// As [`read`].
unsafe fn for_everybody(remote_host: *const c_char) -> Result<(), c_int> {
    // SAFETY: the promise is this function's.
    match unsafe { read(remote_host) }.as_deref() {
        None | Some("" | "*" | "0.0.0.0") => Ok(()),
        Some(_) => Err(upnp::REMOTE_HOST_ONLY_WILDCARD),
    }
}
