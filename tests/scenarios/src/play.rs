//! Plays a scenario against a simulated gateway of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portlease_gateway::{Gateway, json};
use serde_json::{Value, json};

use crate::format::{Object, Scenario, Step, calls, seconds};
use crate::matching::mismatch;
use crate::surface::Surface;
use crate::testee::Testee;

/// How long a condition is waited for, and a call that has no limit of its own.
const LIMIT: Duration = Duration::from_secs(10);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a call gave, as the scenarios write it: the result or the error.
type Outcome = Result<Value, Value>;

/// What is wrong, and where.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    /// The number of the step, from 1; `end`; null if it is the gateway's start.
    pub(crate) at: Value,
    pub(crate) reason: String,
    /// The testee does not do what a testee must do. That is never what a scenario in `must_fail` is about.
    pub(crate) of_testee: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }
}

/// A folder for the files of a scenario, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    /// The path of a folder in it, an absolute one as it is. In `no-folder` none can be made on any system: that is a file.
    fn folder(&self, path: &str) -> Result<Value, String> {
        let path = self.0.join(path);
        let file = self.0.join("no-folder");
        if path.starts_with(&file) {
            let written = std::fs::create_dir_all(&self.0).and_then(|()| std::fs::write(&file, ""));
            written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        }
        Ok(path.to_string_lossy().into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Most scenarios write no file, so that there is none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Player<'a> {
    /// Of this scenario: the names of its handles and the numbers of its commands begin with it.
    number: u32,
    gateway: Gateway,
    /// That of all scenarios, or of one that crashes it.
    testee: Arc<Testee>,
    scratch: Scratch,
    surface: &'a Surface,
    /// What every mapper is told: the gateway's place, then the scenario's settings.
    config: Object,
    /// How many commands the testee was given.
    commands: u64,
    mappers: BTreeSet<String>,
    /// Each with the revision that was seen last.
    leases: BTreeMap<String, Value>,
}

/// Plays all steps, stops every mapper, and looks at what is left on the gateway.
pub(crate) fn play(number: u32, scenario: &Scenario, testee: &Arc<Testee>, surface: &Surface) -> Result<(), Failure> {
    let settings = serde_json::from_value(Value::Object(scenario.gateway.clone()))
        .map_err(|error| format!("the gateway's settings: {error}"))?;
    let gateway = Gateway::start(settings).map_err(|error| format!("the gateway does not start: {error}"))?;
    if let Some(reason) = gateway.addresses().no_ipv6 {
        return Err(format!("the scenario needs IPv6, and the gateway has none: {reason}").into());
    }
    let mut config = Object::new();
    config.insert("gateway".into(), gateway.address().to_string().into());
    config.insert("pcp_port".into(), gateway.pcp_port().into());
    config.insert("ssdp_address".into(), gateway.ssdp_address().to_string().into());
    config.extend(scenario.config.clone());
    let (mappers, leases) = Default::default();
    let of_its_own = calls(&scenario.steps, "crash");
    let testee = if of_its_own { another(testee)? } else { Arc::clone(testee) };
    let scratch = Scratch(std::env::temp_dir().join(format!("portlease-scenario-{}-{number}", std::process::id())));
    let mut player = Player { number, gateway, testee, scratch, surface, config, commands: 0, mappers, leases };
    let played = player.play(&scenario.steps);
    let end = player.end(scenario);
    let ended = if of_its_own { player.testee.end().map_err(of_testee) } else { Ok(()) };
    played.and(end.and(ended).map_err(|failure| Failure { at: "end".into(), ..failure }))
}

fn of_testee(reason: String) -> Failure {
    Failure { reason, of_testee: true, ..Failure::default() }
}

fn another(testee: &Testee) -> Result<Arc<Testee>, Failure> {
    let another = testee.another().map(Arc::new);
    another.map_err(|error| of_testee(format!("another testee does not start: {error}")))
}

impl Player<'_> {
    fn play(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for (number, step) in (1..).zip(steps) {
            self.step(step).map_err(|failure| Failure {
                at: json!(number),
                reason: format!("step {number}, {}\n  {}", step.text, failure.reason),
                ..failure
            })?;
        }
        Ok(())
    }

    /// Stops every mapper, also those of a scenario that has failed, and looks at what is left.
    fn end(&mut self, scenario: &Scenario) -> Result<(), Failure> {
        for mapper in std::mem::take(&mut self.mappers) {
            let arguments = json!({"mapper": mapper, "timeout": LIMIT.as_secs()});
            self.mappers.insert(mapper);
            let stopped = self.ask("stop_mapper", arguments.as_object().cloned().unwrap_or_default())?;
            let difference = match &stopped {
                Ok(release) => mismatch("release", &scenario.release, release),
                Err(error) => Some(format!("it failed: {error}")),
            };
            if let Some(difference) = difference {
                return Err(format!("the stop of a mapper: {difference}").into());
            }
        }
        let state = self.gateway_state(&scenario.end)?;
        mismatch("end", &scenario.end, &state).map_or(Ok(()), |reason| Err(reason.into()))
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let start = Instant::now();
        let outcome = self.act(step)?;
        let took = start.elapsed();
        let difference = match (&outcome, &step.fails) {
            (Ok(result), None) => step.sees.as_ref().and_then(|sees| mismatch("result", sees, result)),
            (Ok(result), Some(_)) => Some(format!("it should have failed, but gave {result}")),
            (Err(error), None) => Some(format!("it failed: {error}")),
            (Err(error), Some(fails)) => mismatch("error", fails, error),
        };
        match (difference, step.within) {
            (Some(difference), _) => Err(difference.into()),
            (None, Some(limit)) if took > limit => Err(format!("it took {took:?}, allowed are {limit:?}").into()),
            _ => Ok(()),
        }
    }

    fn act(&mut self, step: &Step) -> Result<Outcome, Failure> {
        let mut arguments = step.arguments.clone();
        let sees = step.sees.as_ref().unwrap_or(&Value::Null);
        match step.call.as_str() {
            "gateway" => Ok(Ok(self.tell_gateway(&arguments["line"])?)),
            "crash" => {
                self.crash()?;
                Ok(Ok(Value::Null))
            }
            "wait_for_gateway" => until(sees, || Ok(Ok(self.gateway_state(sees)?))),
            "wait_for" => until(sees, || self.ask("snapshot", arguments.clone())),
            "repeat" => {
                for _ in 0..arguments["times"].as_u64().unwrap_or_default() {
                    self.play(&step.steps)?;
                }
                Ok(Ok(Value::Null))
            }
            "next_event" => {
                let skip = arguments.remove("skip").filter(|skip| !skip.is_null());
                let end = Instant::now() + seconds(&arguments["timeout"]).unwrap_or_default();
                loop {
                    let outcome = self.ask("next_event", arguments.clone())?;
                    match (&outcome, &skip) {
                        (Ok(event), Some(skip)) if mismatch("skip", skip, event).is_none() => {}
                        _ => return Ok(outcome),
                    }
                    let left = end.saturating_duration_since(Instant::now());
                    arguments.insert("timeout".into(), left.as_secs_f64().into());
                }
            }
            call => self.ask(call, arguments),
        }
    }

    /// Kills the testee with all its handles, and goes on with another one.
    fn crash(&mut self) -> Result<(), Failure> {
        self.testee.kill().map_err(|error| of_testee(format!("the testee cannot be killed: {error}")))?;
        self.testee = another(&self.testee)?;
        self.mappers.clear();
        self.leases.clear();
        Ok(())
    }

    /// Has the testee make a call.
    fn ask(&mut self, call: &str, mut arguments: Object) -> Result<Outcome, Failure> {
        let name = |key: &str| arguments.get(key).and_then(Value::as_str).map(str::to_owned);
        let (mapper, lease) = (name("mapper"), name("lease"));
        match (&mapper, &lease) {
            (Some(mapper), _) if call != "start" && !self.mappers.contains(mapper) => {
                return Err(format!("no mapper `{mapper}` was started").into());
            }
            (_, Some(lease)) if !matches!(call, "map" | "ensure") && !self.leases.contains_key(lease) => {
                return Err(format!("no lease `{lease}` was mapped").into());
            }
            (_, Some(lease)) if call == "changed" => {
                let since = self.leases.get(lease).cloned().unwrap_or_default();
                arguments.insert("since".into(), since);
            }
            _ => {}
        }
        if let Some(settings) = arguments.get_mut("config").and_then(Value::as_object_mut) {
            let all: Object = self.config.clone().into_iter().chain(std::mem::take(settings)).collect();
            *settings = all;
            if let Some(folder) = settings.get_mut("state_dir") {
                *folder = self.scratch.folder(folder.as_str().unwrap_or_default())?;
            }
        }
        for (key, name) in [("mapper", &mapper), ("lease", &lease)] {
            name.iter().for_each(|name| drop(arguments.insert(key.into(), format!("{}.{name}", self.number).into())));
        }
        arguments.insert("do".into(), call.into());
        let limit = arguments.get("timeout").and_then(seconds).unwrap_or(LIMIT);
        self.commands += 1;
        let id = u64::from(self.number) * 1_000_000 + self.commands;
        let answer = self.testee.ask(arguments, id, limit).and_then(|answer| self.outcome(call, &answer));
        let outcome = answer.map_err(of_testee)?;
        match (call, &outcome, mapper, lease) {
            ("start", Ok(_), Some(mapper), _) => drop(self.mappers.insert(mapper)),
            ("map" | "ensure", Ok(_), _, Some(lease)) => drop(self.leases.insert(lease, Value::Null)),
            ("ready" | "changed" | "repair" | "snapshot", Ok(seen), _, Some(lease)) => {
                self.leases.insert(lease, seen.get("revision").cloned().unwrap_or_default());
            }
            _ => {}
        }
        Ok(outcome)
    }

    /// What an answer says, if it is of the form that it must have.
    fn outcome(&self, call: &str, answer: &Value) -> Result<Outcome, String> {
        let part = |name: &str| answer.get(name).cloned();
        match (answer.as_object().map_or(0, Object::len), part("result"), part("error")) {
            (2, Some(result), None) => self.surface.check_answer(call, &result).map(|()| Ok(result)),
            (2, None, Some(error)) => self.surface.check_answer("error", &error).map(|()| Err(error)),
            (2, None, None) if answer["unsupported"].is_string() => {
                Err(format!("the testee cannot do it: {}", answer["unsupported"]))
            }
            _ => Err(format!("the testee said what is no answer: {answer}")),
        }
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
fn until(expected: &Value, mut look: impl FnMut() -> Result<Outcome, Failure>) -> Result<Outcome, Failure> {
    let end = Instant::now() + LIMIT;
    loop {
        let outcome = look()?;
        let Ok(seen) = &outcome else { return Ok(outcome) };
        if Instant::now() >= end || mismatch("", expected, seen).is_none() {
            return Ok(outcome);
        }
        sleep(LOOK);
    }
}
