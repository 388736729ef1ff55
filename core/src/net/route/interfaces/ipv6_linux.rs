//! IPv6 addresses and default routes by the kernel's messages: no file tells all that matters.

use std::net::Ipv6Addr;

use super::super::{Address6, DefaultRoute};
use super::netlink::{ROUTE, attributes, dump, half, name_of, number, split};

/// The fixed part of a message about an address (`struct ifaddrmsg`).
const ADDRESS: usize = 8;
/// RTNH_F_DEAD of <linux/rtnetlink.h>: the next hop is gone.
const DEAD: u32 = 1;

/// The IPv6 addresses of all interfaces, in the kernel's order; none if it does not tell.
pub(in crate::net::route) fn addresses6() -> Vec<Address6> {
    let mut addresses = Vec::new();
    let take = |message: &[u8]| addresses.extend(address(message));
    if let Err(error) = dump(libc::RTM_GETADDR, libc::RTM_NEWADDR, libc::AF_INET6, take) {
        tracing::debug!(%error, "the kernel does not tell its IPv6 addresses");
    }
    addresses
}

fn address(message: &[u8]) -> Option<Address6> {
    let [family, prefix, flags, ..] = message.get(..ADDRESS)? else { return None };
    if i32::from(*family) != libc::AF_INET6 {
        return None;
    }
    let index = number(message, 4);
    let (mut own, mut peer, mut flags) = (None, None, u32::from(*flags));
    for (kind, value) in attributes(&message[ADDRESS..]) {
        match kind {
            libc::IFA_LOCAL => own = ipv6(value),
            libc::IFA_ADDRESS => peer = ipv6(value),
            libc::IFA_FLAGS => flags = number(value.get(..4)?, 0),
            _ => {}
        }
    }
    Some(Address6 {
        // On a point-to-point link `IFA_ADDRESS` is the other end; elsewhere there is no `IFA_LOCAL`.
        address: own.or(peer)?,
        prefix: *prefix,
        interface: name_of(index)?,
        alias: None,
        index,
        temporary: flags & libc::IFA_F_TEMPORARY != 0,
        usable: flags & (libc::IFA_F_DEPRECATED | libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) == 0,
    })
}

fn ipv6(value: &[u8]) -> Option<Ipv6Addr> {
    value.first_chunk::<16>().copied().map(Ipv6Addr::from)
}

/// The IPv6 default routes of the main table that are in use; none if the kernel does not tell.
pub(in crate::net::route) fn default_routes6() -> Vec<DefaultRoute> {
    let mut routes = Vec::new();
    let take = |message: &[u8]| routes.extend(default_route(message).into_iter().flatten());
    if let Err(error) = dump(libc::RTM_GETROUTE, libc::RTM_NEWROUTE, libc::AF_INET6, take) {
        tracing::debug!(%error, "the kernel does not tell its IPv6 routes");
    }
    // A stable sort, so that what has the same metric and preference stays in the kernel's order.
    routes.sort_by_key(|(preference, _)| std::cmp::Reverse(*preference));
    routes.into_iter().map(|(_, route)| route).collect()
}

/// The routes that a message is about, if it is about a default route in use, each with its preference (RFC 4191 2.1).
fn default_route(message: &[u8]) -> Option<Vec<(i8, DefaultRoute)>> {
    // RTM_F_CLONED: an entry of the kernel's memory, which is no route of its own.
    const CLONED: u32 = 0x200;
    // Of the same header; the crate libc has them only for glibc.
    const RTA_MULTIPATH: u16 = 9;
    const RTA_PREF: u16 = 20;
    let [family, prefix, _, _, table, _, _, kind, flags @ ..] = message.get(..ROUTE)? else { return None };
    let unused = i32::from(*family) != libc::AF_INET6 || number(flags, 0) & (DEAD | CLONED) != 0;
    if *prefix != 0 || *table != libc::RT_TABLE_MAIN || *kind != libc::RTN_UNICAST || unused {
        return None;
    }
    let (mut metric, mut preference, mut hops) = (0, 0, None);
    let mut single = (0, None);
    for (kind, value) in attributes(&message[ROUTE..]) {
        match kind {
            libc::RTA_GATEWAY => single.1 = Some(ipv6(value)?),
            libc::RTA_OIF => single.0 = number(value.get(..4)?, 0),
            libc::RTA_PRIORITY => metric = number(value.get(..4)?, 0),
            // Two bits with a sign.
            RTA_PREF => preference = (value.first()? << 6).cast_signed() >> 6,
            RTA_MULTIPATH => hops = Some(next_hops(value)),
            _ => {}
        }
    }
    let route = |(index, gateway): (u32, Option<Ipv6Addr>)| {
        let (interface, gateway) = (name_of(index)?, gateway.map(Into::into));
        Some((preference, DefaultRoute { interface, alias: None, index, gateway, metric, local: None }))
    };
    Some(hops.unwrap_or_else(|| vec![single]).into_iter().filter_map(route).collect())
}

/// The interface and the gateway of each next hop that is there.
fn next_hops(mut rest: &[u8]) -> Vec<(u32, Option<Ipv6Addr>)> {
    /// `struct rtnexthop`.
    const NEXT_HOP: usize = 8;
    let mut hops = Vec::new();
    while let Some((flags, index)) = rest.get(..NEXT_HOP).map(|hop| (u32::from(hop[2]), number(hop, 4)))
        && let Some((_, hop)) = split(&mut rest, |head| (u32::from(half(head, 0)), 0), NEXT_HOP)
    {
        if flags & DEAD == 0 {
            let gateway = attributes(hop).find(|(kind, _)| *kind == libc::RTA_GATEWAY);
            hops.push((index, gateway.and_then(|(_, value)| ipv6(value))));
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        [&(4 + value.len() as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
    }

    #[test]
    fn a_message_cut_off_anywhere_is_another_route_or_none() {
        let gateway: Ipv6Addr = "fe80::1".parse().unwrap();
        let fixed = [10, 0, 0, 0, libc::RT_TABLE_MAIN, 9, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        for (preference, expected) in [(0, 0), (1, 1), (3, -1)] {
            let attributes = [
                attribute(libc::RTA_PRIORITY, &1024_u32.to_ne_bytes()),
                attribute(libc::RTA_GATEWAY, &gateway.octets()),
                // The loopback interface has this number in every network.
                attribute(libc::RTA_OIF, &1_u32.to_ne_bytes()),
                attribute(20, &[preference, 0, 0, 0]),
            ];
            let message = [&fixed[..], &attributes.concat()].concat();
            let [(found, route)] = &default_route(&message).unwrap()[..] else { panic!("one route") };
            assert_eq!((*found, route.metric, route.gateway), (expected, 1024, Some(gateway.into())));
            assert_eq!((&*route.interface, route.index), ("lo", 1));
            for length in 0..message.len() {
                drop(default_route(&message[..length]));
                drop(address(&message[..length]));
            }
        }
    }

    /// A kernel without IPv6 answers a question about it with what it has of IPv4.
    #[test]
    fn what_the_kernel_says_of_ipv4_is_nothing_about_ipv6() {
        let fixed = |family: i32| [family as u8, 0, 0, 0, libc::RT_TABLE_MAIN, 9, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        let out_of = attribute(libc::RTA_OIF, &1_u32.to_ne_bytes());
        let route = |family| default_route(&[&fixed(family)[..], &out_of].concat());
        assert_eq!(route(libc::AF_INET6).map(|routes| routes.len()), Some(1));
        assert_eq!(route(libc::AF_INET), None);
    }

    #[test]
    fn a_next_hop_that_is_gone_is_no_way() {
        let fixed = [10, 0, 0, 0, libc::RT_TABLE_MAIN, 9, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        let gateway =
            |last: u8| attribute(libc::RTA_GATEWAY, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let hop = |flags: u8, last| {
            let gateway = gateway(last);
            let head = (8 + gateway.len() as u16).to_ne_bytes();
            [&head[..], &[flags, 0], &1_u32.to_ne_bytes(), &gateway].concat()
        };
        let hops = attribute(9, &[hop(1, 1), hop(0, 2)].concat());
        let routes = default_route(&[&fixed[..], &hops].concat()).unwrap();
        let gateways: Vec<_> = routes.iter().map(|(_, route)| route.gateway.unwrap().to_string()).collect();
        assert_eq!(gateways, ["fe80::2"]);
    }
}
