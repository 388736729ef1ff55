use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portlease_gateway::{Gateway, GatewayConfig};
use tokio::time::timeout;

use super::*;
use crate::client::udp::GatewayPort;
use crate::client::udp::tests::FakeGateway;
use crate::client::{NatPmpMapper, PcpMapper, PortMapperClient};
use crate::mapping::{MapRequest, PortMapping, Transport};

const HOUR: Duration = Duration::from_secs(3600);
const UP: u32 = 1_000_000;
/// Longer than anything that is waited for here may take: a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(10);
fn gateway() -> (Gateway, Arc<GatewayPort>) {
    let gateway = Gateway::start(GatewayConfig { upnp: false, epoch: UP, ..GatewayConfig::default() }).unwrap();
    let port =
        GatewayPort::new(SocketAddr::new(gateway.address(), gateway.pcp_port()), Some(Ipv4Addr::LOCALHOST.into()));
    (gateway, port)
}

/// Whether there is a doubt that nobody was told of.
async fn is_doubtful(port: &GatewayPort) -> bool {
    tokio::select! {
        biased;
        () = port.doubtful() => true,
        () = std::future::ready(()) => false,
    }
}

async fn two_leases(client: &dyn PortMapperClient) -> [PortMapping; 2] {
    let install = async |port| client.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap();
    [install(4000).await, install(4001).await]
}

#[tokio::test]
async fn a_restart_is_noticed_once_by_the_next_answer_to_any_lease_of_either_protocol() {
    for pcp_notices in [true, false] {
        let (gateway, port) = gateway();
        let pcp = PcpMapper::on(Arc::clone(&port));
        let nat_pmp = NatPmpMapper::on(Arc::clone(&port));
        let (by_pcp, by_nat_pmp) = (two_leases(&pcp).await, two_leases(&nat_pmp).await);
        pcp.renew(&by_pcp[0]).await.unwrap();
        nat_pmp.probe().await.unwrap();
        assert!(!is_doubtful(&port).await, "nothing has happened");

        gateway.reboot();
        let renewed = match pcp_notices {
            true => pcp.renew(&by_pcp[1]).await.unwrap(),
            false => nat_pmp.renew(&by_nat_pmp[1]).await.unwrap(),
        };
        assert_eq!(renewed.external.port(), 4001, "the exchange that notices goes on as usual");
        timeout(PATIENCE, port.doubtful()).await.expect("the restart is noticed");

        pcp.renew(&by_pcp[0]).await.unwrap();
        nat_pmp.renew(&by_nat_pmp[0]).await.unwrap();
        assert!(!is_doubtful(&port).await, "the same restart");
    }
}

/// Lets it look as if the gateway had been up for long.
async fn has_been_up(port: &GatewayPort, rule: Rule) {
    {
        let mut state = port.restarts.state();
        match rule {
            Rule::Pcp => state.pcp = Epoch::new(rule),
            Rule::NatPmp => state.nat_pmp = Epoch::new(rule),
        }
    }
    port.restarts.heard(rule, UP, port.restarts.now());
    is_doubtful(port).await;
}

#[tokio::test]
async fn every_kind_of_answer_shows_a_restart() {
    let (gateway, port) = gateway();
    let (pcp, nat_pmp) = (PcpMapper::on(Arc::clone(&port)), NatPmpMapper::on(Arc::clone(&port)));
    let ([by_pcp, _], [by_nat_pmp, _]) = (two_leases(&pcp).await, two_leases(&nat_pmp).await);
    gateway.reboot();
    for refuses in [false, true] {
        if refuses {
            let refuse = portlease_gateway::Mode::Refuse(2);
            gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (refuse, refuse));
        }
        for (client, mapping, rule) in
            [(&pcp as &dyn PortMapperClient, &by_pcp, Rule::Pcp), (&nat_pmp, &by_nat_pmp, Rule::NatPmp)]
        {
            has_been_up(&port, rule).await;
            assert_eq!(client.probe().await.is_err(), refuses);
            assert!(is_doubtful(&port).await, "{rule:?}, a probe, refused: {refuses}");
            has_been_up(&port, rule).await;
            assert_eq!(client.renew(mapping).await.is_err(), refuses);
            assert!(is_doubtful(&port).await, "{rule:?}, a renewal, refused: {refuses}");
            has_been_up(&port, rule).await;
            assert_eq!(client.remove(mapping).await.is_err(), refuses);
            assert!(is_doubtful(&port).await, "{rule:?}, a delete, refused: {refuses}");
        }
    }
}

#[tokio::test]
async fn another_external_address_is_noticed_by_any_answer_that_tells_it() {
    let (gateway, port) = gateway();
    let nat_pmp = NatPmpMapper::on(Arc::clone(&port));
    let [lease, _] = two_leases(&nat_pmp).await;
    gateway.set_external_address(None);
    nat_pmp.probe().await.unwrap();
    gateway.set_external_address(Some(Ipv4Addr::new(192, 0, 1, 1)));
    nat_pmp.probe().await.unwrap();
    assert!(!is_doubtful(&port).await, "it was away and is the same as before");
    gateway.set_external_address(Some(Ipv4Addr::new(192, 0, 1, 2)));
    nat_pmp.probe().await.unwrap();
    assert!(is_doubtful(&port).await);
    nat_pmp.renew(&lease).await.unwrap();
    assert!(!is_doubtful(&port).await, "told before");
}

#[tokio::test]
async fn a_gateway_that_tells_now_this_address_and_now_that_one_is_doubted_once_in_a_while() {
    let clock = Clock::test();
    let port = GatewayPort::with_clock("127.0.0.1:5351".parse().unwrap(), None, 0, clock.clone());
    let addresses = [Ipv4Addr::new(192, 0, 1, 1), Ipv4Addr::new(192, 0, 1, 2)];
    let mut doubts = 0;
    // An answer a second for ten minutes.
    for second in 0..600 {
        port.restarts.told_address(addresses[second % 2]);
        doubts += u32::from(is_doubtful(&port).await);
        clock.sleep_through(Duration::from_secs(1));
    }
    assert!((1..=10).contains(&doubts), "{doubts}");
}

/// Attends to the port and counts the doubts, until it is dropped.
struct Attendant {
    doubts: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Attendant {
    fn of(port: &Arc<GatewayPort>) -> Self {
        let doubts = Arc::<AtomicU32>::default();
        let (port, counter) = (Arc::clone(port), Arc::clone(&doubts));
        let task = tokio::spawn(async move {
            let count = || {
                counter.fetch_add(1, Ordering::Relaxed);
            };
            port.attend(count).await;
        });
        Self { doubts, task }
    }

    /// Says something until it is heard, because the socket may not be open yet.
    async fn hears(&self, number: u32, say: impl Fn()) {
        let heard = async {
            while self.doubts.load(Ordering::Relaxed) < number {
                say();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, heard).await.expect("it is heard");
        assert_eq!(self.doubts.load(Ordering::Relaxed), number);
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_gateway_that_cannot_be_listened_to_is_attended_all_the_same() {
    let port = GatewayPort::new("[::1]:5351".parse().unwrap(), None);
    let attendant = Attendant::of(&port);
    has_restarted(&port);
    attendant.hears(1, || {}).await;

    let port = GatewayPort::new("127.0.0.1:5351".parse().unwrap(), Some(Ipv4Addr::new(192, 0, 2, 77).into()));
    let attendant = Attendant::of(&port);
    has_restarted(&port);
    attendant.hears(1, || {}).await;
}

fn has_restarted(port: &GatewayPort) {
    for epoch in [UP, 0] {
        port.restarts.heard(Rule::Pcp, epoch, port.restarts.now());
    }
}

#[tokio::test]
async fn a_restart_that_came_while_nobody_attended_is_not_missed_and_told_once() {
    let (_gateway, port) = gateway();
    has_restarted(&port);
    has_restarted(&port);
    let attendants = [Attendant::of(&port), Attendant::of(&port)];
    let told = || attendants.iter().map(|attendant| attendant.doubts.load(Ordering::Relaxed)).sum::<u32>();
    let heard = async {
        while told() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, heard).await.expect("it is told");
    assert!(!is_doubtful(&port).await);
    assert_eq!(told(), 1);
}

/// The answer to a probe: PCP's ANNOUNCE; of NAT-PMP the header alone, which is a refusal.
fn answer(rule: Rule, epoch: u32) -> Vec<u8> {
    let epoch = epoch.to_be_bytes();
    match rule {
        Rule::Pcp => [&[2, 0x80, 0, 0, 0, 0, 0, 0][..], &epoch, &[0; 12]].concat(),
        Rule::NatPmp => [&[0, 0x80, 0, 3][..], &epoch].concat(),
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_its_exchange_has_ended_shows_a_restart_and_one_from_before_it_does_not() {
    for rule in [Rule::Pcp, Rule::NatPmp] {
        let (gateway, port) = FakeGateway::silent().await;
        let client: Box<dyn PortMapperClient> = match rule {
            Rule::Pcp => Box::new(PcpMapper::on(Arc::clone(&port))),
            Rule::NatPmp => Box::new(NatPmpMapper::on(Arc::clone(&port))),
        };
        // Repetitions of earlier requests are passed over.
        let hear = async |known: &[SocketAddr]| loop {
            let (_, peer) = gateway.hear().await;
            if !known.contains(&peer) {
                return peer;
            }
        };
        let answered = async |epoch, known: &[SocketAddr]| {
            let play = async { gateway.say(&answer(rule, epoch), hear(known).await).await };
            tokio::join!(client.probe(), play).0.unwrap_or_else(|error| assert_eq!(rule, Rule::NatPmp, "{error}"));
        };
        let unanswered = async |known: &[SocketAddr]| {
            let (outcome, peer) = tokio::join!(client.probe(), hear(known));
            outcome.unwrap_err();
            peer
        };
        answered(UP, &[]).await;
        let first = unanswered(&[]).await;
        gateway.say(&answer(rule, 0), first).await;
        timeout(PATIENCE, port.doubtful()).await.expect("the late answer is heard");

        // Sent before the restart and on its way for longer than the answer that showed it.
        has_been_up(&port, rule).await;
        let second = unanswered(&[first]).await;
        answered(0, &[first, second]).await;
        assert!(is_doubtful(&port).await, "{rule:?}");
        gateway.say(&answer(rule, UP), second).await;
        timeout(PATIENCE, client.news()).await.expect("it is heard");
        assert!(!is_doubtful(&port).await, "{rule:?}");
    }
}

#[cfg(target_os = "linux")]
#[path = "announced_tests.rs"]
mod announced;
