//! A scenario as its file says it. Whatever the format does not know is an error.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::surface::Surface;

/// How a mapper leaves a gateway that answers.
const RELEASED: &str = "released";

pub(crate) type Object = Map<String, Value>;

/// The arguments of each step, with what they are if the step does not give them. `required(x)`: it must give them, of the
/// type of x. `null`: it may leave them out.
fn arguments(step: &str) -> Option<Value> {
    let required = |like: Value| json!([like]);
    Some(match step {
        "start" => json!({"mapper": "mapper", "config": {}}),
        "map" | "ensure" => json!({
            "mapper": "mapper", "lease": "lease", "port": required(0.into()), "transport": "udp", "external_port": null,
            "exact": false, "family": "ipv4", "ttl": null, "description": null,
        }),
        "delete" => json!({
            "mapper": "mapper", "transport": "udp", "external_port": required(0.into()), "any_host": false,
        }),
        "external_address" => json!({"mapper": "mapper", "timeout": 10}),
        "ready" | "changed" | "repair" => json!({"lease": "lease", "timeout": 10}),
        "snapshot" | "wait_for" | "detach" => json!({"lease": "lease"}),
        "stop" => json!({"lease": "lease", "timeout": null}),
        "mapper_snapshot" | "network_changed" | "probe" | "leases" | "table" => json!({"mapper": "mapper"}),
        "next_event" => json!({"mapper": "mapper", "timeout": 10, "skip": null}),
        "stop_mapper" => json!({"mapper": "mapper", "timeout": null}),
        "gateway" => json!({"line": required(json!({}))}),
        "wait_for_gateway" | "crash" => json!({}),
        "repeat" => json!({"times": required(0.into()), "steps": required(json!([]))}),
        _ => return None,
    })
}

/// One file.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) gateway: Object,
    pub(crate) config: Object,
    pub(crate) steps: Vec<Step>,
    /// In `must_fail`: where the runner must notice, the number of a step from 1 or `end`; absent: anywhere.
    pub(crate) fails_at: Option<Value>,
    /// What the gateway's state must match in the end.
    pub(crate) end: Value,
    /// What the stop of each mapper must answer in the end.
    pub(crate) release: Value,
}

/// One call and what must be seen of it.
pub(crate) struct Step {
    pub(crate) call: String,
    /// All that the call has, defaults included.
    pub(crate) arguments: Object,
    /// Those of `repeat`.
    pub(crate) steps: Vec<Step>,
    pub(crate) sees: Option<Value>,
    pub(crate) fails: Option<Value>,
    pub(crate) within: Option<Duration>,
    /// As it stands in the file, for the report of a failure.
    pub(crate) text: String,
}

impl Scenario {
    pub(crate) fn parse(text: &str, surface: &Surface) -> Result<Self, String> {
        let file: Object = serde_json::from_str(text).map_err(|error| format!("not a scenario: {error}"))?;
        let known = json!({
            "name": [""], "note": "", "gateway": {}, "config": {}, "steps": [[]], "fails_at": null,
            "end": {"mappings": []}, "release": null,
        });
        let mut file = checked(file, known)?;
        surface.check_settings(&file["config"])?;
        Ok(Self {
            name: file["name"].as_str().unwrap_or_default().to_owned(),
            steps: steps(&file["steps"], surface)?,
            gateway: object(file["gateway"].take()),
            config: object(file["config"].take()),
            end: file["end"].take(),
            release: Some(file["release"].take())
                .filter(|release| !release.is_null())
                .unwrap_or_else(|| RELEASED.into()),
            fails_at: file.remove("fails_at").filter(|place| !place.is_null()),
        })
    }
}

fn steps(list: &Value, surface: &Surface) -> Result<Vec<Step>, String> {
    list.as_array().into_iter().flatten().map(|step| Step::parse(step, surface)).collect()
}

impl Step {
    fn parse(step: &Value, surface: &Surface) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what} in {step}");
        let mut fields = step.as_object().cloned().ok_or_else(|| wrong("no step"))?;
        let call = fields.remove("do").and_then(|call| call.as_str().map(str::to_owned)).unwrap_or_default();
        let known = arguments(&call).ok_or_else(|| wrong("an unknown call"))?;
        let (sees, fails) = (fields.remove("sees"), fields.remove("fails"));
        let within = match fields.remove("within") {
            None => None,
            Some(limit) => Some(seconds(&limit).ok_or_else(|| wrong("`within` must be a number of seconds"))?),
        };
        let mut arguments = checked(fields, known).map_err(|reason| wrong(&reason))?;
        if sees.is_some() && fails.is_some() {
            return Err(wrong("both `sees` and `fails`"));
        }
        if sees.is_none() && call.starts_with("wait_for") {
            return Err(wrong("nothing to wait for"));
        }
        if arguments.get("timeout").is_some_and(|limit| !limit.is_null() && seconds(limit).is_none()) {
            return Err(wrong("`timeout` must be a number of seconds"));
        }
        if let Some(settings) = arguments.get("config") {
            surface.check_settings(settings).map_err(|reason| wrong(&reason))?;
        }
        let steps = steps(&arguments.remove("steps").unwrap_or_default(), surface)?;
        Ok(Self { call, arguments, steps, sees, fails, within, text: step.to_string() })
    }
}

/// All the fields that are known: those that were given, of the right types, and defaults for the others.
fn checked(mut given: Object, known: Value) -> Result<Object, String> {
    let mut all = object(known);
    for (name, value) in &mut all {
        let (like, needed) = match &*value {
            Value::Array(like) => (&like[0], true),
            like => (like, false),
        };
        match given.remove(name) {
            Some(found) if like.is_null() || std::mem::discriminant(like) == std::mem::discriminant(&found) => {
                *value = found
            }
            Some(found) => return Err(format!("`{name}: {found}` is of another type")),
            None if needed => return Err(format!("no `{name}`")),
            None => {}
        }
    }
    match given.keys().next() {
        Some(name) => Err(format!("an unknown `{name}`")),
        None => Ok(all),
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(fields) => fields,
        _ => Object::new(),
    }
}

/// Whether one of the steps is this call.
pub(crate) fn calls(steps: &[Step], call: &str) -> bool {
    steps.iter().any(|step| step.call == call || calls(&step.steps, call))
}

/// A duration, written as a number of seconds.
pub(crate) fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}
