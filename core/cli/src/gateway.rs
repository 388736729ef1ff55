//! `portlease gateway`: the simulated gateway in the foreground.

use std::process::ExitCode;

use clap::Args;
use portlease_gateway::cli::{Options, run_with};

const LONG_ABOUT: &str = "\
Run a simulated router on this machine, for tests and experiments.

It speaks PCP, NAT-PMP and UPnP on loopback, on free ports unless told otherwise, really forwards what is mapped, and \
misbehaves as told. Its first line on stdout is a JSON object with its addresses; then every line is an event. Each \
line on stdin is a command. It ends when stdin does, unless told to keep running.";

const AFTER_HELP: &str = "\
Examples:
  portlease gateway --pcp-port 5351 --ssdp-port 1900 --keep-running
  PORTLEASE_GATEWAY=127.0.0.1,pcp=5351,ssdp=1900 portlease map 4000/udp
  portlease gateway --ipv6      also with a firewall for IPv6, on [::1]

Lines for stdin:
  {\"set\":{\"cgnat\":true}}     change a switch
  {\"command\":\"mappings\"}     show the table; also state, counters, faults, reboot, ...
  {\"command\":\"stop\"}         end";

/// Run a simulated router on this machine, for tests and experiments
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    options: Options,
}

pub(crate) fn run(args: &GatewayArgs) -> ExitCode {
    run_with(&args.options)
}
