//! Plays a scenario against a simulated gateway of its own.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portlease::{Config, Lease, MapRequest, Mapper, PortMappingError, wait};
use portlease_gateway::{Gateway, json};
use serde_json::{Map, Value, json};

use crate::format::{Action, Scenario, Step, seconds};
use crate::matching::mismatch;
use crate::view;

/// How long a wait goes on where the scenario names no time: who waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a call gave: the result as the scenarios write it.
type Outcome = Result<Value, PortMappingError>;

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The number of the step, from 1; `end`; null where it is the file or the gateway's start.
    pub(crate) at: Value,
    pub(crate) reason: String,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { at: Value::Null, reason }
    }
}

struct Player {
    gateway: Gateway,
    /// What every mapper is told: the gateway's place, then the scenario's settings.
    config: Config,
    mappers: BTreeMap<String, Mapper>,
    leases: BTreeMap<String, Lease>,
}

/// Plays all steps, stops every mapper, and looks at what is left on the gateway.
pub(crate) fn run(scenario: &Scenario) -> Result<(), Failure> {
    let settings = serde_json::from_value(Value::Object(scenario.gateway.clone()))
        .map_err(|error| format!("the gateway's settings: {error}"))?;
    let gateway = Gateway::start(settings).map_err(|error| format!("the gateway does not start: {error}"))?;
    let mut config =
        Config::default().gateway(gateway.address()).pcp_port(gateway.pcp_port()).ssdp_address(gateway.ssdp_address());
    view::configure(&mut config, &scenario.config)?;
    let mut player = Player { gateway, config, mappers: BTreeMap::new(), leases: BTreeMap::new() };
    player.play(&scenario.steps)?;
    for mapper in player.mappers.values() {
        wait(mapper.stop(PATIENCE));
    }
    match mismatch("end", &scenario.end, &player.gateway_state(&scenario.end)?) {
        Some(reason) => Err(Failure { at: "end".into(), reason }),
        None => Ok(()),
    }
}

impl Player {
    fn play(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for (number, step) in (1..).zip(steps) {
            self.step(step).map_err(|reason| Failure {
                at: json!(number),
                reason: format!("step {number}, {}\n  {reason}", step.text),
            })?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let start = Instant::now();
        let outcome = self.act(&step.action, step.sees.as_ref())?;
        let took = start.elapsed();
        let difference = match (&outcome, &step.fails) {
            (Ok(result), None) => step.sees.as_ref().and_then(|sees| mismatch("result", sees, result)),
            (Ok(result), Some(_)) => Some(format!("it should have failed, but gave {result}")),
            (Err(error), None) => Some(format!("it failed: {}", view::error(error))),
            (Err(error), Some(fails)) => mismatch("error", fails, &view::error(error)),
        };
        match (difference, step.within) {
            (Some(difference), _) => Err(difference),
            (None, Some(limit)) if took > limit => Err(format!("it took {took:?}, allowed are {limit:?}")),
            _ => Ok(()),
        }
    }

    /// Makes the call. Fails where the scenario itself is wrong, or a condition never came.
    fn act(&mut self, action: &Action, sees: Option<&Value>) -> Result<Outcome, String> {
        Ok(match action {
            Action::Start { mapper, config } => self.start(mapper, config)?,
            Action::Map { mapper, lease, port, transport, external_port, exact } => {
                let transport = transport.parse().map_err(|error: PortMappingError| error.to_string())?;
                let mut request = MapRequest::new(*port, transport);
                (request.external_port, request.exact) = (*external_port, *exact);
                let made = self.mapper(mapper)?.map(request);
                made.map(|made| drop(self.leases.insert(lease.clone(), made))).map(|()| Value::Null)
            }
            Action::Ready { lease, timeout } => {
                let limit = limit(timeout)?.unwrap_or(PATIENCE);
                wait(self.lease(lease)?.ready(limit)).map(|snapshot| view::lease(&snapshot))
            }
            Action::Snapshot { lease } => Ok(view::lease(&self.lease(lease)?.snapshot())),
            Action::WaitFor { lease } => {
                let lease = self.lease(lease)?;
                Ok(until(sees, || Ok(view::lease(&lease.snapshot())))?)
            }
            Action::Stop { lease, timeout } => Ok(wait(self.lease(lease)?.stop(limit(timeout)?)).into()),
            Action::Detach { lease } => {
                wait(self.lease(lease)?.detach());
                Ok(Value::Null)
            }
            Action::MapperSnapshot { mapper } => Ok(view::mapper(&self.mapper(mapper)?.snapshot())),
            Action::NextEvent { mapper, timeout, skip } => {
                let limit = limit(timeout)?.unwrap_or(PATIENCE);
                self.next_event(mapper, limit, skip.as_ref())?
            }
            Action::Probe { mapper } => wait(self.mapper(mapper)?.probe()).map(|report| view::gateway(&report)),
            Action::StopMapper { mapper, timeout } => Ok(wait(self.mapper(mapper)?.stop(limit(timeout)?)).into()),
            Action::Gateway { line } => Ok(self.tell_gateway(&Value::Object(line.clone()))?),
            Action::WaitForGateway {} => Ok(until(sees, || self.gateway_state(sees.unwrap_or(&Value::Null)))?),
            Action::Repeat { times, steps } => {
                for _ in 0..*times {
                    self.play(steps).map_err(|failure| failure.reason)?;
                }
                Ok(Value::Null)
            }
        })
    }

    fn start(&mut self, name: &str, fields: &Map<String, Value>) -> Result<Outcome, String> {
        let mut config = self.config.clone();
        view::configure(&mut config, fields)?;
        let started = Mapper::start(config);
        Ok(started.map(|mapper| drop(self.mappers.insert(name.to_owned(), mapper))).map(|()| Value::Null))
    }

    fn next_event(&self, mapper: &str, limit: Duration, skip: Option<&Value>) -> Result<Outcome, String> {
        let mapper = self.mapper(mapper)?;
        let end = Instant::now() + limit;
        loop {
            let event = match wait(mapper.next_event(end.saturating_duration_since(Instant::now()))) {
                Ok(event) => view::event(&event),
                Err(error) => return Ok(Err(error)),
            };
            if skip.is_none_or(|skip| mismatch("skip", skip, &event).is_some()) {
                return Ok(Ok(event));
            }
        }
    }

    fn mapper(&self, name: &str) -> Result<&Mapper, String> {
        self.mappers.get(name).ok_or_else(|| format!("no mapper `{name}` was started"))
    }

    fn lease(&self, name: &str) -> Result<&Lease, String> {
        self.leases.get(name).ok_or_else(|| format!("no lease `{name}` was mapped"))
    }

    /// The very lines that other languages write to the gateway's process.
    fn tell_gateway(&self, line: &Value) -> Result<Value, String> {
        let reply = json::execute(&self.gateway, &line.to_string());
        match reply.json.get("error") {
            Some(error) => Err(format!("the gateway says: {error}")),
            None if reply.stop => Err("the gateway stays until the end".into()),
            None => Ok(reply.json),
        }
    }

    /// Table and counters. A counter that `expected` names and that never counted is 0.
    fn gateway_state(&self, expected: &Value) -> Result<Value, String> {
        let mut state = self.tell_gateway(&json!({"command": "state"}))?["state"].take();
        if let (Some(expected), Some(counters)) = (expected["counters"].as_object(), state["counters"].as_object_mut())
        {
            for name in expected.keys() {
                counters.entry(name).or_insert_with(|| 0.into());
            }
        }
        Ok(state)
    }
}

/// Looks until it is as expected, and gives what was seen last.
fn until(expected: Option<&Value>, mut look: impl FnMut() -> Result<Value, String>) -> Result<Value, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look()?;
        if Instant::now() >= end || expected.is_none_or(|expected| mismatch("", expected, &seen).is_none()) {
            return Ok(seen);
        }
        sleep(LOOK);
    }
}

fn limit(timeout: &Option<f64>) -> Result<Option<Duration>, String> {
    match timeout {
        None => Ok(None),
        Some(number) => {
            seconds(&json!(number)).map(Some).ok_or_else(|| format!("`timeout: {number}` is no number of seconds"))
        }
    }
}
