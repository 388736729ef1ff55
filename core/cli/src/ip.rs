//! `portlease ip`: the router's external address.

use std::net::IpAddr;

use clap::Args;
use portlease::net::route::NetworkPath;
use portlease::{AddressClass, Config, GatewayReport, Mapper, PortMappingError, Protocol, RetryPolicy};
use serde_json::json;

use crate::advice::{self, Doing, Hints};
use crate::args::{self, Path, PathArgs, PcpPortArgs, ProtocolArgs};
use crate::log::LogArgs;
use crate::outcome::{DONE, Outcome, UNREACHABLE};
use crate::output::Output;

const LONG_ABOUT: &str = "\
Show the router's external IPv4 address, alone on a line, for scripts. Nothing is mapped, and nothing is sent into the internet.

NAT-PMP and UPnP tell the address. PCP tells it only with a mapping: if the router has PCP alone, `portlease doctor` maps a port for \
a moment and shows the address.

If the address is not public (carrier-grade NAT, or another router before the internet), it is printed too, and the exit status is 3.";

const AFTER_HELP: &str = "\
Examples:
  portlease ip
  portlease ip --protocol nat-pmp
  portlease ip --json
    {\"external_address\":\"192.0.1.1\",\"address_class\":\"public\",\"protocol\":\"nat-pmp\"}

Exit status:
  0  the address is printed, and it is public
  1  the address is not known: the reason is on stderr
  2  the command line is wrong
  3  the address is printed, but the internet cannot reach it";

/// Show the router's external address
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct IpArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// What a question to the router needs.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Write one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    protocols: ProtocolArgs,
    #[command(flatten)]
    pub(crate) path: PathArgs,
    #[command(flatten)]
    pcp: PcpPortArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl AskArgs {
    pub(crate) fn output(&self) -> Output {
        Output::new(self.json).hinting(Hints::new(Doing::Map, self.path.config()))
    }

    /// The configuration, and the way to the router.
    pub(crate) fn check(&self) -> Result<(Config, Path), PortMappingError> {
        let config = self.path.config().protocols(self.protocols.protocols()).pcp_port(self.pcp.pcp_port);
        args::check(config.retry(RetryPolicy::Never))
    }
}

/// Asks by each protocol; maps nothing.
pub(crate) async fn report(config: Config, path: &NetworkPath) -> Result<GatewayReport, PortMappingError> {
    path.require_gateway()?;
    let mapper = Mapper::start(config)?;
    let report = mapper.report().await;
    mapper.stop(None).await;
    report
}

/// The external address, and the protocol that told it; `None` for a public address of this machine itself.
pub(crate) fn external_address(report: &GatewayReport) -> Option<(IpAddr, Protocol)> {
    let told = |(protocol, address): (Protocol, Option<IpAddr>)| Some((address?, protocol));
    let offers = report
        .protocols
        .iter()
        .filter_map(|report| report.outcome.as_ref().ok().map(|offer| (report.protocol, offer.external_address)));
    let own = || {
        let silent = report.protocols.iter().all(|report| report.outcome.is_err());
        report.local_address.filter(|own| silent && AddressClass::of(*own) == AddressClass::Public)
    };
    offers.filter_map(told).next().or_else(|| Some((own()?, Protocol::None)))
}

/// Why the address is not known.
fn unknown(report: &GatewayReport) -> PortMappingError {
    if let Err(error) = report.require_offer() {
        return error;
    }
    let by_pcp_alone =
        report.protocols.iter().all(|report| report.protocol == Protocol::Pcp || report.outcome.is_err());
    PortMappingError::unavailable(match by_pcp_alone {
        true => {
            "the router answers by pcp alone, which tells the external address only with a mapping: `portlease doctor` maps a port for \
             a moment and shows it"
        }
        false => "the router has no external address, or does not tell it: `portlease status` shows its connection",
    })
}

pub(crate) async fn run(args: IpArgs) -> Outcome {
    let output = args.ask.output();
    let (config, path) = args.ask.check()?;
    let report = report(config, &path?).await?;
    let (address, protocol) = external_address(&report).ok_or_else(|| unknown(&report))?;
    let class = AddressClass::of(address);
    let why = AddressClass::unreachable(Some(address));
    if output.json() {
        output.object(&json!({
            "external_address": address.to_string(),
            "address_class": class.as_str(),
            "protocol": protocol.as_str(),
        }))?;
    } else {
        output.line(address.to_string())?;
        if let Some(why) = &why {
            output.warning(why);
            output.note(format!("  try: {}", advice::unreachable(None, class).join("; ")));
        }
    }
    Ok(if why.is_some() { UNREACHABLE } else { DONE })
}
