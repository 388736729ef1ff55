//! What a gateway is told at its start, and why a start can fail.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Faults;

/// The greatest lease that UPnP knows, in seconds: one week (WANIPConnection:2, 2.3.16).
pub const UPNP_MAX_LEASE: u32 = 604_800;

/// The settings of a simulated gateway. The default value is a healthy home router on free loopback ports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// The address of the router on its LAN side: every protocol listens here. Default 127.0.0.1.
    pub bind: IpAddr,
    /// The address on which mapped external ports really listen. Default 127.0.0.2; 127.0.0.1 on macOS and BSD.
    pub external_bind: IpAddr,
    /// UDP port of PCP and NAT-PMP, which share it; 0 takes any free port. Real routers use 5351.
    pub pcp_port: u16,
    /// UDP port that unicast SSDP searches go to; 0 takes any free port. Real routers use 1900.
    pub ssdp_port: u16,
    /// TCP port of the UPnP web server; 0 takes any free port, and another one after each reboot.
    pub http_port: u16,
    /// Also joins 239.255.255.250:1900 on the interface of `bind`, so that multicast searches are heard. With `ipv6` also
    /// `ff02::c` and `ff05::c` on the interface of `ipv6_bind`; Linux sends no multicast to its loopback interface.
    pub ssdp_multicast: bool,
    /// The external address that clients are told; `None` means that the router has none.
    /// Default 192.0.1.1, which is in no reserved range and so counts as public.
    pub external_address: Option<Ipv4Addr>,
    /// Whether PCP (RFC 6887) is spoken.
    pub pcp: bool,
    /// Whether NAT-PMP (RFC 6886) is spoken. With PCP and NAT-PMP both off their port is closed.
    pub nat_pmp: bool,
    /// Whether UPnP is spoken: SSDP and the web server.
    pub upnp: bool,
    /// 1 or 2: the version of the InternetGatewayDevice and of its services.
    pub igd_version: u8,
    /// The least lifetime in seconds that PCP and NAT-PMP grant; shorter wishes are raised to it. Default 1.
    pub min_lifetime: u32,
    /// The greatest lifetime in seconds that PCP and NAT-PMP grant; longer wishes are cut to it. Default 86400.
    pub max_lifetime: u32,
    /// External ports below this are never given out. Default 1.
    pub min_external_port: u16,
    /// Whether mapped ports are really opened and forwarded. Off for measurements with more mappings than the
    /// process may have open files; `reach` is then where the port would be. Default true.
    pub forward: bool,
    /// Most mappings that the table holds. Default 4096.
    pub max_mappings: usize,
    /// The epoch in seconds at the start: how long the router claims to have been up. A reboot sets it to 0.
    pub epoch: u32,
    /// Lets a UPnP client map and delete ports of its own address only, as miniupnpd's `secure_mode`. Default true.
    pub secure_mode: bool,
    /// AddPortMapping for an external port that the same host already has with another internal port:
    /// false (default) answers 718 as miniupnpd does, true overwrites as WANIPConnection:1 has it.
    pub upnp_overwrite: bool,
    /// Whether the router also has a firewall for IPv6, in which PCP (RFC 6887) and UPnP (WANIPv6FirewallControl:1) open
    /// pinholes. It listens on the port numbers of IPv4. If this machine has no IPv6 on loopback, the gateway runs without
    /// the firewall and says why. Default false.
    pub ipv6: bool,
    /// The router's IPv6 address on its LAN side. Default ::1.
    pub ipv6_bind: IpAddr,
    /// The IPv6 address on which pinholes really listen, at the port of the pinhole. If the host inside has this address
    /// too, which is so on most machines, they listen at any other port. Default ::1.
    pub ipv6_external_bind: IpAddr,
    /// The friendly name of the UPnP device.
    pub friendly_name: String,
    /// Seed of everything that is left to chance (loss). The same seed and traffic give the same losses.
    /// Seed and `bind` together make the UDN of the UPnP device.
    pub seed: u64,
    /// The faults that are on from the start.
    pub faults: Faults,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        // These have the whole of 127.0.0.0/8 on their loopback interface; those that come from BSD have 127.0.0.1 alone.
        let whole = cfg!(any(target_os = "linux", target_os = "android", windows));
        let external = if whole { Ipv4Addr::new(127, 0, 0, 2) } else { Ipv4Addr::LOCALHOST };
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            external_bind: IpAddr::V4(external),
            pcp_port: 0,
            ssdp_port: 0,
            http_port: 0,
            ssdp_multicast: false,
            external_address: Some(Ipv4Addr::new(192, 0, 1, 1)),
            pcp: true,
            nat_pmp: true,
            upnp: true,
            igd_version: 2,
            min_lifetime: 1,
            max_lifetime: 86_400,
            min_external_port: 1,
            forward: true,
            max_mappings: 4096,
            epoch: 1_000_000,
            secure_mode: true,
            upnp_overwrite: false,
            ipv6: false,
            ipv6_bind: Ipv6Addr::LOCALHOST.into(),
            ipv6_external_bind: Ipv6Addr::LOCALHOST.into(),
            friendly_name: "portlease simulated gateway".into(),
            seed: 1,
            faults: Faults::default(),
        }
    }
}

impl GatewayConfig {
    /// Checks what types cannot: versions and ranges.
    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        if !matches!(self.igd_version, 1 | 2) {
            return Err(GatewayError::Config(format!("igd_version is {}, allowed are 1 and 2", self.igd_version)));
        }
        if self.min_lifetime == 0 || self.min_lifetime > self.max_lifetime {
            return Err(GatewayError::Config(format!(
                "min_lifetime is {} and max_lifetime {}, allowed is 1 <= min <= max",
                self.min_lifetime, self.max_lifetime
            )));
        }
        if self.min_external_port == 0 {
            return Err(GatewayError::Config("min_external_port must be at least 1".into()));
        }
        for (name, address) in [("ipv6_bind", self.ipv6_bind), ("ipv6_external_bind", self.ipv6_external_bind)] {
            if !address.is_ipv6() {
                return Err(GatewayError::Config(format!("{name} is {address}, allowed are IPv6 addresses")));
            }
        }
        if self.ipv6 && !self.bind.is_ipv4() {
            return Err(GatewayError::Config(format!("bind is {}, with ipv6 allowed are IPv4 addresses", self.bind)));
        }
        self.faults.check().map_err(GatewayError::Config)
    }
}

/// Why a gateway did not start, or a command to it failed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A setting is outside what it may be; the message says which and what is allowed.
    #[error("invalid gateway setting: {0}")]
    Config(String),
    /// A socket could not be opened.
    #[error("cannot open {what} on {address}: {source}")]
    Bind {
        /// What the socket was for, such as `the PCP port`.
        what: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The runtime or its thread could not be started.
    #[error("cannot start the gateway's thread: {0}")]
    Runtime(#[from] io::Error),
    /// A mapping that was asked for by a method could not be made.
    #[error("cannot add the mapping: {0}")]
    Mapping(String),
    /// The gateway has stopped, or did not answer within its time.
    #[error("the gateway has stopped")]
    Stopped,
}
