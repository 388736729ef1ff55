//! One stay of `portlease map`: tells every event, decides when it ends, and leaves nothing behind.

mod ending;

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use portlease::{
    AddressClass, AddressFamily, ErrorKind, ErrorReport, Event, EventKind, Lease, LeaseSnapshot, MapRequest, Mapper,
    PortMappingError,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::args::{Families, port_name};
use crate::company::{Company, News};
use crate::event::{self, JsonEvent};
use crate::output::Output;
use crate::signals::Signals;
use crate::{advice, status};

/// Why the holding ends.
#[derive(Debug)]
pub(crate) enum End {
    Signal,
    TimeUp,
    /// With `--detach`.
    AllMapped,
    /// A lease is over.
    Failed,
    /// Nobody reads stdout any more.
    OutputClosed(io::Error),
    /// The program has ended with this status, or could not be started.
    Program(u8),
}

/// What was seen so far.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    output: &'a Output,
    /// The lines name the families.
    names_families: bool,
    /// Every lease as it was at first, by its number.
    leases: HashMap<u64, LeaseSnapshot>,
    /// The external port of each lease that the user has named.
    asked_for: HashMap<u64, u16>,
    /// The leases that got another one, and which: it is told once.
    given: HashMap<u64, u16>,
    /// The leases that were mapped at some time, and the class of their latest address.
    mapped: HashMap<u64, AddressClass>,
    /// The leases of which it is known if they could be mapped at first.
    answered: HashSet<u64>,
    /// The leases that are over.
    over: HashSet<u64>,
    /// The kind of what was told last of a lease that has no mapping now, and the advice.
    told: HashMap<u64, (ErrorKind, Option<String>)>,
    detaching: bool,
    /// The first failure ends a lease.
    gives_up: bool,
    last_error: Option<ErrorReport>,
}

impl<'a> Session<'a> {
    /// Nothing was seen yet. `detaching`: it ends when all is mapped, and leaves the mappings. `gives_up`: the
    /// first failure ends a lease.
    pub(crate) fn new<'l>(
        output: &'a Output,
        leases: impl Iterator<Item = (&'l MapRequest, &'l Lease)> + Clone,
        families: Families,
        detaching: bool,
        gives_up: bool,
    ) -> Self {
        let asked_for = leases.clone().filter_map(|(request, lease)| Some((lease.id(), request.external_port?)));
        Self {
            output,
            names_families: families.has(AddressFamily::Ipv6),
            asked_for: asked_for.collect(),
            leases: leases.map(|(_, lease)| (lease.id(), lease.snapshot())).collect(),
            given: HashMap::new(),
            mapped: HashMap::new(),
            answered: HashSet::new(),
            over: HashSet::new(),
            told: HashMap::new(),
            detaching,
            gives_up,
            last_error: None,
        }
    }

    fn family(&self, event: &Event) -> Option<AddressFamily> {
        self.leases.get(&event.lease?).map(|lease| lease.family)
    }

    /// How the port of a lease is called.
    fn name(&self, lease: &LeaseSnapshot) -> String {
        port_name(lease.internal_port, lease.transport, self.names_families.then_some(lease.family))
    }

    /// How the port of an event is called; empty for an event that is about none.
    fn name_of(&self, event: &Event) -> String {
        event::port(event, self.family(event).filter(|_| self.names_families))
    }

    /// The leases on the port of this one: itself, and that of the other family.
    fn of_port(&self, lease: u64) -> impl Iterator<Item = u64> {
        let port = |lease: &LeaseSnapshot| (lease.internal_port, lease.transport);
        let wanted = self.leases.get(&lease).map(port);
        self.leases.values().filter(move |other| Some(port(other)) == wanted).map(|other| other.id)
    }

    /// Tells every event until something ends it. While a program runs, only its end does.
    pub(crate) async fn hold(
        &mut self,
        mapper: &Mapper,
        leases: &[Lease],
        company: &mut Company<'_>,
        signals: &mut Signals,
        deadline: Option<Instant>,
    ) -> End {
        let live = !self.detaching && self.output.begin_live();
        let mut clock = interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut mapper_is_over = false;
        loop {
            let end = tokio::select! {
                biased;
                heard = signals.heard() => (!company.pass_on(heard)).then_some(End::Signal),
                status = company.next() => status.map(End::Program),
                () = at(deadline) => Some(End::TimeUp),
                event = mapper.next_event(None), if !mapper_is_over => {
                    mapper_is_over = event.is_err();
                    self.take(event).filter(|_| !company.program_runs())
                }
                _ = clock.tick(), if live => None,
            };
            let end = end.or_else(|| company.tell(self.news(&snapshots(leases))));
            if let Some(end) = end {
                return company.end(end);
            }
            if live {
                let line = |lease: &LeaseSnapshot| status::line(&self.name(lease), lease, self.output.paint());
                self.output.draw(snapshots(leases).iter().map(line));
            }
        }
    }

    /// What is told to others than the reader.
    fn news<'l>(&self, leases: &'l [LeaseSnapshot]) -> News<'l> {
        let is_mapped = |lease: &LeaseSnapshot| {
            let port = |lease: &LeaseSnapshot| (lease.internal_port, lease.transport);
            leases.iter().any(|other| port(other) == port(lease) && other.active)
        };
        News {
            leases,
            answered: self.leases.keys().all(|lease| self.answered.contains(lease)),
            mapped: leases.iter().all(is_mapped),
            summary: status::summary(leases.iter().map(|lease| (self.name(lease), lease.clone()))),
        }
    }

    /// Tells what came from the mapper; answers whether it ends the holding.
    fn take(&mut self, event: Result<Event, PortMappingError>) -> Option<End> {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.fail(ErrorReport::from(&error));
                return Some(End::Failed);
            }
        };
        // Then its end follows.
        let ends = event.kind == EventKind::Failed && self.gives_up;
        self.answered.extend(event.lease.filter(|_| !ends));
        self.take_event(&event).unwrap_or_else(|error| Some(End::OutputClosed(error)))
    }

    /// Tells one event; answers whether it ends the holding.
    fn take_event(&mut self, event: &Event) -> io::Result<Option<End>> {
        if matches!(event.kind, EventKind::Installed | EventKind::Changed)
            && let Some(lease) = event.lease
        {
            self.mapped.insert(lease, event.address_class);
            self.told.remove(&lease);
        }
        self.tell(event)?;
        if event.kind == EventKind::Exited {
            // Only a failure ends a lease that nobody has stopped.
            if let (Some(error), None) = (&event.error, &self.last_error) {
                self.fail(ErrorReport::clone(error));
            }
            self.over.extend(event.lease);
            // The port may have another lease, that of the other family.
            if event.lease.is_none_or(|lease| self.of_port(lease).all(|other| self.over.contains(&other))) {
                return Ok(Some(End::Failed));
            }
        }
        let settled = |lease| self.mapped.contains_key(lease) || self.over.contains(lease);
        let ends = matches!(event.kind, EventKind::Installed | EventKind::Exited);
        Ok((ends && self.detaching && self.leases.keys().all(settled)).then_some(End::AllMapped))
    }

    fn tell(&mut self, event: &Event) -> io::Result<()> {
        let name = self.name_of(event);
        if self.output.json() {
            self.output.object(&JsonEvent::new(event, self.family(event)))?;
        } else if let Some(text) = event::good_news(event, &name) {
            self.output.line(&text)?;
        }
        if let Some(message) = event::warning(event) {
            self.output.warning(message);
        }
        if let Some(report) = event::bad_news(event, &name) {
            self.tell_bad_news(event, &name, report);
        }
        if matches!(event.kind, EventKind::Installed | EventKind::Changed) {
            self.warn_of_another_port(event, &name);
            self.warn_of_address(event, &name);
        }
        Ok(())
    }

    /// Peers know the port that the user has asked for, and nobody answers there.
    fn warn_of_another_port(&mut self, event: &Event, name: &str) {
        let (Some(lease), Some(given)) = (event.lease, event.external_port) else { return };
        let Some(asked) = self.asked_for.get(&lease).filter(|asked| **asked != given) else { return };
        if self.given.insert(lease, given) != Some(given) {
            self.output.warning(&format!(
                "{name}: the router opened port {given}, not port {asked} as asked: others must connect to port {given}"
            ));
            self.output.note("  try: `portlease list` shows what is taken; with --exact no other port is accepted");
        }
    }

    fn warn_of_address(&self, event: &Event, name: &str) {
        let Some(reason) = AddressClass::unreachable(event.external.map(|external| external.ip())) else { return };
        self.output.warning(&format!("{name}: {reason}"));
        let steps = advice::unreachable(self.family(event), event.address_class);
        self.output.note(format!("  try: {}", steps.join("; ")));
    }

    fn tell_bad_news(&mut self, event: &Event, name: &str, mut report: ErrorReport) {
        // What is lost is mapped anew at once; if that fails too, there is advice.
        if event.kind == EventKind::Revoked {
            self.output.setback(&report);
            self.last_error = Some(report);
            return;
        }
        if let (None, Some(lease)) = (event.external_port, event.lease) {
            // The message may tell a time that differs.
            let reason = (report.kind, report.advice.clone());
            let again = self.told.insert(lease, reason.clone()) == Some(reason);
            // A family that does not work here, beside one that does, is told once and not for ever.
            let fails = |other: &u64| self.over.contains(other) || self.told.contains_key(other);
            if again && self.of_port(lease).any(|other| self.mapped.contains_key(&other) && !fails(&other)) {
                return;
            }
            if self.names_families {
                report.message = format!("{name}: {}", report.message);
            }
        }
        let step = match self.family(event) {
            Some(AddressFamily::Ipv6) => advice::about_ipv6(&report),
            Some(AddressFamily::Ipv4) | None => None,
        };
        let _ = self.output.failure_with(&report, step.as_deref());
        self.last_error = Some(report);
    }

    fn fail(&mut self, error: ErrorReport) {
        self.output.failure(&error);
        self.last_error = Some(error);
    }
}

fn snapshots(leases: &[Lease]) -> Vec<LeaseSnapshot> {
    leases.iter().map(Lease::snapshot).collect()
}

/// Waits for a time; for ever if there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
