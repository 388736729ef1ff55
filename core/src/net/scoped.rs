//! An address together with the interface that leads to it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::PortMappingError;

/// The longest scope in bytes: that of an interface's name (IFNAMSIZ without its end).
pub const MAX_SCOPE_LENGTH: usize = 15;

/// The address of a gateway as users write it. A link-local IPv6 address is another host's on each link, so it may have a
/// scope (RFC 4007 11): the name or the number of the interface that leads to it, such as `fe80::1%eth0`.
///
/// ```
/// use portlease::ScopedAddr;
///
/// let gateway: ScopedAddr = "fe80::1%eth0".parse()?;
/// assert_eq!((gateway.scope(), gateway.to_string().as_str()), (Some("eth0"), "fe80::1%eth0"));
/// assert_eq!(ScopedAddr::from([192, 168, 1, 1]).scope(), None);
/// # Ok::<(), portlease::PortMappingError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopedAddr {
    ip: IpAddr,
    /// UTF-8, with zeros behind its end.
    scope: [u8; MAX_SCOPE_LENGTH],
}

impl ScopedAddr {
    /// The address with a scope of 1 to 15 bytes, without `%`. `None` for any other scope.
    pub fn new(ip: Ipv6Addr, scope: &str) -> Option<Self> {
        let mut bytes = [0; MAX_SCOPE_LENGTH];
        let strange = |letter: char| letter == '%' || letter.is_control();
        if scope.is_empty() || scope.contains(strange) {
            return None;
        }
        bytes.get_mut(..scope.len())?.copy_from_slice(scope.as_bytes());
        Some(Self { ip: ip.into(), scope: bytes })
    }

    /// The address without its scope.
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The name or the number of the interface.
    pub fn scope(&self) -> Option<&str> {
        let scope = self.scope.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(scope).ok().filter(|scope| !scope.is_empty())
    }

    /// Reads the address out of text. Fails with kind `invalid` about `argument`.
    pub(crate) fn read(argument: &'static str, text: &str) -> Result<Self, PortMappingError> {
        let Some((address, scope)) = text.split_once('%') else {
            return crate::config::parse_address(argument, text).map(Self::from);
        };
        let IpAddr::V6(ip) = crate::config::parse_address(argument, address)? else {
            let message = format!("`{text:.64}` has a scope, which only an IPv6 address may have; give {address}");
            return Err(PortMappingError::invalid(argument, message));
        };
        Self::new(ip, scope).ok_or_else(|| {
            let message = format!(
                "the scope of `{text:.64}` must be the name or the number of an interface, 1 to {MAX_SCOPE_LENGTH} bytes"
            );
            PortMappingError::invalid(argument, message)
        })
    }
}

impl From<IpAddr> for ScopedAddr {
    fn from(ip: IpAddr) -> Self {
        Self { ip, scope: [0; MAX_SCOPE_LENGTH] }
    }
}

impl From<Ipv4Addr> for ScopedAddr {
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::from(ip).into()
    }
}

impl From<Ipv6Addr> for ScopedAddr {
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::from(ip).into()
    }
}

impl From<[u8; 4]> for ScopedAddr {
    fn from(ip: [u8; 4]) -> Self {
        IpAddr::from(ip).into()
    }
}

impl From<ScopedAddr> for IpAddr {
    fn from(address: ScopedAddr) -> Self {
        address.ip
    }
}

impl FromStr for ScopedAddr {
    type Err = PortMappingError;

    /// Fails with kind `invalid`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read("address", text)
    }
}

impl fmt::Display for ScopedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope() {
            Some(scope) => write!(f, "{}%{scope}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

impl fmt::Debug for ScopedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        ScopedAddr::read("gateway", text).unwrap_err().to_string()
    }

    #[test]
    fn an_address_keeps_the_longest_scope_through_text() {
        for text in
            ["fe80::1%eth0", "fe80::1%7", "fe80:1111:2222:3333:4444:5555:6666:7777%wlp0s20f3-vlan4", "fe80::1%Wi-Fi 2"]
        {
            let address: ScopedAddr = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.scope(), text.split_once('%').map(|(_, scope)| scope));
        }
        for text in ["192.168.1.1", "2001:db8::1"] {
            let address: ScopedAddr = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.scope()), (text, None));
            assert_eq!(address, address.ip().into());
        }
    }

    #[test]
    fn a_scope_that_no_interface_can_have_is_invalid_and_the_message_says_what_is_allowed() {
        let allowed = "must be the name or the number of an interface, 1 to 15 bytes";
        for text in ["fe80::1%", "fe80::1%a%b", "fe80::1%wlp0s20f3-vlan42", "fe80::1%a\nb"] {
            let message = refused(text);
            assert!(message.starts_with("gateway: ") && message.ends_with(allowed), "{message}");
        }
        assert!(refused("192.168.1.1%eth0").contains("only an IPv6 address may have"));
        assert!(refused("router%eth0").contains("`router` is not an IP address"));
    }
}
