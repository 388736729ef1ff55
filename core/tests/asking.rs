//! What can be asked of a mapper beside a new lease: the leases that it has, addresses, the router's table.

mod common;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use common::{LONG, config, config_for, gateway, gateway_with};
use portlease::client::MockPortMapperClient;
use portlease::task::Timing;
use portlease::{
    AddressClass, AddressFamily, Config, ErrorKind, LeaseState, MapRequest, Mapper, PortMappingError, Protocol,
    RetryPolicy, Transport, wait,
};

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);

#[test]
fn a_lease_lives_as_long_as_one_of_its_handles() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    wait(first.ready(LONG)).unwrap();
    let second = mapper.ensure(UDP_4000).unwrap();
    assert_eq!((first.id(), second.id()), (1, 1));
    drop(first);
    assert_eq!(mapper.leases().len(), 1);
    assert!(second.active());
    drop(second);
    assert!(mapper.leases().is_empty());
    assert!(gateway.wait_for(LONG, |state| state.mappings.is_empty()), "{:?}", gateway.mappings());
}

#[test]
fn what_a_lease_shows_is_there_without_a_snapshot() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    let snapshot = wait(lease.ready(LONG)).unwrap();
    assert_eq!((lease.state(), lease.active()), (LeaseState::Installed, true));
    assert_eq!((lease.external(), lease.external_port()), (snapshot.external(), Some(4000)));
    assert_eq!((lease.protocol(), lease.address_class()), (Some(Protocol::Pcp), AddressClass::Public));
    wait(lease.stop(LONG));
    assert_eq!((lease.state(), lease.external()), (LeaseState::Exited, None));
}

#[test]
fn both_families_are_two_leases_and_two_probes_and_events_tell_which() {
    let gateway = gateway_with(|config| config.ipv6 = true);
    let mapper = Mapper::start(config(&gateway)).unwrap();
    match wait(mapper.probe_of(AddressFamily::Ipv6)) {
        Ok(report) => assert_eq!(report.gateway.unwrap().to_string(), "::1"),
        Err(error) => return println!("no IPv6 on loopback: {error}"),
    }
    assert_eq!(wait(mapper.probe()).unwrap().gateway.unwrap().to_string(), "127.0.0.1");
    let leases = AddressFamily::ALL.map(|family| mapper.map(MapRequest::new(4000, Transport::Udp).family(family)));
    let leases = leases.map(Result::unwrap);
    let shown = leases.each_ref().map(|lease| wait(lease.ready(LONG)).unwrap().external().unwrap().to_string());
    assert_eq!(shown, ["192.0.1.1:4000", "[::1]:4000"]);
    assert_eq!((leases[1].external_port(), leases[1].address_class()), (Some(4000), AddressClass::Reserved));
    for _ in &leases {
        let event = wait(mapper.next_event(LONG)).unwrap();
        assert_eq!(event.family, Some(if event.lease == Some(1) { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 }));
    }
    wait(mapper.stop(LONG));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn a_request_for_a_lease_that_has_ended_by_itself_brings_a_new_one() {
    let client = Arc::new(MockPortMapperClient::default());
    // The first has exited while the router is still asked to forget it.
    client.on_probe(Duration::ZERO, Err(PortMappingError::unavailable("no router"))).on_abandon(LONG, Ok(()));
    let mut timing = Timing::default();
    timing.retry = RetryPolicy::Never;
    let mapper = Mapper::start_with(client, timing).unwrap();
    let first = mapper.ensure(UDP_4000).unwrap();
    assert_eq!(wait(first.ready(LONG)).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!((first.state(), mapper.leases().len()), (LeaseState::Exited, 0));
    assert_eq!(mapper.ensure(UDP_4000).unwrap().id(), 2);
}

#[test]
fn one_request_opens_a_port_over_both_transports_or_not_at_all() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let (udp, tcp) = mapper.map_both(UDP_4000).unwrap();
    assert_eq!(wait(udp.ready(LONG)).unwrap().transport, Transport::Udp);
    assert_eq!(wait(tcp.ready(LONG)).unwrap().transport, Transport::Tcp);
    wait(udp.stop(LONG));
    assert_eq!(mapper.map_both(UDP_4000).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(mapper.ensure(UDP_4000).unwrap().id(), 3, "the request that failed has begun nothing");
    assert!(gateway.wait_for(LONG, |state| state.mappings.len() == 1), "{:?}", gateway.mappings());
    assert!(tcp.active());
}

#[test]
fn each_protocol_tells_the_external_address_and_nothing_is_left() {
    for protocol in Protocol::ALL {
        let gateway = gateway();
        let address = wait(portlease::external_address(config_for(&gateway, protocol), LONG)).unwrap();
        assert_eq!(address.to_string(), "192.0.1.1", "{protocol}");
        assert!(gateway.mappings().is_empty(), "{protocol}");
    }
}

#[test]
fn an_active_lease_has_the_external_address_already() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::NatPmp)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    wait(lease.ready(LONG)).unwrap();
    let before = gateway.counters().get("natpmp_external_address");
    assert_eq!(wait(mapper.external_address(LONG)).unwrap().to_string(), "192.0.1.1");
    assert_eq!(gateway.counters().get("natpmp_external_address"), before);
}

#[test]
fn the_offers_of_a_gateway_are_one_line_away() {
    let gateway = gateway();
    let report = wait(portlease::probe(config(&gateway))).unwrap();
    assert_eq!(report.protocols.len(), 3);
    assert!(report.protocols.iter().all(|report| report.outcome.is_ok()), "{report:?}");
}

#[test]
fn port_zero_is_invalid_and_a_stopped_mapper_is_told() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    assert_eq!(wait(mapper.delete(Transport::Udp, 0, true)).unwrap_err().kind(), ErrorKind::Invalid);
    wait(mapper.stop(LONG));
    assert_eq!(wait(mapper.delete(Transport::Udp, 1, true)).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(wait(mapper.table()).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(wait(mapper.external_address(LONG)).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(mapper.ensure(UDP_4000).unwrap_err().kind(), ErrorKind::Stopped);
    assert!(mapper.leases().is_empty());
}

/// Runs in a process of its own, see below.
#[test]
#[ignore = "part of the next test"]
fn a_program_that_names_no_gateway() {
    let report = wait(portlease::probe(Config::default())).unwrap();
    println!("asked {:?}", report.gateway.unwrap());
}

#[test]
fn a_program_that_names_no_gateway_asks_the_one_of_the_environment() {
    let gateway = gateway();
    let (pcp, ssdp) = (gateway.pcp_port(), gateway.ssdp_address().port());
    let child = |variable: String| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_program_that_names_no_gateway", "--ignored", "--nocapture"]);
        let output = command.env("PORTLEASE_GATEWAY", variable).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let told = child(format!("{},pcp={pcp},ssdp={ssdp}", gateway.address()));
    assert!(told.contains(&format!("asked {:?}", gateway.address())), "{told}");
    let told = child("router".to_owned());
    assert!(told.contains("PORTLEASE_GATEWAY") && told.contains("is not an IP address"), "{told}");
}
