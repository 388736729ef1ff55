use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;

const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

/// Takes a turn and ends it as told after a second; gives back whether there was a turn.
async fn call(turns: Turns, patience: Patience, answered: bool) -> bool {
    let Some(turn) = turns.take(ROUTER, patience).await else { return false };
    tokio::time::sleep(Duration::from_secs(1)).await;
    if answered {
        turn.answered()
    } else {
        turn.met_silence()
    }
    true
}

/// Calls that queue up in this order.
async fn queue(calls: &[(Patience, bool)]) -> Vec<bool> {
    let turns = Turns::default();
    let mut tasks = JoinSet::new();
    for (position, (patience, answered)) in calls.iter().copied().enumerate() {
        let turns = turns.clone();
        tasks.spawn(async move { (position, call(turns, patience, answered).await) });
    }
    let mut ends = tasks.join_all().await;
    ends.sort_unstable();
    ends.into_iter().map(|(_, end)| end).collect()
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_any_length_is_waited_for_while_the_device_answers() {
    let started = tokio::time::Instant::now();
    assert_eq!(queue(&[(Patience::Retried, true); 500]).await, [true; 500]);
    assert_eq!(started.elapsed().as_secs(), 500);
}

#[tokio::test(start_paused = true)]
async fn calls_behind_one_that_met_silence_fail_with_it() {
    let started = tokio::time::Instant::now();
    assert_eq!(queue(&[(Patience::Retried, false); 100]).await[..3], [true, false, false]);
    assert_eq!(started.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_lost_answer_among_others_fails_nobody_else() {
    let calls = [true, false, true, false, false, true].map(|answered| (Patience::Retried, answered));
    assert_eq!(queue(&calls).await, [true; 6]);
    let calls = [true, false, false, false, true, true].map(|answered| (Patience::Retried, answered));
    assert_eq!(queue(&calls).await, [true, true, true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_tried_again_bears_some_silence() {
    assert_eq!(queue(&[(Patience::Last, false); 6]).await, [true, true, true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn silence_to_what_is_only_good_to_have_fails_its_like_and_nothing_else() {
    let (optional, needed) = ((Patience::Optional, false), (Patience::Retried, true));
    let calls = [optional, optional, needed, optional, needed];
    assert_eq!(queue(&calls).await, [true, false, true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_silence_tries_for_itself() {
    let turns = Turns::default();
    assert!(call(turns.clone(), Patience::Retried, false).await);
    assert!(call(turns, Patience::Retried, true).await);
}

#[test]
fn a_device_has_one_queue_while_somebody_waits_in_it_and_none_after_that() {
    let turns = Turns::default();
    let first = turns.of(ROUTER);
    assert!(Arc::ptr_eq(&first, &turns.of(ROUTER)));
    drop(first);
    let _other = turns.of([10, 0, 0, 2].into());
    assert_eq!(turns.queues.lock().unwrap().len(), 1);
}
