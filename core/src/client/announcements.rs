//! What a gateway says unasked when it has restarted or has another address (RFC 6887 14.1, RFC 6886 3.2.1).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::epoch::{Epoch, Reading, Rule, Verdict};
use super::pcp::wire::{self, Opcode, Reply, ResultCode};
use crate::clock::Moment;
use crate::schedule::{ANNOUNCEMENT_REPEATS, ANNOUNCEMENT_TOLERANCE, RECOVERY_PACE};

/// All hosts on the link.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const PORT: u16 = 5350;

/// One announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    rule: Rule,
    epoch: u32,
    /// The external address, which NAT-PMP tells.
    address: Option<Ipv4Addr>,
}

impl Announcement {
    /// Reads a datagram; `None` if it is no announcement.
    pub(crate) fn parse(datagram: &[u8]) -> Option<Self> {
        match wire::parse(datagram) {
            Some(Reply::Response(response))
                if response.opcode == Opcode::Announce as u8 && response.result == ResultCode::Success =>
            {
                Some(Self { rule: Rule::Pcp, epoch: response.epoch, address: None })
            }
            Some(_) => None,
            None => Self::parse_nat_pmp(datagram),
        }
    }

    /// The answer to a request for the external address, unasked.
    fn parse_nat_pmp(datagram: &[u8]) -> Option<Self> {
        let &[0, 0x80, 0, 0, e0, e1, e2, e3, a, b, c, d] = datagram else { return None };
        let address = Some(Ipv4Addr::new(a, b, c, d)).filter(|address| !address.is_unspecified());
        Some(Self { rule: Rule::NatPmp, epoch: u32::from_be_bytes([e0, e1, e2, e3]), address })
    }
}

/// What was announced so far. Each announcement is a reason for doubt, whatever its epoch: miniupnpd tells the uptime of the
/// machine in its place unless told otherwise, so that a restart of the daemon does not show. But anybody can forge one, so there
/// is at most one doubt in [`RECOVERY_PACE`]; what comes in between is put off until then.
#[derive(Debug)]
pub(crate) struct Announced {
    pcp: Series,
    nat_pmp: Series,
    /// When the last doubt was raised.
    raised: Option<Moment>,
    /// When the next one is to be raised.
    due: Option<Moment>,
}

impl Default for Announced {
    fn default() -> Self {
        let (pcp, nat_pmp) = (Series::new(Rule::Pcp), Series::new(Rule::NatPmp));
        Self { pcp, nat_pmp, raised: None, due: None }
    }
}

impl Announced {
    /// An announcement came.
    pub(crate) fn heard(&mut self, announcement: Announcement, now: Moment) {
        let series = match announcement.rule {
            Rule::Pcp => &mut self.pcp,
            Rule::NatPmp => &mut self.nat_pmp,
        };
        if !series.repeats(announcement, now) && self.due.is_none() {
            self.due = Some(self.raised.map_or(now, |raised| raised.after(RECOVERY_PACE).max(now)));
        }
    }

    /// When a doubt is to be raised.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// A doubt was raised because of an announcement.
    pub(crate) fn raised(&mut self, now: Moment) {
        self.raised = Some(now);
    }

    /// A doubt was raised, which is enough for all that was announced so far.
    pub(crate) fn settled(&mut self) {
        self.due = None;
    }

    /// Whether a restart that `reading` shows was announced, and the doubt was raised.
    pub(crate) fn explains(&self, reading: Reading) -> bool {
        self.due.is_none() && [&self.pcp, &self.nat_pmp].iter().any(|series| series.epoch.agrees_with(reading))
    }

    /// Whether the external address was announced, and the doubt was raised.
    pub(crate) fn has_told(&self, address: Ipv4Addr) -> bool {
        self.due.is_none() && self.nat_pmp.last.is_some_and(|last| last.address == Some(address))
    }
}

/// The announcements of one protocol.
#[derive(Debug)]
struct Series {
    epoch: Epoch,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    address: Option<Ipv4Addr>,
    at: Moment,
    /// The time since the one before, if it said the same.
    gap: Duration,
    /// How many in a row said the same.
    repeats: u32,
}

impl Series {
    const fn new(rule: Rule) -> Self {
        Self { epoch: Epoch::new(rule), last: None }
    }

    /// Notes an announcement. Returns whether it only repeats the one before.
    fn repeats(&mut self, Announcement { epoch, address, .. }: Announcement, now: Moment) -> bool {
        let verdict = self.epoch.heard(Reading { epoch, asked: now, received: now });
        let mut next = Last { address, at: now, gap: Duration::ZERO, repeats: 1 };
        if let Some(last) = self.last
            && (verdict, last.address) == (Verdict::Fits, address)
            && last.repeats < ANNOUNCEMENT_REPEATS
            && now.since(last.at) <= last.gap * 2 + ANNOUNCEMENT_TOLERANCE
        {
            (next.gap, next.repeats) = (now.since(last.at), last.repeats + 1);
        }
        self.last = Some(next);
        next.repeats > 1
    }
}

/// A socket that hears what is sent to the group on the interface of `local`, together with the other programs that listen
/// for it.
pub(crate) fn open(local: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = shared(Domain::IPV4)?;
    // What is sent to this host alone belongs to another program that has the port. Windows cannot bind to a group.
    let address = if cfg!(windows) { Ipv4Addr::UNSPECIFIED } else { GROUP };
    socket.bind(&SocketAddr::from((address, PORT)).into())?;
    socket.join_multicast_v4(&GROUP, &local)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The same for IPv6, on the interface with the number `link`, or on the one that the system chooses.
pub(crate) fn open6(link: u32) -> io::Result<UdpSocket> {
    let socket = shared(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    let address = match cfg!(windows) {
        true => SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0),
        false => SocketAddrV6::new(GROUP6, PORT, 0, link),
    };
    socket.bind(&SocketAddr::from(address).into())?;
    socket.join_multicast_v6(&GROUP6, link)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// A socket whose port other programs may have too.
fn shared(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    Ok(socket)
}

#[cfg(test)]
#[path = "announcements_tests.rs"]
mod tests;
