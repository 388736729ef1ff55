//! Messages of the kernel about addresses, routes and links (`man 7 rtnetlink`).

#![expect(unsafe_code, reason = "system calls")]

use std::io;

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};

pub(super) use super::socket::Watcher;
use crate::mapping::AddressFamily;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV4_ROUTE`, which libc does not have for Android.
const GROUPS: u32 = 0x1 | 0x10 | 0x40;
/// `RTMGRP_LINK`, `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE`.
const GROUPS6: u32 = 0x1 | 0x100 | 0x400;
/// In bytes. A few messages are enough, because each says the same, and so does the lack of room for more.
const RECEIVE_BUFFER: usize = 8192;

impl Watcher {
    pub(super) fn new(family: AddressFamily) -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.attach_filter(&filter())?;
        socket.bind(&address(family))?;
        // What does not matter stays in the kernel.
        Self::listen(socket, |_| true)
    }
}

fn address(family: AddressFamily) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a sockaddr_nl is smaller than the storage, and consists of numbers, which may be zero.
    let address: &mut libc::sockaddr_nl = unsafe { storage.view_as() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = match family {
        AddressFamily::Ipv4 => GROUPS,
        AddressFamily::Ipv6 => GROUPS6,
    };
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the storage holds an address of that family and length.
    unsafe { SockAddr::new(storage, length) }
}

/// Lets three kinds of messages through: all about addresses; those about default routes; and those about interfaces that were
/// switched off, because the kernel then drops their routes without a word. Whatever else happens to an interface and matters
/// comes with a message about its address or its route. Without this filter, each search for Wi-Fi networks and each step in
/// the life of a container would wake us. Linux describes the instructions in `Documentation/networking/filter.rst`.
fn filter() -> [SockFilter; 16] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    // Where nlmsg_type, rtm_dst_len, ifi_flags and ifi_change are. They are in host order, and a load takes them as big-endian.
    const TYPE: u32 = 4;
    const PREFIX_LENGTH: u32 = 17;
    const FLAGS: u32 = 24;
    const CHANGE: u32 = 28;
    const LOWEST_BYTE: u32 = if cfg!(target_endian = "little") { 0 } else { 3 };
    // IFF_UP.
    const UP: u32 = 0x1;
    // Positions in the list below.
    const ROUTE: u8 = 12;
    const KEEP: u8 = 14;
    const DROP: u8 = 15;
    let kind = |number: u16| u32::from(number.to_be());
    let load = |size: u16, offset: u32| SockFilter::new(size, 0, 0, offset);
    // The test at position `at`, and where it leads.
    let test = |at: u8, test: u16, value: u32, yes: u8, no: u8| SockFilter::new(test, yes - at - 1, no - at - 1, value);
    [
        load(LOAD_HALF, TYPE),
        test(1, IF_EQUAL, kind(libc::RTM_NEWADDR), KEEP, 2),
        test(2, IF_EQUAL, kind(libc::RTM_DELADDR), KEEP, 3),
        test(3, IF_EQUAL, kind(libc::RTM_NEWROUTE), ROUTE, 4),
        test(4, IF_EQUAL, kind(libc::RTM_DELROUTE), ROUTE, 5),
        test(5, IF_EQUAL, kind(libc::RTM_NEWLINK), 6, DROP),
        load(LOAD_WORD, CHANGE),
        // All bits: a new interface.
        test(7, IF_EQUAL, u32::MAX, DROP, 8),
        load(LOAD_BYTE, CHANGE + LOWEST_BYTE),
        test(9, IF_ANY_BIT, UP, 10, DROP),
        load(LOAD_BYTE, FLAGS + LOWEST_BYTE),
        test(11, IF_ANY_BIT, UP, DROP, KEEP),
        load(LOAD_BYTE, PREFIX_LENGTH),
        test(13, IF_EQUAL, 0, KEEP, DROP),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "linux_tests.rs"]
mod tests;
