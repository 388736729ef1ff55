//! Interfaces by the C library, and routes by the kernel's messages (`man 7 rtnetlink`). The crate that other systems have
//! brings a reader of all messages that there are, which was a seventh of our libraries.

#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, c_char};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::ptr;

use socket2::{Domain, Protocol, Socket, Type};

use super::{DefaultRoute, Interface, Network};

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
    if let Err(error) = each_route(|message| routes.extend(default_route(message))) {
        tracing::debug!(%error, "the kernel does not tell its routes");
    }
    routes
}

const HEADER: usize = 16;
/// The kernel makes no larger pieces of an answer.
const PIECE: usize = 32 * 1024;

/// Asks for all IPv4 routes. What the kernel has to say is there as soon as it was asked, so nothing is waited for.
fn each_route(mut take: impl FnMut(&[u8])) -> io::Result<()> {
    const LENGTH: u32 = HEADER as u32 + 12;
    let protocol = Protocol::from(libc::NETLINK_ROUTE);
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut request = [0; LENGTH as usize];
    request[..4].copy_from_slice(&LENGTH.to_ne_bytes());
    request[4..6].copy_from_slice(&libc::RTM_GETROUTE.to_ne_bytes());
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER] = libc::AF_INET as u8;
    socket.write_all(&request)?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = socket.read(&mut piece)?;
        let mut rest = &piece[..length];
        while let Some((kind, message)) = split(&mut rest, |head| (number(head, 0), u32::from(half(head, 4))), HEADER) {
            match kind as i32 {
                libc::NLMSG_DONE => return Ok(()),
                libc::NLMSG_ERROR => return Err(io::Error::from(ErrorKind::PermissionDenied)),
                _ if kind == u32::from(libc::RTM_NEWROUTE) => take(message),
                _ => {}
            }
        }
    }
}

/// Takes a message, or an attribute of one, off `rest`: `head` reads its length and its kind out of `size` bytes.
fn split<'m>(rest: &mut &'m [u8], head: fn(&[u8]) -> (u32, u32), size: usize) -> Option<(u32, &'m [u8])> {
    let (length, kind) = head(rest.get(..size)?);
    let content = rest.get(size..length as usize)?;
    *rest = rest.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    Some((kind, content))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The route that a message is about, if it is a default route in use. One whose gateway has an IPv6 address is none.
fn default_route(message: &[u8]) -> Option<DefaultRoute> {
    const MESSAGE: usize = 12;
    const ATTRIBUTE: usize = 4;
    // RTNH_F_DEAD of <linux/rtnetlink.h>: the next hop is gone.
    const DEAD: u32 = 1;
    // Of the same header; the crate libc has it only for glibc.
    const RTA_VIA: u16 = 18;
    let [_, prefix, _, _, table, _, _, kind, flags @ ..] = message.get(..MESSAGE)? else { return None };
    let dead = number(flags, 0) & DEAD != 0;
    if *prefix != 0 || *table != libc::RT_TABLE_MAIN || *kind != libc::RTN_UNICAST || dead {
        return None;
    }
    let (mut gateway, mut metric, mut index) = (None, 0, 0);
    let mut rest = &message[MESSAGE..];
    let head = |head: &[u8]| (u32::from(half(head, 0)), u32::from(half(head, 2)));
    while let Some((kind, value)) = split(&mut rest, head, ATTRIBUTE) {
        let value = || value.get(..4).map(|value| number(value, 0));
        match u16::try_from(kind).ok()? {
            libc::RTA_GATEWAY => gateway = Some(Ipv4Addr::from(value()?.to_ne_bytes())),
            libc::RTA_PRIORITY => metric = value()?,
            libc::RTA_OIF => index = value()?,
            RTA_VIA => return None,
            _ => {}
        }
    }
    Some(DefaultRoute { interface: name_of(index)?, alias: None, gateway, metric, local: None })
}

fn name_of(index: u32) -> Option<String> {
    let mut name = [0 as c_char; libc::IF_NAMESIZE];
    // SAFETY: the name has as many bytes as the call may write, and ends with a zero byte if there is one.
    unsafe {
        let name = libc::if_indextoname(index, name.as_mut_ptr());
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
