//! `portlease list`: the router's table.

use std::net::IpAddr;

use clap::Args;
use portlease::TableEntry;
use portlease::client::{UpnpConfig, UpnpMapper};
use portlease::net::route::NetworkPath;
use portlease::{AddressFamily, Config, ErrorKind, PortMappingError};
use serde::Serialize;

use crate::advice::{Doing, Hints};
use crate::args::{self, Families, PathArgs};
use crate::event::span;
use crate::log::LogArgs;
use crate::outcome::{DONE, Failure, Outcome};
use crate::output::Output;
use crate::pinholes;
use crate::state::RecordArgs;

const LONG_ABOUT: &str = "\
Show the router's table of mapped ports, of all machines and programs.

Only UPnP can read the table; PCP and NAT-PMP have no request for it. Many routers also list the mappings made by PCP and \
NAT-PMP there. Ports forwarded by hand are usually left out.

No router shows the pinholes in its IPv6 firewall. --family ipv6 shows those that `portlease map` has on record on this \
machine: not those of other programs, and not whether the router has kept them.";

const AFTER_HELP: &str = "\
Examples:
  portlease list
  portlease list --mine       only what leads to this machine
  portlease list --family ipv6
  portlease list --json       one object a line:
    {\"family\":\"ipv4\",\"external_port\":4000,\"transport\":\"udp\",\"internal_client\":\"192.168.1.20\",\"internal_port\":4000,
     \"description\":\"portlease\",\"enabled\":true,\"ttl\":3599,\"remote_host\":\"\",\"this_machine\":true}
  portlease list --family ipv6 --json
    {\"family\":\"ipv6\",\"external_port\":4000,\"transport\":\"udp\",\"internal_client\":\"2600:1::5\",
     \"internal_port\":4000,\"protocol\":\"pcp\",\"held\":true,\"detached\":false,\"ttl\":3600,\"this_machine\":true}

Exit status:
  0  the table or the record was read, even if it is empty
  1  it could not be read
  2  the command line makes no sense";

/// Show the router's table of mapped ports
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct ListArgs {
    /// IPv4: the router's table. IPv6: the pinholes that `portlease map` has on record on this machine
    #[arg(long, value_name = "FAMILY", default_value = "ipv4")]
    family: Families,
    /// Show only what leads to this machine, whichever program has made it
    #[arg(long)]
    mine: bool,
    /// Write one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    record: RecordArgs,
    #[command(flatten)]
    pub(crate) path: PathArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl ListArgs {
    pub(crate) fn output(&self) -> Output {
        Output::new(self.json).hinting(Hints::new(Doing::List, self.path.config()))
    }
}

/// An entry as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonEntry<'a> {
    family: &'static str,
    external_port: u16,
    transport: &'static str,
    internal_client: &'a str,
    internal_port: u16,
    description: &'a str,
    enabled: bool,
    /// Seconds left; `null` for an entry that does not end by itself.
    ttl: Option<u64>,
    /// The only host that may use it; empty for everybody.
    remote_host: &'a str,
    /// Whether it leads to this machine.
    this_machine: bool,
}

/// A UPnP client for the router `gateway` on `path`. If the user named a router, no other one is ever asked.
pub(crate) fn upnp(config: &Config, gateway: IpAddr, path: &NetworkPath) -> UpnpMapper {
    let upnp = UpnpConfig::new(gateway).local_address(path.local_address).ssdp_address(config.ssdp_address);
    UpnpMapper::new(upnp.description(&config.description).gateway_only(config.gateway.is_some()))
}

pub(crate) async fn run(args: ListArgs) -> Outcome {
    let output = args.output();
    if args.family.has(AddressFamily::Ipv4) {
        match show_table(&args.path, args.mine, &output).await {
            shown if args.family == Families::Ipv4 => return shown,
            // Of both, one is enough. What went wrong with the other is told.
            Err(Failure::Mapping(error)) if error.kind() != ErrorKind::Invalid => output.failure(&(&error).into()),
            shown => {
                shown?;
                if !output.json() {
                    output.line("")?;
                }
            }
        }
    }
    pinholes::list(args.record.folder().as_deref(), &output)
}

/// The router's table, which is that of IPv4.
async fn show_table(path: &PathArgs, mine: bool, output: &Output) -> Outcome {
    let (config, path) = args::check(path.config())?;
    let path = path?;
    let gateway = path.require_gateway()?;
    let mut entries = table(&upnp(&config, gateway, &path)).await?;
    entries.retain(|entry| entry.this_machine || !mine);
    if output.json() {
        for entry in &entries {
            output.object(&JsonEntry {
                family: AddressFamily::Ipv4.as_str(),
                external_port: entry.external_port,
                transport: entry.transport.as_str(),
                internal_client: &entry.internal_client,
                internal_port: entry.internal_port,
                description: &entry.description,
                enabled: entry.enabled,
                ttl: entry.lifetime.map(|left| left.as_secs()),
                remote_host: &entry.remote_host,
                this_machine: entry.this_machine,
            })?;
        }
        return Ok(DONE);
    }
    if entries.is_empty() {
        output.line(match mine {
            true => format!("the router at {gateway} shows no mapped port that leads to this machine"),
            false => format!("the router at {gateway} has no mapped ports, or shows none"),
        })?;
    }
    for line in rows(&entries) {
        output.line(&line)?;
    }
    Ok(DONE)
}

/// The router's table.
pub(crate) async fn table(upnp: &UpnpMapper) -> Result<Vec<TableEntry>, PortMappingError> {
    upnp.mappings().await.map_err(explain)
}

/// Says that only UPnP can read the table if the router does not answer by it.
pub(crate) fn explain(error: PortMappingError) -> PortMappingError {
    if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) {
        return error;
    }
    PortMappingError::unavailable(format!(
        "only upnp can read the table (pcp and nat-pmp cannot), and it is not available here: {error}"
    ))
    .with_details(error.details())
}

/// The table in columns, with a head.
pub(crate) fn rows(entries: &[TableEntry]) -> Vec<String> {
    let row = |entry: &TableEntry| {
        let here = if entry.this_machine { " (this machine)" } else { "" };
        let from = match entry.remote_host.is_empty() {
            true => String::new(),
            false => format!(" (only from {})", entry.remote_host),
        };
        let off = if entry.enabled { "" } else { " (off)" };
        [
            format!("{}/{}", entry.external_port, entry.transport),
            format!("{}:{}{here}", entry.internal_client, entry.internal_port),
            entry.lifetime.map_or_else(|| "never".to_owned(), span),
            format!("{}{off}{from}", entry.description).trim_start().to_owned(),
        ]
    };
    columns(["PORT", "LEADS TO", "ENDS IN", "DESCRIPTION"], entries.iter().map(row))
}

/// Rows below a head; nothing without rows.
pub(crate) fn columns(head: [&str; 4], rows: impl Iterator<Item = [String; 4]>) -> Vec<String> {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    if rows.len() == 1 {
        return Vec::new();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c] = [width(0), width(1), width(2)];
    let line = |[one, two, three, four]: &[String; 4]| format!("{one:<a$}  {two:<b$}  {three:<c$}  {four}");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portlease::Transport;
    use std::time::Duration;

    #[test]
    fn the_table_is_aligned_and_says_what_is_unusual_about_an_entry() {
        let mut ours = TableEntry::new(Transport::Udp, 4000, "192.168.1.20", 4000);
        ours.description = "portlease".to_owned();
        ours.this_machine = true;
        ours.lifetime = Some(Duration::from_secs(3599));
        let mut other = TableEntry::new(Transport::Tcp, 80, "nas", 8080);
        other.enabled = false;
        other.remote_host = "192.0.1.7".to_owned();
        assert_eq!(
            rows(&[ours, other]),
            [
                "PORT      LEADS TO                          ENDS IN      DESCRIPTION",
                "4000/udp  192.168.1.20:4000 (this machine)  59 min 59 s  portlease",
                "80/tcp    nas:8080                          never        (off) (only from 192.0.1.7)",
            ]
        );
        assert!(rows(&[]).is_empty());
    }
}
