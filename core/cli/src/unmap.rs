//! `portlease unmap`: take a mapping off the router that nobody holds any more.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use portlease::TableEntry;
use portlease::client::{NatPmpMapper, PortMapperClient, UpnpMapper};
use portlease::config::DEFAULT_TTL;
use portlease::net::route::NetworkPath;
use portlease::{
    AddressFamily, Config, ErrorKind, MapRequest, Mapper, PortMapping, PortMappingError, Protocol, Transport,
};
use serde::Serialize;

use crate::advice::{Doing, Hints};
use crate::args::{self, Families, PathArgs, PcpPortArgs, PortSpec};
use crate::list::upnp;
use crate::log::LogArgs;
use crate::mine;
use crate::outcome::{DONE, Failure, Outcome};
use crate::output::Output;
use crate::pinholes;
use crate::state::RecordArgs;

const LONG_ABOUT: &str = "\
Remove a mapping from the router that no program holds any more: left by --detach, by a crash, or by another program.

The port is the one outside, as `portlease list` shows it. Only mappings that lead to this machine are removed, unless \
--any-host is given. portlease asks by UPnP first. If the router has no UPnP, refuses, or does not show whose mapping it is, \
it asks by NAT-PMP, which knows only ports inside and mappings of this machine. If the router has neither, a mapping made by PCP \
cannot be removed without the secret of the program that made it: it stays until its lifetime ends.

--family ipv6 closes this machine's own pinhole in the router's IPv6 firewall; the port is the one of this machine. PCP closes \
what `portlease map` has on record on this machine, and UPnP whatever is open there. --family both removes what \
`portlease map --family both` has left. On a machine without IPv4 or without IPv6 it removes only the other one.

If a running program holds the mapping, that program makes it again at its next renewal.

--mine removes every entry of the router's table that leads to this machine, except those that a running portlease has on record. \
For the router, the entries of other programs on this machine are also yours, and so are those of a portlease without a record, or \
with a folder of its own. So it shows the entries first and asks; where there is no terminal to ask on, it requires --yes. Ports \
that were forwarded by hand are entries too if the router lists them.";

const AFTER_HELP: &str = "\
Examples:
  portlease unmap 4000/udp
  portlease unmap 4000/both
  portlease unmap 4000/udp --family ipv6
  portlease unmap 4000/udp --any-host    also if it leads to another machine
  portlease unmap --mine                 everything that leads to this machine

Exit status:
  0  the router has no such mapping any more; by NAT-PMP and for
     IPv6, which show no table: the router agreed to remove it
  1  the router did not answer, or refused; or the mapping leads to another machine
  2  the command line makes no sense";

/// Remove a mapping from the router that no program holds any more
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct UnmapArgs {
    /// External port and transport: 4000/udp, 8080/tcp, or 4000/both
    #[arg(required_unless_present = "mine", value_name = "PORT/TRANSPORT", value_parser = args::port_spec)]
    ports: Vec<PortSpec>,
    /// Remove every mapping in the router's NAT that leads to this machine and that no running portlease holds, also those of
    /// other programs
    #[arg(long, conflicts_with_all = ["ports", "any_host", "family"])]
    mine: bool,
    /// Do not ask before --mine removes anything
    #[arg(long, requires = "mine", conflicts_with = "ports")]
    yes: bool,
    /// A mapping in the router's NAT, a pinhole in its firewall for this machine's own IPv6 address, or both
    #[arg(long, value_name = "FAMILY", default_value = "ipv4")]
    family: Families,
    /// Also remove a mapping that leads to another machine, or whose target the router does not show
    #[arg(long)]
    any_host: bool,
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    pub(crate) path: PathArgs,
    #[command(flatten)]
    pcp: PcpPortArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl UnmapArgs {
    pub(crate) fn output(&self) -> Output {
        Output::new(self.json).hinting(Hints::new(Doing::Unmap, self.path.config()))
    }
}

/// What became of one port, as `--json` writes it.
#[derive(Debug, Serialize)]
pub(crate) struct JsonRemoved {
    /// `removed`; `absent` if the table has no such entry; of --mine also `held` by a running portlease, or `restricted` to one host.
    event: &'static str,
    transport: &'static str,
    family: &'static str,
    external_port: u16,
    protocol: &'static str,
    /// Where it led; `null` if the router did not show it.
    internal_client: Option<String>,
    internal_port: Option<u16>,
}

impl JsonRemoved {
    pub(crate) fn new(
        event: &'static str,
        transport: Transport,
        external_port: u16,
        protocol: Protocol,
        entry: Option<&TableEntry>,
    ) -> Self {
        Self {
            event,
            transport: transport.as_str(),
            family: AddressFamily::Ipv4.as_str(),
            external_port,
            protocol: protocol.as_str(),
            internal_client: entry.map(|entry| entry.internal_client.clone()),
            internal_port: entry.map(|entry| entry.internal_port),
        }
    }
}

/// What became of one port.
#[derive(Debug)]
struct Removed {
    protocol: Protocol,
    /// The table's entry, if the router showed it.
    entry: Option<TableEntry>,
    /// The table was read, and had no such entry.
    absent: bool,
}

/// The router, and what is known of it.
pub(crate) struct Router {
    config: Config,
    path: NetworkPath,
    upnp: UpnpMapper,
    /// Read once for all ports.
    pub(crate) table: Result<Vec<TableEntry>, PortMappingError>,
    any_host: bool,
}

/// The router of IPv6.
pub(crate) struct Firewall {
    mapper: Mapper,
    local_address: IpAddr,
}

pub(crate) async fn run(args: UnmapArgs) -> Outcome {
    let (config, path) = args::check(args.path.config().pcp_port(args.pcp.pcp_port))?;
    let output = args.output();
    let path6 = match args.family.has(AddressFamily::Ipv6) {
        true => Some(args::check_path(&config, AddressFamily::Ipv6)?),
        false => None,
    };
    // With both, one way is enough: if there is no other, nothing can be open.
    let (path, path6) = match (args.family.has(AddressFamily::Ipv4), path6) {
        (true, None) => (Some(path?), None),
        (false, path6) => (None, path6.transpose()?),
        (true, Some(Err(error))) if path.is_err() => return Err(error.into()),
        (true, Some(path6)) => (path.ok(), path6.ok()),
    };
    let firewall = path6.map(|path| firewall(&config, args.record.clone().folder(), &path)).transpose()?;
    let router = match path {
        Some(path) => Some(Router::read(config, path, args.any_host).await?),
        None => None,
    };
    if let Some(router) = router.as_ref().filter(|_| args.mine) {
        return mine::unmap(router, args.record.folder(), args.yes, &output).await;
    }
    let all = |spec: &PortSpec| spec.transports().into_iter().map(|one| (spec.port, one)).collect::<Vec<_>>();
    let ports: Vec<_> = args.ports.iter().flat_map(all).collect();
    let outcome = remove_all(&ports, router.as_ref(), firewall.as_ref(), &output).await;
    if let Some(Firewall { mapper, .. }) = &firewall {
        mapper.stop(None).await;
    }
    outcome
}

fn firewall(config: &Config, folder: Option<PathBuf>, path: &NetworkPath) -> Result<Firewall, PortMappingError> {
    let mut config = config.clone();
    config.state_dir = folder;
    Ok(Firewall { mapper: Mapper::start(config)?, local_address: path.local_address })
}

/// All ports, also after a failure: one failure is told by the caller, those before it here.
pub(crate) async fn remove_all(
    ports: &[(u16, Transport)],
    router: Option<&Router>,
    firewall: Option<&Firewall>,
    output: &Output,
) -> Outcome {
    let mut failed = None;
    for &(port, transport) in ports {
        let mut outcomes = Vec::new();
        if let Some(router) = router {
            outcomes.push(match router.remove(transport, port, output).await {
                Ok(removed) => tell(&removed, transport, port, output).map_err(Failure::from),
                Err(failure) => Err(failure),
            });
        }
        if let Some(Firewall { mapper, local_address }) = firewall {
            outcomes.push(pinholes::close(mapper, transport, port, *local_address, output).await);
        }
        for outcome in outcomes {
            match outcome {
                Ok(()) => {}
                Err(Failure::Output(error)) => return Err(error.into()),
                Err(Failure::Mapping(error)) => {
                    if let Some(before) = failed.replace(error) {
                        output.fail(&(&before).into());
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

impl Router {
    async fn read(config: Config, path: NetworkPath, any_host: bool) -> Result<Self, PortMappingError> {
        let upnp = upnp(&config, path.require_gateway()?, &path);
        let table = upnp.mappings().await;
        Ok(Self { config, path, upnp, table, any_host })
    }

    /// Removes what `external_port` leads to, if that is this machine or may be any.
    async fn remove(&self, transport: Transport, external_port: u16, output: &Output) -> Result<Removed, Failure> {
        let entry = match &self.table {
            Ok(entries) => find(entries, transport, external_port),
            // It shows no table, but may delete all the same, whoever's it is.
            Err(error) if error.kind() == ErrorKind::Refused && self.any_host => None,
            Err(error) => return self.remove_by_nat_pmp(transport, external_port, None, error).await,
        };
        let Some(entry) = entry else {
            if self.table.is_ok() && !self.any_host {
                return Ok(Removed { protocol: Protocol::Upnp, entry: None, absent: true });
            }
            return match self.upnp.delete(transport, external_port).await {
                Ok(()) => Ok(Removed { protocol: Protocol::Upnp, entry: None, absent: false }),
                Err(error) => self.remove_by_nat_pmp(transport, external_port, None, &error).await,
            };
        };
        if !entry.this_machine {
            let owner = format!("{}, not to this machine", leads_to(entry));
            if !self.any_host {
                let message = format!("{owner}; add --any-host to remove it anyway");
                return Err(PortMappingError::refused(message).into());
            }
            if !output.json() {
                output.line(owner)?;
            }
        }
        match self.upnp.delete(transport, external_port).await {
            Ok(()) => Ok(Removed { protocol: Protocol::Upnp, entry: Some(entry.clone()), absent: false }),
            // NAT-PMP can only remove what is ours.
            Err(error) if !entry.this_machine => Err(not_removed(transport, external_port, &[("upnp", &error)]).into()),
            Err(error) => self.remove_by_nat_pmp(transport, external_port, Some(entry), &error).await,
        }
    }

    /// `upnp` is why UPnP did not remove it.
    async fn remove_by_nat_pmp(
        &self,
        transport: Transport,
        external_port: u16,
        entry: Option<&TableEntry>,
        upnp: &PortMappingError,
    ) -> Result<Removed, Failure> {
        let internal_port = entry.map_or(external_port, |entry| entry.internal_port);
        let deleted = match nat_pmp_delete(&self.config, &self.path, transport, internal_port).await {
            // It agrees also if the entry is none of its own.
            Ok(()) if entry.is_some() && self.still_shows(transport, external_port).await => {
                Err(PortMappingError::refused("the router agreed, but its table still shows it"))
            }
            deleted => deleted,
        };
        match deleted {
            Ok(()) => Ok(Removed { protocol: Protocol::NatPmp, entry: entry.cloned(), absent: false }),
            Err(error) => Err(not_removed(transport, external_port, &[("upnp", upnp), ("nat-pmp", &error)]).into()),
        }
    }

    async fn still_shows(&self, transport: Transport, external_port: u16) -> bool {
        let table = self.upnp.mappings().await;
        table.is_ok_and(|entries| find(&entries, transport, external_port).is_some())
    }
}

/// The entry that a delete of this port removes. One that is open to a single remote host is another entry, even with the
/// same port.
pub(crate) fn find(entries: &[TableEntry], transport: Transport, external_port: u16) -> Option<&TableEntry> {
    entries
        .iter()
        .find(|entry| (entry.external_port, entry.transport) == (external_port, transport) && entry.is_for_everybody())
}

/// Whose entry it is, for people.
pub(crate) fn leads_to(entry: &TableEntry) -> String {
    let TableEntry { external_port, transport, internal_client, internal_port, description, .. } = entry;
    let name = if description.is_empty() { String::new() } else { format!(" ({description})") };
    format!("{external_port}/{transport} leads to {internal_client}:{internal_port}{name}")
}

/// Lifetime 0 for an internal port of this machine (RFC 6886 3.4).
async fn nat_pmp_delete(
    config: &Config,
    path: &NetworkPath,
    transport: Transport,
    internal_port: u16,
) -> Result<(), PortMappingError> {
    let gateway = path.require_gateway()?;
    let client = NatPmpMapper::new(SocketAddr::new(gateway, config.pcp_port), path.local_address);
    // NAT-PMP finds the mapping by internal port and transport alone; the rest is not sent.
    let request = MapRequest::new(internal_port, transport);
    let mapping = PortMapping::new(request, (gateway, internal_port), DEFAULT_TTL, Protocol::NatPmp);
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
    let error = match tried.iter().any(|(_, error)| error.kind() == ErrorKind::Refused) {
        true => PortMappingError::refused(message),
        false => PortMappingError::unavailable(message),
    };
    error.with_details(tried.iter().flat_map(|(_, error)| error.details().to_vec()).collect::<Vec<_>>())
}

fn tell(removed: &Removed, transport: Transport, port: u16, output: &Output) -> std::io::Result<()> {
    let port_name = format!("{port}/{transport}");
    if output.json() {
        let event = if removed.absent { "absent" } else { "removed" };
        let entry = removed.entry.as_ref();
        return output.object(&JsonRemoved::new(event, transport, port, removed.protocol, entry));
    }
    output.line(&match (removed.protocol, &removed.entry) {
        (Protocol::NatPmp, None) => format!(
            "{port_name} removed by nat-pmp, if this machine had mapped it (nat-pmp knows only the port inside, and does not say what it removed)"
        ),
        (protocol, Some(entry)) => {
            format!("{port_name} removed by {protocol}: it led to {}:{}", entry.internal_client, entry.internal_port)
        }
        (protocol, None) if removed.absent => {
            format!("{port_name} is not in the router's table (asked by {protocol}): nothing to remove")
        }
        (protocol, None) => format!("{port_name} removed by {protocol}, if it was there (the router does not show it)"),
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
