//! Interfaces by the C library, and routes by the kernel's messages (`man 7 rtnetlink`). The crate that other systems have
//! brings a reader of all messages that there are, which was a seventh of our libraries.

#![expect(unsafe_code, reason = "system calls")]

#[path = "ipv6_linux.rs"]
mod ipv6;
#[path = "netlink.rs"]
mod netlink;

use std::ffi::CStr;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::ptr;

use self::netlink::{ROUTE, attributes, dump, name_of, number};
use super::{DefaultRoute, Interface, Network};

pub(in crate::net::route) use self::ipv6::{addresses6, default_routes6};

pub(super) fn all() -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    for (name, network) in entries() {
        let at = found.iter().position(|interface| interface.name == name).unwrap_or_else(|| {
            found.push(Interface { name, alias: None, networks: Vec::new() });
            found.len() - 1
        });
        found[at].networks.extend(network);
    }
    found
}

/// What getifaddrs(3) tells: each interface by itself, and again with each of its addresses.
fn entries() -> Vec<(String, Option<Network>)> {
    let mut first = ptr::null_mut();
    // SAFETY: the pointer can be written.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let mut entries = Vec::new();
    let mut next = first;
    // SAFETY: the list has been made and is not freed yet; its names end with a zero byte.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
        // An address with a label has that for its name: `eth0:1`. No interface has a colon in its name.
        let name = name.split(':').next().unwrap_or_default().to_owned();
        // SAFETY: the two are of the list, each NULL or of a family that it tells.
        let (address, mask) = unsafe { (ipv4(entry.ifa_addr), ipv4(entry.ifa_netmask)) };
        let prefix = mask.map_or(32, |mask| u32::from(mask).count_ones() as u8);
        entries.push((name, address.map(|address| Network { address, prefix })));
    }
    // SAFETY: the list was made above, and nothing points into it any more.
    unsafe { libc::freeifaddrs(first) };
    entries
}

/// Has the kernel choose a stable address for the socket rather than a temporary one (RFC 5014, `IPV6_PREFER_SRC_PUBLIC`). Without
/// that it takes the newest temporary one, which is now of this prefix and now of that one.
pub(in crate::net::route) fn prefer_stable(socket: &socket2::Socket) {
    let value = libc::IPV6_PREFER_SRC_PUBLIC;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is as long as the call is told, and the socket is open.
    let failed = unsafe {
        let value = ptr::from_ref(&value).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_ADDR_PREFERENCES, value, length) != 0
    };
    if failed {
        tracing::debug!(error = %std::io::Error::last_os_error(), "the kernel may choose a temporary address");
    }
}

/// # Safety
/// NULL, or an address as long as its family says.
unsafe fn ipv4(address: *const libc::sockaddr) -> Option<Ipv4Addr> {
    // SAFETY: as this function.
    unsafe {
        let is_ipv4 = !address.is_null() && i32::from((*address).sa_family) == libc::AF_INET;
        is_ipv4.then(|| {
            let address = address.cast::<libc::sockaddr_in>().read_unaligned();
            Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes())
        })
    }
}

/// The default routes of the main table, for a sandbox that does not have the kernel's own list of them; none if that is
/// not told either.
pub(in crate::net::route) fn default_routes() -> Vec<DefaultRoute> {
    let mut routes = Vec::new();
    let take = |message: &[u8]| routes.extend(default_route(message));
    if let Err(error) = dump(libc::RTM_GETROUTE, libc::RTM_NEWROUTE, libc::AF_INET, take) {
        tracing::debug!(%error, "the kernel does not tell its routes");
    }
    routes
}

/// The route that a message is about, if it is a default route in use. One whose gateway has an IPv6 address is none.
fn default_route(message: &[u8]) -> Option<DefaultRoute> {
    // RTNH_F_DEAD of <linux/rtnetlink.h>: the next hop is gone.
    const DEAD: u32 = 1;
    // Of the same header; the crate libc has it only for glibc.
    const RTA_VIA: u16 = 18;
    let [_, prefix, _, _, table, _, _, kind, flags @ ..] = message.get(..ROUTE)? else { return None };
    let dead = number(flags, 0) & DEAD != 0;
    if *prefix != 0 || *table != libc::RT_TABLE_MAIN || *kind != libc::RTN_UNICAST || dead {
        return None;
    }
    let (mut gateway, mut metric, mut index) = (None, 0, 0);
    for (kind, value) in attributes(&message[ROUTE..]) {
        let value = || value.get(..4).map(|value| number(value, 0));
        match kind {
            libc::RTA_GATEWAY => gateway = Some(Ipv4Addr::from(value()?.to_ne_bytes()).into()),
            libc::RTA_PRIORITY => metric = value()?,
            libc::RTA_OIF => index = value()?,
            RTA_VIA => return None,
            _ => {}
        }
    }
    Some(DefaultRoute { interface: name_of(index)?, alias: None, index: 0, gateway, metric, local: None })
}
