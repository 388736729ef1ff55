//! Several mappers of one process that map the same port at the same gateway.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use common::{LONG, config, config_for, gateway, gateway_with};
use portlease::{
    Config, ErrorKind, Lease, LeaseState, MapRequest, Mapper, Protocol, Release, RetryPolicy, Transport, wait,
};
use portlease_gateway::{Faults, Gateway, GatewayConfig, Mapping, Mode, NewMapping, Transport as Wire};

const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);

fn map(config: Config, request: MapRequest) -> (Mapper, Lease) {
    let mapper = Mapper::start(config.retry(RetryPolicy::Never)).unwrap();
    let lease = mapper.map(request).unwrap();
    (mapper, lease)
}

fn mapped(config: Config, request: MapRequest) -> (Mapper, Lease, u16) {
    let (mapper, lease) = map(config, request);
    let port = wait(lease.ready(LONG)).unwrap().external().unwrap().port();
    (mapper, lease, port)
}

fn ports(gateway: &Gateway) -> Vec<u16> {
    let mut ports: Vec<_> = gateway.mappings().iter().map(|mapping| mapping.external_port).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn the_mapper_that_ends_first_leaves_the_mapping_to_the_other_which_deletes_it() {
    for protocol in Protocol::ALL {
        for first_ends_first in [true, false] {
            let gateway = gateway();
            let one = mapped(config_for(&gateway, protocol), REQUEST);
            let other = mapped(config_for(&gateway, protocol), REQUEST);
            assert_eq!((one.2, other.2), (4000, 4000), "{protocol}");
            let (ends, stays) = if first_ends_first { (one, other) } else { (other, one) };
            assert_eq!(wait(ends.1.stop(LONG)), Release::Released, "{protocol}");
            assert_eq!(wait(ends.0.stop(LONG)), Release::Released, "{protocol}");
            assert_eq!(ports(&gateway), [4000], "{protocol}");
            assert_eq!(stays.1.snapshot().state, LeaseState::Installed, "{protocol}");
            // A drop releases too.
            drop(stays);
            assert!(gateway.wait_for(LONG, |state| state.mappings.is_empty()), "{protocol}");
        }
    }
}

#[test]
fn whoever_maps_a_port_again_and_drops_the_first_lease_keeps_the_mapping() {
    let gateway = gateway();
    let mut held = mapped(config(&gateway), REQUEST);
    for _ in 0..3 {
        held = mapped(config(&gateway), REQUEST);
        assert_eq!(held.2, 4000);
    }
    assert_eq!(ports(&gateway), [4000]);
    assert_eq!(wait(held.0.stop(LONG)), Release::Released);
    // An earlier one that is still ending may be the last.
    assert!(gateway.wait_for(LONG, |state| state.mappings.is_empty()));
}

#[test]
fn what_one_protocol_has_made_and_another_has_found_is_deleted_by_the_last_owner() {
    let gateway = gateway();
    let (one, _lease, _) = mapped(config_for(&gateway, Protocol::NatPmp), REQUEST);
    gateway.update_faults(|faults| faults.nat_pmp = Mode::Silent);
    let both = config(&gateway).protocols([Protocol::Upnp, Protocol::NatPmp]);
    let (other, lease, port) = mapped(both, REQUEST);
    gateway.update_faults(|faults| faults.nat_pmp = Mode::Normal);
    assert_eq!((lease.snapshot().protocol(), port), (Some(Protocol::Upnp), 4000));
    assert_eq!(wait(one.stop(LONG)), Release::Released);
    assert_eq!(ports(&gateway), [4000]);
    assert_eq!(wait(other.stop(LONG)), Release::Released);
    assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
}

#[test]
fn mappers_with_descriptions_of_their_own_share_an_entry_by_upnp() {
    for first_ends_first in [true, false] {
        let gateway = gateway();
        let named = |name| mapped(config_for(&gateway, Protocol::Upnp).description(name), REQUEST);
        let (one, other) = (named("one"), named("other"));
        assert_eq!((one.2, other.2), (4000, 4000));
        let (ends, stays) = if first_ends_first { (one, other) } else { (other, one) };
        assert_eq!(wait(ends.0.stop(LONG)), Release::Released);
        assert_eq!(ports(&gateway), [4000]);
        assert_eq!(wait(stays.0.stop(LONG)), Release::Released);
        assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
    }
}

#[test]
fn different_external_ports_of_one_internal_port_are_different_entries_by_upnp() {
    let gateway = gateway();
    let one = mapped(config_for(&gateway, Protocol::Upnp), REQUEST);
    let other = mapped(config_for(&gateway, Protocol::Upnp), REQUEST.external_port(4100));
    assert_eq!(ports(&gateway), [4000, 4100]);
    assert_eq!(wait(one.0.stop(LONG)), Release::Released);
    assert_eq!(ports(&gateway), [4100]);
    assert_eq!(wait(other.0.stop(LONG)), Release::Released);
    assert!(gateway.mappings().is_empty());
}

/// A router that lets a host overwrite its own entries, as WANIPConnection:1 has it, with these faults.
fn overwriting(faults: Faults) -> Gateway {
    gateway_with(|config| {
        *config = GatewayConfig { upnp_overwrite: true, secure_mode: false, faults, ..GatewayConfig::default() };
    })
}

/// Another program's entry of this host.
fn anothers(gateway: &Gateway) -> Mapping {
    let internal = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let entry = NewMapping { description: "portlease".into(), ..NewMapping::new(Wire::Udp, 4600, internal) };
    gateway.put_mapping(entry).unwrap()
}

#[test]
fn the_external_port_of_another_program_of_this_host_is_not_taken_away() {
    let faulty = |action: &str, code| Faults { soap_errors: [(action.to_owned(), code)].into(), ..Faults::default() };
    const LOOK: &str = "GetSpecificPortMappingEntry";
    for faults in [Faults::default(), faulty(LOOK, 401), faulty(LOOK, 714)] {
        let gateway = overwriting(faults);
        let entry = anothers(&gateway);
        let request = MapRequest::new(5000, Transport::Udp).external_port(4600);
        let (_mapper, lease) = map(config_for(&gateway, Protocol::Upnp), request.clone().exact());
        assert_eq!(wait(lease.ready(LONG)).unwrap_err().kind(), ErrorKind::Refused);
        assert!(gateway.is_untouched(&entry));
        let (mapper, _lease, port) = mapped(config_for(&gateway, Protocol::Upnp), request);
        assert_ne!(port, 4600);
        assert!(gateway.is_untouched(&entry));
        assert_eq!(wait(mapper.stop(LONG)), Release::Released);
        assert_eq!(ports(&gateway), [4600]);
    }
}

#[test]
fn a_router_that_shows_nothing_at_all_keeps_the_ports_of_two_mappers_apart() {
    let blind = ["GetSpecificPortMappingEntry", "GetGenericPortMappingEntry"].map(|action| (action.to_owned(), 401));
    let gateway = overwriting(Faults { soap_errors: blind.into(), ..Faults::default() });
    let one = mapped(config_for(&gateway, Protocol::Upnp), REQUEST.external_port(4600));
    let (_mapper, _lease, port) = mapped(config_for(&gateway, Protocol::Upnp), MapRequest::new(4600, Transport::Udp));
    assert_ne!(port, 4600);
    assert_eq!(one.2, 4600);
    let entry = gateway.mapping(Wire::Udp, 4600).unwrap();
    assert_eq!(entry.internal.port(), 4000);
}

#[test]
fn a_repair_deletes_what_another_mapper_has_too_and_both_have_it_again() {
    let deletes = ["pcp_delete", "natpmp_delete", "soap_DeletePortMapping"];
    for (protocol, delete) in Protocol::ALL.into_iter().zip(deletes) {
        let gateway = gateway();
        let [one, other] = [0, 1].map(|_| mapped(config_for(&gateway, protocol), REQUEST));
        let seen = other.1.snapshot().revision;
        assert_eq!(wait(one.1.repair(LONG)).unwrap().external_port(), Some(4000), "{protocol}");
        assert_eq!(gateway.counters().get(delete), 1, "{protocol}");
        // The other one looks whether its mapping is still there.
        wait(other.1.changed(seen, LONG)).unwrap();
        assert_eq!(wait(one.0.stop(LONG)), Release::Released, "{protocol}");
        assert_eq!(ports(&gateway), [4000], "{protocol}");
        assert_eq!(wait(other.0.stop(LONG)), Release::Released, "{protocol}");
        assert!(gateway.mappings().is_empty(), "{protocol}");
    }
}

#[test]
fn an_entry_that_another_mapper_of_this_process_holds_is_not_deleted_by_hand() {
    let gateway = gateway();
    let holds = mapped(config_for(&gateway, Protocol::Upnp), REQUEST);
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let refused = wait(mapper.delete(Transport::Udp, 4000, true)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.message().contains("another mapper of this process"), "{refused}");
    assert_eq!(ports(&gateway), [4000]);
    wait(holds.1.detach());
    assert!(wait(mapper.delete(Transport::Udp, 4000, false)).unwrap().is_some());
    assert!(gateway.mappings().is_empty());
}
