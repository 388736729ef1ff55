use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_single_change_is_looked_at_after_the_quiet_time() {
    let start = Instant::now();
    quiet(std::future::pending).await;
    assert_eq!(start.elapsed(), NETWORK_QUIET);
}

#[tokio::test(start_paused = true)]
async fn the_quiet_time_begins_again_with_each_change() {
    let start = Instant::now();
    let mut changes = [100, 200, 100].into_iter();
    quiet(async || match changes.next() {
        Some(wait) => sleep(Duration::from_millis(wait)).await,
        None => std::future::pending().await,
    })
    .await;
    let paces = NETWORK_STORM_PACE * 3;
    assert_eq!(start.elapsed(), Duration::from_millis(400) + paces + NETWORK_QUIET);
}

#[tokio::test(start_paused = true)]
async fn changes_without_end_hold_nobody_up_for_ever_and_wake_seldom() {
    let start = Instant::now();
    let mut wakes = 0;
    quiet(async || {
        wakes += 1;
        sleep(Duration::from_millis(1)).await;
    })
    .await;
    assert!(start.elapsed() <= NETWORK_STORM + NETWORK_STORM_PACE, "{:?}", start.elapsed());
    assert!(wakes <= 100, "{wakes}");
}
