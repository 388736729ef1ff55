//! The line protocol: one JSON object a line tells the gateway what to do, and one answers.
//! The command and the bindings of other languages speak it; the README has every command.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Announcement, Event, Gateway, NewMapping, Protocol, Transport};

/// A command with its fields.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Mappings {},
    Counters {},
    Faults {},
    State {},
    Reboot {},
    ExternalAddress {
        address: Option<Ipv4Addr>,
    },
    AddMapping {
        transport: Transport,
        external_port: u16,
        internal: SocketAddr,
        #[serde(default)]
        lifetime: Option<u32>,
    },
    PutMapping {
        protocol: Protocol,
        transport: Transport,
        external_port: u16,
        internal: SocketAddr,
        #[serde(default)]
        description: String,
        #[serde(default)]
        lifetime: Option<u32>,
    },
    RemoveMapping {
        transport: Transport,
        external_port: u16,
    },
    RemovePinhole {
        transport: Transport,
        internal: SocketAddr,
    },
    Renumber {
        prefix: String,
    },
    Announce {
        what: Announcement,
        to: SocketAddr,
    },
    Stop {},
}

/// The answer to one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The JSON object to send back: `{"event":"reply","command":...}`, with `error` when the command failed.
    pub json: Value,
    /// The gateway was told to stop: the caller drops it now.
    pub stop: bool,
}

/// The line that starts the stream of events.
pub fn started(gateway: &Gateway) -> Value {
    event(&Event::Started(gateway.addresses()))
}

/// An event as a JSON object.
pub fn event(event: &Event) -> Value {
    serde_json::to_value(event).unwrap_or_else(|error| json!({"event": "error", "message": error.to_string()}))
}

/// Carries out one line. Never fails: what is wrong with the line is in the reply.
pub fn execute(gateway: &Gateway, line: &str) -> Reply {
    let (name, result) = match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(object)) => command(gateway, object),
        Ok(_) => (Value::Null, Err("a command is a JSON object".into())),
        Err(error) => (Value::Null, Err(format!("not JSON: {error}"))),
    };
    let stop = result.is_ok() && name == "stop";
    let mut json = json!({"event": "reply", "command": name});
    let fields = match result {
        Ok(fields) => fields,
        Err(error) => json!({ "error": error }),
    };
    if let (Value::Object(json), Value::Object(fields)) = (&mut json, fields) {
        json.extend(fields);
    }
    Reply { json, stop }
}

/// The name to answer with, and the further fields of the answer.
fn command(gateway: &Gateway, object: Map<String, Value>) -> (Value, Result<Value, String>) {
    if let Some(patch) = object.get("set") {
        let result = if object.len() == 1 { set(gateway, patch) } else { Err("`set` stands alone".into()) };
        return (Value::from("set"), result);
    }
    let name = object.get("command").cloned().unwrap_or_default();
    let result = match serde_json::from_value(Value::Object(object)) {
        Ok(command) => run(gateway, command),
        Err(error) => Err(error.to_string()),
    };
    (name, result)
}

fn set(gateway: &Gateway, patch: &Value) -> Result<Value, String> {
    gateway.try_update_faults(|faults| faults.merged(patch)).map_err(|error| error.to_string())?;
    Ok(json!({}))
}

/// Reads `2001:db8:1::/64`.
fn prefix(text: &str) -> Result<(Ipv6Addr, u8), String> {
    let parts = text.split_once('/').and_then(|(address, length)| Some((address.parse().ok()?, length.parse().ok()?)));
    parts.ok_or_else(|| format!("prefix: `{text}` must be an IPv6 address and a length, such as 2001:db8:1::/64"))
}

fn run(gateway: &Gateway, command: Command) -> Result<Value, String> {
    let text = |error: crate::GatewayError| error.to_string();
    Ok(match command {
        Command::Mappings {} => json!({"mappings": gateway.mappings()}),
        Command::Counters {} => json!({"counters": gateway.counters()}),
        Command::Faults {} => json!({"faults": gateway.faults()}),
        Command::State {} => json!({"state": gateway.state()}),
        Command::Reboot {} => {
            gateway.try_reboot().map_err(text)?;
            json!(gateway.addresses())
        }
        Command::ExternalAddress { address } => {
            gateway.set_external_address(address);
            json!({ "address": address })
        }
        Command::AddMapping { transport, external_port, internal, lifetime } => {
            let mapping = gateway.add_mapping(transport, external_port, internal, lifetime).map_err(text)?;
            json!({ "mapping": mapping })
        }
        Command::PutMapping { protocol, transport, external_port, internal, description, lifetime } => {
            let new = NewMapping { protocol, transport, external_port, internal, description, lifetime };
            json!({ "mapping": gateway.put_mapping(new).map_err(text)? })
        }
        Command::RemoveMapping { transport, external_port } => {
            json!({"removed": gateway.remove_mapping(transport, external_port)})
        }
        Command::RemovePinhole { transport, internal } => {
            json!({"removed": gateway.remove_pinhole(transport, internal)})
        }
        Command::Renumber { prefix } => {
            let (address, length) = self::prefix(&prefix)?;
            gateway.renumber(address, length).map_err(text)?;
            json!({ "prefix": prefix })
        }
        Command::Announce { what, to } => {
            gateway.announce(what, to).map_err(text)?;
            json!({})
        }
        Command::Stop {} => json!({}),
    })
}
