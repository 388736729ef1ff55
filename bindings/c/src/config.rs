//! Settings and requests as C gives them.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::time::Duration;

use portlease::config::{MAX_DESCRIPTION_LENGTH, parse_address, parse_socket_address};
use portlease::{Config, MapRequest, PortMappingError, RetryPolicy};

use crate::memory::{Options, growing, read, text};
use crate::names::{self, portlease_family, portlease_protocol, portlease_transport};

/// How many protocols a list holds; shorter ones end with PORTLEASE_PROTOCOL_ABSENT.
pub const PORTLEASE_MAX_PROTOCOLS: usize = 8;

/// No address is longer, with or without a port and a zone.
const MAX_ADDRESS_TEXT: usize = 127;
/// No system has longer names of interfaces.
const MAX_INTERFACE_NAME: usize = 255;
/// Four bytes for a character; what is too long by characters is core's to say.
const MAX_DESCRIPTION_BYTES: usize = 4 * MAX_DESCRIPTION_LENGTH + 3;

/// The configuration of a mapper. Zero, NULL and "" mean the default, which suits a home. Text is copied.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_config {
    /// sizeof(portlease_config)
    pub struct_size: usize,
    /// The gateway's IPv4 address. Default: the gateway of the default route with the lowest metric.
    pub gateway: *const c_char,
    /// The local address to which the gateway shall forward. Default: the one from which the gateway is reached.
    pub local_address: *const c_char,
    /// The interface whose default route is used. Default: that of the lowest-metric default route.
    pub interface_name: *const c_char,
    /// The protocols to try, in order of preference. Default: PCP, NAT-PMP, UPnP.
    pub protocols: [MaybeUninit<portlease_protocol>; PORTLEASE_MAX_PROTOCOLS],
    /// The lifetime to ask for, 1 to 86400 s. Default 3600.
    pub ttl: f64,
    /// The longest wait between renewals in seconds; the granted lifetime may make it shorter. Default 1800.
    pub renewal_interval: f64,
    /// Consecutive failed renewals after which the mapping is revoked. Default 3.
    pub failure_threshold: u32,
    /// The gateway's PCP and NAT-PMP port. Default 5351.
    pub pcp_port: u16,
    /// After a failure: false tries again, true ends the lease.
    pub retry_never: MaybeUninit<bool>,
    /// The first wait after a failure in seconds, doubling up to the longest. Default 1.
    pub retry_min: f64,
    /// The longest wait after a failure in seconds, at most 86400. Default 300.
    pub retry_max: f64,
    /// What the gateway shows beside the mapping (UPnP), at most 64 characters. Default "portlease".
    pub description: *const c_char,
    /// Where SSDP searches go, "address:port". Default: 239.255.255.250:1900, and port 1900 of the gateway.
    pub ssdp_address: *const c_char,
}

/// One port to be mapped. `internal_port` and `transport` must be set.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct portlease_request {
    /// sizeof(portlease_request)
    pub struct_size: usize,
    /// UDP or TCP.
    pub transport: MaybeUninit<portlease_transport>,
    /// The local port.
    pub internal_port: u16,
    /// The external port that is wished for; 0 wishes for the internal port.
    pub external_port: u16,
    /// true: this external port or none (PORTLEASE_REFUSED). false: the gateway may grant another.
    pub exact: MaybeUninit<bool>,
    /// IPv4.
    pub family: MaybeUninit<portlease_family>,
}

growing!(portlease_config: ssdp_address *const c_char, portlease_request: family portlease_family);
// Numbers and pointers; the rest is `MaybeUninit`.
unsafe impl Options for portlease_config {}
unsafe impl Options for portlease_request {}

/// What C takes for true: whatever is not zero.
fn truth(value: MaybeUninit<bool>) -> bool {
    let byte: u8 = unsafe { std::mem::transmute_copy(&value) };
    byte != 0
}

/// A duration that somebody set, in seconds.
fn seconds(argument: &'static str, value: f64) -> Result<Option<Duration>, PortMappingError> {
    if value == 0.0 {
        return Ok(None);
    }
    Duration::try_from_secs_f64(value)
        .map(Some)
        .map_err(|_| PortMappingError::invalid(argument, format!("{value} is no number of seconds; 0 is the default")))
}

/// Reads a configuration; NULL is the default one. Whether the values make sense is core's to say.
///
/// # Safety
/// As [`read`], and its texts as [`text`].
pub(crate) unsafe fn read_config(pointer: *const portlease_config) -> Result<Config, PortMappingError> {
    let mut config = Config::default();
    if pointer.is_null() {
        return Ok(config);
    }
    let given = unsafe { read("config", pointer)? };
    let address = |argument, pointer| -> Result<Option<_>, PortMappingError> {
        let text = unsafe { text(argument, pointer, MAX_ADDRESS_TEXT)? };
        text.map(|text| parse_address(argument, text)).transpose()
    };
    config.gateway = address("gateway", given.gateway)?;
    config.local_address = address("local_address", given.local_address)?;
    config.interface = unsafe { text("interface", given.interface_name, MAX_INTERFACE_NAME)? }.map(str::to_owned);
    let mut protocols = Vec::new();
    for slot in given.protocols {
        let Some(protocol) = names::read_protocol(slot)? else { break };
        protocols.push(protocol);
    }
    if !protocols.is_empty() {
        config.protocols = protocols;
    }
    if let Some(ttl) = seconds("ttl", given.ttl)? {
        config.ttl = ttl;
    }
    if let Some(interval) = seconds("renewal_interval", given.renewal_interval)? {
        config.renewal_interval = interval;
    }
    if given.failure_threshold != 0 {
        config.failure_threshold = given.failure_threshold;
    }
    config.retry = retry(&given)?;
    if let Some(description) = unsafe { text("description", given.description, MAX_DESCRIPTION_BYTES)? } {
        config.description = description.to_owned();
    }
    if let Some(text) = unsafe { text("ssdp_address", given.ssdp_address, MAX_ADDRESS_TEXT)? } {
        config.ssdp_address = Some(parse_socket_address("ssdp_address", text)?);
    }
    if given.pcp_port != 0 {
        config.pcp_port = given.pcp_port;
    }
    Ok(config)
}

fn retry(given: &portlease_config) -> Result<RetryPolicy, PortMappingError> {
    let (shortest, longest) = (seconds("retry", given.retry_min)?, seconds("retry", given.retry_max)?);
    match truth(given.retry_never) {
        true if shortest.is_some() || longest.is_some() => {
            Err(PortMappingError::invalid("retry", "retry_never is set, and so is a wait; allowed is one of them"))
        }
        true => Ok(RetryPolicy::Never),
        false => Ok(RetryPolicy::backoff(shortest, longest)),
    }
}

/// Reads a request.
///
/// # Safety
/// As [`read`].
pub(crate) unsafe fn read_request(pointer: *const portlease_request) -> Result<MapRequest, PortMappingError> {
    let given = unsafe { read("request", pointer)? };
    let mut request = MapRequest::new(given.internal_port, names::read_transport(given.transport)?);
    request.external_port = (given.external_port != 0).then_some(given.external_port);
    request.exact = truth(given.exact);
    request.family = names::read_family(given.family)?;
    Ok(request)
}
