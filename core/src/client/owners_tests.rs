use std::time::Duration;

use super::*;
use crate::client::mock::MockPortMapperClient;
use crate::world::Change;

const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);

/// A gateway that no other test has.
fn gateway(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn member(gateway: SocketAddr, speaks: &[Protocol]) -> Member {
    Member::new(gateway, [192, 0, 2, 9].into(), speaks.to_vec(), World::default())
}

fn mapping(protocol: Protocol, external_port: u16) -> PortMapping {
    let external = ([192, 0, 1, 1].into(), external_port);
    PortMapping { protocol, ..MockPortMapperClient::mapping(REQUEST, external, Duration::from_secs(60)) }
}

#[test]
fn the_entry_of_two_mappers_is_deleted_by_the_last_one_alone() {
    for (port, protocol) in (1..).zip(Protocol::ALL) {
        let members = [0, 1].map(|_| member(gateway(port), &Protocol::ALL));
        let mapping = mapping(protocol, 4000);
        for member in &members {
            member.asks(&REQUEST, None);
            member.has(&mapping);
        }
        assert!(!members[0].gives_up(&mapping), "{protocol}");
        members[0].ends(&REQUEST);
        assert!(members[1].gives_up(&mapping), "{protocol}");
        assert!(members[1].inherits(&REQUEST).is_empty(), "{protocol}: it was one entry");
    }
}

#[test]
fn whoever_is_gone_without_a_word_owns_nothing() {
    let [gone, stays] = [0, 1].map(|_| member(gateway(10), &Protocol::ALL));
    let mapping = mapping(Protocol::NatPmp, 4000);
    for member in [&gone, &stays] {
        member.asks(&REQUEST, None);
        member.has(&mapping);
    }
    drop(gone);
    assert!(stays.gives_up(&mapping));
    stays.ends(&REQUEST);
    let left = stays.registry.ports().keys().any(|port| port.gateway == gateway(10));
    assert!(!left, "nobody uses the port");
}

#[test]
fn different_external_ports_of_one_internal_port_are_different_entries_by_upnp() {
    let [one, other] = [0, 1].map(|_| member(gateway(20), &Protocol::ALL));
    for (member, port) in [(&one, 4000), (&other, 4100)] {
        member.asks(&REQUEST, None);
        member.has(&mapping(Protocol::Upnp, port));
    }
    assert!(one.gives_up(&mapping(Protocol::Upnp, 4000)));
    assert!(!other.is_taken((Transport::Udp, 4001), 4000), "given up");
    assert!(one.is_taken((Transport::Udp, 4001), 4100), "another port of this machine leads there");
    assert!(!one.is_taken((Transport::Udp, 4000), 4100));
    assert!(other.gives_up(&mapping(Protocol::Upnp, 4100)));
}

#[test]
fn what_another_protocol_has_made_is_left_to_the_last_owner_if_that_can_delete_it() {
    let [first, last] = [0, 1].map(|_| member(gateway(30), &Protocol::ALL));
    let deaf = member(gateway(30), &[Protocol::Upnp]);
    let (by_nat_pmp, by_upnp) = (mapping(Protocol::NatPmp, 4000), mapping(Protocol::Upnp, 4000));
    first.asks(&REQUEST, None);
    first.has(&by_nat_pmp);
    deaf.asks(&REQUEST, None);
    deaf.has(&by_upnp);
    assert!(first.gives_up(&by_nat_pmp), "the other one speaks no NAT-PMP");
    first.has(&by_nat_pmp);
    last.asks(&REQUEST, None);
    last.has(&by_upnp);
    assert!(!first.gives_up(&by_nat_pmp));
    first.ends(&REQUEST);
    assert!(last.inherits(&REQUEST).is_empty(), "not yet the last");
    deaf.ends(&REQUEST);
    assert_eq!(last.inherits(&REQUEST), [by_nat_pmp]);
    assert!(last.inherits(&REQUEST).is_empty());
}

#[test]
fn all_mappers_ask_for_a_port_with_the_nonce_of_the_first() {
    let [one, other] = [0, 1].map(|_| member(gateway(40), &Protocol::ALL));
    assert_eq!(one.asks(&REQUEST, Some([1; 12])), Some([1; 12]));
    assert_eq!(other.asks(&REQUEST, Some([2; 12])), Some([1; 12]));
    assert_eq!(one.asks(&REQUEST, Some([1; 12])), Some([1; 12]));
    let elsewhere = member(gateway(41), &Protocol::ALL);
    assert_eq!(elsewhere.asks(&REQUEST, Some([3; 12])), Some([3; 12]));
    one.ends(&REQUEST);
    other.ends(&REQUEST);
    assert_eq!(other.asks(&REQUEST, Some([4; 12])), Some([4; 12]), "the nonce goes with the last owner");
}

#[test]
fn a_mapper_that_asked_while_the_entry_was_deleted_looks_again() {
    let one = member(gateway(50), &Protocol::ALL);
    let world = World::default();
    let other = Member::new(gateway(50), [192, 0, 2, 9].into(), Protocol::ALL.to_vec(), world.clone());
    let mut changes = world.watch();
    one.asks(&REQUEST, None);
    one.has(&mapping(Protocol::NatPmp, 4000));
    other.asks(&REQUEST, None);
    assert!(one.gives_up(&mapping(Protocol::NatPmp, 4000)), "nobody else has it yet");
    one.has_deleted(&REQUEST);
    assert_eq!(changes.take(), Some(Change::Unsure));
}

#[cfg(unix)]
#[test]
#[expect(unsafe_code, reason = "fork")]
fn a_forked_child_has_owners_of_its_own_and_does_not_wait_for_the_parents_lock() {
    let parents = member(gateway(60), &Protocol::ALL);
    parents.asks(&REQUEST, Some([1; 12]));
    let registry = Arc::clone(&parents.registry);
    let locked = registry.ports();
    // SAFETY: the child allocates, which the C library allows after a fork, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends a child that waits for a lock that is never released.
        unsafe { libc::alarm(10) };
        let own = member(gateway(60), &Protocol::ALL);
        let fresh = own.asks(&REQUEST, Some([2; 12])) == Some([2; 12]);
        drop((own, parents));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!fresh)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made, with a valid pointer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    drop(locked);
    assert_eq!(status, 0);
}
