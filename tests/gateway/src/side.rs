//! The router speaks IPv4 and IPv6, and does not do the same in both.

/// The two halves of the router. Each has listeners of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The NAT for IPv4, on `bind`.
    Nat,
    /// The firewall for IPv6, on `ipv6_bind`.
    Firewall,
}
