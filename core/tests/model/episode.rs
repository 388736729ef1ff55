//! One router from its start to its end, and what everybody does with it.

mod acts;
mod end;
mod others;

use std::time::{Duration, Instant};

use portlease_gateway::{Gateway, Mapping, Transport as Wire};

use crate::dice::Dice;
use crate::foreign::{Foreign, Key};
use crate::ours::{Ours, PORT_STEP, PORTS, Trail};
use crate::router::Traits;
use crate::trouble;
use crate::verdict::{Failure, Log};

/// Who the second client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cast {
    /// Messages written by hand, over all protocols.
    Scripted,
    /// The program `upnpc`.
    Upnpc,
}

/// External ports that everybody wishes for.
const WISHES: u16 = 8;
const FIRST_WISH: u16 = 7000;
/// Internal ports of the first mapper, and of the second client.
const FIRST_OURS: u16 = 20_000;
const FIRST_SECOND: u16 = 9_000;
const MAX_MAPPERS: usize = 3;
/// How long a UPnP call may be under way that a router has left without an answer (core's limit is 1.8 s).
const LINGERING: Duration = Duration::from_millis(2500);

/// The state of an episode.
pub(crate) struct Episode {
    seed: u64,
    cast: Cast,
    dice: Dice,
    traits: Traits,
    gateway: Gateway,
    foreign: Foreign,
    ours: Vec<Ours>,
    /// Mappers that were dropped: nobody hears how they end.
    dropped: Vec<Trail>,
    mappers: usize,
    next_second: u16,
    /// When something last happened to the router's table.
    shaken: Instant,
    /// Until when UPnP calls may be under way that met trouble.
    lingering_until: Instant,
    troubled: bool,
    log: Log,
}

impl Episode {
    /// `told`: how many of its last steps a failure tells.
    pub(crate) fn new(seed: u64, cast: Cast, told: usize) -> Self {
        let mut dice = Dice::new(seed);
        let traits = Traits::draw(&mut dice);
        let gateway = traits.start(seed);
        let log = Log::new(gateway.events(), told);
        let now = Instant::now();
        Self {
            seed,
            cast,
            dice,
            traits,
            gateway,
            foreign: Foreign::default(),
            ours: Vec::new(),
            dropped: Vec::new(),
            mappers: 0,
            next_second: FIRST_SECOND,
            shaken: now,
            lingering_until: now,
            troubled: false,
            log,
        }
    }

    /// Plays `steps` steps and the end.
    pub(crate) fn play(mut self, steps: usize) -> Result<(), Box<Failure>> {
        let played = (0..steps).try_for_each(|_| self.step()).and_then(|()| self.end());
        let Err(what) = played else { return Ok(()) };
        self.log.hear();
        let (traits, table) = (format!("{:?}", self.traits), self.gateway.mappings());
        Err(Box::new(Failure { seed: self.seed, traits, what, log: self.log, table }))
    }

    fn step(&mut self) -> Result<(), String> {
        self.act()?;
        self.look()
    }

    /// What must hold after every step.
    fn look(&mut self) -> Result<(), String> {
        self.log.hear();
        self.foreign.check(&self.gateway)?;
        let shaken = self.shaken;
        self.ours.iter_mut().for_each(|ours| ours.watch(shaken));
        // Where an entry can be overwritten, two mappers that have both found the place empty can take it from each other.
        // The one that has lost it notices when it looks.
        if self.traits.overwrite {
            return Ok(());
        }
        match self.ours.iter().find_map(|ours| ours.missing(|| self.gateway.mappings())) {
            Some(missing) => Err(missing),
            None => Ok(()),
        }
    }

    /// External ports at which entries of others may stand: what our leases wish for.
    fn wished_ports(&self) -> Vec<u16> {
        let wishes = (0..WISHES).map(|index| FIRST_WISH + index * PORT_STEP);
        wishes.chain(self.ours.iter().flat_map(|ours| ours.trail.internal_ports())).collect()
    }

    fn any_key(&mut self) -> Key {
        let ports = self.wished_ports();
        (self.dice.pick(&[Wire::Udp, Wire::Tcp]), self.dice.pick(&ports))
    }

    /// Whether no request of ours that names this place is under way. Between a look at an entry and the request that
    /// deletes or replaces it, UPnP lets nobody hold the entry: who takes the place just then is harmed, and no client can
    /// help it. SECURITY.md says so; here others take a place only when nobody is between the two.
    fn is_calm(&self, key: Key) -> bool {
        let lingering = self.lingering();
        // A router that shows no entry cannot tell our own from one that another program of this host makes in its place.
        let known = !self.traits.blind || !self.ours.iter().any(|ours| ours.touches(key));
        let dropped = self.dropped.iter().any(|trail| trail.touches(key));
        known && !dropped && self.ours.iter().all(|ours| ours.is_calm(key, lingering))
    }

    fn lingering(&self) -> Duration {
        if self.lingering_until > Instant::now() { LINGERING } else { Duration::ZERO }
    }

    fn linger(&mut self) {
        self.lingering_until = Instant::now() + LINGERING;
    }

    fn shake(&mut self) {
        self.shaken = Instant::now();
        self.ours.iter_mut().for_each(Ours::shake);
    }

    fn heal(&mut self) {
        if self.troubled {
            if self.gateway.faults().upnp != self.traits.faults().upnp {
                self.linger();
            }
            let well = self.traits.faults();
            self.gateway.update_faults(|faults| *faults = trouble::heal(&well, faults));
            self.troubled = false;
        }
    }

    fn table(&self) -> Vec<Mapping> {
        self.gateway.mappings()
    }

    fn next_first_port(&self) -> u16 {
        FIRST_OURS + self.mappers as u16 * PORTS * PORT_STEP
    }
}
