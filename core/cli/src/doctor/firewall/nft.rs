//! What `nft -j list ruleset` shows (`man 5 libnftables-json`).

use std::collections::HashMap;

use serde_json::Value;

use super::rules::{Act, Chains, Fate, Packet, Rule, Truth, all, comes_from};

/// A chain at which packets come in.
struct Base {
    chain: String,
    name: String,
    strict: bool,
}

/// What all chains together do with a packet. Without those of iptables if `but_iptables`.
pub(super) fn fate(text: &str, packet: &Packet<'_>, but_iptables: bool) -> Fate {
    let Ok(whole) = serde_json::from_str::<Value>(text) else {
        return Fate::Depends("its answer was not understood".to_owned());
    };
    let mut tables: HashMap<String, Chains> = HashMap::new();
    let mut bases = Vec::new();
    for item in whole["nftables"].as_array().into_iter().flatten() {
        let (chain, rule) = (&item["chain"], &item["rule"]);
        let object = if chain.is_object() { chain } else { rule };
        let (family, table) = (text_of(&object["family"]), text_of(&object["table"]));
        // Neither IPv6 nor frames before they are packets.
        let of_iptables = family == "ip" && matches!(table, "filter" | "nat" | "mangle" | "raw" | "security");
        if !matches!(family, "ip" | "inet") || (but_iptables && of_iptables) {
            continue;
        }
        let table_name = format!("{family} {table}");
        let chains = tables.entry(table_name.clone()).or_default();
        if chain.is_object() {
            let name = text_of(&chain["name"]);
            chains.rules.entry(name.to_owned()).or_default();
            let comes_in = matches!(text_of(&chain["hook"]), "input" | "prerouting") && chain["type"] == "filter";
            if comes_in {
                let described = format!("chain {name} of table {table_name}");
                let strict = chain["policy"] == "drop";
                bases.push((table_name, Base { chain: name.to_owned(), name: described, strict }));
            }
        } else {
            let rules = chains.rules.entry(text_of(&rule["chain"]).to_owned()).or_default();
            rules.extend(read(rule["expr"].as_array().map_or(&[], Vec::as_slice), packet));
        }
    }
    let fates =
        bases.iter().filter_map(|(table, base)| Some(tables.get(table)?.fate(&base.chain, &base.name, base.strict)));
    all(fates.collect())
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A rule; one that looks its verdict up is as many as there are verdicts.
fn read(expressions: &[Value], packet: &Packet<'_>) -> Vec<Rule> {
    let mut matches = Truth::Yes;
    for expression in expressions {
        let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else { continue };
        match kind.as_str() {
            "match" => matches = matches.and(holds(value, packet)),
            "vmap" => return looked_up(value, matches, packet),
            "counter" | "log" | "mangle" | "comment" => {}
            kind => match act(kind, value) {
                Some(act) => return vec![Rule { matches, act }],
                // A limit, or what iptables alone understands.
                None => matches = matches.and(Truth::Maybe),
            },
        }
    }
    Vec::new()
}

fn act(kind: &str, value: &Value) -> Option<Act> {
    let target = || text_of(&value["target"]).to_owned();
    match kind {
        "accept" => Some(Act::Accept),
        "drop" | "reject" => Some(Act::Drop),
        "return" => Some(Act::Return),
        "jump" => Some(Act::Jump(target())),
        "goto" => Some(Act::Goto(target())),
        "queue" => Some(Act::Anything),
        _ => None,
    }
}

fn looked_up(value: &Value, matches: Truth, packet: &Packet<'_>) -> Vec<Rule> {
    let Some(entries) = value["data"]["set"].as_array() else { return vec![Rule { matches, act: Act::Anything }] };
    let entry = |entry: &Value| {
        let (kind, target) = entry[1].as_object()?.iter().next()?;
        let holds = equals(&value["key"], &entry[0], packet);
        Some(Rule { matches: matches.and(holds), act: act(kind, target)? })
    };
    entries.iter().filter_map(entry).collect()
}

fn holds(condition: &Value, packet: &Packet<'_>) -> Truth {
    let holds = equals(&condition["left"], &condition["right"], packet);
    match text_of(&condition["op"]) {
        "==" | "in" => holds,
        "!=" => holds.not(),
        _ => Truth::Maybe,
    }
}

/// Whether what is asked for has the value, or one of the values.
fn equals(left: &Value, right: &Value, packet: &Packet<'_>) -> Truth {
    let many = right.as_array().or_else(|| right["set"].as_array());
    if let Some(many) = many {
        return many.iter().fold(Truth::No, |found, one| found.or(equals(left, one, packet)));
    }
    // The members of a set that has a name stand elsewhere.
    if text_of(right).starts_with('@') {
        return Truth::Maybe;
    }
    let transport = packet.transport.as_str();
    let is = |value: &str| Truth::of(text_of(right) == value);
    if let Some(key) = left["meta"]["key"].as_str() {
        return match key {
            "iifname" | "iif" => interface(text_of(right), packet),
            "l4proto" => is(transport),
            "nfproto" => is("ipv4"),
            "protocol" => is("ip"),
            "pkttype" => Truth::of(matches!(text_of(right), "host" | "unicast")),
            _ => Truth::Maybe,
        };
    }
    if left["ct"]["key"] == "state" {
        return is("new");
    }
    if left["fib"]["result"] == "type" && left["fib"]["flags"][0] == "daddr" {
        return is("local");
    }
    let payload = &left["payload"];
    match (text_of(&payload["protocol"]), text_of(&payload["field"])) {
        ("th", "dport") => port(right, packet.port),
        ("th", "sport") => from_port(right),
        (protocol @ ("tcp" | "udp"), field) => {
            let ours = Truth::of(protocol == transport);
            ours.and(match field {
                "dport" => port(right, packet.port),
                "sport" => from_port(right),
                _ => Truth::Maybe,
            })
        }
        ("ip", "protocol") => is(transport),
        ("ip", "saddr") => {
            let prefix = &right["prefix"];
            match (prefix["addr"].as_str(), right.as_str()) {
                (Some(address), _) => comes_from(&format!("{address}/{}", prefix["len"])),
                (None, Some(address)) => comes_from(address),
                (None, None) => Truth::Maybe,
            }
        }
        ("ip6" | "icmp" | "icmpv6" | "sctp" | "dccp" | "esp" | "ah" | "arp", _) => Truth::No,
        _ => Truth::Maybe,
    }
}

fn interface(name: &str, packet: &Packet<'_>) -> Truth {
    match (packet.interface, name.strip_suffix('*')) {
        (_, None) if name == "lo" => Truth::No,
        (None, _) => Truth::Maybe,
        (Some(interface), Some(prefix)) => Truth::of(interface.starts_with(prefix)),
        (Some(interface), None) => Truth::of(interface == name),
    }
}

/// Peers send from any port, so a rule for a single one is not about them.
fn from_port(value: &Value) -> Truth {
    if value.is_u64() { Truth::No } else { Truth::Maybe }
}

/// A number, or a range of numbers.
fn port(value: &Value, port: u16) -> Truth {
    let number = |value: &Value| value.as_u64();
    let range = &value["range"];
    match (number(value), number(&range[0]), number(&range[1])) {
        (Some(only), ..) => Truth::of(only == u64::from(port)),
        (None, Some(first), Some(last)) => Truth::of((first..=last).contains(&u64::from(port))),
        _ => Truth::Maybe,
    }
}
