use std::net::{Ipv4Addr, SocketAddr};

use tokio::task::JoinHandle;
use tokio::time::{advance, sleep_until};

use super::*;
use crate::client::mock::{Calls, MockPortMapperClient};
use crate::error::ErrorKind;
use crate::event::{Event, EventKind};
use crate::event_log::{EventLog, EventReader};
use crate::mapping::Protocol;
use crate::mapping::Transport;
use crate::net::address::AddressClass;
use crate::schedule::{
    ADDRESS_QUESTIONS, DEFAULT_RENEWAL_INTERVAL, GRANT_MAX_AGE, LATE_CALL_DEADLINE, MIN_RENEWAL_INTERVAL,
    QUICK_RETRY_DELAY, RENEWAL_RETRY_MIN, RETRY_BACKOFF_MAX, RETRY_BACKOFF_MIN,
};
use crate::snapshot::{LeaseSnapshot, LeaseState, NatClass};

pub(super) const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
pub(super) const HOME: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 1, 1), 4000);
pub(super) const MOVED: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 1, 7), 4007);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const SOON: Duration = Duration::ZERO;

pub(super) fn granted(external: (Ipv4Addr, u16), lifetime: Duration) -> Result<PortMapping, PortMappingError> {
    Ok(MockPortMapperClient::mapping(REQUEST, external, lifetime))
}

pub(super) fn silence() -> PortMappingError {
    PortMappingError::timeout("no answer")
}

/// A task over a mock, on a paused clock.
pub(super) struct Bench {
    pub(super) client: Arc<MockPortMapperClient>,
    pub(super) sink: Arc<MappingSink>,
    events: EventReader,
    pub(super) shutdown: Shutdown,
    pub(super) timing: Timing,
    pub(super) start: Instant,
    pub(super) clock: Clock,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (events, clock) = (Arc::<EventLog>::default(), Clock::test());
        Self {
            client: Arc::default(),
            sink: Arc::new(MappingSink::with_clock(1, REQUEST, Arc::clone(&events), clock.clone())),
            events: events.reader(),
            shutdown: Shutdown::default(),
            timing: Timing::from(&Config::default()),
            start: Instant::now(),
            clock,
        }
    }

    pub(super) fn never_retrying(mut self) -> Self {
        self.timing.retry = RetryPolicy::Never;
        self
    }

    /// A bench whose probe and install are answered well.
    pub(super) fn installing(lifetime: Duration) -> Self {
        let bench = Self::new();
        bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, lifetime));
        bench
    }

    pub(super) fn run(&self) -> JoinHandle<()> {
        self.run_heeding(Signals::default())
    }

    pub(super) fn run_heeding(&self, signals: Signals) -> JoinHandle<()> {
        let (client, sink, shutdown) = (Arc::clone(&self.client), Arc::clone(&self.sink), self.shutdown.clone());
        let task = PortMapperTask::new(client, sink, REQUEST, self.timing, shutdown);
        tokio::spawn(task.without_spread().heeding(signals).run())
    }

    /// The next event; the paused clock jumps to it.
    pub(super) async fn event(&self) -> Event {
        self.events.pull().await.expect("the log is open").take()
    }

    pub(super) async fn expect(&self, kind: EventKind) -> LeaseSnapshot {
        let event = self.event().await;
        assert_eq!(event.kind, kind, "{event:?}");
        self.sink.snapshot()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn calls(&self) -> Calls {
        self.client.calls()
    }
}

/// Milliseconds pass in timers, so times are compared with that grain.
pub(super) fn assert_about(actual: Duration, expected: Duration) {
    assert!(actual.abs_diff(expected) < Duration::from_millis(20), "{actual:?} is not about {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_has_no_side_effect() {
    let bench = Bench::new().never_retrying();
    bench.client.on_probe(SOON, Err(PortMappingError::unavailable("no gateway")));
    bench.run().await.unwrap();
    assert_eq!(bench.calls(), Calls { probe: 1, abandon: 1, ..Calls::default() });
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

/// The failures of an hour's mapping whose renewals meet silence, until something else happens: the times, in whole seconds.
async fn failures(bench: &Bench) -> (Vec<u64>, Event) {
    let mut times = Vec::new();
    loop {
        let event = bench.event().await;
        match event.kind {
            EventKind::Failed => times.push(bench.elapsed().as_secs()),
            _ => return (times, event),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_meets_silence_is_tried_again_within_seconds_and_then_survives() {
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
    let second = bench.expect(EventKind::Failed).await;
    assert_eq!((second.active, second.failures), (true, 2));
    assert_about(bench.elapsed(), HOUR / 2 + RENEWAL_RETRY_MIN + 2 * QUICK_RETRY_DELAY);
    let survived = bench.expect(EventKind::Renewed).await;
    let renewed_at = HOUR / 2 + 3 * RENEWAL_RETRY_MIN + 2 * QUICK_RETRY_DELAY;
    assert_about(bench.elapsed(), renewed_at);
    assert_eq!((survived.failures, survived.last_error.is_none(), survived.active), (0, true, true));
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), renewed_at + HOUR / 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_that_holds_is_not_asked_again_before_its_time() {
    let bench = Bench::installing(HOUR);
    let hold = Duration::from_secs(1000);
    bench.client.on_renew(SOON, Err(PortMappingError::refused_for("pcp NO_RESOURCES", hold)));
    bench.client.on_renew(SOON, granted(HOME, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    bench.expect(EventKind::Failed).await;
    assert_eq!(bench.calls().renew, 1, "no quick retry");
    bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), HOUR / 2 + hold);
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
async fn three_points_without_a_renewal_revoke_and_remove_and_then_map_again() {
    let bench = Bench::installing(HOUR);
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(MOVED, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let (times, revoked) = failures(&bench).await;
    assert_eq!(times, [1800, 1804, 1812, 1828, 1861, 1925, 2053, 2309, 2700, 2704, 2712, 2728, 2761, 2825, 2953, 3150]);
    assert_eq!((revoked.kind, revoked.external), (EventKind::Revoked, None));
    assert_about(bench.elapsed(), HOUR / 8 * 7 + QUICK_RETRY_DELAY);
    let again = bench.expect(EventKind::Installed).await;
    assert_about(bench.elapsed(), HOUR / 8 * 7 + QUICK_RETRY_DELAY);
    assert_eq!(again.external(), Some(MOVED.into()));
    let calls = bench.calls();
    assert_eq!((calls.probe, calls.install, calls.renew, calls.remove), (2, 2, 2 * times.len(), 1));
    assert_eq!(bench.client.unused(), 0);
}

#[tokio::test(start_paused = true)]
async fn renewals_that_cannot_even_be_sent_revoke_at_the_expiry_alone() {
    let bench = Bench::installing(HOUR);
    let unsent = || PortMappingError::transport("no way", std::io::ErrorKind::NetworkUnreachable.into());
    for _ in 0..100 {
        bench.client.on_renew(SOON, Err(unsent()));
    }
    bench.run();
    bench.expect(EventKind::Installed).await;
    let (_, revoked) = failures(&bench).await;
    assert_eq!((revoked.kind, revoked.error.unwrap().kind), (EventKind::Revoked, ErrorKind::Unavailable));
    assert_about(bench.elapsed(), HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_runs_out_says_what_the_last_renewal_was_answered_with() {
    let bench = Bench::installing(HOUR);
    let refusal = || By::protocol(Protocol::Pcp).code(2u8).name("NOT_AUTHORIZED").refused_for("no", 2 * HOUR);
    bench.client.on_renew(SOON, Err(refusal()));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let (_, revoked) = failures(&bench).await;
    let error = revoked.error.unwrap();
    assert_about(bench.elapsed(), HOUR);
    assert_eq!((error.kind, error.details[0].code), (ErrorKind::Refused, Some(2)));
    assert_eq!(error.details[0].name.as_deref(), Some("NOT_AUTHORIZED"));
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
    assert_eq!(error.error.unwrap().kind, ErrorKind::Unavailable);
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
    assert_eq!(
        bench.expect(EventKind::Failed).await.state,
        LeaseState::Exited,
        "whoever is told of the failure sees the end"
    );
    bench.expect(EventKind::Exited).await;
    assert_eq!(bench.calls(), Calls { probe: 1, abandon: 1, ..Calls::default() });
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
    assert_eq!(bench.calls(), Calls { probe: 1, abandon: 1, ..Calls::default() });
}

#[tokio::test(start_paused = true)]
async fn stopped_in_mid_install_it_waits_for_the_answer_and_removes_what_was_granted() {
    let bench = Bench::new();
    bench.client.on_probe(SOON, Ok(())).on_install(Duration::from_millis(700), granted(HOME, HOUR));
    let task = bench.run();
    sleep(Duration::from_millis(100)).await;
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
    sleep(Duration::from_millis(100)).await;
    bench.shutdown.release();
    let exited = bench.expect(EventKind::Exited).await;
    assert_about(bench.elapsed(), Duration::from_millis(100) + SHUTDOWN_GRACE);
    assert_eq!((exited.state, bench.sink.release()), (LeaseState::Exited, Release::Pending));
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::from_millis(100) + SHUTDOWN_GRACE + LATE_CALL_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_after_the_lease_was_said_to_be_over_is_removed_behind_its_back() {
    let bench = Bench::new();
    bench.client.on_probe(SOON, Ok(())).on_install(Duration::from_secs(5), granted(HOME, HOUR));
    let task = bench.run();
    sleep(Duration::from_millis(100)).await;
    bench.shutdown.release();
    bench.expect(EventKind::Exited).await;
    assert_eq!((bench.calls().remove, bench.sink.release()), (0, Release::Pending));
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::from_secs(5));
    assert_eq!((bench.calls().remove, bench.sink.release()), (1, Release::Released));
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
async fn stopped_in_mid_renewal_it_lets_the_call_end_and_removes_what_that_brought() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(Duration::from_secs(1), granted(MOVED, HOUR));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    sleep_until(bench.start + HOUR / 2 + Duration::from_millis(100)).await;
    assert_eq!(bench.sink.snapshot().state, LeaseState::Renewing);
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), HOUR / 2 + Duration::from_secs(1));
    assert_eq!(bench.client.removed(), [SocketAddr::from(MOVED)]);
}

#[tokio::test(start_paused = true)]
async fn stopped_in_a_renewal_that_does_not_end_it_removes_the_mapping_that_it_has_within_a_bound() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(Duration::from_secs(600), granted(HOME, HOUR));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    sleep_until(bench.start + HOUR / 2 + Duration::from_secs(1)).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_about(bench.elapsed(), HOUR / 2 + Duration::from_secs(1) + SHUTDOWN_GRACE + LATE_CALL_DEADLINE);
    assert_eq!(bench.client.removed(), [SocketAddr::from(HOME)]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_granted_after_the_expiry_is_a_mapping_again_and_nothing_is_removed() {
    let lifetime = Duration::from_secs(60);
    let bench = Bench::installing(lifetime);
    bench.client.on_renew(Duration::from_secs(33), granted(HOME, lifetime));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let revoked = bench.expect(EventKind::Revoked).await;
    assert_about(bench.elapsed(), lifetime);
    assert!(!revoked.active);
    assert!(bench.expect(EventKind::Installed).await.active);
    assert_about(bench.elapsed(), lifetime + Duration::from_secs(3));
    assert_eq!((bench.calls().install, bench.calls().remove), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_in_flight_at_the_expiry_ends_before_the_delete() {
    let bench = Bench::installing(Duration::from_secs(60)).never_retrying();
    bench.client.on_renew(Duration::from_secs(33), Err(silence()));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.expect(EventKind::Revoked).await;
    assert_eq!(bench.calls().remove, 0);
    task.await.unwrap();
    assert_about(bench.elapsed(), Duration::from_secs(63) + QUICK_RETRY_DELAY);
    assert_eq!(bench.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_lost_is_made_again_at_once_the_first_time_and_then_with_backoff() {
    let bench = Bench::new();
    let gone = || PortMappingError::refused_and_lost("upnp: the entry is not there");
    for _ in 0..5 {
        bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR)).on_verify(SOON, Err(gone()));
    }
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    bench.run();
    let mut waits = Vec::new();
    bench.expect(EventKind::Installed).await;
    for _ in 0..5 {
        assert_eq!(bench.event().await.kind, EventKind::Revoked);
        let before = Instant::now();
        bench.expect(EventKind::Installed).await;
        waits.push(before.elapsed());
    }
    assert_about(waits[0], Duration::ZERO);
    for (wait, nominal) in waits[1..].iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((wait.as_secs_f64() / nominal - 1.0).abs() < 0.11, "{waits:?}");
    }
    assert_eq!(bench.calls().remove, 0, "what is gone needs no delete");
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_that_the_gateway_has_cut_short_is_believed() {
    let bench = Bench::installing(HOUR);
    let minute = Duration::from_secs(60);
    bench.client.on_verify(SOON, Ok(Some(granted(HOME, minute).unwrap()))).on_renew(SOON, granted(HOME, minute));
    bench.run();
    let before = bench.expect(EventKind::Installed).await;
    let after = bench.expect(EventKind::Renewed).await;
    assert_about(bench.elapsed(), minute / 2);
    assert!(Arc::ptr_eq(&before.mapping.unwrap(), &after.mapping.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_finds_nothing_out_changes_nothing() {
    for answer in [Ok(None), Err(silence()), Err(PortMappingError::refused("upnp 401 InvalidAction"))] {
        let bench = Bench::installing(HOUR);
        bench.client.on_verify(SOON, answer).on_renew(SOON, granted(HOME, HOUR));
        let task = bench.run();
        bench.expect(EventKind::Installed).await;
        bench.expect(EventKind::Renewed).await;
        assert_about(bench.elapsed(), HOUR / 2);
        bench.shutdown.release();
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_look_removes_what_the_look_has_made() {
    let bench = Bench::installing(HOUR);
    bench.client.on_verify(Duration::from_secs(1), Ok(Some(granted(MOVED, HOUR).unwrap())));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_eq!(bench.client.removed(), [SocketAddr::from(MOVED)]);
}

const NOWHERE: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 4000);

#[tokio::test(start_paused = true)]
async fn an_address_that_blinks_is_kept_and_asked_for_again_within_seconds() {
    let bench = Bench::installing(HOUR);
    bench.client.on_renew(SOON, granted(NOWHERE, HOUR)).on_renew(SOON, granted(MOVED, HOUR));
    bench.run();
    bench.expect(EventKind::Installed).await;
    let blinking = bench.expect(EventKind::Renewed).await;
    assert_eq!((blinking.external(), blinking.nat_class), (Some(HOME.into()), NatClass::Open));
    let moved = bench.expect(EventKind::Changed).await;
    assert_about(bench.elapsed(), HOUR / 2 + RENEWAL_RETRY_MIN);
    assert_eq!(moved.external(), Some(MOVED.into()));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_stays_away_until_the_next_point_is_none() {
    let bench = Bench::installing(HOUR);
    for _ in 0..20 {
        bench.client.on_renew(SOON, granted(NOWHERE, HOUR));
    }
    bench.run();
    bench.expect(EventKind::Installed).await;
    for _ in 0..=ADDRESS_QUESTIONS {
        assert_eq!(bench.expect(EventKind::Renewed).await.external(), Some(HOME.into()));
    }
    let gone = bench.expect(EventKind::Changed).await;
    assert_eq!((gone.active, gone.external(), gone.external_port()), (true, None, Some(4000)));
    assert_eq!((gone.nat_class, gone.address_class), (NatClass::Unknown, AddressClass::Unknown));
    assert_about(bench.elapsed(), HOUR + Duration::from_secs(4 + 8 + 16 + 32 + 64));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_without_an_address_is_asked_again_soon_after_the_install() {
    let bench = Bench::new();
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(NOWHERE, HOUR)).on_renew(SOON, granted(HOME, HOUR));
    bench.run();
    assert_eq!(bench.expect(EventKind::Installed).await.external(), None);
    assert_eq!(bench.expect(EventKind::Changed).await.external(), Some(HOME.into()));
    assert_about(bench.elapsed(), RENEWAL_RETRY_MIN);
}

#[tokio::test(start_paused = true)]
async fn news_from_the_client_end_the_backoff() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.client.on_probe(SOON, Err(silence()));
    }
    bench.run();
    for _ in 0..3 {
        bench.expect(EventKind::Failed).await;
    }
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    let before = Instant::now();
    bench.client.bring_news();
    bench.expect(EventKind::Installed).await;
    assert_about(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_unanswered_requests_may_have_left_is_deleted_at_every_end() {
    let failing = Bench::new().never_retrying();
    failing.client.on_abandon(Duration::from_secs(1), Ok(()));
    let task = failing.run();
    failing.expect(EventKind::Failed).await;
    assert_eq!(
        (failing.expect(EventKind::Exited).await.state, failing.elapsed()),
        (LeaseState::Exited, Duration::ZERO)
    );
    assert_eq!(failing.sink.release(), Release::Pending);
    task.await.unwrap();
    assert_eq!((failing.calls().abandon, failing.sink.release()), (1, Release::Released));

    let waiting = Bench::new();
    waiting.client.on_abandon(SOON, Err(silence()));
    let task = waiting.run();
    waiting.expect(EventKind::Failed).await;
    waiting.shutdown.release();
    task.await.unwrap();
    assert_eq!((waiting.calls().abandon, waiting.sink.release()), (1, Release::Unconfirmed));
    assert_eq!(waiting.event().await.error.unwrap().message, "no answer");

    let installed = Bench::installing(HOUR);
    let task = installed.run();
    installed.expect(EventKind::Installed).await;
    installed.shutdown.release();
    task.await.unwrap();
    assert_eq!((installed.calls().abandon, installed.sink.release()), (1, Release::Released));
}

#[tokio::test(start_paused = true)]
async fn behind_a_lease_that_is_being_released_a_dead_gateway_is_told_within_two_seconds() {
    let bench = Bench::new();
    bench.client.on_probe(Duration::from_secs(1), Err(PortMappingError::unavailable("nothing answers")));
    let (client, sink, shutdown) = (Arc::clone(&bench.client), Arc::clone(&bench.sink), bench.shutdown.clone());
    let task = PortMapperTask::new(client, sink, REQUEST, bench.timing, shutdown);
    let task = tokio::spawn(task.run_after(sleep(Duration::from_secs(5))));
    bench.expect(EventKind::Failed).await;
    assert!(bench.elapsed() < Duration::from_secs(2), "{:?}", bench.elapsed());
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted(HOME, HOUR));
    bench.expect(EventKind::Installed).await;
    assert_about(bench.elapsed(), Duration::from_secs(5));
    bench.shutdown.release();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn behind_a_lease_that_is_soon_released_nothing_more_is_asked() {
    let bench = Bench::installing(HOUR);
    let (client, sink, shutdown) = (Arc::clone(&bench.client), Arc::clone(&bench.sink), bench.shutdown.clone());
    let task = PortMapperTask::new(client, sink, REQUEST, bench.timing, shutdown);
    tokio::spawn(task.run_after(sleep(Duration::from_millis(100))));
    bench.expect(EventKind::Installed).await;
    assert_eq!(bench.calls().probe, 1);
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
    let error = exited.error.unwrap();
    assert_eq!((exited.kind, error.kind), (EventKind::Exited, ErrorKind::Unavailable));
    assert_eq!(error.details[0].kind, ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_not_answered_is_tried_again_at_a_stop() {
    let bench = Bench::installing(HOUR);
    let silence = || Err(PortMappingError::unavailable("pcp: no answer"));
    bench.client.on_remove(Duration::from_secs(1), silence()).on_remove(SOON, Ok(()));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_eq!((bench.calls().remove, bench.sink.release()), (2, Release::Released));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_was_not_answered_for_long_is_not_tried_again() {
    for (silent, removals) in [(1, 2), (2, 2), (3, 1)] {
        let bench = Bench::installing(HOUR);
        let silence = || Err(PortMappingError::unavailable("pcp: no answer"));
        let time = Duration::from_secs(silent);
        bench.client.on_remove(time, silence()).on_remove(time, silence());
        let task = bench.run();
        bench.expect(EventKind::Installed).await;
        bench.shutdown.release();
        task.await.unwrap();
        assert!(bench.elapsed() < DEFAULT_STOP_TIMEOUT, "{:?}", bench.elapsed());
        assert_eq!((bench.calls().remove, bench.sink.release()), (removals, Release::Unconfirmed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_refused_is_told_by_the_exit() {
    let bench = Bench::installing(HOUR);
    for _ in 0..2 {
        bench.client.on_remove(SOON, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    }
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    let exited = bench.event().await;
    assert_eq!((exited.kind, exited.error.unwrap().message.as_str()), (EventKind::Exited, "pcp NOT_AUTHORIZED"));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_refused_because_another_protocol_had_the_entry_is_confirmed_behind_that() {
    let bench = Bench::installing(HOUR);
    bench.client.on_remove(SOON, Err(PortMappingError::refused("pcp NOT_AUTHORIZED"))).on_remove(SOON, Ok(()));
    let task = bench.run();
    bench.expect(EventKind::Installed).await;
    bench.shutdown.release();
    task.await.unwrap();
    assert_eq!((bench.calls().remove, bench.calls().abandon, bench.sink.release()), (2, 1, Release::Released));
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
