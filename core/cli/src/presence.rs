//! Whether the router is there at all, whatever it says about mapping ports.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// What home routers serve: their settings, and names.
const PORTS: [u16; 3] = [80, 443, 53];
/// Longer than a kernel takes to find out that nobody answers ARP, which is 3 s on Linux.
const DEADLINE: Duration = Duration::from_secs(4);

/// Whether the router is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It is, and how that is known.
    There(String),
    /// Nobody has its address.
    Gone(String),
    /// It did not answer, which may be its firewall.
    Unknown(String),
}

impl Presence {
    /// The stable name in JSON.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::There(_) => "there",
            Self::Gone(_) => "gone",
            Self::Unknown(_) => "unknown",
        }
    }

    /// How that is known.
    pub(crate) fn evidence(&self) -> &str {
        match self {
            Self::There(evidence) | Self::Gone(evidence) | Self::Unknown(evidence) => evidence,
        }
    }

    /// Why it is not there.
    pub(crate) fn gone(&self) -> Option<String> {
        match self {
            Self::Gone(evidence) => Some(evidence.clone()),
            Self::There(_) | Self::Unknown(_) => None,
        }
    }
}

/// Connects to the ports that routers serve: any answer, also a refusal, shows that something is there. Only for a router that did
/// not answer otherwise.
pub(crate) async fn ask(router: IpAddr, local: IpAddr) -> Presence {
    let [a, b, c] = PORTS.map(|port| connect(SocketAddr::new(router, port), local));
    let answers = tokio::join!(a, b, c);
    let answers = [answers.0, answers.1, answers.2];
    for (port, answer) in PORTS.iter().zip(&answers) {
        match answer {
            Answer::Connected => return Presence::There(format!("{router} answers on TCP port {port}")),
            Answer::Refused => return Presence::There(format!("{router} refuses TCP port {port}, so it is there")),
            Answer::Nobody | Answer::Silence => {}
        }
    }
    let by_tables = gone_by_tables(router);
    if by_tables.is_some() || answers.contains(&Answer::Nobody) {
        return Presence::Gone(
            by_tables.unwrap_or_else(|| format!("nothing at {router} answers in the local network")),
        );
    }
    let neighbour = match neighbour(router) {
        Some(Neighbour::Known) => ", but the neighbour table has it, so it was there lately",
        Some(Neighbour::Unanswered) | None => "",
    };
    Presence::Unknown(format!("{router} answers on none of the TCP ports 80, 443 and 53{neighbour}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Connected,
    Refused,
    /// The kernel found nobody with that address.
    Nobody,
    Silence,
}

async fn connect(address: SocketAddr, local: IpAddr) -> Answer {
    let connecting = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if address.is_ipv4() == local.is_ipv4() {
            socket.bind(SocketAddr::new(local, 0))?;
        }
        socket.connect(address).await
    };
    let connected: io::Result<TcpStream> = match timeout(DEADLINE, connecting).await {
        Ok(connected) => connected,
        Err(_) => return Answer::Silence,
    };
    match connected {
        Ok(_) => Answer::Connected,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset) => {
            Answer::Refused
        }
        Err(error) if error.kind() == io::ErrorKind::HostUnreachable => Answer::Nobody,
        Err(_) => Answer::Silence,
    }
}

/// Why the router does not seem to be there, by what the system's tables say after it was sent something.
pub(crate) fn gone_by_tables(router: IpAddr) -> Option<String> {
    (neighbour(router)? == Neighbour::Unanswered)
        .then(|| format!("nothing in the local network has the address {router} (no answer to ARP)"))
}

/// What the neighbour table says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    /// It has answered, now or some minutes ago.
    Known,
    /// It was asked for and has not answered.
    Unanswered,
}

/// `None` if the system has no entry, or no such table.
fn neighbour(router: IpAddr) -> Option<Neighbour> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    find(&std::fs::read_to_string("/proc/net/arp").ok()?, router)
}

/// Reads columns: address, hardware type, flags, hardware address, mask, interface. Several interfaces may have asked.
fn find(table: &str, router: IpAddr) -> Option<Neighbour> {
    /// ATF_COM of <linux/if_arp.h>: the hardware address is known.
    const COMPLETE: u32 = 0x2;
    /// ATF_PERM: set by hand.
    const PERMANENT: u32 = 0x4;
    let entry = |line: &str| {
        let mut columns = line.split_whitespace();
        let address: IpAddr = columns.next()?.parse().ok()?;
        let flags = u32::from_str_radix(columns.nth(1)?.strip_prefix("0x")?, 16).ok()?;
        (address == router).then_some(match flags & (COMPLETE | PERMANENT) {
            0 => Neighbour::Unanswered,
            _ => Neighbour::Known,
        })
    };
    let found: Vec<Neighbour> = table.lines().filter_map(entry).collect();
    found.iter().find(|entry| **entry == Neighbour::Known).or_else(|| found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_neighbour_table_tells_who_did_not_answer() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            192.168.77.1     0x1         0x0         00:00:00:00:00:00     *        eth0\n\
            192.168.77.2     0x1         0x2         02:00:00:00:00:01     *        eth0\n\
            192.168.77.3     0x1         0x0         00:00:00:00:00:00     *        eth0\n\
            192.168.77.3     0x1         0x2         02:00:00:00:00:02     *        eth1\n";
        let find = |last: u8| find(table, Ipv4Addr::new(192, 168, 77, last).into());
        assert_eq!(find(1), Some(Neighbour::Unanswered));
        assert_eq!(find(2), Some(Neighbour::Known));
        assert_eq!(find(3), Some(Neighbour::Known), "it answered on one interface");
        assert_eq!(find(4), None);
    }

    #[tokio::test]
    async fn a_machine_that_refuses_connections_is_there() {
        let this = IpAddr::from(Ipv4Addr::LOCALHOST);
        let presence = ask(this, this).await;
        assert!(matches!(presence, Presence::There(_)), "{presence:?}");
    }
}
