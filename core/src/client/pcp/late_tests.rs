//! Requests that are answered late or not at all, and what becomes of the mapping that they may have made.

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::schedule::LATE_ANSWER_WINDOW;

/// Longer than anything that is bounded here may take: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(10);

fn is_delete(request: &[u8]) -> bool {
    request[1] == 1 && request[4..8] == [0; 4]
}

/// An install that nobody answers in time, with the request and where it came from.
async fn unanswered(gateway: &FakeGateway, mapper: &PcpMapper) -> (Vec<u8>, SocketAddr) {
    let request = udp_4000();
    let (outcome, heard) = tokio::join!(mapper.install(&request, HOUR), gateway.hear());
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    heard
}

/// The next delete. Repetitions of requests from before may come first.
async fn hear_delete(gateway: &FakeGateway) -> (Vec<u8>, SocketAddr) {
    loop {
        let (request, client) = gateway.hear().await;
        if is_delete(&request) {
            return (request, client);
        }
    }
}

/// The delete that the gateway is told when it has not answered one. Answers with where it came from.
async fn told_to_delete(gateway: &FakeGateway) -> SocketAddr {
    let (_, asked_from) = hear_delete(gateway).await;
    loop {
        let (_, from) = hear_delete(gateway).await;
        if from != asked_from {
            return from;
        }
    }
}

async fn heard_late(mapper: &PcpMapper) {
    timeout(PATIENCE, mapper.news()).await.expect("the late answer is news");
}

#[tokio::test]
async fn a_grant_that_comes_late_is_news_and_is_deleted_with_its_nonce_when_the_lease_ends() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    let news = mapper.news();
    gateway.say(&answer(&request, 0), client).await;
    timeout(PATIENCE, news).await.expect("the late answer is news");
    let play = async {
        let (delete, client) = hear_delete(&gateway).await;
        assert_eq!(delete[24..42], request[24..42], "nonce, transport, internal port");
        gateway.say(&answer(&delete, 0), client).await;
    };
    let lease = udp_4000();
    let (abandoned, ()) = tokio::join!(mapper.abandon(&lease), play);
    abandoned.unwrap();
    // Nothing is left to delete.
    tokio::select! {
        biased;
        abandoned = mapper.abandon(&lease) => abandoned.unwrap(),
        _ = gateway.hear() => panic!("deleted twice"),
    }
}

#[tokio::test]
async fn a_gateway_that_has_spoken_must_confirm_the_delete() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    gateway.say(&answer(&request, 0), client).await;
    heard_late(&mapper).await;
    assert_eq!(mapper.abandon(&udp_4000()).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_speaks_holds_up_the_end_of_a_lease_only_as_long_as_its_answer_may_come() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    for (age, wait) in [(Duration::ZERO, PCP_DEADLINE), (LATE_ANSWER_WINDOW, Duration::ZERO)] {
        mapper.install(&udp_4000(), HOUR).await.unwrap_err();
        tokio::time::sleep(age).await;
        let start = Instant::now();
        mapper.abandon(&udp_4000()).await.unwrap();
        let took = start.elapsed();
        assert!(wait <= took && took < wait + Duration::from_millis(10), "{took:?}");
        hear_delete(&gateway).await;
    }
}

#[tokio::test]
async fn a_gateway_that_first_speaks_while_the_delete_is_waited_for_must_confirm_it() {
    for confirms in [true, false] {
        let (gateway, port) = FakeGateway::silent().await;
        let mapper = PcpMapper::on(port);
        let (request, client) = unanswered(&gateway, &mapper).await;
        let play = async {
            hear_delete(&gateway).await;
            gateway.say(&answer(&request, 0), client).await;
            timeout(PATIENCE, mapper.news()).await.expect("the late answer is news");
            // The late grant is deleted in the background too.
            loop {
                let (delete, deleter) = hear_delete(&gateway).await;
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
    let mapper = PcpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    mapper.abandon(&udp_4000()).await.unwrap();
    let told_from = told_to_delete(&gateway).await;
    gateway.say(&answer(&request, 0), client).await;
    let (delete, deleter) = hear_delete(&gateway).await;
    assert_ne!(deleter, told_from);
    assert_eq!(delete[24..42], request[24..42]);
    let play = async { gateway.say(&answer(&delete, 0), deleter).await };
    timeout(PATIENCE, async { tokio::join!(mapper.settle(), play) }).await.expect("the delete ends");
}

#[tokio::test]
async fn a_lease_that_takes_the_port_again_ends_the_delete_of_the_late_grant() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    mapper.abandon(&udp_4000()).await.unwrap();
    told_to_delete(&gateway).await;
    gateway.say(&answer(&request, 0), client).await;
    hear_delete(&gateway).await;
    let lease = udp_4000();
    let play = async {
        loop {
            let (request, client) = gateway.hear().await;
            if !is_delete(&request) {
                return gateway.say(&answer(&request, 0), client).await;
            }
        }
    };
    let (installed, ()) = tokio::join!(mapper.install(&lease, HOUR), play);
    installed.unwrap();
    timeout(PATIENCE, mapper.settle()).await.expect("the delete was ended");
    mapper.abandon(&lease).await.expect("the lease knows of the mapping");
}

#[tokio::test]
async fn an_install_that_is_dropped_in_flight_leaves_a_doubt() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    let lease = udp_4000();
    let (request, _) = tokio::select! {
        _ = mapper.install(&lease, HOUR) => unreachable!("nobody answers"),
        heard = gateway.hear() => heard,
    };
    mapper.abandon(&lease).await.unwrap();
    assert_eq!(hear_delete(&gateway).await.0[24..42], request[24..42]);
}

/// Answers installs only when `silent` is false, and everything else always.
fn silent_to_installs(silent: &Arc<Mutex<bool>>) -> impl Fn(&[u8]) -> Vec<Vec<u8>> + use<> {
    let silent = Arc::clone(silent);
    move |request| if *silent.lock().unwrap() && !is_delete(request) { vec![] } else { vec![answer(request, 0)] }
}

#[tokio::test]
async fn a_later_grant_or_delete_of_the_port_clears_the_doubt() {
    let silent = Arc::new(Mutex::new(false));
    let (mut requests, port) = FakeGateway::answering(silent_to_installs(&silent)).await;
    let mapper = PcpMapper::on(port);
    let lease = udp_4000();
    let mapping = mapper.install(&lease, HOUR).await.unwrap();
    let mut deletes = || std::iter::from_fn(|| requests.try_recv().ok()).filter(|request| is_delete(request)).count();

    *silent.lock().unwrap() = true;
    mapper.renew(&mapping).await.unwrap_err();
    *silent.lock().unwrap() = false;
    mapper.renew(&mapping).await.unwrap();
    mapper.abandon(&lease).await.unwrap();
    assert_eq!(deletes(), 0, "the renewal was granted");

    *silent.lock().unwrap() = true;
    mapper.renew(&mapping).await.unwrap_err();
    mapper.remove(&mapping).await.unwrap();
    mapper.abandon(&lease).await.unwrap();
    assert_eq!(deletes(), 1, "the mapping was removed");

    mapper.install(&lease, HOUR).await.unwrap_err();
    mapper.abandon(&lease).await.unwrap();
    assert_eq!(deletes(), 1, "the install was not answered");
}

#[tokio::test]
async fn a_refusal_leaves_nothing_to_delete() {
    let (mut requests, port) = FakeGateway::answering(|request| vec![answer(request, NOT_AUTHORIZED)]).await;
    let mapper = PcpMapper::on(port);
    mapper.install(&udp_4000(), HOUR).await.unwrap_err();
    mapper.abandon(&udp_4000()).await.unwrap();
    requests.recv().await.unwrap();
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_grant_of_another_port_than_the_one_insisted_on_is_deleted_again_when_the_lease_ends_if_that_failed_at_first()
{
    let deletes = Mutex::new(0);
    let answers = move |request: &[u8]| {
        if !is_delete(request) {
            return vec![with(answer(request, 0), 42, &[0x0f, 0xa1])];
        }
        *deletes.lock().unwrap() += 1;
        vec![answer(request, if *deletes.lock().unwrap() == 1 { NOT_AUTHORIZED } else { 0 })]
    };
    let (mut requests, port) = FakeGateway::answering(answers).await;
    let mapper = PcpMapper::on(port);
    let lease = udp_4000().exact();
    assert!(mapper.install(&lease, HOUR).await.unwrap_err().mapping_lost());
    mapper.abandon(&lease).await.unwrap();
    let deletes = std::iter::from_fn(|| requests.try_recv().ok()).filter(|request| is_delete(request)).count();
    assert_eq!(deletes, 2);
}

#[tokio::test]
async fn a_gateway_that_takes_longer_than_the_deadline_is_mapped_at_the_second_attempt() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    gateway.say(&answer(&request, 0), client).await;
    heard_late(&mapper).await;
    let slow = async {
        let (request, client) = loop {
            let (request, from) = gateway.hear().await;
            if from != client {
                break (request, from);
            }
        };
        tokio::time::sleep(PCP_DEADLINE + Duration::from_millis(100)).await;
        gateway.say(&answer(&request, 0), client).await;
    };
    let lease = udp_4000();
    let (installed, ()) = tokio::join!(mapper.install(&lease, HOUR), slow);
    let mapping = installed.unwrap();
    assert_eq!(mapping.token, ProtocolToken::Pcp { nonce: request[24..36].try_into().unwrap() });
}

#[tokio::test]
async fn news_that_came_before_anybody_waited_for_it_is_not_lost_and_an_attempt_uses_it_up() {
    let (gateway, port) = FakeGateway::silent().await;
    let mapper = PcpMapper::on(port);
    let (request, client) = unanswered(&gateway, &mapper).await;
    gateway.say(&answer(&request, 0), client).await;
    heard_late(&mapper).await;
    heard_late(&mapper).await;
    let lease = udp_4000();
    tokio::select! {
        _ = mapper.install(&lease, HOUR) => unreachable!("nobody answers"),
        () = async { while gateway.hear().await.1 == client {} } => {}
    }
    assert!(timeout(Duration::ZERO, mapper.news()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_many_leases_at_a_mute_gateway_wait_side_by_side() {
    let (_gateway, port) = FakeGateway::silent().await;
    let mapper = Arc::new(PcpMapper::on(port));
    let ports = 4000..4200;
    let leases = ports.map(|port| (Arc::clone(&mapper), MapRequest::new(port, Transport::Udp)));
    let installs: JoinSet<_> =
        leases.clone().map(|(mapper, lease)| async move { mapper.install(&lease, HOUR).await }).collect();
    assert!(installs.join_all().await.iter().all(Result::is_err));
    let start = Instant::now();
    let ends: JoinSet<_> = leases.map(|(mapper, lease)| async move { mapper.abandon(&lease).await }).collect();
    assert!(ends.join_all().await.iter().all(Result::is_ok));
    let took = start.elapsed();
    assert!(PCP_DEADLINE <= took && took < PCP_DEADLINE + Duration::from_millis(10), "{took:?}");
}
