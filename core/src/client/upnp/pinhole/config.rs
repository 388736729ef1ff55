//! What a client of IPv6 pinholes is told.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::builders::builders;
use crate::client::upnp::config::UpnpConfig;
use crate::client::upnp::sought::ByIpv4;
use crate::config::Config;
use crate::net::route::{NetworkPath, find_path};

/// What a [`PinholeMapper`](super::PinholeMapper) needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PinholeConfig {
    /// The default router, usually a link-local address. Nobody else is asked.
    pub gateway: Ipv6Addr,
    /// The address whose ports are opened. Requests leave from it, because routers open ports of the address that asks alone.
    pub local_address: Ipv6Addr,
    /// The index of the interface by which the router is reached; 0 if the router has no link-local address.
    pub scope_id: u32,
    /// The name of that interface, to find the same router over IPv4. Default: the interface of the IPv4 default route.
    pub interface: Option<String>,
    /// Where the search is sent. Default: \[ff02::c\], \[ff05::c\] and the router, port 1900, and over IPv4 if nothing answers there.
    pub ssdp_address: Option<SocketAddr>,
    /// The router is asked at the address `gateway` and at no other one that it names. Default: no.
    pub gateway_only: bool,
}

impl PinholeConfig {
    /// The router at `gateway`, asked from `local_address`, everything else by default.
    pub const fn new(gateway: Ipv6Addr, local_address: Ipv6Addr) -> Self {
        Self { gateway, local_address, scope_id: 0, interface: None, ssdp_address: None, gateway_only: false }
    }

    builders! {
        scope_id(u32),
        interface(impl Into<Option<String>>),
        ssdp_address(impl Into<Option<SocketAddr>>),
        gateway_only(bool),
    }

    /// The way to the router of `path`. `None` if that is not IPv6.
    pub(crate) fn of_path(path: &NetworkPath) -> Option<Self> {
        let (Some(IpAddr::V6(gateway)), IpAddr::V6(local)) = (path.gateway, path.local_address) else { return None };
        Some(Self::new(gateway, local).scope_id(path.index).interface(path.interface.clone()))
    }

    pub(super) fn of_search(&self) -> UpnpConfig {
        UpnpConfig {
            gateway: self.gateway.into(),
            local_address: Some(self.local_address.into()),
            ssdp_address: self.ssdp_address,
            description: String::new(),
            gateway_only: self.gateway_only,
        }
    }

    /// The default gateway of the interface. None if the search is sent to one address alone, or stays on this machine.
    pub(super) fn by_ipv4(&self) -> ByIpv4 {
        let interface = self.interface.clone();
        let elsewhere = self.ssdp_address.is_some() || self.gateway.is_loopback();
        ByIpv4::new(move || {
            if elsewhere {
                return None;
            }
            let path = find_path(&Config { interface: interface.clone(), ..Config::default() }).ok()?;
            Some(UpnpConfig { gateway_only: true, ..UpnpConfig::new(path.gateway?).local_address(path.local_address) })
        })
    }
}
