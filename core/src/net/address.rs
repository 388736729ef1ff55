//! Whether an address can be reached from the internet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The class of an external address: only a public one can be reached from the whole internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum AddressClass {
    /// Globally routed: the whole internet can reach it.
    Public,
    /// 100.64.0.0/10 (RFC 6598): the provider's carrier-grade NAT is in front, so nothing on the internet can reach it.
    Cgnat,
    /// RFC 1918, link-local or unique local: a second router is in front, so nothing on the internet can reach it.
    Private,
    /// Loopback, documentation, multicast and the like: no host on the internet has it.
    Reserved,
    /// No address is known: none was granted, or the gateway has none.
    #[default]
    Unknown,
}

impl AddressClass {
    /// Every class.
    pub const ALL: [Self; 5] = [Self::Public, Self::Cgnat, Self::Private, Self::Reserved, Self::Unknown];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Cgnat => "cgnat",
            Self::Private => "private",
            Self::Reserved => "reserved",
            Self::Unknown => "unknown",
        }
    }

    /// The class of `address`, by the IANA special-purpose registries (RFC 6890).
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => {
                if let Some(v4) = v6.to_ipv4_mapped() {
                    return Self::of_v4(v4);
                }
                let first = v6.segments()[0];
                if v6.is_unspecified() {
                    Self::Unknown
                } else if v6.is_unique_local() || v6.is_unicast_link_local() {
                    Self::Private
                } else if first & 0xe000 == 0x2000 && !(first == 0x2001 && v6.segments()[1] == 0xdb8) {
                    Self::Public
                } else {
                    Self::Reserved
                }
            }
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        if address.is_unspecified() {
            Self::Unknown
        } else if a == 100 && b & 0xc0 == 64 {
            Self::Cgnat
        } else if address.is_private() || address.is_link_local() {
            Self::Private
        } else if address.is_loopback()
            || address.is_documentation()
            || a == 0
            || a >= 224
            || (a, b, c) == (192, 0, 0)
            || (a, b, c) == (192, 88, 99)
            || (a == 198 && b & 0xfe == 18)
        {
            Self::Reserved
        } else {
            Self::Public
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_fall_into_the_classes_of_the_special_purpose_registries() {
        for (text, class) in [
            ("192.0.1.1", AddressClass::Public),
            ("8.8.8.8", AddressClass::Public),
            ("100.63.255.255", AddressClass::Public),
            ("100.64.0.0", AddressClass::Cgnat),
            ("100.127.255.255", AddressClass::Cgnat),
            ("100.128.0.0", AddressClass::Public),
            ("10.0.0.1", AddressClass::Private),
            ("172.16.0.1", AddressClass::Private),
            ("172.32.0.1", AddressClass::Public),
            ("192.168.0.1", AddressClass::Private),
            ("169.254.1.1", AddressClass::Private),
            ("127.0.0.1", AddressClass::Reserved),
            ("192.0.0.8", AddressClass::Reserved),
            ("192.0.2.1", AddressClass::Reserved),
            ("198.18.0.1", AddressClass::Reserved),
            ("198.19.255.255", AddressClass::Reserved),
            ("198.51.100.1", AddressClass::Reserved),
            ("203.0.113.1", AddressClass::Reserved),
            ("224.0.0.1", AddressClass::Reserved),
            ("255.255.255.255", AddressClass::Reserved),
            ("0.0.0.0", AddressClass::Unknown),
            ("::", AddressClass::Unknown),
            ("2600::1", AddressClass::Public),
            ("2001:db8::1", AddressClass::Reserved),
            ("fe80::1", AddressClass::Private),
            ("fd00::1", AddressClass::Private),
            ("::ffff:100.64.0.1", AddressClass::Cgnat),
        ] {
            assert_eq!(AddressClass::of(text.parse().unwrap()), class, "{text}");
        }
    }
}
