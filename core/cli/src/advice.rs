//! What to try next on the command line: core's advice, and the commands and options that help.

use portlease::net::route::find_path;
use portlease::{AddressClass, AddressFamily, Config, ErrorKind, ErrorReport, Obstacle};

use crate::network::{Gap, Machine, Network};
use crate::presence;

/// What to do if this machine has no IPv6 that leads into the internet.
pub(crate) const NO_IPV6: &str = "ask the provider for IPv6, or switch it on in the router's settings";

/// What the user was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Doing {
    /// Mapping a port, or finding out whether that works.
    #[default]
    Map,
    /// Reading the router's table, which UPnP alone can do.
    List,
    /// Removing a mapping.
    Unmap,
}

/// Why it does not work: what core knows, and what this machine's own tables say. Every hint of the command line comes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The path ends on this machine.
    Gap(Gap),
    /// The router does not answer at all.
    RouterGone(String),
    /// Silence in a container or in WSL, whose router is this machine and not the one at home.
    Inside(Machine),
    /// What core found.
    Obstacle(Obstacle),
}

impl Cause {
    /// What stands behind an obstacle. `gone`: why the router does not seem to be there.
    pub(crate) fn of(obstacle: Obstacle, network: &Network, interface: Option<&str>, gone: Option<String>) -> Self {
        if obstacle == Obstacle::NoNetwork {
            return Self::Gap(network.gap());
        }
        if !matches!(obstacle, Obstacle::Silence | Obstacle::Transport | Obstacle::Deadline) {
            return Self::Obstacle(obstacle);
        }
        match (network.cut(interface), gone, network.machine) {
            (Some(gap), ..) => Self::Gap(gap),
            (None, Some(gone), _) => Self::RouterGone(gone),
            (None, None, machine @ (Machine::Container | Machine::Wsl)) if obstacle == Obstacle::Silence => {
                Self::Inside(machine)
            }
            (None, None, _) => Self::Obstacle(obstacle),
        }
    }

    /// What is wrong, as far as core's message does not say it; without a full stop.
    pub(crate) fn what(&self) -> Option<String> {
        match self {
            Self::Gap(gap) => Some(gap.what()),
            Self::RouterGone(why) => Some(why.clone()),
            Self::Inside(Machine::Wsl) => {
                Some("this is WSL, whose network has a router of its own inside Windows".to_owned())
            }
            Self::Inside(_) => {
                Some("this is a container, whose network has a router of its own on this machine".to_owned())
            }
            Self::Obstacle(_) => None,
        }
    }

    /// What to do now, most useful first, each without a full stop.
    pub(crate) fn steps(&self, doing: Doing) -> Vec<String> {
        let obstacle = match self {
            Self::Gap(gap) => return vec![gap.advice()],
            Self::RouterGone(_) => {
                return vec![
                    "look whether the router is on, and whether this machine is in its network".to_owned(),
                    "--gateway names another router".to_owned(),
                ];
            }
            Self::Inside(Machine::Wsl) => {
                return vec![
                    "switch WSL to mirrored networking (networkingMode=mirrored in .wslconfig), or run portlease in Windows".to_owned(),
                ];
            }
            Self::Inside(_) => {
                return vec![
                    "give the container this machine's network (docker run --network host), or run portlease outside of it".to_owned(),
                ];
            }
            Self::Obstacle(obstacle) => *obstacle,
        };
        let own = match (doing, obstacle) {
            (Doing::List, Obstacle::Silence | Obstacle::Unsupported) => Some("switch on UPnP in the router's settings"),
            (Doing::Unmap, Obstacle::NotAuthorized | Obstacle::Refused | Obstacle::PortTaken) => Some(
                "routers let only the machine that made a mapping remove it: run `portlease unmap` there, delete the mapping in the \
                 router's settings, or wait for its end (`portlease list` shows it)",
            ),
            _ => None,
        };
        match own {
            Some(own) => vec![own.to_owned()],
            None => of(obstacle).map(str::to_owned).collect(),
        }
    }
}

/// What hints depend on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    doing: Doing,
    /// Which router is asked, and by which way.
    config: Config,
}

impl Hints {
    pub(crate) fn new(doing: Doing, config: Config) -> Self {
        Self { doing, config }
    }

    /// What to try after this failure; nothing if there is nothing to do.
    pub(crate) fn next_step(&self, error: &ErrorReport) -> Option<String> {
        if error.kind == ErrorKind::Invalid {
            let help = "`portlease help` shows every command, `portlease help map` what can be mapped";
            return Some(help.to_owned());
        }
        let obstacle = error.obstacle()?;
        let path = find_path(&self.config).ok();
        let interface = path.as_ref().and_then(|path| path.interface.as_deref());
        let gone = path.as_ref().and_then(|path| presence::gone_by_tables(path.gateway?));
        let cause = Cause::of(obstacle, &Network::look(), interface, gone);
        let mut parts = Vec::from_iter(cause.what().filter(|what| !error.message.contains(what.as_str())));
        parts.extend(cause.steps(self.doing));
        if let Cause::Obstacle(obstacle) = cause {
            parts.extend(doctor(obstacle).map(str::to_owned));
        }
        Some(parts.join("; "))
    }
}

/// What to try if IPv6 has failed because there is none here; nothing if the usual advice holds for IPv6 too.
pub(crate) fn about_ipv6(error: &ErrorReport) -> Option<String> {
    let nowhere = error.kind == ErrorKind::Unavailable && error.details.is_empty();
    let cut = || Network::look().disconnected();
    nowhere.then(|| cut().map_or_else(|| NO_IPV6.to_owned(), |gap| format!("{}; {}", gap.what(), gap.advice())))
}

/// What to do about a mapping at an address that the internet cannot reach.
pub(crate) fn unreachable(family: Option<AddressFamily>, class: AddressClass) -> Vec<String> {
    match (family, Obstacle::of_class(class)) {
        (Some(AddressFamily::Ipv6), _) => vec![NO_IPV6.to_owned()],
        (_, Some(obstacle)) => Cause::Obstacle(obstacle).steps(Doing::Map),
        (_, None) => Vec::new(),
    }
}

/// Core's advice, and the options that help.
fn of(obstacle: Obstacle) -> impl Iterator<Item = &'static str> {
    [Some(obstacle.advice()), options(obstacle)].into_iter().flatten()
}

/// What the command line has against it.
fn options(obstacle: Obstacle) -> Option<&'static str> {
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
#[path = "advice_tests.rs"]
mod tests;
