//! What is printed: one JSON object a line.

use std::io::{self, Write};

use serde::Serialize;

/// One line of results. `median` and `p90` are in the unit that `unit` names.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Record {
    /// What was measured, for instance `map` or `snapshot`.
    pub(crate) row: &'static str,
    /// Who was measured.
    pub(crate) library: String,
    /// Under which circumstances.
    pub(crate) setting: String,
    /// `portlease`, `library`, `process` (whole process time) or `floor`.
    pub(crate) kind: &'static str,
    /// Of the measurements that count; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) median_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p90_ms: Option<f64>,
    /// For what is not a time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
    /// How many measurements count.
    pub(crate) n: usize,
    /// How many ended otherwise than the setting asks for.
    pub(crate) failures: usize,
    /// How many were given up at the cap.
    pub(crate) capped: usize,
    /// The protocol of the mappings, where the library tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<String>,
    /// Why it was skipped, or how it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The first of the client's own internal ports, by which its leavings on the router are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_port: Option<u16>,
    /// The library cannot do this setting and was not run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skipped: bool,
}

/// A number with its unit.
#[derive(Debug, Serialize)]
pub(crate) struct Value {
    pub(crate) median: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p90: Option<f64>,
    pub(crate) unit: &'static str,
}

/// Prints one object as one line.
pub(crate) fn print(record: &impl Serialize) -> Result<(), String> {
    let line = serde_json::to_string(record).map_err(|error| format!("cannot write a record: {error}"))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| format!("cannot write a record: {error}"))
}
