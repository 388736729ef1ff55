//! From an SSDP search to the devices that can be asked: descriptions are fetched as answers come in, and the devices are
//! put in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::config::UpnpConfig;
use super::description::Service;
use super::device::Device;
use super::examine::examine;
use super::http::shown;
use super::leads::{Lead, Leads};
use super::soap::{BY_UPNP, Caller};
use super::sought::{Sought, is_global_on_link, on_link};
use super::ssdp::{Answer, Found, Route, Search};
use crate::error::PortMappingError;
use crate::net::route::{Network, network_of};
use crate::schedule::{
    SSDP_DEADLINE, UPNP_BETTER_DEVICE_GRACE, UPNP_DESCRIPTION_PACE, UPNP_LATE_SEARCH_DEADLINE,
    UPNP_OTHER_DEVICES_AFTER, UPNP_SEARCH_DEADLINE,
};

/// A search for the gateway that is going on. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Hunt {
    config: UpnpConfig,
    caller: Caller,
    /// Whether every device is waited for, and not only the gateway.
    thorough: bool,
    /// Services that have refused for good: no reason to end the search.
    refusers: Vec<Service>,
    sought: Sought,
    ssdp: Search,
    /// The search for the same router over IPv4, and its address there.
    by_ipv4: Option<(Search, IpAddr)>,
    /// Whether that is still to be tried.
    by_ipv4_left: bool,
    started: Instant,
    deadline: Duration,
    /// When no more answers were waited for.
    over: Option<Instant>,
    /// The network, once it was looked up; who answers from elsewhere is ignored.
    network: Option<Option<Network>>,
    leads: Leads,
    examined: JoinSet<Examined>,
    found: Vec<Device>,
    /// What was wrong with the last device that called itself a gateway, and whether it was the gateway.
    failure: Option<(bool, PortMappingError)>,
    /// The address that refused the search.
    refused: Option<SocketAddr>,
    /// Other devices that map no ports.
    useless: usize,
    /// Answers of others where only the gateway may be asked.
    ignored: usize,
}

/// What came of a description.
type Examined = (Lead, Result<Device, PortMappingError>);

impl Hunt {
    /// Begins a search. Fails with `invalid` if ports are to be mapped at a gateway that is not IPv4, and `transport` if nothing
    /// could be sent.
    pub(super) async fn start(
        config: &UpnpConfig,
        sought: &Sought,
        caller: &Caller,
        refusers: Vec<Service>,
    ) -> Result<Self, PortMappingError> {
        let route = match sought {
            Sought::Ports if config.gateway.is_ipv6() => {
                return Err(PortMappingError::invalid("gateway", "upnp maps ports of ipv4 gateways only"));
            }
            Sought::Ports => Route::new(config),
            Sought::Pinholes(_) => Route::for_pinholes(config, caller.scope),
        };
        Ok(Self {
            ssdp: Search::start(route).await?,
            by_ipv4: None,
            by_ipv4_left: matches!(sought, Sought::Pinholes(_)),
            sought: sought.clone(),
            config: config.clone(),
            caller: caller.clone(),
            refusers,
            thorough: false,
            started: Instant::now(),
            deadline: UPNP_SEARCH_DEADLINE,
            over: None,
            network: None,
            leads: Leads::new(config.gateway),
            examined: JoinSet::new(),
            found: Vec::new(),
            failure: None,
            refused: None,
            useless: 0,
            ignored: 0,
        })
    }

    /// Has [`run`](Self::run) wait for every device that answers.
    pub(super) fn thorough(mut self) -> Self {
        self.thorough = true;
        self
    }

    /// Searches until the default gateway is found to be usable, or the time is over. Any device can claim to be connected
    /// and to have a public address, so no other one ends the search.
    ///
    /// Fails with `unavailable` if nothing answered or nothing that answered maps ports, `timeout` if no description
    /// came, or with the gateway's own failure. Otherwise gives all devices that map ports, best first: those that have not
    /// refused for good, of them the gateway's, then by rank.
    pub(super) async fn run(&mut self) -> Result<Vec<Arc<Device>>, PortMappingError> {
        loop {
            self.follow();
            self.search_by_ipv4().await;
            if self.decided() {
                break;
            }
            let next_look = self.next_look();
            tokio::select! {
                found = self.ssdp.next(), if !self.ssdp.over() => self.heard(found),
                found = next(&mut self.by_ipv4) => self.heard_by_ipv4(found),
                Some(examined) = self.examined.join_next() => self.learned(examined)?,
                () = sleep_until(next_look) => {}
            }
        }
        if self.found.is_empty() {
            return Err(self.failure());
        }
        let mut found = std::mem::take(&mut self.found);
        let value =
            |device: &Device| (!self.refusers.contains(&device.service), self.is_gateway(device), device.rank());
        found.sort_by_key(|device| std::cmp::Reverse(value(device)));
        Ok(found.into_iter().map(Arc::new).collect())
    }

    /// Prepares to [`run`](Self::run) on and hear late answers. `false`: there will be none.
    pub(super) fn go_on(&mut self) -> bool {
        self.over = None;
        self.deadline = UPNP_LATE_SEARCH_DEADLINE;
        let by_ipv4 = self.by_ipv4.as_mut().is_some_and(|(search, _)| search.listen_on());
        self.ssdp.listen_on() || by_ipv4
    }

    /// Asks over IPv4 too if nothing usable has answered over IPv6 for a while: many routers describe their IPv6 firewall, and
    /// are searched for over IPv4 alone.
    async fn search_by_ipv4(&mut self) {
        let due = self.ssdp.over() || self.started.elapsed() >= UPNP_OTHER_DEVICES_AFTER;
        let needed = self.found.is_empty() && !self.leads.gateway_under_way();
        if !self.by_ipv4_left || !due || !needed {
            return;
        }
        self.by_ipv4_left = false;
        let Sought::Pinholes(way) = &self.sought else { return };
        let Some(config) = way.look_up() else { return };
        match Search::start(Route::for_pinholes_by_ipv4(&config)).await {
            Ok(search) => self.by_ipv4 = Some((search, config.gateway)),
            Err(error) => tracing::debug!(error = %error.message(), "no search over ipv4"),
        }
    }

    /// Whether no more answers are waited for.
    fn searched(&self) -> bool {
        let by_ipv4 = self.by_ipv4.as_ref().is_some_and(|(search, _)| !search.over());
        self.ssdp.over() && !by_ipv4 && !(self.by_ipv4_left && self.found.is_empty())
    }

    fn is_gateway(&self, device: &Device) -> bool {
        device.responder == self.config.gateway
    }

    /// Whether nothing better than this device can come: it is the gateway, not known to be disconnected, and has not refused.
    pub(super) fn ends_with(&self, device: &Device) -> bool {
        !self.thorough
            && self.is_gateway(device)
            && device.connected != Some(false)
            && !self.refusers.contains(&device.service)
    }

    fn others_due(&self) -> bool {
        self.searched() || self.started.elapsed() >= UPNP_OTHER_DEVICES_AFTER
    }

    /// Fetches the descriptions that are due. The work ends with this struct.
    fn follow(&mut self) {
        let others = self.others_due();
        while let Some(lead) = self.leads.next(self.started.elapsed(), others) {
            let (caller, started) = (self.caller.clone(), self.started);
            let wanted = self.sought.wanted(lead.from == self.config.gateway);
            self.examined.spawn(async move {
                let outcome = examine(&lead, wanted, &caller, started).await;
                (lead, outcome)
            });
        }
    }

    /// Whether nothing better can come.
    fn decided(&mut self) -> bool {
        if self.started.elapsed() >= self.deadline || self.found.iter().any(|device| self.ends_with(device)) {
            return true;
        }
        if !self.searched() {
            return false;
        }
        let over = *self.over.get_or_insert_with(Instant::now);
        if self.leads.gateway_under_way() || self.leads.paced() {
            return false;
        }
        if !self.found.is_empty() {
            return !self.leads.named_under_way() || over.elapsed() >= UPNP_BETTER_DEVICE_GRACE;
        }
        // Others that do not call themselves gateways are not waited for, unless nothing else is left.
        let others = self.refused.is_some() && self.leads.any_under_way();
        !others && !self.leads.named_under_way()
    }

    /// When something is due that no answer announces.
    fn next_look(&self) -> Instant {
        let mut look = self.started + self.deadline;
        if !self.others_due() {
            look = look.min(self.started + UPNP_OTHER_DEVICES_AFTER);
        }
        if self.leads.paced() {
            look = look.min(Instant::now() + UPNP_DESCRIPTION_PACE);
        }
        let gateway_waited_for = self.leads.gateway_under_way() || self.leads.paced();
        if let Some(over) = self.over.filter(|_| !self.found.is_empty() && !gateway_waited_for) {
            look = look.min(over + UPNP_BETTER_DEVICE_GRACE);
        }
        look
    }

    fn heard(&mut self, found: Found) {
        match found {
            Found::Answer(answer, from) if matches!(self.sought, Sought::Pinholes(_)) => {
                self.router_heard(answer, from)
            }
            Found::Answer(_, from) if !self.may_answer(from) => {}
            Found::Answer(answer, from) if !answer.trusted(from) => self.leads_elsewhere(&answer, from),
            Found::Answer(answer, from) => self.leads.add(Lead::new(answer, from)),
            Found::Refused(address) => self.refused = Some(address),
            Found::Nothing => {}
        }
    }

    /// Takes the answer of a router that may open pinholes: by the address at which it is asked, or by a global one, which any
    /// host on the link may have. So what is asked is always the default router, and all that a gateway's answer by another
    /// address can do is to name a port and a path of it. Only the router itself can name another address, and only on the link.
    fn router_heard(&mut self, answer: Answer, from: IpAddr) {
        let (router, local) = (self.config.gateway, self.config.local_address);
        let itself = from == router;
        let may_be = !self.config.gateway_only && is_global_on_link(from, local) && answer.names_a_gateway();
        if !itself && !may_be {
            tracing::debug!(%from, "ssdp answer of another host: ignored");
            self.ignored += 1;
            return;
        }
        let others_may_be_asked = itself && !self.config.gateway_only;
        self.add_lead(answer, |told| others_may_be_asked && on_link(told, local));
    }

    /// The same over IPv4: what it says of port and path holds at the router's IPv6 address too.
    fn heard_by_ipv4(&mut self, found: Found) {
        if let (Found::Answer(answer, from), Some((_, router))) = (found, &self.by_ipv4)
            && from == *router
            && answer.trusted(from)
        {
            self.add_lead(answer, |_| false);
        }
    }

    fn add_lead(&mut self, answer: Answer, is_its: impl FnOnce(IpAddr) -> bool) {
        match Lead::at_router(answer, self.config.gateway, is_its) {
            Some(lead) => self.leads.add(lead),
            None => self.ignored += 1,
        }
    }

    /// Whether an answer of this host counts: the gateway's, and, unless only the gateway may be asked, that of the
    /// configured host and of the neighbours. An answer from elsewhere was forged, or sent through a router.
    fn may_answer(&mut self, from: IpAddr) -> bool {
        if from == self.config.gateway {
            return true;
        }
        if self.config.gateway_only {
            self.ignored += 1;
            return false;
        }
        let (gateway, local) = (self.config.gateway, self.config.local_address);
        // Looked up only when another host answers, because it takes the system a while.
        let network = *self.network.get_or_insert_with(|| network_of(gateway, local));
        let may = self.config.ssdp_address.is_some_and(|address| address.ip() == from)
            || network.is_some_and(|network| network.contains(from));
        if !may {
            tracing::debug!(%from, "ssdp answer from outside the network: ignored");
        }
        may
    }

    fn leads_elsewhere(&mut self, answer: &Answer, from: IpAddr) {
        let location = shown(answer.location.as_str());
        tracing::debug!(%from, location, "ssdp answer leads elsewhere: ignored");
        if self.failure.is_none() {
            let why = format!("the upnp answer of {from} leads to {location}, which is not that host");
            self.fail(from, BY_UPNP.unavailable(why));
        }
    }

    /// Keeps a failure for the user; the gateway's says more than another's.
    fn fail(&mut self, host: IpAddr, error: PortMappingError) {
        let gateway = host == self.config.gateway;
        if self.failure.as_ref().is_none_or(|(known, _)| gateway || !known) {
            self.failure = Some((gateway, error));
        }
    }

    /// Takes what an examination brought. Fails with `internal` if it panicked.
    fn learned(&mut self, examined: Result<Examined, JoinError>) -> Result<(), PortMappingError> {
        let (lead, outcome) = examined.map_err(|error| PortMappingError::internal(format!("upnp search: {error}")))?;
        self.leads.done(&lead);
        match outcome {
            Ok(device) => {
                if self.is_gateway(&device) && !self.thorough {
                    self.ssdp.hush();
                    self.by_ipv4_left = false;
                    if let Some((search, _)) = &mut self.by_ipv4 {
                        search.hush();
                    }
                }
                if !self.found.iter().any(|known| known.service == device.service) {
                    self.found.push(device);
                }
            }
            Err(error) => {
                tracing::debug!(error = %error.message(), gateway = lead.named, "a device that was found is not usable");
                // What is wrong with a television says nothing about the gateway.
                if lead.named {
                    self.fail(lead.from, error);
                } else {
                    self.useless += 1;
                }
                if let Some(lead) = lead.otherwise() {
                    self.leads.add(lead);
                }
            }
        }
        Ok(())
    }

    fn failure(&self) -> PortMappingError {
        if let Some((_, failure)) = &self.failure {
            failure.clone()
        } else if let Some(address) = self.refused {
            // The number of the interface behind a link-local one says nothing to people.
            let address = SocketAddr::new(address.ip(), address.port());
            BY_UPNP.unavailable(format!("no upnp at {address}: port refused"))
        } else if self.started.elapsed() >= self.deadline {
            BY_UPNP
                .timeout(format!("the upnp gateway did not describe itself within {} s", self.deadline.as_secs_f64()))
        } else {
            let others = match (self.useless, self.ignored) {
                (0, 0) => String::new(),
                (0, _) => format!(
                    ", only other hosts, which are not asked because the gateway is set to {}",
                    self.config.gateway
                ),
                (useless, _) => match self.sought {
                    Sought::Ports => format!(", only devices that map no ports ({useless})"),
                    Sought::Pinholes(_) => format!(", only devices that open no ipv6 ports ({useless})"),
                },
            };
            let within = SSDP_DEADLINE.as_secs_f64();
            BY_UPNP.unavailable(format!("no upnp gateway answered the search within {within} s{others}"))
        }
    }
}

/// Waits for what a search comes upon, or for ever if there is none, or it is over.
async fn next(search: &mut Option<(Search, IpAddr)>) -> Found {
    match search {
        Some((search, _)) if !search.over() => search.next().await,
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "hunt_tests.rs"]
mod tests;
