//! The strings that programs in every language compare with. Add to these lists; never change or remove an entry.

use std::fmt::Display;

use portlease::{AddressClass, AddressFamily, ErrorKind, EventKind, LeaseState, NatClass, Protocol, Transport};

/// Fails unless the type has each of these strings, and the list each of the type's.
fn assert_same(promised: &[&str], ours: impl IntoIterator<Item = impl Display>) {
    let ours: Vec<String> = ours.into_iter().map(|name| name.to_string()).collect();
    assert_eq!(ours, promised);
}

#[test]
fn kinds_are_as_promised() {
    let promised = ["unavailable", "timeout", "transport", "refused", "invalid", "stopped", "internal"];
    assert_same(&promised, ErrorKind::ALL);
}

#[test]
fn states_are_as_promised() {
    assert_same(&["idle", "probing", "installed", "renewing", "revoked", "exited"], LeaseState::ALL);
}

#[test]
fn events_are_as_promised() {
    let promised = ["installed", "renewed", "changed", "failed", "revoked", "exited", "network-changed"];
    assert_same(&promised, EventKind::ALL);
}

#[test]
fn protocols_transports_and_families_are_as_promised() {
    assert_same(&["pcp", "nat-pmp", "upnp", "none"], Protocol::ALL.into_iter().chain([Protocol::None]));
    assert_same(&["udp", "tcp"], Transport::ALL);
    assert_same(&["ipv4"], [AddressFamily::default()]);
}

#[test]
fn classes_are_as_promised() {
    assert_same(&["public", "cgnat", "private", "reserved", "unknown"], AddressClass::ALL);
    assert_same(&["open", "unknown"], NatClass::ALL);
}
