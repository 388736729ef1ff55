//! SSDP: the search for UPnP devices (UPnP Device Architecture 1.1, section 1.3).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::config::UpnpConfig;
use super::http::{endpoint, shown};
use super::soap::BY_UPNP;
use crate::client::trace;
use crate::client::udp::{cut_short, is_refusal, receive};
use crate::config::SSDP_ADDRESS;
use crate::error::PortMappingError;
use crate::escape::Escaped;
use crate::event_text::Millis;
use crate::schedule::{SSDP_DEADLINE, SSDP_LATE_DEADLINE, SSDP_REFUSED_GRACE, SSDP_REPEATS};

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
/// Searches stay in the home: the default that UDA 1.1 1.3.2 recommends.
const MULTICAST_TTL: u32 = 2;
/// The longest datagram that is looked at.
pub(super) const MAX_DATAGRAM: usize = 4096;
/// Receive errors (Windows reports an ICMP refusal this way) after which the socket counts as broken.
pub(super) const MAX_RECEIVE_ERRORS: u32 = 64;
/// Answers that one search tells the log at DEBUG: anybody can send more.
const MAX_TOLD: usize = 64;

/// An answer to a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Where the device's description is.
    pub location: Url,
    /// What answered (`ST`); need not be what was searched for.
    pub target: String,
    /// The unique service name (`USN`), empty where none was given.
    pub usn: String,
    /// Another one after each restart of the device (`BOOTID.UPNP.ORG`); devices by UDA 1.0 have none.
    pub boot_id: Option<u32>,
}

impl Answer {
    /// Whether the description may be fetched: `http`, an IP literal, no credentials, and the responder's own
    /// address. Anybody on the network can answer a search, and must not be able to send us elsewhere.
    pub(crate) fn trusted(&self, responder: IpAddr) -> bool {
        endpoint(&self.location).is_some_and(|address| address.ip() == responder)
    }

    /// The UDN of the device that answers (`uuid:...`), empty where it is not told.
    pub(super) fn udn(&self) -> &str {
        udn_of(&self.usn)
    }

    /// Whether the answer itself says that it comes from a gateway. Others may still be one.
    pub(crate) fn names_a_gateway(&self) -> bool {
        ["InternetGatewayDevice", "WANIPConnection", "WANPPPConnection"]
            .iter()
            .any(|name| self.target.contains(name) || self.usn.contains(name))
    }
}

/// The UDN in a `USN`; empty where there is none.
pub(super) fn udn_of(usn: &str) -> &str {
    let udn = usn.split("::").next().unwrap_or_default();
    if udn.starts_with("uuid:") { udn } else { "" }
}

/// The part of a datagram that is looked at.
pub(super) fn text(datagram: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&datagram[..datagram.len().min(MAX_DATAGRAM)])
}

/// Names and values of the headers, up to the empty line.
pub(super) fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let named = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    named.map(|(name, value)| (name.trim(), value.trim()))
}

/// The value of `BOOTID.UPNP.ORG`: 31 bits by UDA 1.1 1.2.2, and some devices put the time of their start there.
pub(super) fn boot_id(value: &str) -> Option<u32> {
    value.parse().ok()
}

/// Reads an answer to a search; `None` for anything else. Header names in any case, lines that end in LF alone and
/// a missing empty line at the end are fine.
pub(crate) fn parse_response(datagram: &[u8]) -> Option<Answer> {
    let text = text(datagram);
    let mut lines = text.lines().map(str::trim);
    let mut status = lines.next()?.split_ascii_whitespace();
    let version = status.next()?;
    if !version.get(..5)?.eq_ignore_ascii_case("HTTP/") || status.next()? != "200" {
        return None;
    }
    let (mut location, mut target, mut usn, mut boot) = (None, String::new(), String::new(), None);
    for (name, value) in headers(lines) {
        if name.eq_ignore_ascii_case("LOCATION") {
            location = location.or_else(|| Url::parse(value).ok());
        } else if name.eq_ignore_ascii_case("ST") {
            target = value.to_owned();
        } else if name.eq_ignore_ascii_case("USN") {
            usn = value.to_owned();
        } else if name.eq_ignore_ascii_case("BOOTID.UPNP.ORG") {
            boot = boot_id(value);
        }
    }
    Some(Answer { location: location?, target, usn, boot_id: boot })
}

/// The search message, with the quotes around `ssdp:discover` and the empty line at the end that devices insist on.
fn message(host: SocketAddr, target: &str) -> String {
    format!("M-SEARCH * HTTP/1.1\r\nHOST: {host}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n")
}

/// A search that is going on. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Search {
    socket: UdpSocket,
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
    local: Ipv4Addr,
    destinations: Vec<SocketAddr>,
    /// For how long answers are still waited for after the host that is asked directly has refused.
    after_refusal: Duration,
}

impl Route {
    /// From the configured address to the configured one, or to the multicast group and the gateway. The group, too, if only
    /// the gateway may be asked: many routers hear nothing else, and other hosts' answers are ignored.
    pub(super) fn new(config: &UpnpConfig) -> Self {
        let local = local_address(config);
        let destinations = match config.ssdp_address {
            Some(address) => vec![address],
            None => vec![SSDP_ADDRESS, SocketAddr::new(config.gateway, SSDP_ADDRESS.port())],
        };
        let others_may_answer = !config.gateway_only && destinations.iter().any(|address| address.ip().is_multicast());
        let after_refusal = if others_may_answer { SSDP_REFUSED_GRACE } else { Duration::ZERO };
        Self { local, destinations, after_refusal }
    }
}

impl Search {
    /// Sends the first burst. Fails with kind `transport` where no socket can be had or nothing could be sent at all.
    pub(super) async fn start(route: Route) -> Result<Self, PortMappingError> {
        let Route { local, destinations, after_refusal } = route;
        let no_socket = |error| BY_UPNP.transport(format!("cannot open a socket on {local} for ssdp"), error);
        let socket = open(local).map_err(no_socket)?;
        let sentinel = match destinations.iter().find(|address| !address.ip().is_multicast()) {
            Some(host) => {
                let socket = open(local).map_err(no_socket)?;
                // Without a route there is nothing to watch; sending will tell.
                socket.connect(host).await.is_ok().then_some((socket, *host))
            }
            None => None,
        };
        let started = Instant::now();
        let mut search = Self {
            socket,
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
            && let Err(error) = sentinel.send(message(*host, TARGETS[0]).as_bytes()).await
        {
            // The refusal of an earlier message may be reported here.
            self.refused |= is_refusal(&error);
            tracing::debug!(%error, %host, "an ssdp search could not be sent");
        }
        let (mut sent, mut failure) = (0, None);
        for target in TARGETS {
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
                received = self.socket.recv_from(&mut buffer) => {
                    received.map(|(count, from)| (&buffer[..count], from.ip()))
                }
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

/// The address on whose interface SSDP is spoken.
fn local_address(config: &UpnpConfig) -> Ipv4Addr {
    match config.local_address {
        Some(IpAddr::V4(local)) => local,
        // A search for a gateway on this machine stays on this machine.
        _ if config.gateway.is_loopback() => Ipv4Addr::LOCALHOST,
        _ => Ipv4Addr::UNSPECIFIED,
    }
}

/// Receives on the sentinel, or waits for ever where there is none.
async fn recv(sentinel: Option<&(UdpSocket, SocketAddr)>, buffer: &mut [u8]) -> io::Result<(usize, IpAddr)> {
    match sentinel {
        Some((socket, host)) => receive(socket, buffer).await.map(|count| (count, host.ip())),
        None => std::future::pending().await,
    }
}

/// A UDP socket on `local` whose multicast leaves by that address's interface.
fn open(local: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_multicast_ttl_v4(MULTICAST_TTL)?;
    // Without it the group is asked by the interface of the default route, and the gateway all the same.
    if !local.is_unspecified()
        && let Err(error) = socket.set_multicast_if_v4(&local)
    {
        tracing::debug!(%error, %local, "the system chooses the interface of ssdp searches");
    }
    socket.bind(&SocketAddr::from((local, 0)).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// A socket that hears what devices announce, beside other programs that listen there.
pub(super) fn open_group(config: &UpnpConfig) -> io::Result<UdpSocket> {
    let IpAddr::V4(group) = SSDP_ADDRESS.ip() else { return Err(io::ErrorKind::Unsupported.into()) };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // Bound to the group, a socket is not woken by what is sent to this machine alone. Windows does not permit that.
    let address = if cfg!(windows) { Ipv4Addr::UNSPECIFIED } else { group };
    socket.bind(&SocketAddr::from((address, SSDP_ADDRESS.port())).into())?;
    socket.join_multicast_v4(&group, &local_address(config))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
#[path = "ssdp_tests.rs"]
mod tests;
