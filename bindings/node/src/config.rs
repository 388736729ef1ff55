//! Settings and requests out of plain objects. The JavaScript layer has checked types; ranges are the core's part.

use std::time::Duration;

use napi_derive::napi;
use portlease::config::{parse_address, parse_socket_address};
use portlease::{Config, MapRequest, PortMappingError, RetryPolicy};

/// The settings of a mapper; what is absent is the core's default.
#[napi(object)]
pub struct Settings {
    /// The gateway's address.
    pub gateway: Option<String>,
    /// The local address to which the gateway shall forward.
    pub local_address: Option<String>,
    /// The interface, by name.
    pub interface: Option<String>,
    /// The protocols, in order of preference.
    pub protocols: Option<Vec<String>>,
    /// The lifetime to ask for, in milliseconds.
    pub ttl: Option<f64>,
    /// The longest wait between renewals, in milliseconds.
    pub renewal_interval: Option<f64>,
    /// Consecutive failed renewals after which the mapping is revoked.
    pub failure_threshold: Option<u32>,
    /// Whether a failed attempt is tried again.
    pub retry: Option<bool>,
    /// The first wait before that, in milliseconds.
    pub retry_min: Option<f64>,
    /// The longest, in milliseconds.
    pub retry_max: Option<f64>,
    /// The text that the gateway shows.
    pub description: Option<String>,
    /// The gateway's PCP and NAT-PMP port.
    pub pcp_port: Option<u16>,
    /// Where SSDP searches are sent, `address:port`.
    pub ssdp_address: Option<String>,
}

/// What a lease is asked for.
#[napi(object)]
pub struct Request {
    /// The local port.
    pub port: u16,
    /// `udp` or `tcp`.
    pub transport: String,
    /// The external port that is wished for.
    pub external_port: Option<u16>,
    /// That external port or none.
    pub exact: bool,
    /// `ipv4`.
    pub family: String,
}

impl TryFrom<Settings> for Config {
    type Error = PortMappingError;

    fn try_from(settings: Settings) -> Result<Self, PortMappingError> {
        let mut config = Self::default();
        let time = |name, value: Option<f64>, default| value.map_or(Ok(default), |value| milliseconds(name, value));
        let address = |name, text: Option<String>| text.map(|text| parse_address(name, &text)).transpose();
        config.gateway = address("gateway", settings.gateway)?;
        config.local_address = address("local_address", settings.local_address)?;
        config.interface = settings.interface;
        if let Some(names) = settings.protocols {
            config.protocols = names.iter().map(|name| named("protocols", name)).collect::<Result<_, _>>()?;
        }
        config.ttl = time("ttl", settings.ttl, config.ttl)?;
        config.renewal_interval = time("renewal_interval", settings.renewal_interval, config.renewal_interval)?;
        config.failure_threshold = settings.failure_threshold.unwrap_or(config.failure_threshold);
        config.retry = match settings.retry {
            Some(false) => RetryPolicy::Never,
            _ => {
                let wait = |value: Option<f64>| value.map(|value| milliseconds("retry", value)).transpose();
                RetryPolicy::backoff(wait(settings.retry_min)?, wait(settings.retry_max)?)
            }
        };
        config.description = settings.description.unwrap_or(config.description);
        config.pcp_port = settings.pcp_port.unwrap_or(config.pcp_port);
        config.ssdp_address =
            settings.ssdp_address.map(|text| parse_socket_address("ssdp_address", &text)).transpose()?;
        Ok(config)
    }
}

impl TryFrom<Request> for MapRequest {
    type Error = PortMappingError;

    fn try_from(request: Request) -> Result<Self, PortMappingError> {
        let mut map =
            Self::new(request.port, named("transport", &request.transport)?).family(named("family", &request.family)?);
        (map.external_port, map.exact) = (request.external_port, request.exact);
        Ok(map)
    }
}

/// Reads one of the stable strings, so that the error names the option in which it stands.
fn named<T: std::str::FromStr<Err = PortMappingError>>(
    argument: &'static str,
    text: &str,
) -> Result<T, PortMappingError> {
    text.parse().map_err(|error| match error {
        PortMappingError::Invalid { message, .. } => PortMappingError::invalid(argument, message),
        other => other,
    })
}

/// A duration out of a number of milliseconds; `Infinity` is as long as there can be.
pub(crate) fn milliseconds(argument: &'static str, number: f64) -> Result<Duration, PortMappingError> {
    if number == f64::INFINITY {
        return Ok(Duration::MAX);
    }
    Duration::try_from_secs_f64(number / 1000.0)
        .map_err(|_| PortMappingError::invalid(argument, format!("{number} is no duration; allowed are 0 ms and more")))
}

/// The same for a limit that may be absent.
pub(crate) fn limit(number: Option<f64>) -> Result<Option<Duration>, PortMappingError> {
    number.map(|number| milliseconds("timeout", number)).transpose()
}
