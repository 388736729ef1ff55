//! What a search is for, and what follows from that.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::config::UpnpConfig;

/// What devices are searched for.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    /// Those that map the ports of an IPv4 gateway.
    Ports,
    /// The IPv6 router, if it opens pinholes.
    Pinholes(ByIpv4),
}

/// The way to the same router over IPv4. Looked up only if it is needed, because it takes the system a while.
#[derive(Clone)]
pub(super) struct ByIpv4(Arc<dyn Fn() -> Option<UpnpConfig> + Send + Sync>);

impl ByIpv4 {
    pub(super) fn new(way: impl Fn() -> Option<UpnpConfig> + Send + Sync + 'static) -> Self {
        Self(Arc::new(way))
    }

    pub(super) fn look_up(&self) -> Option<UpnpConfig> {
        (self.0)()
    }
}

impl fmt::Debug for ByIpv4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByIpv4")
    }
}

/// What a description is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A service that maps ports. If `ranked`, it is compared with others.
    Ports { ranked: bool },
    /// A service that opens pinholes.
    Pinholes,
}

impl Sought {
    /// What the descriptions of the `gateway`, or of another host, are looked at for.
    pub(super) const fn wanted(&self, gateway: bool) -> Wanted {
        match self {
            Self::Ports => Wanted::Ports { ranked: !gateway },
            Self::Pinholes(_) => Wanted::Pinholes,
        }
    }
}

/// Whether an IPv6 address is on the link of `local`: link-local, or of the same /64, which is the size of a link's prefix (RFC 4291
/// 2.5.1).
pub(super) fn on_link(address: IpAddr, local: Option<IpAddr>) -> bool {
    let prefix = |address: Ipv6Addr| address.octets().first_chunk::<8>().copied();
    match (address, local) {
        (IpAddr::V6(address), _) if address.is_unicast_link_local() => true,
        (IpAddr::V6(address), Some(IpAddr::V6(local))) => prefix(address) == prefix(local),
        _ => false,
    }
}

/// The same without link-local addresses. A router has one of those on each link, by which it is known.
pub(super) fn is_global_on_link(address: IpAddr, local: Option<IpAddr>) -> bool {
    let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    !link_local && on_link(address, local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_on_the_link_if_it_is_link_local_or_has_the_prefix_of_this_machines() {
        let local = Some("2001:db8:77::10".parse().unwrap());
        for (address, expected) in [
            ("fe80::1", true),
            ("2001:db8:77::1", true),
            ("2001:db8:77:0:ffff::1", true),
            ("2001:db8:77:1::1", false),
            ("fd00::1", false),
            ("192.168.1.1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(on_link(address, local), expected, "{address}");
            let global = address.to_string().starts_with("2001");
            assert_eq!(is_global_on_link(address, local), expected && global, "{address}");
        }
        assert!(!on_link("2001:db8:77::1".parse().unwrap(), None));
    }
}
