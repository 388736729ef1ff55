use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::oneshot;

use super::*;
use crate::error::ErrorKind;

fn look<T: Send + 'static>(waits: &Waits<T>) -> Option<Completion<T>> {
    waits.next(Duration::ZERO).map_err(|error| assert_eq!(error.kind(), ErrorKind::Timeout)).ok()
}

#[test]
fn a_wait_that_is_over_is_given_out_once_with_its_token() {
    let waits = Waits::new();
    waits.begin(7, async { "done" }).unwrap();
    let over = waits.next(None).unwrap();
    assert!(over.token == 7 && matches!(over.end, WaitEnd::Done("done")));
    assert!(look(&waits).is_none());
}

#[test]
fn a_token_can_be_used_again_only_when_its_wait_is_over() {
    let waits = Waits::new();
    waits.begin(1, std::future::pending::<()>()).unwrap();
    assert_eq!(waits.begin(1, async {}).unwrap_err().kind(), ErrorKind::Invalid);
    waits.cancel(1).unwrap();
    assert!(matches!(waits.next(None).unwrap().end, WaitEnd::Cancelled));
    waits.begin(1, async {}).unwrap();
    assert!(matches!(waits.next(None).unwrap().end, WaitEnd::Done(())));
}

#[test]
fn cancelling_a_wait_drops_what_it_waits_for_and_spares_the_others() {
    let waits = Waits::new();
    let (kept, hears) = oneshot::channel::<()>();
    waits.begin(1, async { drop(hears.await) }).unwrap();
    waits.begin(2, std::future::pending()).unwrap();
    assert!(look(&waits).is_none());
    waits.cancel(1).unwrap();
    assert!(kept.is_closed());
    assert_eq!(waits.next(None).unwrap().token, 1);
    assert!(look(&waits).is_none());
}

#[test]
fn a_panic_ends_its_wait_alone() {
    let waits = Waits::new();
    waits.begin(1, async { panic!("expected by the test") }).unwrap();
    waits.begin(2, async {}).unwrap();
    let ends: Vec<_> = (0..2).map(|_| waits.next(None).unwrap()).collect();
    assert!(matches!(ends[0], Completion { token: 1, end: WaitEnd::Panicked }));
    assert!(matches!(ends[1], Completion { token: 2, end: WaitEnd::Done(()) }));
}

#[test]
fn a_stop_cancels_all_and_wakes_every_thread_that_waits() {
    let waits = Arc::new(Waits::<()>::new());
    let threads: Vec<_> = (0..3)
        .map(|token| {
            waits.begin(token, std::future::pending()).unwrap();
            let waits = Arc::clone(&waits);
            std::thread::spawn(move || std::iter::from_fn(|| waits.next(None).ok()).count())
        })
        .collect();
    waits.stop().unwrap();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 3);
    assert_eq!(waits.begin(9, async {}).unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(waits.next(None).unwrap_err().kind(), ErrorKind::Stopped);
}

#[test]
fn the_host_is_told_once_until_it_has_found_nothing() {
    let told = Arc::new(AtomicUsize::new(0));
    let waits = Waits::with_notify({
        let told = Arc::clone(&told);
        move || {
            told.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (send, receive) = oneshot::channel::<()>();
    waits.begin(1, async { drop(receive.await) }).unwrap();
    waits.begin(2, async {}).unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(look(&waits).unwrap().token, 2);
    assert!(look(&waits).is_none());
    send.send(()).unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 2);
    assert_eq!(look(&waits).unwrap().token, 1);
}

/// Wakes its own wait at each poll, as a future that gives way to others does, until `end`.
fn busy(end: Instant) -> impl Future<Output = ()> {
    std::future::poll_fn(move |context| {
        context.waker().wake_by_ref();
        if Instant::now() < end { Poll::Pending } else { Poll::Ready(()) }
    })
}

#[test]
fn a_wait_that_wakes_itself_holds_up_neither_the_limit_nor_the_others() {
    let told = Arc::new(AtomicUsize::new(0));
    let waits = Waits::with_notify({
        let told = Arc::clone(&told);
        move || _ = told.fetch_add(1, Ordering::SeqCst)
    });
    waits.begin(1, busy(Instant::now() + Duration::from_secs(30))).unwrap();
    assert!(look(&waits).is_none());
    assert_eq!(told.load(Ordering::SeqCst), 2, "another look is worth it");
    assert_eq!(waits.next(Duration::from_millis(1)).unwrap_err().kind(), ErrorKind::Timeout);
    waits.begin(2, async {}).unwrap();
    assert_eq!(waits.next(None).unwrap().token, 2);
}

#[test]
fn a_wait_that_is_woken_again_and_again_is_noted_once() {
    let waits = Waits::new();
    let (tell, hears) = std::sync::mpsc::channel();
    waits
        .begin(
            1,
            std::future::poll_fn(move |context| {
                tell.send(context.waker().clone()).unwrap();
                Poll::<()>::Pending
            }),
        )
        .unwrap();
    assert!(look(&waits).is_none());
    let waker = hears.recv().unwrap();
    (0..1000).for_each(|_| waker.wake_by_ref());
    assert_eq!(waits.shared.lock().woken.len(), 1);
}

#[test]
fn a_panic_while_a_wait_is_dropped_does_not_take_its_result_along() {
    struct Mine;
    impl Drop for Mine {
        fn drop(&mut self) {
            panic!("expected by the test");
        }
    }
    let waits = Waits::new();
    let mine = Mine;
    waits.begin(1, std::future::poll_fn(move |_| Poll::Ready(size_of_val(&mine)))).unwrap();
    assert!(matches!(waits.next(None).unwrap().end, WaitEnd::Done(0)));
    let mine = Mine;
    waits
        .begin(
            2,
            std::future::poll_fn(move |_| {
                let _ = &mine;
                Poll::Pending
            }),
        )
        .unwrap();
    waits.cancel(2).unwrap();
    assert!(matches!(waits.next(None).unwrap().end, WaitEnd::Cancelled));
}

/// What the model of [`waits_keep_to_a_simple_model`] tells a future.
#[derive(Default)]
struct Script {
    done: bool,
    wakers: Vec<Waker>,
}

#[test]
fn waits_keep_to_a_simple_model_in_a_hundred_thousand_random_steps() {
    let told = Arc::new(AtomicUsize::new(0));
    let waits = Waits::with_notify({
        let told = Arc::clone(&told);
        move || _ = told.fetch_add(1, Ordering::SeqCst)
    });
    let mut random = StdRng::seed_from_u64(11);
    let mut live: HashMap<u64, (Arc<Mutex<Script>>, bool)> = HashMap::new();
    let mut heard = 0;
    for _ in 0..100_000 {
        let token = random.random_range(0..8);
        match random.random_range(0..5) {
            0 => {
                let script = Arc::<Mutex<Script>>::default();
                let played = Arc::clone(&script);
                let begun = waits.begin(
                    token,
                    std::future::poll_fn(move |context| {
                        let mut script = played.lock().unwrap();
                        script.wakers.push(context.waker().clone());
                        if script.done { Poll::Ready(token) } else { Poll::Pending }
                    }),
                );
                assert_eq!(begun.is_err(), live.contains_key(&token));
                live.entry(token).or_insert((script, false));
            }
            1 => {
                waits.cancel(token).unwrap();
                if let Some((_, cancelled)) = live.get_mut(&token) {
                    *cancelled = true;
                }
            }
            2 | 3 => {
                // Also wakes that mean nothing, and those of waits that are over.
                if let Some((script, _)) = live.get(&token) {
                    let mut script = script.lock().unwrap();
                    script.done |= random.random_bool(0.5);
                    let wakers = std::mem::take(&mut script.wakers);
                    drop(script);
                    wakers.iter().for_each(Waker::wake_by_ref);
                }
            }
            _ => match look(&waits) {
                Some(Completion { token, end }) => {
                    let (script, cancelled) = live.remove(&token).unwrap();
                    match end {
                        WaitEnd::Done(result) => assert!(result == token && script.lock().unwrap().done && !cancelled),
                        WaitEnd::Cancelled => assert!(cancelled),
                        WaitEnd::Panicked => unreachable!(),
                    }
                }
                None => {
                    assert!(live.values().all(|(script, cancelled)| !cancelled && !script.lock().unwrap().done));
                    heard = told.load(Ordering::SeqCst);
                }
            },
        }
        let over = live.values().any(|(script, cancelled)| *cancelled || script.lock().unwrap().done);
        assert!(!over || told.load(Ordering::SeqCst) == heard + 1, "the host is told, and once");
        assert!(waits.shared.lock().woken.len() <= live.len());
    }
}
