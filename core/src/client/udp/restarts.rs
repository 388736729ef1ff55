//! Whether the gateway still has its mappings: what its answers prove, and what announcements claim.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::{MAX_DATAGRAM, cut_short};
use crate::client::announcements::{Announced, Announcement, open, open6};
use crate::client::epoch::{Epoch, Reading, Rule, Verdict};
use crate::clock::{Clock, Moment};
use crate::schedule::RECOVERY_PACE;

/// One for each gateway.
#[derive(Debug)]
pub(crate) struct Restarts {
    clock: Clock,
    state: Mutex<State>,
    doubt: Notify,
}

#[derive(Debug)]
struct State {
    pcp: Epoch,
    nat_pmp: Epoch,
    /// The external address as the gateway told it last.
    told: Option<Ipv4Addr>,
    /// When another one was last a reason for doubt.
    readdressed: Option<Moment>,
    /// Kept apart from the rest, because anybody can announce something in the gateway's name.
    announced: Announced,
}

impl Restarts {
    pub(super) fn new(clock: Clock) -> Self {
        let (pcp, nat_pmp) = (Epoch::new(Rule::Pcp), Epoch::new(Rule::NatPmp));
        let state = Mutex::new(State { pcp, nat_pmp, told: None, readdressed: None, announced: Announced::default() });
        Self { clock, state, doubt: Notify::new() }
    }

    /// The present time, for [`heard`](Self::heard).
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// An answer came to a request of ours that was first sent at `asked`. It tells `epoch`.
    pub(crate) fn heard(&self, rule: Rule, epoch: u32, asked: Moment) {
        let reading = Reading { epoch, asked, received: self.clock.now() };
        let mut state = self.state();
        let State { pcp, nat_pmp, announced, .. } = &mut *state;
        let (own, other) = match rule {
            Rule::Pcp => (pcp, nat_pmp),
            Rule::NatPmp => (nat_pmp, pcp),
        };
        if own.heard(reading) == Verdict::Restarted {
            // Else it would show the same restart once more.
            other.forget();
            if announced.explains(reading) {
                tracing::debug!(?rule, epoch, "the gateway has restarted, as it announced");
            } else {
                tracing::debug!(?rule, epoch, "the gateway has restarted");
                self.raise(&mut state);
            }
        }
    }

    /// The gateway told its external address in an answer to a request of ours. Another one is a doubt, but not too often: a
    /// gateway may have several and tell now this one and now that one, and each doubt brings as many answers as there are
    /// leases.
    pub(crate) fn told_address(&self, address: Ipv4Addr) {
        if address.is_unspecified() {
            return;
        }
        let now = self.clock.now();
        let mut state = self.state();
        let is_other = state.told.is_some_and(|told| told != address);
        if is_other && state.readdressed.is_some_and(|last| now.since(last) < RECOVERY_PACE) {
            // If it stays, a later answer tells it.
            return;
        }
        state.told = Some(address);
        if is_other && !state.announced.has_told(address) {
            tracing::debug!(%address, "the gateway has another external address");
            state.readdressed = Some(now);
            self.raise(&mut state);
        }
    }

    /// See [`GatewayPort::doubtful`](super::GatewayPort::doubtful).
    pub(super) async fn doubtful(&self) {
        self.doubt.notified().await;
    }

    /// Something was announced in the gateway's name.
    fn announced(&self, announcement: Announcement) {
        let now = self.clock.now();
        self.state().announced.heard(announcement, now);
        self.raise_announced();
    }

    /// Raises the doubt of an announcement if it is time.
    fn raise_announced(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.announced.due().is_some_and(|due| due <= now) {
            tracing::debug!("the gateway has announced something");
            state.announced.raised(now);
            self.raise(&mut state);
        }
    }

    /// What was announced before needs no doubt of its own any more.
    fn raise(&self, state: &mut State) {
        state.announced.settled();
        self.doubt.notify_one();
    }

    /// Listens for announcements of `gateway` on the interface of `local`, or for IPv6 on the one with the number `link`. Never ends.
    /// If the port is taken by a program that does not share it, nothing is heard.
    pub(super) async fn listen(&self, gateway: SocketAddr, local: Option<IpAddr>, link: u32) {
        let open = || match (gateway, local) {
            (SocketAddr::V4(_), Some(IpAddr::V4(local))) => open(local),
            (SocketAddr::V4(_), None) => open(Ipv4Addr::UNSPECIFIED),
            (SocketAddr::V6(_), _) => open6(link),
            (SocketAddr::V4(_), Some(IpAddr::V6(_))) => Err(ErrorKind::AddrNotAvailable.into()),
        };
        loop {
            let error = match open() {
                Ok(socket) => self.hear(&socket, gateway).await,
                Err(error) => {
                    tracing::debug!(%error, %gateway, "cannot listen for announcements");
                    return std::future::pending().await;
                }
            };
            tracing::debug!(%error, %gateway, "cannot hear announcements");
            tokio::time::sleep(RECOVERY_PACE).await;
        }
    }

    /// Listens until the socket fails.
    async fn hear(&self, socket: &UdpSocket, gateway: SocketAddr) -> std::io::Error {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            let due = self.state().announced.due();
            let wait = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) if from == gateway => {
                        if let Some(announcement) = Announcement::parse(&buffer[..length]) {
                            self.announced(announcement);
                        }
                    }
                    Ok(_) => {}
                    Err(error) if cut_short(&error) => {}
                    Err(error) => return error,
                },
                () = wait => self.raise_announced(),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "restarts_tests.rs"]
mod tests;
