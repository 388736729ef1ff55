//! The pinholes of this machine in the router's IPv6 firewall: `list` and `unmap` of IPv6.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use portlease::{AddressFamily, Mapper, PortMappingError, Protocol, RecordedPinhole, Transport, recorded_pinholes};
use serde::Serialize;

use crate::args::port_name;
use crate::event::span;
use crate::list::columns;
use crate::outcome::{DONE, Outcome};
use crate::output::Output;

/// A pinhole on record, as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonPinhole {
    family: &'static str,
    external_port: u16,
    transport: &'static str,
    internal_client: String,
    internal_port: u16,
    protocol: &'static str,
    /// Whether the program that has opened it runs and renews it.
    held: bool,
    /// Whether it was left open on purpose.
    detached: bool,
    /// The seconds within which it ends if nobody renews it.
    ttl: Option<u64>,
    this_machine: bool,
}

/// Shows the pinholes that are on record in `folder`, because no router shows its own.
pub(crate) fn list(folder: Option<&Path>, output: &Output) -> Outcome {
    let Some(folder) = folder else {
        if !output.json() {
            output.line(
                "no router shows its IPv6 pinholes, and without a --state-dir none of this machine are on record",
            )?;
        }
        return Ok(DONE);
    };
    let found = recorded_pinholes(folder);
    let pinholes = found.map_err(|error| {
        PortMappingError::transport(format_args!("cannot read the record in {}", folder.display()), error)
    })?;
    if output.json() {
        pinholes.iter().try_for_each(|pinhole| output.object(&JsonPinhole::from(pinhole)))?;
        return Ok(DONE);
    }
    let place = folder.display();
    output.line(match pinholes.is_empty() {
        true => format!("no router shows its IPv6 pinholes, and none of this machine are on record in {place}"),
        false => format!("no router shows its IPv6 pinholes; those of this machine on record in {place}:"),
    })?;
    for line in columns(["PORT", "OPENS", "BY", "STATE"], pinholes.iter().map(row)) {
        output.line(&line)?;
    }
    Ok(DONE)
}

impl From<&RecordedPinhole> for JsonPinhole {
    fn from(pinhole: &RecordedPinhole) -> Self {
        Self {
            family: AddressFamily::Ipv6.as_str(),
            external_port: pinhole.port,
            transport: pinhole.transport.as_str(),
            internal_client: pinhole.address.to_string(),
            internal_port: pinhole.port,
            protocol: pinhole.protocol.as_str(),
            held: pinhole.held,
            detached: pinhole.detached,
            ttl: pinhole.ends_within.map(|left| left.as_secs()),
            this_machine: true,
        }
    }
}

fn row(pinhole: &RecordedPinhole) -> [String; 4] {
    let end = pinhole.ends_within.map(|left| format!(", ends within {}", span(left))).unwrap_or_default();
    [
        format!("{}/{}", pinhole.port, pinhole.transport),
        SocketAddr::new(pinhole.address.into(), pinhole.port).to_string(),
        pinhole.protocol.to_string(),
        match (pinhole.held, pinhole.detached) {
            (true, _) => "held by a program that runs".to_owned(),
            (false, true) => format!("left on purpose{end}"),
            (false, false) => format!("left by a crash{end}"),
        },
    ]
}

/// What became of one port, as `--json` writes it.
#[derive(Debug, Serialize)]
struct JsonClosed {
    event: &'static str,
    transport: &'static str,
    family: &'static str,
    external_port: u16,
    protocol: &'static str,
    internal_client: Option<String>,
    internal_port: u16,
}

/// Closes this machine's own pinhole and says so. `local` is this machine's address.
pub(crate) async fn close(
    mapper: &Mapper,
    transport: Transport,
    port: u16,
    local: IpAddr,
    output: &Output,
) -> Result<(), crate::outcome::Failure> {
    let protocol = mapper.close_pinhole(transport, port).await?;
    if output.json() {
        return Ok(output.object(&JsonClosed {
            event: "removed",
            transport: transport.as_str(),
            family: AddressFamily::Ipv6.as_str(),
            external_port: port,
            protocol: protocol.as_str(),
            internal_client: Some(local.to_string()),
            internal_port: port,
        })?);
    }
    let (name, place) = (port_name(port, transport, Some(AddressFamily::Ipv6)), SocketAddr::new(local, port));
    Ok(output.line(match protocol {
        Protocol::Pcp => format!("{name} closed by {protocol}: it led to {place}"),
        Protocol::NatPmp | Protocol::Upnp | Protocol::None => {
            format!("{name} closed by {protocol}, if it was open (no router shows it): {place}")
        }
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_has_no_pinholes() {
        let nowhere = std::env::temp_dir().join("portlease-nowhere");
        assert_eq!(list(Some(&nowhere), &Output::new(true)).unwrap(), DONE);
        assert_eq!(list(None, &Output::new(true)).unwrap(), DONE);
    }
}
