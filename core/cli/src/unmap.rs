//! `portlease unmap`: take a mapping off the router that nobody holds any more.

use std::net::SocketAddr;

use clap::Args;
use portlease::client::{NatPmpMapper, PortMapperClient, TableEntry, UpnpMapper};
use portlease::config::DEFAULT_TTL;
use portlease::net::route::NetworkPath;
use portlease::{Config, ErrorKind, MapRequest, PortMapping, PortMappingError, Protocol, Transport};
use serde::Serialize;

use crate::args::{self, PathArgs, PcpPortArgs, PortSpec};
use crate::list::{is_ours, upnp};
use crate::outcome::{DONE, Outcome};
use crate::output::Output;

const LONG_ABOUT: &str = "\
Remove a mapping from the router that nobody holds any more: left by --detach, by a crash, or by another program.

The port is the one outside, as `portlease list` shows it. It is removed by UPnP; where the router has no UPnP, or \
refuses, by NAT-PMP, which knows only ports inside and mappings of this machine. A mapping made by PCP on a router \
without both cannot be removed without the secret of who made it: it ends with its lifetime.

A mapping that a running program holds comes back when that program renews it.";

const AFTER_HELP: &str = "\
Examples:
  portlease unmap 4000/udp
  portlease unmap 4000/both

Exit status:
  0  the router has no such mapping any more; by NAT-PMP, which shows no table: the router agreed to remove it
  1  the router did not answer, or refused
  2  the command line makes no sense";

/// Remove a mapping from the router that nobody holds any more
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct UnmapArgs {
    /// External port and transport: 4000/udp, 8080/tcp, or 4000/both
    #[arg(required = true, value_name = "PORT/TRANSPORT", value_parser = args::port_spec)]
    ports: Vec<PortSpec>,
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    path: PathArgs,
    #[command(flatten)]
    pcp: PcpPortArgs,
}

/// What became of one port, as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonRemoved {
    /// `removed`, or `absent` where the router's table has no such entry.
    event: &'static str,
    transport: &'static str,
    external_port: u16,
    protocol: &'static str,
}

/// What became of one port.
#[derive(Debug)]
struct Removed {
    protocol: Protocol,
    /// The table's entry, where the router showed it.
    entry: Option<TableEntry>,
    /// The table was read, and had no such entry.
    absent: bool,
}

pub(crate) async fn run(args: UnmapArgs) -> Outcome {
    let config = args.path.config().pcp_port(args.pcp.pcp_port);
    let path = args::check(&config)??;
    let output = Output::new(args.json);
    let upnp = upnp(&config, &path);
    // Read once for all ports. A router that does not show its table may still delete from it.
    let table = upnp.mappings().await;
    let mut failed = None;
    for spec in args.ports {
        for transport in spec.transports() {
            match remove(&upnp, &table, &config, &path, transport, spec.port).await {
                Ok(removed) => tell(&removed, transport, spec.port, &output)?,
                // The other ports first; one failure is told by the caller, those before it here.
                Err(error) => {
                    if let Some(before) = failed.replace(error) {
                        output.failure(&(&before).into());
                    }
                }
            }
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(DONE),
    }
}

async fn remove(
    upnp: &UpnpMapper,
    table: &Result<Vec<TableEntry>, PortMappingError>,
    config: &Config,
    path: &NetworkPath,
    transport: Transport,
    port: u16,
) -> Result<Removed, PortMappingError> {
    let entries = table.as_deref().unwrap_or_default();
    let entry = entries.iter().find(|entry| (entry.external_port, entry.transport) == (port, transport)).cloned();
    let by_upnp = match table {
        // No device was found: the same search again would only take its time again.
        Err(error) if error.kind() != ErrorKind::Refused => Err(error.clone()),
        _ => upnp.delete(transport, port).await,
    };
    let upnp_error = match by_upnp {
        Ok(()) => return Ok(Removed { protocol: Protocol::Upnp, absent: table.is_ok() && entry.is_none(), entry }),
        Err(error) => error,
    };
    let internal_port = match &entry {
        // NAT-PMP can only remove what is ours.
        Some(entry) if !is_ours(entry, path) => return Err(not_removed(transport, port, &[("upnp", &upnp_error)])),
        Some(entry) => entry.internal_port,
        None => port,
    };
    match nat_pmp_delete(config, path, transport, internal_port).await {
        Ok(()) => Ok(Removed { protocol: Protocol::NatPmp, entry, absent: false }),
        Err(error) => Err(not_removed(transport, port, &[("upnp", &upnp_error), ("nat-pmp", &error)])),
    }
}

/// Lifetime 0 for an internal port of this machine (RFC 6886 3.4).
async fn nat_pmp_delete(
    config: &Config,
    path: &NetworkPath,
    transport: Transport,
    internal_port: u16,
) -> Result<(), PortMappingError> {
    let gateway = SocketAddr::new(path.gateway, config.pcp_port);
    let client = NatPmpMapper::new(gateway, path.local_address);
    // NAT-PMP finds the mapping by internal port and transport alone; the rest is not sent.
    let request = MapRequest::new(internal_port, transport);
    let mapping = PortMapping::new(request, (path.gateway, internal_port), DEFAULT_TTL, Protocol::NatPmp);
    client.remove(&mapping).await
}

/// One error out of those of the protocols that were tried: a refusal says more than silence.
fn not_removed(transport: Transport, port: u16, tried: &[(&str, &PortMappingError)]) -> PortMappingError {
    let reasons: Vec<String> = tried
        .iter()
        .map(|(protocol, error)| {
            let reason = error.message();
            format!("{protocol}: {}", reason.strip_prefix(&format!("{protocol}: ")).unwrap_or(&reason))
        })
        .collect();
    let message = format!("{port}/{transport} could not be removed: {}", reasons.join(", "));
    match tried.iter().any(|(_, error)| error.kind() == ErrorKind::Refused) {
        true => PortMappingError::refused(message),
        false => PortMappingError::unavailable(message),
    }
}

fn tell(removed: &Removed, transport: Transport, port: u16, output: &Output) -> std::io::Result<()> {
    let port_name = format!("{port}/{transport}");
    if output.json() {
        return output.object(&JsonRemoved {
            event: if removed.absent { "absent" } else { "removed" },
            transport: transport.as_str(),
            external_port: port,
            protocol: removed.protocol.as_str(),
        });
    }
    output.line(&match (removed.protocol, &removed.entry) {
        (Protocol::NatPmp, _) => {
            format!("{port_name} removed by nat-pmp, if this machine had it (nat-pmp does not tell)")
        }
        (protocol, Some(entry)) => {
            format!("{port_name} removed by {protocol}: it led to {}:{}", entry.internal_client, entry.internal_port)
        }
        (protocol, None) if removed.absent => {
            format!("{port_name} is not in the router's table (asked by {protocol}): nothing to remove")
        }
        (protocol, None) => format!("{port_name} removed by {protocol}, if it was there (the router shows no table)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_one_protocol_says_more_than_the_silence_of_the_other() {
        let upnp = PortMappingError::refused("upnp 606 Action not authorized");
        let nat_pmp = PortMappingError::timeout("nat-pmp: no answer");
        let error = not_removed(Transport::Udp, 4000, &[("upnp", &upnp), ("nat-pmp", &nat_pmp)]);
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(
            error.to_string(),
            "4000/udp could not be removed: upnp: upnp 606 Action not authorized, nat-pmp: no answer"
        );
    }
}
