//! Default routes, and the interfaces that they leave by.

use std::net::IpAddr;

use super::interfaces::{self, DefaultRoute, Interface, address_towards};
use crate::error::{PortMappingError, list};

/// The routes that may lead to the home router: gateways first, then by metric; routes of equal metric stay in the system's
/// order. Only those of `interface`, if it is given.
pub(super) fn ranked(mut routes: Vec<DefaultRoute>, interface: Option<&str>) -> Vec<DefaultRoute> {
    routes.retain(|route| match interface {
        Some(name) => route.interface == name || route.alias.as_deref() == Some(name),
        None => !is_bridge(&route.interface),
    });
    routes.sort_by_key(|route| (route.gateway.is_none(), route.metric));
    routes
}

/// Whether the interface has the name of one that leads to containers or virtual machines on this machine.
pub fn is_bridge(interface: &str) -> bool {
    const PREFIXES: [&str; 8] = ["docker", "virbr", "vmnet", "vboxnet", "veth", "lxcbr", "cni", "podman"];
    // Docker calls the bridges of further networks by the first twelve digits of their id.
    let is_docker_network = |id: &str| id.len() == 12 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    PREFIXES.iter().any(|prefix| interface.starts_with(prefix))
        || interface.strip_prefix("br-").is_some_and(is_docker_network)
}

/// This machine's address on the interface with that name: the one in the network of `gateway`, else the first one.
pub(super) fn address_on(name: &str, gateway: Option<IpAddr>) -> Result<IpAddr, PortMappingError> {
    address_towards(&existing_interface("interface", name)?.networks, gateway)
        .map(IpAddr::V4)
        .ok_or_else(|| PortMappingError::no_gateway(format!("interface {name} has no IPv4 address")))
}

/// The interface with that name; fails with `invalid` about `argument` if there is none.
pub(super) fn existing_interface(argument: &'static str, name: &str) -> Result<Interface, PortMappingError> {
    let mut all = interfaces::all();
    let found = all.iter().position(|interface| interface.name == name || interface.alias.as_deref() == Some(name));
    found.map(|found| all.swap_remove(found)).ok_or_else(|| {
        let names = list(all.iter().map(|interface| &interface.name));
        PortMappingError::invalid(argument, format!("there is no interface `{name}`; there are {names}"))
    })
}

/// The name of the interface that has `address`; fails with `invalid` if there is none.
pub(super) fn interface_with(address: IpAddr) -> Result<String, PortMappingError> {
    let has = |interface: &Interface| interface.networks.iter().any(|network| network.address == address);
    let found = interfaces::all().into_iter().find(has).map(|interface| interface.name);
    found.ok_or_else(|| {
        PortMappingError::invalid("local_address", format!("{address} is not an address of this machine"))
    })
}
