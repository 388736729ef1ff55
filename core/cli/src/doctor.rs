//! `portlease doctor`: the report that ends a support thread.

mod firewall;
mod json;
mod listening;
mod outside;
mod port;
mod reach;
mod redact;
mod report;
mod router;
mod show;
mod stun;

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use clap::Args;
use portlease::net::route::NetworkPath;
use portlease::{
    AddressFamily, Config, ErrorKind, ErrorReport, GatewayReport, MapRequest, Mapper, Obstacle, PortMappingError,
    ProtocolReport, Release, RetryPolicy, Transport,
};

use self::firewall::{Firewall, Verdict};
pub(crate) use self::json::protocol as protocol_json;
use self::outside::Outside;
use self::port::PortFindings;
use self::reach::Reach;
use self::router::RouterFacts;
pub(crate) use self::router::{describe, device_json, wan_json, wan_text};
pub(crate) use self::show::protocol_line;
use crate::advice::{Doing, Hints};
use crate::args::{self, PathArgs, PcpPortArgs, PortSpec, ProtocolArgs};
use crate::diagnosis::{Findings, Place, TestMapping};
use crate::event::millis;
use crate::log::LogArgs;
use crate::network::Network;
use crate::outcome::{DONE, FAILED, Outcome, UNCONFIRMED, UNREACHABLE, with_statuses};
use crate::output::Output;
use crate::presence::{self, Presence};
use crate::reflector;
use crate::repair;
use crate::signals::Signals;

/// The lifetime of the test mapping: short, should it be left behind; some routers grant no shorter one.
const TEST_TTL: Duration = Duration::from_secs(120);
/// How long the test mapping may take: longer than every protocol's deadlines together.
const TEST_DEADLINE: Duration = Duration::from_secs(15);

const LONG_ABOUT: &str = "\
Find out whether ports can be mapped here, and if not, why.

Shows the interfaces and default routes of this machine, and for IPv4 and for IPv6 the local address, what the router answers by \
each protocol and how fast, whether it is there at all if it does not answer, its name and model, the state of its connection, its \
external address and whether the internet can reach that, a picture of the path, a verdict and what to do next.

With a PORT it also shows whether a program listens on it, whether this machine's own firewall lets packets in (nftables, iptables, \
ufw, firewalld, Windows, macOS; what cannot be asked, often without root, is called unknown), and who has the port on the router.

Nothing is sent into the internet unless you name a server. --stun asks a STUN server which address it sees, and compares that \
with the router's. --reflector has a machine of yours that runs `portlease reflector` send a packet to PORT: doctor maps the port, \
listens, and says that the port is reachable only if that packet arrives. No program may have the port meanwhile.

--report writes a text for a support thread, in which public addresses, MAC addresses, serial numbers, host names and names of \
devices are masked; the top of the text says what was masked.

To be sure, it maps one UDP port for 120 s and removes the mapping at once: a free port, which it holds itself \
meanwhile. By IPv6 it opens one in the router's firewall and closes it again, unless the router opens none. --no-map leaves \
that out.

That IPv6 does not work is no failure. It needs a global address on this machine, a default route, and a router that lets \
programs open its firewall. Whether that firewall lets packets in already cannot be found out from here: an open firewall \
cannot be told from a closed one by asking.

--repair is for a router that lists a mapping and does not forward it any more. It makes no report: it deletes the \
mapping and adds it again by UPnP, with the same ports, description and end, so that the program that holds it goes on. \
The port is the one outside, as `portlease list` shows it. It must lead to this machine. A mapping that the router \
shows as made by PCP or NAT-PMP can only be repaired by the program that holds it: stop that and start it again. It is for \
IPv4: no router lists the pinholes of IPv6.";

const EXAMPLES: &str = "\
Examples:
  portlease doctor
  portlease doctor 4000/udp                also follow this port from the program to the router
  portlease doctor --report > report.txt   a text to post, with addresses and names masked
  portlease doctor --json                  all of it, for a program
  portlease doctor -v                      and show each exchange with the router
  portlease doctor --gateway 192.168.0.1   ask another router than that of the default route
  portlease doctor --stun stun.example     compare the address that a STUN server sees
  portlease doctor 4000/udp --reflector reflector.example     see whether a packet from outside arrives
  portlease doctor --repair 4000           delete the mapping of port 4000 and add it again; also 4000/udp

When a port counts as mapped:
If IPv4 could map one or IPv6 could open one; with --no-map, if the router answers; with --repair, if the mapping was repaired. The \
status is 3 also if this machine's firewall drops packets for PORT, or if none came from the reflector.";

static AFTER_HELP: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| with_statuses(EXAMPLES));

/// Find out whether ports can be mapped here, and if not, why
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP.as_str())]
pub(crate) struct DoctorArgs {
    /// A port to follow from the program to the router; UDP and TCP, or the one that is named
    #[arg(value_name = "PORT[/TRANSPORT]", value_parser = args::port_or_spec, conflicts_with = "repair")]
    port: Option<PortSpec>,
    /// Only ask; do not map a port for a moment
    #[arg(long)]
    no_map: bool,
    /// Delete a mapping that does not work and add it again; UDP and TCP, or the one that is named
    #[arg(long, value_name = "PORT[/TRANSPORT]", value_parser = args::port_or_spec, conflicts_with_all = ["no_map", "protocol"])]
    repair: Option<PortSpec>,
    /// Ask this STUN server which address it sees, and compare; the default port is 3478
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "repair")]
    stun: Option<String>,
    /// Have this `portlease reflector` send a packet to PORT, and see whether it arrives; the default port is 35351
    #[arg(long, value_name = "HOST[:PORT]", requires = "port", conflicts_with = "no_map")]
    reflector: Option<String>,
    /// Write a text for a support thread, without addresses and names that tell who you are
    #[arg(long, conflicts_with_all = ["json", "repair"])]
    report: bool,
    /// Write the report as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    protocols: ProtocolArgs,
    #[command(flatten)]
    pub(crate) path: PathArgs,
    #[command(flatten)]
    pcp: PcpPortArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl DoctorArgs {
    pub(crate) fn output(&self) -> Output {
        Output::new(self.json).hinting(Hints::new(Doing::Map, self.path.config()))
    }
}

/// Everything that was found out.
pub(crate) struct Seen {
    ipv4: Findings,
    ipv6: Findings,
    router: RouterFacts,
    /// What the firewall does with packets for the test mapping.
    firewall: Verdict,
    /// What opens a port such as 4000/udp in it.
    opener: String,
    /// The programs that were asked about it, with what came of it.
    asked: Vec<(&'static str, String)>,
    ports: Vec<PortFindings>,
    outside: Option<Outside>,
}

impl Seen {
    /// What to do about a firewall that drops what no rule is about; if a port is named, that port's steps say it.
    fn firewall_step(&self) -> Option<String> {
        let drops = matches!(self.firewall, Verdict::Drops(_)) && self.ports.is_empty();
        drops.then(|| {
            let opener = &self.opener;
            format!(
                "open your program's port in this machine's firewall, for 4000/udp with: {opener}; `portlease doctor PORT` looks at that port"
            )
        })
    }

    fn status(&self) -> u8 {
        let families = [&self.ipv4, &self.ipv6];
        let reachable = |findings: &&Findings| {
            let class = findings.address_class();
            // A router that does not tell its address may have a good one.
            findings.mappable()
                && !matches!(
                    Obstacle::of_class(class),
                    Some(Obstacle::CarrierNat | Obstacle::SecondRouter | Obstacle::ReservedAddress)
                )
        };
        let of_test = |findings: &&Findings| match &findings.test {
            Some(Ok(test)) => test.release,
            Some(Err(_)) | None => Release::Released,
        };
        let mut releases = families.iter().map(of_test).chain(self.ports.iter().map(|port| port.release));
        let mappable = families.iter().any(|findings| findings.mappable());
        if releases.any(|release| release != Release::Released) {
            UNCONFIRMED
        } else if !mappable {
            FAILED
        } else if !families.iter().any(reachable) || self.ports.iter().any(PortFindings::blocked) {
            UNREACHABLE
        } else {
            DONE
        }
    }
}

pub(crate) async fn run(args: DoctorArgs) -> Outcome {
    let config = args
        .path
        .config()
        .protocols(args.protocols.protocols())
        .pcp_port(args.pcp.pcp_port)
        .ttl(TEST_TTL)
        .retry(RetryPolicy::Never)
        .description("portlease doctor");
    let (config, path) = args::check(config)?;
    let output = args.output();
    if let Some(spec) = args.repair {
        return repair::run(spec, &config, &path?, &output).await;
    }
    drop(args::check_path(&config, AddressFamily::Ipv6)?);
    let path = path.ok();
    let mut signals = Signals::listen()?;
    let mapper = Mapper::start(config.clone())?;
    let seen = tokio::select! {
        seen = examine_all(&args, &mapper, &config, path.as_ref()) => Some(seen),
        () = signals.next() => None,
    };
    let release = mapper.stop(None).await;
    let Some(seen) = seen else {
        let how = match release {
            Release::Released => "interrupted; nothing is left on the router",
            Release::Unconfirmed | Release::Pending => {
                "interrupted; the router did not confirm that the test mapping is gone: it ends after 120 s"
            }
        };
        output.note(format!("portlease: {how}"));
        output.failed(ErrorKind::Stopped, how, None);
        return Ok(if release == Release::Released { FAILED } else { UNCONFIRMED });
    };
    let seen = seen?;
    if args.json {
        output.object(&json::report(&seen))?;
    } else if args.report {
        for line in report::lines(&seen, &args) {
            output.line(line)?;
        }
    } else {
        for line in show::report(&seen, output.paint()) {
            output.line(line)?;
        }
    }
    Ok(seen.status())
}

/// First all that can be asked at once, then what depends on it.
async fn examine_all(
    args: &DoctorArgs,
    mapper: &Mapper,
    config: &Config,
    path: Option<&NetworkPath>,
) -> Result<Seen, PortMappingError> {
    let stun = async {
        let server = args.stun.as_ref()?;
        let seen = match stun::resolve(server, stun::PORT).await {
            Ok(address) => stun::ask(address).await,
            Err(why) => Err(why),
        };
        Some((server.clone(), seen))
    };
    let (families, router, firewall, stun) =
        tokio::join!(examine_both(mapper, args.no_map), RouterFacts::ask(config, path), Firewall::ask(), stun);
    let (ipv4, ipv6) = families?;
    let interface = path.and_then(|path| path.interface.as_deref());
    let mut ports = Vec::new();
    for (transport, port) in args.port.iter().flat_map(|spec| spec.transports().into_iter().map(|one| (one, spec.port)))
    {
        let mut port = PortFindings::look(transport, port, &firewall, &router, interface).await;
        if let Some(reflector) = &args.reflector {
            match stun::resolve(reflector, reflector::PORT).await {
                Ok(address) => port.look_from(address, config).await?,
                Err(why) => port.reach = Some(Reach::Unknown(why)),
            }
        }
        ports.push(port);
    }
    let test_port = match &ipv4.test {
        Some(Ok(test)) => test.internal_port,
        Some(Err(_)) | None => ANY_PORT,
    };
    let outside = stun.map(|(server, seen)| Outside::new(server, seen, ipv4.external_address(), &ipv4.place.network));
    let asked = firewall.asked();
    let opener = firewall.opener(Transport::Udp, 4000);
    let firewall = firewall.judge(Transport::Udp, test_port, interface);
    Ok(Seen { ipv4, ipv6, router, firewall, opener, asked, ports, outside })
}

/// A port that no program and no rule is likely to be about.
const ANY_PORT: u16 = 49_999;

/// Both families at once, so that one does not wait for the silence of the other.
async fn examine_both(mapper: &Mapper, no_map: bool) -> Result<(Findings, Findings), PortMappingError> {
    let ipv4 = examine(mapper, AddressFamily::Ipv4, no_map);
    let ipv6 = examine(mapper, AddressFamily::Ipv6, no_map);
    let (ipv4, ipv6) = tokio::join!(ipv4, ipv6);
    Ok((ipv4?, ipv6?))
}

async fn examine(mapper: &Mapper, family: AddressFamily, no_map: bool) -> Result<Findings, PortMappingError> {
    let gateway = mapper.report_of(family).await;
    let local = gateway.as_ref().ok().and_then(|report| report.local_address);
    // A router that opens no pinholes is not asked for one. An IPv4 machine may have a public address of its own.
    let asks = family == AddressFamily::Ipv4 || gateway.as_ref().is_ok_and(|report| report.require_offer().is_ok());
    let test = match local {
        Some(local) if asks && !no_map => Some(map_for_a_moment(mapper, family, local).await?),
        _ => None,
    };
    let presence = is_it_there(&gateway, test.as_ref()).await;
    Ok(Findings { family, gateway, test, place: Place { network: Network::look(), presence } })
}

/// Whether the router is there, if it has not shown that by an answer.
async fn is_it_there(
    gateway: &Result<GatewayReport, PortMappingError>,
    test: Option<&Result<TestMapping, ErrorReport>>,
) -> Option<Presence> {
    let report = gateway.as_ref().ok()?;
    let refused = |error: &PortMappingError| error.kind() == ErrorKind::Refused;
    let answered = |protocol: &ProtocolReport| protocol.outcome.as_ref().err().is_none_or(refused);
    if report.protocols.iter().any(answered) || matches!(test, Some(Ok(_))) {
        return None;
    }
    // A link-local router would need its scope.
    let router = report.gateway?.ip();
    if router.is_ipv6() {
        return None;
    }
    Some(presence::ask(router, report.local_address?).await)
}

/// Maps a free port and takes the mapping away again.
async fn map_for_a_moment(
    mapper: &Mapper,
    family: AddressFamily,
    local: IpAddr,
) -> Result<Result<TestMapping, ErrorReport>, PortMappingError> {
    // Held until the mapping is gone, so that nobody else's traffic is led to a program that does not expect it.
    let held = UdpSocket::bind((local, 0)).and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
    let (port, _socket) = match held {
        Ok(held) => held,
        Err(error) => {
            let error = PortMappingError::transport(format_args!("cannot open a UDP port on {local}"), error);
            return Ok(Err(ErrorReport::from(&error)));
        }
    };
    let start = Instant::now();
    let lease = mapper.map(MapRequest::new(port, Transport::Udp).family(family))?;
    let answer = lease.ready(TEST_DEADLINE).await;
    let elapsed = start.elapsed();
    let release = lease.stop(None).await;
    let snapshot = match answer {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok(Err(ErrorReport::from(&error))),
    };
    let mapping = snapshot.mapping.ok_or_else(|| PortMappingError::internal("a lease was ready without a mapping"))?;
    Ok(Ok(TestMapping {
        internal_port: port,
        external: mapping.external,
        external_port: mapping.external_port,
        protocol: mapping.protocol,
        ttl: snapshot.lifetime.map(|ttl| ttl.as_secs()),
        elapsed_ms: millis(elapsed),
        release,
    }))
}
