//! The router of one episode: what it is, for as long as the episode lasts.

use std::net::{IpAddr, Ipv4Addr};

use portlease::{Config, Protocol};
use portlease_gateway::{Faults, Gateway, GatewayConfig};

use crate::dice::Dice;

/// The error lifetime of PCP, in seconds: refusals that hold for longer would be all that an episode sees.
const ERROR_LIFETIME: u32 = 1;
/// The UPnP error of a router that does not know an action.
const INVALID_ACTION: u16 = 401;

/// What sort of router it is. Chosen once: a router does not change its nature.
#[derive(Debug, Clone)]
pub(crate) struct Traits {
    /// Nothing ever goes wrong by itself.
    pub(crate) healthy: bool,
    /// A UPnP client can touch the entries of its own address alone.
    pub(crate) secure: bool,
    /// AddPortMapping replaces an entry of the same address that leads to another port.
    pub(crate) overwrite: bool,
    /// It has no GetSpecificPortMappingEntry.
    pub(crate) blind: bool,
    /// UPnP makes permanent mappings alone (725).
    pub(crate) permanent: bool,
    /// A PCP mapping can be taken over with another nonce, as from miniupnpd.
    pub(crate) nonce_takeover: bool,
    pub(crate) igd_version: u8,
    pub(crate) protocols: Vec<Protocol>,
}

impl Traits {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut protocols: Vec<_> = Protocol::ALL.into_iter().filter(|_| dice.chance(85)).collect();
        if protocols.is_empty() {
            protocols.push(dice.pick(&Protocol::ALL));
        }
        let blind = dice.chance(15);
        Self {
            healthy: dice.chance(20),
            // What the protocol cannot do: without a look at the entry nobody can know whose it is before he deletes or
            // overwrites it, and a router that shows nothing does not stop him either. SECURITY.md says so.
            secure: blind || dice.chance(50),
            overwrite: !blind && dice.chance(30),
            blind,
            permanent: dice.chance(10),
            nonce_takeover: dice.chance(30),
            igd_version: dice.pick(&[1, 2]),
            protocols,
        }
    }

    /// Whether every stop is confirmed. A router that shows nothing says `not authorized` to the delete of what is another
    /// host's by now, and nobody can know that it is.
    pub(crate) fn always_confirms(&self) -> bool {
        self.healthy && !self.blind
    }

    /// The switches of this router when all is well.
    pub(crate) fn faults(&self) -> Faults {
        let mut faults = Faults {
            error_lifetime: Some(ERROR_LIFETIME),
            nonce_takeover: self.nonce_takeover,
            nonzero_lease_error: self.permanent.then_some(725),
            ..Faults::default()
        };
        if self.blind {
            faults.soap_errors.insert("GetSpecificPortMappingEntry".into(), INVALID_ACTION);
        }
        faults
    }

    pub(crate) fn start(&self, seed: u64) -> Gateway {
        let speaks = |protocol| self.protocols.contains(&protocol);
        let config = GatewayConfig {
            secure_mode: self.secure,
            upnp_overwrite: self.overwrite,
            igd_version: self.igd_version,
            pcp: speaks(Protocol::Pcp),
            nat_pmp: speaks(Protocol::NatPmp),
            upnp: speaks(Protocol::Upnp),
            bind: address_of(seed),
            forward: false,
            faults: self.faults(),
            seed,
            ..GatewayConfig::default()
        };
        Gateway::start(config).expect("the simulated gateway starts")
    }

    /// Whether one of these protocols is spoken.
    pub(crate) fn speaks_any(&self, protocols: &[Protocol]) -> bool {
        protocols.iter().any(|protocol| self.protocols.contains(protocol))
    }
}

/// The address of an episode's router. Its own on Linux, where all of 127.0.0.0/8 is this host: a port that one router has
/// closed may be another's soon.
fn address_of(seed: u64) -> IpAddr {
    let [.., a, b, c] = seed.to_be_bytes();
    let own = Ipv4Addr::new(127, 64 | a & 63, b, 1 + c % 250);
    IpAddr::V4(if cfg!(target_os = "linux") { own } else { Ipv4Addr::LOCALHOST })
}

/// A configuration that finds `gateway`.
pub(crate) fn config(gateway: &Gateway) -> Config {
    Config::default().gateway(gateway.address()).pcp_port(gateway.pcp_port()).ssdp_address(gateway.ssdp_address())
}
