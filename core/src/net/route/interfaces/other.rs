//! Interfaces by the crate netdev, which knows how each system tells them.

use std::net::IpAddr;

use super::{DefaultRoute, Interface, Network, address_towards};

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
        let gateway = interface.gateway.as_ref().and_then(|gateway| gateway.ipv4.first().copied());
        let Interface { name, alias, networks } = read(interface);
        let local = Some(address_towards(&networks, gateway.map(IpAddr::V4))?);
        let metric = u32::from(!interface.default);
        (interface.is_up() && (gateway.is_some() || interface.default)).then_some(DefaultRoute {
            interface: name,
            alias,
            gateway,
            metric,
            local,
        })
    };
    netdev::get_interfaces().iter().filter_map(route).collect()
}
