//! Interfaces and routes by the IP helper, which tells the metrics. The crate that other systems have also asks each gateway for
//! its hardware address, and that takes seconds if the gateway does not answer.

#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{ptr, slice};

use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    FreeMibTable, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER, GAA_FLAG_SKIP_MULTICAST, GetAdaptersAddresses,
    GetIpForwardTable2, IP_ADAPTER_ADDRESSES_LH, IP_ADAPTER_UNICAST_ADDRESS_LH, MIB_IPFORWARD_ROW2,
};
use windows_sys::Win32::NetworkManagement::Ndis::IfOperStatusUp;
use windows_sys::Win32::Networking::WinSock::{
    ADDRESS_FAMILY, AF_INET, AF_INET6, AF_UNSPEC, IpDadStatePreferred, IpPrefixOriginRouterAdvertisement,
    IpSuffixOriginRandom, SOCKADDR_IN, SOCKADDR_IN6,
};

use super::{Address6, DefaultRoute, Interface, Network, address_towards};

/// An interface, with what is needed to find its routes.
struct Adapter {
    interface: Interface,
    addresses6: Vec<Address6>,
    luid: u64,
    up: bool,
    metric: u32,
    /// The number of the interface for IPv6; 0 if it has none.
    index6: u32,
    metric6: u32,
}

pub(super) fn all() -> Vec<Interface> {
    adapters().into_iter().map(|adapter| adapter.interface).collect()
}

/// The IPv6 addresses of all interfaces.
pub(in crate::net::route) fn addresses6() -> Vec<Address6> {
    adapters().into_iter().flat_map(|adapter| adapter.addresses6).collect()
}

fn adapters() -> Vec<Adapter> {
    const FLAGS: u32 = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
    /// In bytes, as Microsoft recommends.
    const USUAL_SIZE: u32 = 15_000;
    /// An interface may be added between the answer that tells the size and the next.
    const ATTEMPTS: usize = 4;
    let mut size = USUAL_SIZE;
    for _ in 0..ATTEMPTS {
        // Of numbers as long as pointers, so that the structs in it are aligned.
        let mut list: Vec<u64> = vec![0; size.div_ceil(8) as usize];
        let first: *mut IP_ADAPTER_ADDRESSES_LH = list.as_mut_ptr().cast();
        // SAFETY: the list can be written, and is as long as the call is told.
        let result = unsafe { GetAdaptersAddresses(u32::from(AF_UNSPEC), FLAGS, ptr::null(), first, &raw mut size) };
        match result {
            // SAFETY: the call has filled the list, which lives as long as it is read.
            NO_ERROR => return unsafe { linked(first, |adapter| adapter.Next) }.map(read).collect(),
            ERROR_BUFFER_OVERFLOW => {}
            error => {
                tracing::debug!(error, "the system does not tell its interfaces");
                break;
            }
        }
    }
    Vec::new()
}

/// The entries of a list of the system's.
///
/// # Safety
/// NULL, or a whole list that lives as long as its entries are used.
unsafe fn linked<'a, T: 'a>(first: *const T, next: fn(&T) -> *mut T) -> impl Iterator<Item = &'a T> {
    // SAFETY: as this function.
    let entry = |at: *const T| unsafe { at.as_ref() };
    std::iter::successors(entry(first), move |last| entry(next(last)))
}

fn read(adapter: &IP_ADAPTER_ADDRESSES_LH) -> Adapter {
    // SAFETY: both names are part of the list and end with a zero.
    let (name, alias) = unsafe { (wide(adapter.FriendlyName), CStr::from_ptr(adapter.AdapterName.cast())) };
    // A GUID in braces.
    let alias = Some(alias.to_string_lossy().into_owned());
    // SAFETY: the addresses are part of the list.
    let addresses = || unsafe { linked(adapter.FirstUnicastAddress, |address| address.Next) };
    let index6 = adapter.Ipv6IfIndex;
    Adapter {
        addresses6: addresses().filter_map(|entry| address6(entry, &name, alias.as_ref(), index6)).collect(),
        interface: Interface { name, alias, networks: addresses().filter_map(network).collect() },
        index6,
        metric6: adapter.Ipv6Metric,
        // SAFETY: every value is a number.
        luid: unsafe { adapter.Luid.Value },
        up: adapter.OperStatus == IfOperStatusUp,
        metric: adapter.Ipv4Metric,
    }
}

/// # Safety
/// Text that ends with a zero.
unsafe fn wide(text: *const u16) -> String {
    // SAFETY: as this function.
    unsafe {
        let length = (0..).take_while(|at| *text.add(*at) != 0).count();
        String::from_utf16_lossy(slice::from_raw_parts(text, length))
    }
}

/// Nothing for an IPv6 address.
fn network(entry: &IP_ADAPTER_UNICAST_ADDRESS_LH) -> Option<Network> {
    let address = entry.Address.lpSockaddr;
    // SAFETY: an address as long as its family says, which is part of the list.
    let address =
        unsafe { ((*address).sa_family == AF_INET).then(|| ipv4(&address.cast::<SOCKADDR_IN>().read_unaligned())) };
    address.map(|address| Network { address, prefix: entry.OnLinkPrefixLength })
}

fn ipv4(address: &SOCKADDR_IN) -> Ipv4Addr {
    // SAFETY: every value is a number.
    Ipv4Addr::from(unsafe { address.sin_addr.S_un.S_addr }.to_ne_bytes())
}

/// Nothing for an IPv4 address.
fn address6(
    entry: &IP_ADAPTER_UNICAST_ADDRESS_LH,
    interface: &str,
    alias: Option<&String>,
    index: u32,
) -> Option<Address6> {
    let address = entry.Address.lpSockaddr;
    // SAFETY: an address as long as its family says, which is part of the list.
    let address =
        unsafe { ((*address).sa_family == AF_INET6).then(|| ipv6(&address.cast::<SOCKADDR_IN6>().read_unaligned())) };
    Some(Address6 {
        address: address?,
        prefix: entry.OnLinkPrefixLength,
        interface: interface.to_owned(),
        alias: alias.cloned(),
        index,
        // Not what DHCPv6 has given, whose end may look random too.
        temporary: entry.PrefixOrigin == IpPrefixOriginRouterAdvertisement
            && entry.SuffixOrigin == IpSuffixOriginRandom,
        usable: entry.DadState == IpDadStatePreferred && entry.PreferredLifetime != 0,
    })
}

fn ipv6(address: &SOCKADDR_IN6) -> Ipv6Addr {
    // SAFETY: every value is a number.
    Ipv6Addr::from(unsafe { address.sin6_addr.u.Byte })
}

/// The IPv4 default routes of interfaces that are up.
pub(in crate::net::route) fn default_routes() -> Vec<DefaultRoute> {
    routes_of(AF_INET, default_route)
}

/// The IPv6 default routes of interfaces that are up.
pub(in crate::net::route) fn default_routes6() -> Vec<DefaultRoute> {
    routes_of(AF_INET6, default_route6)
}

/// What `read` makes of the routes of one family. Windows adds the metric of the interface to that of the route.
fn routes_of(
    family: ADDRESS_FAMILY,
    read: fn(&MIB_IPFORWARD_ROW2, &[Adapter]) -> Option<DefaultRoute>,
) -> Vec<DefaultRoute> {
    let adapters = adapters();
    let mut table = ptr::null_mut();
    // SAFETY: the pointer can be written.
    let error = unsafe { GetIpForwardTable2(family, &raw mut table) };
    if error != NO_ERROR {
        tracing::debug!(error, "the system does not tell its routes");
        return Vec::new();
    }
    // SAFETY: the table has as many rows as it says, and is freed when they have been read.
    unsafe {
        let rows = slice::from_raw_parts((&raw const (*table).Table).cast(), (*table).NumEntries as usize);
        let routes = rows.iter().filter_map(|row| read(row, &adapters)).collect();
        FreeMibTable(table.cast());
        routes
    }
}

fn default_route(row: &MIB_IPFORWARD_ROW2, adapters: &[Adapter]) -> Option<DefaultRoute> {
    // SAFETY: every value is a number, and an address of the IPv4 table has that family.
    let (luid, gateway) = unsafe { (row.InterfaceLuid.Value, ipv4(&row.NextHop.Ipv4)) };
    if row.DestinationPrefix.PrefixLength != 0 {
        return None;
    }
    let Adapter { interface, metric, .. } = adapters.iter().find(|adapter| adapter.up && adapter.luid == luid)?;
    let gateway = Some(gateway).filter(|gateway| !gateway.is_unspecified()).map(IpAddr::V4);
    Some(DefaultRoute {
        interface: interface.name.clone(),
        alias: interface.alias.clone(),
        index: 0,
        gateway,
        metric: row.Metric.saturating_add(*metric),
        local: address_towards(&interface.networks, gateway).map(IpAddr::V4),
    })
}

fn default_route6(row: &MIB_IPFORWARD_ROW2, adapters: &[Adapter]) -> Option<DefaultRoute> {
    // SAFETY: every value is a number, and an address of the IPv6 table has that family.
    let (luid, gateway) = unsafe { (row.InterfaceLuid.Value, ipv6(&row.NextHop.Ipv6)) };
    if row.DestinationPrefix.PrefixLength != 0 {
        return None;
    }
    let adapter = adapters.iter().find(|adapter| adapter.up && adapter.luid == luid)?;
    Some(DefaultRoute {
        interface: adapter.interface.name.clone(),
        alias: adapter.interface.alias.clone(),
        index: adapter.index6,
        gateway: Some(gateway).filter(|gateway| !gateway.is_unspecified()).map(IpAddr::V6),
        metric: row.Metric.saturating_add(adapter.metric6),
        local: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::table::existing_interface;
    use super::*;

    #[test]
    fn an_interface_has_the_name_that_windows_shows_and_is_found_by_its_guid_too() {
        let all = all();
        assert!(all.iter().any(|interface| interface.networks.iter().any(|net| net.address.is_loopback())), "{all:?}");
        for interface in all {
            let guid = interface.alias.clone().unwrap();
            assert!(guid.starts_with('{') && !interface.name.starts_with('{'), "{interface:?}");
            for name in [&interface.name, &guid] {
                assert_eq!(existing_interface("interface", name).unwrap().name, interface.name);
            }
        }
    }
}
