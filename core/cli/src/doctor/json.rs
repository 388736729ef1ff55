//! The report for programs. Its names are stable.

use std::net::IpAddr;

use portlease::{ErrorReport, ProtocolReport};
use serde_json::{Value, json};

use super::Seen;
use crate::diagnosis::Findings;
use crate::event::millis;
use crate::network::{Link, Network};
use portlease::net::route::Route;

/// The fields of IPv4 stand beside those of the whole report, because there were no others once.
pub(super) fn report(seen: &Seen) -> Value {
    let works = [&seen.ipv4, &seen.ipv6].into_iter().filter(|findings| findings.mappable());
    let works: Vec<_> = works.map(|findings| findings.family.as_str()).collect();
    let mut report = family(&seen.ipv4);
    report["version"] = json!(env!("CARGO_PKG_VERSION"));
    report["families"] = json!(works);
    report["ipv6"] = family(&seen.ipv6);
    report["network"] = network(&seen.ipv4.place.network);
    report["router"] = seen.router.json();
    report["firewall"] = json!({
        "verdict": seen.firewall.as_str(),
        "evidence": seen.firewall.evidence(),
        "next": seen.firewall_step(),
        "asked": seen.asked.iter().map(|(program, said)| json!({ "program": program, "answer": said })).collect::<Vec<_>>(),
    });
    report["ports"] = json!(seen.ports.iter().map(super::port::PortFindings::json).collect::<Vec<_>>());
    report["outside"] = seen.outside.as_ref().map_or(Value::Null, |outside| {
        json!({
            "server": outside.server,
            "address": outside.seen.as_ref().ok().map(|seen| seen.ip().to_string()),
            "verdict": outside.sight.as_str(),
            "evidence": outside.text(),
        })
    });
    report
}

fn network(network: &Network) -> Value {
    let link = |link: &Link| {
        json!({
            "interface": link.name,
            "kind": link.kind.as_str(),
            "state": link.state.as_str(),
            "addresses": link.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    };
    let route = |route: &Route| {
        json!({
            "interface": route.interface,
            "kind": network.kind(&route.interface).as_str(),
            "gateway": route.gateway.map(|gateway| gateway.to_string()),
            "metric": route.metric,
        })
    };
    json!({
        "machine": network.machine.as_str(),
        "interfaces": network.links.iter().map(link).collect::<Vec<_>>(),
        "default_routes": network.routes.iter().map(route).collect::<Vec<_>>(),
        "default_routes_ipv6": network.routes6.iter().map(route).collect::<Vec<_>>(),
    })
}

fn family(findings: &Findings) -> Value {
    let report = findings.gateway.as_ref().ok();
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string());
    json!({
        "gateway": findings.router(),
        "interface": report.and_then(|report| report.interface.as_deref()),
        "local_address": text(report.and_then(|report| report.local_address)),
        "error": findings.gateway.as_ref().err().map(|error| failure(&ErrorReport::from(error))),
        "presence": findings.place.presence.as_ref().map(|presence| {
            json!({ "verdict": presence.as_str(), "evidence": presence.evidence() })
        }),
        "protocols": report.map_or_else(Vec::new, |report| report.protocols.iter().map(protocol).collect()),
        "device": findings.device(),
        "external_address": text(findings.external_address()),
        "address_class": findings.address_class().as_str(),
        "test_mapping": match &findings.test {
            None => Value::Null,
            Some(Err(error)) => failure(error),
            Some(Ok(test)) => json!({
                "ok": true,
                "transport": "udp",
                "internal_port": test.internal_port,
                "external": test.external.map(|external| external.to_string()),
                "external_port": test.external_port,
                "protocol": test.protocol.as_str(),
                "ttl": test.ttl,
                "elapsed_ms": test.elapsed_ms,
                "release": test.release.as_str(),
            }),
        },
        "mappable": findings.mappable(),
        "verdict": findings.verdict(),
        "next": findings.next_steps(),
    })
}

/// What one protocol answered.
pub(crate) fn protocol(report: &ProtocolReport) -> Value {
    let mut value = match &report.outcome {
        Err(error) => failure(&ErrorReport::from(error)),
        Ok(offer) => json!({
            "ok": true,
            "round_trip_ms": millis(offer.round_trip),
            "external_address": offer.external_address.map(|address| address.to_string()),
            "device": offer.device,
        }),
    };
    value["protocol"] = json!(report.protocol.as_str());
    value
}

fn failure(error: &ErrorReport) -> Value {
    json!({ "ok": false, "kind": error.kind.as_str(), "message": error.message })
}
