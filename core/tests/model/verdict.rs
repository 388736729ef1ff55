//! What went wrong in an episode, told so that somebody can find out why.

use std::collections::VecDeque;
use std::fmt;

use portlease_gateway::{Event, Events, Mapping};

/// Steps that a failure tells.
const STEPS: usize = 30;
/// Events of the router that a failure tells.
const EVENTS: usize = 60;

/// The last steps of an episode.
#[derive(Default)]
pub(crate) struct Log {
    steps: VecDeque<String>,
    count: usize,
}

impl Log {
    pub(crate) fn step(&mut self, what: impl fmt::Display) {
        self.count += 1;
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(format!("{:4} {what}", self.count));
    }

    /// Says what came of the step.
    pub(crate) fn outcome(&mut self, what: impl fmt::Display) {
        if let Some(step) = self.steps.back_mut() {
            step.push_str(&format!(" -> {what}"));
        }
    }
}

/// The last events of the router. They are pulled after each step, so that none is lost.
pub(crate) struct Heard {
    events: Events,
    last: VecDeque<String>,
}

impl Heard {
    pub(crate) fn new(events: Events) -> Self {
        Self { events, last: VecDeque::new() }
    }

    pub(crate) fn pull(&mut self) {
        while let Some(event) = self.events.try_next() {
            if self.last.len() == EVENTS {
                self.last.pop_front();
            }
            self.last.push_back(told(&event));
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Request { kind, from } => format!("{kind} from {from}"),
        Event::Mapped(mapping) => format!("+ {}", line(mapping)),
        Event::Renewed(mapping) => format!("= {}", line(mapping)),
        Event::Unmapped(mapping) => format!("- {}", line(mapping)),
        Event::Expired(mapping) => format!("expired {}", line(mapping)),
        Event::Started(_) | Event::Error { .. } | Event::Reboot(_) | Event::ExternalAddress { .. } => {
            format!("{event:?}")
        }
    }
}

/// One entry in one line.
pub(crate) fn line(mapping: &Mapping) -> String {
    let Mapping { protocol, transport, external_port, internal, description, expires_in, nonce, .. } = mapping;
    format!("{transport} {external_port} -> {internal} {protocol} `{description}` {expires_in:?} {nonce:?}")
}

/// An invariant that did not hold.
pub(crate) struct Failure {
    seed: u64,
    traits: String,
    what: String,
    steps: Vec<String>,
    events: Vec<String>,
    table: Vec<String>,
}

impl Failure {
    pub(crate) fn new(seed: u64, traits: String, what: String, log: &Log, heard: &Heard, table: &[Mapping]) -> Self {
        Self {
            seed,
            traits,
            what,
            steps: log.steps.iter().cloned().collect(),
            events: heard.last.iter().cloned().collect(),
            table: table.iter().map(line).collect(),
        }
    }

    pub(crate) fn headline(&self) -> String {
        format!("PORTLEASE_MODEL_SEED={}: {}", self.seed, self.what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  router: {}", self.headline(), self.traits)?;
        for (title, lines) in [("last steps", &self.steps), ("router's log", &self.events), ("table", &self.table)] {
            writeln!(f, "  {title}:")?;
            for line in lines {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
