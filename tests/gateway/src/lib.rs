//! A simulated home gateway: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP IGD 1 and 2 on loopback, with leases that
//! expire and real forwarding, if asked with a firewall for IPv6 whose pinholes PCP and UPnP open, and with a switch for
//! everything that goes wrong on real routers.
//!
//! It is written from the standards alone and shares no code with the client library that it tests: the two must
//! disagree when one is wrong.
//!
//! ```
//! use portlease_gateway::{Gateway, GatewayConfig};
//!
//! let gateway = Gateway::start(GatewayConfig { upnp: false, ..GatewayConfig::default() })?;
//! println!("PCP and NAT-PMP at {}:{}", gateway.address(), gateway.pcp_port());
//! gateway.update_faults(|faults| faults.cgnat = true);
//! assert!(gateway.mappings().is_empty());
//! # Ok::<(), portlease_gateway::GatewayError>(())
//! ```
//!
//! # Layout
//! `gateway` is the handle, `by_hand` its methods on the table, `router` its thread, `shared` the state that both and all
//! listeners use. `table` holds the rules of granting, `grant` applies them; `pinhole` and `pinhole_grant` are the same for
//! the firewall for IPv6. `forward` has the open ports of mappings and pinholes, `ports` those of the servers, of which each
//! `side` of the router has its own. `datagram` serves the port of `pcp` and `natpmp`; `ssdp`, `http`, `layout`,
//! `description`, `soap`, `control` and `firewall` make up the UPnP device. `json` is the line protocol for other languages,
//! `cli` the command.

mod announcement;
mod by_hand;
#[cfg(feature = "cli")]
pub mod cli;
mod config;
mod control;
mod datagram;
mod description;
mod faults;
mod firewall;
mod forward;
mod gateway;
mod grant;
mod http;
pub mod json;
mod layout;
mod mapping;
mod natpmp;
mod pcp;
mod pinhole;
mod pinhole_grant;
mod ports;
mod router;
mod shared;
mod side;
mod soap;
mod ssdp;
mod table;

pub use announcement::Announcement;
pub use by_hand::NewMapping;
pub use config::{GatewayConfig, GatewayError, UPNP_MAX_LEASE};
pub use faults::{Faults, HttpBody, Mode, NameEncoding, SecondDevice, WanService};
pub use gateway::{Events, Gateway};
pub use mapping::{Addresses, Counters, Event, GatewayState, Ipv6Addresses, Mapping, Protocol, Transport};
