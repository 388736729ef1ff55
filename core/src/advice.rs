//! What stands in the way of a port, and what people can do about it: the one place that knows.

use std::net::IpAddr;

use crate::error::{ErrorDetail, ErrorKind, ErrorReport, PortMappingError};
use crate::mapping::Protocol;
use crate::net::address::AddressClass;

/// What stands in the way. Where the protocols have answered differently, it is the first in this order.
///
/// ```
/// use portlease::{AddressClass, ErrorDetail, ErrorKind, Obstacle, Protocol};
///
/// let silent = [ErrorDetail::new(Protocol::Pcp, ErrorKind::Timeout, "no answer")];
/// let obstacle = Obstacle::of(ErrorKind::Unavailable, &silent).unwrap();
/// assert_eq!(obstacle.advice(), "switch on UPnP, NAT-PMP or PCP in the router's settings");
/// assert_eq!(Obstacle::of_class(AddressClass::Cgnat), Some(Obstacle::CarrierNat));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum Obstacle {
    /// The router's IPv6 firewall is switched off: nothing stands in the way, and nothing can be opened.
    FirewallOff,
    /// The external port is another's, or the router cannot give it.
    PortTaken,
    /// The router does not allow this machine, or this port, to be mapped.
    NotAuthorized,
    /// The router has no external address, or its connection is down. Before a full table, because routers without an address
    /// answer PCP with NO_RESOURCES.
    NoExternalAddress,
    /// The router has no room for another mapping, or for another one of this machine.
    TableFull,
    /// A NAT stands between this machine and the router that is asked.
    NatInside,
    /// The router tried and failed: its connection is down, its table is full, or something else.
    RouterFailed,
    /// The router says no for another reason.
    Refused,
    /// The router answers by none of the protocols.
    Silence,
    /// The router answers, and does not know the request or its version.
    Unsupported,
    /// This machine could not send, or not to that address.
    Transport,
    /// There is no router to ask.
    NoNetwork,
    /// The caller's time was up before the answer.
    Deadline,
    /// A defect in portlease.
    Defect,
    /// The port is mapped, but the provider's carrier-grade NAT stands before the internet.
    CarrierNat,
    /// The port is mapped, but another router stands before the internet.
    SecondRouter,
    /// The port is mapped, but at an address that no host on the internet has.
    ReservedAddress,
}

impl Obstacle {
    /// Every obstacle.
    pub const ALL: [Self; 17] = [
        Self::FirewallOff,
        Self::PortTaken,
        Self::NotAuthorized,
        Self::NoExternalAddress,
        Self::TableFull,
        Self::NatInside,
        Self::RouterFailed,
        Self::Refused,
        Self::Silence,
        Self::Unsupported,
        Self::Transport,
        Self::NoNetwork,
        Self::Deadline,
        Self::Defect,
        Self::CarrierNat,
        Self::SecondRouter,
        Self::ReservedAddress,
    ];

    /// What stands behind a failure of this kind, with what each protocol has answered; nothing behind
    /// `invalid`, `stopped`, and what portlease says without an answer of the router.
    pub fn of(kind: ErrorKind, details: &[ErrorDetail]) -> Option<Self> {
        let worst = details.iter().map(Self::behind).min();
        match kind {
            ErrorKind::Invalid | ErrorKind::Stopped => None,
            // Without an answer of the router it is portlease that refuses, and its message says why.
            ErrorKind::Refused => worst,
            ErrorKind::Internal => Some(Self::Defect),
            ErrorKind::Unavailable => worst,
            ErrorKind::Timeout => Some(worst.unwrap_or(Self::Deadline)),
            ErrorKind::Transport => Some(worst.unwrap_or(Self::Transport)),
        }
    }

    /// What stands between an external address of this class and the internet; nothing if it is public.
    pub const fn of_class(class: AddressClass) -> Option<Self> {
        match class {
            AddressClass::Public => None,
            AddressClass::Cgnat => Some(Self::CarrierNat),
            AddressClass::Private => Some(Self::SecondRouter),
            AddressClass::Reserved => Some(Self::ReservedAddress),
            AddressClass::Unknown => Some(Self::NoExternalAddress),
        }
    }

    /// What stands behind the answer of one protocol.
    fn behind(detail: &ErrorDetail) -> Self {
        let by_code = detail.code.and_then(|code| match detail.protocol {
            Protocol::Pcp => by_pcp(code),
            Protocol::NatPmp => by_nat_pmp(code),
            Protocol::Upnp => by_upnp(code),
            Protocol::None => None,
        });
        let by_name = || match detail.name.as_deref() {
            Some(CANNOT_PROVIDE_EXTERNAL) => Some(Self::PortTaken),
            Some(NETWORK_FAILURE) => Some(Self::NoExternalAddress),
            Some(FIREWALL_DISABLED_NAME) => Some(Self::FirewallOff),
            Some(PINHOLE_NOT_ALLOWED_NAME) => Some(Self::NotAuthorized),
            Some(_) | None => None,
        };
        let by_kind = || match detail.kind {
            ErrorKind::Unavailable | ErrorKind::Timeout => Self::Silence,
            ErrorKind::Transport => Self::Transport,
            ErrorKind::Refused | ErrorKind::Invalid | ErrorKind::Stopped => Self::Refused,
            ErrorKind::Internal => Self::Defect,
        };
        by_code.or_else(by_name).unwrap_or_else(by_kind)
    }

    /// One sentence about what to do now, without a full stop.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::FirewallOff => {
                "leave it as it is if all IPv6 ports of this network may be open; else switch on the router's IPv6 firewall"
            }
            Self::PortTaken => "ask for another external port, or take any that the router gives",
            Self::NotAuthorized => {
                "allow port mapping for this machine in the router's settings (on a FRITZ!Box: Internet > Permit Access > Port \
                 Sharing > permit independent port sharing); many routers map no external port below 1024"
            }
            Self::TableFull => "delete mappings that nobody needs from the router's table, or restart the router",
            Self::NoExternalAddress => {
                "look at the router's internet connection: is it up, and did it get an address of its own? If that address is private \
                 or begins with 100.64 to 100.127, ask the provider for a public IPv4 address, or use a relay or IPv6"
            }
            Self::NatInside => {
                "connect this machine to the router itself: another router, a virtual machine or a container stands between them"
            }
            Self::RouterFailed => {
                "look at the router's internet connection and at its table of mapped ports, and restart the router if both are well"
            }
            Self::Refused => {
                "allow port mapping for this machine in the router's settings, or ask for another external port"
            }
            Self::Silence => "switch on UPnP, NAT-PMP or PCP in the router's settings",
            Self::Unsupported => {
                "update the router's software, or switch on UPnP, NAT-PMP and PCP in its settings, so that each can be tried"
            }
            Self::Transport => CHECK_THIS_MACHINE,
            Self::NoNetwork => "connect this machine to a network with a router",
            Self::Deadline => "try again, and allow more time",
            Self::Defect => "this is a defect in portlease: please report it",
            Self::CarrierNat => "ask the provider for a public IPv4 address; until then use a relay or IPv6",
            Self::SecondRouter => "set the router before this one to bridge mode, or map the port there too",
            Self::ReservedAddress => {
                "look at the router's internet connection: its address is not one that the internet has"
            }
        }
    }
}

/// What may be wrong with this machine. Apple's systems let a program use the local network only if the user permits it, and tell a
/// program that may not that there is no route.
const CHECK_THIS_MACHINE: &str = if cfg!(target_os = "macos") {
    ON_MACOS
} else if cfg!(target_vendor = "apple") {
    ON_IOS
} else {
    "check this machine's network connection, its firewall and the addresses given"
};
const ON_MACOS: &str = "check this machine's network connection, its firewall and the addresses given, and permit this program, or the \
    terminal that runs it, in System Settings > Privacy & Security > Local Network";
const ON_IOS: &str = "check this device's network connection and the addresses given, and permit the app in Settings > Privacy & \
    Security > Local Network; a search by multicast also requires the entitlement com.apple.developer.networking.multicast";

/// The name of PCP's result code 11, which stands for the same where a protocol has no code for it.
pub(crate) const CANNOT_PROVIDE_EXTERNAL: &str = "CANNOT_PROVIDE_EXTERNAL";
/// The same of result code 7.
pub(crate) const NETWORK_FAILURE: &str = "NETWORK_FAILURE";

/// UPnP's names of 702 and 703, which stand for the same where a router tells its state without a code.
pub(crate) const FIREWALL_DISABLED_NAME: &str = "FirewallDisabled";
pub(crate) const PINHOLE_NOT_ALLOWED_NAME: &str = "InboundPinholeNotAllowed";

/// The result codes of RFC 6887 7.4 that say what is wrong.
const fn by_pcp(code: u32) -> Option<Obstacle> {
    Some(match code {
        // UNSUPP_VERSION, UNSUPP_OPCODE
        1 | 4 => Obstacle::Unsupported,
        2 => Obstacle::NotAuthorized,
        // NETWORK_FAILURE
        7 => Obstacle::NoExternalAddress,
        // NO_RESOURCES, USER_EX_QUOTA
        8 | 10 => Obstacle::TableFull,
        11 => Obstacle::PortTaken,
        // ADDRESS_MISMATCH
        12 => Obstacle::NatInside,
        _ => return None,
    })
}

/// The result codes of RFC 6886 3.5.
const fn by_nat_pmp(code: u32) -> Option<Obstacle> {
    Some(match code {
        // UNSUPPORTED_VERSION, UNSUPPORTED_OPCODE
        1 | 5 => Obstacle::Unsupported,
        2 => Obstacle::NotAuthorized,
        // NETWORK_FAILURE
        3 => Obstacle::NoExternalAddress,
        // OUT_OF_RESOURCES
        4 => Obstacle::TableFull,
        _ => return None,
    })
}

/// The error codes of UDA 1.1 table 3-3 and WANIPConnection:2 table 2-19.
const fn by_upnp(code: u32) -> Option<Obstacle> {
    Some(match code {
        // InvalidAction, OptionalActionNotImplemented
        401 | 602 => Obstacle::Unsupported,
        // ActionFailed
        501 => Obstacle::RouterFailed,
        // OutOfMemory, PinholeSpaceExhausted, NoPortMapsAvailable
        603 | 701 | 728 => Obstacle::TableFull,
        // HumanInterventionRequired, ActionNotAuthorized, InboundPinholeNotAllowed
        604 | 606 | 703 => Obstacle::NotAuthorized,
        // FirewallDisabled
        702 => Obstacle::FirewallOff,
        // ConflictInMappingEntry, SamePortValuesRequired, ConflictWithOtherMechanisms
        718 | 724 | 729 => Obstacle::PortTaken,
        _ => return None,
    })
}

impl PortMappingError {
    /// What stands in the way, if something does: [`Obstacle::of`].
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Unavailable { no_gateway: true, .. } => Some(Obstacle::NoNetwork),
            error => Obstacle::of(error.kind(), error.details()),
        }
    }

    /// One sentence for people about what to do now, without a full stop: that of the [`obstacle`](Self::obstacle). Nothing if
    /// there is nothing to do.
    pub fn advice(&self) -> Option<String> {
        self.obstacle().map(|obstacle| obstacle.advice().to_owned())
    }
}

impl ErrorReport {
    /// What stands in the way: the obstacle that its advice is about.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let advice = self.advice.as_deref()?;
        Obstacle::ALL.into_iter().find(|obstacle| obstacle.advice() == advice)
    }
}

impl From<&PortMappingError> for ErrorReport {
    fn from(error: &PortMappingError) -> Self {
        Self {
            kind: error.kind(),
            message: error.message(),
            details: error.details().to_vec(),
            advice: error.advice(),
            retry_after: error.retry_after(),
        }
    }
}

impl AddressClass {
    /// Why nothing on the internet can reach this external address; `None` if it can.
    pub fn unreachable(address: Option<IpAddr>) -> Option<String> {
        let unknown = "the router has no external address, or does not tell it: it is not known whether the internet can reach it";
        let Some(address) = address else { return Some(unknown.to_owned()) };
        match Self::of(address) {
            Self::Public => None,
            Self::Unknown => Some(unknown.to_owned()),
            Self::Cgnat => Some(format!(
                "{address} belongs to the provider's own network (carrier-grade NAT): nothing on the internet can reach it"
            )),
            Self::Private if address.is_ipv6() => {
                Some(format!("{address} is an address of the local network only: nothing on the internet can reach it"))
            }
            Self::Private => Some(format!(
                "{address} is a private address, so another router is in front: nothing on the internet can reach it"
            )),
            Self::Reserved => Some(format!("{address} is a reserved address: nothing on the internet can reach it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(protocol: Protocol, code: u32) -> ErrorDetail {
        ErrorDetail::new(protocol, ErrorKind::Refused, "no").code(code)
    }

    fn obstacle(details: &[ErrorDetail]) -> Obstacle {
        Obstacle::of(ErrorKind::Refused, details).unwrap()
    }

    #[test]
    fn a_router_without_a_public_address_is_not_taken_for_one_with_a_full_table() {
        // What miniupnpd answers behind carrier-grade NAT.
        let answers = [(Protocol::Pcp, 8), (Protocol::NatPmp, 3), (Protocol::Upnp, 501)];
        let details = answers.map(|(protocol, code)| refused(protocol, code));
        assert_eq!(obstacle(&details), Obstacle::NoExternalAddress);
        assert!(Obstacle::NoExternalAddress.advice().contains("ask the provider for a public IPv4 address"));
    }

    #[test]
    fn the_codes_of_every_protocol_say_what_stands_in_the_way() {
        for (found, codes) in [
            (Obstacle::PortTaken, [(Protocol::Pcp, 11), (Protocol::Upnp, 718), (Protocol::Upnp, 729)]),
            (Obstacle::NotAuthorized, [(Protocol::Pcp, 2), (Protocol::NatPmp, 2), (Protocol::Upnp, 606)]),
            (Obstacle::TableFull, [(Protocol::Pcp, 8), (Protocol::NatPmp, 4), (Protocol::Upnp, 728)]),
            (Obstacle::NoExternalAddress, [(Protocol::Pcp, 7), (Protocol::NatPmp, 3), (Protocol::NatPmp, 3)]),
            (Obstacle::NotAuthorized, [(Protocol::Upnp, 703); 3]),
            (Obstacle::TableFull, [(Protocol::Upnp, 701); 3]),
            (Obstacle::FirewallOff, [(Protocol::Upnp, 702); 3]),
            (Obstacle::RouterFailed, [(Protocol::Upnp, 501); 3]),
            (Obstacle::Unsupported, [(Protocol::Pcp, 1), (Protocol::NatPmp, 1), (Protocol::Upnp, 401)]),
            (Obstacle::Refused, [(Protocol::Pcp, 3), (Protocol::NatPmp, 77), (Protocol::Upnp, 899)]),
        ] {
            for (protocol, code) in codes {
                assert_eq!(obstacle(&[refused(protocol, code)]), found, "{protocol} {code}");
            }
        }
        let offered_another = ErrorDetail::new(Protocol::NatPmp, ErrorKind::Refused, "no");
        assert_eq!(obstacle(&[offered_another.name(CANNOT_PROVIDE_EXTERNAL.to_owned())]), Obstacle::PortTaken);
        let untold = ErrorDetail::new(Protocol::Upnp, ErrorKind::Unavailable, "no").name(NETWORK_FAILURE.to_owned());
        assert_eq!(obstacle(&[untold]), Obstacle::NoExternalAddress);
    }

    #[test]
    fn of_different_answers_the_one_that_people_can_do_something_about_counts() {
        let silent = ErrorDetail::new(Protocol::Upnp, ErrorKind::Timeout, "no answer");
        let unsupported = refused(Protocol::Pcp, 1);
        assert_eq!(obstacle(&[unsupported.clone(), silent.clone()]), Obstacle::Silence);
        assert_eq!(obstacle(&[unsupported, refused(Protocol::NatPmp, 4), silent]), Obstacle::TableFull);
    }

    #[test]
    fn without_an_answer_of_a_protocol_the_kind_says_what_to_do() {
        for (kind, obstacle) in [
            (ErrorKind::Unavailable, None),
            (ErrorKind::Timeout, Some(Obstacle::Deadline)),
            (ErrorKind::Transport, Some(Obstacle::Transport)),
            (ErrorKind::Refused, None),
            (ErrorKind::Internal, Some(Obstacle::Defect)),
            (ErrorKind::Invalid, None),
            (ErrorKind::Stopped, None),
        ] {
            assert_eq!(Obstacle::of(kind, &[]), obstacle, "{kind}");
        }
        assert_eq!(PortMappingError::no_gateway("no default route").obstacle(), Some(Obstacle::NoNetwork));
        assert_eq!(PortMappingError::unavailable("the lifetime ran out in sleep").advice(), None);
        let error = PortMappingError::unavailable("none").with_details([refused(Protocol::Pcp, 1)]);
        assert_eq!(error.advice().as_deref(), Some(Obstacle::Unsupported.advice()));
    }

    #[test]
    fn on_apples_systems_the_advice_for_an_error_of_this_machine_names_the_permission_for_the_local_network() {
        for advice in [ON_MACOS, ON_IOS] {
            assert!(advice.contains("Privacy & Security > Local Network") && !advice.contains("  "), "{advice}");
        }
        let here = Obstacle::Transport.advice();
        assert_eq!(here.contains("Local Network"), cfg!(target_vendor = "apple"), "{here}");
    }

    #[test]
    fn every_class_but_public_has_a_reason_and_a_way_out() {
        let addresses = [Some([192, 0, 1, 1]), Some([100, 64, 0, 9]), Some([10, 0, 0, 2]), Some([127, 0, 0, 1]), None];
        for address in addresses.map(|octets| octets.map(IpAddr::from)) {
            let class = address.map_or(AddressClass::Unknown, AddressClass::of);
            let public = class == AddressClass::Public;
            assert_eq!(AddressClass::unreachable(address).is_none(), public, "{class}");
            assert_eq!(Obstacle::of_class(class).is_none(), public, "{class}");
        }
    }

    #[test]
    fn each_advice_is_one_sentence_of_its_own_without_options_of_a_command_line() {
        let mut seen = std::collections::HashSet::new();
        for obstacle in Obstacle::ALL {
            let advice = obstacle.advice();
            assert!(!advice.ends_with('.') && !advice.contains("--") && !advice.contains("portlease "), "{advice}");
            assert!(seen.insert(advice), "{advice}");
        }
    }
}
