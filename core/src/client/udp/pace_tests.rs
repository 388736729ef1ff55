use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// Lets `rounds` full windows of requests be answered within `round_trip`.
fn rounds(window: &mut Window, rounds: u32, round_trip: Duration) {
    for _ in 0..rounds {
        let sent: Vec<_> = (0..window.size()).map(|_| window.send()).collect();
        for request in sent {
            window.answered(request, Some(round_trip), true);
        }
    }
}

#[test]
fn a_window_starts_small_and_grows_by_one_with_each_round_of_answers_up_to_its_bound() {
    let mut window = Window::new();
    assert_eq!(window.size(), START);
    rounds(&mut window, 1, MS);
    assert_eq!(window.size(), START + 1);
    rounds(&mut window, 3, MS);
    assert_eq!(window.size(), START + 4);
    rounds(&mut window, 100, MS);
    assert_eq!(window.size(), MAX);
}

#[test]
fn a_window_that_was_not_full_does_not_grow() {
    let mut window = Window::new();
    for _ in 0..100 {
        let request = window.send();
        window.answered(request, Some(MS), false);
    }
    assert_eq!(window.size(), START);
}

#[test]
fn the_losses_of_one_round_halve_the_window_once_and_never_below_its_start() {
    let mut window = Window::new();
    rounds(&mut window, 16, MS);
    assert_eq!(window.size(), 20);
    let round: Vec<_> = (0..5).map(|_| window.send()).collect();
    window.answered(round[0], Some(MS), false);
    for lost in &round[1..] {
        assert_eq!(window.unanswered(*lost, true), Unanswered::Lost);
    }
    assert_eq!(window.size(), 10);
    for _ in 0..10 {
        let (lost, answered) = (window.send(), window.send());
        window.answered(answered, Some(MS), false);
        window.unanswered(lost, true);
    }
    assert_eq!(window.size(), LOSSY);
}

#[test]
fn round_trips_that_rise_with_the_number_of_requests_shrink_the_window_to_one() {
    let mut window = Window::new();
    rounds(&mut window, 4, 50 * MS);
    let before = window.size();
    rounds(&mut window, 1, 400 * MS);
    assert!(window.size() < before, "{}", window.size());
    rounds(&mut window, 20, 400 * MS);
    assert_eq!(window.size(), MIN);
    // And it grows again with round trips that are as short as before.
    rounds(&mut window, 30, 50 * MS);
    assert!(window.size() > MIN, "{}", window.size());
}

#[test]
fn a_delay_that_causes_no_repetition_is_no_queue() {
    let mut window = Window::new();
    rounds(&mut window, 4, MS / 4);
    rounds(&mut window, 4, 90 * MS);
    assert_eq!(window.size(), START + 8);
}

#[test]
fn in_silence_each_round_may_be_twice_the_one_before_until_something_is_heard() {
    let mut window = Window::new();
    for size in [4, 8, 16, 32, 32] {
        assert_eq!(window.size(), size);
        let round: Vec<_> = (0..size).map(|_| window.send()).collect();
        for request in round {
            assert_eq!(window.unanswered(request, true), Unanswered::Silence);
        }
    }
    let request = window.send();
    window.answered(request, Some(MS), true);
    assert_eq!(window.size(), START);
}

#[test]
fn a_request_is_repeated_after_twice_the_round_trip_and_early_enough_for_an_answer() {
    let mut window = Window::new();
    assert_eq!((window.deadline(), window.repeat_after()), (PCP_DEADLINE, RETRANSMIT_INITIAL));
    rounds(&mut window, 1, MS);
    assert_eq!((window.deadline(), window.repeat_after()), (PCP_DEADLINE, RETRANSMIT_INITIAL));
    rounds(&mut window, 30, 200 * MS);
    assert!(window.repeat_after() > 350 * MS, "{:?}", window.repeat_after());
    rounds(&mut window, 30, 800 * MS);
    assert!(window.repeat_after() < window.deadline() * 3 / 4, "{:?}", window.repeat_after());
}

#[test]
fn a_gateway_whose_every_answer_comes_behind_a_repetition_is_taken_to_be_slow_in_the_end() {
    let mut window = Window::new();
    let mut answered = |times| {
        for _ in 0..times {
            let request = window.send();
            window.answered(request, None, false);
        }
        window.repeat_after()
    };
    assert_eq!(answered(1), RETRANSMIT_INITIAL, "one may have been lost");
    assert_eq!(answered(1), RETRANSMIT_INITIAL * 2);
    let request = window.send();
    window.answered(request, Some(MS), false);
    assert_eq!(window.repeat_after(), RETRANSMIT_INITIAL);
}

#[test]
fn a_late_answer_doubles_its_round_trip_to_the_deadline_until_the_gateway_is_quick_again() {
    let mut window = Window::new();
    window.answered_late(1500 * MS);
    assert_eq!(window.deadline(), 3000 * MS);
    window.answered_late(4900 * MS);
    assert_eq!(window.deadline(), UDP_DEADLINE_MAX);
    rounds(&mut window, 10, MS);
    assert_eq!(window.deadline(), PCP_DEADLINE);
}

/// Whether `turn` has come.
async fn has_come<'a>(turn: &mut (impl Future<Output = Result<Turn<'a>, AcquireError>> + Unpin)) -> Option<Turn<'a>> {
    let mut turn = pin!(turn);
    poll_fn(|context| match turn.as_mut().poll(context) {
        Poll::Ready(turn) => Poll::Ready(turn.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn turns_are_given_to_those_who_asked_first() {
    let lane = Lane::new();
    let mut under_way = Vec::new();
    for _ in 0..START {
        under_way.push(lane.turn().await.unwrap());
    }
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(lane.turn())).collect();
    for turn in &mut waiting {
        assert!(has_come(turn).await.is_none());
    }
    while !waiting.is_empty() {
        drop(under_way.pop());
        let mut come = Vec::new();
        for turn in &mut waiting {
            come.push(has_come(turn).await);
        }
        assert!(come[0].is_some() && come[1..].iter().all(Option::is_none), "{come:?}");
        under_way.extend(come.remove(0));
        drop(waiting.remove(0));
    }
}

#[tokio::test]
async fn a_window_that_shrinks_takes_its_turns_away_as_they_come_back() {
    let lane = Lane::new();
    let mut under_way = Vec::new();
    for _ in 0..START {
        under_way.push((lane.turn().await.unwrap(), lane.send()));
    }
    lane.answered(lane.send(), Some(MS));
    for (_, request) in &under_way {
        lane.answered(*request, Some(500 * MS));
    }
    assert_eq!(lane.size(), 2);
    under_way.truncate(2);
    assert_eq!(lane.free(), 0, "two are under way, and no more may be");
    under_way.truncate(1);
    assert_eq!(lane.free(), 1);
    under_way.clear();
    assert_eq!(lane.free(), 2);
}

#[tokio::test]
async fn a_window_that_grows_gives_out_more_turns_at_once() {
    let lane = Lane::new();
    let mut under_way = Vec::new();
    for _ in 0..START {
        under_way.push((lane.turn().await.unwrap(), lane.send()));
    }
    for (_, request) in &under_way {
        lane.answered(*request, Some(MS));
    }
    assert_eq!((lane.size(), lane.free()), (START as usize + 1, 1));
}
