use std::net::Ipv4Addr;

use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;
use crate::client::mock::{Calls, MockPortMapperClient};
use crate::error::ErrorKind;
use crate::event::{Event, EventKind};
use crate::event_log::{EventLog, EventReader};
use crate::mapping::Transport;
use crate::net::address::AddressClass;
use crate::schedule::{
    DEFAULT_RENEWAL_INTERVAL, GRANT_MAX_AGE, MIN_RENEWAL_INTERVAL, RETRY_BACKOFF_MAX, RETRY_BACKOFF_MIN,
};
use crate::snapshot::{LeaseSnapshot, LeaseState, NatClass};

const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const HOME: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 1, 1), 4000);
const MOVED: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 1, 7), 4007);
const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::ZERO;

fn granted(external: (Ipv4Addr, u16), lifetime: Duration) -> Result<PortMapping, PortMappingError> {
    Ok(MockPortMapperClient::mapping(REQUEST, external, lifetime))
}

fn silence() -> PortMappingError {
    PortMappingError::timeout("no answer")
}

/// A task over a mock, on a paused clock.
struct Bench {
    client: Arc<MockPortMapperClient>,
    sink: Arc<MappingSink>,
    events: EventReader,
    shutdown: Shutdown,
    timing: Timing,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        let events = Arc::<EventLog>::default();
        Self {
            client: Arc::default(),
            sink: Arc::new(MappingSink::new(1, REQUEST, Arc::clone(&events))),
            events: events.reader(),
            shutdown: Shutdown::default(),
            timing: Timing::from(&Config::default()),
            start: Instant::now(),
        }
    }

    fn never_retrying(mut self) -> Self {
        self.timing.retry = RetryPolicy::Never;
        self
    }

    /// A bench whose probe and install are answered well.
    fn installing(lifetime: Duration) -> Self {
        let bench = Self::new();
        bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, lifetime));
        bench
    }

    fn run(&self) -> JoinHandle<()> {
        let (client, sink, shutdown) = (Arc::clone(&self.client), Arc::clone(&self.sink), self.shutdown.clone());
        tokio::spawn(PortMapperTask::new(client, sink, REQUEST, self.timing, shutdown).run())
    }

    /// The next event; the paused clock jumps to it.
    async fn event(&self) -> Event {
        self.events.pull().await.expect("the log is open").take()
    }

    async fn expect(&self, kind: EventKind) -> LeaseSnapshot {
        let event = self.event().await;
        assert_eq!(event.kind, kind, "{event:?}");
        self.sink.snapshot()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn calls(&self) -> Calls {
        self.client.calls()
    }
}

/// Milliseconds pass in timers, so times are compared with that grain.
fn assert_about(actual: Duration, expected: Duration) {
    assert!(actual.abs_diff(expected) < Duration::from_millis(20), "{actual:?} is not about {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_has_no_side_effect() {
    let bench = Bench::new().never_retrying();
    bench.client.on_probe(SOON, Err(PortMappingError::unavailable("no gateway")));
    bench.run().await.unwrap();
    assert_eq!(bench.calls(), Calls { probe: 1, ..Calls::default() });
    let snapshot = bench.sink.snapshot();
    assert_eq!((snapshot.state, snapshot.active, snapshot.external()), (LeaseState::Exited, false, None));
    assert_eq!(snapshot.last_error.unwrap().kind, ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn an_install_publishes_the_external_address() {
    let bench = Bench::installing(HOUR);
    bench.run();
    let snapshot = bench.expect(EventKind::Installed).await;
    assert_eq!(snapshot.state, LeaseState::Installed);
    assert_eq!(snapshot.external(), Some(HOME.into()));
    assert_eq!((snapshot.active, snapshot.nat_class), (true, NatClass::Open));
    assert_eq!(snapshot.address_class, AddressClass::Public);
    assert_eq!((snapshot.lifetime, snapshot.expires_in), (Some(HOUR), Some(HOUR)));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_is_no_part_of_the_lease() {
    let bench = Bench::new();
    let lifetime = Duration::from_secs(8);
    bench.client.on_probe(SOON, Ok(())).on_install(Duration::from_secs(20), granted(HOME, lifetime));
    bench.run();
    let snapshot = bench.expect(EventKind::Installed).await;
    assert!(snapshot.active, "a grant that has just come has not expired");
    assert_about(snapshot.expires_in.unwrap(), lifetime - GRANT_MAX_AGE);
}

#[tokio::test(start_paused = true)]
async fn a_failed_install_publishes_the_kind_and_removes_nothing() {
    let bench = Bench::new().never_retrying();
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    bench.run().await.unwrap();
    assert_eq!(bench.sink.snapshot().last_error.unwrap().message, "pcp NOT_AUTHORIZED");
    assert_eq!(bench.calls().remove, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_renewal_bumps_the_counter_and_keeps_the_published_pointer() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(SOON, granted(HOME, HOUR));
    bench.run();
    let before = bench.expect(EventKind::Installed).await;
    let after = bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 2);
    assert_eq!((before.renewals, after.renewals), (0, 1));
    assert!(Arc::ptr_eq(&before.mapping.unwrap(), &after.mapping.unwrap()));
    assert_eq!(after.expires_in, Some(HOUR), "the lifetime counts anew");
}

#[tokio::test(start_paused = true)]
async fn a_moved_external_address_is_republished_whole() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(SOON, granted(MOVED, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let event = bench.event().await;
    assert_eq!((event.kind, event.external), (EventKind::Changed, Some(MOVED.into())));
    let snapshot = bench.sink.snapshot();
    assert_eq!((snapshot.external(), snapshot.internal_port, snapshot.renewals), (Some(MOVED.into()), 4000, 1));
}

#[tokio::test(start_paused = true)]
async fn two_failed_renewals_and_then_a_success_survive() {
    let bench = Bench::installing(HOUR);
    for _ in 0..4 {
        bench.client.on_renew(SOON, Err(silence()));
    }
    bench.client.on_renew(SOON, granted(HOME, HOUR)).on_renew(SOON, granted(HOME, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let first = bench.expect(EventKind::Failed).await;
    assert_eq!((first.active, first.failures, first.state), (true, 1, LeaseState::Installed));
    assert_about(bench.elapsed(), HOUR / 2 + QUICK_RETRY_DELAY);
    assert_eq!(bench.expect(EventKind::Failed).await.failures, 2);
    assert_about(bench.elapsed(), HOUR / 4 * 3 + QUICK_RETRY_DELAY);
    let survived = bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 8 * 7);
    assert_eq!((survived.failures, survived.last_error.is_none(), survived.active), (0, true, true));
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 8 * 7 + HOUR / 2);
}

#[tokio::test(start_paused = true)]
async fn one_lost_answer_is_retried_after_200_ms_and_is_no_failure() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(SOON, Err(silence())).on_renew(SOON, granted(HOME, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let renewed = bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 2 + Duration::from_millis(200));
    assert_eq!((renewed.failures, bench.calls().renew), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn three_failed_renewals_revoke_and_remove_and_then_map_again() {
    let bench = Bench::installing(HOUR);
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(MOVED, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    for _ in 1..=3 {
        bench.expect(EventKind::Failed).await;
    }
    let revoked = bench.event().await;
    assert_eq!((revoked.kind, revoked.external), (EventKind::Revoked, None));
    assert_about(bench.elapsed(), HOUR / 8 * 7 + QUICK_RETRY_DELAY);
    let again = bench.expect(EventKind::Installed).await;
    assert_about(bench.elapsed(), HOUR / 8 * 7 + QUICK_RETRY_DELAY);
    assert_eq!(again.external(), Some(MOVED.into()));
    assert_eq!(bench.calls(), Calls { probe: 2, install: 2, renew: 6, remove: 1 });
    assert_eq!(bench.client.unused(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_threshold_of_one_revokes_at_the_first_failure() {
    let mut bench = Bench::installing(HOUR).never_retrying();
    bench.timing.failure_threshold = 1;
    bench.run();
    bench.expect(EventKind::Installed).await;
    bench.expect(EventKind::Failed).await;
    bench.expect(EventKind::Revoked).await;
    assert_eq!(bench.expect(EventKind::Exited).await.state, LeaseState::Exited);
}

#[tokio::test(start_paused = true)]
async fn an_expired_lease_is_never_advertised_even_before_the_third_failure() {
    let mut bench = Bench::installing(Duration::from_secs(60)).never_retrying();
    bench.timing.failure_threshold = 100;
    bench.client.on_renew(HOUR, granted(HOME, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let error = bench.event().await;
    assert_eq!(error.kind, EventKind::Revoked);
    assert_about(bench.elapsed(), Duration::from_secs(60));
    assert_eq!(error.error.unwrap().kind, ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_reader_sees_the_expiry_at_its_very_moment() {
    let bench = Bench::installing(Duration::from_secs(60));
    bench.client.on_renew(HOUR, granted(HOME, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    advance(Duration::from_millis(59_990)).await;
    assert!(bench.sink.snapshot().active);
    advance(Duration::from_millis(10)).await;
    let snapshot = bench.sink.snapshot();
    assert_eq!((snapshot.active, snapshot.external(), snapshot.nat_class), (false, None, NatClass::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_tells_that_the_mapping_is_gone_revokes_at_once() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(SOON, Err(PortMappingError::refused_and_lost("pcp: another port")));
    bench.run();
    bench.expect(EventKind::Installed).await;
    bench.expect(EventKind::Failed).await;
    assert_eq!(bench.event().await.kind, EventKind::Revoked);
    assert_about(bench.elapsed(), HOUR / 2);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_granted_lifetime_sets_the_cadence_under_a_long_interval() {
    let bench = Bench::installing(HOUR);
    assert_eq!(bench.timing.renewal_interval, DEFAULT_RENEWAL_INTERVAL);
    let minute = Duration::from_secs(60);
    bench.client.on_renew(SOON, granted(HOME, minute)).on_renew(SOON, granted(HOME, minute));
    bench.run();
    bench.expect(EventKind::Installed).await;
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 2);
    assert_eq!(bench.sink.snapshot().lifetime, Some(minute));
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 2 + minute / 2);
}

#[tokio::test(start_paused = true)]
async fn a_zero_renewal_interval_does_not_spin_and_a_huge_one_does_not_overflow() {
    for (interval, expected) in [(Duration::ZERO, MIN_RENEWAL_INTERVAL), (Duration::MAX, HOUR / 2)] {
        let mut bench = Bench::installing(HOUR);
        bench.timing.renewal_interval = interval;
        bench.client.on_renew(SOON, granted(HOME, HOUR));
        let task = bench.run();
        bench.expect(EventKind::Installed).await;
        bench.expect(EventKind::Renewed).await;
        assert_about(bench.elapsed(), expected);
        bench.shutdown.release();
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_mapping_is_checked_at_every_interval_and_deleted_at_the_end() {
    let bench = Bench::new();
    let permanent = PortMapping { lifetime: None, ..granted(HOME, HOUR).unwrap() };
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, Ok(permanent.clone())).on_renew(SOON, Ok(permanent));
    let task = bench.run();
    let snapshot = bench.expect(EventKind::Installed).await;
    assert_eq!((snapshot.permanent, snapshot.active, snapshot.expires_in), (true, true, None));
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), DEFAULT_RENEWAL_INTERVAL);
    bench.shutdown.release();
    task.await.unwrap();
    assert_eq!(bench.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn retry_never_exits_after_the_first_failure_without_any_other_effect() {
    let bench = Bench::new().never_retrying();
    bench.run().await.unwrap();
    let kinds = [bench.event().await.kind, bench.event().await.kind];
    assert_eq!(kinds, [EventKind::Failed, EventKind::Exited]);
    assert_eq!(bench.calls(), Calls { probe: 1, ..Calls::default() });
}

#[tokio::test(start_paused = true)]
async fn the_default_policy_comes_back_with_backoff_from_one_second_to_five_minutes() {
    let bench = Bench::new();
    bench.run();
    bench.expect(EventKind::Failed).await;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let before = Instant::now();
        bench.expect(EventKind::Failed).await;
        waits.push(before.elapsed());
    }
    for (attempt, wait) in waits.iter().enumerate() {
        let nominal = (RETRY_BACKOFF_MIN * 2u32.pow(attempt as u32)).min(RETRY_BACKOFF_MAX);
        assert!(*wait >= nominal.mul_f64(0.89) && *wait <= nominal.mul_f64(1.11), "{attempt}: {wait:?}");
    }
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    let recovered = bench.expect(EventKind::Installed).await;
    assert_eq!((recovered.failures, recovered.last_error.is_none()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_holds_for_a_while_is_not_asked_again_before() {
    let bench = Bench::new();
    let hold = Duration::from_secs(120);
    bench.client.on_probe(SOON, Err(PortMappingError::refused_for("pcp NO_RESOURCES", hold)));
    bench.run();
    bench.expect(EventKind::Failed).await;
    let before = Instant::now();
    bench.expect(EventKind::Failed).await;
    assert_about(before.elapsed(), hold);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_stopped_before_it_begins_asks_nothing() {
    let bench = Bench::installing(HOUR);
    bench.shutdown.release();
    bench.run().await.unwrap();
    assert_eq!(bench.calls(), Calls::default());
    assert_eq!(bench.sink.snapshot().state, LeaseState::Exited);
}

#[tokio::test(start_paused = true)]
async fn stopped_in_mid_probe_it_ends_at_once_and_removes_nothing() {
    let bench = Bench::new();
    bench.client.on_probe(HOUR, Ok(()));
    let task = bench.run();
    advance(Duration::from_secs(1)).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::from_secs(1));
    assert_eq!(bench.calls(), Calls { probe: 1, ..Calls::default() });
}

#[tokio::test(start_paused = true)]
async fn stopped_in_mid_install_it_waits_for_the_answer_and_removes_what_was_granted() {
    let bench = Bench::new();
    bench.client.on_probe(SOON, Ok(())).on_install(Duration::from_millis(700), granted(HOME, HOUR));
    let task = bench.run();
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::from_millis(700));
    assert_eq!(bench.calls().remove, 1);
    let snapshot = bench.sink.snapshot();
    assert_eq!((snapshot.state, snapshot.external()), (LeaseState::Exited, None));
}

#[tokio::test(start_paused = true)]
async fn stopped_in_mid_install_it_does_not_wait_for_ever() {
    let bench = Bench::new();
    bench.client.on_probe(SOON, Ok(())).on_install(HOUR, granted(HOME, HOUR));
    let task = bench.run();
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::from_millis(100) + SHUTDOWN_GRACE);
}

#[tokio::test(start_paused = true)]
async fn stopped_while_installed_it_removes_the_mapping_and_clears() {
    let bench = Bench::installing(HOUR);
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    let snapshot = bench.expect(EventKind::Exited).await;
    assert_eq!((snapshot.active, snapshot.external(), bench.calls().remove), (false, None, 1));
}

#[tokio::test(start_paused = true)]
async fn stopped_in_mid_renewal_it_removes_the_mapping_that_it_has() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(Duration::from_secs(600), granted(HOME, HOUR));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    advance(HOUR / 2 + Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(bench.sink.snapshot().state, LeaseState::Renewing);
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), HOUR / 2 + Duration::from_secs(1));
    assert_eq!(bench.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn stopped_in_mid_backoff_it_ends_at_once() {
    let bench = Bench::new();
    let task = bench.run();
    bench.expect(EventKind::Failed).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::ZERO);
    assert_eq!(bench.expect(EventKind::Exited).await.state, LeaseState::Exited);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_does_not_answer_the_delete_holds_the_stop_up_only_so_long() {
    let bench = Bench::installing(HOUR);
    bench.client.on_remove(HOUR, Ok(()));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), RELEASE_DEADLINE);
    let exited = bench.event().await;
    assert_eq!((exited.kind, exited.error.unwrap().kind), (EventKind::Exited, ErrorKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_refused_is_told_by_the_exit() {
    let bench = Bench::installing(HOUR);
    bench.client.on_remove(SOON, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    let exited = bench.event().await;
    assert_eq!((exited.kind, exited.error.unwrap().message.as_str()), (EventKind::Exited, "pcp NOT_AUTHORIZED"));
}

#[tokio::test(start_paused = true)]
async fn a_detached_lease_leaves_its_mapping_on_the_gateway() {
    let bench = Bench::installing(HOUR);
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.detach();
    task.await.unwrap();
    assert_eq!((bench.calls().remove, bench.sink.snapshot().state), (0, LeaseState::Exited));
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_parent_ends_the_lease_with_a_release() {
    let parent = CancellationToken::new();
    let mut bench = Bench::installing(HOUR);
    bench.shutdown = Shutdown::child_of(&parent);
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    parent.cancel();
    task.await.unwrap();
    assert_eq!(bench.calls().remove, 1);
}
