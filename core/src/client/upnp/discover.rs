//! From a search to the one service that is used: descriptions are fetched as answers come in, and the best device wins.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::UpnpConfig;
use super::action::{Control, External};
use super::description::{self, Service};
use super::http::{self, Request};
use super::soap::{Caller, explain_http};
use super::ssdp::{Answer, Found, Search};
use crate::error::PortMappingError;
use crate::net::address::AddressClass;
use crate::schedule::{
    SSDP_DEADLINE, UPNP_BETTER_DEVICE_GRACE, UPNP_DEADLINE, UPNP_DISCOVERY_DEADLINE, UPNP_OTHER_DEVICES_AFTER,
    UPNP_SERVICES_DEADLINE,
};

/// Descriptions that one discovery fetches, those of the default gateway not counted.
const MAX_DESCRIPTIONS: usize = 16;
/// Descriptions that one discovery fetches from one host: nobody crowds the others out.
const MAX_DESCRIPTIONS_PER_HOST: usize = 4;

/// How good a device is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It maps ports, but says that it is not connected, or says nothing.
    Usable,
    /// Its WAN connection is up.
    Connected,
    /// Its WAN connection is up and has a public address.
    Public,
}

/// A gateway that can be asked for mappings.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) responder: IpAddr,
    pub(super) description_url: Url,
    pub(super) friendly_name: String,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) service: Service,
    pub(super) connected: Option<bool>,
    /// What it said about its address, and when; `None` where it did not answer that.
    pub(super) external: Option<(External, Instant)>,
    /// When it was found.
    pub(super) found: Instant,
    /// From the search to the end of the device's last answer.
    pub(super) round_trip: Duration,
    /// Whether it has shown that it makes permanent mappings only.
    permanent_only: AtomicBool,
}

/// What discovery found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The device's name for people; empty where it has none.
    pub friendly_name: String,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// The model's name and number.
    pub model: Option<String>,
    /// The address that answered the search.
    pub address: IpAddr,
    /// Where its description is.
    pub description_url: String,
    /// Where actions are sent.
    pub control_url: String,
    /// For instance `urn:schemas-upnp-org:service:WANIPConnection:1`.
    pub service_type: String,
    /// The router's address on its public side; `None` where it has none or does not tell.
    pub external_address: Option<IpAddr>,
    /// Whether the WAN connection is up; `None` where the router does not tell.
    pub connected: Option<bool>,
    /// From the search to the last answer that discovery needed.
    pub round_trip: Duration,
}

impl From<&Device> for DeviceInfo {
    fn from(device: &Device) -> Self {
        Self {
            friendly_name: device.friendly_name.clone(),
            manufacturer: device.manufacturer.clone(),
            model: device.model.clone(),
            address: device.responder,
            description_url: device.description_url.to_string(),
            control_url: device.service.control_url.to_string(),
            service_type: device.service.service_type.clone(),
            external_address: device.external.as_ref().and_then(|(external, _)| external.address),
            connected: device.connected,
            round_trip: device.round_trip,
        }
    }
}

impl Device {
    fn rank(&self) -> Rank {
        let address = self.external.as_ref().and_then(|(external, _)| external.address);
        match (self.connected, address) {
            (Some(false), _) => Rank::Usable,
            (_, Some(address)) if AddressClass::of(address) == AddressClass::Public => Rank::Public,
            (Some(true), _) => Rank::Connected,
            // An address is as good a sign as the status.
            (None, Some(_)) => Rank::Connected,
            (None, None) => Rank::Usable,
        }
    }

    pub(super) fn permanent_only(&self) -> bool {
        self.permanent_only.load(Ordering::Relaxed)
    }

    pub(super) fn remember_permanent_only(&self) {
        self.permanent_only.store(true, Ordering::Relaxed);
    }
}

/// Searches, and takes the best device: at once where it is the default gateway, connected with a public address, else
/// after a short grace.
///
/// Fails with `unavailable` where nothing answered or nothing that answered maps ports, `transport` where nothing
/// could be sent, or with the last device's own failure.
pub(super) async fn discover(config: &UpnpConfig, caller: &Caller) -> Result<Device, PortMappingError> {
    if config.gateway.is_ipv6() {
        return Err(PortMappingError::invalid("gateway", "upnp maps ports of ipv4 gateways only"));
    }
    let started = Instant::now();
    let mut search = Search::start(config.gateway, config.local_address, config.ssdp_address).await?;
    let mut candidates = Candidates {
        config,
        caller,
        started,
        seen: HashSet::new(),
        hosts: HashMap::new(),
        examined: JoinSet::new(),
        gateways: 0,
    };
    let mut others: Vec<(Answer, IpAddr)> = Vec::new();
    let mut best: Option<Device> = None;
    let mut grace: Option<Instant> = None;
    let mut failure = None;
    let mut refused = None;
    let mut useless = 0;
    let mut others_due = false;
    loop {
        // Anybody on the LAN can claim a public address; only the default gateway is believed without a second look.
        if best.as_ref().is_some_and(|device| device.rank() == Rank::Public && device.responder == config.gateway) {
            break;
        }
        if search.over() || others_due {
            for (answer, from) in others.drain(..) {
                candidates.examine(answer, from);
            }
        }
        // Whoever does not call itself a gateway is not waited for longer than the search.
        let waiting = if refused.is_some() { !candidates.examined.is_empty() } else { candidates.gateways > 0 };
        if search.over() && !waiting {
            break;
        }
        tokio::select! {
            found = search.next(), if !search.over() => match found {
                Found::Answer(answer, from) if !answer.trusted(from) => {
                    tracing::debug!(%from, location = %answer.location, "ssdp answer leads elsewhere: ignored");
                    failure.get_or_insert_with(|| PortMappingError::unavailable(format!(
                        "the upnp answer of {from} leads to {}, which is not that host", answer.location
                    )));
                }
                Found::Answer(answer, from) if answer.names_a_gateway() || others_due => {
                    candidates.examine(answer, from);
                }
                Found::Answer(answer, from) => {
                    if others.len() < MAX_DESCRIPTIONS {
                        others.push((answer, from));
                    }
                }
                Found::Refused(address) => refused = Some(address),
                Found::Nothing => {}
            },
            Some(examined) = candidates.examined.join_next() => match examined {
                Ok((gateway, outcome)) => {
                    candidates.gateways -= usize::from(gateway);
                    match outcome {
                        Ok(device) => {
                            search.hush();
                            grace.get_or_insert_with(|| Instant::now() + UPNP_BETTER_DEVICE_GRACE);
                            best = Some(better(best, device, config.gateway));
                        }
                        Err(error) => {
                            tracing::debug!(error = %error.message(), gateway, "not usable");
                            // What is wrong with a television says nothing about the gateway.
                            if gateway {
                                failure = Some(error);
                            } else {
                                useless += 1;
                            }
                        }
                    }
                }
                Err(error) => return Err(PortMappingError::internal(format!("upnp discovery: {error}"))),
            },
            () = sleep_until(grace.unwrap_or(started + UPNP_DISCOVERY_DEADLINE)) => break,
            () = sleep_until(started + UPNP_OTHER_DEVICES_AFTER), if !others_due && grace.is_none() => others_due = true,
        }
    }
    match (best, failure, refused) {
        (Some(device), _, _) => Ok(device),
        (None, Some(failure), _) => Err(failure),
        (None, None, Some(address)) => {
            Err(PortMappingError::unavailable(format!("no upnp at {address}: port refused")))
        }
        (None, None, None) if started.elapsed() >= UPNP_DISCOVERY_DEADLINE => Err(PortMappingError::timeout(format!(
            "the upnp gateway did not describe itself within {} s",
            UPNP_DISCOVERY_DEADLINE.as_secs_f64()
        ))),
        (None, None, None) => Err(PortMappingError::unavailable(format!(
            "no upnp gateway answered the search within {} s{}",
            SSDP_DEADLINE.as_secs_f64(),
            if useless == 0 { String::new() } else { format!(", only devices that map no ports ({useless})") }
        ))),
    }
}

/// The better of two devices; of equals the default gateway, else the one that came first.
fn better(best: Option<Device>, device: Device, gateway: IpAddr) -> Device {
    let value = |device: &Device| (device.rank(), device.responder == gateway);
    match best {
        Some(best) if value(&best) >= value(&device) => best,
        _ => device,
    }
}

struct Candidates<'a> {
    config: &'a UpnpConfig,
    caller: &'a Caller,
    started: Instant,
    seen: HashSet<Url>,
    hosts: HashMap<IpAddr, usize>,
    examined: JoinSet<Examined>,
    /// How many of those under examination call themselves gateways.
    gateways: usize,
}

/// Whether the device calls itself a gateway, and what came of it.
type Examined = (bool, Result<Device, PortMappingError>);

impl Candidates<'_> {
    /// Looks at a description, once. The work ends with this struct.
    fn examine(&mut self, answer: Answer, from: IpAddr) {
        let of_host = self.hosts.get(&from).copied().unwrap_or(0);
        let crowded = self.seen.len() >= MAX_DESCRIPTIONS && from != self.config.gateway;
        if crowded || of_host >= MAX_DESCRIPTIONS_PER_HOST || !self.seen.insert(answer.location.clone()) {
            return;
        }
        self.hosts.insert(from, of_host + 1);
        let gateway = answer.names_a_gateway();
        self.gateways += usize::from(gateway);
        let (local, caller, started) = (self.config.local_address, self.caller.clone(), self.started);
        self.examined.spawn(async move { (gateway, examine(answer.location, from, local, &caller, started).await) });
    }
}

/// Fetches a description and asks each of its services for status and address; the best service makes the device.
async fn examine(
    location: Url,
    responder: IpAddr,
    local: Option<IpAddr>,
    caller: &Caller,
    started: Instant,
) -> Result<Device, PortMappingError> {
    let context = || format!("upnp description {location}");
    let useless = |why: String| PortMappingError::unavailable(format!("{}: {why}", context()));
    let request = Request { url: &location, local, action: None, deadline: UPNP_DEADLINE };
    let reply = http::send(&request).await.map_err(|error| explain_http(error, &context()))?;
    if reply.response.status != 200 {
        return Err(useless(format!("http status {}", reply.response.status)));
    }
    let description = description::parse(&reply.response.body, &location).map_err(useless)?;
    let described = Instant::now();
    let mut best: Option<Device> = None;
    for service in description.services {
        let control = Control { caller, service: &service };
        let connected = match control.connected().await {
            Ok(connected) => connected,
            // A router that does not know the action, or does not answer it, is usable all the same.
            Err(error) => {
                tracing::debug!(url = %service.control_url, %error, "GetStatusInfo");
                None
            }
        };
        let external = match control.external_address().await {
            Ok(external) => Some((external, Instant::now())),
            Err(error) => {
                tracing::debug!(url = %service.control_url, %error, "GetExternalIPAddress");
                None
            }
        };
        let device = Device {
            responder,
            description_url: location.clone(),
            friendly_name: description.friendly_name.clone(),
            manufacturer: description.manufacturer.clone(),
            model: description.model.clone(),
            service,
            connected,
            external,
            found: Instant::now(),
            round_trip: started.elapsed(),
            permanent_only: AtomicBool::new(false),
        };
        best = Some(better(best, device, responder));
        let good = best.as_ref().is_some_and(|device| device.rank() == Rank::Public);
        if good || described.elapsed() >= UPNP_SERVICES_DEADLINE {
            break;
        }
    }
    best.ok_or_else(|| useless(format!("`{}` has no service that maps ports", description.friendly_name)))
}
