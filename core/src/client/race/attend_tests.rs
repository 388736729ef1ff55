//! What is noticed while nobody asks for anything.

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::client::race::attend::Wakes;
use crate::schedule::{ATTEND_AFTER, DEFAULT_CHECK_INTERVAL, LOOKS, NETWORK_QUIET, RECOVERY_PACE};
use crate::world::Change;

const NEXT: [u8; 4] = [10, 0, 0, 10];
const DAY: Duration = Duration::from_secs(86_400);

/// What a test makes the system say. One test has it.
static SYSTEM: Mutex<Option<Arc<Notify>>> = Mutex::new(None);

struct Watched(Arc<Notify>);

#[async_trait]
impl Wakes for Watched {
    async fn changed(&mut self) {
        self.0.notified().await;
    }

    async fn quiet(&mut self) {
        tokio::time::sleep(NETWORK_QUIET).await;
    }
}

impl Setup {
    pub(super) fn checked_every(self, interval: Duration) -> Self {
        self.with(|race| race.check_interval = interval)
    }

    pub(super) fn attend(&self) -> JoinHandle<()> {
        let race = Arc::clone(&self.race);
        tokio::spawn(async move { race.attend().await })
    }

    pub(super) async fn hold(&self, protocol: Protocol, leases: u16) {
        for number in 0..leases {
            let grant = Ok(granted(protocol, number));
            let racer = match protocol {
                Protocol::Pcp => &self.pcp,
                Protocol::NatPmp => &self.nat_pmp,
                Protocol::Upnp | Protocol::None => &self.upnp,
            };
            if protocol != Protocol::Pcp {
                racer.on_probe(MS, Ok(()));
            }
            racer.on_install(MS, grant);
            self.race.install(&nth(number), HOUR).await.unwrap();
        }
        self.race.settle().await;
    }

    fn probes(&self) -> [usize; 3] {
        [&self.pcp, &self.nat_pmp, &self.upnp].map(|racer| racer.calls().probe)
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_with_any_number_of_leases_costs_one_question_for_each_interval_and_some_for_each_new_mapping() {
    for leases in [1, 50] {
        let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
        let attending = setup.attend();
        setup.hold(Protocol::Pcp, leases).await;
        let before = setup.probes();
        for _ in 0..500 {
            setup.pcp.on_probe(MS, Ok(()));
        }
        let mut changes = setup.world.watch();
        tokio::time::sleep(DAY).await;
        let asked = setup.probes()[0] - before[0] - LOOKS.len() * usize::from(leases);
        assert!((286..=290).contains(&asked), "{asked} checks with {leases} leases");
        assert_eq!(setup.probes()[1..], before[1..], "by the protocol of the mapping alone");
        assert_eq!(changes.take(), None);
        attending.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_while_no_lease_holds_anything() {
    let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
    setup.attend();
    tokio::time::sleep(DAY).await;
    assert_eq!((setup.probes(), setup.looked_for()), ([0; 3], 0));
    setup.hold(Protocol::Pcp, 1).await;
    let before = setup.probes();
    setup.race.remove(&granted(Protocol::Pcp, 0)).await.unwrap();
    tokio::time::sleep(DAY).await;
    assert_eq!(setup.probes(), before);
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_was_left_to_its_lifetime_is_not_checked() {
    let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
    setup.attend();
    setup.hold(Protocol::Pcp, 1).await;
    setup.race.detach(&granted(Protocol::Pcp, 0));
    let before = setup.probes();
    tokio::time::sleep(DAY).await;
    assert_eq!(setup.probes(), before);
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_zero_checks_nothing() {
    for protocol in Protocol::ALL {
        let setup = Setup::new().checked_every(Duration::ZERO);
        setup.attend();
        setup.hold(protocol, 1).await;
        let before = setup.probes();
        tokio::time::sleep(DAY).await;
        assert_eq!(setup.probes(), before, "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_was_heard_since_is_not_asked() {
    let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
    setup.attend();
    setup.hold(Protocol::Pcp, 1).await;
    let mapping = granted(Protocol::Pcp, 0);
    for _ in 0..100 {
        tokio::time::sleep(setup.race.check_after() - MS).await;
        setup.pcp.on_renew(MS, Ok(mapping.clone()));
        setup.race.renew(&mapping).await.unwrap();
    }
    assert_eq!(setup.probes()[0], LOOKS.len());
}

#[tokio::test(start_paused = true)]
async fn silence_is_asked_again_after_4_and_8_seconds_and_then_left_to_the_renewals() {
    let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
    setup.attend();
    setup.hold(Protocol::Pcp, 1).await;
    let mut changes = setup.world.watch();
    let second = Duration::from_secs(1);
    let mut asked = Vec::new();
    tokio::time::sleep(setup.race.check_after() - second + 10 * MS).await;
    for _ in 0..20 {
        asked.push(setup.probes()[0]);
        tokio::time::sleep(second).await;
    }
    let asked: Vec<_> = asked.into_iter().map(|asked| asked - LOOKS.len()).collect();
    assert_eq!(asked, [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]);
    tokio::time::sleep(DEFAULT_CHECK_INTERVAL + 10 * second).await;
    assert_eq!(setup.probes()[0] - LOOKS.len(), 6, "the next check asks as often");
    assert_eq!(changes.take(), None, "and says nothing");
}

#[tokio::test(start_paused = true)]
async fn a_mapping_in_a_network_that_was_left_is_not_checked_and_the_check_notices_that() {
    let setup = Setup::new().checked_every(DEFAULT_CHECK_INTERVAL);
    setup.attend();
    setup.hold(Protocol::Pcp, 1).await;
    let mut changes = setup.world.watch();
    let there = setup.move_to(NEXT);
    tokio::time::sleep(DAY).await;
    assert_eq!((setup.probes()[0], there[0].calls().probe), (0, 0));
    assert_eq!(changes.take(), Some(Change::Moved));
}

#[tokio::test(start_paused = true)]
async fn another_external_address_in_a_renewal_makes_the_other_leases_renew_but_not_too_often() {
    let setup = Setup::new();
    let mut changes = setup.world.watch();
    setup.hold(Protocol::Pcp, 2).await;
    let renew = async |from: u8, to: u8| {
        let with = |last| PortMapping { external: ([192, 0, 1, last], 4000).into(), ..granted(Protocol::Pcp, 0) };
        setup.pcp.on_renew(MS, Ok(with(to)));
        setup.race.renew(&with(from)).await.unwrap();
    };
    renew(1, 1).await;
    assert_eq!(changes.take(), None);
    renew(1, 9).await;
    assert_eq!(changes.take(), Some(Change::Unsure));
    renew(9, 9).await;
    assert_eq!(changes.take(), None, "the address is not new any more");
    renew(9, 8).await;
    assert_eq!(changes.take(), None, "a gateway with an address a minute");
    tokio::time::sleep(RECOVERY_PACE).await;
    renew(8, 7).await;
    assert_eq!(changes.take(), Some(Change::Unsure));
    setup.race.remove(&granted(Protocol::Pcp, 1)).await.unwrap();
    tokio::time::sleep(RECOVERY_PACE).await;
    renew(7, 6).await;
    assert_eq!(changes.take(), None, "there is no other lease");
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_a_present_gateway_makes_the_leases_renew_and_one_of_a_gateway_that_was_left_does_not() {
    let setup = Setup::new();
    setup.attend();
    tokio::time::sleep(ATTEND_AFTER).await;
    assert_eq!(setup.pcp.attended(), 0, "nobody listens before a gateway is found");
    setup.hold(Protocol::Pcp, 1).await;
    assert_eq!([&setup.pcp, &setup.nat_pmp, &setup.upnp].map(|racer| racer.attended()), [1, 0, 1], "one on the port");
    let mut changes = setup.world.watch();
    for racer in [&setup.pcp, &setup.upnp, &setup.pcp] {
        racer.restarts.notify_one();
        assert_eq!(changes.next().await, Change::Unsure);
    }
    assert_eq!(setup.pcp.attended(), 1);
    let there = setup.move_to(NEXT);
    assert!(setup.install().await.is_err());
    assert_eq!(changes.next().await, Change::Moved);
    tokio::time::sleep(MS).await;
    setup.pcp.restarts.notify_one();
    tokio::time::sleep(MS).await;
    assert_eq!(changes.take(), None);
    there[2].restarts.notify_one();
    assert_eq!(changes.next().await, Change::Unsure);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_system_is_looked_at_once_it_is_quiet_and_is_a_move_only_if_the_path_is_another() {
    let wake = Arc::new(Notify::new());
    *SYSTEM.lock().unwrap() = Some(Arc::clone(&wake));
    let watch = |_| Some(Box::new(Watched(SYSTEM.lock().unwrap().clone().unwrap())) as Box<dyn Wakes>);
    let setup = Setup::new().with(|race| race.watch = watch);
    setup.attend();
    tokio::task::yield_now().await;
    wake.notify_one();
    tokio::time::sleep(2 * NETWORK_QUIET).await;
    assert_eq!(setup.looked_for(), 0, "the first look belongs to the first call");
    setup.hold(Protocol::Pcp, 1).await;
    let (looks, calls) = (setup.looked_for(), setup.pcp.calls());
    let mut changes = setup.world.watch();
    for _ in 0..3 {
        wake.notify_one();
        tokio::time::sleep(HOUR).await;
    }
    assert_eq!((setup.looked_for(), setup.pcp.calls(), changes.take()), (looks + 3, calls, None));
    setup.move_to(NEXT);
    wake.notify_one();
    let before = Instant::now();
    assert_eq!(changes.next().await, Change::Moved);
    assert_eq!(before.elapsed(), NETWORK_QUIET);
    setup.lose_network();
    wake.notify_one();
    assert_eq!(changes.next().await, Change::Moved);
    setup.move_to(NEXT);
    wake.notify_one();
    assert_eq!(changes.next().await, Change::Moved);
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_before_the_system_was_listened_to_is_seen_too() {
    let setup = Setup::new().with(|race| race.watch = |_| Some(Box::new(Watched(Arc::default()))));
    setup.hold(Protocol::Pcp, 1).await;
    setup.move_to(NEXT);
    let mut changes = setup.world.watch();
    setup.attend();
    tokio::time::sleep(ATTEND_AFTER + MS).await;
    assert_eq!(changes.take(), Some(Change::Moved));
    let looks = setup.looked_for();
    tokio::time::sleep(HOUR).await;
    assert_eq!(setup.looked_for(), looks);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_host_tells_of_is_looked_at_at_once_also_where_the_system_cannot_be_listened_to() {
    let setup = Setup::new();
    setup.attend();
    setup.hold(Protocol::Pcp, 1).await;
    tokio::time::sleep(ATTEND_AFTER).await;
    let mut changes = setup.world.watch();
    setup.world.network_changed();
    assert_eq!(changes.next().await, Change::Unsure, "whatever the look shows");
    tokio::time::sleep(HOUR).await;
    assert_eq!(changes.take(), None);
    setup.move_to(NEXT);
    setup.world.network_changed();
    tokio::time::sleep(MS).await;
    assert_eq!(changes.take(), Some(Change::Moved));
}
