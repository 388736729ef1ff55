//! One stay of `portlease map`: tells every event, decides when it ends, and leaves nothing behind.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portlease::{ErrorKind, ErrorReport, Event, EventKind, Lease, LeaseSnapshot, Mapper, Protocol};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::event::{self, JsonEvent};
use crate::outcome::{DONE, FAILED, Outcome};
use crate::output::Output;
use crate::signals::Signals;
use crate::{advice, status};

/// How long the end waits for the router to confirm every delete; Ctrl-C ends the wait.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);

/// What `--detach` leaves behind, as `--json` writes it.
#[derive(Debug, Serialize)]
struct Detached {
    event: &'static str,
    transport: &'static str,
    internal_port: u16,
    external: String,
    protocol: Option<&'static str>,
    address_class: &'static str,
    /// Seconds; `null` for a mapping that does not end by itself.
    expires_in: Option<u64>,
    /// Seconds since 1970.
    expires_at: Option<u64>,
}

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
    /// The leases that were mapped at some time.
    mapped: HashSet<u64>,
    detaching: bool,
    last_error: Option<ErrorReport>,
}

impl<'a> Session<'a> {
    /// Nothing was seen yet. `detaching`: it ends when all is mapped, and leaves the mappings.
    pub(crate) fn new(output: &'a Output, detaching: bool) -> Self {
        Self { output, mapped: HashSet::new(), detaching, last_error: None }
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
                    Ok(event) => match self.take(&event, leases.len()) {
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
                self.output.draw(leases.iter().map(|lease| status::line(&lease.snapshot(), self.output.paint())));
            }
        }
    }

    /// Tells one event; answers whether it ends the holding.
    fn take(&mut self, event: &Event, count: usize) -> io::Result<Option<End>> {
        if matches!(event.kind, EventKind::Installed | EventKind::Changed) {
            self.mapped.extend(event.lease);
        }
        self.tell(event)?;
        if event.kind == EventKind::Installed && self.detaching && self.mapped.len() == count {
            return Ok(Some(End::AllMapped));
        }
        if event.kind != EventKind::Exited {
            return Ok(None);
        }
        // Only a failure ends a lease that nobody has stopped.
        if let (Some(error), None) = (&event.error, &self.last_error) {
            self.fail(ErrorReport::clone(error));
        }
        Ok(Some(End::Failed))
    }

    fn tell(&mut self, event: &Event) -> io::Result<()> {
        if self.output.json() {
            self.output.object(&JsonEvent::from(event))?;
        } else if let Some(text) = event::good_news(event) {
            self.output.line(&text)?;
        }
        if let Some((kind, message)) = event::bad_news(event) {
            self.fail(ErrorReport::new(kind, message));
        }
        if matches!(event.kind, EventKind::Installed | EventKind::Changed)
            && let Some(external) = event.external
            && let Some(reason) = advice::unreachable(event.address_class, external.ip())
        {
            self.output.warning(&format!("{}: {reason}", event::port(event)));
            if let Some(way_out) = advice::way_out(event.address_class) {
                self.output.note(&format!("  try: {way_out}"));
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: ErrorReport) {
        self.output.failure(&error);
        self.last_error = Some(error);
    }

    /// Leaves nothing behind but what `--detach` is to leave behind; answers with the exit status.
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
        let active = leases.iter().filter(|lease| lease.snapshot().active).count();
        if active > 0 && !self.output.json() {
            self.output.note("releasing, Ctrl-C again to leave at once");
        }
        let released = tokio::select! {
            biased;
            released = mapper.stop(RELEASE_PATIENCE) => released,
            () = signals.next() => false,
        };
        if !released {
            self.output.warning("left before the router confirmed: what is still mapped ends with its lifetime");
            return Ok(FAILED);
        }
        if let Some(error) = closed {
            return Err(error.into());
        }
        while let Ok(event) = mapper.next_event(Duration::ZERO).await {
            self.tell_end(&event)?;
        }
        if self.mapped.is_empty() && !failed {
            let why = "no port was mapped before the end".to_owned();
            let kind = self.last_error.as_ref().map_or(ErrorKind::Timeout, |error| error.kind);
            self.output.failure(&ErrorReport::new(kind, why));
        }
        Ok(if failed || self.mapped.is_empty() { FAILED } else { DONE })
    }

    /// Tells what happens while the leases are released.
    fn tell_end(&mut self, event: &Event) -> io::Result<()> {
        self.tell(event)?;
        if event.kind != EventKind::Exited
            || !event.lease.is_some_and(|lease| self.mapped.contains(&lease))
            || self.detaching
        {
            return Ok(());
        }
        let port = event::port(event);
        match &event.error {
            Some(error) => {
                self.output.warning(&format!("{port} may still be mapped until its lifetime ends: {}", error.message));
                Ok(())
            }
            None if self.output.json() => Ok(()),
            None => self.output.line(&format!("{port} released")),
        }
    }

    /// Lets go of the leases without taking them off the router, and says for how long they live.
    async fn detach(&self, leases: &[Lease]) -> io::Result<()> {
        let mut told = Ok(());
        for lease in leases {
            let snapshot = lease.snapshot();
            lease.detach().await;
            // All are detached, also when nobody reads about it.
            if let (Ok(()), Some(external)) = (&told, snapshot.external()) {
                told = self.tell_detached(external, &snapshot);
            }
        }
        told
    }

    fn tell_detached(&self, external: SocketAddr, lease: &LeaseSnapshot) -> io::Result<()> {
        let left = lease.expires_in.map(|left| left.as_secs() + u64::from(left.subsec_nanos() > 0));
        let end = left.map(|left| unix_time(SystemTime::now()) + left);
        if self.output.json() {
            return self.output.object(&Detached {
                event: "detached",
                transport: lease.transport.as_str(),
                internal_port: lease.internal_port,
                external: external.to_string(),
                protocol: lease.protocol().map(Protocol::as_str),
                address_class: lease.address_class.as_str(),
                expires_in: left,
                expires_at: end,
            });
        }
        let port = format!("{}/{}", lease.internal_port, lease.transport);
        let until = match (left, end) {
            (Some(left), Some(end)) => {
                format!("for {} more, until {} UTC", event::span(Duration::from_secs(left)), clock_time(end))
            }
            _ => format!("until it is deleted: portlease unmap {}/{}", external.port(), lease.transport),
        };
        self.output.line(&format!("{port} stays mapped to {} {until}", event::external(external)))
    }
}

/// Waits for a time; for ever where there is none.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn unix_time(now: SystemTime) -> u64 {
    // A clock before 1970 is no clock.
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Hours, minutes and seconds of a time since 1970.
fn clock_time(unix: u64) -> String {
    let second = unix % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_detached_mapping_is_told_as_a_time_of_day() {
        assert_eq!(clock_time(86_400 + 3_661), "01:01:01");
    }
}
