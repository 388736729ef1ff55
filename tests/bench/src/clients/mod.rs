//! portlease, its peers and the raw exchanges, each behind one trait. Every library is used as its own
//! documentation shows it, with its default settings.

mod crab_nat;
mod igd_next;
mod natpmp;
mod portlease;
mod portmapper;
mod raw_pcp;
mod raw_upnp;
mod tools;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::runtime::Runtime;

/// A protocol, as far as a setting offers it and a client speaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP IGD.
    Upnp,
}

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This project.
    Portlease,
    /// A crate; the process and its runtime have been started before.
    Library,
    /// A program; its start counts.
    Process,
    /// The bare exchange on plain sockets: nobody can be faster.
    Floor,
}

impl Kind {
    /// As in the records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Portlease => "portlease",
            Self::Library => "library",
            Self::Process => "process",
            Self::Floor => "floor",
        }
    }
}

/// The surroundings of a measurement.
pub(crate) struct World {
    /// What `#[tokio::main]` gives.
    pub(crate) runtime: Runtime,
    /// The router; for clients that want to be told. portlease looks it up within its time.
    pub(crate) gateway: Ipv4Addr,
    /// This host's address in the LAN; likewise.
    pub(crate) local: Ipv4Addr,
    /// After this long an attempt is given up.
    pub(crate) cap: Duration,
}

impl World {
    /// Runs an attempt on the runtime, at most for the cap.
    fn attempt<T>(&self, attempt: impl Future<Output = Result<T, String>>) -> Result<T, Failure> {
        match self.runtime.block_on(async { tokio::time::timeout(self.cap, attempt).await }) {
            Ok(outcome) => outcome.map_err(Failure::Answer),
            Err(_) => Err(Failure::Capped),
        }
    }
}

/// Why there is no mapping.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client said so.
    Answer(String),
    /// It had said nothing when the cap was reached.
    Capped,
}

/// A mapping in hand.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// The external address, where the client tells it.
    pub(crate) address: Option<IpAddr>,
    /// The external port; never 0.
    pub(crate) port: u16,
    /// The protocol, where the client tells it.
    pub(crate) protocol: Option<String>,
}

/// Undoes what an attempt did, outside the measured time. Errors are reported, not fatal.
pub(crate) type Cleanup<'world> = Box<dyn FnOnce() -> Result<(), String> + 'world>;

/// What an attempt came to.
pub(crate) struct Attempt<'world> {
    pub(crate) outcome: Result<Mapped, Failure>,
    /// To be run in any case.
    pub(crate) cleanup: Option<Cleanup<'world>>,
}

impl<'world> Attempt<'world> {
    fn failed(failure: Failure) -> Self {
        Self { outcome: Err(failure), cleanup: None }
    }

    fn mapped(mapped: Mapped, cleanup: impl FnOnce() -> Result<(), String> + 'world) -> Self {
        Self { outcome: Ok(mapped), cleanup: Some(Box::new(cleanup)) }
    }
}

/// Something that maps ports.
pub(crate) trait Client {
    /// The name in the table.
    fn name(&self) -> &'static str;
    /// What it is.
    fn kind(&self) -> Kind;
    /// What it speaks.
    fn speaks(&self) -> &'static [Protocol];
    /// Maps a UDP port, wishing for the same external port; returns when the client has an answer.
    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world>;
}

/// The lifetime that every client asks for, in seconds, where it can be chosen.
const LIFETIME: u32 = 3600;

/// Everybody, in the order of the table.
pub(crate) fn all() -> Vec<Box<dyn Client>> {
    vec![
        Box::new(portlease::Fresh { pcp_only: false }),
        Box::new(portlease::Running::default()),
        Box::new(igd_next::IgdNext),
        Box::new(natpmp::Natpmp),
        Box::new(crab_nat::CrabNat),
        Box::new(portmapper::Portmapper { probe: false }),
        Box::new(portmapper::Portmapper { probe: true }),
        Box::new(tools::Upnpc),
        Box::new(tools::Natpmpc),
        Box::new(raw_pcp::RawPcp),
        Box::new(raw_pcp::RawNatPmp),
        Box::new(raw_upnp::RawUpnp),
        Box::new(portlease::Fresh { pcp_only: true }),
    ]
}
