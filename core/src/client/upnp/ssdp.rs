//! SSDP: the search for UPnP devices (UPnP Device Architecture 1.1, section 1.3; over IPv6 annex A).

mod message;
mod sockets;

use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};
use url::Url;

use self::message::message;
use self::sockets::{LINK_GROUP, SITE_GROUP, local_address, open};
use super::config::UpnpConfig;
use super::http::{scoped, shown};
use super::soap::BY_UPNP;
use crate::client::trace;
use crate::client::udp::{cut_short, is_refusal, receive};
use crate::config::SSDP_ADDRESS;
use crate::error::PortMappingError;
use crate::escape::Escaped;
use crate::event_text::Millis;
use crate::schedule::{SSDP_DEADLINE, SSDP_LATE_DEADLINE, SSDP_REFUSED_GRACE, SSDP_REPEATS};

pub(crate) use self::message::{Answer, parse_response};
pub(super) use self::message::{MAX_DATAGRAM, boot_id, headers, location_of, text, udn_of};
pub(super) use self::sockets::{is_elsewhere, open_group, open_group_v6};

/// What is searched for: the gateway devices, the services that map ports, and, for routers that answer to
/// nothing else, every root device.
pub(super) const TARGETS: [&str; 6] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
    "upnp:rootdevice",
];
/// The same for what opens IPv6 pinholes.
pub(super) const PINHOLE_TARGETS: [&str; 4] = [
    "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "upnp:rootdevice",
];
/// Receive errors (Windows reports an ICMP refusal this way) after which the socket counts as broken.
pub(super) const MAX_RECEIVE_ERRORS: u32 = 64;
/// Answers that one search tells the log at DEBUG: anybody can send more.
const MAX_TOLD: usize = 64;

/// A search that is going on. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Search {
    socket: UdpSocket,
    /// The interface whose link-local addresses count; 0 over IPv4.
    scope: u32,
    targets: &'static [&'static str],
    /// Where the search is sent, without those who have refused it.
    destinations: Vec<SocketAddr>,
    /// A connected socket to the one host that is asked directly: the system reports its refusal there.
    sentinel: Option<(UdpSocket, SocketAddr)>,
    /// Whether the sentinel was refused, and nobody has been told yet.
    refused: bool,
    /// For how long answers are still waited for after a refusal.
    after_refusal: Duration,
    started: Instant,
    /// When the time is over.
    until: Instant,
    repeats: usize,
    errors: u32,
    over: bool,
    /// What the log was told of, if somebody listens.
    told: HashSet<Url>,
}

/// What a search comes upon.
#[derive(Debug)]
pub(super) enum Found {
    /// An answer, and who gave it.
    Answer(Answer, IpAddr),
    /// The time is over.
    Nothing,
    /// The gateway, or the only host that was asked, has no SSDP.
    Refused(SocketAddr),
}

/// Where a search goes.
#[derive(Debug)]
pub(super) struct Route {
    local: IpAddr,
    scope: u32,
    targets: &'static [&'static str],
    destinations: Vec<SocketAddr>,
    /// For how long answers are still waited for after the host that is asked directly has refused.
    after_refusal: Duration,
}

impl Route {
    /// From the configured address to the configured one, or to the multicast group and the gateway. The group, too, if only
    /// the gateway may be asked: many routers hear nothing else, and other hosts' answers are ignored.
    pub(super) fn new(config: &UpnpConfig) -> Self {
        let local = IpAddr::V4(local_address(config));
        let destinations = match config.ssdp_address {
            Some(address) => vec![address],
            None => vec![SSDP_ADDRESS, SocketAddr::new(config.gateway, SSDP_ADDRESS.port())],
        };
        let others_may_answer = !config.gateway_only && destinations.iter().any(|address| address.ip().is_multicast());
        let after_refusal = if others_may_answer { SSDP_REFUSED_GRACE } else { Duration::ZERO };
        Self { local, scope: 0, targets: &TARGETS, destinations, after_refusal }
    }

    /// Over IPv6, by one interface, for what opens pinholes. The system chooses the address for each destination, because a
    /// router answers a link-local one by its own, and that is what a default route has.
    pub(super) fn for_pinholes(config: &UpnpConfig, scope: u32) -> Self {
        let loopback = config.gateway.is_loopback();
        let local = IpAddr::V6(if loopback { Ipv6Addr::LOCALHOST } else { Ipv6Addr::UNSPECIFIED });
        let port = SSDP_ADDRESS.port();
        let router = scoped(SocketAddr::new(config.gateway, port), scope);
        let group = |group| SocketAddr::from(SocketAddrV6::new(group, port, 0, scope));
        let destinations = match config.ssdp_address {
            Some(address) => vec![scoped(address, scope)],
            // Without an interface the system would send it out of this machine.
            None if loopback && scope == 0 => vec![router],
            None => vec![group(LINK_GROUP), group(SITE_GROUP), router],
        };
        // A router that refuses the direct question has no other address for it: its answer to the groups is waited for.
        Self { local, scope, targets: &PINHOLE_TARGETS, destinations, after_refusal: SSDP_REFUSED_GRACE }
    }

    /// Over IPv4, for the same.
    pub(super) fn for_pinholes_by_ipv4(config: &UpnpConfig) -> Self {
        Self { targets: &PINHOLE_TARGETS, ..Self::new(config) }
    }
}

impl Search {
    /// Sends the first burst. Fails with kind `transport` where no socket can be had or nothing could be sent at all.
    pub(super) async fn start(route: Route) -> Result<Self, PortMappingError> {
        let Route { local, scope, targets, destinations, after_refusal } = route;
        let no_socket = |error| BY_UPNP.transport(format!("cannot open a socket on {local} for ssdp"), error);
        let socket = open(local, scope).map_err(no_socket)?;
        let sentinel = match destinations.iter().find(|address| !address.ip().is_multicast()) {
            Some(host) => {
                let socket = open(local, scope).map_err(no_socket)?;
                // Without a route there is nothing to watch; sending will tell.
                socket.connect(host).await.is_ok().then_some((socket, *host))
            }
            None => None,
        };
        let started = Instant::now();
        let mut search = Self {
            socket,
            scope,
            targets,
            destinations,
            sentinel,
            refused: false,
            after_refusal,
            started,
            until: started + SSDP_DEADLINE,
            repeats: 0,
            errors: 0,
            over: false,
            told: HashSet::new(),
        };
        search.burst().await.map_err(|error| {
            let to: Vec<_> = search.destinations.iter().map(ToString::to_string).collect();
            BY_UPNP.transport(format!("cannot send an ssdp search to {}", to.join(" or ")), error)
        })?;
        search.tell(format_args!("M-SEARCH sent to {:?}", search.destinations));
        Ok(search)
    }

    fn tell(&self, what: impl Display) {
        let since = Millis(self.started.elapsed());
        tracing::debug!(target: trace::TARGET, "{}", Escaped(format_args!("upnp ssdp: {what} ({since})")));
    }

    /// Tells of each location once: a device answers for each target and each repetition.
    fn tell_answer(&mut self, answer: &Answer, from: IpAddr) {
        if trace::is_heard() && self.told.len() < MAX_TOLD && self.told.insert(answer.location.clone()) {
            let (target, location) = (shown(&answer.target), shown(answer.location.as_str()));
            self.tell(format_args!("{from} answers: {target} at {location}"));
        }
    }

    /// Sends every target to every destination. An unreachable destination is no failure as long as one send works:
    /// without a multicast route there is still the gateway.
    async fn burst(&mut self) -> io::Result<()> {
        // First, because a host sends few refusals in a row (Linux six, and then one a second).
        if let Some((sentinel, host)) = &self.sentinel
            && let Err(error) = sentinel.send(message(*host, self.targets[0]).as_bytes()).await
        {
            // The refusal of an earlier message may be reported here.
            self.refused |= is_refusal(&error);
            tracing::debug!(%error, %host, "an ssdp search could not be sent");
        }
        let (mut sent, mut failure) = (0, None);
        for target in self.targets {
            for destination in &self.destinations {
                match self.socket.send_to(message(*destination, target).as_bytes(), destination).await {
                    Ok(_) => sent += 1,
                    Err(error) => failure = Some(error),
                }
            }
        }
        match failure {
            Some(error) if sent == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether nothing more will come.
    pub(super) const fn over(&self) -> bool {
        self.over
    }

    /// No more repeats: something usable was found.
    pub(super) const fn hush(&mut self) {
        self.repeats = SSDP_REPEATS.len();
    }

    /// Goes on with a search that is over, to hear late answers; nothing more is sent. `false`: none can come.
    pub(super) fn listen_on(&mut self) -> bool {
        self.hush();
        self.until = self.started + SSDP_LATE_DEADLINE;
        self.over = self.destinations.is_empty() || self.errors > MAX_RECEIVE_ERRORS;
        !self.over
    }

    /// Waits for the next answer, and repeats the search when that is due. Datagrams that are no answers are skipped.
    pub(super) async fn next(&mut self) -> Found {
        let (mut buffer, mut other) = ([0; MAX_DATAGRAM], [0; MAX_DATAGRAM]);
        loop {
            if std::mem::take(&mut self.refused)
                && let Some((_, host)) = self.sentinel.take()
            {
                self.destinations.retain(|to| *to != host);
                self.until = self.until.min(Instant::now() + self.after_refusal);
                self.over = self.after_refusal.is_zero();
                self.tell(format_args!("{host} refuses: port unreachable"));
                return Found::Refused(host);
            }
            let repeat = SSDP_REPEATS.get(self.repeats).map_or(self.until, |after| self.started + *after);
            let received = tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    // Another router, which happens to have the same address.
                    Ok((_, from)) if is_elsewhere(from, self.scope) => continue,
                    received => received.map(|(count, from)| (&buffer[..count], from.ip())),
                },
                received = recv(self.sentinel.as_ref(), &mut other) => match received {
                    Ok((count, from)) => Ok((&other[..count], from)),
                    Err(error) if is_refusal(&error) => {
                        self.refused = true;
                        continue;
                    }
                    Err(error) => Err(error),
                },
                () = sleep_until(repeat.min(self.until)) => {
                    if Instant::now() >= self.until {
                        self.over = true;
                        self.tell("no more answers");
                        return Found::Nothing;
                    }
                    self.repeats += 1;
                    tracing::trace!(to = ?self.destinations, "the ssdp search is repeated");
                    if let Err(error) = self.burst().await {
                        tracing::debug!(%error, "an ssdp search could not be repeated");
                    }
                    continue;
                }
            };
            match received {
                Ok((datagram, from)) => {
                    if let Some(answer) = parse_response(datagram) {
                        self.tell_answer(&answer, from);
                        return Found::Answer(answer, from);
                    }
                }
                // Longer than any answer.
                Err(error) if cut_short(&error) => {}
                Err(error) => {
                    tracing::debug!(%error, "an ssdp answer could not be received");
                    self.errors += 1;
                    if self.errors > MAX_RECEIVE_ERRORS {
                        self.over = true;
                        return Found::Nothing;
                    }
                }
            }
        }
    }
}

/// Receives on the sentinel, or waits for ever where there is none.
async fn recv(sentinel: Option<&(UdpSocket, SocketAddr)>, buffer: &mut [u8]) -> io::Result<(usize, IpAddr)> {
    match sentinel {
        Some((socket, host)) => receive(socket, buffer).await.map(|count| (count, host.ip())),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "ssdp_tests.rs"]
mod tests;
