//! What a lease does when the world around it changes, and when it is repaired.

use tokio::task::JoinHandle;

use super::tests::{Bench, HOME, HOUR, MOVED, REQUEST, SOON, assert_about, granted, silence};
use super::*;
use crate::client::mock::{Calls, MockPortMapperClient};
use crate::error::ErrorKind;
use crate::event::EventKind;
use crate::schedule::{RENEWAL_RETRY_MIN, REPAIR_PACE};
use crate::snapshot::LeaseState;
use crate::world::World;

/// A task in a world.
struct Scene {
    bench: Bench,
    world: World,
    repairs: Repairs,
    task: JoinHandle<()>,
}

impl Scene {
    fn of(bench: Bench) -> Self {
        let world = World::default();
        let (signals, repairs) = Signals::new(world.watch());
        let task = bench.run_heeding(signals);
        Self { bench, world, repairs, task }
    }

    /// A lease that is mapped for `lifetime`.
    async fn mapped(lifetime: Duration) -> Self {
        let scene = Self::of(Bench::installing(lifetime));
        scene.bench.expect(EventKind::Installed).await;
        // What follows the install at once is over.
        tokio::task::yield_now().await;
        scene
    }

    fn repair(&self) -> JoinHandle<Result<(), PortMappingError>> {
        let repairs = self.repairs.clone();
        tokio::spawn(async move { repairs.ask().await })
    }
}

#[tokio::test(start_paused = true)]
async fn a_mapping_whose_lifetime_ran_out_in_sleep_is_not_shown_for_an_instant_and_is_made_again_at_the_wake_up() {
    let scene = Scene::mapped(HOUR).await;
    let (bench, clock) = (&scene.bench, &scene.bench.clock);
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    clock.sleep_through(HOUR * 2);
    let snapshot = bench.sink.snapshot();
    assert_eq!((snapshot.active, snapshot.external(), snapshot.state), (false, None, LeaseState::Revoked));
    scene.world.unsure();
    bench.expect(EventKind::Revoked).await;
    let snapshot = bench.expect(EventKind::Installed).await;
    assert_eq!(snapshot.expires_in, Some(HOUR));
    assert_about(bench.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_outlives_the_sleep_is_renewed_at_the_wake_up_and_silence_then_is_tried_again_within_seconds() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    bench.client.on_renew(SOON, Err(silence())).on_renew(SOON, Err(silence())).on_renew(SOON, granted(HOME, HOUR));
    bench.clock.sleep_through(HOUR / 10);
    assert_eq!(bench.sink.snapshot().expires_in, Some(HOUR / 10 * 9));
    scene.world.unsure();
    bench.expect(EventKind::Failed).await;
    assert_about(bench.elapsed(), crate::schedule::QUICK_RETRY_DELAY);
    let snapshot = bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), crate::schedule::QUICK_RETRY_DELAY + RENEWAL_RETRY_MIN);
    assert_eq!((snapshot.expires_in, snapshot.failures), (Some(HOUR), 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_sign_a_lease_that_slept_ends_its_wait_by_the_clock_that_ran() {
    let scene = Scene::mapped(HOUR).await;
    scene.bench.client.on_renew(SOON, granted(HOME, HOUR));
    sleep(HOUR / 4).await;
    scene.bench.clock.sleep_through(HOUR / 8);
    scene.bench.expect(EventKind::Renewed).await;
    // It was due at half the lifetime; its timer stood still in the sleep.
    assert_about(scene.bench.elapsed(), HOUR / 2);
    assert_eq!(scene.bench.sink.snapshot().expires_in, Some(HOUR));
}

#[tokio::test(start_paused = true)]
async fn many_signs_at_once_are_one_renewal() {
    let scene = Scene::mapped(HOUR).await;
    scene.bench.client.on_renew(SOON, granted(HOME, HOUR));
    (0..10).for_each(|_| scene.world.unsure());
    scene.bench.expect(EventKind::Renewed).await;
    sleep(HOUR / 4).await;
    assert_eq!(scene.bench.calls().renew, 1);
}

#[tokio::test(start_paused = true)]
async fn a_sign_ends_the_backoff() {
    let scene = Scene::of(Bench::new());
    let bench = &scene.bench;
    for _ in 0..6 {
        bench.client.on_probe(SOON, Err(silence()));
    }
    for _ in 0..6 {
        bench.expect(EventKind::Failed).await;
    }
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    let before = bench.elapsed();
    scene.world.unsure();
    bench.expect(EventKind::Installed).await;
    assert_eq!(bench.elapsed(), before);
}

#[tokio::test(start_paused = true)]
async fn in_another_network_the_mapping_is_lost_and_made_there_at_once_and_the_client_is_not_told_to_delete_it() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    let a_moment = Duration::from_millis(100);
    bench.client.leave().on_probe(SOON, Ok(())).on_install(a_moment, granted(MOVED, HOUR));
    scene.world.moved();
    let snapshot = bench.expect(EventKind::Revoked).await;
    assert!(!snapshot.active && snapshot.last_error.unwrap().message.contains("another network"));
    assert_eq!(bench.expect(EventKind::Installed).await.external(), Some(MOVED.into()));
    assert_eq!(bench.calls().remove, 0);
    assert_about(bench.elapsed(), a_moment);
}

#[tokio::test(start_paused = true)]
async fn a_move_that_the_mapping_has_made_already_changes_nothing() {
    let scene = Scene::mapped(HOUR).await;
    scene.world.moved();
    sleep(HOUR / 4).await;
    assert_eq!(scene.bench.calls(), Calls { probe: 1, install: 1, verify: 1, ..Calls::default() });
    assert!(scene.bench.sink.snapshot().active);
}

#[tokio::test(start_paused = true)]
async fn a_move_ends_what_is_under_way_in_the_old_network_and_the_backoff_of_it() {
    let long = Duration::from_secs(600);
    let scene = Scene::of(Bench::new());
    let bench = &scene.bench;
    // In mid-install.
    bench.client.on_probe(SOON, Ok(())).on_install(long, granted(HOME, HOUR));
    sleep(Duration::from_secs(1)).await;
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    scene.world.moved();
    bench.expect(EventKind::Installed).await;
    assert_about(bench.elapsed(), Duration::from_secs(1));
    // In mid-renewal.
    bench.client.on_renew(long, granted(HOME, HOUR));
    scene.world.unsure();
    sleep(Duration::from_secs(1)).await;
    bench.client.leave();
    bench.client.on_probe(SOON, Err(silence())).on_probe(SOON, Err(silence()));
    scene.world.moved();
    bench.expect(EventKind::Revoked).await;
    bench.expect(EventKind::Failed).await;
    assert_about(bench.elapsed(), Duration::from_secs(2));
    // In mid-backoff, which begins anew.
    bench.expect(EventKind::Failed).await;
    bench.client.on_probe(SOON, Err(silence())).on_probe(SOON, Ok(())).on_install(SOON, granted(MOVED, HOUR));
    let before = bench.elapsed();
    scene.world.moved();
    bench.expect(EventKind::Failed).await;
    assert_eq!(bench.elapsed(), before);
    bench.expect(EventKind::Installed).await;
    let first_wait = RetryPolicy::default();
    let RetryPolicy::Backoff { min, .. } = first_wait else { panic!("the default tries again") };
    assert!(bench.elapsed() - before < min * 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_a_renewal_that_a_move_has_made_pointless_still_lets_it_end_and_removes_what_it_brought() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    bench.client.on_renew(Duration::from_secs(1), granted(HOME, HOUR));
    scene.world.unsure();
    sleep(Duration::from_millis(100)).await;
    bench.shutdown.release();
    bench.client.leave();
    scene.world.moved();
    scene.task.await.unwrap();
    assert_eq!(bench.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn a_repair_deletes_the_mapping_and_makes_it_again_with_the_same_external_port() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    let repair = scene.repair();
    let snapshot = bench.expect(EventKind::Repaired).await;
    assert_eq!((snapshot.external(), snapshot.state), (Some(HOME.into()), LeaseState::Installed));
    repair.await.unwrap().unwrap();
    assert_eq!((bench.calls().remove, bench.calls().install), (1, 2));
    assert_eq!(bench.client.requests().last().unwrap().external_port, Some(HOME.1));
}

#[tokio::test(start_paused = true)]
async fn a_second_repair_within_10_s_is_refused_and_told_how_long_to_wait() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    scene.repair().await.unwrap().unwrap();
    sleep(REPAIR_PACE / 4).await;
    let refused = scene.repair().await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert_about(refused.retry_after().unwrap(), REPAIR_PACE / 4 * 3);
    assert!(refused.to_string().contains("7.5 s"), "{refused}");
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    sleep(refused.retry_after().unwrap()).await;
    scene.repair().await.unwrap().unwrap();
    assert_eq!(bench.calls().remove, 2);
}

#[tokio::test(start_paused = true)]
async fn a_repair_whose_delete_meets_silence_fails_and_the_mapping_is_kept_and_soon_renewed() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    bench.client.on_remove(SOON, Err(silence())).on_renew(SOON, granted(HOME, HOUR));
    let error = scene.repair().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(bench.expect(EventKind::Failed).await.active);
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_repair_whose_port_is_not_given_again_is_a_failure_and_the_lease_tries_on() {
    let scene = Scene::mapped(HOUR).await;
    let bench = &scene.bench;
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, Err(PortMappingError::refused("full")));
    bench.client.on_probe(SOON, Ok(())).on_install(Duration::from_millis(100), granted(HOME, HOUR));
    assert_eq!(scene.repair().await.unwrap().unwrap_err().kind(), ErrorKind::Refused);
    assert!(!bench.expect(EventKind::Failed).await.active);
    bench.expect(EventKind::Installed).await;
}

#[tokio::test(start_paused = true)]
async fn a_repair_of_a_lease_that_is_not_mapped_is_its_next_attempt_at_once() {
    let scene = Scene::of(Bench::new());
    let bench = &scene.bench;
    for _ in 0..4 {
        bench.client.on_probe(SOON, Err(silence()));
    }
    for _ in 0..4 {
        bench.expect(EventKind::Failed).await;
    }
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, Err(PortMappingError::refused("no")));
    assert_eq!(scene.repair().await.unwrap().unwrap_err().kind(), ErrorKind::Refused);
    bench.expect(EventKind::Failed).await;
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    let before = bench.elapsed();
    scene.repair().await.unwrap().unwrap();
    assert_eq!((bench.elapsed(), bench.calls().remove), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn a_repair_of_a_lease_that_is_over_or_ends_meanwhile_is_stopped() {
    let scene = Scene::mapped(HOUR).await;
    scene.bench.client.on_remove(Duration::from_secs(1), Ok(()));
    scene.bench.client.on_probe(Duration::from_secs(600), Ok(()));
    let repair = scene.repair();
    sleep(Duration::from_millis(100)).await;
    scene.bench.shutdown.release();
    assert_eq!(repair.await.unwrap().unwrap_err().kind(), ErrorKind::Stopped);
    scene.task.await.unwrap();
    assert_eq!(scene.repairs.ask().await.unwrap_err().kind(), ErrorKind::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_made_is_not_deleted_by_a_repair() {
    let bench = Bench::new();
    let token = crate::mapping::ProtocolToken::Upnp {
        control_url: "http://192.0.2.1/".into(),
        service_type: String::new(),
        udn: String::new(),
        adopted: true,
    };
    let mapping = MockPortMapperClient::mapping(REQUEST, HOME, HOUR).token(token);
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, Ok(mapping));
    let scene = Scene::of(bench);
    scene.bench.expect(EventKind::Installed).await;
    assert_eq!(scene.repair().await.unwrap().unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(scene.bench.calls().remove, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_an_install_that_a_move_has_made_pointless_still_lets_it_end_and_removes_what_it_brought() {
    let scene = Scene::of(Bench::new());
    let bench = &scene.bench;
    bench.client.on_probe(SOON, Ok(())).on_install(Duration::from_secs(1), granted(HOME, HOUR));
    sleep(Duration::from_millis(100)).await;
    bench.shutdown.release();
    sleep(Duration::from_millis(100)).await;
    scene.world.moved();
    scene.task.await.unwrap();
    assert_eq!(bench.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_before_an_attempt_neither_begins_it_twice_nor_is_heard_of_after_it() {
    for change in [World::moved, World::unsure] {
        let (bench, world) = (Bench::installing(HOUR), World::default());
        let (signals, _repairs) = Signals::new(world.watch());
        change(&world);
        bench.run_heeding(signals);
        bench.expect(EventKind::Installed).await;
        sleep(HOUR / 4).await;
        assert_eq!(bench.calls(), Calls { probe: 1, install: 1, verify: 1, ..Calls::default() });
    }
}
