//! The steps: what portlease is told to do, and how the router fares.

use std::thread;
use std::time::{Duration, Instant};

use portlease::{MapRequest, Mapper, Protocol, Release, RetryPolicy, Transport, wait};

use super::{Episode, FIRST_WISH, MAX_MAPPERS, WISHES};
use crate::ours::{Ours, PORT_STEP, Stage};
use crate::router::config;
use crate::trouble;

/// What a stop may take longer than it was given: the machine is busy.
pub(super) const STOP_SLACK: Duration = Duration::from_secs(5);

impl Episode {
    pub(super) fn act(&mut self) -> Result<(), String> {
        let healthy = self.traits.healthy;
        let trouble = if healthy { 0 } else { 7 };
        let heal = if self.troubled { 12 } else { 0 };
        match self.dice.weighted(&[18, 20, 12, 4, 1, 14, 6, 3, 8, 5, trouble, heal, 1, 5, 1, 1, 5]) {
            0 => self.map(),
            1 => self.ready(),
            2 => return self.stop(),
            3 => self.drop_lease(),
            4 => self.detach(),
            5 => self.idle(),
            6 => self.put_foreign(),
            7 => self.remove_foreign(),
            8 => self.second_adds(),
            9 => self.second_changes(),
            10 => self.trouble(),
            11 => {
                self.log.step("all is well again");
                self.heal();
            }
            12 => self.reboot(),
            13 => self.take_over(),
            14 => return self.stop_mapper(),
            15 => self.drop_mapper(),
            _ => self.start_mapper(),
        }
        Ok(())
    }

    fn start_mapper(&mut self) {
        if self.ours.len() >= MAX_MAPPERS {
            return;
        }
        let protocols = match self.dice.below(6) {
            0 => vec![Protocol::Pcp],
            1 => vec![Protocol::NatPmp],
            2 | 3 => vec![Protocol::Upnp],
            _ => Protocol::ALL.to_vec(),
        };
        let retry = match self.dice.chance(10) {
            true => RetryPolicy::Never,
            false => RetryPolicy::backoff(Duration::from_millis(100), Duration::from_millis(300)),
        };
        let (ttl, threshold) = (self.dice.pick(&[2, 3, 4, 60]), self.dice.pick(&[1, 3]));
        let config = config(&self.gateway)
            .protocols(protocols.clone())
            .ttl(Duration::from_secs(ttl))
            .failure_threshold(threshold)
            // What has no lifetime is looked at as often as the rest.
            .renewal_interval(Duration::from_secs(4))
            .retry(retry);
        let (name, first_port) = (self.mappers, self.next_first_port());
        self.mappers += 1;
        self.log.step(format!("start mapper {name}: {protocols:?}, ttl {ttl} s, {retry:?}, ports from {first_port}"));
        let mapper = Mapper::start(config).expect("the configuration is valid");
        self.ours.push(Ours::new(name, mapper, protocols, first_port));
    }

    fn any_mapper(&mut self) -> Option<usize> {
        let running: Vec<usize> = (0..self.ours.len()).filter(|index| !self.ours[*index].stopping).collect();
        if running.is_empty() {
            self.start_mapper();
            return None;
        }
        Some(self.dice.pick(&running))
    }

    pub(super) fn any_lease(&mut self, stages: &[Stage]) -> Option<(usize, usize)> {
        let all = self.ours.iter().enumerate().flat_map(|(mapper, ours)| {
            let fits = ours.held.iter().enumerate().filter(|(_, held)| stages.contains(&held.stage));
            fits.map(move |(lease, _)| (mapper, lease))
        });
        let all: Vec<_> = all.collect();
        if all.is_empty() { None } else { Some(self.dice.pick(&all)) }
    }

    fn map(&mut self) {
        let Some(index) = self.any_mapper() else { return };
        let ports: Vec<u16> = self.ours[index].trail.internal_ports().collect();
        let mut request = MapRequest::new(self.dice.pick(&ports), self.dice.pick(&Transport::ALL));
        if self.dice.chance(50) {
            request = request.external_port(FIRST_WISH + self.dice.below(WISHES.into()) as u16 * PORT_STEP);
        }
        if self.dice.chance(25) {
            request = request.exact();
        }
        let MapRequest { internal_port, transport, external_port, exact, .. } = request;
        let name = self.ours[index].trail.name;
        self.log.step(format!("mapper {name} maps {transport} {internal_port}, wish {external_port:?}, exact {exact}"));
        let outcome = self.ours[index].map(request);
        self.log.outcome(outcome);
    }

    fn ready(&mut self) {
        let Some((mapper, lease)) = self.any_lease(&[Stage::Live]) else { return };
        let limit = Duration::from_millis(self.dice.below(30));
        let held = &self.ours[mapper].held[lease];
        self.log.step(format!(
            "mapper {} lease {} ready within {limit:?}",
            self.ours[mapper].trail.name,
            held.lease.id()
        ));
        match wait(held.lease.ready(limit)) {
            Ok(snapshot) => self.log.outcome(format!("{:?} {:?}", snapshot.protocol(), snapshot.external_port())),
            Err(error) => self.log.outcome(error),
        }
    }

    fn stop(&mut self) -> Result<(), String> {
        let Some((mapper, lease)) = self.any_lease(&[Stage::Live, Stage::Ending]) else { return Ok(()) };
        let limit = match self.dice.chance(if self.troubled { 5 } else { 50 }) {
            true => Duration::from_secs(8),
            false => Duration::from_millis(self.dice.below(40)),
        };
        let id = self.ours[mapper].held[lease].lease.id();
        self.log.step(format!("mapper {} lease {id} stops within {limit:?}", self.ours[mapper].trail.name));
        let port = self.ours[mapper].held[lease].port();
        let excused = self.ours[mapper].trail.is_excused(port);
        let (began, gateway) = (Instant::now(), &self.gateway);
        let release = self.ours[mapper].stop(lease, limit, || gateway.mappings())?;
        self.log.outcome(release);
        if began.elapsed() > limit + STOP_SLACK {
            return Err(format!("a stop of {limit:?} took {:?}", began.elapsed()));
        }
        if release == Release::Unconfirmed && self.traits.always_confirms() && !excused {
            let why = self.ours[mapper].held[lease].lease.snapshot().last_error;
            return Err(format!("a stop was not confirmed, although the router was well all the time: {why:?}"));
        }
        if release != Release::Pending {
            self.ours[mapper].held.swap_remove(lease);
        }
        Ok(())
    }

    fn drop_lease(&mut self) {
        let Some((mapper, lease)) = self.any_lease(&[Stage::Live, Stage::Ending]) else { return };
        let id = self.ours[mapper].held[lease].lease.id();
        self.log.step(format!("mapper {} lease {id} is dropped", self.ours[mapper].trail.name));
        self.ours[mapper].drop_lease(lease);
    }

    fn detach(&mut self) {
        let Some((mapper, lease)) = self.any_lease(&[Stage::Live]) else { return };
        let ours = &mut self.ours[mapper];
        self.log.step(format!("mapper {} lease {} is detached", ours.trail.name, ours.held[lease].lease.id()));
        ours.detach(lease);
    }

    fn idle(&mut self) {
        let pause = Duration::from_millis(self.dice.below(8));
        self.log.step(format!("nothing for {pause:?}"));
        thread::sleep(pause);
    }

    fn trouble(&mut self) {
        let (dice, shows, mut told) = (&mut self.dice, !self.traits.secure || self.traits.overwrite, None);
        self.gateway.update_faults(|faults| told = Some(trouble::begin(dice, faults, shows)));
        self.troubled = true;
        if let Some(trouble) = told {
            self.log.step(trouble.told);
            if trouble.lingers {
                self.linger();
            }
        }
    }

    fn stop_mapper(&mut self) -> Result<(), String> {
        let Some(index) = self.any_mapper() else { return Ok(()) };
        let limit = Duration::from_millis(self.dice.below(100));
        self.stop_one(index, limit).map(|_| ())
    }

    fn drop_mapper(&mut self) {
        let Some(index) = self.any_mapper() else { return };
        // Most go in order.
        if self.dice.chance(60) {
            return;
        }
        self.log.step(format!("mapper {} is dropped with its leases", self.ours[index].trail.name));
        let trail = self.ours.swap_remove(index).drop_all();
        self.dropped.push(trail);
    }

    /// Stops a mapper, or waits once more for one that is stopping.
    pub(super) fn stop_one(&mut self, index: usize, limit: Duration) -> Result<Release, String> {
        let name = self.ours[index].trail.name;
        self.log.step(format!("mapper {name} stops within {limit:?}"));
        self.ours[index].stopping = true;
        let began = Instant::now();
        let release = wait(self.ours[index].mapper.stop(limit));
        self.log.outcome(release);
        if began.elapsed() > limit + STOP_SLACK {
            return Err(format!("the stop of mapper {name} took {:?} instead of {limit:?}", began.elapsed()));
        }
        if release == Release::Pending {
            return Ok(release);
        }
        let mut ours = self.ours.swap_remove(index);
        ours.watch(self.shaken);
        let left = ours.trail.left(None, &self.table());
        if release == Release::Released && !left.is_empty() {
            return Err(format!("mapper {name} said released and left {}", left.join(", ")));
        }
        if release == Release::Unconfirmed && self.traits.always_confirms() && !ours.unconfirmed {
            let why = ours.complaints.join("; ");
            return Err(format!("mapper {name} was not confirmed, although the router was well all the time: {why}"));
        }
        Ok(release)
    }
}
