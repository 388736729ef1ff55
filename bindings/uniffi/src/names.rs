//! The enums of the interface. Their variants mirror core's, their texts are core's.

use std::fmt;

/// An enum that mirrors one of core's, converts both ways, and has core's stable string as its text in the host.
macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, uniffi::Enum)]
        #[uniffi::export(Display)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl From<$name> for core::$name {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$variant),+
                }
            }
        }

        impl From<core::$name> for $name {
            #[allow(unreachable_patterns, reason = "some of core's enums may grow, others may not")]
            fn from(value: core::$name) -> Self {
                match value {
                    $(core::$name::$variant => Self::$variant,)+
                    // The parity tests compare the two lists, so that this is never released.
                    other => unreachable!("`{other}` is new in core"),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                core::$name::from(*self).fmt(f)
            }
        }
    };
}

/// Core's enums, all in one place.
mod core {
    pub(super) use portlease::mapping::AddressFamily;
    pub(super) use portlease::net::address::AddressClass;
    pub(super) use portlease::snapshot::{LeaseState, NatClass};
    pub(super) use portlease::{ErrorKind, EventKind, Protocol, Transport};
}

mirror! {
    /// The stable name of what went wrong. Programs match on this; messages are for people.
    ErrorKind {
        /// No gateway, or none of the protocols answered, or the gateway says that it has no such service.
        Unavailable,
        /// A call ran past its deadline.
        Timeout,
        /// A socket-level error on the way to the gateway.
        Transport,
        /// The gateway answered no; the message carries protocol and code.
        Refused,
        /// The caller's argument: the message names it and says what is allowed.
        Invalid,
        /// The handle is closed.
        Stopped,
        /// A defect in portlease.
        Internal,
    }
}

mirror! {
    /// Where a lease stands.
    LeaseState {
        /// Not begun, or waiting for the next attempt.
        Idle,
        /// Asking the gateway for a mapping.
        Probing,
        /// Mapped.
        Installed,
        /// Mapped, and asking the gateway to keep it.
        Renewing,
        /// The mapping was lost: renewals failed or its lifetime ran out.
        Revoked,
        /// Over: stopped, or failed with retry `never`.
        Exited,
    }
}

mirror! {
    /// What happened.
    EventKind {
        /// The gateway granted a mapping.
        Installed,
        /// The gateway granted the same mapping again.
        Renewed,
        /// A renewal brought another external address.
        Changed,
        /// An attempt to map or to renew failed; the lease goes on.
        Failed,
        /// The mapping was lost.
        Revoked,
        /// The lease is over.
        Exited,
        /// The machine's network changed.
        NetworkChanged,
    }
}

mirror! {
    /// What produced a mapping.
    Protocol {
        /// Port Control Protocol (RFC 6887).
        Pcp,
        /// NAT Port Mapping Protocol (RFC 6886).
        NatPmp,
        /// UPnP Internet Gateway Device 1 or 2.
        Upnp,
        /// No protocol: this host has a public address of its own and needs no gateway. Not to be asked for.
        None,
    }
}

mirror! {
    /// The transport protocol of the mapped port.
    Transport {
        /// UDP.
        Udp,
        /// TCP.
        Tcp,
    }
}

mirror! {
    /// The address family of a mapping.
    AddressFamily {
        /// An IPv4 port mapping through NAT.
        Ipv4,
    }
}

mirror! {
    /// Whether the port can be assumed open to the other side of the NAT.
    NatClass {
        /// A granted, unexpired mapping is published.
        Open,
        /// Nothing is known.
        Unknown,
    }
}

mirror! {
    /// The class of an external address: only a public one can be reached from the whole internet.
    AddressClass {
        /// Globally routed.
        Public,
        /// Shared by a carrier's customers, 100.64.0.0/10 (RFC 6598): the carrier's NAT stands in between.
        Cgnat,
        /// RFC 1918, link-local or unique local: a second router stands in between.
        Private,
        /// Loopback, documentation, multicast and the like: no host has it.
        Reserved,
        /// No address is known: none was granted, or the gateway has none.
        Unknown,
    }
}
