//! The protocols, by name alone: errors name them, and they name nothing.

/// What produced a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum Protocol {
    /// Port Control Protocol (RFC 6887).
    Pcp,
    /// NAT Port Mapping Protocol (RFC 6886).
    NatPmp,
    /// UPnP Internet Gateway Device 1 or 2.
    Upnp,
    /// No protocol: this host has a public address of its own and needs no gateway. Cannot be asked for.
    None,
}

impl Protocol {
    /// The protocols that can be asked for, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Pcp, Self::NatPmp, Self::Upnp];

    /// The stable string.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
            Self::None => "none",
        }
    }
}
