//! The state of a running gateway, shared by its listeners and by the caller's threads.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, watch};

use crate::faults::count_down;
use crate::forward::Forwarder;
use crate::pinhole::{Pinholes, Prefix};
use crate::side::Side;
use crate::ssdp::Heard;
use crate::table::Table;
use crate::{Addresses, Counters, Event, Faults, GatewayConfig, GatewayState, Mapping, Mode, Protocol};

/// The address that the `cgnat` switch tells: in 100.64.0.0/10 (RFC 6598).
const CGNAT_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
/// Events kept for a receiver that does not read; then events are lost for it.
pub(crate) const EVENT_QUEUE: usize = 65_536;
/// Searches of a neighbour that wait to be heard.
const SEARCH_QUEUE: usize = 256;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) runtime: Handle,
    state: Mutex<State>,
    changed: Condvar,
    /// Counts changes, for waiters in async code.
    pub(crate) version: watch::Sender<u64>,
    /// Wakes whoever waits for the next expiry: it may have moved.
    pub(crate) expiry_moved: Notify,
    settling: tokio::sync::Mutex<()>,
    /// Whose turn it is at the processor, and in the web server, first come first served.
    processor: tokio::sync::Mutex<()>,
    web_server: tokio::sync::Mutex<()>,
    /// The searches that other gateways of the same LAN pass on.
    pub(crate) searches: broadcast::Sender<Heard>,
}

/// Ends a turn when it is dropped.
pub(crate) type Turn<'a> = Option<tokio::sync::MutexGuard<'a, ()>>;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) table: Table,
    pub(crate) pinholes: Pinholes,
    /// The only addresses inside that the firewall for IPv6 serves; `None` until the inside is renumbered.
    pub(crate) inside: Option<Prefix>,
    pub(crate) addresses: Addresses,
    pub(crate) external: Option<Ipv4Addr>,
    epoch_base: u32,
    /// Counts the starts of the router: UPnP's BOOTID.
    pub(crate) boots: u32,
    pub(crate) up_since: Instant,
    rng: StdRng,
    subscribers: Vec<SyncSender<Event>>,
    /// Where other gateways of the same LAN hear searches.
    pub(crate) neighbours: Vec<broadcast::Sender<Heard>>,
}

impl Shared {
    pub(crate) fn new(config: GatewayConfig, runtime: Handle, addresses: Addresses) -> Self {
        let state = State {
            faults: config.faults.clone(),
            counters: Counters::default(),
            table: Table::default(),
            pinholes: Pinholes::default(),
            inside: None,
            addresses,
            external: config.external_address,
            epoch_base: config.epoch,
            boots: 1,
            up_since: Instant::now(),
            rng: StdRng::seed_from_u64(config.seed),
            subscribers: Vec::new(),
            neighbours: Vec::new(),
        };
        Self {
            config,
            runtime,
            state: Mutex::new(state),
            changed: Condvar::new(),
            version: watch::Sender::new(0),
            expiry_moved: Notify::new(),
            settling: tokio::sync::Mutex::new(()),
            processor: tokio::sync::Mutex::new(()),
            web_server: tokio::sync::Mutex::new(()),
            searches: broadcast::Sender::new(SEARCH_QUEUE),
        }
    }

    /// The state, with what has run out already taken out.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.expire(&mut state);
        state
    }

    fn expire(&self, state: &mut State) {
        let now = Instant::now();
        let mut expired = state.table.expire(now);
        for id in state.pinholes.expired(now) {
            if let Some((view, forwarder)) = state.pinholes.remove(id) {
                state.table.closing.push(forwarder);
                expired.push(Event::Expired(view));
            }
        }
        if expired.is_empty() {
            return;
        }
        for event in expired {
            state.emit(event);
        }
        self.notify();
    }

    /// Wakes everybody who waits for a change.
    fn notify(&self) {
        self.changed.notify_all();
        self.version.send_modify(|version| *version = version.wrapping_add(1));
        self.expiry_moved.notify_one();
    }

    /// Runs `work` on the state and wakes everybody who waits for a change.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = work(&mut state);
        drop(state);
        self.notify();
        result
    }

    /// Runs `look` on the state, which stays as it is.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// A consistent copy of what the outside may see.
    pub(crate) fn view(&self) -> GatewayState {
        self.look(State::view)
    }

    /// Blocks until `condition` holds; false when it still does not after `timeout`.
    pub(crate) fn wait_for(&self, timeout: Duration, condition: impl Fn(&GatewayState) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if condition(&state.view()) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            self.expire(&mut state);
        }
    }

    /// Waits until every port that was taken out of the table is closed.
    pub(crate) async fn settle(&self) {
        // One at a time, so that nobody returns while another still closes.
        let _turn = self.settling.lock().await;
        let closing: Vec<Forwarder> = std::mem::take(&mut self.lock().table.closing);
        for forwarder in closing {
            forwarder.close().await;
        }
    }

    /// The time that a request takes at the router's only processor; returns when its work can be done.
    pub(crate) async fn turn_at_processor(&self) -> Turn<'_> {
        let cost = self.look(|state| state.faults.service_ms);
        if cost == 0 {
            return None;
        }
        let turn = self.processor.lock().await;
        tokio::time::sleep(Duration::from_millis(cost)).await;
        Some(turn)
    }

    /// Returns when the web server may serve a connection.
    pub(crate) async fn turn_in_web_server(&self) -> Turn<'_> {
        if self.look(|state| state.faults.http_serial) { Some(self.web_server.lock().await) } else { None }
    }

    /// Lets the other gateways of the LAN hear a search.
    pub(crate) fn pass_on(&self, packet: &[u8], peer: SocketAddr) {
        self.look(|state| {
            for neighbour in &state.neighbours {
                // One that is gone, or does not speak SSDP at the moment, hears nothing.
                let _ = neighbour.send((packet.to_vec(), peer));
            }
        });
    }

    /// Counts a message that has arrived, unless a switch loses it, or its sender is inside no more: then false.
    pub(crate) fn arrived(&self, kind: &str, from: SocketAddr, lossy: bool) -> bool {
        self.with(|state| {
            if lossy && (state.is_stranger(from) || state.loses_request()) {
                state.counters.add("dropped_by_fault");
                return false;
            }
            state.counters.add(kind);
            if self.config.ipv6 && from.is_ipv6() {
                state.counters.add("over_ipv6");
            }
            state.emit(Event::Request { kind: kind.to_owned(), from });
            true
        })
    }

    /// Whether PCP and NAT-PMP are spoken on one side, by config and switches.
    pub(crate) fn datagram_modes(&self, side: Side) -> (Mode, Mode) {
        self.look(|state| state.datagram_modes(&self.config, side))
    }
}

impl State {
    pub(crate) fn emit(&mut self, event: Event) {
        self.subscribers
            .retain(|subscriber| !matches!(subscriber.try_send(event.clone()), Err(TrySendError::Disconnected(_))));
    }

    pub(crate) fn subscribe(&mut self, subscriber: SyncSender<Event>) {
        self.subscribers.push(subscriber);
    }

    pub(crate) fn unsubscribe_all(&mut self) {
        self.subscribers.clear();
    }

    pub(crate) fn view(&self) -> GatewayState {
        GatewayState {
            mappings: self.mappings_and_pinholes(),
            counters: self.counters.clone(),
            external_address: self.external_address(),
            epoch: self.epoch(),
        }
    }

    pub(crate) fn mappings_and_pinholes(&self) -> Vec<Mapping> {
        let mut all = self.mappings();
        all.extend(self.pinholes.views(Instant::now()));
        all
    }

    /// Those of IPv4, of which alone WANIPConnection knows.
    pub(crate) fn mappings(&self) -> Vec<Mapping> {
        let now = Instant::now();
        self.table.iter().map(|(key, entry)| entry.view(key, now)).collect()
    }

    /// When the next lease runs out.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.table.next_expiry().into_iter().chain(self.pinholes.next_expiry()).min()
    }

    /// Takes all out, without a word.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.table.closing.extend(self.pinholes.clear());
    }

    /// Whether an address is inside no more.
    pub(crate) fn is_stranger(&self, from: SocketAddr) -> bool {
        self.inside.is_some_and(|prefix| !prefix.contains(from.ip()))
    }

    /// Seconds since the router started, or claims to have (RFC 6887, 8.5).
    pub(crate) fn epoch(&self) -> u32 {
        let elapsed = u32::try_from(self.up_since.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.epoch_base.wrapping_add(elapsed)
    }

    /// What a reboot does to the state; the sockets are the caller's part.
    pub(crate) fn reboot(&mut self) {
        self.clear();
        self.epoch_base = 0;
        self.boots = self.boots.wrapping_add(1);
        self.up_since = Instant::now();
    }

    /// The external address that clients are told, switches included.
    pub(crate) fn external_address(&self) -> Option<Ipv4Addr> {
        if self.faults.empty_external_address {
            None
        } else if self.faults.cgnat {
            Some(CGNAT_ADDRESS)
        } else {
            self.external
        }
    }

    pub(crate) fn set_external(&mut self, address: Option<Ipv4Addr>) {
        self.external = address;
        self.emit(Event::ExternalAddress { address });
    }

    pub(crate) fn datagram_modes(&self, config: &GatewayConfig, side: Side) -> (Mode, Mode) {
        let effective = |on: bool, mode: Mode| match mode {
            Mode::Silent => Mode::Silent,
            _ if !on => Mode::Off,
            other => other,
        };
        let pcp = effective(config.pcp, self.faults.pcp_mode(side));
        match side {
            Side::Nat => (pcp, effective(config.nat_pmp, self.faults.nat_pmp)),
            // NAT-PMP is for IPv4 alone (RFC 6886, 1).
            Side::Firewall => (pcp, Mode::Off),
        }
    }

    /// Draws whether one datagram is lost.
    pub(crate) fn loses_answer(&mut self) -> bool {
        let loss = self.faults.loss;
        loss > 0.0 && self.rng.random_bool(loss.clamp(0.0, 1.0))
    }

    fn loses_request(&mut self) -> bool {
        count_down(&mut self.faults.drop_next) || self.loses_answer()
    }

    /// Whether the answer to a request that was to change the table is lost; counts it.
    pub(crate) fn loses_outcome(&mut self, protocol: Protocol) -> bool {
        let lost = match protocol {
            Protocol::Pcp => count_down(&mut self.faults.pcp_lose_answers),
            Protocol::NatPmp => count_down(&mut self.faults.nat_pmp_lose_answers),
            Protocol::Upnp => count_down(&mut self.faults.http_lose_answers),
            Protocol::Static => false,
        };
        if lost {
            self.counters.add("dropped_by_fault");
        }
        lost
    }
}
