//! What to try next on the command line: core's advice, and the commands and options that help.

use portlease::{ErrorKind, ErrorReport, Obstacle};

/// What to do if this machine has no IPv6 that leads into the internet.
pub(crate) const NO_IPV6: &str = "ask the provider for IPv6, or switch it on in the router's settings";

/// What to try after this failure; nothing if there is nothing to do.
pub(crate) fn next_step(error: &ErrorReport) -> Option<String> {
    if error.kind == ErrorKind::Invalid {
        let help = "`portlease help` shows every command, `portlease help map` what can be mapped";
        return Some(help.to_owned());
    }
    let obstacle = error.obstacle()?;
    let parts = [Some(obstacle.advice()), options(obstacle), doctor(obstacle)];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// What to try if IPv6 has failed because there is none here; nothing if the usual advice holds for IPv6 too.
pub(crate) fn about_ipv6(error: &ErrorReport) -> Option<&'static str> {
    let nowhere = error.kind == ErrorKind::Unavailable && error.details.is_empty();
    nowhere.then_some(NO_IPV6)
}

/// Core's advice, and the options that help.
pub(crate) fn of(obstacle: Obstacle) -> impl Iterator<Item = &'static str> {
    [Some(obstacle.advice()), options(obstacle)].into_iter().flatten()
}

/// What the command line has against it.
pub(crate) fn options(obstacle: Obstacle) -> Option<&'static str> {
    match obstacle {
        Obstacle::PortTaken => {
            Some("--external names another port, and without --exact any will do; `portlease list` shows what is taken")
        }
        Obstacle::NotAuthorized | Obstacle::TableFull | Obstacle::RouterFailed | Obstacle::Refused => {
            Some("`portlease list` shows what is taken")
        }
        Obstacle::Silence | Obstacle::Unsupported => {
            Some("--gateway names your router, if the one that was asked is a VPN's end or not yours")
        }
        Obstacle::NoNetwork => Some("--gateway names a router by its address"),
        Obstacle::SecondRouter => Some("--gateway names that router, if it can be reached from here"),
        Obstacle::FirewallOff
        | Obstacle::NoExternalAddress
        | Obstacle::NatInside
        | Obstacle::Transport
        | Obstacle::Deadline
        | Obstacle::Defect
        | Obstacle::CarrierNat
        | Obstacle::ReservedAddress => None,
    }
}

/// What `portlease doctor` shows about it.
fn doctor(obstacle: Obstacle) -> Option<&'static str> {
    match obstacle {
        Obstacle::Silence | Obstacle::Unsupported | Obstacle::Deadline => {
            Some("`portlease doctor` shows what answers, and how fast")
        }
        Obstacle::NoExternalAddress | Obstacle::NatInside | Obstacle::Transport => {
            Some("`portlease doctor` shows the path")
        }
        Obstacle::Defect => Some("add the output of `portlease doctor --json`"),
        Obstacle::FirewallOff
        | Obstacle::PortTaken
        | Obstacle::NotAuthorized
        | Obstacle::TableFull
        | Obstacle::RouterFailed
        | Obstacle::Refused
        | Obstacle::NoNetwork
        | Obstacle::CarrierNat
        | Obstacle::SecondRouter
        | Obstacle::ReservedAddress => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portlease::PortMappingError;

    #[test]
    fn the_advice_is_cores_with_the_options_that_help_behind_it() {
        let error = ErrorReport::from(&PortMappingError::no_gateway("there is no default route"));
        assert_eq!(
            next_step(&error).unwrap(),
            format!("{}; --gateway names a router by its address", Obstacle::NoNetwork.advice())
        );
        let stopped = ErrorReport::new(ErrorKind::Stopped, "the lease is over");
        assert_eq!(next_step(&stopped), None);
        let invalid = ErrorReport::new(ErrorKind::Invalid, "port: must not be 0");
        assert!(next_step(&invalid).unwrap().contains("`portlease help`"));
    }
}
