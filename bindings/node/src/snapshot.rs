//! Snapshots and reports as numbers and texts.

use std::time::Duration;

use napi_derive::napi;
use portlease::{GatewayReport, LeaseSnapshot, MapperSnapshot, ProtocolReport, TableEntry};

use crate::error::{ErrorView, milliseconds};

/// How many numbers a lease's snapshot has.
const LENGTH: usize = 17;
/// What is absent.
const NONE: f64 = -1.0;

/// The numbers of a snapshot, in the order in which the JavaScript layer reads them. Names are their places in `names.ts`;
/// -1 is what is absent.
pub(crate) fn numbers(snapshot: &LeaseSnapshot) -> [f64; LENGTH] {
    let time = |duration: Option<Duration>| duration.map_or(NONE, milliseconds);
    [
        snapshot.id as f64,
        f64::from(snapshot.state as u8),
        f64::from(u8::from(snapshot.active)),
        f64::from(snapshot.internal_port),
        f64::from(snapshot.transport as u8),
        snapshot.protocol().map_or(NONE, |protocol| f64::from(protocol as u8)),
        time(snapshot.lifetime),
        time(snapshot.expires_in),
        time(snapshot.renews_in),
        f64::from(u8::from(snapshot.permanent)),
        snapshot.renewals as f64,
        f64::from(snapshot.failures),
        f64::from(snapshot.nat_class as u8),
        f64::from(snapshot.address_class as u8),
        snapshot.revision as f64,
        snapshot.external_port().map_or(NONE, f64::from),
        f64::from(snapshot.family as u8),
    ]
}

/// The same, as far as there is room.
pub(crate) fn write_numbers(snapshot: &LeaseSnapshot, into: &mut [f64]) {
    for (slot, number) in into.iter_mut().zip(numbers(snapshot)) {
        *slot = number;
    }
}

/// A lease's snapshot.
#[napi(object)]
pub struct LeaseView {
    /// As [`numbers`] has them.
    pub numbers: Vec<f64>,
    /// The external address and port.
    pub external: Option<String>,
    /// The latest failure.
    pub last_error: Option<ErrorView>,
}

impl From<&LeaseSnapshot> for LeaseView {
    fn from(snapshot: &LeaseSnapshot) -> Self {
        Self {
            numbers: numbers(snapshot).to_vec(),
            external: snapshot.external().map(|external| external.to_string()),
            last_error: snapshot.last_error.as_deref().map(ErrorView::from),
        }
    }
}

/// A mapper's snapshot.
#[napi(object)]
pub struct MapperView {
    /// The gateway.
    pub gateway: Option<String>,
    /// The local address.
    pub local_address: Option<String>,
    /// The protocols by which the gateway has answered.
    pub protocols: Vec<String>,
    /// Leases with a mapping.
    pub active: f64,
    /// Successful renewals.
    pub renewals: f64,
    /// Events that nobody pulled in time.
    pub events_dropped: f64,
    /// Every lease that has not exited.
    pub leases: Vec<LeaseView>,
    /// The last thing that did not work and that no lease depends on.
    pub last_error: Option<ErrorView>,
    /// Whether it was stopped.
    pub stopped: bool,
}

impl From<&MapperSnapshot> for MapperView {
    fn from(snapshot: &MapperSnapshot) -> Self {
        Self {
            gateway: snapshot.gateway.map(|address| address.to_string()),
            local_address: snapshot.local_address.map(|address| address.to_string()),
            protocols: snapshot.protocols.iter().map(ToString::to_string).collect(),
            active: snapshot.active as f64,
            renewals: snapshot.renewals as f64,
            events_dropped: snapshot.events_dropped as f64,
            leases: snapshot.leases.iter().map(LeaseView::from).collect(),
            last_error: snapshot.last_error.as_deref().map(ErrorView::from),
            stopped: snapshot.stopped,
        }
    }
}

/// What a gateway offers.
#[napi(object)]
pub struct ReportView {
    /// The gateway.
    pub gateway: Option<String>,
    /// The local address.
    pub local_address: Option<String>,
    /// The interface of the default route.
    pub interface: Option<String>,
    /// One entry for each configured protocol.
    pub protocols: Vec<ProtocolView>,
}

/// One protocol's part of it.
#[napi(object)]
pub struct ProtocolView {
    /// The protocol.
    pub protocol: String,
    /// The external address.
    pub external_address: Option<String>,
    /// The device's name.
    pub device: Option<String>,
    /// How long the answer took, in milliseconds.
    pub round_trip: Option<f64>,
    /// Why there was none.
    pub error: Option<ErrorView>,
}

impl From<&GatewayReport> for ReportView {
    fn from(report: &GatewayReport) -> Self {
        Self {
            gateway: report.gateway.map(|address| address.to_string()),
            local_address: report.local_address.map(|address| address.to_string()),
            interface: report.interface.clone(),
            protocols: report.protocols.iter().map(ProtocolView::from).collect(),
        }
    }
}

impl From<&ProtocolReport> for ProtocolView {
    fn from(report: &ProtocolReport) -> Self {
        let offer = report.outcome.as_ref().ok();
        Self {
            protocol: report.protocol.to_string(),
            external_address: offer.and_then(|offer| offer.external_address).map(|address| address.to_string()),
            device: offer.and_then(|offer| offer.device.clone()),
            round_trip: offer.map(|offer| milliseconds(offer.round_trip)),
            error: report.outcome.as_ref().err().map(ErrorView::from),
        }
    }
}

/// A line of the router's table.
#[napi(object)]
pub struct EntryView {
    /// The port outside.
    pub external_port: u16,
    /// UDP or TCP.
    pub transport: String,
    /// The host inside.
    pub internal_client: String,
    /// The port on that host.
    pub internal_port: u16,
    /// What its maker calls it.
    pub description: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// The time that is left, in milliseconds.
    pub lifetime: Option<f64>,
    /// The only host that may use it.
    pub remote_host: String,
    /// Whether it forwards to this machine.
    pub this_machine: bool,
}

impl From<&TableEntry> for EntryView {
    fn from(entry: &TableEntry) -> Self {
        Self {
            external_port: entry.external_port,
            transport: entry.transport.to_string(),
            internal_client: entry.internal_client.clone(),
            internal_port: entry.internal_port,
            description: entry.description.clone(),
            enabled: entry.enabled,
            lifetime: entry.lifetime.map(milliseconds),
            remote_host: entry.remote_host.clone(),
            this_machine: entry.this_machine,
        }
    }
}

/// The version of the addon.
#[napi(catch_unwind)]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
