//! The interfaces of this machine, with their IPv4 networks and default routes.

#[cfg_attr(target_os = "linux", path = "interfaces/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "interfaces/other.rs")]
mod platform;

pub(super) use platform::default_routes;

use super::Network;

/// An interface at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The name by which users know it.
    pub(super) name: String,
    /// What it is called too.
    pub(super) alias: Option<String>,
    /// Its own addresses, with their prefixes.
    pub(crate) networks: Vec<Network>,
}

/// All interfaces, in the system's order; none if the system does not tell.
pub(crate) fn all() -> Vec<Interface> {
    platform::all()
}
