//! What is asked of a gateway and what it granted.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::builders::builders;
use crate::error::{PortMappingError, check, list};
pub use crate::protocol::Protocol;
use crate::schedule::{MAX_TTL, MIN_TTL};

/// The longest description, in characters; several routers store no more.
pub const MAX_DESCRIPTION_LENGTH: usize = 64;

/// The transport protocol of the mapped port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Transport {
    /// Both transports.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// The address family of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum AddressFamily {
    /// An IPv4 port mapping through NAT.
    #[default]
    Ipv4,
    /// An IPv6 pinhole: the router's firewall lets packets from the internet through to a port of this machine's own global
    /// address.
    Ipv6,
}

impl AddressFamily {
    /// Both families.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of `address`.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

macro_rules! stable_strings {
    ($type:ty, $argument:literal, $all:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = PortMappingError;

            /// Reads the stable string. Fails with kind `invalid`.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $all.into_iter().find(|value| value.as_str() == text).ok_or_else(|| {
                    PortMappingError::invalid($argument, format!("`{text}` is not one of {}", list($all)))
                })
            }
        }
    };
}

stable_strings!(Protocol, "protocol", Protocol::ALL);
stable_strings!(Transport, "transport", Transport::ALL);
stable_strings!(AddressFamily, "family", AddressFamily::ALL);

/// What a lease keeps open. A mapper has at most one lease for each.
pub(crate) type LeaseKey = (AddressFamily, Transport, u16);

/// One port to be mapped.
///
/// ```
/// use portlease::{MapRequest, Transport};
///
/// let request = MapRequest::new(8080, Transport::Tcp).external_port(80).exact();
/// assert_eq!(request.suggested_port(), 80);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MapRequest {
    /// The local port, 1 to 65535.
    pub internal_port: u16,
    /// UDP or TCP.
    pub transport: Transport,
    /// The external port to ask for, 1 to 65535. Default: the internal port. With IPv6 the port outside is the port inside, so
    /// no other one is allowed.
    pub external_port: Option<u16>,
    /// Whether only this external port will do: any other answer is `refused`. By default the gateway may grant another. With
    /// IPv6 it never does.
    pub exact: bool,
    /// The address family: an IPv4 port mapping, or an IPv6 pinhole for this machine's own global address. Default: IPv4.
    pub family: AddressFamily,
    /// The lifetime to ask for, 1 s to 24 h, rounded up to whole seconds. Default: that of the mapper's
    /// [`Config`](crate::Config).
    pub ttl: Option<Duration>,
    /// The text that the gateway shows beside the mapping (UPnP only), at most 64 characters, no control characters.
    /// Default: that of the mapper's [`Config`](crate::Config).
    pub description: Option<String>,
}

impl MapRequest {
    /// A request for `port`, wishing for the same external port and content with another.
    pub const fn new(port: u16, transport: Transport) -> Self {
        Self {
            internal_port: port,
            transport,
            external_port: None,
            exact: false,
            family: AddressFamily::Ipv4,
            ttl: None,
            description: None,
        }
    }

    /// Wishes for this external port; the gateway may still grant another.
    #[must_use]
    pub const fn external_port(mut self, port: u16) -> Self {
        self.external_port = Some(port);
        self
    }

    /// Insists on the external port: any other answer is `refused`.
    #[must_use]
    pub const fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Sets the address family.
    #[must_use]
    pub const fn family(mut self, family: AddressFamily) -> Self {
        self.family = family;
        self
    }

    /// Asks for this lifetime instead of the mapper's.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Has the gateway show this text beside the mapping instead of the mapper's.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The external port to suggest: the wish, else the internal port. Never 0, which some routers refuse.
    pub const fn suggested_port(&self) -> u16 {
        match self.external_port {
            Some(port) => port,
            None => self.internal_port,
        }
    }

    pub(crate) const fn key(&self) -> LeaseKey {
        (self.family, self.transport, self.internal_port)
    }

    /// Checks every field. Fails with kind `invalid`, naming the field and what is allowed.
    pub fn validate(&self) -> Result<(), PortMappingError> {
        PortMappingError::check_port("internal_port", self.internal_port)?;
        self.external_port.map_or(Ok(()), |port| PortMappingError::check_port("external_port", port))?;
        let (inside, outside) = (self.internal_port, self.suggested_port());
        check("external_port", self.family == AddressFamily::Ipv4 || inside == outside, || {
            format!("must be the internal port {inside} with IPv6, which translates no ports, not {outside}")
        })?;
        self.ttl.map_or(Ok(()), check_ttl)?;
        self.description.as_deref().map_or(Ok(()), check_description)
    }
}

/// Fails with kind `invalid` for a lifetime that is never asked for.
pub(crate) fn check_ttl(ttl: Duration) -> Result<(), PortMappingError> {
    check("ttl", (MIN_TTL..=MAX_TTL).contains(&ttl), || {
        let (least, most) = (MIN_TTL.as_secs(), MAX_TTL.as_secs());
        format!("must be between {least} and {most} s, not {} s", ttl.as_secs_f64())
    })
}

/// A lifetime to ask for in whole seconds, a fraction rounded up: the wire knows no fractions.
pub(crate) fn whole_seconds(ttl: Duration) -> Duration {
    Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
}

/// Fails with kind `invalid` for a text that some gateway would not show as it is.
pub(crate) fn check_description(description: &str) -> Result<(), PortMappingError> {
    let length = description.chars().count();
    check("description", length <= MAX_DESCRIPTION_LENGTH, || {
        format!("must have at most {MAX_DESCRIPTION_LENGTH} characters, not {length}")
    })?;
    let control = description.chars().find(|c| c.is_control());
    check("description", control.is_none(), || {
        format!("must not contain control characters such as U+{:04X}", u32::from(control.unwrap_or_default()))
    })
}

/// What a gateway granted, with all that its protocol needs to renew and delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortMapping {
    /// What was asked for.
    pub request: MapRequest,
    /// The address and port at which the internet can reach the app. The address is `0.0.0.0` where the
    /// gateway does not know its own.
    pub external: SocketAddr,
    /// The lifetime that was asked for and is asked for again at each renewal.
    pub requested_ttl: Duration,
    /// The lifetime that the gateway granted; `None` for a mapping that does not end by itself.
    pub lifetime: Option<Duration>,
    /// The protocol that made it; the same renews and deletes it.
    pub protocol: Protocol,
    /// What the protocol needs to find the mapping again.
    pub token: ProtocolToken,
}

impl PortMapping {
    /// A mapping that was granted for `ttl`, as long as was asked for, and whose protocol needs no token. For authors of
    /// a [`PortMapperClient`](crate::client::PortMapperClient).
    ///
    /// ```
    /// use portlease::{MapRequest, PortMapping, Protocol, Transport};
    /// use std::time::Duration;
    ///
    /// let request = MapRequest::new(4000, Transport::Udp);
    /// let mapping = PortMapping::new(request, ([203, 0, 113, 7], 4000), Duration::from_secs(3600), Protocol::NatPmp);
    /// assert_eq!(mapping.lifetime, Some(Duration::from_secs(3600)));
    /// assert!(mapping.lifetime(None).permanent());
    /// ```
    pub fn new(request: MapRequest, external: impl Into<SocketAddr>, ttl: Duration, protocol: Protocol) -> Self {
        let (external, lifetime) = (external.into(), Some(ttl));
        Self { request, external, requested_ttl: ttl, lifetime, protocol, token: ProtocolToken::None }
    }

    builders! {
        lifetime(impl Into<Option<Duration>>),
        token(ProtocolToken),
    }

    /// The mapping as one that this program has made, because another of its protocols turns out to have made the entry
    /// that this one found and adopted.
    pub(crate) fn made_by_us(&self) -> Self {
        let mut mapping = self.clone();
        if let ProtocolToken::Upnp { adopted, .. } = &mut mapping.token {
            *adopted = false;
        }
        mapping
    }

    /// Whether the mapping stays on the gateway until it is deleted.
    pub const fn permanent(&self) -> bool {
        self.lifetime.is_none()
    }
}

/// What a protocol needs, beside ports and transport, to renew and delete a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolToken {
    /// Nothing more (NAT-PMP, or no gateway at all).
    None,
    /// The mapping nonce (RFC 6887 11.1), the same in every request for this mapping.
    #[non_exhaustive]
    Pcp {
        /// 96 random bits.
        nonce: [u8; 12],
    },
    /// The service that holds the mapping.
    #[non_exhaustive]
    Upnp {
        /// Absolute URL to which the actions are sent.
        control_url: String,
        /// For instance `urn:schemas-upnp-org:service:WANIPConnection:1`.
        service_type: String,
        /// The device's unique name (`uuid:...`), by which it is known again at another URL; empty where it has none.
        udn: String,
        /// Whether the entry led to this host before it was asked for: then somebody else made it, and it is never deleted.
        adopted: bool,
    },
    /// The service that holds the IPv6 pinhole (WANIPv6FirewallControl:1).
    #[non_exhaustive]
    Pinhole {
        /// Absolute URL to which the actions are sent.
        control_url: String,
        /// For instance `urn:schemas-upnp-org:service:WANIPv6FirewallControl:1`.
        service_type: String,
        /// The device's unique name (`uuid:...`), by which it is known again at another URL; empty where it has none.
        udn: String,
        /// The number by which the service knows the pinhole.
        unique_id: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn protocols_and_transports_read_back_from_their_strings() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.as_str().parse::<Protocol>().unwrap(), protocol);
        }
        for transport in Transport::ALL {
            assert_eq!(transport.as_str().parse::<Transport>().unwrap(), transport);
        }
    }

    #[test]
    fn an_unknown_transport_is_invalid_and_named() {
        let error = "sctp".parse::<Transport>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.to_string(), "transport: `sctp` is not one of udp, tcp");
    }

    #[test]
    fn port_zero_is_invalid_inside_and_outside() {
        let inside = MapRequest::new(0, Transport::Udp).validate().unwrap_err();
        assert!(inside.to_string().starts_with("internal_port: must be between 1 and 65535"), "{inside}");
        let outside = MapRequest::new(1, Transport::Udp).external_port(0).validate().unwrap_err();
        assert!(outside.to_string().starts_with("external_port: must be between 1 and 65535"), "{outside}");
    }

    #[test]
    fn with_ipv6_the_port_outside_must_be_the_port_inside_and_exact_changes_nothing() {
        let request = MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6);
        for good in [request.clone(), request.clone().exact(), request.clone().external_port(4000).exact()] {
            good.validate().unwrap();
        }
        for bad in [request.clone().external_port(80), request.external_port(80).exact()] {
            let error = bad.validate().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = "external_port: must be the internal port 4000 with IPv6, which translates no ports, not 80";
            assert_eq!(error.to_string(), text);
            bad.family(AddressFamily::Ipv4).validate().unwrap();
        }
    }

    #[test]
    fn families_read_back_from_their_strings_and_another_one_is_invalid() {
        for family in AddressFamily::ALL {
            assert_eq!(family.as_str().parse::<AddressFamily>().unwrap(), family);
        }
        let error = "ipx".parse::<AddressFamily>().unwrap_err();
        assert_eq!(error.to_string(), "family: `ipx` is not one of ipv4, ipv6");
    }

    #[test]
    fn the_suggested_port_is_the_wish_or_else_the_internal_port() {
        assert_eq!(MapRequest::new(4000, Transport::Udp).suggested_port(), 4000);
        assert_eq!(MapRequest::new(4000, Transport::Udp).external_port(4100).suggested_port(), 4100);
    }
}
