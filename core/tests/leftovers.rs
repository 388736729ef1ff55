//! What an attempt that went wrong leaves on the gateway, and that it is taken up again or cleaned away.

mod common;

use std::time::Duration;

use common::{LONG, config_for, gateway};
use portlease::{EventKind, MapRequest, Mapper, Protocol, Release, RetryPolicy, Transport};
use portlease_gateway::{Gateway, Mode};

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);
fn soon() -> RetryPolicy {
    RetryPolicy::backoff(Duration::from_millis(100), Duration::from_millis(100))
}

async fn until(mapper: &Mapper, kind: EventKind) {
    while mapper.next_event(LONG).await.expect("an event").kind != kind {}
}

#[tokio::test]
async fn a_stop_during_a_slow_install_by_the_decided_protocol_leaves_nothing() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    first.ready(LONG).await.unwrap();
    // What the search learned of the address is stale by then, so that the install is two calls, of 1.5 s each: longer
    // than a stop waits for it.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    gateway.update_faults(|faults| faults.http_delay_ms = 1500);
    let second = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap();
    assert!(gateway.wait_for(LONG, |state| state.counters.get("soap_GetExternalIPAddress") == 2));
    second.stop(LONG).await;
    first.stop(LONG).await;
    mapper.stop(LONG).await;
    assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
}

/// What the lease of a PCP gateway that keeps to RFC 6887 11.3 (another nonce is NOT_AUTHORIZED) comes to next.
async fn next_of(gateway: &Gateway, mapper: &Mapper) -> EventKind {
    gateway.update_faults(|faults| {
        faults.pcp = Mode::Normal;
        faults.pcp_delay_ms = 0;
    });
    mapper.next_event(LONG).await.expect("an event").kind
}

#[tokio::test]
async fn a_pcp_mapping_whose_grant_was_lost_is_taken_up_by_the_next_attempt() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp_delay_ms = 1100);
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(soon())).unwrap();
    let _lease = mapper.map(UDP_4000).unwrap();
    until(&mapper, EventKind::Failed).await;
    assert_eq!(gateway.mappings().len(), 1);
    assert_eq!(next_of(&gateway, &mapper).await, EventKind::Installed);
}

#[tokio::test]
async fn a_pcp_mapping_that_was_revoked_in_a_silence_is_taken_up_again_behind_it() {
    let gateway = gateway();
    let config = config_for(&gateway, Protocol::Pcp).retry(soon());
    let mapper = Mapper::start(config.failure_threshold(1).renewal_interval(Duration::ZERO)).unwrap();
    let _lease = mapper.map(UDP_4000).unwrap();
    until(&mapper, EventKind::Installed).await;
    gateway.update_faults(|faults| faults.pcp = Mode::Silent);
    until(&mapper, EventKind::Revoked).await;
    // The delete is lost, and one attempt to map again.
    until(&mapper, EventKind::Failed).await;
    assert_eq!(next_of(&gateway, &mapper).await, EventKind::Installed);
}

#[tokio::test]
async fn a_refusal_of_a_repetition_does_not_hide_that_the_first_request_was_granted() {
    for protocol in [Protocol::Pcp, Protocol::NatPmp] {
        let gateway = gateway();
        gateway.update_faults(|faults| (faults.pcp_lose_answers, faults.nat_pmp_lose_answers) = (1, 1));
        let mapper = Mapper::start(config_for(&gateway, protocol)).unwrap();
        let lease = mapper.map(UDP_4000).unwrap();
        assert!(gateway.wait_for_async(LONG, |state| state.mappings.len() == 1).await);
        // The repetition comes 250 ms later.
        gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (Mode::Refuse(7), Mode::Refuse(3)));
        lease.ready(LONG).await.unwrap_err();
        gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (Mode::Normal, Mode::Normal));
        let release = lease.stop(LONG).await;
        assert!(
            release != Release::Released || gateway.mappings().is_empty(),
            "{protocol}: {release}, {:?}",
            gateway.mappings()
        );
    }
}

#[tokio::test]
async fn a_refused_delete_is_not_confirmed_although_nothing_was_heard_before() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp_delay_ms = 1300);
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(RetryPolicy::Never)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert!(gateway.wait_for_async(LONG, |state| state.mappings.len() == 1).await);
    gateway.update_faults(|faults| faults.pcp = Mode::Refuse(2));
    assert_eq!(lease.stop(LONG).await, Release::Unconfirmed);
}

#[tokio::test]
async fn a_stop_is_not_confirmed_while_the_only_protocol_has_not_said_a_word() {
    let gateway = gateway();
    gateway.update_faults(|faults| faults.pcp_delay_ms = 1300);
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(RetryPolicy::Never)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    assert!(gateway.wait_for_async(LONG, |state| state.mappings.len() == 1).await);
    let release = lease.stop(LONG).await;
    assert!(release != Release::Released || gateway.mappings().is_empty(), "{release}, {:?}", gateway.mappings());
}

#[tokio::test]
async fn a_grant_that_nobody_waits_for_and_whose_delete_failed_is_deleted_when_the_lease_ends() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let first = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap();
    first.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| {
        faults.soap_errors.insert("DeletePortMapping".into(), 501);
        faults.soap_error_counts.insert("DeletePortMapping".into(), 1);
        faults.http_delay_ms = 300;
    });
    let lease = mapper.map(UDP_4000).unwrap();
    assert!(gateway.wait_for_async(LONG, |state| state.mappings.len() == 2).await);
    lease.begin_stop();
    let release = lease.stop(LONG).await;
    assert!(release != Release::Released || gateway.mappings().len() == 1, "{release}, {:?}", gateway.mappings());
    mapper.stop(LONG).await;
    assert!(gateway.mappings().is_empty(), "{:?}", gateway.mappings());
}

#[tokio::test]
async fn a_port_whose_delete_was_never_confirmed_is_free_for_another_lease_once_the_router_has_lost_the_entry() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let first = mapper.map(UDP_4000).unwrap();
    first.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| {
        faults.soap_errors.insert("DeletePortMapping".into(), 501);
    });
    assert_eq!(first.stop(LONG).await, Release::Unconfirmed);
    gateway.update_faults(|faults| faults.soap_errors.clear());
    gateway.reboot();
    let second = mapper.map(MapRequest::new(4001, Transport::Udp).external_port(4000).exact()).unwrap();
    second.ready(LONG).await.unwrap();
}

#[tokio::test]
async fn a_doubt_follows_the_device_to_its_new_port() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp)).unwrap();
    let first = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap();
    first.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| faults.http_lose_answers = 1);
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap_err();
    gateway.reboot();
    assert_eq!(lease.stop(LONG).await, Release::Released);
}
