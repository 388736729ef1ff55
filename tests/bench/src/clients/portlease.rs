//! This project's crate.

use std::cell::OnceCell;
use std::time::Duration;

use portlease::{Config, ErrorKind, Lease, LeaseSnapshot, MapRequest, Mapper, PortMappingError, Transport};

use super::{Attempt, Client, Failure, Kind, Mapped, Protocol, World};

/// Covers a release by the slowest protocol.
const STOP: Duration = Duration::from_secs(10);

fn mapped(snapshot: &LeaseSnapshot) -> Result<Mapped, Failure> {
    let Some(external) = snapshot.external() else {
        return Err(Failure::Answer("the lease is ready and has no external address".to_owned()));
    };
    let protocol = snapshot.protocol().map(|protocol| protocol.to_string());
    Ok(Mapped { address: Some(external.ip()), port: external.port(), protocol })
}

fn failure(error: &PortMappingError) -> Failure {
    match error.kind() {
        ErrorKind::Timeout => Failure::Capped,
        kind => Failure::Answer(format!("{kind}: {error}")),
    }
}

/// Waits as a program would that has a runtime of its own.
fn wait_ready(world: &World, lease: &Lease) -> Result<Mapped, Failure> {
    world.runtime.block_on(lease.ready(world.cap)).map_err(|error| failure(&error)).and_then(|ready| mapped(&ready))
}

/// Start, map and ready: what a program's first mapping costs.
pub(super) struct Fresh {
    /// Only PCP, in place of the default, where all protocols race: shows what the race costs.
    pub(super) pcp_only: bool,
}

impl Client for Fresh {
    fn name(&self) -> &'static str {
        match self.pcp_only {
            false => "portlease",
            true => "portlease (PCP only)",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Portlease
    }

    fn speaks(&self) -> &'static [Protocol] {
        match self.pcp_only {
            false => &[Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp],
            true => &[Protocol::Pcp],
        }
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let mut config = Config::default();
        if self.pcp_only {
            config.protocols = vec![portlease::Protocol::Pcp];
        }
        let begin = || {
            let mapper = Mapper::start(config)?;
            let lease = mapper.map(MapRequest::new(port, Transport::Udp))?;
            Ok((mapper, lease))
        };
        let (mapper, lease) = match begin() {
            Ok(begun) => begun,
            Err(error) => return Attempt::failed(failure(&error)),
        };
        let outcome = wait_ready(world, &lease);
        let cleanup = move || {
            world.runtime.block_on(mapper.stop(STOP));
            drop(lease);
            Ok(())
        };
        Attempt { outcome, cleanup: Some(Box::new(cleanup)) }
    }
}

/// Map and ready on a mapper that has mapped before: what each further mapping costs.
#[derive(Default)]
pub(super) struct Running {
    mapper: OnceCell<Mapper>,
}

impl Client for Running {
    fn name(&self) -> &'static str {
        "portlease (mapper running)"
    }

    fn kind(&self) -> Kind {
        Kind::Portlease
    }

    fn speaks(&self) -> &'static [Protocol] {
        Fresh { pcp_only: false }.speaks()
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let mapper = match self.mapper.get() {
            Some(mapper) => mapper,
            None => match Mapper::start(Config::default()) {
                Ok(mapper) => self.mapper.get_or_init(|| mapper),
                Err(error) => return Attempt::failed(failure(&error)),
            },
        };
        let lease = match mapper.map(MapRequest::new(port, Transport::Udp)) {
            Ok(lease) => lease,
            Err(error) => return Attempt::failed(failure(&error)),
        };
        let outcome = wait_ready(world, &lease);
        let cleanup = move || {
            world.runtime.block_on(lease.stop(STOP));
            Ok(())
        };
        Attempt { outcome, cleanup: Some(Box::new(cleanup)) }
    }
}
