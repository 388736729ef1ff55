//! A scenario as its file says it. Whatever the format does not know is an error.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it shows; only the title of the test needs it.
    #[serde(rename = "name")]
    _name: String,
    /// What is worth knowing about it.
    #[serde(default, rename = "note")]
    _note: Option<String>,
    /// Settings of the simulated gateway.
    #[serde(default)]
    pub(crate) gateway: Map<String, Value>,
    /// Settings of every mapper.
    #[serde(default)]
    pub(crate) config: Map<String, Value>,
    pub(crate) steps: Vec<Step>,
    /// In `must_fail`: where the runner must notice, the number of a step from 1 or `end`; absent: anywhere.
    #[serde(default)]
    pub(crate) fails_at: Option<Value>,
    /// What the gateway's state must match in the end.
    #[serde(default = "empty_table")]
    pub(crate) end: Value,
}

fn empty_table() -> Value {
    serde_json::json!({"mappings": []})
}

impl Scenario {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("not a scenario: {error}"))
    }
}

/// One call and what must be seen of it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) sees: Option<Value>,
    pub(crate) fails: Option<Value>,
    pub(crate) within: Option<Duration>,
    /// As it stands in the file, for the report of a failure.
    pub(crate) text: String,
}

impl TryFrom<Map<String, Value>> for Step {
    type Error = String;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, String> {
        let text = Value::from(fields.clone()).to_string();
        let wrong = |what: &str| format!("{what} in {text}");
        let (sees, fails) = (fields.remove("sees"), fields.remove("fails"));
        if sees.is_some() && fails.is_some() {
            return Err(wrong("both `sees` and `fails`"));
        }
        let within = match fields.remove("within") {
            None => None,
            Some(limit) => Some(seconds(&limit).ok_or_else(|| wrong("`within` is no number of seconds"))?),
        };
        let action = serde_json::from_value(Value::Object(fields)).map_err(|error| wrong(&error.to_string()))?;
        if sees.is_none() && matches!(action, Action::WaitFor { .. } | Action::WaitForGateway {}) {
            return Err(wrong("nothing to wait for"));
        }
        Ok(Self { action, sees, fails, within, text })
    }
}

/// What a step does.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Action {
    Start {
        #[serde(default = "mapper")]
        mapper: String,
        #[serde(default)]
        config: Map<String, Value>,
    },
    Map {
        #[serde(default = "mapper")]
        mapper: String,
        #[serde(default = "lease")]
        lease: String,
        port: u16,
        #[serde(default = "udp")]
        transport: String,
        #[serde(default)]
        external_port: Option<u16>,
        #[serde(default)]
        exact: bool,
    },
    Ready {
        #[serde(default = "lease")]
        lease: String,
        #[serde(default)]
        timeout: Option<f64>,
    },
    Snapshot {
        #[serde(default = "lease")]
        lease: String,
    },
    WaitFor {
        #[serde(default = "lease")]
        lease: String,
    },
    Stop {
        #[serde(default = "lease")]
        lease: String,
        #[serde(default)]
        timeout: Option<f64>,
    },
    Detach {
        #[serde(default = "lease")]
        lease: String,
    },
    MapperSnapshot {
        #[serde(default = "mapper")]
        mapper: String,
    },
    NextEvent {
        #[serde(default = "mapper")]
        mapper: String,
        #[serde(default)]
        timeout: Option<f64>,
        #[serde(default)]
        skip: Option<Value>,
    },
    Probe {
        #[serde(default = "mapper")]
        mapper: String,
    },
    StopMapper {
        #[serde(default = "mapper")]
        mapper: String,
        #[serde(default)]
        timeout: Option<f64>,
    },
    Gateway {
        line: Map<String, Value>,
    },
    WaitForGateway {},
    Repeat {
        times: u32,
        steps: Vec<Step>,
    },
}

fn mapper() -> String {
    "mapper".into()
}

fn lease() -> String {
    "lease".into()
}

fn udp() -> String {
    "udp".into()
}

/// A duration, written as a number of seconds.
pub(crate) fn seconds(value: &Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}
