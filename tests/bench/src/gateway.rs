//! The simulated gateway as a process of its own, so that its memory, time and threads are not ours.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};

use clap::Args;
use portlease::Config;
use portlease_gateway::{Addresses, Gateway, GatewayConfig, Mode};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where every protocol listens.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Where mapped ports listen.
    #[arg(long, default_value = "127.0.0.2")]
    external_bind: IpAddr,
    /// The port of PCP and NAT-PMP; 0 takes any.
    #[arg(long, default_value_t = 0)]
    pcp_port: u16,
    /// Hears PCP and never answers it.
    #[arg(long)]
    pcp_silent: bool,
    /// Speaks no UPnP.
    #[arg(long)]
    no_upnp: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut config = GatewayConfig {
        bind: arguments.bind,
        external_bind: arguments.external_bind,
        pcp_port: arguments.pcp_port,
        upnp: !arguments.no_upnp,
        ..GatewayConfig::default()
    };
    if arguments.pcp_silent {
        config.faults.pcp = Mode::Silent;
    }
    let gateway = Gateway::start(config).map_err(|error| error.to_string())?;
    crate::record::print(&gateway.addresses())?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())
        .map_err(|error| format!("cannot read standard input: {error}"))?;
    gateway.stop();
    Ok(())
}

/// A simulated gateway in a child process; ends when dropped.
pub(crate) struct ChildGateway {
    child: Child,
    /// The child ends when this closes.
    stdin: Option<ChildStdin>,
    addresses: Addresses,
}

impl ChildGateway {
    /// Starts a healthy gateway on free loopback ports.
    pub(crate) fn start() -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut child = Command::new(program)
            .arg("gateway")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the simulated gateway: {error}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut line = String::new();
        let read = stdout.map(|out| BufReader::new(out.take(1 << 16)).read_line(&mut line));
        match (read, serde_json::from_str(&line)) {
            (Some(Ok(_)), Ok(addresses)) => Ok(Self { child, stdin, addresses }),
            _ => {
                drop(stdin);
                let status = child.wait().map_err(|error| error.to_string())?;
                Err(format!("the simulated gateway did not start ({status}): `{}`", line.trim_end()))
            }
        }
    }

    /// The default configuration, pointed at this gateway.
    pub(crate) fn config(&self) -> Config {
        Config::default().gateway(self.ssdp().ip()).pcp_port(self.addresses.pcp_port).ssdp_address(self.ssdp())
    }

    fn ssdp(&self) -> SocketAddr {
        self.addresses.ssdp_address
    }
}

impl Drop for ChildGateway {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("portlease-bench: the simulated gateway was lost: {error}");
        }
    }
}
