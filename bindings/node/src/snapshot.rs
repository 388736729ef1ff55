//! Snapshots and reports as numbers and texts.

use std::time::Duration;

use napi_derive::napi;
use portlease::{
    AddressClass, ErrorKind, EventKind, GatewayReport, LeaseSnapshot, LeaseState, MapperSnapshot, NatClass, Protocol,
    ProtocolReport, Transport,
};

use crate::error::ErrorView;

/// How many numbers a lease's snapshot has.
const LENGTH: usize = 14;
/// What is absent.
const NONE: f64 = -1.0;

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn place<T: PartialEq>(all: &[T], value: &T) -> f64 {
    all.iter().position(|one| one == value).map_or(NONE, |place| place as f64)
}

/// The numbers of a snapshot, in the order in which the JavaScript layer reads them. Names are places in the lists
/// of [`names`]; a protocol that is in none of them is `none`; -1 is what is absent.
pub(crate) fn numbers(snapshot: &LeaseSnapshot) -> [f64; LENGTH] {
    let time = |duration: Option<Duration>| duration.map_or(NONE, milliseconds);
    [
        snapshot.id as f64,
        place(&LeaseState::ALL, &snapshot.state),
        f64::from(u8::from(snapshot.active)),
        f64::from(snapshot.internal_port),
        place(&Transport::ALL, &snapshot.transport),
        snapshot.protocol().map_or(NONE, |protocol| place(&PROTOCOLS, &protocol)),
        time(snapshot.lifetime),
        time(snapshot.expires_in),
        time(snapshot.renews_in),
        f64::from(u8::from(snapshot.permanent)),
        snapshot.renewals as f64,
        f64::from(snapshot.failures),
        place(&NatClass::ALL, &snapshot.nat_class),
        place(&AddressClass::ALL, &snapshot.address_class),
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

/// The protocols that a mapping can have.
const PROTOCOLS: [Protocol; 4] = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp, Protocol::None];

/// The core's lists of names.
#[napi(object)]
pub(crate) struct Names {
    /// Kinds of errors.
    pub kinds: Vec<String>,
    /// States of a lease.
    pub states: Vec<String>,
    /// Kinds of events.
    pub events: Vec<String>,
    /// Protocols that can be asked for.
    pub protocols: Vec<String>,
    /// Protocols that a mapping can have.
    pub mapping_protocols: Vec<String>,
    /// Transports.
    pub transports: Vec<String>,
    /// Classes of NAT.
    pub nat_classes: Vec<String>,
    /// Classes of addresses.
    pub address_classes: Vec<String>,
}

fn texts<T>(all: &[T], text: impl Fn(&T) -> &'static str) -> Vec<String> {
    all.iter().map(|one| text(one).to_owned()).collect()
}

/// The core's lists of names.
#[napi(catch_unwind)]
pub(crate) fn names() -> Names {
    Names {
        kinds: texts(&ErrorKind::ALL, |one| one.as_str()),
        states: texts(&LeaseState::ALL, |one| one.as_str()),
        events: texts(&EventKind::ALL, |one| one.as_str()),
        protocols: texts(&Protocol::ALL, |one| one.as_str()),
        mapping_protocols: texts(&PROTOCOLS, |one| one.as_str()),
        transports: texts(&Transport::ALL, |one| one.as_str()),
        nat_classes: texts(&NatClass::ALL, |one| one.as_str()),
        address_classes: texts(&AddressClass::ALL, |one| one.as_str()),
    }
}

/// The version of the addon.
#[napi(catch_unwind)]
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
