use std::time::Duration;

use tokio::time::advance;

use super::*;

fn service() -> Service {
    Service::known("http://192.168.1.1:5000/ctl", "urn:schemas-upnp-org:service:WANIPConnection:1").unwrap()
}

fn place(port: u16) -> Place {
    Place { device: Identity::of("uuid:1", &service()), transport: Transport::Udp, port: Port::Known(port) }
}

fn internal(port: u16) -> SocketAddr {
    ([192, 168, 1, 2], port).into()
}

fn entry(port: u16) -> Entry<'static> {
    Entry { transport: Transport::Udp, internal: internal(port), description: "portlease" }
}

fn claim(ledger: &Ledger, port: u16, lease: u32) -> Claim {
    Claim { reservation: ledger.reserve(place(port), &entry(4000), &service()).unwrap(), lease }
}

#[test]
fn a_device_without_a_name_is_known_by_its_address() {
    let moved = Service::known("http://192.168.1.1:6000/x", "urn:schemas-upnp-org:service:WANIPConnection:1").unwrap();
    assert_eq!(Identity::of("", &service()), Identity::of("", &moved));
    assert_ne!(Identity::of("uuid:1", &service()), Identity::of("uuid:2", &service()));
    assert_eq!((Identity::of("uuid:1", &moved).udn(), Identity::of("", &moved).udn()), ("uuid:1", ""));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_sent_nothing_leaves_no_line() {
    let ledger = Ledger::default();
    let attempt = claim(&ledger, 5000, 60);
    assert!(ledger.reserve(place(5000), &entry(4001), &service()).is_none(), "another lease got the same port");
    drop(attempt);
    assert!(ledger.book().lines.is_empty() && ledger.book().attempts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_doubtful_until_it_is_granted_or_refused() {
    let ledger = Ledger::default();
    let attempt = claim(&ledger, 5000, 60);
    attempt.sending().made_nothing();
    assert!(ledger.added(&place(5000), 4000).is_none());
    let _ = attempt.sending();
    assert_eq!(ledger.doubtful(Transport::Udp, 4000).len(), 1);
    assert!(ledger.doubtful(Transport::Tcp, 4000).is_empty() && ledger.doubtful(Transport::Udp, 4001).is_empty());
    attempt.reservation.granted(60);
    drop(attempt);
    assert!(ledger.doubtful(Transport::Udp, 4000).is_empty() && ledger.added(&place(5000), 4000).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_does_not_end_the_doubt_about_an_earlier_request() {
    let ledger = Ledger::default();
    let first = claim(&ledger, 5000, 60);
    let _ = first.sending();
    drop(first);
    claim(&ledger, 5000, 60).sending().made_nothing();
    assert_eq!(ledger.doubtful(Transport::Udp, 4000).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_counts_no_longer_than_the_longest_lease_that_was_asked_for() {
    let ledger = Ledger::default();
    let first = claim(&ledger, 5000, 60);
    let _ = first.sending();
    let second = claim(&ledger, 5000, 3);
    let _ = second.sending();
    drop((first, second));
    advance(Duration::from_secs(30)).await;
    assert!(ledger.added(&place(5000), 4000).is_some() && !ledger.has_run_out(&place(5000)));
    advance(Duration::from_secs(40)).await;
    assert!(ledger.added(&place(5000), 4000).is_none() && ledger.has_run_out(&place(5000)));
    assert!(ledger.doubtful(Transport::Udp, 4000).is_empty());
    assert!(ledger.reserve(place(5000), &entry(4001), &service()).is_some());
    let _ = claim(&ledger, 6000, PERMANENT).sending();
    advance(Duration::from_secs(86_400 * 365)).await;
    assert!(ledger.added(&place(6000), 4000).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_no_lease_holds_any_longer_is_doubtful() {
    let ledger = Ledger::default();
    let attempt = claim(&ledger, 5000, 60);
    let _ = attempt.sending();
    attempt.reservation.granted(60);
    ledger.doubt(&place(5000), 4000);
    assert_eq!(ledger.doubtful(Transport::Udp, 4000).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_port_is_kept_from_other_leases_while_a_lease_holds_it_or_asks_for_it_and_no_longer() {
    let ledger = Ledger::default();
    let another = || ledger.reserve(place(5000), &entry(4001), &service());
    let attempt = claim(&ledger, 5000, PERMANENT);
    let _ = attempt.sending();
    let second = claim(&ledger, 5000, PERMANENT);
    drop(attempt);
    assert!(another().is_none(), "an attempt is under way");
    second.reservation.granted(PERMANENT);
    drop(second);
    assert!(another().is_none(), "a lease holds it");
    ledger.doubt(&place(5000), 4000);
    assert!(another().is_some());
    assert!(ledger.added_for_another(&place(5000), 4001).is_some() && ledger.added(&place(5000), 4001).is_none());
}
