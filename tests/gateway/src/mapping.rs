//! What the gateway tells about itself: mappings, counters, events.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Which protocol made a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
    /// None: made by [`Gateway::add_mapping`](crate::Gateway::add_mapping), as if in the router's own settings.
    Static,
}

/// `udp` or `tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// User datagrams.
    Udp,
    /// Connections.
    Tcp,
}

impl Transport {
    /// As UPnP writes it: `UDP` or `TCP`.
    pub(crate) fn upper(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
            Self::Static => "static",
        })
    }
}

/// One line of the router's table: a mapping of IPv4, or a pinhole in the firewall for IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The protocol that made it, or that last renewed it.
    pub protocol: Protocol,
    /// The transport.
    pub transport: Transport,
    /// The port on the router's external address, as clients are told. That of a pinhole is the internal port.
    pub external_port: u16,
    /// Where traffic goes.
    pub internal: SocketAddr,
    /// UPnP's description; empty for the others.
    pub description: String,
    /// Seconds left, rounded up; `None` for a permanent mapping.
    pub expires_in: Option<u32>,
    /// The loopback address and port where traffic for this mapping really enters: the external port on
    /// `external_bind` (of a pinhole: `ipv6_external_bind`) where that could be had, else any other port.
    pub reach: SocketAddr,
    /// The PCP nonce in hex, 24 digits.
    pub nonce: Option<String>,
    /// UPnP's UniqueID of a pinhole in the IPv6 firewall, which all pinholes have, whoever made them; `None` for a mapping
    /// of IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<u16>,
}

/// Most names that are counted; then everything new counts as `other`.
const MAX_COUNTERS: usize = 256;
/// The longest name that is counted.
const MAX_NAME: usize = 64;

/// How many messages of each type have arrived, by name. Names are listed in the README.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<String, u64>);

impl Counters {
    /// The count by this name; 0 for one that never came.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, name: &str) {
        // Names of actions come from outside: they must not fill the memory.
        let known = self.0.contains_key(name);
        let name = if known || (self.0.len() < MAX_COUNTERS && name.len() <= MAX_NAME) { name } else { "other" };
        *self.0.entry(name.to_owned()).or_insert(0) += 1;
    }
}

/// What a condition in [`Gateway::wait_for`](crate::Gateway::wait_for) looks at: one consistent view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayState {
    /// The table, by transport and external port; then the pinholes, by their UniqueID.
    pub mappings: Vec<Mapping>,
    /// The counters.
    pub counters: Counters,
    /// The external address that clients are told.
    pub external_address: Option<Ipv4Addr>,
    /// The current epoch in seconds.
    pub epoch: u32,
}

/// Where a running gateway listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The router's address on its LAN side.
    pub gateway: IpAddr,
    /// UDP port of PCP and NAT-PMP.
    pub pcp_port: u16,
    /// Where unicast SSDP searches go.
    pub ssdp_address: SocketAddr,
    /// The web server.
    pub http_address: SocketAddr,
    /// The URL of the device description.
    pub description_url: String,
    /// Where the firewall for IPv6 is controlled; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Addresses>,
    /// Why there is no firewall for IPv6 although [`ipv6`](crate::GatewayConfig::ipv6) is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_ipv6: Option<String>,
}

/// Where a running gateway listens over IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Addresses {
    /// The router's IPv6 address on its LAN side.
    pub gateway: IpAddr,
    /// UDP port of PCP: the same number as over IPv4.
    pub pcp_port: u16,
    /// Where unicast SSDP searches go.
    pub ssdp_address: SocketAddr,
    /// The web server.
    pub http_address: SocketAddr,
    /// The URL of the device description.
    pub description_url: String,
    /// Whether the groups `ff02::c` and `ff05::c` have been joined. On Linux they can be on the loopback interface too, but
    /// nobody can send to them there.
    pub multicast: bool,
}

/// Something that happened. As JSON, the field `event` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The gateway listens.
    Started(Addresses),
    /// A new mapping.
    Mapped(Mapping),
    /// A mapping was renewed or replaced.
    Renewed(Mapping),
    /// A mapping was deleted, or lost by a switch.
    Unmapped(Mapping),
    /// A mapping ran out.
    Expired(Mapping),
    /// A message arrived.
    Request {
        /// Its type: the name of its counter.
        kind: String,
        /// Who sent it.
        from: SocketAddr,
    },
    /// The gateway itself could not do something, such as opening an external port.
    Error {
        /// What and why.
        message: String,
    },
    /// The router restarted; its table is empty.
    Reboot(Addresses),
    /// The external address was changed.
    ExternalAddress {
        /// The new one.
        address: Option<Ipv4Addr>,
    },
}
