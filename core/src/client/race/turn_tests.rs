//! Many leases at once: one races, the others wait for what it finds.

use super::*;
use crate::schedule::{DECIDED_PATIENCE, RACE_TURN_DEADLINE};

#[tokio::test(start_paused = true)]
async fn two_hundred_leases_at_once_are_one_race_and_the_others_ask_the_winner_alone() {
    const LEASES: u16 = 200;
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(52 * MS, Ok(()));
    for number in 0..LEASES {
        setup.upnp.on_install(2 * MS, Ok(granted(Protocol::Upnp, number)));
    }
    let outcomes = setup.install_at_once(LEASES).await;
    for (number, (outcome, _)) in (0..).zip(&outcomes) {
        assert_eq!(outcome.as_ref().unwrap().request, nth(number), "first come, first served");
    }
    setup.race.settle().await;
    let calls = [&setup.pcp, &setup.nat_pmp, &setup.upnp].map(|racer| (racer.calls().probe, racer.calls().install));
    assert_eq!(calls, [(0, 1), (1, 0), (1, usize::from(LEASES))]);
}

#[tokio::test(start_paused = true)]
async fn when_nothing_answers_one_race_speaks_for_all_leases_that_waited_for_it() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
    for (number, (outcome, elapsed)) in (0u16..).zip(setup.install_at_once(50).await) {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("udp port {} could not be mapped: no answer within 1s", 4000 + number)));
    }
    assert_eq!((setup.pcp.calls().install, setup.nat_pmp.calls().probe, setup.upnp.calls().probe), (1, 1, 1));
    // That is over: the next one asks again.
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_each_lease_asks_for_itself_but_only_what_is_alive() {
    let setup = Setup::new();
    let refused = || Err(PortMappingError::refused("pcp NOT_AUTHORIZED"));
    setup.pcp.on_install(MS, refused()).on_install(MS, refused()).on_install(MS, Ok(granted(Protocol::Pcp, 2)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
    let outcomes = setup.install_at_once(3).await;
    for (outcome, elapsed) in &outcomes[..2] {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("no answer within 1s; no device answered"), "{error}");
        assert!(*elapsed <= SSDP_DEADLINE + MS, "{elapsed:?}");
    }
    assert_eq!(outcomes[2].0.as_ref().unwrap().protocol, Protocol::Pcp);
    assert_eq!((setup.pcp.calls().install, setup.nat_pmp.calls().probe, setup.upnp.calls().probe), (3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_gives_up_hands_the_race_over() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
    let first = tokio::time::timeout(100 * MS, setup.install());
    let second = async {
        tokio::time::sleep(MS).await;
        setup.race.install(&nth(1), HOUR).await
    };
    let hand_over = async {
        tokio::time::sleep(50 * MS).await;
        setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(granted(Protocol::NatPmp, 1)));
    };
    let (given_up, second, ()) = tokio::join!(first, second, hand_over);
    assert!(given_up.is_err());
    assert_eq!(second.unwrap().protocol, Protocol::NatPmp);
    assert!(setup.elapsed() < 200 * MS, "{:?}", setup.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_race_that_takes_too_long_is_not_waited_for() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(Duration::from_secs(20), Ok(()));
    let first = setup.install();
    let second = async {
        tokio::time::sleep(MS).await;
        setup.pcp.on_install(MS, Ok(granted(Protocol::Pcp, 1)));
        setup.race.install(&nth(1), HOUR).await.unwrap();
        setup.elapsed()
    };
    let (_, elapsed) = tokio::join!(first, second);
    assert_eq!(elapsed, MS + RACE_TURN_DEADLINE + MS);
}

#[tokio::test(start_paused = true)]
async fn leases_that_wait_for_a_busy_gateway_do_not_ask_it_by_other_protocols() {
    const LEASES: u16 = 30;
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    let before = (setup.nat_pmp.calls(), setup.upnp.calls());
    // One answer every 100 ms, so that most wait for longer than a head start.
    for number in 0..LEASES {
        let answer = Ok(granted(Protocol::Pcp, number));
        setup.pcp.on_install(100 * MS * u32::from(number + 1), answer);
    }
    for (outcome, _) in setup.install_at_once(LEASES).await {
        outcome.unwrap();
    }
    assert_eq!((setup.nat_pmp.calls(), setup.upnp.calls()), before);
}

#[tokio::test(start_paused = true)]
async fn leases_that_wait_behind_deletes_do_not_ask_by_other_protocols() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let first = setup.install().await.unwrap();
    let before = setup.nat_pmp.calls();
    setup.pcp.on_remove(150 * MS, Ok(())).on_install(300 * MS, Ok(granted(Protocol::Pcp, 1)));
    let next = nth(1);
    let (removed, installed) = tokio::join!(setup.race.remove(&first), setup.race.install(&next, HOUR));
    removed.unwrap();
    installed.unwrap();
    assert_eq!(setup.nat_pmp.calls(), before);
}

#[tokio::test(start_paused = true)]
async fn while_the_decided_protocol_is_silent_one_lease_tries_the_others_before_the_rest_do() {
    const LEASES: u16 = 20;
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    let before = setup.nat_pmp.calls().probe;
    for _ in 0..LEASES {
        setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
        setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    }
    let watch = async {
        tokio::time::sleep(DECIDED_PATIENCE - MS).await;
        let first = setup.nat_pmp.calls().probe - before;
        tokio::time::sleep(2 * MS).await;
        (first, setup.nat_pmp.calls().probe - before)
    };
    let (outcomes, asked) = tokio::join!(setup.install_at_once(LEASES), watch);
    assert_eq!(asked, (1, usize::from(LEASES)));
    for (outcome, elapsed) in outcomes {
        assert!(outcome.is_err() && elapsed < Duration::from_secs(2), "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_in_the_queue_of_the_decided_protocol_hears_of_the_silence_that_another_met() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.pcp.on_install(10 * PCP_DEADLINE, Ok(granted(Protocol::Pcp, 1)));
    for (outcome, elapsed) in setup.install_at_once(2).await {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(elapsed, PCP_DEADLINE);
    }
    // What still comes of it is released.
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn one_lost_request_does_not_undo_the_decision_while_the_protocol_answers_other_leases() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    for number in 1..10 {
        setup.pcp.on_install(100 * MS * u32::from(number), Ok(granted(Protocol::Pcp, number)));
    }
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(granted(Protocol::NatPmp, 0)));
    setup.nat_pmp.on_renew(MS, Ok(granted(Protocol::NatPmp, 0)));
    let outcomes = setup.install_at_once(10).await;
    assert_eq!(outcomes[0].0.as_ref().unwrap().protocol, Protocol::NatPmp);
    assert!(outcomes[1..].iter().all(|(outcome, _)| outcome.as_ref().unwrap().protocol == Protocol::Pcp));
    setup.race.settle().await;
    setup.pcp.on_install(MS, Ok(granted(Protocol::Pcp, 10)));
    assert_eq!(setup.race.install(&nth(10), HOUR).await.unwrap().protocol, Protocol::Pcp);
    assert_eq!(setup.nat_pmp.calls().install, 1);
}
