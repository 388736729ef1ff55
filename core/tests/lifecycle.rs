//! The life of one lease over a mock and a paused clock: hours in milliseconds.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portlease::client::MockPortMapperClient;
use portlease::config::DEFAULT_RENEWAL_INTERVAL;
use portlease::event_log::{EventLog, EventReader};
use portlease::sink::MappingSink;
use portlease::task::{PortMapperTask, Shutdown, Timing};
use portlease::{Config, EventKind, LeaseState, MapRequest, PortMapping, PortMappingError, Transport};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const HOME: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 1, 1), 4000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const SOON: Duration = Duration::ZERO;
/// The longest that a delete can take, with the wait for its turn behind hundreds of others.
const RELEASE_DEADLINE: Duration = Duration::from_secs(300);

struct Bench {
    client: Arc<MockPortMapperClient>,
    sink: Arc<MappingSink>,
    events: EventReader,
    shutdown: Shutdown,
}

fn granted() -> Result<PortMapping, PortMappingError> {
    Ok(MockPortMapperClient::mapping(REQUEST, HOME, HOUR))
}

impl Bench {
    /// A lease that is being installed.
    fn start() -> (Self, JoinHandle<()>) {
        let events = Arc::<EventLog>::default();
        let sink = Arc::new(MappingSink::new(1, REQUEST, Arc::clone(&events)));
        let bench = Self { client: Arc::default(), sink, events: events.reader(), shutdown: Shutdown::default() };
        bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted());
        let (client, sink) = (Arc::clone(&bench.client), Arc::clone(&bench.sink));
        let timing = Timing::from(&Config::default());
        let task = PortMapperTask::new(client, sink, REQUEST, timing, bench.shutdown.clone());
        (bench, tokio::spawn(task.run()))
    }

    /// Waits until the mapping is lost, behind any number of failed renewals.
    async fn lose(&self) {
        loop {
            match self.events.pull().await.expect("the log is open").take().kind {
                EventKind::Failed => {}
                kind => return assert_eq!(kind, EventKind::Revoked),
            }
        }
    }

    async fn expect(&self, kind: EventKind) {
        let event = self.events.pull().await.expect("the log is open").take();
        assert_eq!(event.kind, kind, "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn renewals_come_once_a_period_for_days_and_never_after_the_end() {
    let (bench, task) = Bench::start();
    for _ in 0..200 {
        bench.client.on_renew(SOON, granted());
    }
    sleep(2 * DAY + DEFAULT_RENEWAL_INTERVAL / 2).await;
    // Each period is spread by an eighth to below.
    let renewals = bench.client.calls().renew;
    assert!((96..=110).contains(&renewals), "{renewals}");
    assert_eq!((bench.sink.snapshot().renewals, bench.sink.snapshot().active), (renewals as u64, true));
    bench.shutdown.release();
    task.await.unwrap();
    sleep(2 * DAY).await;
    let calls = bench.client.calls();
    assert_eq!((calls.install, calls.renew, calls.remove), (1, renewals, 1));
}

#[tokio::test(start_paused = true)]
async fn stopped_in_the_pause_before_the_quick_retry_it_removes_the_mapping_at_once() {
    let (bench, task) = Bench::start();
    bench.client.on_renew(SOON, Err(PortMappingError::timeout("no answer"))).on_renew(SOON, granted());
    while bench.client.calls().renew == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.sink.snapshot().state, LeaseState::Renewing);
    let asked = Instant::now();
    bench.shutdown.release();
    task.await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(20), "{:?}", asked.elapsed());
    assert_eq!((bench.client.calls().renew, bench.client.calls().remove), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn stopped_while_a_revoked_mapping_is_being_removed_it_ends_in_bounded_time_and_asks_for_nothing_new() {
    let (bench, task) = Bench::start();
    // The mock's empty queue answers every renewal `unavailable`; the delete is never answered.
    bench.client.on_remove(DAY, Ok(()));
    bench.expect(EventKind::Installed).await;
    bench.lose().await;
    assert!(!bench.sink.snapshot().active);
    let asked = Instant::now();
    bench.shutdown.release();
    task.await.unwrap();
    assert!(asked.elapsed() <= RELEASE_DEADLINE, "{:?}", asked.elapsed());
    let calls = bench.client.calls();
    assert_eq!((calls.probe, calls.install, calls.remove), (1, 1, 1));
    assert_eq!(bench.sink.snapshot().state, LeaseState::Exited);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_lost_once_can_still_be_detached() {
    let (bench, task) = Bench::start();
    bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted());
    bench.expect(EventKind::Installed).await;
    bench.lose().await;
    bench.expect(EventKind::Installed).await;
    bench.shutdown.detach();
    task.await.unwrap();
    assert_eq!(bench.client.calls().remove, 1, "the lost mapping alone");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_again_and_again_is_always_mapped_again() {
    let (bench, _task) = Bench::start();
    for round in 0..10 {
        bench.expect(EventKind::Installed).await;
        // Some of the attempts to map again fail as well.
        for _ in 0..round % 3 {
            bench.client.on_probe(SOON, Err(PortMappingError::unavailable("no gateway")));
        }
        bench.client.on_probe(SOON, Ok(())).on_install(SOON, granted());
        bench.lose().await;
        for _ in 0..round % 3 {
            bench.expect(EventKind::Failed).await;
        }
    }
    bench.expect(EventKind::Installed).await;
}
