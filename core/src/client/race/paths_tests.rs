//! Several default routes.

use std::future::poll_fn;
use std::task::Poll;

use super::*;
use crate::net::route::NetworkPath;
use crate::schedule::PATH_HEDGE;
use crate::world::Change;

fn tunnel() -> NetworkPath {
    NetworkPath::new([10, 8, 0, 1], [10, 8, 0, 2]).interface("tun0".to_owned())
}

fn home() -> NetworkPath {
    path([192, 168, 1, 10])
}

fn phone() -> NetworkPath {
    NetworkPath::new([172, 20, 10, 1], [172, 20, 10, 2]).interface("usb0".to_owned())
}

/// A tunnel, whose clients are those of the setup, and the home router behind it.
fn tunnel_and_home() -> (Setup, [Arc<Racer>; 3]) {
    let (setup, mut others) = Setup::along(&[tunnel(), home()]);
    (setup, others.remove(0))
}

/// The tunnel drops everything.
fn is_silent(setup: &Setup) {
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_without_an_offer_hides_no_other_one_which_is_asked_first_from_then_on() {
    let (setup, at_home) = tunnel_and_home();
    let mut changes = setup.world.watch();
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000))).on_install(MS, Ok(granted(Protocol::Pcp, 1)));
    let mapping = setup.install().await.unwrap();
    assert_eq!(setup.elapsed(), MS, "the tunnel's clients fail at once");
    assert_eq!(setup.race.view().path, Some(home()));
    setup.race.settle().await;
    setup.race.install(&nth(1), HOUR).await.unwrap();
    at_home[0].on_renew(MS, Ok(mapping.clone()));
    setup.race.renew(&mapping).await.unwrap();
    assert_eq!(setup.pcp.calls().install, 1, "the tunnel is not asked again");
    setup.race.remove(&mapping).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, at_home[0].calls().remove), (0, 1));
    assert_eq!(changes.take(), None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_is_asked_alone_only_for_the_hedge() {
    let (setup, at_home) = tunnel_and_home();
    is_silent(&setup);
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    assert_eq!(setup.elapsed(), PATH_HEDGE + MS);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_answers_is_let_finish() {
    let (setup, at_home) = tunnel_and_home();
    setup.pcp.on_install(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * PATH_HEDGE, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Upnp);
    setup.race.settle().await;
    assert_eq!(at_home[0].calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_grant_by_the_second_gateway_is_better_than_the_refusal_of_the_first() {
    let (setup, at_home) = tunnel_and_home();
    setup.pcp.on_install(MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;

    let (setup, at_home) = tunnel_and_home();
    setup.pcp.on_install(MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    at_home[0].on_install(MS, Err(silent(MS)));
    let error = setup.install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let message = error.to_string();
    assert!(message.find("NOT_AUTHORIZED") < message.find("no answer within"), "in the order of the paths: {message}");
}

#[tokio::test(start_paused = true)]
async fn the_late_grant_of_the_loser_is_released_there_and_does_not_touch_the_winners_entry() {
    let (setup, at_home) = tunnel_and_home();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let won = setup.install().await.unwrap();
    assert_eq!(setup.elapsed(), PATH_HEDGE + MS);
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, at_home[0].calls().remove, at_home[0].calls().renew), (1, 0, 0));
    setup.race.remove(&won).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, at_home[0].calls().remove), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn of_two_grants_in_the_same_instant_one_is_released() {
    let (setup, at_home) = tunnel_and_home();
    setup.pcp.on_install(PATH_HEDGE + MS, Ok(mapping(Protocol::Pcp, 4000)));
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let won = setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!(setup.elapsed(), PATH_HEDGE + MS);
    assert_eq!(setup.pcp.calls().remove + at_home[0].calls().remove, 1);
    setup.race.remove(&won).await.unwrap();
    assert_eq!((setup.pcp.calls().remove, at_home[0].calls().remove), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_was_granted_just_when_its_caller_went_away_is_released() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    {
        let mut install = Box::pin(setup.install());
        let once = poll_fn(|context| Poll::Ready(install.as_mut().poll(context)));
        assert!(once.await.is_pending());
        // The race ends here, and nobody polls the install any more.
        tokio::time::sleep(2 * MS).await;
    }
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_better_path_or_the_loss_of_the_path_in_use_is_a_move() {
    let steps = [
        (vec![home(), phone()], None, "a path behind the one in use"),
        (vec![home()], None, "and without it"),
        (vec![tunnel(), home()], Some(Change::Moved), "a better path"),
        (vec![phone()], Some(Change::Moved), "the path in use is gone"),
    ];
    let (setup, _) = Setup::along(&[home()]);
    let mut changes = setup.world.watch();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    for (paths, change, why) in steps {
        setup.move_along(&paths);
        setup.race.report().await.unwrap();
        assert_eq!(changes.take(), change, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_better_path_that_was_there_before_and_had_no_offer_may_go() {
    let (setup, at_home) = tunnel_and_home();
    let mut changes = setup.world.watch();
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.move_along(&[home()]);
    at_home[0].on_renew(MS, Ok(mapping.clone()));
    setup.race.renew(&mapping).await.unwrap();
    assert_eq!(changes.take(), None);
}

#[tokio::test(start_paused = true)]
async fn a_better_path_that_had_no_offer_before_may_come_back() {
    let (setup, at_home) = tunnel_and_home();
    is_silent(&setup);
    let mut changes = setup.world.watch();
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.race.settle().await;
    for paths in [vec![home()], vec![tunnel(), home()]] {
        setup.move_along(&paths);
        at_home[0].on_renew(MS, Ok(mapping.clone()));
        setup.race.renew(&mapping).await.unwrap();
        assert_eq!(changes.take(), None, "{paths:?}");
    }
    assert_eq!(setup.pcp.calls().install, 1);
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_a_path_on_which_any_lease_has_its_mapping_is_a_move() {
    let (setup, at_home) = tunnel_and_home();
    let mut changes = setup.world.watch();
    at_home[0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    // The home router goes silent, so that the next lease is mapped in the tunnel.
    setup.pcp.on_install(MS, Ok(granted(Protocol::Pcp, 1)));
    setup.race.install(&nth(1), HOUR).await.unwrap();
    assert_eq!(setup.race.view().path, Some(tunnel()));
    setup.move_along(&[tunnel()]);
    assert!(setup.race.renew(&mapping).await.unwrap_err().mapping_lost());
    assert_eq!(changes.take(), Some(Change::Moved));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_finds_a_better_gateway_leaves_nothing_on_the_one_before() {
    let (setup, _) = Setup::along(&[home()]);
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    let clients = setup.move_along(&[phone(), home()]);
    clients[0][0].on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, clients[0][0].calls().remove), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_machine_with_a_public_address_of_its_own_needs_no_gateway() {
    let direct = NetworkPath::direct([192, 0, 1, 2]).interface("ppp0".to_owned());
    let (setup, _) = Setup::along(&[home(), direct]);
    is_silent(&setup);
    let own = setup.install().await.unwrap();
    assert_eq!((own.protocol, own.external), (Protocol::None, ([192, 0, 1, 2], 4000).into()));
    assert_eq!(setup.elapsed(), SSDP_DEADLINE, "but the gateway goes first, to its end");
    assert_eq!(setup.race.renew(&own).await.unwrap(), own);
    assert!(setup.race.reaches(&own));
    setup.move_along(&[home()]);
    assert_eq!(setup.race.renew(&own).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(!setup.race.reaches(&own));
}

#[tokio::test(start_paused = true)]
async fn a_machine_with_a_public_address_and_no_gateway_at_all_is_mapped_at_once() {
    let (setup, _) = Setup::along(&[NetworkPath::direct([192, 0, 1, 2])]);
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::None);
    assert_eq!(setup.elapsed(), Duration::ZERO);
    let report = setup.race.report().await.unwrap();
    assert_eq!((report.gateway, report.protocols.len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn a_report_is_that_of_the_first_gateway_with_an_offer() {
    let (setup, at_home) = tunnel_and_home();
    at_home[0].on_probe(MS, Ok(()));
    let report = setup.race.report().await.unwrap();
    assert_eq!(report.gateway, home().scoped_gateway());
    report.require_offer().unwrap();
    let report = setup.race.report().await.unwrap();
    assert_eq!(
        (report.gateway, report.require_offer().is_err()),
        (tunnel().scoped_gateway(), true),
        "else of the first"
    );
}

#[tokio::test(start_paused = true)]
async fn one_path_costs_one_look_for_each_call() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    assert_eq!(setup.looked_for(), 1);
    setup.pcp.on_renew(MS, Ok(mapping.clone()));
    setup.race.renew(&mapping).await.unwrap();
    assert_eq!(setup.looked_for(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_in_the_same_instant_share_a_look_unless_an_address_is_gone() {
    let setup = Setup::new().with(|race| race.fresh_for = MS);
    for number in 0..100 {
        setup.pcp.on_install(Duration::ZERO, Ok(granted(Protocol::Pcp, number)));
    }
    setup.install_at_once(100).await;
    assert_eq!((setup.elapsed(), setup.looked_for()), (Duration::ZERO, 1));
    let there = setup.move_to([10, 0, 0, 10]);
    let gone = io::Error::from(io::ErrorKind::AddrNotAvailable);
    setup.pcp.on_install(Duration::ZERO, Err(PortMappingError::transport("cannot use local address", gone)));
    there[0].on_install(Duration::ZERO, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    assert_eq!(there[0].calls().install, 1);
    tokio::time::sleep(MS).await;
    setup.lose_network();
    assert!(setup.install().await.is_err());
}
