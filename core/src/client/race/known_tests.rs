//! What races and reports teach about the protocols.

use super::*;
use known::{Known, MAX_HOLDS};

/// PCP is dropped, NAT-PMP answers.
async fn report_without_pcp(setup: &Setup) {
    setup.pcp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(MS, Ok(()));
    setup.race.report().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_report_that_saw_pcp_dropped_the_first_mapping_does_not_wait_for_pcp() {
    let setup = Setup::new();
    report_without_pcp(&setup).await;
    setup.nat_pmp.on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    let before = Instant::now();
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(before.elapsed(), MS, "one call, without a probe");
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pcp_that_recovered_is_found_when_what_was_decided_fails() {
    let setup = Setup::new();
    report_without_pcp(&setup).await;
    setup.nat_pmp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let before = Instant::now();
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Pcp);
    assert_eq!(before.elapsed(), DECIDED_HEAD_START + MS);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_met_silence_in_a_race_that_another_won_is_asked_last_from_then_on() {
    let setup = Setup::new();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    // Nothing answers for a while: nothing is decided any more.
    assert!(setup.install().await.is_err());
    let asked = setup.pcp.calls().install;
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    let before = Instant::now();
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(before.elapsed(), 2 * MS);
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().install, asked);
}

#[tokio::test(start_paused = true)]
async fn a_report_in_which_the_decided_protocol_is_silent_decides_for_one_that_answered() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    report_without_pcp(&setup).await;
    setup.nat_pmp.on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(setup.pcp.calls().install, 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_waits_for_no_race() {
    let setup = Setup::new();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device")));
    let report = async {
        tokio::time::sleep(MS).await;
        let before = Instant::now();
        setup.pcp.on_probe(MS, Ok(()));
        setup.nat_pmp.on_probe(MS, Err(PortMappingError::refused("nat-pmp NOT_AUTHORIZED")));
        setup.upnp.on_probe(MS, Err(PortMappingError::unavailable("port 1900 is closed")));
        setup.race.report().await.unwrap();
        before.elapsed()
    };
    let (_, elapsed) = tokio::join!(setup.install(), report);
    assert_eq!(elapsed, MS);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_request_by_all_does_not_undo_the_decision() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(MS, Err(PortMappingError::refused("pcp CANNOT_PROVIDE_EXTERNAL")));
    assert_eq!(setup.race.install(&nth(1), HOUR).await.unwrap_err().kind(), ErrorKind::Refused);
    let before = setup.nat_pmp.calls();
    setup.pcp.on_install(NAT_PMP_HEDGE * 2, Ok(granted(Protocol::Pcp, 2)));
    setup.race.install(&nth(2), HOUR).await.unwrap();
    assert_eq!(setup.nat_pmp.calls(), before);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_holds_is_remembered_also_where_another_protocol_granted_the_mapping() {
    let setup = Setup::new();
    let hold = Duration::from_secs(600);
    setup.pcp.on_install(MS, Err(PortMappingError::refused_for("pcp NO_RESOURCES", hold)));
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    setup.install().await.unwrap();
    setup.nat_pmp.on_install(MS, Err(silent(MS)));
    setup.install().await.unwrap_err();
    assert_eq!(setup.pcp.calls().install, 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_that_hold_do_not_pile_up() {
    let known = Known::default();
    let hold = Duration::from_secs(600);
    for port in 1..=5000 {
        let error = PortMappingError::refused_for("pcp NO_RESOURCES", hold);
        let failure = Failure { protocol: Protocol::Pcp, at: None, alive: true, asked: true, error };
        known.failed(&failure, &MapRequest::new(port, Transport::Udp));
        assert!(known.holds() <= MAX_HOLDS);
        tokio::time::advance(MS).await;
    }
    let holds = |port| known.held(Protocol::Pcp, &MapRequest::new(port, Transport::Udp)).is_some();
    assert!(holds(5000) && !holds(1), "the one that ends first is the one that is forgotten");
    tokio::time::advance(hold).await;
    assert!(!holds(5000));
    assert_eq!(known.holds(), 0);
}
