//! One stay of `portlease map`: tells every event, decides when it ends, and leaves nothing behind.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;

use portlease::{
    AddressClass, AddressFamily, ErrorKind, ErrorReport, Event, EventKind, Lease, LeaseSnapshot, Mapper, Obstacle,
    Release,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::args::{Families, port_name};
use crate::event::{self, JsonEvent};
use crate::leftover::Leftover;
use crate::outcome::{DONE, FAILED, Outcome};
use crate::output::Output;
use crate::signals::Signals;
use crate::{advice, status};

/// How long the end waits for the router to confirm every delete. The end of the process would end the deletes too, so
/// it is patient; a second signal ends the wait.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);
/// How much longer it waits for each lease: routers delete one mapping after another.
const RELEASE_PATIENCE_PER_LEASE: Duration = Duration::from_secs(1);

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
}

/// What was seen so far.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    output: &'a Output,
    /// The lines name the families.
    names_families: bool,
    /// Every lease as it was at first, by its number.
    leases: HashMap<u64, LeaseSnapshot>,
    /// The leases that were mapped at some time.
    mapped: HashSet<u64>,
    /// The leases that are over.
    over: HashSet<u64>,
    /// The kind of what was told last of a lease that has no mapping now, and the advice.
    told: HashMap<u64, (ErrorKind, Option<String>)>,
    detaching: bool,
    last_error: Option<ErrorReport>,
}

impl<'a> Session<'a> {
    /// Nothing was seen yet. `detaching`: it ends when all is mapped, and leaves the mappings.
    pub(crate) fn new(output: &'a Output, leases: &[Lease], families: Families, detaching: bool) -> Self {
        let leases = leases.iter().map(|lease| (lease.id(), lease.snapshot()));
        Self {
            output,
            names_families: families.has(AddressFamily::Ipv6),
            leases: leases.collect(),
            mapped: HashSet::new(),
            over: HashSet::new(),
            told: HashMap::new(),
            detaching,
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

    /// Tells every event until something ends it.
    pub(crate) async fn hold(
        &mut self,
        mapper: &Mapper,
        leases: &[Lease],
        signals: &mut Signals,
        deadline: Option<Instant>,
    ) -> End {
        let live = !self.detaching && self.output.begin_live(leases.len());
        let mut clock = interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                () = signals.next() => return End::Signal,
                () = at(deadline) => return End::TimeUp,
                event = mapper.next_event(None) => match event {
                    Ok(event) => match self.take(&event) {
                        Ok(None) => {}
                        Ok(Some(end)) => return end,
                        Err(error) => return End::OutputClosed(error),
                    },
                    Err(error) => {
                        self.fail(ErrorReport::from(&error));
                        return End::Failed;
                    }
                },
                _ = clock.tick(), if live => {}
            }
            if live {
                let line = |lease: &LeaseSnapshot| status::line(&self.name(lease), lease, self.output.paint());
                self.output.draw(leases.iter().map(|lease| line(&lease.snapshot())));
            }
        }
    }

    /// Tells one event; answers whether it ends the holding.
    fn take(&mut self, event: &Event) -> io::Result<Option<End>> {
        if matches!(event.kind, EventKind::Installed | EventKind::Changed) {
            self.mapped.extend(event.lease);
            event.lease.and_then(|lease| self.told.remove(&lease));
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
        let settled = |lease| self.mapped.contains(lease) || self.over.contains(lease);
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
        if matches!(event.kind, EventKind::Installed | EventKind::Changed)
            && let Some(reason) = AddressClass::unreachable(event.external.map(|external| external.ip()))
        {
            self.output.warning(&format!("{name}: {reason}"));
            let obstacle = Obstacle::of_class(event.address_class);
            let steps = match self.family(event) {
                Some(AddressFamily::Ipv6) => vec![advice::NO_IPV6],
                _ => obstacle.into_iter().flat_map(advice::of).collect(),
            };
            self.output.note(format!("  try: {}", steps.join("; ")));
        }
        Ok(())
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
            if again && self.of_port(lease).any(|other| self.mapped.contains(&other) && !fails(&other)) {
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
        self.output.failure_with(&report, step);
        self.last_error = Some(report);
    }

    fn fail(&mut self, error: ErrorReport) {
        self.output.failure(&error);
        self.last_error = Some(error);
    }

    /// Leaves nothing behind but what `--detach` is to leave behind; returns the exit status.
    pub(crate) async fn finish(
        mut self,
        end: End,
        mapper: &Mapper,
        leases: &[Lease],
        signals: &mut Signals,
    ) -> Outcome {
        let failed = matches!(end, End::Failed);
        let closed = match end {
            End::AllMapped => self.detach(leases).await.err(),
            End::OutputClosed(error) => Some(error),
            End::Signal | End::TimeUp | End::Failed => None,
        };
        // One that failed takes the others with it: then they are released.
        self.detaching &= !failed;
        let before: Vec<Leftover> = leases.iter().map(|lease| self.leftover(lease)).collect();
        if before.iter().any(|lease| lease.external_port().is_some()) && !self.output.json() {
            self.output.note("releasing, Ctrl-C again to leave at once");
        }
        let count = u32::try_from(leases.len()).unwrap_or(u32::MAX);
        let patience = RELEASE_PATIENCE.saturating_add(RELEASE_PATIENCE_PER_LEASE.saturating_mul(count));
        let hurry = async {
            // A terminal that is closed fails the output first and sends its signal then: that one asks for no hurry.
            if closed.is_some() {
                signals.next().await;
            }
            signals.next().await;
        };
        let release = tokio::select! {
            biased;
            release = mapper.stop(patience) => release,
            () = hurry => Release::Pending,
        };
        let closed = match closed {
            Some(error) => Err(error),
            None => self.tell_events_of_the_end(mapper).await,
        };
        let told = self.tell_what_is_left(leases, &before, release).await;
        if self.mapped.is_empty() && !failed && closed.is_ok() {
            let why = "no port was mapped before the end".to_owned();
            let never_asked = ErrorReport::new(ErrorKind::Timeout, "");
            let mut report = self.last_error.clone().unwrap_or(never_asked);
            report.message = why;
            self.output.failure(&report);
        }
        // What is left on the router matters more than that nobody reads about it.
        if release != Release::Released {
            return Ok(FAILED);
        }
        closed.and(told)?;
        Ok(if failed || self.mapped.is_empty() { FAILED } else { DONE })
    }

    fn leftover(&self, lease: &Lease) -> Leftover {
        let lease = lease.snapshot();
        Leftover::of(self.name(&lease), lease)
    }

    /// Tells what happened while the leases were released.
    async fn tell_events_of_the_end(&mut self, mapper: &Mapper) -> io::Result<()> {
        while let Ok(event) = mapper.next_event(Duration::ZERO).await {
            self.tell(&event)?;
            let was_mapped = event.lease.is_some_and(|lease| self.mapped.contains(&lease));
            let released = event.kind == EventKind::Exited && event.error.is_none() && was_mapped && !self.detaching;
            if released && !self.output.json() {
                self.output.line(format!("{} released", self.name_of(&event)))?;
            }
        }
        Ok(())
    }

    /// Warns of every mapping that may still be on the router. `before` is how the leases looked before their end,
    /// `release` how the whole mapper ended.
    async fn tell_what_is_left(&self, leases: &[Lease], before: &[Leftover], release: Release) -> io::Result<()> {
        let mut told = Ok(());
        let mut named = false;
        for (lease, leftover) in leases.iter().zip(before) {
            // Its end was waited for already.
            let release = lease.stop(Duration::ZERO).await;
            let reason = lease.snapshot().last_error.filter(|_| release == Release::Unconfirmed);
            let Some(warning) = leftover.warning(release, reason.as_ref().map(|error| error.message.as_str())) else {
                continue;
            };
            named = true;
            self.output.warning(&warning);
            if self.output.json() && told.is_ok() {
                told = self.output.object(&leftover.json(release.as_str()));
            }
        }
        if release != Release::Released && !named {
            self.output
                .warning("left while a late answer of the router may still have to be undone: see `portlease list`");
        }
        told
    }

    /// Lets go of the leases without taking them off the router, and says for how long they live.
    async fn detach(&self, leases: &[Lease]) -> io::Result<()> {
        let mut told = Ok(());
        for lease in leases {
            let leftover = self.leftover(lease);
            lease.detach().await;
            // All are detached, also when nobody reads about it.
            if told.is_ok()
                && let Some(text) = leftover.detached()
            {
                told = match self.output.json() {
                    true => self.output.object(&leftover.json("detached")),
                    false => self.output.line(&text),
                };
            }
        }
        told
    }
}

/// Waits for a time; for ever where there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
