//! Default routes, and the interfaces that they leave by.

use std::net::{IpAddr, Ipv4Addr};

use netdev::Interface;
use netdev::ipnet::Ipv4Net;

use crate::error::{PortMappingError, list};

/// A default route that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultRoute {
    pub(super) interface: String,
    /// What the interface is called too.
    pub(super) alias: Option<String>,
    /// `None` if the route leads straight out of the interface.
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) metric: u32,
    /// This machine's address on the interface, if the table tells it.
    pub(super) local: Option<Ipv4Addr>,
}

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
fn is_bridge(interface: &str) -> bool {
    const PREFIXES: [&str; 8] = ["docker", "virbr", "vmnet", "vboxnet", "veth", "lxcbr", "cni", "podman"];
    // Docker calls the bridges of further networks by the first twelve digits of their id.
    let is_docker_network = |id: &str| id.len() == 12 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    PREFIXES.iter().any(|prefix| interface.starts_with(prefix))
        || interface.strip_prefix("br-").is_some_and(is_docker_network)
}

/// The default route of every interface that has one, the platform's default interface first, because the metrics are not known.
pub(super) fn default_routes_of(interfaces: Vec<Interface>) -> Vec<DefaultRoute> {
    let route = |interface: &Interface| {
        let gateway = interface.gateway.as_ref().and_then(|gateway| gateway.ipv4.first().copied());
        let local = address_towards(interface, gateway.map(IpAddr::V4))?;
        let (name, alias) = names(interface);
        (interface.is_up() && (gateway.is_some() || interface.default)).then(|| DefaultRoute {
            interface: name.to_owned(),
            alias: alias.map(str::to_owned),
            gateway,
            metric: u32::from(!interface.default),
            local: Some(local),
        })
    };
    interfaces.iter().filter_map(route).collect()
}

/// This machine's address on the interface with that name: the one in the network of `gateway`, else the first one.
pub(super) fn address_on(name: &str, gateway: Option<IpAddr>) -> Result<IpAddr, PortMappingError> {
    address_towards(&existing_interface(name)?, gateway)
        .map(IpAddr::V4)
        .ok_or_else(|| PortMappingError::unavailable(format!("interface {name} has no IPv4 address")))
}

fn address_towards(interface: &Interface, gateway: Option<IpAddr>) -> Option<Ipv4Addr> {
    let near = |network: &&Ipv4Net| matches!(gateway, Some(IpAddr::V4(gateway)) if network.contains(&gateway));
    let network = interface.ipv4.iter().find(near).or_else(|| interface.ipv4.first())?;
    Some(network.addr())
}

/// The interface with that name; fails with `invalid` if there is none.
pub(super) fn existing_interface(name: &str) -> Result<Interface, PortMappingError> {
    let mut interfaces = netdev::get_interfaces();
    let found = interfaces.iter().position(|interface| {
        let (shown, alias) = names(interface);
        shown == name || alias == Some(name)
    });
    found.map(|found| interfaces.swap_remove(found)).ok_or_else(|| {
        let names = list(interfaces.iter().map(|interface| names(interface).0));
        PortMappingError::invalid("interface", format!("there is no interface `{name}`; there are {names}"))
    })
}

/// The name by which users know the interface, and the other one, if it has two.
fn names(interface: &Interface) -> (&str, Option<&str>) {
    match &interface.friendly_name {
        // The system's own name is a GUID there.
        Some(friendly) if cfg!(windows) => (friendly, Some(&interface.name)),
        friendly => (&interface.name, friendly.as_deref()),
    }
}

/// The name of the interface that has `address`; fails with `invalid` if there is none.
pub(super) fn interface_with(address: IpAddr) -> Result<String, PortMappingError> {
    netdev::get_interfaces()
        .iter()
        .find(|interface| interface.ipv4.iter().any(|network| IpAddr::V4(network.addr()) == address))
        .map(|interface| names(interface).0.to_owned())
        .ok_or_else(|| {
            PortMappingError::invalid("local_address", format!("{address} is not an address of this machine"))
        })
}
