//! The command: a gateway in the foreground, told what to do by JSON lines on stdin, telling what happens by JSON
//! lines on stdout.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{Args, Parser};
use serde_json::{Value, json};

use crate::{Gateway, GatewayConfig, json as lines};

/// How long the end waits for the last events to be read.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// The flags; another command can have them too, as clap's `Args`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Address of the router on its LAN side
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub bind: IpAddr,
    /// Address on which mapped external ports really listen [default: 127.0.0.2; 127.0.0.1 on macOS and BSD]
    #[arg(long, value_name = "IP")]
    pub external_bind: Option<IpAddr>,
    /// UDP port of PCP and NAT-PMP; 0 takes a free one (real routers: 5351)
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub pcp_port: u16,
    /// UDP port for unicast SSDP searches; 0 takes a free one (real routers: 1900)
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub ssdp_port: u16,
    /// TCP port of the UPnP web server; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub http_port: u16,
    /// Also answer multicast searches (239.255.255.250:1900; over IPv6 ff02::c and ff05::c)
    #[arg(long)]
    pub ssdp_multicast: bool,
    /// External address that clients are told, or `none`
    #[arg(long, default_value = "192.0.1.1", value_name = "IP|none", value_parser = external_address)]
    pub external_address: ExternalAddress,
    /// Do not speak PCP
    #[arg(long)]
    pub no_pcp: bool,
    /// Do not speak NAT-PMP
    #[arg(long)]
    pub no_nat_pmp: bool,
    /// Do not speak UPnP
    #[arg(long)]
    pub no_upnp: bool,
    /// Version of the UPnP InternetGatewayDevice
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub igd_version: u8,
    /// Also run a firewall for IPv6, in which PCP and UPnP open pinholes, on the same port numbers
    #[arg(long)]
    pub ipv6: bool,
    /// IPv6 address of the router on its LAN side
    #[arg(long, default_value = "::1", value_name = "IP")]
    pub ipv6_bind: Ipv6Addr,
    /// IPv6 address on which pinholes really listen
    #[arg(long, default_value = "::1", value_name = "IP")]
    pub ipv6_external_bind: Ipv6Addr,
    /// Any other setting, as a JSON object with the fields of GatewayConfig, such as {"min_lifetime":120}
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub config: Option<Value>,
    /// Switches that are on from the start, as a JSON object, such as {"pcp":"silent"}
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub faults: Option<Value>,
    /// Go on when stdin ends
    #[arg(long)]
    pub keep_running: bool,
}

/// The value of `--external-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalAddress(pub Option<Ipv4Addr>);

fn external_address(text: &str) -> Result<ExternalAddress, String> {
    match text {
        "none" => Ok(ExternalAddress(None)),
        ip => ip.parse().map(|ip| ExternalAddress(Some(ip))).map_err(|_| "must be an IPv4 address or `none`".into()),
    }
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => Err("must be a JSON object".into()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

impl Options {
    /// The settings that these flags mean; the error says which field does not fit.
    pub fn config(&self) -> Result<GatewayConfig, String> {
        let defaults = GatewayConfig::default();
        let config = GatewayConfig {
            bind: self.bind,
            external_bind: self.external_bind.unwrap_or(defaults.external_bind),
            pcp_port: self.pcp_port,
            ssdp_port: self.ssdp_port,
            http_port: self.http_port,
            ssdp_multicast: self.ssdp_multicast,
            external_address: self.external_address.0,
            pcp: !self.no_pcp,
            nat_pmp: !self.no_nat_pmp,
            upnp: !self.no_upnp,
            igd_version: self.igd_version,
            ipv6: self.ipv6,
            ipv6_bind: self.ipv6_bind.into(),
            ipv6_external_bind: self.ipv6_external_bind.into(),
            ..defaults
        };
        let mut config = match &self.config {
            Some(patch) => merge(&config, patch)?,
            None => config,
        };
        if let Some(patch) = &self.faults {
            config.faults = config.faults.merged(patch)?;
        }
        Ok(config)
    }
}

fn merge(config: &GatewayConfig, patch: &Value) -> Result<GatewayConfig, String> {
    let mut value = serde_json::to_value(config).map_err(|error| error.to_string())?;
    if let (Value::Object(fields), Value::Object(patch)) = (&mut value, patch) {
        fields.extend(patch.clone());
    }
    serde_json::from_value(value).map_err(|error| format!("--config: {error}"))
}

/// A simulated home gateway: PCP, NAT-PMP and UPnP IGD, with real forwarding and faults by switch.
#[derive(Debug, Parser)]
#[command(name = "portlease-gateway", version, about)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

/// Runs the command with these arguments, the program's name first. Returns 0 after an orderly end, 1 when the
/// gateway could not start, 2 for bad usage.
pub fn run<I, T>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    match Cli::try_parse_from(arguments) {
        Ok(cli) => run_with(&cli.options),
        Err(error) => {
            // Help and version come this way too; nothing can be done where even they cannot be written.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

/// Runs a gateway with these flags until told to stop, or until stdin ends.
pub fn run_with(options: &Options) -> ExitCode {
    let gateway = match options.config() {
        Ok(config) => Gateway::start(config).map_err(|error| (error.to_string(), 1)),
        Err(error) => Err((error, 2)),
    };
    let gateway = match gateway {
        Ok(gateway) => gateway,
        Err((error, code)) => {
            let _ = writeln!(io::stderr(), "portlease-gateway: {error}");
            return ExitCode::from(code);
        }
    };
    match serve(gateway, options.keep_running) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the events is gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "portlease-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line, whole, at once.
fn print(line: &Value) -> io::Result<()> {
    let mut text = line.to_string();
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn serve(gateway: Gateway, keep_running: bool) -> io::Result<()> {
    let events = gateway.events().into_receiver();
    print(&lines::started(&gateway))?;
    let (ending, ended) = mpsc::sync_channel(1);
    thread::Builder::new().name("events".into()).spawn(move || {
        for event in events {
            if print(&lines::event(&event)).is_err() {
                return;
            }
        }
        // The events end with the gateway. The process may end before this is read.
        let _ = print(&json!({"event": "stopped"}));
        let _ = ending.send(());
    })?;
    let stopped = obey(&gateway)?;
    if !stopped && keep_running {
        // Until somebody ends the process.
        loop {
            thread::park();
        }
    }
    gateway.stop();
    // A parent that does not read must not keep the process alive.
    let _ = ended.recv_timeout(LAST_EVENTS);
    Ok(())
}

/// Carries out the lines on stdin; true when one said stop, false when they ended.
fn obey(gateway: &Gateway) -> io::Result<bool> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let reply = lines::execute(gateway, &line);
        print(&reply.json)?;
        if reply.stop {
            return Ok(true);
        }
    }
    Ok(false)
}
