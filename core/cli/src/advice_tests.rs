//! Which hint follows from which cause.

use std::net::Ipv4Addr;

use super::*;
use crate::network::{Kind, Link, State};

fn network(state: State) -> Network {
    let address = Ipv4Addr::new(192, 168, 1, 20);
    let link = Link { name: "eth0".to_owned(), kind: Kind::Wired, state, addresses: vec![address] };
    Network { links: vec![link], ..Network::default() }
}

fn steps(obstacle: Obstacle, state: State) -> String {
    Cause::of(obstacle, &network(state), Some("eth0"), None).steps(Doing::Map).join("; ")
}

#[test]
fn a_machine_that_is_connected_and_has_no_route_is_not_told_to_connect_to_a_network() {
    let cause = Cause::of(Obstacle::NoNetwork, &network(State::Connected), None, None);
    assert_eq!(cause.what().unwrap(), "this machine is connected (192.168.1.20 on eth0), but has no default route");
    let steps = steps(Obstacle::NoNetwork, State::Connected);
    assert!(steps.contains("set the default gateway by hand") && steps.contains("--gateway"), "{steps}");
}

#[test]
fn a_cable_that_is_cut_is_no_reason_to_switch_on_upnp() {
    for obstacle in [Obstacle::NoNetwork, Obstacle::Silence, Obstacle::Transport] {
        let steps = steps(obstacle, State::NoCarrier);
        assert!(steps.contains("plug in the network cable of eth0") && !steps.contains("UPnP"), "{steps}");
    }
    assert!(steps(Obstacle::Silence, State::Connected).contains("switch on UPnP"));
}

#[test]
fn a_router_that_is_not_there_is_no_reason_to_switch_on_upnp() {
    let gone = Some("192.168.1.1 does not answer".to_owned());
    let cause = Cause::of(Obstacle::Silence, &network(State::Connected), Some("eth0"), gone.clone());
    assert_eq!(cause, Cause::RouterGone(gone.clone().unwrap()));
    assert!(cause.steps(Doing::Map)[0].contains("whether the router is on"));
    // A refusal is an answer.
    let refused = Cause::of(Obstacle::Refused, &network(State::Connected), Some("eth0"), gone);
    assert_eq!(refused, Cause::Obstacle(Obstacle::Refused));
}

#[test]
fn in_a_container_silence_is_that_of_the_bridge() {
    let network = Network { machine: Machine::Container, ..network(State::Connected) };
    let cause = Cause::of(Obstacle::Silence, &network, Some("eth0"), None);
    assert!(cause.steps(Doing::Map)[0].contains("--network host"));
}

#[test]
fn an_unmap_that_is_refused_is_no_reason_to_allow_port_mapping() {
    for obstacle in [Obstacle::NotAuthorized, Obstacle::Refused] {
        let steps = Cause::Obstacle(obstacle).steps(Doing::Unmap).join("; ");
        assert!(steps.contains("run `portlease unmap` there") && !steps.contains("allow port mapping"), "{steps}");
    }
}

#[test]
fn only_upnp_helps_list() {
    let steps = Cause::Obstacle(Obstacle::Silence).steps(Doing::List);
    assert_eq!(steps, ["switch on UPnP in the router's settings"]);
}

#[test]
fn what_has_no_obstacle_has_no_hint() {
    let stopped = ErrorReport::new(ErrorKind::Stopped, "the lease is over");
    assert_eq!(Hints::default().next_step(&stopped), None);
    let invalid = ErrorReport::new(ErrorKind::Invalid, "port: must not be 0");
    assert!(Hints::default().next_step(&invalid).unwrap().contains("`portlease help`"));
}
