//! Each call looks at the network first: what counts as a move, and what becomes of the mapping in the old network.

use super::*;
use crate::net::route::NetworkPath;
use crate::schedule::OLD_RELEASE_DEADLINE;
use crate::world::Change;

const HOME: [u8; 4] = [192, 168, 1, 10];
const NEXT: [u8; 4] = [10, 0, 0, 10];

/// A lease is mapped by PCP at home.
async fn mapped() -> (Setup, PortMapping) {
    let setup = Setup::from(HOME);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.race.settle().await;
    (setup, mapping)
}

/// The same lease is mapped by PCP in another network, with this answer to the delete at home.
async fn moved(removed: Duration, answer: Result<(), PortMappingError>) -> (Setup, [Arc<Racer>; 3]) {
    let (setup, _) = mapped().await;
    setup.pcp.on_remove(removed, answer);
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    (setup, there)
}

fn gone() -> PortMappingError {
    PortMappingError::transport("cannot use local address", io::ErrorKind::AddrNotAvailable.into())
}

#[tokio::test(start_paused = true)]
async fn another_gateway_address_or_interface_is_a_move_once_and_the_first_look_is_none() {
    let home = || NetworkPath::new([192, 168, 1, 1], HOME).interface("eth0".to_owned());
    let others = [
        NetworkPath::new([192, 168, 1, 2], HOME).interface("eth0".to_owned()),
        NetworkPath::new([192, 168, 1, 1], NEXT).interface("eth0".to_owned()),
        NetworkPath::new([192, 168, 1, 1], HOME).interface("eth1".to_owned()),
    ];
    for other in others {
        let (setup, _) = Setup::along(&[home()]);
        let mut changes = setup.world.watch();
        let unchanged = async || assert!(setup.install().await.is_err());
        unchanged().await;
        unchanged().await;
        assert_eq!(changes.take(), None);
        setup.move_along(std::slice::from_ref(&other));
        unchanged().await;
        assert_eq!(changes.take(), Some(Change::Moved), "{other:?}");
        unchanged().await;
        assert_eq!(changes.take(), None);
        assert_eq!(setup.race.view().path, Some(other));
    }
}

#[tokio::test(start_paused = true)]
async fn reports_and_renewals_look_too() {
    let (setup, mapping) = mapped().await;
    let mut changes = setup.world.watch();
    setup.move_to(NEXT);
    setup.race.report().await.unwrap();
    assert_eq!(changes.take(), Some(Change::Moved));
    setup.move_to(HOME);
    setup.pcp.on_renew(MS, Ok(mapping.clone()));
    setup.race.renew(&mapping).await.unwrap();
    assert_eq!(changes.take(), Some(Change::Moved), "and back in its network the mapping can be renewed");
}

#[tokio::test(start_paused = true)]
async fn no_route_any_more_is_a_move_to_nowhere_and_a_route_again_is_a_move_back() {
    let (setup, mapping) = mapped().await;
    let mut changes = setup.world.watch();
    setup.lose_network();
    for _ in 0..2 {
        for outcome in [setup.race.renew(&mapping).await, setup.install().await] {
            assert_eq!(outcome.unwrap_err().to_string(), "there is no default route");
        }
    }
    assert_eq!(changes.take(), Some(Change::Moved));
    assert_eq!(changes.take(), None);
    assert_eq!(setup.race.view().path, None);
    setup.move_to(HOME);
    setup.pcp.on_install(MS, Ok(mapping));
    setup.install().await.unwrap();
    assert_eq!(changes.take(), Some(Change::Moved));
    assert_eq!(setup.pcp.calls().remove, 0, "it is the same entry");
}

#[tokio::test(start_paused = true)]
async fn a_configured_interface_that_is_gone_is_nowhere_too() {
    let (setup, _) = mapped().await;
    let mut changes = setup.world.watch();
    setup.fail_to_look_up(PortMappingError::invalid("interface", "there is no interface `eth0`"));
    assert_eq!(setup.install().await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(changes.take(), Some(Change::Moved));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_starts_without_a_network_moves_when_it_has_one() {
    let setup = Setup::from(HOME);
    let mut changes = setup.world.watch();
    setup.lose_network();
    assert!(setup.install().await.is_err());
    assert_eq!(changes.take(), None);
    setup.move_to(HOME);
    assert!(setup.race.report().await.is_ok());
    assert_eq!(changes.take(), Some(Change::Moved));
}

#[tokio::test(start_paused = true)]
async fn tables_that_cannot_be_read_are_no_move_and_the_calls_go_on() {
    let (setup, mapping) = mapped().await;
    let mut changes = setup.world.watch();
    setup.fail_to_look_up(PortMappingError::transport("cannot read the table", io::Error::from_raw_os_error(24)));
    setup.pcp.on_renew(MS, Ok(mapping.clone())).on_install(MS, Ok(granted(Protocol::Pcp, 1)));
    setup.race.renew(&mapping).await.unwrap();
    setup.race.install(&nth(1), HOUR).await.unwrap();
    assert_eq!(changes.take(), None);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_goes_away_during_a_call_sends_the_call_to_the_new_network_at_once() {
    let setup = Setup::from(HOME);
    setup.pcp.on_install(10 * MS, Err(gone()));
    setup.nat_pmp.on_probe(MS, Err(gone()));
    setup.upnp.on_probe(MS, Err(gone()));
    let installing = {
        let race = Arc::clone(&setup.race);
        tokio::spawn(async move { race.install(&REQUEST, HOUR).await })
    };
    tokio::time::sleep(5 * MS).await;
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    installing.await.unwrap().unwrap();
    assert_eq!(setup.elapsed(), 11 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_gone_on_an_unchanged_path_is_asked_once() {
    let setup = Setup::from(HOME);
    setup.pcp.on_install(MS, Err(gone()));
    setup.nat_pmp.on_probe(MS, Err(gone()));
    setup.upnp.on_probe(MS, Err(gone()));
    assert_eq!(setup.install().await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!((setup.pcp.calls().install, setup.looked_for()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_finds_its_address_gone_says_that_the_network_was_left() {
    let (setup, mapping) = mapped().await;
    setup.pcp.on_renew(10 * MS, Err(gone()));
    let renewing = {
        let (race, mapping) = (Arc::clone(&setup.race), mapping.clone());
        tokio::spawn(async move { race.renew(&mapping).await })
    };
    tokio::time::sleep(5 * MS).await;
    setup.move_to(NEXT);
    assert!(renewing.await.unwrap().unwrap_err().mapping_lost());
    setup.move_to(HOME);
    setup.pcp.on_renew(MS, Err(gone()));
    assert_eq!(setup.race.renew(&mapping).await.unwrap_err().kind(), ErrorKind::Transport, "the network is the same");
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_a_network_that_was_left_meanwhile_is_released_and_the_port_mapped_in_the_new_one() {
    let setup = Setup::from(HOME);
    setup.pcp.on_install(10 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    let installing = {
        let race = Arc::clone(&setup.race);
        tokio::spawn(async move { race.install(&REQUEST, HOUR).await })
    };
    tokio::time::sleep(5 * MS).await;
    let there = setup.move_to(NEXT);
    there[0].on_install(20 * MS, Ok(granted(Protocol::Pcp, 1))).on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.race.install(&nth(1), HOUR).await.unwrap();
    installing.await.unwrap().unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, there[0].calls().install), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_a_gateway_refused_counts_neither_in_another_network_nor_after_the_return() {
    let setup = Setup::from(HOME);
    let refused = || Err(PortMappingError::refused_for("pcp NO_RESOURCES", HOUR / 2));
    setup.pcp.on_install(MS, refused());
    assert!(setup.install().await.is_err());
    assert!(setup.install().await.is_err());
    assert_eq!(setup.pcp.calls().install, 1, "the refusal holds");
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, refused());
    assert!(setup.install().await.is_err());
    assert_eq!(there[0].calls().install, 1);
    setup.move_to(HOME);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_old_mapping_is_released_by_its_client_in_the_background() {
    let (setup, there) = moved(PCP_DEADLINE, Ok(())).await;
    assert_eq!(setup.elapsed(), 2 * MS, "nobody waits for it");
    setup.race.settle().await;
    assert_eq!(setup.elapsed(), PCP_DEADLINE + MS);
    setup.race.remove(&mapping(Protocol::Pcp, 4000)).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (1, 1), "each is deleted once");
}

#[tokio::test(start_paused = true)]
async fn a_delete_in_the_old_network_is_bounded() {
    let (setup, _) = moved(HOUR, Ok(())).await;
    setup.race.settle().await;
    assert_eq!(setup.elapsed(), OLD_RELEASE_DEADLINE + MS);
}

#[tokio::test(start_paused = true)]
async fn an_old_mapping_that_is_out_of_reach_is_deleted_at_the_end_of_the_lease_unless_it_has_run_out() {
    for (pause, removals) in [(HOUR / 2, 2), (HOUR, 1)] {
        let (setup, _) = moved(MS, Err(gone())).await;
        tokio::time::sleep(pause).await;
        setup.race.abandon(&REQUEST).await.unwrap();
        assert_eq!(setup.pcp.calls().remove, removals);
    }
}

#[tokio::test(start_paused = true)]
async fn back_in_the_old_network_the_same_entry_is_taken_over_and_not_deleted() {
    let (setup, there) = moved(MS, Err(gone())).await;
    setup.move_to(HOME);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (1, 1), "that of the other network is released");
    setup.race.remove(&mapping).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_under_way_at_the_return_does_not_hit_the_new_mapping() {
    let (setup, _) = moved(4 * PCP_DEADLINE, Ok(())).await;
    tokio::time::sleep(MS).await;
    setup.move_to(HOME);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    assert!(setup.elapsed() < PCP_DEADLINE, "it was given up: {:?}", setup.elapsed());
}

#[tokio::test(start_paused = true)]
async fn back_in_the_old_network_an_old_entry_beside_the_new_one_is_deleted() {
    let (setup, _) = moved(MS, Err(gone())).await;
    setup.move_to(HOME);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4001)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!(setup.pcp.removed(), [mapping(Protocol::Pcp, 4000).external; 2]);
}

#[tokio::test(start_paused = true)]
async fn what_a_lease_that_ended_elsewhere_has_left_is_deleted_at_the_return() {
    let (setup, _) = moved(MS, Err(gone())).await;
    setup.pcp.on_remove(MS, Err(gone()));
    assert!(setup.race.abandon(&REQUEST).await.is_err());
    setup.move_to(HOME);
    setup.race.report().await.unwrap();
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().remove, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_lease_had_when_the_network_went_is_deleted_at_its_end_or_else_the_end_is_unconfirmed() {
    for (answer, confirmed) in [(Ok(()), true), (Err(gone()), false)] {
        let (setup, _) = mapped().await;
        setup.pcp.on_remove(MS, answer);
        setup.lose_network();
        assert!(setup.install().await.is_err());
        assert_eq!(setup.race.abandon(&REQUEST).await.is_ok(), confirmed);
        assert_eq!(setup.pcp.calls().remove, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lease_has_detached_is_not_deleted_at_the_end_of_the_next_lease_of_the_port() {
    let (setup, mapping) = mapped().await;
    setup.race.detach(&mapping);
    setup.lose_network();
    assert!(setup.install().await.is_err());
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.pcp.calls().remove, 0);
}

#[tokio::test(start_paused = true)]
async fn another_name_of_the_interface_leaves_nothing_behind_that_could_be_deleted() {
    let (setup, _) = mapped().await;
    let there = setup.move_along(&[path(HOME).interface("eth1".to_owned())]).remove(0);
    there[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.race.settle().await;
    setup.race.remove(&mapping).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_delete_of_the_old_mapping_is_never_sent_to_the_new_gateway() {
    let (setup, old) = mapped().await;
    setup.pcp.on_remove(MS, Err(gone()));
    let there = setup.move_to(NEXT);
    let new = PortMapping { external: ([192, 0, 1, 2], 4000).into(), ..mapping(Protocol::Pcp, 4000) };
    there[0].on_install(MS, Ok(new.clone()));
    setup.install().await.unwrap();
    setup.race.remove(&old).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (2, 0));
    there[0].on_renew(MS, Ok(new.clone()));
    setup.race.renew(&new).await.unwrap();
    setup.race.remove(&new).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, there[0].calls().remove), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_does_not_delete_what_the_next_one_is_given() {
    let setup = Setup::from(HOME);
    setup
        .pcp
        .on_install(10 * MS, Ok(mapping(Protocol::Pcp, 4000)))
        .on_install(20 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    assert!(tokio::time::timeout(5 * MS, setup.install()).await.is_err());
    let mapping = setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().install, setup.pcp.calls().remove), (2, 0));
    setup.race.remove(&mapping).await.unwrap();
    setup.race.abandon(&REQUEST).await.unwrap();
    assert_eq!(setup.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_leaves_nothing_beside_what_the_next_one_is_given() {
    let setup = Setup::from(HOME);
    setup
        .pcp
        .on_install(10 * MS, Ok(mapping(Protocol::Pcp, 4001)))
        .on_install(20 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    assert!(tokio::time::timeout(5 * MS, setup.install()).await.is_err());
    setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!(setup.pcp.removed(), [mapping(Protocol::Pcp, 4001).external]);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_is_reached_from_its_network_once_a_mapping_was_made_there() {
    let (setup, old) = mapped().await;
    assert!(setup.race.reaches(&old));
    let there = setup.move_to(NEXT);
    there[0].on_install(MS, Ok(granted(Protocol::Pcp, 1)));
    let new = setup.race.install(&nth(1), HOUR).await.unwrap();
    assert_eq!((setup.race.reaches(&old), setup.race.reaches(&new)), (false, true));
    setup.lose_network();
    assert!(setup.race.report().await.is_err());
    assert!(!setup.race.reaches(&new));
    // Perhaps another router with the same address.
    setup.move_to(NEXT);
    setup.race.report().await.unwrap();
    assert!(!setup.race.reaches(&new));
}
