//! Interfaces by the crate netdev, which knows how each system tells them.

use std::net::{IpAddr, Ipv6Addr};

use super::{Address6, DefaultRoute, Interface, Network, address_towards};

pub(super) fn all() -> Vec<Interface> {
    netdev::get_interfaces().iter().map(read).collect()
}

fn read(interface: &netdev::Interface) -> Interface {
    let network = |network: &netdev::ipnet::Ipv4Net| Network { address: network.addr(), prefix: network.prefix_len() };
    let networks = interface.ipv4.iter().map(network).collect();
    Interface { name: interface.name.clone(), alias: interface.friendly_name.clone(), networks }
}

/// The default route of every interface that has one, the platform's default interface first, because the metrics are not known.
pub(in crate::net::route) fn default_routes() -> Vec<DefaultRoute> {
    let route = |interface: &netdev::Interface| {
        let gateway = interface.gateway.as_ref().and_then(|gateway| gateway.ipv4.first().copied()).map(IpAddr::V4);
        let Interface { name, alias, networks } = read(interface);
        let local = Some(address_towards(&networks, gateway)?.into());
        let metric = u32::from(!interface.default);
        (interface.is_up() && (gateway.is_some() || interface.default)).then_some(DefaultRoute {
            interface: name,
            alias,
            index: 0,
            gateway,
            metric,
            local,
        })
    };
    netdev::get_interfaces().iter().filter_map(route).collect()
}

/// The IPv6 addresses of all interfaces. What the system does not tell about one is taken for the best.
pub(in crate::net::route) fn addresses6() -> Vec<Address6> {
    let of = |interface: &netdev::Interface| {
        let own = interface.ipv6.iter().enumerate();
        own.map(|(place, network)| {
            let flags = interface.ipv6_addr_flags.get(place).copied().unwrap_or_default();
            Address6 {
                address: network.addr(),
                prefix: network.prefix_len(),
                interface: interface.name.clone(),
                alias: interface.friendly_name.clone(),
                index: interface.index,
                temporary: flags.temporary,
                usable: !(flags.deprecated || flags.tentative || flags.duplicated),
            }
        })
        .collect::<Vec<_>>()
    };
    netdev::get_interfaces().iter().flat_map(of).collect()
}

/// The IPv6 default route of every interface that has one, the platform's default interface first.
pub(in crate::net::route) fn default_routes6() -> Vec<DefaultRoute> {
    let route = |interface: &netdev::Interface| {
        let gateways = interface.gateway.iter().flat_map(|gateway| &gateway.ipv6);
        // A router calls itself by its link-local address (RFC 4861 4.2).
        let gateway = gateways.copied().map(without_scope).max_by_key(Ipv6Addr::is_unicast_link_local)?;
        let metric = u32::from(!interface.default);
        interface.is_up().then(|| DefaultRoute {
            interface: interface.name.clone(),
            alias: interface.friendly_name.clone(),
            index: interface.index,
            gateway: Some(gateway.into()),
            metric,
            local: None,
        })
    };
    netdev::get_interfaces().iter().filter_map(route).collect()
}

/// The kernels of the BSDs keep the number of the interface in the second part of a link-local address.
fn without_scope(address: Ipv6Addr) -> Ipv6Addr {
    let [first, second, rest @ ..] = address.segments();
    let second = if address.is_unicast_link_local() { 0 } else { second };
    let [c, d, e, f, g, h] = rest;
    Ipv6Addr::new(first, second, c, d, e, f, g, h)
}
