//! The public surface is what `tests/surface.json` says: no language may have less, or more, without that file.
//!
//! Rust has no reflection, so the names are read from core's source.

use std::collections::BTreeSet;

use portlease::{
    AddressClass, AddressFamily, ErrorKind, EventKind, LeaseSnapshot, LeaseState, NatClass, Protocol, Transport,
};
use serde_json::Value;

const SURFACE: &str = include_str!("../../tests/surface.json");
const MAPPER: &str = include_str!("../src/mapper.rs");
const LEASE: &str = include_str!("../src/lease.rs");
const ERROR: &str = include_str!("../src/error.rs");
const EVENT: &str = include_str!("../src/event.rs");
const CONFIG: &str = include_str!("../src/config.rs");
const SNAPSHOT: &str = include_str!("../src/snapshot.rs");
const MAPPING: &str = include_str!("../src/mapping.rs");
const ADDRESS: &str = include_str!("../src/net/address.rs");

/// What Rust alone has: a client of the caller's own, a probe that never fails for want of an offer (the command
/// line's), the request, which other languages do not keep, and a way back for an event that a binding could not deliver.
const RUST_ONLY: [&str; 4] = ["start_with", "survey", "request", "put_back"];

/// The names of all public fields of a struct.
fn fields(source: &str, name: &str) -> Vec<String> {
    let body = block(source, &format!("pub struct {name} {{"));
    let names = body.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn surface() -> Value {
    serde_json::from_str(SURFACE).expect("surface.json is JSON")
}

/// Fails for a name that the file has and Rust has not, the other way round, and for one that comes twice.
fn assert_same<T: ToString>(path: &str, ours: impl IntoIterator<Item = T>) {
    let surface = surface();
    let listed: Vec<&str> = surface
        .pointer(path)
        .and_then(Value::as_array)
        .unwrap_or_else(|| panic!("surface.json has no list {path}"))
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect();
    let ours: Vec<String> = ours.into_iter().map(|name| name.to_string()).collect();
    let sets = [listed.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), ours.iter().cloned().collect()];
    assert_eq!(sets[0], sets[1], "{path}: the file on the left, Rust on the right");
    assert_eq!((listed.len(), ours.len()), (sets[0].len(), sets[1].len()), "{path}: a name comes twice");
}

#[test]
fn kinds_states_events_protocols_and_classes_are_those_of_the_file() {
    assert_same("/kinds", ErrorKind::ALL);
    assert_same("/states", LeaseState::ALL);
    assert_same("/events", EventKind::ALL);
    assert_same("/protocols", Protocol::ALL);
    assert_same("/protocols_of_mappings", Protocol::ALL.into_iter().chain([Protocol::None]));
    assert_same("/transports", Transport::ALL);
    assert_same("/nat_classes", NatClass::ALL);
    assert_same("/address_classes", AddressClass::ALL.map(AddressClass::as_str));
}

/// `ALL` is written by hand; `as_str` is a match, in which the compiler misses no variant.
#[test]
fn no_list_of_all_variants_has_forgotten_one() {
    let cases = [
        ("/kinds", ERROR, "impl ErrorKind {"),
        ("/states", SNAPSHOT, "impl LeaseState {"),
        ("/nat_classes", SNAPSHOT, "impl NatClass {"),
        ("/events", EVENT, "impl EventKind {"),
        ("/protocols_of_mappings", MAPPING, "impl Protocol {"),
        ("/transports", MAPPING, "impl Transport {"),
        ("/address_classes", ADDRESS, "impl AddressClass {"),
    ];
    for (path, source, of) in cases {
        let arms =
            block(source, of).lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""));
        assert_same(path, arms.filter_map(|(_, text)| text.strip_suffix("\",")));
    }
}

#[test]
fn settings_and_requests_have_the_fields_of_the_file() {
    assert_same("/config", fields(CONFIG, "Config"));
    assert_same("/request", fields(MAPPING, "MapRequest"));
    // The only one there is, until IPv6 comes.
    assert_eq!(AddressFamily::default().as_str(), "ipv4");
}

#[test]
fn snapshots_have_the_fields_of_the_file() {
    let lease = fields(SNAPSHOT, "LeaseSnapshot");
    // Rust shares the published mapping behind one pointer; everybody else has its parts side by side.
    let _: fn(&LeaseSnapshot) -> Option<std::net::SocketAddr> = LeaseSnapshot::external;
    let _: fn(&LeaseSnapshot) -> Option<Protocol> = LeaseSnapshot::protocol;
    let parts = lease.into_iter().filter(|field| field != "mapping");
    assert_same("/lease_snapshot", parts.chain(["external", "protocol"].map(str::to_owned)));
    assert_same("/mapper_snapshot", fields(SNAPSHOT, "MapperSnapshot"));
}

#[test]
fn events_errors_and_reports_have_the_fields_of_the_file() {
    assert_same("/event", fields(EVENT, "Event"));
    assert_same("/error", fields(ERROR, "ErrorReport"));
    assert_same("/gateway_report", fields(SNAPSHOT, "GatewayReport"));
    // Rust's outcome is either an offer or an error; everybody else has the fields of both, some of them empty.
    let report = fields(SNAPSHOT, "ProtocolReport").into_iter().filter(|field| field != "outcome");
    let offer = fields(SNAPSHOT, "ProtocolOffer");
    assert_same("/protocol_report", report.chain(offer).chain(["error".to_owned()]));
}

#[test]
fn handles_have_the_methods_of_the_file_and_rust_alone_a_few_more() {
    let [mapper, lease] =
        [(MAPPER, "impl Mapper {"), (LEASE, "impl Lease {")].map(|(s, of)| methods(block(s, of), "    "));
    let shared = |methods: &[String]| -> Vec<String> {
        methods.iter().filter(|name| !RUST_ONLY.contains(&name.as_str())).cloned().collect()
    };
    assert_same("/methods/mapper", shared(&mapper));
    assert_same("/methods/lease", shared(&lease));
    assert_same("/methods/module", methods(MAPPER, ""));
    for name in RUST_ONLY {
        assert!(mapper.iter().chain(&lease).any(|method| method == name), "{name} is no longer there");
    }
}

/// A block of a source file, up to the next brace in the first column. A language without reflection has its source.
fn block<'a>(source: &'a str, head: &str) -> &'a str {
    let start = source.find(head).unwrap_or_else(|| panic!("no `{head}` in the source"));
    let body = &source[start..];
    &body[..body.find("\n}").expect("the block ends")]
}

/// The public functions that begin at this indentation.
fn methods(source: &str, indent: &str) -> Vec<String> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix(indent)?.strip_prefix("pub "))
        .map(|line| line.trim_start_matches("const ").trim_start_matches("async "))
        .filter_map(|line| line.strip_prefix("fn "))
        .map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default().to_owned())
        .collect()
}
