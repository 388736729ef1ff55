//! Requests that are answered late or not at all, and what becomes of the mapping that they may have made.

use tokio::time::{Instant, timeout};

use super::*;
use crate::schedule::{LATE_ANSWER_WINDOW, MAX_TTL, PCP_DEADLINE};

/// Longer than anything that is bounded here may take: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(10);
const DELETE: [u8; 12] = [0, 1, 0, 0, 0x0f, 0xa0, 0, 0, 0, 0, 0, 0];

/// The next map request or delete.
async fn hear_map(gateway: &FakeGateway, delete: bool) -> (Vec<u8>, SocketAddr) {
    loop {
        let (request, client) = gateway.hear().await;
        if request[1] != 0 && (request == DELETE) == delete {
            return (request, client);
        }
    }
}

/// An install that nobody answers in time, with the map request and where it came from.
async fn unanswered(gateway: &FakeGateway, mapper: &NatPmpMapper) -> (Vec<u8>, SocketAddr) {
    let request = udp_4000();
    let (outcome, heard) = tokio::join!(mapper.install(&request, HOUR), hear_map(gateway, false));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    heard
}

/// The delete that the gateway is told when it has not answered one. Answers with where it came from.
async fn told_to_delete(gateway: &FakeGateway) -> SocketAddr {
    let (_, asked_from) = hear_map(gateway, true).await;
    loop {
        let (_, from) = hear_map(gateway, true).await;
        if from != asked_from {
            return from;
        }
    }
}

#[tokio::test]
async fn a_grant_that_comes_late_is_news_and_is_deleted_when_the_lease_ends() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = NatPmpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    gateway.say(&answer(&request, 0), client).await;
    timeout(PATIENCE, mapper.news()).await.expect("the late answer is news");
    let play = async {
        let (delete, client) = hear_map(&gateway, true).await;
        gateway.say(&answer(&delete, 0), client).await;
    };
    let lease = udp_4000();
    let (abandoned, ()) = tokio::join!(mapper.abandon(&lease), play);
    abandoned.unwrap();
    mapper.abandon(&lease).await.expect("nothing is left to delete");
}

#[tokio::test]
async fn a_gateway_that_has_spoken_must_confirm_the_delete() {
    let silent_to_maps = |request: &[u8]| if request[1] == 0 { vec![answer(request, 0)] } else { vec![] };
    let (_requests, port) = FakeGateway::answering(silent_to_maps).await;
    let mapper = NatPmpMapper::on(port);
    assert_eq!(mapper.install(&udp_4000(), HOUR).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(mapper.abandon(&udp_4000()).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_speaks_holds_up_the_end_of_a_lease_only_as_long_as_its_answer_may_come() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = NatPmpMapper::on(port);
    for (age, wait) in [(Duration::ZERO, PCP_DEADLINE), (LATE_ANSWER_WINDOW, Duration::ZERO)] {
        mapper.install(&udp_4000(), HOUR).await.unwrap_err();
        tokio::time::sleep(age).await;
        let start = Instant::now();
        mapper.abandon(&udp_4000()).await.unwrap();
        let took = start.elapsed();
        assert!(wait <= took && took < wait + Duration::from_millis(10), "{took:?}");
        hear_map(&gateway, true).await;
    }
}

#[tokio::test]
async fn a_gateway_that_first_speaks_while_the_delete_is_waited_for_must_confirm_it() {
    for confirms in [true, false] {
        let (gateway, port) = FakeGateway::silent().await;
        let mapper = NatPmpMapper::on(port);
        let (request, client) = unanswered(&gateway, &mapper).await;
        let play = async {
            hear_map(&gateway, true).await;
            gateway.say(&answer(&request, 0), client).await;
            timeout(PATIENCE, mapper.news()).await.expect("the late answer is news");
            // The late grant is deleted in the background too.
            loop {
                let (delete, deleter) = hear_map(&gateway, true).await;
                if confirms {
                    gateway.say(&answer(&delete, 0), deleter).await;
                }
            }
        };
        let lease = udp_4000();
        let abandoned = tokio::select! {
            abandoned = mapper.abandon(&lease) => abandoned,
            () = play => unreachable!("it goes on"),
        };
        assert_eq!(abandoned.is_ok(), confirms, "{abandoned:?}");
    }
}

#[tokio::test]
async fn a_grant_that_comes_when_the_lease_is_over_is_deleted_behind_it() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = NatPmpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    mapper.abandon(&udp_4000()).await.unwrap();
    let told_from = told_to_delete(&gateway).await;
    gateway.say(&answer(&request, 0), client).await;
    let (delete, deleter) = hear_map(&gateway, true).await;
    assert_ne!(deleter, told_from);
    let play = async { gateway.say(&answer(&delete, 0), deleter).await };
    timeout(PATIENCE, async { tokio::join!(mapper.settle(), play) }).await.expect("the delete ends");
}

#[tokio::test]
async fn an_install_that_is_dropped_in_flight_leaves_a_doubt() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = NatPmpMapper::on(port);
    let lease = udp_4000();
    tokio::select! {
        _ = mapper.install(&lease, HOUR) => unreachable!("nobody answers"),
        _ = hear_map(&gateway, false) => {}
    }
    mapper.abandon(&lease).await.unwrap();
    hear_map(&gateway, true).await;
}

#[tokio::test]
async fn a_grant_of_another_port_than_the_one_insisted_on_is_deleted_again_when_the_lease_ends_if_that_failed_at_first()
{
    let deletes = Mutex::new(0);
    let answers = move |request: &[u8]| {
        if request != DELETE {
            return vec![if request[1] == 0 {
                answer(request, 0)
            } else {
                with(answer(request, 0), 10, &[0x0f, 0xa1])
            }];
        }
        *deletes.lock().unwrap() += 1;
        vec![answer(request, if *deletes.lock().unwrap() == 1 { NOT_AUTHORIZED } else { 0 })]
    };
    let (mut requests, port) = FakeGateway::answering(answers).await;
    let mapper = NatPmpMapper::on(port);
    let lease = udp_4000().exact();
    assert!(mapper.install(&lease, HOUR).await.unwrap_err().mapping_lost());
    mapper.abandon(&lease).await.unwrap();
    let deletes = std::iter::from_fn(|| requests.try_recv().ok()).filter(|request| *request == DELETE).count();
    assert_eq!(deletes, 2);
}

#[tokio::test]
async fn a_probe_that_is_answered_late_is_news_and_the_next_one_is_waited_for_longer() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = NatPmpMapper::on(port);
    let (outcome, (request, first)) = tokio::join!(mapper.probe(), gateway.hear());
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    gateway.say(&answer(&request, 0), first).await;
    timeout(PATIENCE, mapper.news()).await.expect("the late answer is news");
    let slow = async {
        let (request, client) = loop {
            let (request, client) = gateway.hear().await;
            if client != first {
                break (request, client);
            }
        };
        tokio::time::sleep(PCP_DEADLINE + Duration::from_millis(100)).await;
        gateway.say(&answer(&request, 0), client).await;
    };
    let (outcome, ()) = tokio::join!(mapper.probe(), slow);
    outcome.unwrap();
}

#[tokio::test]
async fn a_lifetime_of_years_counts_as_a_day_or_as_what_was_asked_for() {
    let years = mapping(|request| with(answer(request, 0), 12, &[0xff; 4]));
    let (_requests, port) = FakeGateway::answering(years).await;
    let mapper = NatPmpMapper::on(port);
    assert_eq!(mapper.install(&udp_4000(), HOUR).await.unwrap().lifetime, Some(MAX_TTL));
    assert_eq!(mapper.install(&udp_4000(), MAX_TTL * 2).await.unwrap().lifetime, Some(MAX_TTL * 2));
}
