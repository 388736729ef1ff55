//! What a UPnP client is told.

use std::net::{IpAddr, SocketAddr};

use crate::builders::builders;
use crate::config::DEFAULT_DESCRIPTION;

/// What a [`UpnpMapper`](super::UpnpMapper) needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpnpConfig {
    /// The default gateway, IPv4. It is asked directly, and comes before any other device that answers, whatever that claims.
    pub gateway: IpAddr,
    /// The local address to send from. Default: the system's choice.
    pub local_address: Option<IpAddr>,
    /// Where the search is sent. Default: 239.255.255.250:1900 and port 1900 of the gateway.
    pub ssdp_address: Option<SocketAddr>,
    /// The text that the router shows beside the mapping. Cut to 64 characters; control characters are left out.
    pub description: String,
    /// No other host than the gateway is ever asked; answers of others are ignored. Default: other hosts of
    /// the same network are a last resort.
    pub gateway_only: bool,
}

impl UpnpConfig {
    /// The gateway at `gateway`, everything else by default; mappings are described as `portlease`.
    pub fn new(gateway: impl Into<IpAddr>) -> Self {
        let description = DEFAULT_DESCRIPTION.to_owned();
        Self { gateway: gateway.into(), local_address: None, ssdp_address: None, description, gateway_only: false }
    }

    builders! {
        local_address(impl Into<Option<IpAddr>>),
        ssdp_address(impl Into<Option<SocketAddr>>),
        description(impl Into<String>),
        gateway_only(bool),
    }
}
