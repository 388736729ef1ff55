//! The UDP side of the router: the port that PCP and NAT-PMP share, and how answers go wrong on their way.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::shared::Shared;
use crate::side::Side;
use crate::{Event, Faults, Mode, Protocol, natpmp, pcp};

/// Longer than any message that RFC 6887 allows, so that too long ones are seen as such.
const BUFFER: usize = 2048;
/// How long the `reorder` switch holds an answer that no other overtakes.
const REORDER_HOLD: Duration = Duration::from_millis(30);
/// Answers under way at a time, so that a flood with a delay cannot fill the memory.
const MAX_PENDING: usize = 4096;
/// Requests that wait for a slow processor: about as many small datagrams fit into Linux's default socket buffer.
const SERVICE_QUEUE: usize = 256;

/// How one answer goes out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) delay: Duration,
    pub(crate) copies: u32,
    pub(crate) reorder: bool,
    pub(crate) other_port: bool,
}

type Held = Arc<Mutex<Option<(u64, Vec<u8>, SocketAddr)>>>;

/// Sends answers, each in a task of its own; all end when this is dropped.
#[derive(Debug)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    held: Held,
    count: u64,
    pending: JoinSet<()>,
}

impl Outbox {
    pub(crate) fn new(shared: Arc<Shared>, socket: Arc<UdpSocket>) -> Self {
        Self { shared, socket, held: Held::default(), count: 0, pending: JoinSet::new() }
    }

    /// Sends `bytes` to `peer`; loss is drawn here, in the order of the answers, so that a seed repeats it.
    pub(crate) fn send(&mut self, bytes: Vec<u8>, peer: SocketAddr, delivery: Delivery) {
        while self.pending.try_join_next().is_some() {}
        for _ in 0..=delivery.copies {
            let lost = self.shared.look(|state| state.faults.loss > 0.0)
                && self.shared.with(|state| {
                    let lost = state.loses_answer();
                    if lost {
                        state.counters.add("dropped_by_fault");
                    }
                    lost
                });
            if lost || self.pending.len() >= MAX_PENDING {
                continue;
            }
            self.count += 1;
            let outgoing = Outgoing {
                shared: self.shared.clone(),
                socket: self.socket.clone(),
                held: self.held.clone(),
                number: self.count,
                peer,
                delivery,
            };
            self.pending.spawn(outgoing.go(bytes.clone()));
        }
    }
}

struct Outgoing {
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    held: Held,
    number: u64,
    peer: SocketAddr,
    delivery: Delivery,
}

impl Outgoing {
    async fn go(self, bytes: Vec<u8>) {
        if !self.delivery.delay.is_zero() {
            sleep(self.delivery.delay).await;
        }
        if !self.delivery.reorder {
            return self.put(&bytes, self.peer).await;
        }
        let earlier = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.take() {
                Some(earlier) => Some(earlier),
                None => {
                    *held = Some((self.number, bytes.clone(), self.peer));
                    None
                }
            }
        };
        if let Some((_, earlier, its_peer)) = earlier {
            self.put(&bytes, self.peer).await;
            return self.put(&earlier, its_peer).await;
        }
        sleep(REORDER_HOLD).await;
        let mine = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.take_if(|(number, ..)| *number == self.number)
        };
        if let Some((_, bytes, peer)) = mine {
            self.put(&bytes, peer).await;
        }
    }

    async fn put(&self, bytes: &[u8], peer: SocketAddr) {
        if let Err(error) = self.try_put(bytes, peer).await {
            let message = format!("cannot answer {peer}: {error}");
            self.shared.with(|state| state.emit(Event::Error { message }));
        }
    }

    async fn try_put(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<()> {
        if self.delivery.other_port {
            let ip = self.socket.local_addr()?.ip();
            UdpSocket::bind((ip, 0)).await?.send_to(bytes, peer).await?;
        } else {
            self.socket.send_to(bytes, peer).await?;
        }
        Ok(())
    }
}

/// Serves PCP and NAT-PMP on `socket` until dropped.
pub(crate) async fn serve(shared: Arc<Shared>, side: Side, socket: Arc<UdpSocket>) {
    let mut outbox = Outbox::new(shared.clone(), socket.clone());
    // Requests that a switch keeps from being processed at once.
    let mut waiting: JoinSet<Option<Reply>> = JoinSet::new();
    let mut buffer = [0; BUFFER];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(processed) = waiting.join_next(), if !waiting.is_empty() => {
                if let Ok(Some(reply)) = processed {
                    deliver(&shared, &mut outbox, reply);
                }
                continue;
            }
        };
        let Ok((length, peer)) = received else {
            // An ICMP error about an earlier answer.
            tokio::task::yield_now().await;
            continue;
        };
        let packet = &buffer[..length];
        let is_natpmp = packet.first() == Some(&0);
        let kind = match packet {
            [] | [_] => "malformed",
            _ if is_natpmp => natpmp::kind(packet),
            _ => pcp::kind(packet),
        };
        if !shared.arrived(kind, peer, true) {
            continue;
        }
        let (pause, service) = shared.look(|state| {
            let faults = &state.faults;
            let pause = if is_natpmp { faults.nat_pmp_processing_ms } else { faults.pcp_processing_ms };
            (pause, faults.service_ms)
        });
        let room = if service > 0 { SERVICE_QUEUE } else { MAX_PENDING };
        let processing = process(shared.clone(), side, packet.to_vec(), peer, Duration::from_millis(pause));
        if pause == 0 && service == 0 {
            // In the order of arrival, so that a seed repeats what is lost.
            if let Some(reply) = processing.await {
                deliver(&shared, &mut outbox, reply);
            }
        } else if waiting.len() < room {
            waiting.spawn(processing);
        } else {
            shared.with(|state| state.counters.add("dropped_by_fault"));
        }
    }
}

/// An answer on its way out.
struct Reply {
    answer: Vec<u8>,
    protocol: Spoken,
    peer: SocketAddr,
}

/// Carries out one request after `pause`; `None` if it must be ignored or a switch loses the answer.
async fn process(shared: Arc<Shared>, side: Side, packet: Vec<u8>, peer: SocketAddr, pause: Duration) -> Option<Reply> {
    let boots = shared.look(|state| state.boots);
    if !pause.is_zero() {
        sleep(pause).await;
    }
    let turn = shared.turn_at_processor().await;
    // A reboot forgets what has not been carried out.
    if shared.look(|state| state.boots) != boots {
        return None;
    }
    let (answer, protocol) = respond(&shared, side, &packet, peer)?;
    shared.settle().await;
    drop(turn);
    let lost = match protocol {
        Spoken::Pcp => pcp::changes_table(&packet) && shared.with(|state| state.loses_outcome(Protocol::Pcp)),
        Spoken::NatPmp => natpmp::changes_table(&packet) && shared.with(|state| state.loses_outcome(Protocol::NatPmp)),
    };
    (!lost).then_some(Reply { answer, protocol, peer })
}

/// Sends an answer as the switches say.
fn deliver(shared: &Shared, outbox: &mut Outbox, Reply { answer, protocol, peer }: Reply) {
    let faults = shared.look(|state| state.faults.clone());
    let delay = match protocol {
        Spoken::Pcp => faults.pcp_delay_ms,
        Spoken::NatPmp => faults.nat_pmp_delay_ms,
    };
    let delivery = Delivery {
        delay: Duration::from_millis(delay),
        copies: faults.duplicates,
        reorder: faults.reorder,
        other_port: faults.wrong_source_port,
    };
    let wrong = damaged(&answer, protocol, &faults);
    let is_wrong = faults.wrong_source_port || wrong != answer;
    outbox.send(wrong, peer, delivery);
    if is_wrong && faults.right_answer_follows {
        // Behind the wrong one even when both are sent at once.
        let delay = delivery.delay + Duration::from_millis(5);
        outbox.send(answer, peer, Delivery { delay, other_port: false, ..delivery });
    }
}

/// The protocol that an answer is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Pcp,
    NatPmp,
}

/// RFC 6887, appendix A: which of the two answers, by version and by what is switched on.
fn respond(shared: &Shared, side: Side, packet: &[u8], peer: SocketAddr) -> Option<(Vec<u8>, Spoken)> {
    let [version, opcode, ..] = *packet else { return None };
    let pcp_answer = |answer: Vec<u8>| (answer, Spoken::Pcp);
    let natpmp_answer = |answer: Vec<u8>| (answer, Spoken::NatPmp);
    match (version, shared.datagram_modes(side)) {
        (0, (_, Mode::Silent)) => None,
        (0, (Mode::Normal | Mode::Refuse(_), Mode::Off)) if opcode < 0x80 => {
            Some(pcp_answer(pcp::unsupported_version(shared, opcode)))
        }
        (0, (_, Mode::Off)) => None,
        (0, (_, mode)) => natpmp::answer(shared, mode, packet, peer).map(natpmp_answer),
        (_, (Mode::Silent, _)) => None,
        (_, (Mode::Off, Mode::Normal | Mode::Refuse(_))) if opcode < 0x80 => {
            Some(natpmp_answer(natpmp::unsupported_version(shared, opcode)))
        }
        (_, (Mode::Off, _)) => None,
        (_, (mode, _)) => pcp::answer(shared, side, mode, packet, peer).map(pcp_answer),
    }
}

fn damaged(answer: &[u8], protocol: Spoken, faults: &Faults) -> Vec<u8> {
    let mut answer = answer.to_vec();
    match protocol {
        Spoken::Pcp => pcp::mangle(&mut answer, faults),
        Spoken::NatPmp => natpmp::mangle(&mut answer, faults.wrong_internal_port),
    }
    if faults.wrong_opcode
        && let Some(opcode) = answer.get_mut(1)
    {
        *opcode ^= 0x03;
    }
    if let Some(length) = faults.truncate {
        answer.truncate(length);
    }
    answer.resize(answer.len() + faults.extra_bytes, 0);
    answer
}
