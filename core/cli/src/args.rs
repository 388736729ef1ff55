//! What the subcommands' arguments have in common.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use portlease::config::{PCP_PORT, parse_address, parse_scoped_address};
use portlease::net::route::{NetworkPath, find_path_of};
use portlease::{AddressFamily, Config, ErrorKind, PortMappingError, Protocol, ScopedAddr, Transport};

/// Where the router is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Router")]
pub(crate) struct PathArgs {
    /// Address of the router; no other router is asked. An IPv4 address is used for IPv4 only, and an IPv6 address for IPv6
    /// only [default: the router of the default route with the lowest metric]
    #[arg(long, value_name = "IP", value_parser = gateway_address)]
    gateway: Option<ScopedAddr>,
    /// Network interface whose default route is used [default: the one with the lowest metric]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Local address to which the router forwards, or the IPv6 address that is opened [default: the one from which the router
    /// is reached; for IPv6 the stable address of the prefix that the system prefers]
    #[arg(long, value_name = "IP", value_parser = local_address)]
    local_address: Option<IpAddr>,
    /// Where UPnP searches are sent [default: 239.255.255.250:1900, and port 1900 of the router]
    #[arg(long, value_name = "IP:PORT", value_parser = socket_address)]
    ssdp_address: Option<SocketAddr>,
}

impl PathArgs {
    /// A configuration with these and every other field at its default.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default().local_address(self.local_address).ssdp_address(self.ssdp_address);
        config.gateway = self.gateway;
        match &self.interface {
            Some(name) => config.interface(name),
            None => config,
        }
    }
}

/// Where PCP and NAT-PMP are spoken.
#[derive(Debug, Args)]
#[command(next_help_heading = "Router")]
pub(crate) struct PcpPortArgs {
    /// The router's PCP and NAT-PMP port
    #[arg(long, value_name = "PORT", default_value_t = PCP_PORT, value_parser = port_alone)]
    pub(crate) pcp_port: u16,
}

/// Which protocols are spoken.
#[derive(Debug, Args)]
#[command(next_help_heading = "Router")]
pub(crate) struct ProtocolArgs {
    /// Protocols to try, in order of preference, separated by commas [default: pcp,nat-pmp,upnp]
    #[arg(long, value_name = "LIST", value_delimiter = ',', ignore_case = true, value_parser = protocol_parser())]
    protocol: Vec<Protocol>,
}

impl ProtocolArgs {
    pub(crate) fn protocols(&self) -> Vec<Protocol> {
        match self.protocol.is_empty() {
            true => Protocol::ALL.to_vec(),
            false => self.protocol.clone(),
        }
    }
}

fn gateway_address(text: &str) -> Result<ScopedAddr, PortMappingError> {
    parse_scoped_address("gateway", text)
}

fn local_address(text: &str) -> Result<IpAddr, PortMappingError> {
    parse_address("local_address", text)
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 239.255.255.250:1900".to_owned())
}

/// Reads a port of which the transport is known. Whether it may be 0 depends on what it is for.
pub(crate) fn port_alone(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write a port alone, a number between 1 and 65535".to_owned())
}

/// Reads a protocol; the names are told to shells and to the help.
fn protocol_parser() -> impl TypedValueParser<Value = Protocol> {
    let value = |protocol: Protocol| PossibleValue::new(protocol.as_str()).aliases(other_names(protocol));
    PossibleValuesParser::new(Protocol::ALL.map(value)).try_map(|text| {
        let text = text.to_ascii_lowercase();
        let named = Protocol::ALL.into_iter().find(|protocol| other_names(*protocol).contains(&text.as_str()));
        named.map_or_else(|| text.parse::<Protocol>(), Ok)
    })
}

/// What others call the protocol.
const fn other_names(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::NatPmp => &["natpmp", "nat_pmp", "pmp"],
        Protocol::Upnp => &["upnp-igd", "igd"],
        Protocol::Pcp | Protocol::None => &[],
    }
}

/// The value of `--family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Families {
    /// Port mappings in the router's NAT
    Ipv4,
    /// Pinholes in the router's firewall, for this machine's own global address
    Ipv6,
    /// One of each
    Both,
}

impl Families {
    pub(crate) const fn all(self) -> &'static [AddressFamily] {
        match self {
            Self::Ipv4 => &[AddressFamily::Ipv4],
            Self::Ipv6 => &[AddressFamily::Ipv6],
            Self::Both => &AddressFamily::ALL,
        }
    }

    pub(crate) fn has(self, family: AddressFamily) -> bool {
        self.all().contains(&family)
    }
}

/// The way to the router, or why there is none.
pub(crate) type Path = Result<NetworkPath, PortMappingError>;

/// Checks the configuration and that what it names exists on this machine: fails with `invalid` only. A machine
/// without a network at this moment is no bad usage. Returns it with what the environment adds, and the way over IPv4.
pub(crate) fn check(config: Config) -> Result<(Config, Path), PortMappingError> {
    let config = config.with_environment()?;
    config.validate()?;
    let path = check_path(&config, AddressFamily::Ipv4)?;
    Ok((config, path))
}

/// The way of one family. Fails with `invalid` only.
pub(crate) fn check_path(config: &Config, family: AddressFamily) -> Result<Path, PortMappingError> {
    match find_path_of(family, config) {
        Err(error) if error.kind() == ErrorKind::Invalid => Err(error),
        path => Ok(path),
    }
}

/// Fails with `invalid` if no configured protocol has IPv6.
pub(crate) fn check_protocols(config: &Config) -> Result<(), PortMappingError> {
    match config.protocols[..] {
        [Protocol::NatPmp] => Err(PortMappingError::invalid(
            "protocol",
            "nat-pmp has no IPv6; name pcp or upnp for --family ipv6 and both",
        )),
        _ => Ok(()),
    }
}

/// A port for people: `4000/udp`, and with its family if that is not clear, `4000/udp (ipv6)`.
pub(crate) fn port_name(port: u16, transport: Transport, family: Option<AddressFamily>) -> String {
    match family {
        Some(family) => format!("{port}/{transport} ({family})"),
        None => format!("{port}/{transport}"),
    }
}

/// A port of the command line: `4000/udp`, `4000/tcp`, or `4000/both`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortSpec {
    pub(crate) port: u16,
    /// `None`: both.
    transport: Option<Transport>,
}

impl PortSpec {
    pub(crate) fn transports(&self) -> Vec<Transport> {
        self.transport.map_or_else(|| Transport::ALL.to_vec(), |transport| vec![transport])
    }
}

impl fmt::Display for PortSpec {
    /// As on the command line; of both transports only the port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Some(transport) => write!(f, "{}/{transport}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}

/// What to write instead of a port and a transport in another form, such as `udp/4000`, `4000:udp` or `4000 udp`.
pub(crate) fn instead_of(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    ["udp", "tcp", "both"].into_iter().find_map(|name| {
        let rest = text.strip_prefix(name).or_else(|| text.strip_suffix(name))?;
        let digits = rest.trim_matches(|c: char| !c.is_ascii_digit());
        let port: u16 = digits.parse().ok().filter(|port| *port != 0)?;
        let plain = rest.len() <= digits.len() + 1 && text != format!("{digits}/{name}");
        plain.then(|| format!("write the port, a slash and the transport: {port}/{name}"))
    })
}

/// Reads a port with its transport.
pub(crate) fn port_spec(text: &str) -> Result<PortSpec, String> {
    if let Some(instead) = instead_of(text) {
        return Err(instead);
    }
    let Some((number, transport)) = text.split_once('/') else {
        return Err(match text.parse::<u16>() {
            Ok(port) => format!("for which transport? Write {port}/udp, {port}/tcp or {port}/both"),
            Err(_) => "write a port and its transport, such as 4000/udp, 4000/tcp or 4000/both".to_owned(),
        });
    };
    if number.is_empty() || number.contains(|c: char| !c.is_ascii_digit() && c != '-') || number.find('-') > Some(0) {
        return Err("write one port and its transport, such as 4000/udp, 4000/tcp or 4000/both".to_owned());
    }
    let port = number.parse().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| format!("the port must be between 1 and 65535, not `{number}`"))?;
    let transport = match transport.to_ascii_lowercase().as_str() {
        "both" => None,
        name => Some(name.parse::<Transport>().map_err(|error| format!("{error}, both"))?),
    };
    Ok(PortSpec { port, transport })
}

/// Reads a port with its transport; without one, both are meant.
pub(crate) fn port_or_spec(text: &str) -> Result<PortSpec, String> {
    if text.contains('/') || instead_of(text).is_some() {
        return port_spec(text);
    }
    match text.parse::<u16>() {
        Ok(_) => port_spec(&format!("{text}/both")),
        Err(_) => Err("write a port, such as 4000, or a port and its transport, such as 4000/udp".to_owned()),
    }
}

/// Reads a time: a plain number is seconds; otherwise numbers with units, such as `30s`, `5m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let complaint = || format!("`{text}` is not a time; give seconds, such as 90, or a unit: 30s, 5m, 2h, 1d, 1h30m");
    let seconds = seconds(text).ok_or_else(complaint)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| complaint())
}

/// As [`duration`], but not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| match time.is_zero() {
        true => Err("must be longer than 0".to_owned()),
        false => Ok(time),
    })
}

fn seconds(text: &str) -> Option<f64> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    if !text.is_empty() && text.chars().all(is_number) {
        return text.parse().ok();
    }
    let mut rest = text;
    let mut total = None;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let factor = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = Some(total.unwrap_or(0.0) + number.parse::<f64>().ok()? * factor);
        rest = after;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_seconds_and_units_add_up() {
        for (text, millis) in [
            ("8", 8_000),
            ("0", 0),
            ("0.5", 500),
            ("30s", 30_000),
            ("250ms", 250),
            ("5m", 300_000),
            ("5min", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in ["", "x", "s", "-5", "1x", "1h30", "1..5", "5 m", "NaN", "inf", "1e9", "99999999999999999999d"] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("30s, 5m, 2h, 1d"), "{text}: {error}");
        }
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn a_protocol_has_the_names_that_others_give_it() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            protocols: ProtocolArgs,
        }
        for (text, protocols) in [
            ("pmp", vec![Protocol::NatPmp]),
            ("natpmp", vec![Protocol::NatPmp]),
            ("NAT-PMP,PCP", vec![Protocol::NatPmp, Protocol::Pcp]),
            ("igd,nat_pmp", vec![Protocol::Upnp, Protocol::NatPmp]),
            ("UPnP-IGD", vec![Protocol::Upnp]),
        ] {
            let program = Program::try_parse_from(["portlease", "--protocol", text]);
            assert_eq!(
                program.map(|program| program.protocols.protocols()).map_err(|error| error.to_string()),
                Ok(protocols)
            );
        }
    }

    #[test]
    fn a_port_is_read_with_its_transport() {
        assert_eq!(port_spec("4000/udp").map(|spec| spec.transports()), Ok(vec![Transport::Udp]));
        assert_eq!(port_spec("4000/TCP").map(|spec| spec.transports()), Ok(vec![Transport::Tcp]));
        assert_eq!(port_spec("4000/both").map(|spec| spec.transports()), Ok(vec![Transport::Udp, Transport::Tcp]));
    }

    #[test]
    fn a_port_without_its_transport_means_both_where_that_is_allowed() {
        assert_eq!(port_or_spec("4000"), port_spec("4000/both"));
        assert_eq!(port_or_spec("4000/tcp"), port_spec("4000/tcp"));
        for (text, part) in
            [("0", "must be between 1 and 65535, not `0`"), ("http", "such as 4000"), ("70000", "such as 4000")]
        {
            let error = port_or_spec(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_bad_port_is_refused_by_a_message_that_says_what_is_allowed() {
        for (text, part) in [
            ("4000", "4000/udp, 4000/tcp or 4000/both"),
            ("http", "4000/udp"),
            ("0/udp", "must be between 1 and 65535, not `0`"),
            ("65536/udp", "not `65536`"),
            ("-1/udp", "not `-1`"),
            ("udp/4000", "write the port, a slash and the transport: 4000/udp"),
            ("TCP:4000", "write the port, a slash and the transport: 4000/tcp"),
            ("4000:udp", "write the port, a slash and the transport: 4000/udp"),
            ("4000udp", "write the port, a slash and the transport: 4000/udp"),
            ("udp/", "write one port and its transport"),
            ("4000-4010/udp", "write one port and its transport"),
            ("http/tcp", "write one port and its transport"),
            ("4000/sctp", "`sctp` is not one of udp, tcp, both"),
            ("4000/", "is not one of udp, tcp, both"),
        ] {
            let error = port_spec(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
