//! `portlease status`: what the router says about its connection to the internet.

use clap::Args;
use portlease::client::{DeviceInfo, WanStatus};
use portlease::{AddressClass, GatewayReport, Protocol};
use serde_json::{Value, json};

use crate::doctor::{describe, device_json, protocol_json, protocol_line, wan_json, wan_text};
use crate::ip::{self, AskArgs};
use crate::list::upnp;
use crate::outcome::{DONE, Outcome};
use crate::output::Output;
use crate::text::Colour;

const LONG_ABOUT: &str = "\
Show what the router says about its connection to the internet: the state, since when, the external IPv4 address, and the rate of the \
line; and which protocols it answers. Nothing is mapped.

Only UPnP tells the state and the rate. Many routers tell the rate of the plug instead of the contract, or none.";

const AFTER_HELP: &str = "\
Examples:
  portlease status
  portlease status --json   rates in bits per second, times in seconds

Exit status:
  0  the router answers
  1  the router does not answer, or refuses: the reason is on stderr
  2  the command line is wrong";

/// Show the state of the router's connection to the internet
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// What the router has told.
struct Told {
    report: GatewayReport,
    device: Option<DeviceInfo>,
    /// `Err`: why the state is not known.
    wan: Result<WanStatus, String>,
}

pub(crate) async fn run(args: StatusArgs) -> Outcome {
    let output = args.ask.output();
    let (config, path) = args.ask.check()?;
    let path = path?;
    let asks_upnp = config.protocols.contains(&Protocol::Upnp);
    let client = upnp(&config, path.require_gateway()?, &path);
    let by_upnp = async {
        if !asks_upnp {
            return (None, Err("only UPnP tells it".to_owned()));
        }
        match client.search().await {
            Ok(device) => (Some(device), client.wan_status().await.map_err(|error| error.message())),
            Err(_) => (None, Err("only UPnP tells it".to_owned())),
        }
    };
    let (report, (device, wan)) = tokio::join!(ip::report(config, &path), by_upnp);
    let report = report?;
    report.require_offer()?;
    let told = Told { report, device, wan };
    match output.json() {
        true => output.object(&told.json())?,
        false => told.show(&output)?,
    }
    Ok(DONE)
}

impl Told {
    fn show(&self, output: &Output) -> std::io::Result<()> {
        let Self { report, device, wan } = self;
        let line = |name: &str, text: String| output.line(format!("{name:<17}{text}"));
        let router = report.gateway.map_or_else(|| "unknown".to_owned(), |gateway| gateway.to_string());
        let interface = report.interface.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
        line("Router", format!("{router}{interface}"))?;
        if let Some(device) = device {
            line("Device", describe(device))?;
        }
        for protocol in &report.protocols {
            let (yes, text) = protocol_line(protocol);
            let (colour, mark) = if yes { (Colour::Green, "yes  ") } else { (Colour::Red, "no   ") };
            let mark = output.paint().colour(colour, mark);
            output.line(crate::text::Shown::from(format!("{:<17}", protocol.protocol.as_str())) + mark + text)?;
        }
        line("WAN connection", wan.as_ref().map_or_else(|why| format!("unknown: {why}"), wan_text))?;
        let known = |(address, _)| match AddressClass::unreachable(Some(address)) {
            Some(why) => format!("{address}: {why}"),
            None => format!("{address} ({})", AddressClass::of(address)),
        };
        line("External address", ip::external_address(report).map_or_else(|| "unknown".to_owned(), known))?;
        match wan.as_ref().ok().and_then(rates) {
            Some(rates) => line("Line", rates),
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        let address = ip::external_address(&self.report).map(|(address, _)| address);
        json!({
            "gateway": self.report.gateway.map(|gateway| gateway.to_string()),
            "interface": self.report.interface,
            "local_address": self.report.local_address.map(|address| address.to_string()),
            "protocols": self.report.protocols.iter().map(protocol_json).collect::<Vec<_>>(),
            "device": self.device.as_ref().map(device_json),
            "wan": self.wan.as_ref().ok().map(wan_json),
            "external_address": address.map(|address| address.to_string()),
            "address_class": address.map_or(AddressClass::Unknown, AddressClass::of).as_str(),
        })
    }
}

/// The rates of the line for people; `None` if the router tells none.
fn rates(wan: &WanStatus) -> Option<String> {
    let rate = |rate: Option<u64>, name: &str| rate.map(|rate| format!("{} {name}", bits(rate)));
    let parts: Vec<_> =
        [rate(wan.downstream_rate, "down"), rate(wan.upstream_rate, "up")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `40 Mbit/s`, `1.5 Gbit/s`, with at most one digit after the point.
fn bits(rate: u64) -> String {
    let (unit, name) = match rate {
        1_000_000_000.. => (1_000_000_000, "Gbit/s"),
        1_000_000.. => (1_000_000, "Mbit/s"),
        _ => (1_000, "kbit/s"),
    };
    match rate % unit * 10 / unit {
        0 => format!("{} {name}", rate / unit),
        tenth => format!("{}.{tenth} {name}", rate / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_the_unit_that_reads_best() {
        for (rate, text) in [
            (64_000, "64 kbit/s"),
            (40_000_000, "40 Mbit/s"),
            (51_392_000, "51.3 Mbit/s"),
            (1_000_000_000, "1 Gbit/s"),
            (2_500_000_000, "2.5 Gbit/s"),
        ] {
            assert_eq!(bits(rate), text);
        }
    }
}
