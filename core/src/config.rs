//! How a mapper behaves: plain fields, each with a default that a home user never changes, checked once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::builders::builders;
use crate::error::PortMappingError;
use crate::mapping::Protocol;
pub use crate::schedule::{
    DEFAULT_FAILURE_THRESHOLD, DEFAULT_RENEWAL_INTERVAL, DEFAULT_STOP_TIMEOUT, DEFAULT_TTL, MAX_RETRY_BACKOFF, MAX_TTL,
    MIN_TTL, RETRY_BACKOFF_MAX, RETRY_BACKOFF_MIN,
};

/// The port on which gateways listen for PCP and NAT-PMP (RFC 6887 19, RFC 6886 3).
pub const PCP_PORT: u16 = 5351;
/// The multicast address of SSDP (UDA 1.1 1).
pub const SSDP_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900);
/// The description that the gateway shows beside a mapping, unless the caller gives another.
pub const DEFAULT_DESCRIPTION: &str = "portlease";
/// The longest description, in characters; several routers store no more.
pub const MAX_DESCRIPTION_LENGTH: usize = 64;

/// What happens after an attempt to map has failed, or a mapping was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// One attempt; then the lease has exited.
    Never,
    /// Try again after `min`, doubling up to `max`, for ever. [`backoff`](Self::backoff) makes one.
    #[non_exhaustive]
    Backoff {
        /// The first wait after a failure, doubled each time. Default 1 s.
        min: Duration,
        /// The longest wait after a failure, at most a day. Default 5 min.
        max: Duration,
    },
}

impl RetryPolicy {
    /// Tries again for ever, first after `min`, then doubling the wait up to `max`. `None` is the default (1 s, 5 min).
    pub fn backoff(min: impl Into<Option<Duration>>, max: impl Into<Option<Duration>>) -> Self {
        Self::Backoff { min: min.into().unwrap_or(RETRY_BACKOFF_MIN), max: max.into().unwrap_or(RETRY_BACKOFF_MAX) }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::backoff(None, None)
    }
}

/// The configuration of a mapper. `Config::default()` suits a home.
///
/// ```
/// use portlease::{Config, Protocol, RetryPolicy};
/// use std::time::Duration;
///
/// let config = Config::default()
///     .ttl(Duration::from_secs(600))
///     .protocols([Protocol::Pcp, Protocol::Upnp])
///     .retry(RetryPolicy::Never);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The gateway's address. Default: the gateway of the default route with the lowest metric.
    pub gateway: Option<IpAddr>,
    /// The local address to which the gateway forwards. Default: the one from which the gateway is reached.
    pub local_address: Option<IpAddr>,
    /// The name of the interface whose default route is used. Default: that of the default route with the lowest metric.
    pub interface: Option<String>,
    /// The protocols to try, in order of preference, without repeats. Default: PCP, NAT-PMP, UPnP.
    pub protocols: Vec<Protocol>,
    /// The lifetime to ask for, 1 s to 24 h, rounded up to whole seconds. Default 1 h.
    pub ttl: Duration,
    /// The longest wait between renewals; the granted lifetime may make it shorter. Default 30 min.
    pub renewal_interval: Duration,
    /// Consecutive failed renewals after which the mapping is revoked, 1 or more. Default 3.
    pub failure_threshold: u32,
    /// What happens after a failure. Default: try again, backing off from 1 s to 5 min.
    pub retry: RetryPolicy,
    /// The text that the gateway shows beside the mapping (UPnP only), at most 64 characters, no control characters.
    /// Default `portlease`.
    pub description: String,
    /// The gateway's PCP and NAT-PMP port. Default 5351.
    pub pcp_port: u16,
    /// The `address:port` to which SSDP searches are sent. Default: 239.255.255.250:1900 and port 1900 of the gateway.
    pub ssdp_address: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gateway: None,
            local_address: None,
            interface: None,
            protocols: Protocol::ALL.to_vec(),
            ttl: DEFAULT_TTL,
            renewal_interval: DEFAULT_RENEWAL_INTERVAL,
            failure_threshold: DEFAULT_FAILURE_THRESHOLD,
            retry: RetryPolicy::default(),
            description: DEFAULT_DESCRIPTION.to_owned(),
            pcp_port: PCP_PORT,
            ssdp_address: None,
        }
    }
}

impl Config {
    builders! {
        gateway(impl Into<Option<IpAddr>>),
        local_address(impl Into<Option<IpAddr>>),
        protocols(impl Into<Vec<Protocol>>),
        ttl(Duration),
        renewal_interval(Duration),
        failure_threshold(u32),
        retry(RetryPolicy),
        description(impl Into<String>),
        pcp_port(u16),
        ssdp_address(impl Into<Option<SocketAddr>>),
    }

    /// Sets [`interface`](Self#structfield.interface).
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Checks every field. Fails with kind `invalid`, naming the field and what is allowed.
    pub fn validate(&self) -> Result<(), PortMappingError> {
        let invalid = |argument, message: &str| PortMappingError::invalid(argument, message);
        check_address("gateway", self.gateway)?;
        check_address("local_address", self.local_address)?;
        if let (Some(gateway), Some(local)) = (self.gateway, self.local_address)
            && gateway.is_ipv4() != local.is_ipv4()
        {
            return Err(PortMappingError::invalid(
                "local_address",
                format!("{local} is of another address family than gateway {gateway}"),
            ));
        }
        if self.interface.as_deref().is_some_and(str::is_empty) {
            return Err(invalid("interface", "the name is empty; give an interface name such as `eth0`, or none"));
        }
        self.check_protocols()?;
        if !(MIN_TTL..=MAX_TTL).contains(&self.ttl) {
            return Err(PortMappingError::invalid(
                "ttl",
                format!(
                    "{} s is out of range; allowed are {} to {} s",
                    self.ttl.as_secs_f64(),
                    MIN_TTL.as_secs(),
                    MAX_TTL.as_secs()
                ),
            ));
        }
        if self.failure_threshold == 0 {
            return Err(invalid("failure_threshold", "0 would revoke a mapping that is alive; allowed are 1 and more"));
        }
        if let RetryPolicy::Backoff { min, max } = self.retry
            && min > max
        {
            return Err(PortMappingError::invalid(
                "retry",
                format!("the shortest wait, {min:?}, is longer than the longest, {max:?}"),
            ));
        }
        if let RetryPolicy::Backoff { max, .. } = self.retry
            && max > MAX_RETRY_BACKOFF
        {
            return Err(PortMappingError::invalid(
                "retry",
                format!("{max:?} between attempts is too long; allowed are {MAX_RETRY_BACKOFF:?}"),
            ));
        }
        let length = self.description.chars().count();
        if length > MAX_DESCRIPTION_LENGTH {
            return Err(PortMappingError::invalid(
                "description",
                format!("{length} characters are too many; allowed are {MAX_DESCRIPTION_LENGTH}"),
            ));
        }
        if let Some(control) = self.description.chars().find(|c| c.is_control()) {
            return Err(PortMappingError::invalid(
                "description",
                format!("the control character {control:?} is not allowed"),
            ));
        }
        if self.pcp_port == 0 {
            return Err(invalid("pcp_port", "0 is no port; allowed are 1 to 65535"));
        }
        if self.ssdp_address.is_some_and(|address| address.port() == 0) {
            return Err(invalid("ssdp_address", "port 0 is no port; allowed are 1 to 65535"));
        }
        Ok(())
    }

    fn check_protocols(&self) -> Result<(), PortMappingError> {
        let allowed = || crate::error::list(Protocol::ALL);
        if self.protocols.is_empty() {
            return Err(PortMappingError::invalid(
                "protocols",
                format!("none is named; give one or more of {}", allowed()),
            ));
        }
        for (index, protocol) in self.protocols.iter().enumerate() {
            if !Protocol::ALL.contains(protocol) {
                return Err(PortMappingError::invalid(
                    "protocols",
                    format!("`{protocol}` is not one of {}", allowed()),
                ));
            }
            if self.protocols[..index].contains(protocol) {
                return Err(PortMappingError::invalid("protocols", format!("`{protocol}` is named twice")));
            }
        }
        Ok(())
    }

    /// The lifetime to ask for in whole seconds, a fraction rounded up: the wire knows no fractions.
    pub(crate) fn whole_ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.as_secs() + u64::from(self.ttl.subsec_nanos() > 0))
    }
}

fn check_address(argument: &'static str, address: Option<IpAddr>) -> Result<(), PortMappingError> {
    match address {
        Some(address) if address.is_unspecified() || address.is_multicast() => {
            Err(PortMappingError::invalid(argument, format!("{address} is not the address of one host")))
        }
        Some(address @ IpAddr::V6(_)) => {
            Err(PortMappingError::invalid(argument, format!("{address} is IPv6; allowed are IPv4 addresses")))
        }
        _ => Ok(()),
    }
}

/// Reads an IP address out of text, for hosts whose configuration is text. Names are not looked up.
/// Fails with kind `invalid` about `argument`.
pub fn parse_address(argument: &'static str, text: &str) -> Result<IpAddr, PortMappingError> {
    text.parse().map_err(|_| {
        PortMappingError::invalid(
            argument,
            format!("`{text:.64}` is no IP address; give one such as 192.168.1.1 (names are not looked up)"),
        )
    })
}

/// Reads an IP address with a port, `address:port`, likewise. Fails with kind `invalid` about `argument`.
pub fn parse_socket_address(argument: &'static str, text: &str) -> Result<SocketAddr, PortMappingError> {
    text.parse().map_err(|_| {
        let message = format!("`{text:.64}` is no address with a port; give one such as 192.168.1.1:1900");
        PortMappingError::invalid(argument, message)
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
