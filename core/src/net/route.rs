//! The ways to the home router: default gateways, interfaces and local addresses.

pub(crate) mod interfaces;
mod ipv6;
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "route/linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "route/other.rs")]
mod platform;
mod table;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};

use crate::builders::builders;
use crate::config::{Config, PCP_PORT};
use crate::error::PortMappingError;
use crate::mapping::AddressFamily;
use crate::net::address::AddressClass;
use crate::net::scoped::ScopedAddr;
use interfaces::DefaultRoute;
pub(crate) use interfaces::Network;
pub use table::is_bridge;

/// A way out of this machine's network: through a gateway, or straight into the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkPath {
    /// The gateway's address. `None` if there is no gateway because this machine has a public address of its own.
    pub gateway: Option<IpAddr>,
    /// The local address from which the gateway is reached, and to which it forwards. Without a gateway: this machine's public
    /// address.
    pub local_address: IpAddr,
    /// The interface of the default route. `None` if the configuration names a gateway and no interface.
    pub interface: Option<String>,
    /// The number of the interface, for IPv6 alone: a link-local gateway is reached by it, and so is a group of hosts on the
    /// link. 0: none in particular.
    pub(crate) index: u32,
}

impl NetworkPath {
    /// The way to `gateway` from `local_address`, by no interface in particular.
    pub fn new(gateway: impl Into<IpAddr>, local_address: impl Into<IpAddr>) -> Self {
        Self { gateway: Some(gateway.into()), local_address: local_address.into(), interface: None, index: 0 }
    }

    /// The way of a machine that has the public address `local_address` and needs no gateway, by no interface in particular.
    pub fn direct(local_address: impl Into<IpAddr>) -> Self {
        Self { gateway: None, local_address: local_address.into(), interface: None, index: 0 }
    }

    builders! {
        interface(impl Into<Option<String>>),
    }

    /// The gateway's address as users write it: a link-local one with its interface, `fe80::1%eth0`. On Windows, where names
    /// are long, with the number of the interface.
    pub fn gateway_name(&self) -> Option<String> {
        Some(self.scoped_gateway()?.to_string())
    }

    pub(crate) fn scoped_gateway(&self) -> Option<ScopedAddr> {
        let gateway = self.gateway?;
        let scoped = match gateway {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                let name = self.interface.as_deref().filter(|_| !cfg!(windows));
                let by_number = || (self.index > 0).then(|| ScopedAddr::new(ip, &self.index.to_string())).flatten();
                name.and_then(|name| ScopedAddr::new(ip, name)).or_else(by_number)
            }
            _ => None,
        };
        Some(scoped.unwrap_or_else(|| gateway.into()))
    }

    /// The gateway's `port`, with the scope that a link-local address needs.
    pub(crate) fn gateway_port(&self, port: u16) -> Option<SocketAddr> {
        Some(match self.gateway? {
            IpAddr::V6(gateway) if gateway.is_unicast_link_local() => {
                SocketAddrV6::new(gateway, port, 0, self.index).into()
            }
            gateway => SocketAddr::new(gateway, port),
        })
    }

    /// The gateway's address; fails with `unavailable` if there is no gateway.
    pub fn require_gateway(&self) -> Result<IpAddr, PortMappingError> {
        self.gateway.ok_or_else(|| {
            let address = self.local_address;
            PortMappingError::unavailable(format!(
                "this machine has the public address {address} and no gateway to ask"
            ))
        })
    }
}

/// Finds the first of the ways out of this machine's network: to the gateway that the configuration names, else the default
/// route with the lowest metric (among those of the named interface, or of the interface that has the named local address).
///
/// ```
/// use portlease::Config;
/// use portlease::net::route::find_path;
///
/// let gateway = std::net::IpAddr::from([127, 0, 0, 1]);
/// let path = find_path(&Config::default().gateway(gateway))?;
/// assert_eq!((path.gateway, path.local_address), (Some(gateway), gateway));
/// # Ok::<(), portlease::PortMappingError>(())
/// ```
///
/// Bridges of containers and virtual machines count only if the configuration names them. A default route without a gateway
/// counts only if this machine's address on it is public, and only after all gateways.
///
/// Fails with `unavailable` if there is no such route, `invalid` if the named interface or local address
/// does not exist. Reads the system's tables; sends nothing.
pub fn find_path(config: &Config) -> Result<NetworkPath, PortMappingError> {
    find_paths(config).map(|mut paths| paths.swap_remove(0))
}

/// The same for one family. For IPv6 the local address is the one that would be opened.
///
/// Fails as [`find_path`] does; with `unavailable` also if this machine has no global IPv6 address.
pub fn find_path_of(family: AddressFamily, config: &Config) -> Result<NetworkPath, PortMappingError> {
    find_paths_of(family, config).map(|mut paths| paths.swap_remove(0))
}

/// A default route that is in use, whether or not portlease would ask anything along it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The interface by which packets leave.
    pub interface: String,
    /// The router; `None` if the route leads straight out of the interface, as those of tunnels do.
    pub gateway: Option<IpAddr>,
    /// The lower the metric, the better the route.
    pub metric: u32,
}

impl Route {
    /// A route that leaves by `interface`: for tests of what shows routes.
    pub fn new(interface: impl Into<String>, gateway: Option<IpAddr>, metric: u32) -> Self {
        Self { interface: interface.into(), gateway, metric }
    }
}

/// Every default route of one family, the lowest metric first: those of VPNs and of bridges too, which [`find_path`] leaves out.
///
/// Fails with `transport` if the system does not tell. Reads the system's tables; sends nothing.
pub fn default_routes(family: AddressFamily) -> Result<Vec<Route>, PortMappingError> {
    let routes = match family {
        AddressFamily::Ipv4 => platform::default_routes()?,
        AddressFamily::Ipv6 => interfaces::default_routes6(),
    };
    let mut routes: Vec<Route> = routes
        .into_iter()
        .map(|DefaultRoute { interface, gateway, metric, .. }| Route { interface, gateway, metric })
        .collect();
    routes.sort_by_key(|route| route.metric);
    Ok(routes)
}

/// The IPv4 addresses of every interface, in the system's order; an interface without one has an empty list. Reads the system's
/// tables; sends nothing.
pub fn local_addresses() -> Vec<(String, Vec<Ipv4Addr>)> {
    let addresses = |networks: Vec<Network>| networks.into_iter().map(|network| network.address).collect();
    interfaces::all().into_iter().map(|interface| (interface.name, addresses(interface.networks))).collect()
}

/// The same as [`find_path`], all of them, the best one first; never empty.
pub(crate) fn find_paths(config: &Config) -> Result<Vec<NetworkPath>, PortMappingError> {
    let named = config.local_address_of(AddressFamily::Ipv4);
    if let Some(gateway) = config.gateway_of(AddressFamily::Ipv4) {
        let local_address = match (named, &config.interface) {
            (Some(address), _) => address,
            (None, Some(name)) => table::address_on(name, Some(gateway))?,
            (None, None) => local_address_towards(gateway)?,
        };
        check_local(local_address)?;
        let path = NetworkPath { gateway: Some(gateway), local_address, interface: config.interface.clone(), index: 0 };
        return Ok(vec![path]);
    }
    let interface = match (&config.interface, named) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(address)) => {
            check_local(address)?;
            Some(table::interface_with(address)?)
        }
        (None, None) => None,
    };
    let routes = table::ranked(platform::default_routes()?, interface.as_deref());
    let local = |route: &DefaultRoute| match (named, route.local) {
        (Some(address), _) => Ok(address),
        (None, Some(address)) => Ok(address),
        (None, None) => platform::address_on(&route.interface, route.gateway),
    };
    let paths = along(&routes, local)?;
    match (paths.is_empty(), &interface) {
        (false, _) => Ok(paths),
        (true, Some(name)) => {
            table::existing_interface("interface", name)?;
            Err(no_path(&routes, Some(name), AddressFamily::Ipv4))
        }
        (true, None) => Err(no_path(&routes, None, AddressFamily::Ipv4)),
    }
}

/// The paths along `routes`, whose order they keep. An interface that has just lost its address takes only its own routes away.
fn along(
    routes: &[DefaultRoute],
    local: impl Fn(&DefaultRoute) -> Result<IpAddr, PortMappingError>,
) -> Result<Vec<NetworkPath>, PortMappingError> {
    let mut failure = None;
    let mut paths: Vec<NetworkPath> = Vec::new();
    for route in routes {
        let gateway = route.gateway;
        // Two interfaces in one network lead to the same router. A link-local address is another router's on each.
        let here = |path: &NetworkPath| !gateway.is_some_and(is_link_local) || path.index == route.index;
        if gateway.is_some() && paths.iter().any(|path| path.gateway == gateway && here(path)) {
            continue;
        }
        match local(route) {
            Ok(local_address) => {
                let interface = Some(route.interface.clone());
                // Without a gateway, and without a public address: a tunnel. An IPv6 host always has its own address, and only
                // a gateway can have a firewall to be asked.
                let direct = local_address.is_ipv4() && AddressClass::of(local_address) == AddressClass::Public;
                if gateway.is_some() || direct {
                    paths.push(NetworkPath { gateway, local_address, interface, index: route.index });
                }
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) if paths.is_empty() => Err(error),
        _ => Ok(paths),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn no_path(routes: &[DefaultRoute], interface: Option<&str>, family: AddressFamily) -> PortMappingError {
    let ip = match family {
        AddressFamily::Ipv4 => "IPv4",
        AddressFamily::Ipv6 => "IPv6",
    };
    PortMappingError::no_gateway(match (interface, routes.first()) {
        (_, Some(DefaultRoute { interface, .. })) if family == AddressFamily::Ipv6 => {
            format!("the IPv6 default route leads into {interface}, which has no gateway to ask")
        }
        (_, Some(DefaultRoute { interface, .. })) => {
            format!("the default route leads into {interface}, which has no gateway to ask and no public address")
        }
        (Some(name), None) => format!("interface {name} has no {ip} default route, so there is no gateway to ask"),
        (None, None) => format!("there is no {ip} default route, so there is no gateway to ask"),
    })
}

/// The same for the default routes of `family`.
pub(crate) fn find_paths_of(family: AddressFamily, config: &Config) -> Result<Vec<NetworkPath>, PortMappingError> {
    match family {
        AddressFamily::Ipv4 => find_paths(config),
        AddressFamily::Ipv6 => ipv6::find_paths(config),
    }
}

/// The address that the system picks for packets to `gateway`; nothing is sent.
fn local_address_towards(gateway: IpAddr) -> Result<IpAddr, PortMappingError> {
    let find = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(SocketAddr::new(gateway, PCP_PORT))?;
        Ok(socket.local_addr()?.ip())
    };
    find().map_err(|error| PortMappingError::transport(format_args!("no way to gateway {gateway}"), error))
}

/// The network in which `gateway` is a neighbour of `local`. `None` where the interface has no prefix to tell; then only the
/// gateway itself is known to be near. Reads the system's tables; sends nothing.
pub(crate) fn network_of(gateway: IpAddr, local: Option<IpAddr>) -> Option<Network> {
    if gateway.is_loopback() {
        return Some(Network { address: Ipv4Addr::LOCALHOST, prefix: 8 });
    }
    let IpAddr::V4(local) = local.or_else(|| local_address_towards(gateway).ok())? else { return None };
    let mut networks = interfaces::all().into_iter().flat_map(|interface| interface.networks);
    networks.find(|network| network.address == local)
}

/// A local address can be bound; anything else is somebody else's.
fn check_local(address: IpAddr) -> Result<(), PortMappingError> {
    UdpSocket::bind((address, 0)).map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            PortMappingError::invalid("local_address", format!("{address} is not an address of this machine ({error})"))
        }
        _ => PortMappingError::transport(format_args!("cannot use local address {address}"), error),
    })
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;
