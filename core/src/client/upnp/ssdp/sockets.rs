//! The sockets of SSDP: for searches, and for what devices announce.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::client::upnp::config::UpnpConfig;
use crate::config::SSDP_ADDRESS;

/// The multicast groups of IPv6 (UDA 1.1 A.3): the link's, and the site's, for routers whose SSDP has no link-local address.
pub(super) const LINK_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);
pub(super) const SITE_GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0xc);
/// Searches stay in the home: the default that UDA 1.1 1.3.2 recommends.
const MULTICAST_TTL: u32 = 2;

/// The address on whose interface SSDP is spoken.
pub(super) fn local_address(config: &UpnpConfig) -> Ipv4Addr {
    match config.local_address {
        Some(IpAddr::V4(local)) => local,
        // A search for a gateway on this machine stays on this machine.
        _ if config.gateway.is_loopback() => Ipv4Addr::LOCALHOST,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}

/// A UDP socket on `local` whose multicast leaves by that address's interface, over IPv6 by that of `scope`.
pub(super) fn open(local: IpAddr, scope: u32) -> io::Result<UdpSocket> {
    match local {
        IpAddr::V4(local) => open_v4(local),
        IpAddr::V6(local) => open_v6(local, scope),
    }
}

fn open_v6(local: Ipv6Addr, scope: u32) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_multicast_hops_v6(MULTICAST_TTL)?;
    if scope != 0 {
        socket.set_multicast_if_v6(scope)?;
    }
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// Whether a link-local address is that of a host on another interface.
pub(in crate::client::upnp) fn is_elsewhere(address: SocketAddr, scope: u32) -> bool {
    matches!(address, SocketAddr::V6(address) if address.ip().is_unicast_link_local() && address.scope_id() != scope)
}

pub(super) fn open_v4(local: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_multicast_ttl_v4(MULTICAST_TTL)?;
    // Without it the group is asked by the interface of the default route, and the gateway all the same.
    if !local.is_unspecified()
        && let Err(error) = socket.set_multicast_if_v4(&local)
    {
        tracing::debug!(%error, %local, "the system chooses the interface of ssdp searches");
    }
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// A socket that hears what devices announce, beside other programs that listen there.
pub(in crate::client::upnp) fn open_group(config: &UpnpConfig) -> io::Result<UdpSocket> {
    let IpAddr::V4(group) = SSDP_ADDRESS.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Bound to the group, a socket is not woken by what is sent to this machine alone. Windows does not permit that.
    let address = if cfg!(windows) { Ipv4Addr::UNSPECIFIED } else { group };
    socket.bind(&SocketAddr::from((address, SSDP_ADDRESS.port())).into())?;
    socket.join_multicast_v4(&group, &local_address(config))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The same over IPv6, on one interface. Routers that have a link-local address announce by it to the link's group (UDA 1.1 A.3).
pub(in crate::client::upnp) fn open_group_v6(scope: u32) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    let address = if cfg!(windows) { Ipv6Addr::UNSPECIFIED } else { LINK_GROUP };
    socket.bind(&SocketAddrV6::new(address, SSDP_ADDRESS.port(), 0, scope).into())?;
    socket.join_multicast_v6(&LINK_GROUP, scope)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
