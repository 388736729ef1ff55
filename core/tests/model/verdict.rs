//! What went wrong in an episode, told so that somebody can find out why.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use portlease_gateway::{Event, Events, Mapping};

/// Steps that a failure tells, unless it is asked for alone: then it tells all.
pub(crate) const FEW: usize = 30;

/// What was done last, and what the router has done meanwhile.
pub(crate) struct Log {
    began: Instant,
    most: usize,
    steps: VecDeque<Step>,
    count: usize,
    events: Events,
}

#[derive(Default)]
struct Step {
    what: String,
    heard: Vec<String>,
}

impl Log {
    /// A log of the last `most` steps.
    pub(crate) fn new(events: Events, most: usize) -> Self {
        Self { began: Instant::now(), most, steps: VecDeque::from([Step::default()]), count: 0, events }
    }

    pub(crate) fn step(&mut self, what: impl fmt::Display) {
        self.hear();
        self.count += 1;
        if self.steps.len() == self.most {
            self.steps.pop_front();
        }
        let (count, at) = (self.count, self.began.elapsed().as_millis());
        self.steps.push_back(Step { what: format!("{count:4} {at:5} ms  {what}"), heard: Vec::new() });
    }

    /// Says what came of the step.
    pub(crate) fn outcome(&mut self, what: impl fmt::Display) {
        let at = self.began.elapsed().as_millis();
        if let Some(step) = self.steps.back_mut() {
            step.what.push_str(&format!(" -> {what} ({at} ms)"));
        }
    }

    /// Takes down what the router has done. Called after each step, so that nothing is lost.
    pub(crate) fn hear(&mut self) {
        while let Some(event) = self.events.try_next() {
            if let Some(step) = self.steps.back_mut() {
                step.heard.push(told(&event));
            }
        }
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Request { kind, from } => format!("{kind} from port {}", from.port()),
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
    pub(crate) seed: u64,
    /// What the router is.
    pub(crate) traits: String,
    pub(crate) what: String,
    pub(crate) log: Log,
    pub(crate) table: Vec<Mapping>,
}

impl Failure {
    pub(crate) fn headline(&self) -> String {
        format!("PORTLEASE_MODEL_SEED={}: {}", self.seed, self.what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  router: {}\n  last steps:", self.headline(), self.traits)?;
        for step in &self.log.steps {
            writeln!(f, "    {}", step.what)?;
            for event in &step.heard {
                writeln!(f, "            {event}")?;
            }
        }
        writeln!(f, "  table:")?;
        self.table.iter().try_for_each(|mapping| writeln!(f, "    {}", line(mapping)))
    }
}
