//! Results as the scenarios write them: the same names and texts in every language, durations in seconds.

use std::time::Duration;

use portlease::{
    Config, ErrorReport, Event, GatewayReport, LeaseSnapshot, MapperSnapshot, PortMappingError, ProtocolReport,
    RetryPolicy,
};
use serde_json::{Map, Value, json};

use crate::format::seconds;

fn text<T: ToString>(value: Option<T>) -> Value {
    value.map_or(Value::Null, |value| value.to_string().into())
}

fn duration(value: Option<Duration>) -> Value {
    value.map_or(Value::Null, |value| value.as_secs_f64().into())
}

fn report(error: Option<&ErrorReport>) -> Value {
    error.map_or(Value::Null, |error| json!({"kind": error.kind.as_str(), "message": error.message}))
}

/// An error that a call raised.
pub(crate) fn error(error: &PortMappingError) -> Value {
    report(Some(&ErrorReport::from(error)))
}

pub(crate) fn lease(lease: &LeaseSnapshot) -> Value {
    json!({
        "id": lease.id,
        "state": lease.state.as_str(),
        "active": lease.active,
        "external": text(lease.external()),
        "internal_port": lease.internal_port,
        "transport": lease.transport.as_str(),
        "protocol": text(lease.protocol()),
        "ttl": duration(lease.lifetime),
        "expires_in": duration(lease.expires_in),
        "renews_in": duration(lease.renews_in),
        "permanent": lease.permanent,
        "renewals": lease.renewals,
        "failures": lease.failures,
        "last_error": report(lease.last_error.as_deref()),
        "nat_class": lease.nat_class.as_str(),
        "address_class": lease.address_class.as_str(),
    })
}

pub(crate) fn mapper(mapper: &MapperSnapshot) -> Value {
    json!({
        "gateway": text(mapper.gateway),
        "local_address": text(mapper.local_address),
        "protocols": mapper.protocols.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>(),
        "active": mapper.active,
        "renewals": mapper.renewals,
        "events_dropped": mapper.events_dropped,
        "leases": mapper.leases.iter().map(lease).collect::<Vec<_>>(),
        "stopped": mapper.stopped,
    })
}

pub(crate) fn event(event: &Event) -> Value {
    json!({
        "kind": event.kind.as_str(),
        "lease": event.lease,
        "transport": text(event.transport),
        "internal_port": event.internal_port,
        "external": text(event.external),
        "protocol": text(event.protocol),
        "ttl": duration(event.lifetime),
        "address_class": event.address_class.as_str(),
        "error": report(event.error.as_deref()),
        "elapsed": event.elapsed.as_secs_f64(),
        "dropped": event.dropped,
    })
}

pub(crate) fn gateway(report: &GatewayReport) -> Value {
    json!({
        "gateway": text(report.gateway),
        "local_address": text(report.local_address),
        "interface": text(report.interface.as_deref()),
        "protocols": report.protocols.iter().map(protocol).collect::<Vec<_>>(),
    })
}

fn protocol(report: &ProtocolReport) -> Value {
    let offer = report.outcome.as_ref().ok();
    json!({
        "protocol": report.protocol.as_str(),
        "external_address": text(offer.and_then(|offer| offer.external_address)),
        "device": text(offer.and_then(|offer| offer.device.as_deref())),
        "round_trip": duration(offer.map(|offer| offer.round_trip)),
        "error": report.outcome.as_ref().err().map_or(Value::Null, error),
    })
}

/// Puts the fields of a scenario's configuration into `config`. Fails where the scenario is wrong, which is another
/// thing than a value that the library refuses.
pub(crate) fn configure(config: &mut Config, fields: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in fields {
        configure_field(config, name, value).ok_or_else(|| format!("`{name}: {value}` is no setting"))?;
    }
    Ok(())
}

fn configure_field(config: &mut Config, name: &str, value: &Value) -> Option<()> {
    match name {
        "gateway" => config.gateway = Some(value.as_str()?.parse().ok()?),
        "local_address" => config.local_address = Some(value.as_str()?.parse().ok()?),
        "interface" => config.interface = Some(value.as_str()?.to_owned()),
        "protocols" => {
            let names = value.as_array()?.iter();
            config.protocols = names.map(|name| name.as_str()?.parse().ok()).collect::<Option<_>>()?;
        }
        "ttl" => config.ttl = seconds(value)?,
        "renewal_interval" => config.renewal_interval = seconds(value)?,
        "failure_threshold" => config.failure_threshold = value.as_u64()?.try_into().ok()?,
        "retry" if value == "never" => config.retry = RetryPolicy::Never,
        "retry" => config.retry = RetryPolicy::backoff(seconds(&value["min"])?, seconds(&value["max"])?),
        "description" => config.description = value.as_str()?.to_owned(),
        "pcp_port" => config.pcp_port = value.as_u64()?.try_into().ok()?,
        "ssdp_address" => config.ssdp_address = Some(value.as_str()?.parse().ok()?),
        _ => return None,
    }
    Some(())
}
