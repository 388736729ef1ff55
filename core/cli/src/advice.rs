//! What to try next, and what an address means for those outside.

use std::net::IpAddr;

use portlease::{AddressClass, ErrorKind};

/// What to try after a failure of this kind; nothing where there is nothing to do.
pub(crate) fn next_step(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unavailable => Some(
            "switch on UPnP, NAT-PMP or PCP in the router's settings, or name the router with --gateway; \
             `portlease doctor` shows what answers",
        ),
        ErrorKind::Timeout => Some("try again; `portlease doctor` shows what answers, and how fast"),
        ErrorKind::Transport => {
            Some("check the network connection and the addresses given; `portlease doctor` shows the path")
        }
        ErrorKind::Refused => Some(
            "allow port mapping for this machine in the router's settings, or ask for another --external port without \
             --exact; `portlease list` shows what is taken",
        ),
        ErrorKind::Invalid => Some("`portlease help` shows every command, `portlease help map` what can be mapped"),
        ErrorKind::Internal => {
            Some("this is a defect in portlease: please report it with the output of `portlease doctor --json`")
        }
        ErrorKind::Stopped => None,
    }
}

/// Why nobody on the internet can use an external address of this class; nothing where they can.
pub(crate) fn unreachable(class: AddressClass, address: IpAddr) -> Option<String> {
    match class {
        AddressClass::Public => None,
        AddressClass::Cgnat => Some(format!(
            "{address} belongs to the provider's own network (carrier-grade NAT): nobody on the internet can reach it"
        )),
        AddressClass::Private => Some(format!(
            "{address} is a private address, so another router stands before the internet: nobody beyond it can reach it"
        )),
        AddressClass::Reserved => Some(format!("{address} is a reserved address: nobody on the internet can reach it")),
        AddressClass::Unknown => Some(
            "the router has no external address, or does not tell it: it is not known whether anybody can reach it"
                .to_owned(),
        ),
    }
}

/// What to do about an external address of this class.
pub(crate) fn way_out(class: AddressClass) -> Option<&'static str> {
    match class {
        AddressClass::Public => None,
        AddressClass::Cgnat => Some("ask the provider for a public IPv4 address; until then use a relay or IPv6"),
        AddressClass::Private => Some(
            "set the router before this one to bridge mode, or map the port there too (--gateway names it, where it \
             can be reached)",
        ),
        AddressClass::Reserved => Some("look at the router's internet connection: its address is no real one"),
        AddressClass::Unknown => Some("look at the router's internet connection: is it up?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_but_public_has_a_reason_and_a_way_out() {
        for class in AddressClass::ALL {
            let public = class == AddressClass::Public;
            assert_eq!(unreachable(class, [100, 64, 0, 9].into()).is_none(), public, "{class}");
            assert_eq!(way_out(class).is_none(), public, "{class}");
        }
    }

    #[test]
    fn every_failure_that_a_user_can_meet_says_what_to_try() {
        for kind in ErrorKind::ALL {
            assert_eq!(next_step(kind).is_none(), kind == ErrorKind::Stopped, "{kind}");
        }
    }
}
