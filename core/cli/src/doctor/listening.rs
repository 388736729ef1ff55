//! Whether a program of this machine listens on a port.

use std::net::IpAddr;

use portlease::Transport;

/// Whether somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// On these addresses, of which at least one can be reached from the router.
    Yes(Vec<IpAddr>),
    /// Only on loopback.
    OnlyHere,
    No,
    /// The system does not say, and why.
    Unknown(String),
}

impl Listening {
    /// The stable name in JSON.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Yes(_) => "yes",
            Self::OnlyHere => "loopback-only",
            Self::No => "no",
            Self::Unknown(_) => "unknown",
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Yes(addresses) if addresses.is_empty() => "a program has the port".to_owned(),
            Self::Yes(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
                format!("a program listens on {}", addresses.join(" and "))
            }
            Self::OnlyHere => "a program listens, but only for this machine itself (on loopback)".to_owned(),
            Self::No => "no program listens".to_owned(),
            Self::Unknown(why) => format!("could not be found out: {why}"),
        }
    }
}

/// Looks at the sockets of this machine. Sends nothing.
pub(crate) fn look(transport: Transport, port: u16) -> Listening {
    by_tables(transport, port).unwrap_or_else(|| by_binding(transport, port))
}

/// What Linux lists; `None` elsewhere.
fn by_tables(transport: Transport, port: u16) -> Option<Listening> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let read = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}"));
    let first = read(transport.as_str()).ok()?;
    // A kernel without IPv6 has only one.
    let second = read(&format!("{transport}6")).unwrap_or_default();
    Some(conclude([first, second].iter().flat_map(|table| addresses(table, transport, port)).collect()))
}

fn conclude(mut addresses: Vec<IpAddr>) -> Listening {
    let none = addresses.is_empty();
    addresses.retain(|address| !address.to_canonical().is_loopback());
    addresses.sort_unstable();
    addresses.dedup();
    match (none, addresses.is_empty()) {
        (true, _) => Listening::No,
        (false, true) => Listening::OnlyHere,
        (false, false) => Listening::Yes(addresses),
    }
}

/// Reads columns: number, local address and port, remote ones, state. Hexadecimal, addresses in words of the host's byte order.
fn addresses(table: &str, transport: Transport, port: u16) -> Vec<IpAddr> {
    // TCP_LISTEN and, for a UDP socket that is not connected, TCP_CLOSE of <net/tcp_states.h>.
    let state = match transport {
        Transport::Tcp => "0A",
        Transport::Udp => "07",
    };
    let read = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, number) = columns.get(1)?.split_once(':')?;
        let ours = columns.get(3) == Some(&state) && u16::from_str_radix(number, 16) == Ok(port);
        if !ours || !address.is_ascii() {
            return None;
        }
        let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
        match address.len() {
            8 => Some(IpAddr::from(word(0)?)),
            32 => {
                let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
                <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
            }
            _ => None,
        }
    };
    table.lines().skip(1).filter_map(read).collect()
}

/// Takes the port for a moment, which only works if nobody has it.
fn by_binding(transport: Transport, port: u16) -> Listening {
    let bound = match transport {
        Transport::Udp => std::net::UdpSocket::bind(("0.0.0.0", port)).map(drop),
        Transport::Tcp => std::net::TcpListener::bind(("0.0.0.0", port)).map(drop),
    };
    match bound {
        Ok(()) => Listening::No,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Listening::Yes(Vec::new()),
        Err(error) => Listening::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn a_port_that_a_program_has_is_told_from_a_free_one() {
        let udp = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        assert!(matches!(look(Transport::Udp, port), Listening::Yes(_)), "{:?}", look(Transport::Udp, port));
        let tcp = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        let seen = look(Transport::Tcp, port);
        if cfg!(target_os = "linux") {
            assert_eq!(seen, Listening::OnlyHere);
        }
        drop(tcp);
        assert_eq!(look(Transport::Tcp, port), Listening::No);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_tables_are_read_for_both_families() {
        let four = "  sl  local_address rem_address   st\n   0: 0100007F:0FA0 00000000:0000 07 00000000:00000000\n";
        assert_eq!(addresses(four, Transport::Udp, 4000), [IpAddr::from([127, 0, 0, 1])]);
        assert!(addresses(four, Transport::Tcp, 4000).is_empty());
        let six = "  sl  local_address\n   0: 00000000000000000000000000000000:0FA0 00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(addresses(six, Transport::Tcp, 4000), ["::".parse::<IpAddr>().unwrap()]);
        assert_eq!(conclude(addresses(four, Transport::Udp, 4000)), Listening::OnlyHere);
    }
}
