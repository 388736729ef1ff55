//! Rust's testee: makes the calls that the runner asks for, many at once, and answers with what they gave.

mod settings;

use std::collections::BTreeMap;
use std::io::{Write, stdin, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portlease::{
    Config, ErrorDetail, ErrorReport, Event, GatewayReport, Lease, LeaseSnapshot, MapRequest, Mapper, MapperSnapshot,
    PortMappingError, ProtocolReport, RetryPolicy, TableEntry, Transport,
};
use serde_json::{Value, json};

/// A call's result, or why the call failed; else what is asked for that this testee cannot do.
type Answer = Result<Result<Value, PortMappingError>, String>;

#[derive(Default)]
struct Handles {
    mappers: Mutex<BTreeMap<String, Arc<Mapper>>>,
    leases: Mutex<BTreeMap<String, Arc<Lease>>>,
}

fn main() {
    let handles = Arc::new(Handles::default());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for line in stdin().lines() {
        let command: Value = serde_json::from_str(&line.expect("a line of text")).expect("a line of JSON");
        let handles = handles.clone();
        runtime.spawn(async move {
            let answer = match handles.call(&command).await {
                Ok(Ok(result)) => json!({"id": command["id"], "result": result}),
                Ok(Err(failed)) => json!({"id": command["id"], "error": error(&ErrorReport::from(&failed))}),
                Err(reason) => json!({"id": command["id"], "unsupported": reason}),
            };
            // If the runner is gone, so is the input.
            let _ = writeln!(stdout(), "{answer}");
        });
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_f64().map(Duration::from_secs_f64)
}

fn handle<T>(handles: &Mutex<BTreeMap<String, Arc<T>>>, name: &Value) -> Result<Arc<T>, String> {
    let handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
    handles.get(name.as_str().unwrap_or_default()).cloned().ok_or_else(|| format!("there is no {name}"))
}

fn keep<T>(handles: &Mutex<BTreeMap<String, Arc<T>>>, name: &Value, handle: T) -> Value {
    let name = name.as_str().unwrap_or_default().to_owned();
    handles.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(handle));
    Value::Null
}

impl Handles {
    async fn call(&self, command: &Value) -> Answer {
        let timeout = seconds(&command["timeout"]);
        let mapper = || handle(&self.mappers, &command["mapper"]);
        let lease = || handle(&self.leases, &command["lease"]);
        Ok(match command["do"].as_str().unwrap_or_default() {
            "start" => {
                Mapper::start(config(&command["config"])?).map(|mapper| keep(&self.mappers, &command["mapper"], mapper))
            }
            "map" => mapper()?.map(request(command)?).map(|lease| keep(&self.leases, &command["lease"], lease)),
            "ensure" => mapper()?.ensure(request(command)?).map(|lease| {
                let id = lease.id();
                keep(&self.leases, &command["lease"], lease);
                id.into()
            }),
            "leases" => Ok(mapper()?.leases().iter().map(Lease::id).collect::<Vec<_>>().into()),
            "external_address" => mapper()?.external_address(timeout).await.map(|address| address.to_string().into()),
            "table" => mapper()?.table().await.map(|table| table.iter().map(entry_result).collect::<Vec<_>>().into()),
            "delete" => {
                let (transport, port) = (transport(command)?, port(command, "external_port").unwrap_or_default());
                let deleted = mapper()?.delete(transport, port, command["any_host"] == true).await;
                deleted.map(|entry| entry.as_ref().map(entry_result).into())
            }
            "ready" => lease()?.ready(timeout).await.map(|snapshot| lease_result(&snapshot)),
            "changed" => {
                let since = command["since"].as_u64().ok_or("a change since no revision")?;
                lease()?.changed(since, timeout).await.map(|snapshot| lease_result(&snapshot))
            }
            "repair" => lease()?.repair(timeout).await.map(|snapshot| lease_result(&snapshot)),
            "snapshot" => Ok(lease_result(&lease()?.snapshot())),
            "stop" => Ok(lease()?.stop(timeout).await.as_str().into()),
            "detach" => Ok(lease()?.detach().await.as_str().into()),
            "mapper_snapshot" => Ok(mapper_result(&mapper()?.snapshot())),
            "network_changed" => {
                mapper()?.network_changed();
                Ok(Value::Null)
            }
            "next_event" => mapper()?.next_event(timeout).await.map(|event| event_result(&event)),
            "probe" => mapper()?.probe().await.map(|report| report_result(&report)),
            "stop_mapper" => Ok(mapper()?.stop(timeout).await.as_str().into()),
            other => return Err(format!("the call {other}")),
        })
    }
}

fn port(command: &Value, name: &str) -> Option<u16> {
    command[name].as_u64().and_then(|port| u16::try_from(port).ok())
}

fn transport(command: &Value) -> Result<Transport, String> {
    command["transport"].as_str().and_then(|name| name.parse().ok()).ok_or_else(|| format!("{command}"))
}

fn request(command: &Value) -> Result<MapRequest, String> {
    let internal = port(command, "port").ok_or_else(|| format!("{command}"))?;
    let mut request = MapRequest::new(internal, transport(command)?);
    request.external_port = port(command, "external_port");
    request.exact = command["exact"] == true;
    request.family =
        command["family"].as_str().and_then(|name| name.parse().ok()).ok_or_else(|| format!("{command}"))?;
    request.ttl = seconds(&command["ttl"]);
    request.description = command["description"].as_str().map(str::to_owned);
    Ok(request)
}

fn config(settings: &Value) -> Result<Config, String> {
    let mut config = Config::default();
    for (name, value) in settings.as_object().into_iter().flatten() {
        settings::configure(&mut config, name, value).ok_or_else(|| format!("the setting {name}: {value}"))?;
    }
    Ok(config)
}

fn retry(value: &Value) -> Option<RetryPolicy> {
    if value == "never" {
        return Some(RetryPolicy::Never);
    }
    Some(RetryPolicy::backoff(seconds(&value["min"])?, seconds(&value["max"])?))
}

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn error(error: &ErrorReport) -> Value {
    json!({
        "kind": error.kind.as_str(),
        "message": error.message,
        "details": error.details.iter().map(detail).collect::<Vec<_>>(),
        "advice": error.advice,
        "retry_after": error.retry_after.map(|time| time.as_secs_f64()),
    })
}

fn detail(detail: &ErrorDetail) -> Value {
    json!({
        "protocol": detail.protocol.as_str(),
        "kind": detail.kind.as_str(),
        "code": detail.code,
        "name": detail.name,
        "retry_after": detail.retry_after.map(|time| time.as_secs_f64()),
        "message": detail.message,
    })
}

fn entry_result(entry: &TableEntry) -> Value {
    json!({
        "external_port": entry.external_port,
        "transport": entry.transport.as_str(),
        "internal_client": entry.internal_client,
        "internal_port": entry.internal_port,
        "description": entry.description,
        "enabled": entry.enabled,
        "lifetime": entry.lifetime.map(|left| left.as_secs_f64()),
        "remote_host": entry.remote_host,
        "this_machine": entry.this_machine,
    })
}

fn lease_result(lease: &LeaseSnapshot) -> Value {
    json!({
        "id": lease.id,
        "revision": lease.revision,
        "state": lease.state.as_str(),
        "active": lease.active,
        "external": text(lease.external()),
        "external_port": lease.external_port(),
        "internal_port": lease.internal_port,
        "transport": lease.transport.as_str(),
        "family": lease.family.as_str(),
        "protocol": text(lease.protocol()),
        "lifetime": lease.lifetime.map(|lifetime| lifetime.as_secs_f64()),
        "expires_in": lease.expires_in.map(|time| time.as_secs_f64()),
        "renews_in": lease.renews_in.map(|time| time.as_secs_f64()),
        "permanent": lease.permanent,
        "renewals": lease.renewals,
        "failures": lease.failures,
        "last_error": lease.last_error.as_deref().map(error),
        "nat_class": lease.nat_class.as_str(),
        "address_class": lease.address_class.as_str(),
    })
}

fn mapper_result(mapper: &MapperSnapshot) -> Value {
    json!({
        "gateway": text(mapper.gateway),
        "local_address": text(mapper.local_address),
        "protocols": mapper.protocols.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>(),
        "active": mapper.active,
        "renewals": mapper.renewals,
        "events_dropped": mapper.events_dropped,
        "leases": mapper.leases.iter().map(lease_result).collect::<Vec<_>>(),
        "last_error": mapper.last_error.as_deref().map(error),
        "stopped": mapper.stopped,
    })
}

fn event_result(event: &Event) -> Value {
    json!({
        "kind": event.kind.as_str(),
        "lease": event.lease,
        "transport": text(event.transport),
        "family": text(event.family),
        "internal_port": event.internal_port,
        "external": text(event.external),
        "external_port": event.external_port,
        "protocol": text(event.protocol),
        "lifetime": event.lifetime.map(|lifetime| lifetime.as_secs_f64()),
        "address_class": event.address_class.as_str(),
        "error": event.error.as_deref().map(error),
        "elapsed": event.elapsed.as_secs_f64(),
        "dropped": event.dropped,
    })
}

fn report_result(report: &GatewayReport) -> Value {
    json!({
        "gateway": text(report.gateway),
        "local_address": text(report.local_address),
        "interface": report.interface,
        "protocols": report.protocols.iter().map(protocol_result).collect::<Vec<_>>(),
    })
}

fn protocol_result(report: &ProtocolReport) -> Value {
    let offer = report.outcome.as_ref().ok();
    json!({
        "protocol": report.protocol.as_str(),
        "external_address": text(offer.and_then(|offer| offer.external_address)),
        "device": offer.and_then(|offer| offer.device.as_deref()),
        "round_trip": offer.map(|offer| offer.round_trip.as_secs_f64()),
        "error": report.outcome.as_ref().err().map(|failed| error(&ErrorReport::from(failed))),
    })
}
