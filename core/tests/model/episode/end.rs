//! The end of an episode: the router is well again, everything comes to rest, and everybody goes.

use std::thread;
use std::time::{Duration, Instant};

use portlease::{LeaseState, Release};
use portlease_gateway::Mapping;

use super::Episode;
use crate::ours::{Held, Ours, Stage};

/// How long leases may take to come to rest on a router that is well. The longest part of it is a renewal of the longest
/// lease but one, or the lifetime of a PCP mapping that another nonce has.
const REST: Duration = Duration::from_secs(40);
const STOP: Duration = Duration::from_secs(20);
/// Between two looks.
const PACE: Duration = Duration::from_millis(20);

impl Episode {
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.log.step("the end: all is well again, and everything comes to rest");
        self.heal();
        let began = Instant::now();
        loop {
            self.look()?;
            let Some(restless) = self.ours.iter().find_map(|ours| self.restless(ours)) else { break };
            if began.elapsed() > REST {
                return Err(restless);
            }
            thread::sleep(PACE);
        }
        while !self.ours.is_empty() {
            if self.stop_one(0, STOP)? == Release::Pending {
                return Err(format!("mapper {} has not stopped within {STOP:?}", self.ours[0].trail.name));
            }
            self.look()?;
        }
        self.last_look()
    }

    /// Nobody hears how a mapper ended that was dropped. On a router that was well all the time nothing of it is left.
    fn last_look(&self) -> Result<(), String> {
        let left = |table: &[Mapping]| -> Vec<String> {
            self.dropped.iter().flat_map(|trail| trail.left(None, table)).collect()
        };
        if self.traits.healthy && !self.gateway.wait_for(STOP, |state| left(&state.mappings).is_empty()) {
            return Err(format!("a mapper that was dropped has left {}", left(&self.table()).join(", ")));
        }
        Ok(())
    }

    /// A lease that ought to be in the router's table, or known to be unable to, and is neither.
    fn restless(&self, ours: &Ours) -> Option<String> {
        if ours.stopping || !self.traits.speaks_any(&ours.trail.protocols) {
            return None;
        }
        ours.held.iter().filter(|held| held.stage == Stage::Live).find_map(|held| {
            let snapshot = held.lease.snapshot();
            let rests = match (snapshot.active, snapshot.state) {
                (true, _) if held.is_in(&snapshot, &self.table()) => true,
                (_, LeaseState::Exited) => true,
                _ => ours.trail.is_ruled(held.port()) || self.has_excuse(held),
            };
            (!rests).then(|| {
                format!("mapper {} lease {} does not come to rest: {snapshot:?}", ours.trail.name, snapshot.id)
            })
        })
    }

    /// Whether others have what the lease insists on.
    fn has_excuse(&self, held: &Held) -> bool {
        let (request, (transport, internal)) = (held.lease.request(), held.port());
        let others = |entry: &Mapping| {
            (entry.transport, entry.external_port) == (transport, request.suggested_port())
                && entry.internal.port() != internal
        };
        request.exact && self.table().iter().any(others)
    }
}
