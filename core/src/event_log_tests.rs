use std::pin::pin;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::engine::wait_for;
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

#[tokio::test]
async fn an_event_that_came_back_to_a_reader_that_is_gone_is_unread_for_the_next() {
    let log = log(0..3);
    let reader = log.reader();
    let first = reader.pull().await.unwrap();
    assert_eq!(next(&reader).await.0, Some(1));
    drop((first, reader));
    let reader = log.reader();
    assert_eq!(next(&reader).await.0, Some(0));
    assert_eq!(next(&reader).await.0, Some(2));
    assert_eq!(log.lock().events.len(), 0);
}

fn pull_now(reader: &EventReader) -> Option<Option<PulledEvent>> {
    wait_for(pin!(reader.pull()), Duration::ZERO)
}

/// One reader of the model below.
struct Model {
    reader: EventReader,
    /// The events that it has not taken, with those that it lost.
    due: BTreeSet<u64>,
    pulled: Vec<PulledEvent>,
    /// How many it was told that it lost.
    lost: usize,
}

impl Model {
    fn pull(&mut self, end: u64) -> bool {
        let under_way: BTreeSet<_> = self.pulled.iter().filter_map(|pulled| pulled.lease).collect();
        let Some(pulled) = pull_now(&self.reader).flatten() else {
            // The log keeps the last 1024 events at least.
            let kept = self.due.split_off(&end.saturating_sub(FULL));
            assert!(kept.is_subset(&under_way), "an event is due and was not found");
            self.due.extend(kept);
            return false;
        };
        let number = pulled.lease.unwrap();
        assert!(self.due.contains(&number) && !under_way.contains(&number), "{number} was given out twice");
        self.pulled.push(pulled);
        true
    }
}

#[test]
fn every_reader_gets_every_event_once_or_hears_of_its_loss_in_a_hundred_thousand_random_steps() {
    let log = log(0..0);
    let mut random = StdRng::seed_from_u64(11);
    let mut readers: Vec<Model> = Vec::new();
    let mut unread = BTreeSet::new();
    let mut end = 0u64;
    for step in 0..100_000 {
        let count = readers.len();
        let chosen = random.random_range(0..count.max(1));
        match (random.random_range(0..100), readers.get_mut(chosen)) {
            (0, _) if count < 4 => {
                let reader = log.reader();
                let due: BTreeSet<_> = {
                    let state = log.lock();
                    state.passed_over.iter().copied().chain(state.unread..state.end()).collect()
                };
                assert!(due.is_subset(&unread) && unread.range(end.saturating_sub(FULL)..).all(|n| due.contains(n)));
                readers.push(Model { reader, due, pulled: Vec::new(), lost: 0 });
            }
            (1, Some(_)) => drop(readers.swap_remove(chosen)),
            (2..30, _) => {
                let many = if random.random_bool(0.01) { FULL + 10 } else { 1 };
                for number in end..end + many {
                    log.push(event(number));
                    unread.insert(number);
                    readers.iter_mut().for_each(|model| model.due.extend([number]));
                }
                end += many;
            }
            (30..60, Some(model)) => _ = model.pull(end),
            (60.., Some(model)) if !model.pulled.is_empty() => {
                let pulled = model.pulled.swap_remove(random.random_range(0..model.pulled.len()));
                if random.random_bool(0.7) {
                    let event = pulled.take();
                    let number = event.lease.unwrap();
                    model.lost += event.dropped as usize;
                    assert!(model.due.remove(&number));
                    unread.remove(&number);
                }
            }
            _ => {}
        }
        if step % 1000 == 0 {
            log.push(event(end));
            unread.insert(end);
            end += 1;
            for model in &mut readers {
                model.due.insert(end - 1);
                model.pulled.clear();
                while model.pull(end) {
                    let event = model.pulled.pop().unwrap().take();
                    model.lost += event.dropped as usize;
                    let number = event.lease.unwrap();
                    assert!(model.due.remove(&number));
                    unread.remove(&number);
                }
                assert_eq!(model.lost, model.due.len(), "each loss is told once");
            }
        }
        assert!(log.lock().events.len() <= EVENT_LOG_LENGTH);
    }
}
