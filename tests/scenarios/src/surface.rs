//! Whether results have exactly the fields of `tests/surface.json`, and of the right types.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::format::seconds;

/// The lists of the file.
pub(crate) struct Surface(Value);

impl Surface {
    pub(crate) fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../surface.json")).expect("surface.json is JSON"))
    }

    fn names(&self, list: &str) -> impl Iterator<Item = &str> {
        self.0[list].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// Whether all of these are settings of a mapper.
    pub(crate) fn check_settings(&self, settings: &Value) -> Result<(), String> {
        let unknown = |name: &&String| !self.names("config").any(|known| known == *name);
        let given = settings.as_object().into_iter().flat_map(|settings| settings.keys());
        given.filter(unknown).map(|name| Err(format!("`{name}` is no setting"))).next().unwrap_or(Ok(()))
    }

    /// Why the answer to a call is not of the form that it must have; an error is the answer to `error`.
    pub(crate) fn check_answer(&self, call: &str, answer: &Value) -> Result<(), String> {
        let wanted = match call {
            "ready" | "changed" | "repair" | "snapshot" => "lease_snapshot",
            "mapper_snapshot" => "mapper_snapshot",
            "next_event" => "event",
            "probe" => "gateway_report",
            "stop" | "stop_mapper" | "detach" => "releases",
            "ensure" => "whole number",
            "leases" => "list of whole number",
            "external_address" => "address",
            "table" => "list of table_entry",
            "delete" => "table_entry?",
            "error" => "error",
            _ => "null",
        };
        self.check(wanted, answer).map_err(|what| format!("the answer to `{call}` is malformed: {what} in {answer}"))
    }

    fn check(&self, wanted: &str, value: &Value) -> Result<(), String> {
        if let Some(wanted) = wanted.strip_suffix('?') {
            return if value.is_null() { Ok(()) } else { self.check(wanted, value) };
        }
        if let (Some(item), Some(list)) = (wanted.strip_prefix("list of "), value.as_array()) {
            return list.iter().try_for_each(|value| self.check(item, value));
        }
        let text = value.as_str();
        let right = match wanted {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "whole number" => value.is_u64(),
            "seconds" => seconds(value).is_some(),
            "text" => text.is_some_and(|text| !text.is_empty()),
            "any text" => text.is_some(),
            "address" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            "address and port" => text.is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
            record if value.is_object() => return self.check_record(record, value),
            list => text.is_some_and(|text| self.names(list).any(|name| name == text)),
        };
        if right { Ok(()) } else { Err(format!("{value} is none of: {wanted}")) }
    }

    fn check_record(&self, record: &str, value: &Value) -> Result<(), String> {
        let fields = value.as_object().into_iter().flatten();
        for (name, value) in fields.clone() {
            if !self.names(record).any(|known| known == name) {
                return Err(format!("there is an extra field `{name}`"));
            }
            self.check(type_of(record, name), value).map_err(|what| format!("{name}: {what}"))?;
        }
        let missing = |name: &&str| !fields.clone().any(|(found, _)| found == name);
        self.names(record).find(missing).map_or(Ok(()), |name| Err(format!("the field `{name}` is missing")))
    }
}

/// The type of a field: the name of a list or record of the file, or one of those above; `?`: or null. A field that is
/// not named here is a whole number.
fn type_of(record: &str, field: &str) -> &'static str {
    match (record, field) {
        ("lease_snapshot", "active") | (_, "permanent" | "stopped" | "enabled" | "this_machine") => "boolean",
        (_, "state") => "states",
        ("event", "kind") => "events",
        ("error" | "error_detail", "kind") => "kinds",
        ("error" | "error_detail", "message") => "text",
        ("error", "details") => "list of error_detail",
        ("error_detail", "protocol") => "protocols",
        ("error_detail", "code") => "whole number?",
        ("table_entry", "external_port") => "whole number",
        ("table_entry", "internal_client" | "description" | "remote_host") => "any text",
        (_, "advice" | "name") => "text?",
        (_, "retry_after") => "seconds?",
        ("event", "transport") => "transports?",
        (_, "transport") => "transports",
        ("event", "family") => "families?",
        (_, "family") => "families",
        ("protocol_report", "protocol") => "protocols",
        (_, "protocol") => "protocols_of_mappings?",
        (_, "nat_class") => "nat_classes",
        (_, "address_class") => "address_classes",
        (_, "elapsed") => "seconds",
        (_, "lifetime" | "expires_in" | "renews_in" | "round_trip") => "seconds?",
        (_, "error" | "last_error") => "error?",
        (_, "external") => "address and port?",
        (_, "gateway" | "local_address" | "external_address") => "address?",
        (_, "interface" | "device") => "text?",
        ("gateway_report", "protocols") => "list of protocol_report",
        (_, "protocols") => "list of protocols",
        (_, "leases") => "list of lease_snapshot",
        (_, "external_port") | ("event", "lease" | "internal_port") => "whole number?",
        _ => "whole number",
    }
}
