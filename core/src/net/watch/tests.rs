use std::future::pending;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::*;

/// How long `quiet` takes while a change comes after each of these waits.
async fn quiet_time(waits: impl IntoIterator<Item = u64>) -> Duration {
    let (ours, kernel) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
    let mut watcher = Watcher(platform::Watcher::listen(ours, |_| true).unwrap());
    let start = Instant::now();
    let changes = async {
        for wait in waits {
            sleep(Duration::from_millis(wait)).await;
            kernel.send(b"change").unwrap();
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = watcher.quiet() => start.elapsed(),
        () = changes => unreachable!("it is pending"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_change_is_looked_at_after_the_quiet_time() {
    assert_eq!(quiet_time([]).await, NETWORK_QUIET);
}

#[tokio::test(start_paused = true)]
async fn the_quiet_time_begins_again_with_each_change() {
    let took = quiet_time([100, 200, 100]).await;
    assert_eq!(took, Duration::from_millis(400) + NETWORK_STORM_PACE + NETWORK_QUIET);
}

#[tokio::test(start_paused = true)]
async fn changes_without_end_hold_nobody_up_for_ever() {
    let took = quiet_time(std::iter::repeat(10)).await;
    assert!(took >= NETWORK_STORM && took <= NETWORK_STORM + NETWORK_STORM_PACE, "{took:?}");
}

#[tokio::test]
async fn a_task_on_any_runtime_may_wait() {
    let mut watcher = Watcher::new(AddressFamily::Ipv4).unwrap();
    let task = tokio::spawn(async move {
        watcher.quiet().await;
    });
    task.await.unwrap();
}
