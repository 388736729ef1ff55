//! The end of a stay: releases, tells what may be left, and decides on the exit status.

use std::io;
use std::time::Duration;

use portlease::{AddressClass, ErrorKind, ErrorReport, EventKind, Lease, Mapper, Release};

use super::{End, Session};
use crate::leftover::Leftover;
use crate::outcome::{DONE, FAILED, Outcome, UNCONFIRMED, UNREACHABLE};
use crate::signals::Signals;

/// How long the end waits for the router to confirm every delete. The end of the process would end the deletes too, so
/// it is patient; a second signal ends the wait.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);
/// How much longer it waits for each lease: routers delete one mapping after another.
const RELEASE_PATIENCE_PER_LEASE: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Leaves nothing behind but what `--detach` is to leave behind; returns the exit status. That of a program goes first.
    pub(crate) async fn finish(
        mut self,
        end: End,
        mapper: &Mapper,
        leases: &[Lease],
        signals: &mut Signals,
    ) -> Outcome {
        let failed = matches!(end, End::Failed);
        let program = if let End::Program(status) = end { Some(status) } else { None };
        let closed = match end {
            End::AllMapped => self.detach(leases).await.err(),
            End::OutputClosed(error) => Some(error),
            End::Signal | End::TimeUp | End::Failed | End::Program(_) => None,
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
        if let Some(status) = program {
            return Ok(status);
        }
        if self.mapped.is_empty() && !failed && closed.is_ok() {
            let why = "no port was mapped before the end".to_owned();
            let never_asked = ErrorReport::new(ErrorKind::Timeout, "");
            let mut report = self.last_error.clone().unwrap_or(never_asked);
            report.message = why;
            self.output.fail(&report);
        }
        // What is left on the router matters more than that nobody reads about it.
        if release != Release::Released {
            return Ok(UNCONFIRMED);
        }
        closed.and(told)?;
        Ok(match failed || self.mapped.is_empty() {
            true => FAILED,
            false if self.something_is_unreachable() => UNREACHABLE,
            false => DONE,
        })
    }

    /// Whether one of the ports is mapped by no family at an address that the internet can reach. An address that is not
    /// known gets the benefit of the doubt.
    fn something_is_unreachable(&self) -> bool {
        let unreachable = |lease: u64| {
            let class = self.mapped.get(&lease);
            class.map(|class| matches!(class, AddressClass::Cgnat | AddressClass::Private | AddressClass::Reserved))
        };
        self.mapped.keys().any(|lease| self.of_port(*lease).filter_map(unreachable).all(|unreachable| unreachable))
    }

    fn leftover(&self, lease: &Lease) -> Leftover {
        let lease = lease.snapshot();
        Leftover::of(self.name(&lease), lease)
    }

    /// Tells what happened while the leases were released.
    async fn tell_events_of_the_end(&mut self, mapper: &Mapper) -> io::Result<()> {
        while let Ok(event) = mapper.next_event(Duration::ZERO).await {
            self.tell(&event)?;
            let was_mapped = event.lease.is_some_and(|lease| self.mapped.contains_key(&lease));
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
