//! Listens to what the devices that hold our mappings announce: after a restart the mappings are gone, and the next renewal
//! may be half an hour away.
//!
//! Anybody on the network can forge an announcement. So it counts only if the sender's address is that of the device, it
//! leads nowhere but to that address, and what it causes is harmless: a look at the description, and one renewal a minute.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use super::UpnpMapper;
use super::device::Device;
use super::examine::examine_if;
use super::http::at_host;
use super::leads::Lead;
use super::ledger::Holder;
use super::notify;
use super::presence::{Doubt, Presence};
use super::sought::{Sought, is_global_on_link};
use super::ssdp::{self, MAX_DATAGRAM, MAX_RECEIVE_ERRORS};
use crate::client::udp::cut_short;
use crate::schedule::{RECOVERY_PACE, UPNP_LOOK_AGAIN_DEADLINE};

/// A device whose mappings are in doubt.
#[derive(Debug)]
struct Doubtful {
    udn: String,
    host: IpAddr,
    /// Where it has announced its description, and with which BOOTID. `None`: it was found by a search just now.
    announced: Option<(Url, Option<u32>)>,
}

/// What is listened to, and what was heard.
#[derive(Debug)]
struct Attendant<'a> {
    mapper: &'a UpnpMapper,
    socket: Option<UdpSocket>,
    errors: u32,
    holders: Vec<Holder>,
    presences: HashMap<String, Presence>,
    doubtful: Vec<Doubtful>,
    /// When the leases may be told of the next doubt.
    next: Instant,
}

impl UpnpMapper {
    /// Listens to announcements while there is a mapping to lose. Never ends; to be polled for as long as the mapper lives.
    pub(crate) async fn attend(&self) -> Infallible {
        match self.finder.sought {
            Sought::Ports => self.attend_on(|| ssdp::open_group(&self.finder.config)).await,
            Sought::Pinholes(_) => self.attend_on(|| ssdp::open_group_v6(self.caller.scope)).await,
        }
    }

    pub(super) async fn attend_on(&self, open: impl Fn() -> io::Result<UdpSocket> + Send + Sync) -> Infallible {
        let mut held = self.ledger.changes();
        let mut next = Instant::now();
        loop {
            held.borrow_and_update();
            let holders = self.ledger.holders();
            if holders.is_empty() {
                // The ledger lives as long as this struct does.
                let _ = held.changed().await;
                continue;
            }
            let socket = open()
                .inspect_err(|error| tracing::debug!(%error, "cannot listen to ssdp announcements: going on without"))
                .ok();
            let (presences, doubtful) = (HashMap::new(), Vec::new());
            let mut attendant = Attendant { mapper: self, socket, errors: 0, holders, presences, doubtful, next };
            attendant.listen().await;
            next = attendant.next;
        }
    }

    /// Waits until a device that holds a mapping has announced something that puts its mappings in doubt. Ends once for each
    /// such announcement; one that came before anybody waits is not missed.
    pub(crate) async fn restarted(&self) {
        self.restarts.notified().await;
    }

    /// Looks whether the device is where it says it is, so that the renewals find it there.
    async fn look_again(&self, Doubtful { udn, host, announced }: &Doubtful) {
        let Some((location, boot_id)) = announced else { return };
        let Some(lead) = Lead::again(udn, location, *host, *boot_id) else { return };
        let wanted = self.finder.sought.wanted(*host == self.finder.config.gateway);
        let look = examine_if(&lead, wanted, &self.caller, Instant::now(), |description| {
            (description.udn == *udn).then_some(()).ok_or_else(|| format!("it is not {udn}"))
        });
        match timeout(UPNP_LOOK_AGAIN_DEADLINE, look).await {
            Ok(Ok(device)) => self.finder.found_again(device),
            Ok(Err(error)) => tracing::debug!(error = %error.message(), "the device is not where it says it is"),
            Err(_) => tracing::debug!(%location, "the device does not describe itself yet"),
        }
    }
}

impl Attendant<'_> {
    /// Listens until nothing is held any more.
    async fn listen(&mut self) {
        let mut held = self.mapper.ledger.changes();
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            held.borrow_and_update();
            self.holders = self.mapper.ledger.holders();
            if self.holders.is_empty() {
                return;
            }
            self.note_found();
            let run_out = self.holders.iter().filter_map(|holder| holder.until).min();
            loop {
                let due = (!self.doubtful.is_empty()).then_some(self.next);
                tokio::select! {
                    received = receive(self.socket.as_ref(), &mut buffer) => match received {
                        Ok((length, from)) => {
                            self.errors = 0;
                            self.hear(&buffer[..length], from);
                        }
                        Err(error) if cut_short(&error) => {}
                        Err(error) => self.failed(&error),
                    },
                    _ = held.changed() => break,
                    () = until(run_out) => break,
                    () = until(due) => self.tell().await,
                }
            }
        }
    }

    /// What searches have found since the last time: a lease that finds the device elsewhere has met a restart.
    fn note_found(&mut self) {
        let holds = |udn: &str| self.holders.iter().any(|holder| holder.udn == udn);
        self.presences.retain(|udn, _| holds(udn));
        self.doubtful.retain(|doubtful| holds(&doubtful.udn));
        let pinholes = self.pinholes();
        for holder in self.holders.clone() {
            let presence = self.presences.entry(holder.udn.clone()).or_default();
            let is_there = |device: &Arc<Device>| pinholes || device.responder == holder.host;
            let device = self.mapper.finder.named(&holder.udn).filter(is_there);
            if let Some(doubt) = device.and_then(|device| presence.found(&device)) {
                self.doubt(&holder, doubt, None);
            }
        }
    }

    fn pinholes(&self) -> bool {
        matches!(self.mapper.finder.sought, Sought::Pinholes(_))
    }

    /// Whether the sender may be the router that opens pinholes, which announces itself by the address at which it is asked, or by a
    /// global one on the link.
    fn is_router(&self, from: SocketAddr) -> bool {
        let UpnpMapper { finder, caller, .. } = self.mapper;
        let config = &finder.config;
        let known =
            from.ip() == config.gateway || (!config.gateway_only && is_global_on_link(from.ip(), config.local_address));
        self.pinholes() && known && !ssdp::is_elsewhere(from, caller.scope)
    }

    fn hear(&mut self, datagram: &[u8], from: SocketAddr) {
        let router = self.is_router(from);
        let is_at = |holder: &&Holder| router || holder.host == from.ip();
        // Anybody may flood the group: what is of no use is not even read.
        if !self.holders.iter().any(|holder| is_at(&holder)) {
            return;
        }
        let Some(mut said) = notify::parse(datagram).filter(|said| router || said.trusted(from.ip())) else { return };
        let holder = self.holders.iter().filter(is_at).find(|holder| holder.udn == said.udn());
        let Some(holder) = holder.cloned() else { return };
        if router && let Some(location) = &mut said.location {
            // It is asked at the address at which it is known.
            let Some(there) = at_host(location, holder.host) else { return };
            *location = there;
        }
        let presence = self.presences.entry(holder.udn.clone()).or_default();
        if let Some(doubt) = presence.hear(&said, Instant::now()) {
            self.doubt(&holder, doubt, said.location.map(|location| (location, said.boot_id)));
        }
    }

    fn doubt(&mut self, holder: &Holder, doubt: Doubt, announced: Option<(Url, Option<u32>)>) {
        tracing::debug!(udn = holder.udn, host = %holder.host, ?doubt, "the mappings of this device may be gone");
        self.mapper.ledger.restarted(&holder.udn);
        self.doubtful.retain(|known| known.udn != holder.udn);
        self.doubtful.push(Doubtful { udn: holder.udn.clone(), host: holder.host, announced });
    }

    /// Looks where the devices are by now, and tells the leases.
    async fn tell(&mut self) {
        for doubtful in std::mem::take(&mut self.doubtful) {
            self.mapper.look_again(&doubtful).await;
        }
        self.mapper.restarts.notify_one();
        self.next = Instant::now() + RECOVERY_PACE;
    }

    /// A socket that fails again and again is given up.
    fn failed(&mut self, error: &io::Error) {
        tracing::debug!(%error, "an ssdp announcement could not be received");
        self.errors += 1;
        if self.errors > MAX_RECEIVE_ERRORS {
            self.socket = None;
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// Waits until then, or for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
