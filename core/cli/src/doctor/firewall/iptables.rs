//! What `iptables-save` shows.

use super::rules::{Act, Chains, Fate, Packet, Rule, Truth, comes_from};

/// What the filter table does with a packet.
pub(super) fn fate(text: &str, packet: &Packet<'_>) -> Fate {
    let mut chains = Chains::default();
    let (mut strict, mut in_filter) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('*') {
            in_filter = table == "filter";
        } else if let (true, Some(chain)) = (in_filter, line.strip_prefix(':')) {
            let mut words = chain.split_whitespace();
            let name = words.next().unwrap_or_default();
            strict |= name == "INPUT" && words.next() == Some("DROP");
            chains.rules.entry(name.to_owned()).or_default();
        } else if let (true, Some(rule)) = (in_filter, line.strip_prefix("-A ")) {
            let words = words(rule);
            if let Some((chain, conditions)) = words.split_first()
                && let Some(rule) = self::rule(conditions, packet)
            {
                chains.rules.entry(chain.clone()).or_default().push(rule);
            }
        }
    }
    chains.fate("INPUT", "chain INPUT", strict)
}

/// Words, of which some are in double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        match place % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// `None` for a rule that decides nothing, such as one that only counts or logs.
fn rule(words: &[String], packet: &Packet<'_>) -> Option<Rule> {
    let mut matches = Truth::Yes;
    let mut act = None;
    let mut negated = false;
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let holds = match word {
            "-j" => {
                act = target(words.next()?);
                // What follows are options of the target.
                break;
            }
            "-g" => {
                act = Some(Act::Goto(words.next()?.to_owned()));
                break;
            }
            "-m" => match words.next()? {
                "tcp" | "udp" | "multiport" | "conntrack" | "state" | "comment" | "addrtype" => Truth::Yes,
                _ => Truth::Maybe,
            },
            "--comment" => words.next().map(|_| Truth::Yes)?,
            "-p" => match words.next()? {
                "all" => Truth::Yes,
                protocol => Truth::of(protocol == packet.transport.as_str()),
            },
            "-i" => interface(words.next()?, packet),
            "-s" => comes_from(words.next()?),
            "-d" => goes_to(words.next()?),
            "--dst-type" => Truth::of(matches!(words.next()?, "LOCAL" | "UNICAST")),
            "--dport" | "--dports" => Truth::of(words.next()?.split(',').any(|ports| has(ports, packet.port))),
            // Peers send from any port, so a rule for a single one is not about them.
            "--sport" => match words.next()?.parse::<u16>() {
                Ok(_) => Truth::No,
                Err(_) => Truth::Maybe,
            },
            "--ctstate" | "--state" => Truth::of(words.next()?.split(',').any(|state| state == "NEW")),
            _ => Truth::Maybe,
        };
        matches = matches.and(if negated { holds.not() } else { holds });
        negated = false;
    }
    act.map(|act| Rule { matches, act })
}

fn target(name: &str) -> Option<Act> {
    match name {
        "ACCEPT" => Some(Act::Accept),
        "DROP" | "REJECT" | "TARPIT" => Some(Act::Drop),
        "RETURN" => Some(Act::Return),
        "QUEUE" | "NFQUEUE" => Some(Act::Anything),
        "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "SET" | "TRACE" | "AUDIT" => None,
        chain => Some(Act::Jump(chain.to_owned())),
    }
}

/// `eth0`, or `eth+` for all that begin so.
fn interface(name: &str, packet: &Packet<'_>) -> Truth {
    match (packet.interface, name.strip_suffix('+')) {
        (_, None) if name == "lo" => Truth::No,
        (None, _) => Truth::Maybe,
        (Some(interface), Some(prefix)) => Truth::of(interface.starts_with(prefix)),
        (Some(interface), None) => Truth::of(interface == name),
    }
}

/// Whether a packet to this machine may go to this network.
fn goes_to(network: &str) -> Truth {
    let address = network.split('/').next().and_then(|address| address.parse::<std::net::Ipv4Addr>().ok());
    match address {
        Some(address) if address.is_multicast() || address.is_broadcast() || address.is_loopback() => Truth::No,
        _ => Truth::Maybe,
    }
}

/// `4000`, or `4000:4010`.
fn has(ports: &str, port: u16) -> bool {
    let number = |text: &str, empty: u16| if text.is_empty() { Some(empty) } else { text.parse().ok() };
    match ports.split_once(':') {
        Some((first, last)) => {
            number(first, 0).is_some_and(|first| first <= port)
                && number(last, u16::MAX).is_some_and(|last| port <= last)
        }
        None => ports.parse() == Ok(port),
    }
}
