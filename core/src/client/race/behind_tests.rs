//! What is put right behind the answers: requests that met silence, and the end of the lease.

use super::*;

/// PCP answered once, then meets silence in a race that UPnP wins.
async fn pcp_falls_silent() -> Setup {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4001)));
    let other = MapRequest::new(4001, Transport::Udp);
    setup.race.install(&other, HOUR).await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(MS, Err(PortMappingError::unavailable("nat-pmp UNSUPP_VERSION")));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup
}

#[tokio::test(start_paused = true)]
async fn a_loser_that_met_silence_is_abandoned_behind_the_caller_and_the_winner_renews() {
    let setup = pcp_falls_silent().await;
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Upnp);
    assert_eq!((setup.pcp.abandoned(), setup.upnp.calls().renew), (0, 0));
    setup.race.settle().await;
    assert_eq!((setup.pcp.abandoned(), setup.upnp.calls().renew), (1, 1));
    assert_eq!((setup.nat_pmp.abandoned(), setup.upnp.abandoned()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_loser_is_not_abandoned_behind_a_lease_that_is_over_which_does_it_itself() {
    let setup = pcp_falls_silent().await;
    let won = setup.install().await.unwrap();
    setup.race.remove(&won).await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.abandoned(), setup.upnp.calls().renew), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_in_an_earlier_race_is_put_right_once_another_protocol_has_won() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4001)));
    setup.race.install(&nth(1), HOUR).await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    assert!(setup.install().await.is_err(), "no other protocol answers in this race");
    setup.pcp.on_install(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.upnp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Upnp);
    setup.race.settle().await;
    assert_eq!((setup.pcp.abandoned(), setup.upnp.calls().renew), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_never_answered_is_left_for_the_end_of_the_lease() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.abandoned(), setup.upnp.calls().renew), (0, 0));
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.pcp.abandoned(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_abandons_by_every_protocol_side_by_side_and_succeeds_only_if_all_do() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    for racer in [&setup.pcp, &setup.nat_pmp] {
        racer.on_abandon(PCP_DEADLINE, Err(silent(PCP_DEADLINE))).on_abandon(PCP_DEADLINE, Ok(()));
    }
    let before = Instant::now();
    let error = setup.race.abandon(&REQUEST).await.unwrap_err();
    assert_eq!(before.elapsed(), PCP_DEADLINE);
    let reasons = "no answer within 1s; no answer within 1s";
    assert_eq!(error.to_string(), format!("udp port 4000 may still be mapped: {reasons}"));
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!([&setup.pcp, &setup.nat_pmp, &setup.upnp].map(|racer| racer.abandoned()), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_waits_for_requests_that_are_still_under_way_before_it_abandons_them() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    let won = setup.install().await.unwrap();
    setup.race.remove(&won).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.elapsed(), PCP_DEADLINE);
    assert_eq!(setup.pcp.abandoned(), 1);
    // The end of another lease waits for nothing.
    setup.race.abandon(&nth(1)).await.unwrap();
    assert_eq!(setup.elapsed(), PCP_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn settling_covers_what_is_abandoned_behind_a_race_and_what_each_client_does_behind_its_answers() {
    let setup = pcp_falls_silent().await;
    let settled = setup.pcp.settled();
    setup.pcp.on_abandon(3 * PCP_DEADLINE, Ok(()));
    setup.install().await.unwrap();
    let before = Instant::now();
    setup.race.settle().await;
    assert!(before.elapsed() > 3 * PCP_DEADLINE, "{:?}", before.elapsed());
    assert_eq!(setup.upnp.calls().renew, 1);
    assert_eq!(setup.pcp.settled(), settled + 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_that_the_lease_has_by_now_is_not_released() {
    // UPnP wins, is lost at once, and PCP serves the second attempt while its answer to the first is still out.
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    let lost = setup.install().await.unwrap();
    setup.race.remove(&lost).await.unwrap();
    setup.upnp.on_install(MS, Err(PortMappingError::refused("upnp 606")));
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.pcp.on_renew(MS, Ok(mapping(Protocol::Pcp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Pcp);
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, setup.pcp.calls().renew), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_moved_a_mapping_moves_what_the_lease_holds() {
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4100)));
    let won = setup.install().await.unwrap();
    let moved = setup.race.renew(&won).await.unwrap();
    setup.race.remove(&moved).await.unwrap();
    setup.race.settle().await;
    let (pcp, upnp) = (setup.pcp.calls(), setup.upnp.calls());
    assert_eq!((pcp.remove, upnp.renew, upnp.remove), (1, 1, 1), "the late mapping is released, not taken over");
}

#[tokio::test(start_paused = true)]
async fn the_client_that_made_a_mapping_is_the_one_that_looks_whether_it_is_there() {
    let setup = Setup::new();
    let upnp = mapping(Protocol::Upnp, 4000);
    assert_eq!(setup.race.verify(&upnp).await.unwrap(), Some(upnp));
    let verified = [&setup.pcp, &setup.nat_pmp, &setup.upnp].map(|racer| racer.verified());
    assert_eq!(verified, [0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_host_without_a_gateway_has_nothing_to_verify_or_to_delete() {
    let setup = Setup::from([192, 0, 1, 2]);
    let own = setup.install().await.unwrap();
    assert_eq!(setup.race.verify(&own).await.unwrap(), None);
    setup.race.remove(&own).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    let verified = [&setup.pcp, &setup.nat_pmp, &setup.upnp].map(|racer| racer.verified());
    assert_eq!(verified, [0; 3]);
}

/// UPnP grants a mapping that nobody waits for any more, and its delete fails.
async fn upnp_grants_too_late(grant: PortMapping) -> Setup {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.nat_pmp.on_probe(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.upnp.on_probe(MS, Ok(())).on_install(800 * MS, Ok(grant));
    setup.upnp.on_remove(MS, Err(PortMappingError::refused("upnp 501 ActionFailed")));
    assert!(tokio::time::timeout(100 * MS, setup.install()).await.is_err());
    setup
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_waited_for_and_whose_delete_failed_is_deleted_at_the_end_of_the_lease() {
    let setup = upnp_grants_too_late(mapping(Protocol::Upnp, 4000)).await;
    setup.upnp.on_remove(MS, Err(PortMappingError::refused("upnp 501 ActionFailed")));
    let error = setup.race.abandon(&REQUEST).await.unwrap_err();
    assert_eq!(error.to_string(), "udp port 4000 may still be mapped: upnp 501 ActionFailed");
    setup.race.abandon(&nth(1)).await.unwrap();
    assert_eq!(setup.upnp.calls().remove, 2);
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.upnp.calls().remove, 3);
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.upnp.calls().remove, 3, "it is deleted once");
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_delete_failed_is_not_deleted_any_more_once_it_is_the_leases_or_has_run_out() {
    let setup = upnp_grants_too_late(mapping(Protocol::Upnp, 4000)).await;
    setup.race.settle().await;
    setup.upnp.on_install(MS, Ok(mapping(Protocol::Upnp, 4000)));
    let granted = setup.install().await.unwrap();
    setup.race.remove(&granted).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.upnp.calls().remove, 2);

    let setup = upnp_grants_too_late(mapping(Protocol::Upnp, 4000)).await;
    setup.race.settle().await;
    tokio::time::advance(HOUR).await;
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.upnp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_on_another_port_whose_delete_failed_is_deleted_at_the_end_of_the_lease() {
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4001)));
    setup.pcp.on_remove(MS, Err(silent(MS)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    let won = setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().remove, 1);
    setup.race.remove(&won).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, setup.upnp.calls().remove), (2, 1));
}

/// PCP grants late what UPnP has mapped by then: one entry for both. `renewals` are UPnP's answers when it takes that over.
async fn pcp_grants_the_same_entry_late(renewals: Vec<Result<PortMapping, PortMappingError>>) -> (Setup, PortMapping) {
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(MS, Err(PortMappingError::unavailable("nat-pmp UNSUPP_VERSION")));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    for renewal in renewals {
        setup.upnp.on_renew(MS, renewal);
    }
    let won = setup.install().await.unwrap();
    setup.race.settle().await;
    (setup, won)
}

#[tokio::test(start_paused = true)]
async fn a_take_over_that_meets_silence_is_tried_again() {
    let (setup, won) = pcp_grants_the_same_entry_late(vec![Err(silent(MS)), Ok(mapping(Protocol::Upnp, 4000))]).await;
    assert_eq!(setup.upnp.calls().renew, 2);
    setup.race.remove(&won).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, setup.upnp.calls().remove), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_could_not_be_taken_over_is_also_deleted_by_the_protocol_that_it_belongs_to() {
    let (setup, won) = pcp_grants_the_same_entry_late((0..3).map(|_| Err(silent(MS))).collect()).await;
    assert_eq!((setup.upnp.calls().renew, setup.pcp.calls().remove), (3, 0));
    setup.race.remove(&won).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, setup.upnp.calls().remove), (1, 1));
}
