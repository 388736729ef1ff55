//! The machine moves to another network, or has none.

use super::*;

const NEXT: [u8; 4] = [10, 0, 0, 10];

/// PCP has mapped, then nothing answers any more, so that the gateway is to be looked for anew.
async fn mapped_and_then_silent() -> (Setup, PortMapping) {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.race.settle().await;
    assert!(setup.race.install(&nth(1), HOUR).await.is_err());
    (setup, mapping)
}

#[tokio::test(start_paused = true)]
async fn without_a_network_a_delete_still_goes_to_the_gateway_that_made_the_mapping() {
    let (setup, mapping) = mapped_and_then_silent().await;
    setup.lose_network();
    let looked_for = setup.looked_for();
    setup.race.remove(&mapping).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, setup.pcp.abandoned()), (1, 1));
    assert_eq!(setup.looked_for(), looked_for, "and nothing is looked for");
}

#[tokio::test(start_paused = true)]
async fn in_another_network_a_delete_goes_to_the_old_gateway_by_the_old_client() {
    let (setup, mapping) = mapped_and_then_silent().await;
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(granted(Protocol::Pcp, 2)));
    let new = setup.race.install(&nth(2), HOUR).await.unwrap();
    // The old gateway does not answer; the client's own deadline bounds that.
    setup.pcp.on_remove(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    let before = Instant::now();
    assert_eq!(setup.race.remove(&mapping).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(before.elapsed(), PCP_DEADLINE);
    setup.race.remove(&mapping).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (2, 0));
    setup.race.remove(&new).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_left_in_an_earlier_network_counts_at_the_end_of_the_lease() {
    let (setup, _) = mapped_and_then_silent().await;
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.pcp.on_abandon(MS, Err(silent(MS)));
    assert!(setup.race.abandon(&REQUEST).await.is_err());
    assert_eq!((setup.pcp.abandoned(), there[0].abandoned()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn back_in_an_earlier_network_its_clients_go_on() {
    let (setup, _) = mapped_and_then_silent().await;
    setup.move_to(NEXT);
    assert!(setup.install().await.is_err());
    setup.move_to([192, 168, 1, 10]);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_mapping_of_another_network_is_not_renewed_but_lost() {
    let (setup, old) = mapped_and_then_silent().await;
    let there = setup.move_to(NEXT);
    let error = setup.race.renew(&old).await.unwrap_err();
    assert_eq!(error.to_string(), "the mapping of 192.0.1.1:4000 is in a network that this machine has left");
    assert!(error.mapping_lost());
    assert_eq!((setup.pcp.calls().renew, there[0].calls().renew), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn news_are_those_of_any_protocol_also_where_no_gateway_was_found_before() {
    let setup = Setup::new();
    let news = {
        let race = Arc::clone(&setup.race);
        tokio::spawn(async move { race.news().await })
    };
    tokio::time::sleep(MS).await;
    assert!(!news.is_finished());
    assert!(setup.install().await.is_err());
    tokio::time::sleep(MS).await;
    assert!(!news.is_finished());
    setup.upnp.news.notify_waiters();
    news.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_looked_up_in_advance_serves_the_first_mapping_but_not_for_long() {
    for (pause, lookups) in [(Duration::ZERO, 1), (PREPARED_FRESH, 2)] {
        let setup = Setup::new();
        setup.race.prepare();
        assert!(setup.race.view().path.is_none(), "nobody has asked for it yet");
        tokio::time::sleep(pause).await;
        setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
        setup.install().await.unwrap();
        assert_eq!(setup.looked_for(), lookups);
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_a_network_at_the_start_finds_the_gateway_later() {
    let setup = Setup::new();
    setup.lose_network();
    setup.race.prepare();
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_next_lease_after_a_change_of_address_is_mapped_from_the_new_address() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    // The old address is gone, so that the old clients cannot even bind.
    let gone = || PortMappingError::transport("cannot use local address", io::ErrorKind::AddrNotAvailable.into());
    setup.pcp.on_install(MS, Err(gone()));
    setup.nat_pmp.on_probe(MS, Err(gone()));
    setup.upnp.on_probe(MS, Err(gone()));
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(granted(Protocol::Pcp, 1)));
    setup.race.install(&nth(1), HOUR).await.unwrap();
}
