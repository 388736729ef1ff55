//! The interfaces of this machine, with their networks, addresses and default routes.

#[cfg_attr(target_os = "linux", path = "interfaces/linux.rs")]
#[cfg_attr(windows, path = "interfaces/windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "interfaces/other.rs")]
mod platform;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[cfg(target_os = "linux")]
pub(super) use platform::prefer_stable;
pub(super) use platform::{addresses6, default_routes, default_routes6};

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

/// A default route that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultRoute {
    pub(super) interface: String,
    /// What the interface is called too.
    pub(super) alias: Option<String>,
    /// The number of the interface, for IPv6 alone: a link-local gateway is nowhere without it.
    pub(super) index: u32,
    /// `None` if the route leads straight out of the interface.
    pub(super) gateway: Option<IpAddr>,
    pub(super) metric: u32,
    /// This machine's address on the interface, if the table tells it.
    pub(super) local: Option<IpAddr>,
}

/// An IPv6 address of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address6 {
    pub(crate) address: Ipv6Addr,
    pub(crate) prefix: u8,
    pub(super) interface: String,
    /// What the interface is called too.
    pub(super) alias: Option<String>,
    pub(crate) index: u32,
    /// One that changes by itself, so that its owner cannot be followed (RFC 8981).
    pub(super) temporary: bool,
    /// Neither deprecated nor in doubt (RFC 4862 5.4, 5.5.4).
    pub(super) usable: bool,
}

/// The address in the network of `gateway`, else the first one.
pub(super) fn address_towards(networks: &[Network], gateway: Option<IpAddr>) -> Option<Ipv4Addr> {
    let near = |network: &&Network| gateway.is_some_and(|gateway| network.contains(gateway));
    let network = networks.iter().find(near).or_else(|| networks.first())?;
    Some(network.address)
}

/// The hosts that are reached without a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: Ipv4Addr,
    pub(super) prefix: u8,
}

impl Network {
    pub(crate) fn contains(self, host: IpAddr) -> bool {
        let IpAddr::V4(host) = host else { return false };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        // A network of everything is a mistake somewhere, and says nothing about who is near.
        self.prefix > 0 && (u32::from(self.address) ^ u32::from(host)) & mask == 0
    }
}
