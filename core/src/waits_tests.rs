use std::sync::atomic::{AtomicUsize, Ordering};

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
