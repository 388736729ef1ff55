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

/// Why nothing on the internet can reach this external address; `None` if it can.
pub(crate) fn unreachable(address: Option<IpAddr>) -> Option<String> {
    let unknown =
        "the router has no external address, or does not tell it: it is not known whether the internet can reach it";
    let Some(address) = address else { return Some(unknown.to_owned()) };
    match AddressClass::of(address) {
        AddressClass::Public => None,
        AddressClass::Unknown => Some(unknown.to_owned()),
        AddressClass::Cgnat => Some(format!(
            "{address} belongs to the provider's own network (carrier-grade NAT): nobody on the internet can reach it"
        )),
        AddressClass::Private => Some(format!(
            "{address} is a private address, so another router stands before the internet: nobody beyond it can reach it"
        )),
        AddressClass::Reserved => Some(format!("{address} is a reserved address: nobody on the internet can reach it")),
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
        let addresses = [Some([192, 0, 1, 1]), Some([100, 64, 0, 9]), Some([10, 0, 0, 2]), Some([127, 0, 0, 1]), None];
        for address in addresses.map(|octets| octets.map(IpAddr::from)) {
            let class = address.map_or(AddressClass::Unknown, AddressClass::of);
            let public = class == AddressClass::Public;
            assert_eq!(unreachable(address).is_none(), public, "{class}");
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
