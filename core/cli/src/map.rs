//! `portlease map`: map ports and hold them.

use std::ffi::OsString;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use portlease::{AddressFamily, Config, MapRequest, Mapper, PortMappingError, RetryPolicy};
use tokio::time::Instant;

use crate::advice::{Doing, Hints};
use crate::args::{self, Families, PathArgs, PcpPortArgs, ProtocolArgs};
use crate::company::Company;
use crate::hook::Hook;
use crate::log::LogArgs;
use crate::outcome::{Outcome, with_statuses};
use crate::output::Output;
use crate::ports::{self, Entry, MOST};
use crate::program::Program;
use crate::session::Session;
use crate::signals::Signals;
use crate::state::StateArgs;

const LONG_ABOUT: &str = "\
Map ports and keep them mapped until Ctrl-C, SIGTERM, SIGQUIT, a closed terminal (SIGHUP) or the end of --for; then take \
them off the router. Under nohup a closed terminal does not end it.

Each port is written with its transport. A range, such as 4000-4010/udp, is each of its ports; one command can map at most \
256. The router is asked for the same port outside, or with 8080:80/tcp for port 80; if that is taken it may give another, \
unless --exact is given. A router that does not answer, or says no, is asked again after 1 s, 2 s, 4 s and so \
on up to 5 min: every failure is told, and portlease goes on trying unless --retry never is given.

--family ipv6 opens the port in the router's firewall for this machine's own global IPv6 address, which is the way in for \
homes without a public IPv4 address. The port outside is the port inside. --family both does both for each port, and each \
line names its family. It fails only if neither works; a family that fails beside one that works is told once for each \
reason. An open firewall cannot be told from a closed one by asking.

With -- COMMAND that program runs while the ports are open. It starts as soon as the first answer for each port is known, \
also if none could be mapped: --when-mapped waits for every port, and with --retry never a port that cannot be mapped ends \
portlease before the program starts. Signals are passed on to the program. When it ends, the ports are released, and its exit \
status becomes that of portlease: 126 or 127 if it could not be started. stdout belongs to the program, so all lines of \
portlease go to stderr, with --json too.

--on-change runs a command once the ports are mapped, and again when an external address or port changes or a mapping is lost. \
Only one runs at a time: if something changes meanwhile, one more run follows with the latest addresses. A run that takes \
longer than a minute is killed; one that is under way at the end is left alone. What the command writes goes to stderr.

COMMAND and the command of --on-change get the external address of each mapped port in a variable with the port inside in its \
name: PORTLEASE_4000_UDP=192.0.2.7:4000, with IPv6 PORTLEASE_4000_UDP_IPV6=[2001:db8::5]:4000. A port that is not mapped has no \
variable. If the router does not know its own address, the value is only the port, such as `:4000`.

Under systemd, with Type=notify, portlease reports when the first answer for each port is known, what is mapped, and when it \
begins to stop. The unit portlease@.service keeps a port open: `systemctl enable --now portlease@4000-udp`.

At the end it waits until the router has confirmed that every port is released; a second Ctrl-C ends the wait. A port \
that the router did not confirm may stay mapped: a warning names it, with the time when its lifetime ends.

The exit status is 0 if at least one port was mapped, with --detach and with --retry never if all of them were. With \
--family both a port is mapped, and can be reached, if that holds for one of its families. If several failures come \
together, the exit status is the first of 4, 1 and 3 that applies.

What is mapped is recorded in a small file, so that after a crash the next start gets the same external port and removes \
the mappings that it does not ask for again. The folder is $XDG_STATE_HOME/portlease or else ~/.local/state/portlease; on macOS \
~/Library/Application Support/portlease, on Windows %LOCALAPPDATA%\\portlease. Without a home folder nothing is recorded.

portlease does not open the port on this machine: your program does, before or after. With --family ipv6 it must listen on \
IPv6, for instance on `::`.";

const EXAMPLES: &str = "\
Examples:
  portlease map 4000/udp                        until Ctrl-C
  portlease map 4000/both 8080/tcp              several at once; `both` is UDP and TCP
  portlease map 80,443/tcp,4000-4010/udp        lists and ranges
  portlease map 8080:80/tcp --exact             as port 80, or not at all
  portlease map 4000/udp --family both          by IPv4 and by IPv6, whatever works
  portlease map 4000/udp --for 10m --json       for ten minutes, one JSON object a line
  portlease map 4000/udp --ttl 2h --detach      for two hours, without staying
  portlease map 4000/udp -- ./game              while that program runs
  portlease map 8080:80/tcp --on-change 'echo $PORTLEASE_8080_TCP > /run/address'
  portlease map 4000/udp --log-file map.log     and write down what the router was asked, and what it answered

JSON events: installed, renewed, changed, failed, revoked, repaired, exited, network-changed; at the end detached with
--detach, and unconfirmed or pending for a port that may still be mapped. A failed without a port is a warning, for
instance that the record cannot be written. Such as
  {\"event\":\"installed\",\"transport\":\"udp\",\"family\":\"ipv4\",\"internal_port\":4000,
   \"external\":\"192.0.1.1:4000\",\"external_port\":4000,\"protocol\":\"pcp\",\"ttl\":3600,\"address_class\":\"public\",\"elapsed_ms\":1.4}";

static AFTER_HELP: LazyLock<String> = LazyLock::new(|| with_statuses(EXAMPLES));

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Retry {
    /// Try again after 1 s, doubling to 5 min
    Backoff,
    /// End with status 1
    Never,
}

/// One argument: clap takes a plain vector for many.
#[derive(Debug, Clone)]
struct PortList(Vec<Entry>);

impl PortList {
    fn parse(text: &str) -> Result<Self, String> {
        ports::list(text).map(Self)
    }
}

/// Map ports and keep them mapped until Ctrl-C
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP.as_str())]
pub(crate) struct MapArgs {
    /// Local port and transport: 4000/udp, 8080/tcp, or 4000/both; a range, 4000-4010/udp; with the port outside, 8080:80/tcp.
    /// Commas separate several: 80,443/tcp
    #[arg(required = true, value_name = "PORT/TRANSPORT", value_parser = PortList::parse)]
    ports: Vec<PortList>,
    /// The way in: IPv4, IPv6, or both for each port
    #[arg(long, value_name = "FAMILY", default_value = "ipv4")]
    family: Families,
    /// Port to ask for outside, as in 8080:80/tcp; give one for each port or range, in the same order, separated by commas. With
    /// IPv6 it is always the same as inside [default: the same as inside]
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = args::port_alone)]
    external: Vec<u16>,
    /// Take no other external port than the one asked for
    #[arg(long)]
    exact: bool,
    /// Lifetime to ask for, 1s to 1d; the mapping is renewed before it ends. A plain number is seconds
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = args::duration)]
    ttl: Duration,
    /// Longest wait between renewals; a short lifetime makes it shorter
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = args::duration)]
    renewal_interval: Duration,
    /// How often to ask the router for a sign of life, one small packet each way for all ports, so that a restart without
    /// an announcement is noticed (PCP and NAT-PMP); 0 is never
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = args::duration)]
    check_interval: Duration,
    /// Release and end after this time, such as 30s, 5m or 2h [default: hold until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = args::positive_duration)]
    hold: Option<Duration>,
    /// End as soon as all is mapped and leave the mappings to their lifetime; implies --retry never
    #[arg(long, conflicts_with = "hold")]
    detach: bool,
    /// What to do when the router does not answer or says no
    #[arg(long, value_name = "POLICY", default_value = "backoff")]
    retry: Retry,
    /// Text that the router shows beside the mapping (UPnP only), at most 64 characters
    #[arg(long, value_name = "TEXT", default_value = "portlease")]
    description: String,
    /// Run CMD by `sh -c` (on Windows by `cmd /C`) when an external address or port has changed
    #[arg(long, value_name = "CMD", conflicts_with = "detach")]
    on_change: Option<String>,
    /// Start COMMAND only when every port is mapped
    #[arg(long, requires = "command")]
    when_mapped: bool,
    /// Write one JSON object a line instead of text
    #[arg(long)]
    json: bool,
    /// Program to run while the ports are open, and its arguments
    #[arg(last = true, num_args = 1.., value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    #[arg(conflicts_with_all = ["hold", "detach"])]
    command: Vec<OsString>,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    protocols: ProtocolArgs,
    #[command(flatten)]
    pub(crate) path: PathArgs,
    #[command(flatten)]
    pcp: PcpPortArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl MapArgs {
    fn config(&self) -> Config {
        let retry = match self.retry {
            Retry::Never => RetryPolicy::Never,
            Retry::Backoff if self.detach => RetryPolicy::Never,
            Retry::Backoff => RetryPolicy::default(),
        };
        self.path
            .config()
            .protocols(self.protocols.protocols())
            .ttl(self.ttl)
            .renewal_interval(self.renewal_interval)
            .check_interval(self.check_interval)
            .retry(retry)
            .description(&self.description)
            .pcp_port(self.pcp.pcp_port)
    }

    pub(crate) fn output(&self) -> Output {
        let mut output = Output::new(self.json).hinting(Hints::new(Doing::Map, self.path.config()));
        if self.log.is_on_terminal() || self.on_change.is_some() {
            output.draw_nothing();
        }
        if !self.command.is_empty() {
            output.leave_stdout();
        }
        output
    }

    /// Every mapping to ask for. Fails with kind `invalid`.
    fn requests(&self) -> Result<Vec<MapRequest>, PortMappingError> {
        let entries: Vec<&Entry> = self.ports.iter().flat_map(|list| &list.0).collect();
        self.check_external(&entries)?;
        let count = entries.iter().map(|entry| entry.count()).sum::<usize>() * self.family.all().len();
        if count > MOST {
            return Err(PortMappingError::invalid(
                "port",
                format!("{count} mappings; one command can map at most {MOST}"),
            ));
        }
        let mut requests: Vec<MapRequest> = Vec::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let pairs = entry.pairs(self.external.get(place).copied());
            let pairs = pairs.map_err(|why| PortMappingError::invalid("external_port", why))?;
            let transports = entry.transports();
            for ((port, outside), transport) in
                pairs.into_iter().flat_map(|pair| transports.iter().map(move |transport| (pair, *transport)))
            {
                if requests.iter().any(|other| (other.internal_port, other.transport) == (port, transport)) {
                    return Err(PortMappingError::invalid("port", format!("{port}/{transport} is given twice")));
                }
                for family in self.family.all() {
                    let mut request = MapRequest::new(port, transport).family(*family);
                    request.external_port = outside;
                    request.exact = self.exact;
                    request.validate()?;
                    requests.push(request);
                }
            }
        }
        Ok(requests)
    }

    /// Fails with `invalid` if it is not clear which port outside belongs to which inside.
    fn check_external(&self, entries: &[&Entry]) -> Result<(), PortMappingError> {
        let (given, ports) = (self.external.len(), entries.len());
        if given == 0 {
            return Ok(());
        }
        let invalid = |why| Err(PortMappingError::invalid("external", why));
        if let Some(entry) = entries.iter().find(|entry| entry.names_outside()) {
            return invalid(format!("`{}` names its external port already; leave out --external", entry.text));
        }
        if given != ports {
            return invalid(format!("{given} given for {ports} ports; give one for each, in the same order, or none"));
        }
        Ok(())
    }
}

pub(crate) async fn run(args: MapArgs) -> Outcome {
    let (requests, mut config) = (args.requests()?, args.config());
    let output = args.output();
    config.state_dir = args.state.folder(&output);
    // A machine without a network is not bad usage: the lease says so, and waits for one.
    let (config, _) = args::check(config)?;
    if args.family.has(AddressFamily::Ipv6) {
        args::check_protocols(&config)?;
        drop(args::check_path(&config, AddressFamily::Ipv6)?);
    }
    // Before anything is mapped, so that no signal ends the program with a mapping left behind.
    let mut signals = Signals::listen()?;
    let deadline = args.hold.and_then(|hold| Instant::now().checked_add(hold));
    let gives_up = config.retry == RetryPolicy::Never;
    let mapper = Mapper::start(config)?;
    let mut leases = Vec::new();
    for request in &requests {
        match mapper.map(request.clone()) {
            Ok(lease) => leases.push(lease),
            Err(error) => {
                mapper.stop(None).await;
                return Err(error.into());
            }
        }
    }
    let hook = args.on_change.map(Hook::new);
    let mut company = Company::new(&output, Program::new(args.command), args.when_mapped, hook);
    let mut session = Session::new(&output, requests.iter().zip(&leases), args.family, args.detach, gives_up);
    let end = session.hold(&mapper, &leases, &mut company, &mut signals, deadline).await;
    output.end_live();
    session.finish(end, &mapper, &leases, &mut signals).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cli, Command};
    use clap::Parser;
    use portlease::Transport;

    fn args(line: &str) -> MapArgs {
        let cli = Cli::try_parse_from(["portlease", "map"].into_iter().chain(line.split_whitespace())).unwrap();
        let Command::Map(args) = cli.command else { panic!("{:?}", cli.command) };
        args
    }

    #[test]
    fn external_ports_belong_to_the_ports_in_order() {
        let requests = args("4000/both 8080/tcp --external 4100 --external 80 --exact").requests().unwrap();
        let asked: Vec<_> = requests.iter().map(|r| (r.internal_port, r.transport, r.external_port, r.exact)).collect();
        assert_eq!(
            asked,
            [
                (4000, Transport::Udp, Some(4100), true),
                (4000, Transport::Tcp, Some(4100), true),
                (8080, Transport::Tcp, Some(80), true)
            ]
        );
    }

    #[test]
    fn lists_and_ranges_have_external_ports_of_their_own() {
        let asked = |line: &str| -> Vec<_> {
            let requests = args(line).requests().unwrap();
            requests.iter().map(|r| (r.internal_port, r.external_port)).collect()
        };
        assert_eq!(asked("8080:80,8443:443/tcp"), [(8080, Some(80)), (8443, Some(443))]);
        assert_eq!(asked("8080,8443/tcp --external 80,443"), [(8080, Some(80)), (8443, Some(443))]);
        assert_eq!(asked("4000-4001/udp --external 5000"), [(4000, Some(5000)), (4001, Some(5001))]);
        assert_eq!(asked("4000-4001/udp,22/tcp"), [(4000, None), (4001, None), (22, None)]);
    }

    #[test]
    fn both_families_are_two_requests_for_each_port() {
        let asked = |line: &str| -> Vec<_> {
            let requests = args(line).requests().unwrap();
            requests.iter().map(|r| format!("{}/{} {}", r.internal_port, r.transport, r.family)).collect()
        };
        assert_eq!(asked("4000/udp"), ["4000/udp ipv4"]);
        assert_eq!(asked("4000/udp --family ipv6"), ["4000/udp ipv6"]);
        assert_eq!(
            asked("4000/both --family both"),
            ["4000/udp ipv4", "4000/udp ipv6", "4000/tcp ipv4", "4000/tcp ipv6"]
        );
        let error = args("4000/udp 4000/both --family both").requests().unwrap_err();
        assert_eq!(error.to_string(), "port: 4000/udp is given twice");
    }

    #[test]
    fn the_same_port_twice_is_invalid() {
        let error = args("4000/udp 4000/both").requests().unwrap_err();
        assert_eq!(error.to_string(), "port: 4000/udp is given twice");
    }

    #[test]
    fn detaching_never_retries() {
        assert_eq!(args("4000/udp").config().retry, RetryPolicy::default());
        assert_eq!(args("4000/udp --detach").config().retry, RetryPolicy::Never);
        assert_eq!(args("4000/udp --retry never").config().retry, RetryPolicy::Never);
    }

    #[test]
    fn without_options_the_configuration_is_the_default_one() {
        assert_eq!(args("4000/udp").config(), Config::default());
    }
}
