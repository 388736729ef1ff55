//! Rules of any packet filter, and what becomes of a packet that goes through them. What a rule asks for and cannot be known here
//! may be so or not, and both are followed.

use std::collections::HashMap;

use portlease::Transport;

/// A new packet from the internet, and from no port in particular, to a port of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) transport: Transport,
    pub(super) port: u16,
    /// The interface by which it comes in.
    pub(super) interface: Option<&'a str>,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Maybe,
}

impl Truth {
    pub(super) const fn of(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Maybe,
        }
    }

    pub(super) const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Maybe,
        }
    }

    pub(super) const fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }
}

/// What a rule does with what it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    /// Another program decides.
    Anything,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) matches: Truth,
    pub(super) act: Act,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Accept,
    /// And by what.
    Drop(String),
    /// It cannot be told, and why.
    Depends(String),
}

/// What may become of a packet.
#[derive(Debug, Clone, Default)]
struct Ways {
    accepted: bool,
    dropped: Option<String>,
    /// It comes out at the end of the chain.
    through: bool,
}

impl Ways {
    fn add(&mut self, other: &Self) {
        self.accepted |= other.accepted;
        if self.dropped.is_none() {
            self.dropped.clone_from(&other.dropped);
        }
    }
}

/// Chains of rules by their names.
#[derive(Debug, Clone, Default)]
pub(super) struct Chains {
    pub(super) rules: HashMap<String, Vec<Rule>>,
}

/// Kernels allow 16.
const MAX_DEPTH: usize = 16;

impl Chains {
    /// What the chain does, which drops what comes out at its end if it is `strict`. `name` is for people.
    pub(super) fn fate(&self, chain: &str, name: &str, strict: bool) -> Fate {
        let ways = self.walk(chain, name, 0);
        let by_policy = (strict && ways.through).then(|| format!("the policy of {name} is drop"));
        let accepted = ways.accepted || (ways.through && !strict);
        match (accepted, ways.dropped.or(by_policy)) {
            (true, None) => Fate::Accept,
            (false, Some(why)) => Fate::Drop(why),
            (true, Some(_)) => {
                Fate::Depends(format!("{name} has rules that depend on more than the port, so it cannot be told"))
            }
            (false, None) => Fate::Depends(format!("{name} leads nowhere")),
        }
    }

    fn walk(&self, chain: &str, name: &str, depth: usize) -> Ways {
        let mut ways = Ways::default();
        let Some(rules) = self.rules.get(chain).filter(|_| depth < MAX_DEPTH) else {
            return Ways { through: true, ..ways };
        };
        for Rule { matches, act } in rules.iter().filter(|rule| rule.matches != Truth::No) {
            let ends = match act {
                Act::Accept => {
                    ways.accepted = true;
                    true
                }
                Act::Drop => {
                    ways.add(&Ways { dropped: Some(format!("a rule in {name} drops it")), ..Ways::default() });
                    true
                }
                Act::Return => {
                    ways.through = true;
                    true
                }
                Act::Anything => {
                    ways.add(&Ways { accepted: true, dropped: Some(name.to_owned()), through: false });
                    false
                }
                Act::Jump(to) | Act::Goto(to) => {
                    let below = self.walk(to, &format!("{name}, {to}"), depth + 1);
                    ways.add(&below);
                    let leaves = matches!(act, Act::Goto(_));
                    ways.through |= leaves && below.through;
                    leaves || !below.through
                }
            };
            if ends && *matches == Truth::Yes {
                return ways;
            }
        }
        ways.through = true;
        ways
    }
}

/// One fate of those of several chains that a packet goes through: the first that drops it decides.
pub(super) fn all(fates: Vec<Fate>) -> Fate {
    let drop = fates.iter().find(|fate| matches!(fate, Fate::Drop(_)));
    let depends = fates.iter().find(|fate| matches!(fate, Fate::Depends(_)));
    drop.or(depends).cloned().unwrap_or(Fate::Accept)
}

/// Whether a packet from the internet may come from this network, such as `192.168.0.0/16`.
pub(super) fn comes_from(network: &str) -> Truth {
    let (address, prefix) = network.split_once('/').unwrap_or((network, "32"));
    match (address.parse::<std::net::Ipv4Addr>(), prefix) {
        (Ok(_), "0") => Truth::Yes,
        (Ok(address), _) => match portlease::AddressClass::of(address.into()) {
            portlease::AddressClass::Public | portlease::AddressClass::Unknown => Truth::Maybe,
            portlease::AddressClass::Cgnat | portlease::AddressClass::Private | portlease::AddressClass::Reserved => {
                Truth::No
            }
        },
        // IPv6, or a name.
        (Err(_), _) if address.contains(':') => Truth::No,
        (Err(_), _) => Truth::Maybe,
    }
}
