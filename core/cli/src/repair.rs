//! `portlease doctor --repair`: a mapping that the router lists and does not forward is deleted and added again.

use portlease::TableEntry;
use portlease::net::route::NetworkPath;
use portlease::{Config, ErrorReport, PortMappingError, Protocol, Transport};
use serde::Serialize;

use crate::args::PortSpec;
use crate::event::lifetime;
use crate::list::{table, upnp};
use crate::outcome::{DONE, FAILED, Outcome};
use crate::output::Output;
use crate::signals::Signals;
use crate::unmap::{find, leads_to};

/// A mapping that was repaired, as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonRepaired<'a> {
    event: &'static str,
    transport: &'static str,
    external_port: u16,
    protocol: &'static str,
    internal_client: &'a str,
    internal_port: u16,
    description: &'a str,
    /// Seconds left; `null` for an entry that does not end by itself.
    ttl: Option<u64>,
}

/// A mapping that was not repaired, as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonFailed<'a> {
    event: &'static str,
    kind: &'static str,
    message: &'a str,
    advice: Option<String>,
    /// `null` if both were meant and there is none.
    transport: Option<&'static str>,
    external_port: u16,
    /// Whether the mapping was deleted and could not be added again.
    mapping_lost: bool,
}

/// Why a mapping is not repaired, and what to do instead.
#[derive(Debug)]
struct Refusal {
    error: PortMappingError,
    advice: Option<String>,
}

impl Refusal {
    fn new(message: String, advice: impl Into<String>) -> Self {
        Self { error: PortMappingError::refused(message), advice: Some(advice.into()) }
    }
}

/// Repairs what `spec` names. If both transports are meant, one of them is enough.
pub(crate) async fn run(spec: PortSpec, config: &Config, path: &NetworkPath, output: &Output) -> Outcome {
    // Listened to until the end: no signal ends the program between the delete and the new entry.
    let mut signals = Signals::listen()?;
    let upnp = upnp(config, path.require_gateway()?, path);
    let entries = tokio::select! {
        entries = table(&upnp) => entries?,
        () = signals.next() => return Ok(FAILED),
    };
    let named = entries_of(spec, &entries);
    if named.is_empty() {
        fail(&nothing_to_repair(spec, &entries), None, spec.port, output)?;
        return Ok(FAILED);
    }
    let mut status = DONE;
    for entry in named {
        let repaired = match refusal(entry) {
            Some(refusal) => Err(refusal),
            None => upnp.repair(entry).await.map_err(|error| not_repaired(error, entry)),
        };
        match repaired {
            Ok(entry) => tell(&entry, output)?,
            Err(refusal) => {
                status = FAILED;
                fail(&refusal, Some(entry.transport), spec.port, output)?;
            }
        }
    }
    Ok(status)
}

/// The entries that are meant. If both transports are, those of other hosts count only if there is none of this one.
fn entries_of(spec: PortSpec, entries: &[TableEntry]) -> Vec<&TableEntry> {
    let listed: Vec<_> =
        spec.transports().into_iter().filter_map(|transport| find(entries, transport, spec.port)).collect();
    let ours: Vec<_> = listed.iter().copied().filter(|entry| entry.this_machine).collect();
    if ours.is_empty() { listed } else { ours }
}

fn nothing_to_repair(spec: PortSpec, entries: &[TableEntry]) -> Refusal {
    let message = format!("the router's table has no mapping of external port {spec}: nothing to repair");
    let inside = entries.iter().find(|entry| entry.this_machine && entry.internal_port == spec.port);
    let advice = match inside {
        Some(entry) => {
            let outside = format!("{}/{}", entry.external_port, entry.transport);
            format!("port {} inside is {outside} outside: portlease doctor --repair {outside}", spec.port)
        }
        None => "`portlease list` shows what is mapped; `portlease map` maps a port".to_owned(),
    };
    Refusal::new(message, advice)
}

/// Why an entry must not be touched, if that is so.
fn refusal(entry: &TableEntry) -> Option<Refusal> {
    if !entry.this_machine {
        let message = format!("{}, not to this machine: left as it is", leads_to(entry));
        return Some(Refusal::new(message, "run it on the machine that the mapping leads to"));
    }
    let protocol = other_protocol(entry)?;
    let port = format!("{}/{}", entry.external_port, entry.transport);
    let message = format!("{port} was mapped by {protocol}, so only the program that holds it can repair it");
    Some(Refusal::new(
        message,
        "stop that program and start it again; a program that uses portlease can call `repair` on its lease",
    ))
}

/// The protocol that made an entry, if the router says that it was not UPnP. Its holder could not renew what UPnP puts in
/// the place of its mapping. miniupnpd, which most routers use, describes such entries as `PCP MAP` with the nonce and as
/// `NAT-PMP` with the port.
fn other_protocol(entry: &TableEntry) -> Option<Protocol> {
    match entry.description.split_whitespace().next()?.to_ascii_uppercase().as_str() {
        "PCP" => Some(Protocol::Pcp),
        "NAT-PMP" => Some(Protocol::NatPmp),
        _ => None,
    }
}

fn not_repaired(error: PortMappingError, entry: &TableEntry) -> Refusal {
    let advice = error.mapping_lost().then(|| {
        let port = format!("{}/{}", entry.external_port, entry.transport);
        format!("a program that holds {port} maps it again at its next renewal; restart that program to get it at once")
    });
    Refusal { error, advice }
}

fn tell(entry: &TableEntry, output: &Output) -> std::io::Result<()> {
    if output.json() {
        return output.object(&JsonRepaired {
            event: "repaired",
            transport: entry.transport.as_str(),
            external_port: entry.external_port,
            protocol: Protocol::Upnp.as_str(),
            internal_client: &entry.internal_client,
            internal_port: entry.internal_port,
            description: &entry.description,
            ttl: entry.lifetime.map(|left| left.as_secs()),
        });
    }
    output.line(format!("{} {}: deleted and added again", leads_to(entry), lifetime(entry.lifetime)))
}

fn fail(refusal: &Refusal, transport: Option<Transport>, port: u16, output: &Output) -> std::io::Result<()> {
    let report = ErrorReport::from(&refusal.error);
    let advice = output.failure_with(&report, refusal.advice.as_deref());
    if !output.json() {
        return Ok(());
    }
    output.object(&JsonFailed {
        event: "failed",
        kind: report.kind.as_str(),
        message: &report.message,
        advice,
        transport: transport.map(Transport::as_str),
        external_port: port,
        mapping_lost: refusal.error.mapping_lost(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This machine is 192.168.1.20.
    fn entry(host: &str, description: &str) -> TableEntry {
        let mut entry = TableEntry::new(Transport::Udp, 4100, host, 4000);
        entry.this_machine = host == "192.168.1.20";
        entry.description = description.to_owned();
        entry
    }

    fn spec(text: &str) -> PortSpec {
        crate::args::port_or_spec(text).unwrap()
    }

    fn words(refusal: Refusal) -> (String, String) {
        (refusal.error.message(), refusal.advice.unwrap_or_default())
    }

    #[test]
    fn an_entry_of_this_machine_by_upnp_is_repaired_whoever_made_it() {
        for description in ["portlease", "", "tailscale-portmap", "PCPartner"] {
            assert!(refusal(&entry("192.168.1.20", description)).is_none(), "{description}");
        }
    }

    #[test]
    fn an_entry_of_another_host_is_not_touched() {
        let (message, _) = words(refusal(&entry("192.168.1.21", "portlease")).unwrap());
        assert_eq!(message, "4100/udp leads to 192.168.1.21:4000 (portlease), not to this machine: left as it is");
    }

    #[test]
    fn an_entry_by_another_protocol_is_its_holders_to_repair() {
        for (description, protocol) in [("PCP MAP 0a1b", "pcp"), ("pcp map", "pcp"), ("NAT-PMP 4100 udp", "nat-pmp")] {
            let (message, advice) = words(refusal(&entry("192.168.1.20", description)).unwrap());
            assert!(message.contains(&format!("was mapped by {protocol}")), "{message}");
            assert!(advice.contains("start it again"), "{advice}");
        }
    }

    #[test]
    fn without_a_transport_the_entries_of_this_machine_are_meant() {
        let mut tcp = entry("192.168.1.21", "web");
        tcp.transport = Transport::Tcp;
        let entries = [entry("192.168.1.20", "portlease"), tcp.clone()];
        assert_eq!(entries_of(spec("4100"), &entries), [&entries[0]]);
        assert_eq!(entries_of(spec("4100/tcp"), &entries), [&tcp]);
        assert_eq!(entries_of(spec("4100"), &entries[1..]), [&tcp], "to say that it is another's");
        assert!(entries_of(spec("4000"), &entries).is_empty());
    }

    #[test]
    fn a_port_that_is_only_inside_is_told_with_its_port_outside() {
        let (message, advice) = words(nothing_to_repair(spec("4000"), &[entry("192.168.1.20", "")]));
        assert_eq!(message, "the router's table has no mapping of external port 4000: nothing to repair");
        assert_eq!(advice, "port 4000 inside is 4100/udp outside: portlease doctor --repair 4100/udp");
        let (message, advice) = words(nothing_to_repair(spec("4000/tcp"), &[]));
        assert!(message.contains("4000/tcp") && advice.contains("portlease list"), "{message} {advice}");
    }
}
