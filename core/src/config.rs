//! How a mapper behaves: plain fields, each with a default that a home user never changes, checked once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::builders::builders;
use crate::error::{PortMappingError, check};
pub use crate::mapping::MAX_DESCRIPTION_LENGTH;
use crate::mapping::{AddressFamily, Protocol, check_description, check_ttl};
use crate::net::scoped::ScopedAddr;
pub use crate::schedule::{
    DEFAULT_CHECK_INTERVAL, DEFAULT_FAILURE_THRESHOLD, DEFAULT_RENEWAL_INTERVAL, DEFAULT_STOP_TIMEOUT, DEFAULT_TTL,
    MAX_RETRY_BACKOFF, MAX_TTL, MIN_CHECK_INTERVAL, MIN_TTL, RETRY_BACKOFF_MAX, RETRY_BACKOFF_MIN,
};
pub use crate::state::default_state_dir;

/// The port on which gateways listen for PCP and NAT-PMP (RFC 6887 19, RFC 6886 3).
pub const PCP_PORT: u16 = 5351;
/// The multicast address of SSDP (UDA 1.1 1).
pub const SSDP_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900);
/// The description that the gateway shows beside a mapping, unless the caller gives another.
pub const DEFAULT_DESCRIPTION: &str = "portlease";

/// The environment variable that names the gateway where the configuration does not, so that an unchanged program can be
/// pointed at a simulated one: `ADDRESS[,pcp=PORT][,ssdp=PORT]`, such as `127.0.0.1,pcp=40001,ssdp=40002`.
pub const GATEWAY_VARIABLE: &str = "PORTLEASE_GATEWAY";

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
    /// The gateway's address. Default: the gateway of the default route with the lowest metric. The address is used for leases of
    /// its own family only; leases of the other family use the default route. The exception is a loopback address, which stands for
    /// a simulated gateway: with `127.0.0.1`, IPv6 leases ask `::1`. A link-local address needs its interface, as its scope
    /// (`fe80::1%eth0`) or in `interface`, unless a default route leads to it.
    pub gateway: Option<ScopedAddr>,
    /// The local address to which the gateway forwards. Default: the one from which the gateway is reached. For IPv6 it is the
    /// address that is opened; the default is the stable address (not a temporary one of RFC 8981) of the prefix that the system
    /// prefers. The address is used for leases of its own family only.
    pub local_address: Option<IpAddr>,
    /// The name of the interface whose default route is used. Default: the interface of the default route with the lowest metric.
    pub interface: Option<String>,
    /// The protocols to try, in order of preference, without repeats. Default: PCP, NAT-PMP, UPnP.
    pub protocols: Vec<Protocol>,
    /// The lifetime to ask for, 1 s to 24 h, rounded up to whole seconds. Default 1 h.
    pub ttl: Duration,
    /// The longest wait between renewals; the granted lifetime may make it shorter. Default 30 min.
    pub renewal_interval: Duration,
    /// How often the mapper asks the gateway whether a mapping is still there; 0, or at least 1 s. It asks one question each time,
    /// whatever the number of leases, to notice a restart that nothing has announced, or a delete by another program. With 0 it
    /// never asks, and does not check new mappings either. Default 5 min.
    pub check_interval: Duration,
    /// How many renewal points (at 1/2, 3/4, 7/8 ... of the lifetime) may pass in a row without a renewal before the mapping is
    /// revoked, 1 or more. Its expiry and a certain loss revoke it in any case. Default 3.
    pub failure_threshold: u32,
    /// What happens after a failure. Default: try again, backing off from 1 s to 5 min.
    pub retry: RetryPolicy,
    /// The text that the gateway shows beside the mapping (UPnP only), at most 64 characters, no control characters.
    /// Default `portlease`.
    pub description: String,
    /// The gateway's PCP and NAT-PMP port. Default 5351.
    pub pcp_port: u16,
    /// The `address:port` to which SSDP searches are sent. Default: 239.255.255.250:1900 and port 1900 of the gateway. It is
    /// used for the families for which [`gateway`](Self#structfield.gateway) would be used.
    pub ssdp_address: Option<SocketAddr>,
    /// A folder for a small record of what is mapped, so that the next start after a crash takes up its mappings again and
    /// deletes those that no program asks for any more. It is created if it does not exist. Many processes may share one folder, but
    /// all on one machine. Default: none, nothing is recorded.
    pub state_dir: Option<PathBuf>,
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
            check_interval: DEFAULT_CHECK_INTERVAL,
            failure_threshold: DEFAULT_FAILURE_THRESHOLD,
            retry: RetryPolicy::default(),
            description: DEFAULT_DESCRIPTION.to_owned(),
            pcp_port: PCP_PORT,
            ssdp_address: None,
            state_dir: None,
        }
    }
}

impl Config {
    builders! {
        local_address(impl Into<Option<IpAddr>>),
        protocols(impl Into<Vec<Protocol>>),
        ttl(Duration),
        renewal_interval(Duration),
        check_interval(Duration),
        failure_threshold(u32),
        retry(RetryPolicy),
        description(impl Into<String>),
        pcp_port(u16),
        ssdp_address(impl Into<Option<SocketAddr>>),
    }

    /// Sets [`gateway`](Self#structfield.gateway).
    #[must_use]
    pub fn gateway(mut self, address: impl Into<ScopedAddr>) -> Self {
        self.gateway = Some(address.into());
        self
    }

    /// Sets [`interface`](Self#structfield.interface).
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Sets [`state_dir`](Self#structfield.state_dir).
    #[must_use]
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// The same with the gateway of the environment variable [`GATEWAY_VARIABLE`], where that is set, this names no gateway, and
    /// no interface or local address either. [`Mapper::start`](crate::Mapper::start) goes by it. Fails with kind `invalid`.
    pub fn with_environment(self) -> Result<Self, PortMappingError> {
        if self.gateway.is_some() || self.interface.is_some() || self.local_address.is_some() {
            return Ok(self);
        }
        match std::env::var_os(GATEWAY_VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => self.at(&value.to_string_lossy()),
            None => Ok(self),
        }
    }

    /// Reads what [`GATEWAY_VARIABLE`] says.
    fn at(mut self, place: &str) -> Result<Self, PortMappingError> {
        let mut parts = place.split(',').map(str::trim);
        let gateway = ScopedAddr::read(GATEWAY_VARIABLE, parts.next().unwrap_or_default())?;
        self.gateway = Some(gateway);
        for part in parts {
            let complaint = || {
                let message = format!(
                    "`{part:.64}` is not allowed; give an address, followed by pcp=PORT and ssdp=PORT if they differ"
                );
                PortMappingError::invalid(GATEWAY_VARIABLE, message)
            };
            let (name, value) = part.split_once('=').ok_or_else(complaint)?;
            // The simulated gateway tells its SSDP address whole.
            let port = match value.parse::<SocketAddr>() {
                Ok(address) if address.ip() == gateway.ip() => address.port(),
                _ => value.parse().map_err(|_| complaint())?,
            };
            match name {
                _ if port == 0 => return Err(complaint()),
                "pcp" => self.pcp_port = port,
                "ssdp" => self.ssdp_address = Some((gateway.ip(), port).into()),
                _ => return Err(complaint()),
            }
        }
        check_address(GATEWAY_VARIABLE, Some(gateway.ip()))?;
        Ok(self)
    }

    /// The gateway that is configured for `family`. A loopback address means a simulated gateway, which has both
    /// families, and never the router of this network.
    pub(crate) fn gateway_of(&self, family: AddressFamily) -> Option<IpAddr> {
        for_family(self.gateway?.ip(), family)
    }

    /// The interface that leads to the gateway: the one that the configuration names, or the scope of the gateway.
    pub(crate) fn gateway_interface(&self) -> Option<&str> {
        self.interface.as_deref().or_else(|| self.gateway.as_ref()?.scope())
    }

    /// The address for searches of `family`, likewise.
    pub(crate) fn ssdp_address_of(&self, family: AddressFamily) -> Option<SocketAddr> {
        let address = self.ssdp_address?;
        Some(SocketAddr::new(for_family(address.ip(), family)?, address.port()))
    }

    /// The local address that is configured for `family`.
    pub(crate) fn local_address_of(&self, family: AddressFamily) -> Option<IpAddr> {
        self.local_address.filter(|address| AddressFamily::of(*address) == family)
    }

    /// Checks every field. Fails with kind `invalid`, naming the field and what is allowed.
    pub fn validate(&self) -> Result<(), PortMappingError> {
        check_address("gateway", self.gateway.map(|gateway| gateway.ip()))?;
        self.check_scope()?;
        check_address("local_address", self.local_address)?;
        let link_local = matches!(self.local_address, Some(IpAddr::V6(address)) if address.is_unicast_link_local());
        check("local_address", !link_local, || "a link-local address cannot be reached from the internet".to_owned())?;
        check("interface", self.interface.as_deref() != Some(""), || {
            "the name is empty; give an interface name such as `eth0`, or none".to_owned()
        })?;
        self.check_protocols()?;
        self.check_times()?;
        check_description(&self.description)?;
        PortMappingError::check_port("pcp_port", self.pcp_port)?;
        check("state_dir", self.state_dir.as_ref().is_none_or(|folder| !folder.as_os_str().is_empty()), || {
            "the path is empty; give a folder, or none".to_owned()
        })?;
        check("ssdp_address", self.ssdp_address.is_none_or(|address| address.port() != 0), || {
            "the port must be between 1 and 65535, not 0".to_owned()
        })
    }

    /// A number is compared when the interface is looked for.
    fn check_scope(&self) -> Result<(), PortMappingError> {
        let (Some(gateway), Some(interface)) = (&self.gateway, &self.interface) else { return Ok(()) };
        let other = |scope: &str| scope != interface && scope.parse::<u32>().is_err();
        check("gateway", !gateway.scope().is_some_and(other), || {
            format!("the scope of {gateway} is not the interface `{interface}`; give one of them, or the same twice")
        })
    }

    fn check_protocols(&self) -> Result<(), PortMappingError> {
        let allowed = || crate::error::list(Protocol::ALL);
        check("protocols", !self.protocols.is_empty(), || format!("must name at least one of {}", allowed()))?;
        for (index, protocol) in self.protocols.iter().enumerate() {
            check("protocols", Protocol::ALL.contains(protocol), || {
                format!("`{protocol}` is not one of {}", allowed())
            })?;
            check("protocols", !self.protocols[..index].contains(protocol), || format!("`{protocol}` is named twice"))?;
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), PortMappingError> {
        check_ttl(self.ttl)?;
        let interval = self.check_interval;
        check("check_interval", interval.is_zero() || interval >= MIN_CHECK_INTERVAL, || {
            format!(
                "must be 0, which is never, or at least {} s, not {} s",
                MIN_CHECK_INTERVAL.as_secs(),
                interval.as_secs_f64()
            )
        })?;
        check("failure_threshold", self.failure_threshold > 0, || "must be at least 1, not 0".to_owned())?;
        if let RetryPolicy::Backoff { min, max } = self.retry {
            check("retry", min <= max, || {
                let (min, max) = (min.as_secs_f64(), max.as_secs_f64());
                format!("the shortest wait, {min} s, is longer than the longest, {max} s")
            })?;
            check("retry", max <= MAX_RETRY_BACKOFF, || {
                let allowed = MAX_RETRY_BACKOFF.as_secs();
                format!("the longest wait must be at most {allowed} s, not {} s", max.as_secs_f64())
            })?;
        }
        Ok(())
    }
}

/// The address, if it is of the family; the loopback address of the family for one on loopback.
fn for_family(address: IpAddr, family: AddressFamily) -> Option<IpAddr> {
    match family {
        _ if AddressFamily::of(address) == family => Some(address),
        _ if !address.is_loopback() => None,
        AddressFamily::Ipv4 => Some(Ipv4Addr::LOCALHOST.into()),
        AddressFamily::Ipv6 => Some(Ipv6Addr::LOCALHOST.into()),
    }
}

fn check_address(argument: &'static str, address: Option<IpAddr>) -> Result<(), PortMappingError> {
    let Some(address) = address else { return Ok(()) };
    check(argument, !address.is_unspecified() && !address.is_multicast(), || {
        format!("{address} is not the address of one host")
    })
}

/// Reads an IP address out of text, for hosts whose configuration is text. Names are not looked up.
/// Fails with kind `invalid` about `argument`.
pub fn parse_address(argument: &'static str, text: &str) -> Result<IpAddr, PortMappingError> {
    text.parse().map_err(|_| {
        PortMappingError::invalid(
            argument,
            format!("`{text:.64}` is not an IP address; give one such as 192.168.1.1 (names are not looked up)"),
        )
    })
}

/// Reads an IP address that may have a scope, `fe80::1%eth0`, likewise. Fails with kind `invalid` about `argument`.
pub fn parse_scoped_address(argument: &'static str, text: &str) -> Result<ScopedAddr, PortMappingError> {
    ScopedAddr::read(argument, text)
}

/// Reads an IP address with a port, `address:port`, likewise. Fails with kind `invalid` about `argument`.
pub fn parse_socket_address(argument: &'static str, text: &str) -> Result<SocketAddr, PortMappingError> {
    text.parse().map_err(|_| {
        let message = format!("`{text:.64}` is not an address with a port; give one such as 192.168.1.1:1900");
        PortMappingError::invalid(argument, message)
    })
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
