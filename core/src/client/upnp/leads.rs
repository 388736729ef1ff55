//! The descriptions that a search may fetch: whose come first, and how many.
//!
//! Anybody on the network can send answers in the gateway's name, so the gateway's are not counted but paced, and of those
//! that wait the newest goes first: a true answer is repeated, and gets its turn.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::Url;

use super::http::{at_host, endpoint};
use super::ssdp::Answer;
use crate::schedule::UPNP_DESCRIPTION_PACE;

/// Descriptions that one search fetches of hosts that are not the gateway.
const MAX_OF_OTHERS: usize = 16;
/// Descriptions that one search fetches of one host that is not the gateway, so that no host crowds out the others.
const MAX_OF_HOST: usize = 4;
/// Descriptions of the gateway that a search may fetch at once when it begins; later ones are paced.
const BURST_OF_GATEWAY: u32 = 4;
/// Descriptions of the gateway that one search fetches, however long it lasts.
const MAX_OF_GATEWAY: u32 = 64;
/// Descriptions that are fetched from one host at a time.
const MAX_AT_A_TIME: usize = 4;
/// The same for one port: one that accepts and says nothing must not hold up the others.
const MAX_AT_A_TIME_OF_PORT: usize = 2;
/// Answers that wait; older ones give way.
const MAX_WAITING: usize = 64;

/// A description that may be worth fetching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) location: Url,
    pub(super) from: IpAddr,
    /// Whether the device calls itself a gateway.
    pub(super) named: bool,
    udn: String,
    pub(super) boot_id: Option<u32>,
    /// Where the description is, if not at `location`.
    otherwise: Option<Url>,
}

impl Lead {
    pub(super) fn new(answer: Answer, from: IpAddr) -> Self {
        let (named, udn, boot_id) = (answer.names_a_gateway(), answer.udn().to_owned(), answer.boot_id);
        Self { named, udn, boot_id, from, location: answer.location, otherwise: None }
    }

    /// The same of a router that is asked at an address of its own, whatever the answer says: only port and path count. So nobody
    /// can lead us elsewhere. If nothing is there, it is asked where the answer says, if that is one of its addresses.
    pub(super) fn at_router(answer: Answer, router: IpAddr, is_its: impl FnOnce(IpAddr) -> bool) -> Option<Self> {
        let location = at_host(&answer.location, router)?;
        let told = endpoint(&answer.location).map(|address| address.ip());
        let otherwise = told.filter(|told| *told != router && is_its(*told)).map(|_| answer.location.clone());
        Some(Self { location, otherwise, ..Self::new(answer, router) })
    }

    /// What is left to try if nothing was at `location`.
    pub(super) fn otherwise(self) -> Option<Self> {
        let location = self.otherwise.clone()?;
        Some(Self { location, otherwise: None, ..self })
    }

    /// The description of a device that was used before. `None` where it is not on its `host`.
    pub(super) fn again(udn: &str, location: &Url, host: IpAddr, boot_id: Option<u32>) -> Option<Self> {
        let (location, udn) = (location.clone(), udn.to_owned());
        let trusted = endpoint(&location).is_some_and(|address| address.ip() == host);
        trusted.then_some(Self { location, from: host, named: true, udn, boot_id, otherwise: None })
    }

    fn port(&self) -> Option<SocketAddr> {
        endpoint(&self.location)
    }
}

/// Which descriptions wait, and which were fetched.
#[derive(Debug)]
pub(super) struct Leads {
    gateway: IpAddr,
    /// The newest last.
    waiting: Vec<Lead>,
    under_way: Vec<Lead>,
    followed: HashSet<Url>,
    of_hosts: HashMap<IpAddr, usize>,
}

impl Leads {
    pub(super) fn new(gateway: IpAddr) -> Self {
        Self { gateway, waiting: Vec::new(), under_way: Vec::new(), followed: HashSet::new(), of_hosts: HashMap::new() }
    }

    /// Takes an answer in. Of the locations that one device has named, only the last waits.
    pub(super) fn add(&mut self, lead: Lead) {
        if self.followed.contains(&lead.location)
            || self.waiting.iter().any(|other| other.location == lead.location && other.named >= lead.named)
        {
            return;
        }
        self.waiting.retain(|other| {
            let same_device = other.from == lead.from && other.udn == lead.udn && !lead.udn.is_empty();
            other.location != lead.location && !same_device
        });
        if self.waiting.len() >= MAX_WAITING {
            let oldest = self.waiting.iter().position(|other| other.from != self.gateway).unwrap_or(0);
            self.waiting.remove(oldest);
        }
        self.waiting.push(lead);
    }

    /// The next description to fetch, `elapsed` after the start of the search. Without `others` only of the gateway, if it
    /// calls itself one. [`done`](Self::done) ends what this begins.
    pub(super) fn next(&mut self, elapsed: Duration, others: bool) -> Option<Lead> {
        let rank = |lead: &Lead| (lead.from == self.gateway, lead.named);
        let due = |lead: &Lead| others || rank(lead) == (true, true);
        let candidates = self.waiting.iter().enumerate().filter(|(_, lead)| due(lead) && self.permits(lead, elapsed));
        let (position, _) = candidates.max_by_key(|(_, lead)| rank(lead))?;
        let lead = self.waiting.remove(position);
        self.followed.insert(lead.location.clone());
        *self.of_hosts.entry(lead.from).or_default() += 1;
        self.under_way.push(lead.clone());
        Some(lead)
    }

    fn permits(&self, lead: &Lead, elapsed: Duration) -> bool {
        let of_host = self.of_hosts.get(&lead.from).copied().unwrap_or(0);
        let number_permits = if lead.from == self.gateway {
            of_host < self.of_gateway_by(elapsed)
        } else {
            let of_others: usize =
                self.of_hosts.iter().filter(|(host, _)| **host != self.gateway).map(|(_, count)| count).sum();
            of_host < MAX_OF_HOST && of_others < MAX_OF_OTHERS
        };
        let of_this_host = self.under_way.iter().filter(|other| other.from == lead.from);
        let of_this_port = of_this_host.clone().filter(|other| other.port() == lead.port());
        number_permits && of_this_host.count() < MAX_AT_A_TIME && of_this_port.count() < MAX_AT_A_TIME_OF_PORT
    }

    fn of_gateway_by(&self, elapsed: Duration) -> usize {
        let paced = elapsed.as_nanos() / UPNP_DESCRIPTION_PACE.as_nanos();
        let paced = u32::try_from(paced).unwrap_or(u32::MAX);
        BURST_OF_GATEWAY.saturating_add(paced).min(MAX_OF_GATEWAY) as usize
    }

    /// The description was fetched, or not to be had.
    pub(super) fn done(&mut self, lead: &Lead) {
        if let Some(position) = self.under_way.iter().position(|other| other == lead) {
            self.under_way.swap_remove(position);
        }
    }

    /// Whether more of the gateway's descriptions may be fetched soon, if there are such.
    pub(super) fn paced(&self) -> bool {
        let of_gateway = self.of_hosts.get(&self.gateway).copied().unwrap_or(0);
        of_gateway < MAX_OF_GATEWAY as usize && self.waiting.iter().any(|lead| lead.from == self.gateway)
    }

    /// Whether a description of the gateway is being fetched.
    pub(super) fn gateway_under_way(&self) -> bool {
        self.under_way.iter().any(|lead| lead.from == self.gateway)
    }

    /// Whether a description of a device that calls itself a gateway is being fetched.
    pub(super) fn named_under_way(&self) -> bool {
        self.under_way.iter().any(|lead| lead.named)
    }

    /// Whether any description is being fetched.
    pub(super) fn any_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }
}

#[cfg(test)]
#[path = "leads_tests.rs"]
mod tests;
