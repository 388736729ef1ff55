//! The ways to the home router over IPv6, and the address of this machine that is opened to the internet.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

use super::interfaces::{self, Address6, DefaultRoute};
use super::{NetworkPath, along, check_local, is_link_local, no_path, table};
use crate::config::{Config, PCP_PORT};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::AddressFamily;
use crate::net::scoped::ScopedAddr;

/// An address of the internet: PCP's anycast address (RFC 7723). Nothing is sent to it.
const BEYOND: Ipv6Addr = Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1);

/// See [`find_paths_of`](super::find_paths_of).
pub(super) fn find_paths(config: &Config) -> Result<Vec<NetworkPath>, PortMappingError> {
    let named = config.local_address_of(AddressFamily::Ipv6);
    named.map_or(Ok(()), check_local)?;
    let addresses = interfaces::addresses6();
    if let Some(IpAddr::V6(gateway)) = config.gateway_of(AddressFamily::Ipv6) {
        return to_gateway(gateway, config, named, &addresses).map(|path| vec![path]);
    }
    let interface = match (&config.interface, named) {
        (Some(name), _) => Some(name.as_str()),
        (None, Some(address)) => addresses.iter().find(|own| own.address == address).map(|own| &*own.interface),
        (None, None) => None,
    };
    let routes = default_routes(interface);
    let local = |route: &DefaultRoute| match (named, route.local) {
        (Some(address), _) | (None, Some(address)) => Ok(address),
        // Nobody would be asked from it.
        (None, None) if route.gateway.is_none() => Ok(Ipv6Addr::UNSPECIFIED.into()),
        (None, None) => local_on(&route.interface, route.index, BEYOND, &addresses),
    };
    let paths = along(&routes, local)?;
    match (paths.is_empty(), interface) {
        (false, _) => Ok(paths),
        (true, name) => {
            name.map_or(Ok(()), |name| table::existing_interface("interface", name).map(drop))?;
            Err(no_path(&routes, name, AddressFamily::Ipv6))
        }
    }
}

/// The way to the gateway that the configuration names.
fn to_gateway(
    gateway: Ipv6Addr,
    config: &Config,
    named: Option<IpAddr>,
    addresses: &[Address6],
) -> Result<NetworkPath, PortMappingError> {
    let path = |local_address, index| NetworkPath {
        gateway: Some(gateway.into()),
        local_address,
        interface: config.interface.clone(),
        index,
    };
    let own = |address: IpAddr| addresses.iter().find(|own| own.address == address);
    let index_of = |address: IpAddr| own(address).map_or(0, |own| own.index);
    if gateway.is_loopback() {
        let local = named.unwrap_or(gateway.into());
        check_local(local).map_err(|error| match error.kind() {
            ErrorKind::Invalid if named.is_some() => error,
            _ => {
                PortMappingError::no_gateway(format!("this machine has no IPv6, so nothing can be asked at {gateway}"))
            }
        })?;
        return Ok(path(local, index_of(local)));
    }
    let name = config.gateway_interface();
    let on = match (name, named) {
        (Some(_), _) => named_interface(config, addresses)?.map(|own| (own.interface.clone(), own.index)),
        (None, Some(address)) => own(address).map(|own| (own.interface.clone(), own.index)),
        (None, None) if gateway.is_unicast_link_local() => {
            let route = default_routes(None).into_iter().find(|route| route.gateway == Some(gateway.into()));
            route.map(|route| (route.interface, route.index))
        }
        (None, None) => {
            let own = picked(None, gateway).and_then(|picked| own(picked.into()));
            own.map(|own| (own.interface.clone(), own.index))
        }
    };
    let Some((interface, index)) = on else {
        return Err(match (name, gateway.is_unicast_link_local()) {
            (Some(name), _) => no_address(name),
            (None, true) => PortMappingError::invalid(
                "gateway",
                format!(
                    "{gateway} is link-local and no default route leads to it; name its interface, as in {gateway}%eth0"
                ),
            ),
            (None, false) => PortMappingError::no_gateway(format!("there is no IPv6 route to gateway {gateway}")),
        });
    };
    let towards = if gateway.is_unicast_link_local() { BEYOND } else { gateway };
    let local = named.map_or_else(|| local_on(&interface, index, towards, addresses), Ok)?;
    let found = path(local, index);
    // The text of a link-local address needs a name.
    Ok(if is_link_local(gateway.into()) { found.interface(interface) } else { found })
}

/// The interface that the configuration names, or the scope of its gateway. `None` if it names neither, or one without an IPv6
/// address.
fn named_interface<'a>(config: &Config, addresses: &'a [Address6]) -> Result<Option<&'a Address6>, PortMappingError> {
    let by_name = |name: &str| addresses.iter().find(|own| own.interface == name || own.alias.as_deref() == Some(name));
    let interface = match &config.interface {
        Some(name) => {
            table::existing_interface("interface", name)?;
            by_name(name)
        }
        None => None,
    };
    let Some(scope) = config.gateway.as_ref().and_then(ScopedAddr::scope) else { return Ok(interface) };
    let by_number = || scope.parse().ok().and_then(|number: u32| addresses.iter().find(|own| own.index == number));
    let Some(scoped) = by_name(scope).or_else(by_number) else {
        return table::existing_interface("gateway", scope).map(|_| None);
    };
    match &config.interface {
        Some(name) if interface.is_none_or(|named| named.index != scoped.index) => {
            let message =
                format!("its scope {scope} is the interface `{}`, not `{name}`; give one of them", scoped.interface);
            Err(PortMappingError::invalid("gateway", message))
        }
        _ => Ok(Some(scoped)),
    }
}

/// The default routes, the best one first; only those of `interface`, if it is given.
fn default_routes(interface: Option<&str>) -> Vec<DefaultRoute> {
    /// No router calls itself so: it means any of them (RFC 4291 2.6.1), and macOS has such a route for each of its tunnels.
    const ANY_ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    let mut routes = table::ranked(interfaces::default_routes6(), interface);
    routes.retain(|route| route.gateway != Some(ANY_ROUTER.into()));
    routes
}

fn no_address(interface: &str) -> PortMappingError {
    PortMappingError::unavailable(format!(
        "interface {interface} has no global IPv6 address, so there is nothing that the internet could reach"
    ))
}

/// The address that is opened for whoever leaves by this interface.
fn local_on(
    interface: &str,
    index: u32,
    towards: Ipv6Addr,
    addresses: &[Address6],
) -> Result<IpAddr, PortMappingError> {
    let picked = picked(Some(interface), towards);
    choose(index, picked, addresses).map(IpAddr::V6).ok_or_else(|| no_address(interface))
}

/// Of the addresses on the interface, a global one before one that is local to the site, a stable one before a temporary one
/// (RFC 8981), and then the one that the system picks, or one with the same prefix. If the interface has none, the system may
/// still pick one of another interface.
fn choose(index: u32, picked: Option<Ipv6Addr>, addresses: &[Address6]) -> Option<Ipv6Addr> {
    let usable = || addresses.iter().filter(|own| own.usable && is_wide(own.address));
    let pick = picked.and_then(|picked| usable().find(|own| own.address == picked));
    let home = match pick {
        Some(pick) if usable().all(|own| own.index != index) => pick.index,
        _ => index,
    };
    let rank = |own: &&Address6| {
        let is_pick = pick.is_some_and(|pick| pick.address == own.address);
        let is_near = pick.is_some_and(|pick| shares_prefix(pick, own));
        (own.address.is_unique_local(), own.temporary, !is_pick, !is_near)
    };
    usable().filter(|own| own.index == home).min_by_key(rank).map(|own| own.address)
}

/// Whether the address is good beyond the link.
fn is_wide(address: Ipv6Addr) -> bool {
    // fec0::/10 was for sites (RFC 3879).
    let site_local = address.segments()[0] & 0xffc0 == 0xfec0;
    !(address.is_unicast_link_local()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
        || address.to_ipv4_mapped().is_some()
        || site_local)
}

/// Whether both are of one prefix. An address by DHCPv6 has no prefix of its own; networks of hosts have 64 bits.
fn shares_prefix(one: &Address6, other: &Address6) -> bool {
    let bits = one.prefix.min(other.prefix).min(64);
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    (u128::from(one.address) ^ u128::from(other.address)) & mask == 0
}

/// The address that the system picks for packets to `towards` by the interface, or by the best one; on Linux a stable one. Nothing
/// is sent.
fn picked(interface: Option<&str>, towards: Ipv6Addr) -> Option<Ipv6Addr> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).ok()?;
    #[cfg(target_os = "linux")]
    interfaces::prefer_stable(&socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(interface) = interface {
        // Before Linux 5.7 only root may do this. Then it is the choice for the best interface.
        let _ = socket.bind_device(Some(interface.as_bytes()));
    }
    let _ = interface;
    let socket = UdpSocket::from(socket);
    socket.connect(SocketAddr::new(towards.into(), PCP_PORT)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
#[path = "ipv6_tests.rs"]
mod tests;
