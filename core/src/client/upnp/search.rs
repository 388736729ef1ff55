//! From an SSDP search to the one service that is used: descriptions are fetched as answers come in, and the best device
//! wins.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::action::Control;
use super::config::UpnpConfig;
use super::description;
use super::device::{Device, Rank, better};
use super::http::{self, Request};
use super::soap::{Caller, explain_http};
use super::ssdp::{Answer, Found, Search};
use crate::error::PortMappingError;
use crate::schedule::{
    SSDP_DEADLINE, UPNP_BETTER_DEVICE_GRACE, UPNP_DEADLINE, UPNP_OTHER_DEVICES_AFTER, UPNP_SEARCH_DEADLINE,
    UPNP_SERVICES_DEADLINE,
};

/// Descriptions that one search fetches, not counting those of the default gateway.
const MAX_DESCRIPTIONS: usize = 16;
/// Descriptions that one search fetches from one host, so that no host crowds out the others.
const MAX_DESCRIPTIONS_PER_HOST: usize = 4;

/// Searches and takes the best device: at once if it is the default gateway, connected with a public address, else
/// after a short grace.
///
/// Fails with `unavailable` if nothing answered or nothing that answered maps ports, `transport` if nothing could be
/// sent, or with the last device's own failure.
pub(super) async fn search(config: &UpnpConfig, caller: &Caller) -> Result<Device, PortMappingError> {
    if config.gateway.is_ipv6() {
        return Err(PortMappingError::invalid("gateway", "upnp maps ports of ipv4 gateways only"));
    }
    let mut ssdp = Search::start(config.gateway, config.local_address, config.ssdp_address).await?;
    let mut candidates = Candidates::new(config, caller);
    let started = candidates.started;
    while !candidates.decided(ssdp.over()) {
        tokio::select! {
            found = ssdp.next(), if !ssdp.over() => candidates.heard(found),
            Some(examined) = candidates.examined.join_next() => candidates.learned(examined, &mut ssdp)?,
            () = sleep_until(candidates.grace.unwrap_or(started + UPNP_SEARCH_DEADLINE)) => break,
            () = sleep_until(started + UPNP_OTHER_DEVICES_AFTER), if !candidates.others_due && candidates.grace.is_none() => {
                candidates.others_due = true;
            }
        }
    }
    candidates.outcome()
}

/// Who answered the search, and what is known about them.
struct Candidates<'a> {
    config: &'a UpnpConfig,
    caller: &'a Caller,
    started: Instant,
    /// Descriptions that are or were fetched.
    seen: HashSet<Url>,
    hosts: HashMap<IpAddr, usize>,
    examined: JoinSet<Examined>,
    /// How many of those under examination call themselves gateways.
    gateways: usize,
    /// Those that do not call themselves gateways, and that nobody has examined yet.
    others: Vec<(Answer, IpAddr)>,
    /// Whether the others are examined too.
    others_due: bool,
    best: Option<Device>,
    /// Until when a better device may still come.
    grace: Option<Instant>,
    /// What was wrong with the last gateway.
    failure: Option<PortMappingError>,
    /// The address that refused the search, if the search was sent to one host alone.
    refused: Option<SocketAddr>,
    /// Other devices that map no ports.
    useless: usize,
}

/// Whether the device calls itself a gateway, and what came of it.
type Examined = (bool, Result<Device, PortMappingError>);

impl<'a> Candidates<'a> {
    fn new(config: &'a UpnpConfig, caller: &'a Caller) -> Self {
        Self {
            config,
            caller,
            started: Instant::now(),
            seen: HashSet::new(),
            hosts: HashMap::new(),
            examined: JoinSet::new(),
            gateways: 0,
            others: Vec::new(),
            others_due: false,
            best: None,
            grace: None,
            failure: None,
            refused: None,
            useless: 0,
        }
    }

    /// Whether nothing better can come. Otherwise starts what is due. `over`: no more answers will come.
    fn decided(&mut self, over: bool) -> bool {
        // Anybody on the LAN can claim a public address; only the default gateway is believed without a second look.
        let best = self.best.as_ref();
        if best.is_some_and(|device| device.rank() == Rank::Public && device.responder == self.config.gateway) {
            return true;
        }
        if over || self.others_due {
            for (answer, from) in std::mem::take(&mut self.others) {
                self.examine(answer, from);
            }
        }
        // Devices that do not call themselves gateways are not waited for after the search has ended.
        let waiting = if self.refused.is_some() { !self.examined.is_empty() } else { self.gateways > 0 };
        over && !waiting
    }

    fn heard(&mut self, found: Found) {
        match found {
            Found::Answer(answer, from) if !answer.trusted(from) => {
                tracing::debug!(%from, location = %answer.location, "ssdp answer leads elsewhere: ignored");
                self.failure.get_or_insert_with(|| {
                    PortMappingError::unavailable(format!(
                        "the upnp answer of {from} leads to {}, which is not that host",
                        answer.location
                    ))
                });
            }
            Found::Answer(answer, from) if answer.names_a_gateway() || self.others_due => self.examine(answer, from),
            Found::Answer(answer, from) => {
                if self.others.len() < MAX_DESCRIPTIONS {
                    self.others.push((answer, from));
                }
            }
            Found::Refused(address) => self.refused = Some(address),
            Found::Nothing => {}
        }
    }

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

    /// Takes what an examination brought. Fails with `internal` if it panicked.
    fn learned(&mut self, examined: Result<Examined, JoinError>, ssdp: &mut Search) -> Result<(), PortMappingError> {
        let (gateway, outcome) =
            examined.map_err(|error| PortMappingError::internal(format!("upnp search: {error}")))?;
        self.gateways -= usize::from(gateway);
        match outcome {
            Ok(device) => {
                ssdp.hush();
                self.grace.get_or_insert_with(|| Instant::now() + UPNP_BETTER_DEVICE_GRACE);
                self.best = Some(better(self.best.take(), device, self.config.gateway));
            }
            Err(error) => {
                tracing::debug!(error = %error.message(), gateway, "not usable");
                // What is wrong with a television says nothing about the gateway.
                if gateway {
                    self.failure = Some(error);
                } else {
                    self.useless += 1;
                }
            }
        }
        Ok(())
    }

    fn outcome(self) -> Result<Device, PortMappingError> {
        if let Some(device) = self.best {
            return Ok(device);
        }
        Err(if let Some(failure) = self.failure {
            failure
        } else if let Some(address) = self.refused {
            PortMappingError::unavailable(format!("no upnp at {address}: port refused"))
        } else if self.started.elapsed() >= UPNP_SEARCH_DEADLINE {
            PortMappingError::timeout(format!(
                "the upnp gateway did not describe itself within {} s",
                UPNP_SEARCH_DEADLINE.as_secs_f64()
            ))
        } else {
            PortMappingError::unavailable(format!(
                "no upnp gateway answered the search within {} s{}",
                SSDP_DEADLINE.as_secs_f64(),
                match self.useless {
                    0 => String::new(),
                    useless => format!(", only devices that map no ports ({useless})"),
                }
            ))
        })
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
            udn: description.udn.clone(),
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
