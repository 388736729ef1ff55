//! Settings and requests, on their way in. What is absent is core's default.

use std::net::IpAddr;

use portlease::PortMappingError;
use portlease::config::{parse_address, parse_socket_address};

use crate::error::PortLeaseError;
use crate::names::{AddressFamily, Protocol, Transport};
use crate::number::{Port, Seconds};

/// What happens after an attempt to map has failed, or a mapping was lost.
#[derive(Debug, Clone, Copy, uniffi::Enum)]
pub enum RetryPolicy {
    /// One attempt; then the lease has exited.
    Never,
    /// Try again after `min`, doubling up to `max`, for ever.
    Backoff {
        /// The first wait. Default 1 s.
        #[uniffi(default = None)]
        min: Option<Seconds>,
        /// The longest wait, at most a day. Default 5 min.
        #[uniffi(default = None)]
        max: Option<Seconds>,
    },
}

/// How a mapper behaves. Each field has a default that a home user never changes.
#[derive(Debug, Clone, Default, uniffi::Record)]
pub struct Config {
    /// The gateway's address, as text. Default: the gateway of the default route with the lowest metric.
    #[uniffi(default = None)]
    pub gateway: Option<String>,
    /// The local address to which the gateway shall forward, as text. Default: the one from which the gateway is reached.
    #[uniffi(default = None)]
    pub local_address: Option<String>,
    /// The interface whose default route is used, by name. Default: that of the lowest-metric default route.
    #[uniffi(default = None)]
    pub interface: Option<String>,
    /// The protocols to try, in order of preference, without repeats. Default: PCP, NAT-PMP, UPnP.
    #[uniffi(default = None)]
    pub protocols: Option<Vec<Protocol>>,
    /// The lifetime to ask for, 1 s to 24 h. Default 1 h. Whole seconds; a fraction is rounded up.
    #[uniffi(default = None)]
    pub ttl: Option<Seconds>,
    /// The longest wait between renewals; the granted lifetime may make it shorter. Default 30 min.
    #[uniffi(default = None)]
    pub renewal_interval: Option<Seconds>,
    /// Consecutive failed renewals after which the mapping is revoked, 1 or more. Default 3.
    #[uniffi(default = None)]
    pub failure_threshold: Option<i32>,
    /// What happens after a failure. Default: try again, backing off from 1 s to 5 min.
    #[uniffi(default = None)]
    pub retry: Option<RetryPolicy>,
    /// The text that the gateway shows beside the mapping (UPnP only), at most 64 characters, no control characters.
    /// Default `portlease`.
    #[uniffi(default = None)]
    pub description: Option<String>,
    /// The gateway's PCP and NAT-PMP port. Default 5351.
    #[uniffi(default = None)]
    pub pcp_port: Option<Port>,
    /// Where SSDP searches are sent, `address:port`. Default: 239.255.255.250:1900 and port 1900 of the gateway.
    #[uniffi(default = None)]
    pub ssdp_address: Option<String>,
}

impl Config {
    /// Core's configuration. Fails with `invalid` for what cannot even be read; core checks the rest.
    pub(crate) fn read(self) -> Result<portlease::Config, PortLeaseError> {
        let ssdp_address = self.ssdp_address.map(|text| parse_socket_address("ssdp_address", &text));
        let mut config = portlease::Config::default()
            .gateway(read_address("gateway", self.gateway)?)
            .local_address(read_address("local_address", self.local_address)?)
            .ssdp_address(ssdp_address.transpose()?);
        config.interface = self.interface;
        if let Some(protocols) = self.protocols {
            config.protocols = protocols.into_iter().map(Into::into).collect();
        }
        if let Some(ttl) = self.ttl {
            config.ttl = ttl.read("ttl")?;
        }
        if let Some(interval) = self.renewal_interval {
            config.renewal_interval = interval.read("renewal_interval")?;
        }
        if let Some(threshold) = self.failure_threshold {
            let negative = |_| {
                PortMappingError::invalid(
                    "failure_threshold",
                    format!("{threshold} is no number of failures; allowed are 1 and more"),
                )
            };
            config.failure_threshold = u32::try_from(threshold).map_err(negative)?;
        }
        match self.retry {
            Some(RetryPolicy::Never) => config.retry = portlease::RetryPolicy::Never,
            Some(RetryPolicy::Backoff { min, max }) => {
                let wait = |value: Option<Seconds>| value.map(|value| value.read("retry")).transpose();
                config.retry = portlease::RetryPolicy::backoff(wait(min)?, wait(max)?);
            }
            None => {}
        }
        if let Some(description) = self.description {
            config.description = description;
        }
        if let Some(port) = self.pcp_port {
            config.pcp_port = port.read("pcp_port")?;
        }
        Ok(config)
    }
}

fn read_address(argument: &'static str, text: Option<String>) -> Result<Option<IpAddr>, PortLeaseError> {
    Ok(text.map(|text| parse_address(argument, &text)).transpose()?)
}

/// One port to be mapped.
#[derive(Debug, Clone, Copy, uniffi::Record)]
pub struct MapRequest {
    /// The local port, 1 to 65535.
    pub internal_port: Port,
    /// UDP or TCP.
    pub transport: Transport,
    /// The external port that is wished for, 1 to 65535. Default: the internal port.
    #[uniffi(default = None)]
    pub external_port: Option<Port>,
    /// `true`: this external port or none (`refused`). `false`, the default: the gateway may grant another.
    #[uniffi(default = false)]
    pub exact: bool,
    /// Default: IPv4.
    #[uniffi(default = None)]
    pub family: Option<AddressFamily>,
}

impl MapRequest {
    /// Core's request. Fails with `invalid` for what is no port.
    pub(crate) fn read(self) -> Result<portlease::MapRequest, PortLeaseError> {
        let mut request = portlease::MapRequest::new(self.internal_port.read("port")?, self.transport.into());
        request.external_port = self.external_port.map(|port| port.read("external_port")).transpose()?;
        request.exact = self.exact;
        if let Some(family) = self.family {
            request.family = family.into();
        }
        Ok(request)
    }
}
