//! The handle: a gateway in a thread of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::pinhole::Prefix;
use crate::router::{Command, Router};
use crate::shared::{EVENT_QUEUE, Shared};
use crate::{Addresses, Announcement, Counters, Event, Faults, GatewayConfig, GatewayError, GatewayState, Mapping};

/// How long the thread may take for a command: opening and closing sockets on loopback takes microseconds.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stop waits for the thread to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the runtime may take to let go of what still runs in it.
const RUNTIME_TIMEOUT: Duration = Duration::from_millis(500);

/// A running simulated gateway. Dropping it stops it: all sockets are closed and all forwarding ends.
///
/// Its methods may be called from any thread, async code included: none of them waits for the network, except
/// [`wait_for`](Self::wait_for) and [`Events::next`], which block and say so.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    commands: UnboundedSender<Command>,
    thread: Mutex<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl Gateway {
    /// Opens the sockets and starts the thread. When this returns, the gateway answers.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for a setting out of range, [`GatewayError::Bind`] for an address or port that cannot
    /// be had, [`GatewayError::Runtime`] when no thread can be made.
    pub fn start(config: GatewayConfig) -> Result<Self, GatewayError> {
        config.check()?;
        let (commands, receiver) = tokio::sync::mpsc::unbounded_channel();
        let (opening, opened) = mpsc::sync_channel(1);
        let (ending, ended) = mpsc::sync_channel(1);
        // All of the runtime's life is in the thread: the caller's may belong to a runtime already.
        let handle = thread::Builder::new().name("portlease-gateway".into()).spawn(move || {
            serve(config, receiver, &opening);
            // Nobody may be waiting any more.
            let _ = ending.send(());
        })?;
        let shared = opened.recv().map_err(|_| GatewayError::Stopped)??;
        Ok(Self { shared, commands, thread: Mutex::new(Some(Thread { handle, ended })) })
    }

    /// The router's address on its LAN side: what a client takes for its default gateway.
    pub fn address(&self) -> IpAddr {
        self.shared.config.bind
    }

    /// The UDP port of PCP and NAT-PMP.
    pub fn pcp_port(&self) -> u16 {
        self.addresses().pcp_port
    }

    /// Where unicast SSDP searches go.
    pub fn ssdp_address(&self) -> SocketAddr {
        self.addresses().ssdp_address
    }

    /// The web server of the UPnP device. A reboot changes its port.
    pub fn http_address(&self) -> SocketAddr {
        self.addresses().http_address
    }

    /// The URL of the device description. A reboot changes it.
    pub fn description_url(&self) -> String {
        self.addresses().description_url
    }

    /// All of the above.
    pub fn addresses(&self) -> Addresses {
        self.shared.look(|state| state.addresses.clone())
    }

    /// The table, by transport and external port; then the pinholes, by their UniqueID.
    pub fn mappings(&self) -> Vec<Mapping> {
        self.shared.look(|state| state.mappings_and_pinholes())
    }

    /// How many messages of each type have arrived.
    pub fn counters(&self) -> Counters {
        self.shared.look(|state| state.counters.clone())
    }

    /// Mappings, counters, external address and epoch at one moment.
    pub fn state(&self) -> GatewayState {
        self.shared.view()
    }

    /// The switches as they are now.
    pub fn faults(&self) -> Faults {
        self.shared.look(|state| state.faults.clone())
    }

    /// Sets all switches. When this returns, ports are open and closed as they say.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for a value out of range (then nothing changes), [`GatewayError::Bind`] when a port
    /// that a switch opens again has been taken, [`GatewayError::Stopped`].
    pub fn try_set_faults(&self, faults: Faults) -> Result<(), GatewayError> {
        self.try_update_faults(|_| Ok(faults))
    }

    /// Replaces the switches by what `change` makes of them, in one step: counting switches such as
    /// [`drop_next`](Faults::drop_next) cannot move in between. `change` must not use the gateway.
    ///
    /// # Errors
    /// [`GatewayError::Config`] with what `change` returns, otherwise as [`try_set_faults`](Self::try_set_faults).
    pub fn try_update_faults(
        &self,
        change: impl FnOnce(&Faults) -> Result<Faults, String>,
    ) -> Result<(), GatewayError> {
        self.shared
            .with(|state| {
                let faults = change(&state.faults)?;
                faults.check()?;
                state.faults = faults;
                Ok(())
            })
            .map_err(GatewayError::Config)?;
        self.apply()
    }

    /// As [`try_set_faults`](Self::try_set_faults), for tests.
    ///
    /// # Panics
    /// Where that fails.
    pub fn set_faults(&self, faults: Faults) {
        if let Err(error) = self.try_set_faults(faults) {
            panic!("cannot set the faults: {error}");
        }
    }

    /// Changes some switches and leaves the others.
    ///
    /// # Panics
    /// As [`set_faults`](Self::set_faults).
    pub fn update_faults(&self, change: impl FnOnce(&mut Faults)) {
        let updated = self.try_update_faults(|faults| {
            let mut faults = faults.clone();
            change(&mut faults);
            Ok(faults)
        });
        if let Err(error) = updated {
            panic!("cannot set the faults: {error}");
        }
    }

    /// Restarts the router: the table is empty, the epoch begins at 0, and the web server has another port unless
    /// [`http_port`](GatewayConfig::http_port) or [`reboot_keeps_http_port`](Faults::reboot_keeps_http_port) holds it.
    ///
    /// # Errors
    /// [`GatewayError::Bind`] when no new port can be had, [`GatewayError::Stopped`].
    pub fn try_reboot(&self) -> Result<(), GatewayError> {
        self.command(Command::Reboot)
    }

    /// As [`try_reboot`](Self::try_reboot), for tests.
    ///
    /// # Panics
    /// Where that fails.
    pub fn reboot(&self) {
        if let Err(error) = self.try_reboot() {
            panic!("cannot reboot the gateway: {error}");
        }
    }

    /// Changes the external address; `None` takes it away. Mappings stay.
    pub fn set_external_address(&self, address: Option<Ipv4Addr>) {
        self.shared.with(|state| state.set_external(address));
    }

    /// Renumbers the inside: from now on the firewall for IPv6 serves only addresses in this prefix, and link-local ones.
    /// Pinholes for other addresses are closed, and requests from there get no answer, as from a prefix that the provider
    /// has taken away. The caller's part is that its host has an address in the new prefix. Announcements are not sent.
    ///
    /// # Errors
    /// [`GatewayError::Config`] for a length over 128 and for a gateway without IPv6, [`GatewayError::Stopped`].
    pub fn renumber(&self, prefix: Ipv6Addr, length: u8) -> Result<(), GatewayError> {
        if self.addresses().ipv6.is_none() {
            return Err(GatewayError::Config("a gateway without IPv6 cannot be renumbered".into()));
        }
        let inside = Prefix::new(prefix, length).map_err(GatewayError::Config)?;
        self.shared.with(|state| state.renumber(inside));
        self.apply()
    }

    /// Puts another gateway on the LAN of this one: it hears the searches that arrive here, as it would hear multicast
    /// ones, and answers them from its own address, with its own description, external address, table and switches
    /// (such as [`ssdp_delay_ms`](Faults::ssdp_delay_ms) to come first or last). Give it another
    /// [`bind`](GatewayConfig::bind). It is not changed, and searches that arrive there are not heard here.
    pub fn add_neighbour(&self, other: &Self) {
        self.shared.with(|state| state.neighbours.push(other.shared.searches.clone()));
    }

    /// Sends an announcement to `to`, unicast or multicast, from the port that the protocol listens on: to an IPv6 address
    /// from that of the firewall for IPv6.
    /// A protocol that is off announces nothing.
    ///
    /// # Errors
    /// [`GatewayError::Stopped`].
    pub fn announce(&self, what: Announcement, to: SocketAddr) -> Result<(), GatewayError> {
        self.command(|answer| Command::Announce(what, to, answer))
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        let (sender, receiver) = mpsc::sync_channel(EVENT_QUEUE);
        self.shared.with(|state| state.subscribe(sender));
        Events { receiver }
    }

    /// Blocks the calling thread until `condition` holds; false when it does not within `timeout`.
    /// The condition is looked at after each change. In async code use [`wait_for_async`](Self::wait_for_async).
    pub fn wait_for(&self, timeout: Duration, condition: impl Fn(&GatewayState) -> bool) -> bool {
        self.shared.wait_for(timeout, condition)
    }

    /// Waits until `condition` holds; false when it does not within `timeout`. Time is the gateway's own real time,
    /// also under a paused tokio clock.
    pub async fn wait_for_async(&self, timeout: Duration, condition: impl Fn(&GatewayState) -> bool) -> bool {
        let mut changes = self.shared.version.subscribe();
        let mut deadline = self.shared.runtime.spawn(tokio::time::sleep(timeout));
        loop {
            changes.borrow_and_update();
            if condition(&self.state()) {
                return true;
            }
            tokio::select! {
                _ = changes.changed() => {}
                // Also when the gateway stops: then nothing changes any more.
                _ = &mut deadline => return condition(&self.state()),
            }
        }
    }

    /// Stops the gateway and returns when its sockets are closed, at most after 2 s.
    pub fn stop(self) {
        self.end();
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Opens and closes ports as config, switches and table say.
    pub(crate) fn apply(&self) -> Result<(), GatewayError> {
        self.command(Command::Apply)
    }

    fn command(
        &self,
        command: impl FnOnce(mpsc::SyncSender<Result<(), GatewayError>>) -> Command,
    ) -> Result<(), GatewayError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.commands.send(command(answer)).map_err(|_| GatewayError::Stopped)?;
        answered.recv_timeout(COMMAND_TIMEOUT).unwrap_or(Err(GatewayError::Stopped))
    }

    fn end(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Thread { handle, ended }) = thread else { return };
        // A thread that has ended by itself takes no command, and needs none.
        let _ = self.commands.send(Command::Stop);
        // The sender goes with the thread, also when that panics: both mean that joining does not wait.
        if !matches!(ended.recv_timeout(STOP_TIMEOUT), Err(mpsc::RecvTimeoutError::Timeout)) {
            let _ = handle.join();
        }
    }
}

/// The whole life of the thread.
fn serve(
    config: GatewayConfig,
    commands: UnboundedReceiver<Command>,
    opening: &mpsc::SyncSender<Result<Arc<Shared>, GatewayError>>,
) {
    let opened = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(GatewayError::from)
        .and_then(|runtime| runtime.block_on(Router::open(config)).map(|router| (runtime, router)));
    // `start` waits for either answer.
    match opened {
        Ok((runtime, router)) => {
            let _ = opening.send(Ok(router.shared()));
            runtime.block_on(router.run(commands));
            runtime.shutdown_timeout(RUNTIME_TIMEOUT);
        }
        Err(error) => {
            let _ = opening.send(Err(error));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// The events of a gateway from the moment of the subscription on. 65536 are kept; when nobody reads, later ones are lost.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// The next event; blocks for at most `timeout`. `None` when there was none, or the gateway has stopped.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        self.receiver.recv_timeout(timeout).ok()
    }

    /// The next event that has already happened.
    pub fn try_next(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    /// The first event that fits; blocks for at most `timeout`. Those before it are dropped.
    pub fn find(&self, timeout: Duration, fits: impl Fn(&Event) -> bool) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        loop {
            let event = self.next(deadline.saturating_duration_since(Instant::now()))?;
            if fits(&event) {
                return Some(event);
            }
        }
    }

    /// The channel itself, for a thread that forwards events until the gateway stops.
    pub fn into_receiver(self) -> mpsc::Receiver<Event> {
        self.receiver
    }
}
