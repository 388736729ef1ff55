//! `portlease doctor`: the report that ends a support thread.

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use clap::Args;
use portlease::{
    AddressFamily, ErrorKind, ErrorReport, GatewayReport, MapRequest, Mapper, Obstacle, PortMappingError, Protocol,
    ProtocolReport, Release, RetryPolicy, Transport,
};
use serde_json::{Value, json};

use crate::advice::{Doing, Hints};
use crate::args::{self, PathArgs, PcpPortArgs, PortSpec, ProtocolArgs};
use crate::diagnosis::{Findings, Place, TestMapping};
use crate::event::{external, millis, span};
use crate::log::LogArgs;
use crate::network::Network;
use crate::outcome::{DONE, FAILED, Outcome};
use crate::output::Output;
use crate::presence::{self, Presence};
use crate::repair;
use crate::signals::Signals;
use crate::text::{Colour, Shown};

/// The lifetime of the test mapping: short, should it be left behind; some routers grant no shorter one.
const TEST_TTL: Duration = Duration::from_secs(120);
/// How long the test mapping may take: longer than every protocol's deadlines together.
const TEST_DEADLINE: Duration = Duration::from_secs(15);

const LONG_ABOUT: &str = "\
Find out whether ports can be mapped here, and if not, why.

Shows for IPv4 and for IPv6 the default route, the local address, what the router answers by each protocol and how fast, its \
name, its external address and whether the internet can reach that, a picture of the path, a verdict and what to do next.

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

const AFTER_HELP: &str = "\
Examples:
  portlease doctor
  portlease doctor --json                  for a bug report
  portlease doctor -v                      and show each exchange with the router
  portlease doctor --gateway 192.168.0.1   ask another router than that of the default route
  portlease doctor --repair 4000           delete the mapping of port 4000 and add it again; also 4000/udp

Exit status:
  0  a port could be mapped by IPv4 or opened by IPv6 (with --no-map: the router answers; with --repair: the mapping was repaired)
  1  it could not, or was not
  2  the command line makes no sense";

/// Find out whether ports can be mapped here, and if not, why
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
pub(crate) struct DoctorArgs {
    /// Only ask; do not map a port for a moment
    #[arg(long)]
    no_map: bool,
    /// Delete a mapping that does not work and add it again; UDP and TCP, or the one that is named
    #[arg(long, value_name = "PORT[/TRANSPORT]", value_parser = args::port_or_spec, conflicts_with_all = ["no_map", "protocol"])]
    repair: Option<PortSpec>,
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
    let output = Output::new(args.json).hinting(Hints::new(Doing::Map, args.path.config()));
    if let Some(spec) = args.repair {
        return repair::run(spec, &config, &path?, &output).await;
    }
    drop(args::check_path(&config, AddressFamily::Ipv6)?);
    let mut signals = Signals::listen()?;
    let mapper = Mapper::start(config)?;
    let findings = tokio::select! {
        findings = examine_both(&mapper, args.no_map) => Some(findings),
        () = signals.next() => None,
    };
    let release = mapper.stop(None).await;
    let Some(findings) = findings else {
        output.note(match release {
            Release::Released => "portlease: interrupted; nothing is left on the router",
            Release::Unconfirmed | Release::Pending => {
                "portlease: interrupted; the router did not confirm that the test mapping is gone: it ends after 120 s"
            }
        });
        return Ok(FAILED);
    };
    let (ipv4, ipv6) = findings?;
    if args.json {
        output.object(&as_json(&ipv4, &ipv6))?;
    } else {
        show(&ipv4, &output)?;
        output.line("")?;
        show(&ipv6, &output)?;
    }
    Ok(if ipv4.mappable() || ipv6.mappable() { DONE } else { FAILED })
}

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

fn show(findings: &Findings, output: &Output) -> std::io::Result<()> {
    let paint = output.paint();
    output.line(family_name(findings.family))?;
    show_router(findings, output)?;
    output.line("")?;
    for line in findings.picture(paint) {
        output.line(line)?;
    }
    output.line("")?;
    let reachable = Obstacle::of_class(findings.address_class()).is_none();
    let colour = match (findings.mappable(), findings.family) {
        (false, AddressFamily::Ipv4) => Colour::Red,
        // Most machines do without.
        (false, AddressFamily::Ipv6) => Colour::Yellow,
        (true, _) if reachable => Colour::Green,
        (true, _) => Colour::Yellow,
    };
    output.line(paint.colour(colour, &findings.verdict()))?;
    for step in findings.next_steps() {
        output.line(format!("  next: {step}"))?;
    }
    Ok(())
}

const fn family_name(family: AddressFamily) -> &'static str {
    match family {
        AddressFamily::Ipv4 => "IPv4",
        AddressFamily::Ipv6 => "IPv6",
    }
}

/// What was seen of the router.
fn show_router(findings: &Findings, output: &Output) -> std::io::Result<()> {
    let paint = output.paint();
    let unknown = || "unknown".to_owned();
    let line = |name: &str, text: Shown| output.line(Shown::from(format!("{name:<17}")) + text);
    match &findings.gateway {
        Ok(report) => {
            let interface = report.interface.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
            let gateway = report.gateway.map_or_else(unknown, |gateway| gateway.to_string());
            line("Router", format!("{gateway}{interface}").into())?;
            line("This machine", report.local_address.map_or_else(unknown, |address| address.to_string()).into())?;
            for protocol in &report.protocols {
                let (yes, text) = protocol_line(protocol);
                let mark = match yes {
                    true => paint.colour(Colour::Green, "yes"),
                    false => paint.colour(Colour::Red, "no "),
                };
                line(protocol.protocol.as_str(), mark + "  " + text)?;
            }
        }
        Err(error) => line("Router", paint.colour(Colour::Red, &format!("none: {}", error.message())))?,
    }
    if let Some(device) = findings.device() {
        line("Device", device.into())?;
    }
    if findings.gateway.is_ok() {
        let known = |address| format!("{address} ({})", findings.address_class());
        line("External address", findings.external_address().map_or_else(unknown, known).into())?;
    }
    match &findings.test {
        Some(Ok(test)) => line("Test mapping", test_line(test, findings.family).into()),
        Some(Err(error)) => line("Test mapping", format!("{}: {}", error.kind, error.message).into()),
        None => line("Test mapping", "not tried".into()),
    }
}

fn test_line(test: &TestMapping, family: AddressFamily) -> String {
    let end = match (test.release, test.ttl) {
        (Release::Released, _) => "and removed".to_owned(),
        (Release::Unconfirmed | Release::Pending, Some(ttl)) => {
            format!(
                "but the router did not confirm that it is removed: it may stay for {}",
                span(Duration::from_secs(ttl))
            )
        }
        (Release::Unconfirmed | Release::Pending, None) => {
            let family = if family == AddressFamily::Ipv6 { " --family ipv6" } else { "" };
            let port = test.external_port;
            format!("but the router did not confirm that it is removed: portlease unmap {port}/udp{family}")
        }
    };
    let outside = external(test.external, test.external_port);
    format!("{}/udp mapped to {outside} by {} in {} ms, {end}", test.internal_port, test.protocol, test.elapsed_ms)
}

fn protocol_line(report: &ProtocolReport) -> (bool, String) {
    match &report.outcome {
        Ok(offer) => (true, format!("answers in {} ms", millis(offer.round_trip))),
        Err(error) => (false, format!("{}: {}", error.kind(), without_name(report.protocol, &error.message()))),
    }
}

/// The message without the protocol's name before it, where the name stands at the line's head already.
fn without_name(protocol: Protocol, message: &str) -> String {
    message.strip_prefix(&format!("{protocol}: ")).unwrap_or(message).to_owned()
}

/// The fields of IPv4 stand beside those of the whole report, because there were no others once.
fn as_json(ipv4: &Findings, ipv6: &Findings) -> Value {
    let works = [ipv4, ipv6].into_iter().filter(|findings| findings.mappable());
    let works: Vec<_> = works.map(|findings| findings.family.as_str()).collect();
    let mut report = family_json(ipv4);
    report["version"] = json!(env!("CARGO_PKG_VERSION"));
    report["families"] = json!(works);
    report["ipv6"] = family_json(ipv6);
    report
}

fn family_json(findings: &Findings) -> Value {
    let report = findings.gateway.as_ref().ok();
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string());
    json!({
        "gateway": findings.router(),
        "interface": report.and_then(|report| report.interface.as_deref()),
        "local_address": text(report.and_then(|report| report.local_address)),
        "error": findings.gateway.as_ref().err().map(|error| failure(&ErrorReport::from(error))),
        "protocols": report.map_or_else(Vec::new, |report| report.protocols.iter().map(protocol_json).collect()),
        "device": findings.device(),
        "external_address": text(findings.external_address()),
        "address_class": findings.address_class().as_str(),
        "test_mapping": match &findings.test {
            None => Value::Null,
            Some(Err(error)) => failure(error),
            Some(Ok(test)) => json!({
                "ok": true,
                "transport": "udp",
                "internal_port": test.internal_port,
                "external": test.external.map(|external| external.to_string()),
                "external_port": test.external_port,
                "protocol": test.protocol.as_str(),
                "ttl": test.ttl,
                "elapsed_ms": test.elapsed_ms,
                "release": test.release.as_str(),
            }),
        },
        "mappable": findings.mappable(),
        "verdict": findings.verdict(),
        "next": findings.next_steps(),
    })
}

fn protocol_json(report: &ProtocolReport) -> Value {
    let mut value = match &report.outcome {
        Err(error) => failure(&ErrorReport::from(error)),
        Ok(offer) => json!({
            "ok": true,
            "round_trip_ms": millis(offer.round_trip),
            "external_address": offer.external_address.map(|address| address.to_string()),
            "device": offer.device,
        }),
    };
    value["protocol"] = json!(report.protocol.as_str());
    value
}

fn failure(error: &ErrorReport) -> Value {
    json!({ "ok": false, "kind": error.kind.as_str(), "message": error.message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_name_is_not_said_twice() {
        assert_eq!(without_name(Protocol::NatPmp, "nat-pmp: no answer"), "no answer");
        assert_eq!(without_name(Protocol::NatPmp, "nat-pmp NOT_AUTHORIZED"), "nat-pmp NOT_AUTHORIZED");
    }
}
