//! What a STUN server saw, compared with what the router says.

use std::net::{IpAddr, SocketAddrV4};

use portlease::AddressClass;

use crate::network::{Kind, Link, Network};

/// What follows from the two addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The router's address is the one that the internet sees.
    Same,
    /// This machine's own address is.
    NoNat,
    Cgnat,
    DoubleNat,
    VpnExit,
    /// They differ, and it is not known why.
    Differs,
    Unknown,
}

impl Sight {
    /// The stable name in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::NoNat => "no-nat",
            Self::Cgnat => "cgnat",
            Self::DoubleNat => "double-nat",
            Self::VpnExit => "vpn-exit",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

/// What the server that the user has named answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outside {
    pub(crate) server: String,
    pub(crate) seen: Result<SocketAddrV4, String>,
    pub(crate) sight: Sight,
}

impl Outside {
    /// Compares. `seen`: what the server saw, and the address from which it was asked; `router`: the external address that the
    /// router tells.
    pub(crate) fn new(
        server: String,
        seen: Result<(SocketAddrV4, IpAddr), String>,
        router: Option<IpAddr>,
        network: &Network,
    ) -> Self {
        let sight = match &seen {
            Ok((seen, local)) => compare(IpAddr::V4(*seen.ip()), *local, router, network),
            Err(_) => Sight::Unknown,
        };
        Self { server, seen: seen.map(|(seen, _)| seen), sight }
    }

    /// For people, without a full stop.
    pub(crate) fn text(&self) -> String {
        let seen = match &self.seen {
            Ok(seen) => *seen.ip(),
            Err(why) => return format!("unknown: {why}"),
        };
        let what = match self.sight {
            Sight::Same => "the router's own address",
            Sight::NoNat => "this machine's own address: there is no NAT between",
            Sight::Cgnat => {
                "not the router's, which is in the provider's carrier-grade NAT: ports cannot be reached from the internet"
            }
            Sight::DoubleNat => "not the router's, which is private: another router stands before the internet",
            Sight::VpnExit => "not the router's: packets leave by a VPN, and this is its exit",
            Sight::Differs => {
                "not the router's, which is public too: a VPN on the router, a second line or another NAT"
            }
            Sight::Unknown => "but the router does not tell its address, so there is nothing to compare",
        };
        format!("{seen}, {what}")
    }
}

fn compare(seen: IpAddr, local: IpAddr, router: Option<IpAddr>, network: &Network) -> Sight {
    if router == Some(seen) {
        return Sight::Same;
    }
    if local == seen {
        return Sight::NoNat;
    }
    // By the address, and not by a default route: VPNs have routes to each half of the internet, or a table of their own.
    let is_local = |link: &&Link| link.addresses.iter().any(|address| IpAddr::V4(*address) == local);
    if network.links.iter().find(is_local).is_some_and(|link| link.kind == Kind::Vpn) {
        return Sight::VpnExit;
    }
    match router.map(AddressClass::of) {
        Some(AddressClass::Cgnat) => Sight::Cgnat,
        Some(AddressClass::Private) => Sight::DoubleNat,
        Some(AddressClass::Public | AddressClass::Reserved) => Sight::Differs,
        Some(AddressClass::Unknown) | None => Sight::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::State;

    #[test]
    fn the_address_that_is_seen_from_outside_tells_one_nat_from_two_and_from_a_vpn() {
        let link = |name: &str, kind, address: [u8; 4]| Link {
            name: name.to_owned(),
            kind,
            state: State::Connected,
            addresses: vec![address.into()],
        };
        let links = vec![link("eth0", Kind::Wired, [192, 168, 1, 20]), link("wg0", Kind::Vpn, [10, 8, 0, 2])];
        let network = Network { links, ..Network::default() };
        let [home, vpn] = [[192, 168, 1, 20], [10, 8, 0, 2]].map(IpAddr::from);
        let seen: SocketAddrV4 = "192.0.1.1:5000".parse().unwrap();
        for (router, local, sight) in [
            (Some("192.0.1.1"), home, Sight::Same),
            (Some("192.0.1.1"), vpn, Sight::Same),
            (Some("100.64.0.9"), home, Sight::Cgnat),
            (Some("192.168.0.5"), home, Sight::DoubleNat),
            (Some("192.0.1.9"), home, Sight::Differs),
            (Some("192.0.1.9"), vpn, Sight::VpnExit),
            (None, home, Sight::Unknown),
            (None, IpAddr::from([192, 0, 1, 1]), Sight::NoNat),
        ] {
            let router = router.map(|router| router.parse().unwrap());
            let outside = Outside::new("stun.example".to_owned(), Ok((seen, local)), router, &network);
            assert_eq!(outside.sight, sight, "{router:?} {local}");
            assert!(outside.text().starts_with("192.0.1.1, "), "{}", outside.text());
        }
        let silent = Outside::new("s".to_owned(), Err("no answer".to_owned()), None, &network);
        assert_eq!((silent.sight, silent.text().as_str()), (Sight::Unknown, "unknown: no answer"));
    }
}
