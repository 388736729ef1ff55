use super::*;
use crate::event::EventKind;

fn event(lease: u64) -> Event {
    Event { lease: Some(lease), ..Event::new(EventKind::Renewed) }
}

fn log(events: std::ops::Range<u64>) -> Arc<EventLog> {
    let log = Arc::<EventLog>::default();
    events.for_each(|lease| log.push(event(lease)));
    log
}

async fn next(reader: &EventReader) -> (Option<u64>, u64) {
    let event = reader.pull().await.unwrap().take();
    (event.lease, event.dropped)
}

const FULL: u64 = EVENT_LOG_LENGTH as u64;

#[tokio::test]
async fn a_full_log_drops_the_oldest_and_tells_the_reader_how_many() {
    let log = log(0..FULL + 3);
    let reader = log.reader();
    assert_eq!(next(&reader).await, (Some(3), 3));
    assert_eq!(log.dropped(), 3);
    (0..FULL + 1).for_each(|lease| log.push(event(lease)));
    assert_eq!(next(&reader).await, (Some(1), FULL));
    assert_eq!(next(&reader).await, (Some(2), 0));
}

#[tokio::test]
async fn an_event_that_is_pulled_and_not_taken_comes_first_again_with_what_was_lost_before_it() {
    let log = log(0..1);
    let reader = log.reader();
    (1..FULL + 3).for_each(|lease| log.push(event(lease)));
    let first = reader.pull().await.unwrap();
    assert_eq!((first.lease, first.dropped), (Some(3), 3));
    log.close();
    drop(first);
    assert_eq!(next(&reader).await, (Some(3), 3));
    assert_eq!(next(&reader).await, (Some(4), 0));
}

#[tokio::test]
async fn of_two_events_under_way_the_one_that_comes_back_is_delivered_again_and_the_other_is_not() {
    let log = log(0..3);
    let reader = log.reader();
    let (first, second) = (reader.pull().await.unwrap(), reader.pull().await.unwrap());
    assert_eq!(second.take().lease, Some(1));
    drop(first);
    assert_eq!(next(&reader).await.0, Some(0));
    assert_eq!(next(&reader).await.0, Some(2));
}

#[tokio::test]
async fn events_that_come_back_do_not_make_the_log_grow() {
    let log = log(0..FULL);
    let reader = log.reader();
    for lease in 0..3 * FULL {
        let pulled = reader.pull().await.unwrap();
        log.push(event(lease));
        drop(pulled);
    }
    assert_eq!(log.lock().events.len(), EVENT_LOG_LENGTH);
}

#[tokio::test]
async fn every_reader_gets_every_event_from_its_start_on() {
    let log = log(0..0);
    let (one, other) = (log.reader(), log.reader());
    (0..3).for_each(|lease| log.push(event(lease)));
    for lease in 0..3 {
        assert_eq!(next(&one).await.0, Some(lease));
    }
    for lease in 0..3 {
        assert_eq!(next(&other).await.0, Some(lease));
    }
}

#[tokio::test]
async fn a_new_reader_begins_with_what_nobody_has_read() {
    let log = log(0..3);
    let first = log.reader();
    assert_eq!(next(&first).await.0, Some(0));
    drop(first);
    assert_eq!(next(&log.reader()).await.0, Some(1));
    assert_eq!(next(&log.reader()).await.0, Some(2));
}

#[tokio::test]
async fn what_all_readers_have_read_is_forgotten() {
    let log = log(0..10);
    let (one, other) = (log.reader(), log.reader());
    for _ in 0..10 {
        next(&one).await;
    }
    assert_eq!(log.lock().events.len(), 10, "the other has read none of them");
    drop(other);
    assert_eq!(log.lock().events.len(), 0);
}

#[tokio::test]
async fn a_closed_log_gives_what_it_has_and_then_ends() {
    let log = log(0..1);
    log.close();
    let reader = log.reader();
    assert_eq!(next(&reader).await.0, Some(0));
    assert!(reader.pull().await.is_none());
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_the_next_event_and_by_one_that_comes_back() {
    let log = log(0..0);
    let reader = log.reader();
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { next(&reader).await.0 }
    });
    tokio::task::yield_now().await;
    log.push(event(7));
    assert_eq!(waiting.await.unwrap(), Some(7));
    log.push(event(8));
    let pulled = reader.pull().await.unwrap();
    let waiting = tokio::spawn(async move { next(&reader).await.0 });
    tokio::task::yield_now().await;
    drop(pulled);
    assert_eq!(waiting.await.unwrap(), Some(8));
}

#[test]
fn in_the_child_of_a_fork_a_log_is_closed_whoever_holds_its_lock() {
    let log = Arc::new(EventLog { process: 0, ..EventLog::default() });
    let _held_for_ever = log.lock();
    let reader = log.reader();
    assert!(crate::wait(reader.pull()).is_none());
}
