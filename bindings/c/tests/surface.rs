//! The header has what `tests/surface.json` lists: no language may have less, or more, without that file.

use std::collections::BTreeSet;

use serde_json::Value;

const SURFACE: &str = include_str!("../../../tests/surface.json");
const HEADER: &str = include_str!("../../../include/portlease.h");

/// What a field of the file is in C, where it is not one field of the same name: an address with a port is two fields,
/// `interface` is a macro of Windows, a choice is spread out, and arrays are the caller's own.
const FIELDS: [(&str, &str, &[&str]); 8] = [
    ("portlease_error_report", "details", &["detail_count"]),
    ("portlease_config", "interface", &["interface_name"]),
    ("portlease_config", "retry", &["retry_never", "retry_min", "retry_max"]),
    ("portlease_lease_snapshot", "external", &["external_address"]),
    ("portlease_event", "external", &["external_address"]),
    ("portlease_mapper_snapshot", "leases", &["lease_count"]),
    ("portlease_gateway_report", "interface", &["interface_name"]),
    ("portlease_gateway_report", "protocols", &["protocol_count"]),
];

/// Sizes are for ever, as are the numbers of enums, of which `bindings/generate/data.toml` has the list.
const SIZES: [(&str, i64); 6] = [
    ("PORTLEASE_ADVICE_SIZE", 512),
    ("PORTLEASE_LOG_MESSAGE_SIZE", 1020),
    ("PORTLEASE_ADDRESS_SIZE", 62),
    ("PORTLEASE_MESSAGE_SIZE", 508),
    ("PORTLEASE_MAX_PROTOCOLS", 8),
    ("PORTLEASE_NAME_SIZE", 128),
];

/// What every language has in its own way, and C by functions: the ends of handles, names, the version, reasons of failures,
/// logs, readers of events, waits.
const OF_C: [&str; 46] = [
    "portlease_version",
    "portlease_kind_name",
    "portlease_log_level_name",
    "portlease_state_name",
    "portlease_event_kind_name",
    "portlease_protocol_name",
    "portlease_transport_name",
    "portlease_family_name",
    "portlease_nat_class_name",
    "portlease_address_class_name",
    "portlease_release_name",
    // Probes of one family, which other languages take as an argument.
    "portlease_mapper_probe_of",
    "portlease_probe_of",
    "portlease_mapper_free",
    "portlease_lease_free",
    "portlease_error_get_report",
    "portlease_lease_get_error",
    "portlease_log_new",
    "portlease_log_next",
    "portlease_log_stop",
    "portlease_log_free",
    "portlease_events_new",
    "portlease_events_next",
    "portlease_events_free",
    "portlease_waits_new",
    "portlease_waits_cancel",
    "portlease_waits_next",
    "portlease_waits_descriptor",
    "portlease_waits_stop",
    "portlease_waits_free",
    // Waits for the calls that block.
    "portlease_waits_lease_ready",
    "portlease_waits_lease_changed",
    "portlease_waits_lease_repair",
    "portlease_waits_lease_stop",
    "portlease_waits_lease_detach",
    "portlease_waits_mapper_next_event",
    "portlease_waits_events_next",
    "portlease_waits_mapper_probe",
    "portlease_waits_mapper_probe_of",
    "portlease_waits_mapper_stop",
    "portlease_waits_mapper_external_address",
    "portlease_waits_mapper_table",
    "portlease_waits_mapper_delete",
    "portlease_waits_probe",
    "portlease_waits_probe_of",
    "portlease_waits_external_address",
];

fn listed(path: &str) -> BTreeSet<String> {
    let surface: Value = serde_json::from_str(SURFACE).expect("surface.json is JSON");
    let names = surface.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no list {path}"));
    names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

fn set<T: ToString>(names: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.to_string()).collect()
}

/// The header's lines without its comments.
fn code() -> impl Iterator<Item = &'static str> {
    HEADER.lines().map(|line| line.split("//").next().unwrap_or_default().trim_end())
}

/// What is between the braces of a type.
fn body(kind: &str, name: &str) -> Vec<&'static str> {
    let head = format!("typedef {kind} {name} {{");
    let inside: Vec<_> =
        code().skip_while(|line| *line != head).skip(1).take_while(|line| !line.starts_with('}')).collect();
    assert!(!inside.is_empty(), "no `{head}` in the header");
    inside.into_iter().filter(|line| !line.trim().is_empty()).collect()
}

/// The names of a struct's fields.
fn fields(name: &str) -> BTreeSet<String> {
    let declared = body("struct", name).into_iter().map(|line| {
        let field = line.trim_end_matches(';').split('[').next().unwrap_or_default();
        field.rsplit([' ', '*']).next().unwrap_or_default()
    });
    let mut fields = set(declared.filter(|name| !name.starts_with("padding_")));
    assert!(fields.remove("struct_size"), "{name} cannot grow");
    fields
}

/// Every function that the header declares.
fn functions() -> BTreeSet<String> {
    let inside = code().skip_while(|line| *line != "extern \"C\" {").take_while(|line| !line.starts_with('}'));
    let whole = inside.collect::<Vec<_>>().join("\n");
    let declarations = whole.split(';').filter_map(|text| text.rsplit("\n\n").next()?.split_once('('));
    let named = declarations.filter_map(|(head, _)| head.rsplit([' ', '*', '\n']).next());
    set(named.filter(|name| name.starts_with("portlease_")))
}

/// What the enums of C have besides: success, a cancelled wait, and nothing at all.
const NAMES_OF_C: [&str; 3] = ["ok", "cancelled", "absent"];

#[test]
fn enums_have_the_names_of_the_file() {
    for (path, name, prefix) in [
        ("/kinds", "portlease_kind", "PORTLEASE_"),
        ("/states", "portlease_state", "PORTLEASE_STATE_"),
        ("/events", "portlease_event_kind", "PORTLEASE_EVENT_"),
        ("/protocols_of_mappings", "portlease_protocol", "PORTLEASE_PROTOCOL_"),
        ("/transports", "portlease_transport", "PORTLEASE_TRANSPORT_"),
        ("/families", "portlease_family", "PORTLEASE_FAMILY_"),
        ("/nat_classes", "portlease_nat_class", "PORTLEASE_NAT_"),
        ("/address_classes", "portlease_address_class", "PORTLEASE_ADDRESS_"),
        ("/releases", "portlease_release", "PORTLEASE_"),
        ("/log_levels", "portlease_log_level", "PORTLEASE_LOG_LEVEL_"),
    ] {
        let constants =
            body("enum", name).into_iter().filter_map(|line| line.trim().strip_prefix(prefix)?.split_once(" = "));
        let mut found = set(constants.map(|(constant, _)| constant.to_lowercase().replace('_', "-")));
        found.retain(|name| !NAMES_OF_C.contains(&name.as_str()));
        assert_eq!(listed(path), found, "{name}: the file on the left, the header on the right");
    }
}

#[test]
fn structs_have_the_fields_of_the_file() {
    for (path, name) in [
        ("/config", "portlease_config"),
        ("/request", "portlease_request"),
        ("/lease_snapshot", "portlease_lease_snapshot"),
        ("/mapper_snapshot", "portlease_mapper_snapshot"),
        ("/event", "portlease_event"),
        ("/gateway_report", "portlease_gateway_report"),
        ("/protocol_report", "portlease_protocol_report"),
        ("/error", "portlease_error_report"),
        ("/error_detail", "portlease_error_detail"),
        ("/table_entry", "portlease_table_entry"),
    ] {
        let expected = listed(path).into_iter().flat_map(|field| {
            let spread = FIELDS.iter().find(|(of, was, _)| *of == name && *was == field);
            spread.map_or_else(|| set([&field]), |(_, _, parts)| set(parts.iter()))
        });
        assert_eq!(
            expected.collect::<BTreeSet<_>>(),
            fields(name),
            "{name}: the file on the left, the header on the right"
        );
    }
}

#[test]
fn functions_are_the_methods_of_the_file_and_what_c_needs_besides() {
    let method = |handle: &str, name: String| match name.as_str() {
        // A type and a function cannot have one name.
        "snapshot" => format!("portlease_{handle}_get_snapshot"),
        name => format!("portlease_{handle}_{name}"),
    };
    let mut expected = set(OF_C);
    expected.extend(listed("/methods/module").into_iter().map(|name| format!("portlease_{name}")));
    for handle in ["mapper", "lease"] {
        expected.extend(listed(&format!("/methods/{handle}")).into_iter().map(|name| method(handle, name)));
    }
    assert_eq!(expected, functions(), "the file on the left, the header on the right");
}

#[test]
fn sizes_are_what_they_always_were() {
    let macros = code().filter_map(|line| line.strip_prefix("#define ")?.split_once(' '));
    let numbers = macros.filter(|(name, _)| !name.contains("VERSION"));
    let found: BTreeSet<(String, i64)> =
        numbers.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect();
    assert_eq!(SIZES.map(|(name, number)| (name.to_owned(), number)).into_iter().collect::<BTreeSet<_>>(), found);
}

#[test]
fn the_version_macros_are_the_packages() {
    for (part, value) in [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR").to_owned()),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR").to_owned()),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH").to_owned()),
        ("STRING", format!("\"{}\"", env!("CARGO_PKG_VERSION"))),
    ] {
        let line = format!("#define PORTLEASE_VERSION_{part} {value}");
        assert!(HEADER.lines().any(|there| there == line), "no `{line}`");
    }
}
