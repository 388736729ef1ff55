use super::*;
use crate::client::vectors;
use crate::clock::Clock;

const UP: u32 = 1_000_000;
const OTHER: Option<Ipv4Addr> = Some(Ipv4Addr::new(192, 0, 1, 2));
const ADDRESS: Option<Ipv4Addr> = Some(Ipv4Addr::new(192, 0, 1, 1));

fn pcp(epoch: u32) -> Announcement {
    Announcement { rule: Rule::Pcp, epoch, address: None }
}

fn nat_pmp(epoch: u32, address: Option<Ipv4Addr>) -> Announcement {
    Announcement { rule: Rule::NatPmp, epoch, address }
}

/// One line about a datagram, as the vectors write it.
fn read(datagram: &[u8]) -> String {
    match Announcement::parse(datagram) {
        None => "ignored".to_owned(),
        Some(Announcement { rule: Rule::Pcp, epoch, .. }) => format!("pcp epoch {epoch}"),
        Some(Announcement { rule: Rule::NatPmp, epoch, address }) => {
            let address = address.map_or_else(|| "none".to_owned(), |address| address.to_string());
            format!("nat-pmp epoch {epoch} {address}")
        }
    }
}

#[test]
fn every_vector_reads_as_it_says_and_what_is_cut_off_announces_nothing() {
    for vector in vectors::read("announcement") {
        assert_eq!(read(&vector.message), vector.field("expect"), "{}", vector.name);
        for length in 0..vector.message.len().min(wire::HEADER_LENGTH) {
            let whole = length == 12 && vector.name.starts_with("nat-pmp");
            assert!(whole || read(&vector.message[..length]) == "ignored", "{length} of {}", vector.name);
        }
    }
}

/// The seconds at which doubts are raised if these announcements come.
fn doubts(announcements: impl IntoIterator<Item = (f64, Announcement)>) -> Vec<f64> {
    let began = Clock::system().now();
    let mut announced = Announced::default();
    let mut doubts = Vec::new();
    let mut raise = |announced: &mut Announced, until: Moment| {
        if let Some(due) = announced.due().filter(|due| *due <= until) {
            announced.raised(due);
            announced.settled();
            doubts.push(due.since(began).as_secs_f64());
        }
    };
    for (at, announcement) in announcements {
        let now = began.after(Duration::from_secs_f64(at));
        raise(&mut announced, now);
        announced.heard(announcement, now);
        raise(&mut announced, now);
    }
    raise(&mut announced, began.after(Duration::from_secs(86_400)));
    doubts
}

/// When the announcements of one event are sent: 250 ms after the first, and twice as long after each.
fn series() -> impl Iterator<Item = f64> {
    (0..ANNOUNCEMENT_REPEATS).map(|number| 0.25 * f64::from((1 << number) - 1))
}

#[test]
fn announcements_read_as_the_standards_have_them() {
    let pcp_bytes = |epoch: u8| {
        let mut bytes = vec![2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, epoch];
        bytes.resize(24, 0);
        bytes
    };
    assert_eq!(Announcement::parse(&pcp_bytes(2)), Some(pcp(258)));
    assert_eq!(Announcement::parse(&[0, 0x80, 0, 0, 0, 0, 1, 2, 192, 0, 1, 1]), Some(nat_pmp(258, ADDRESS)));
    assert_eq!(Announcement::parse(&[0, 0x80, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0]), Some(nat_pmp(258, None)));
}

#[test]
fn what_is_no_announcement_is_ignored() {
    let change = |bytes: &[u8], position: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[position] = value;
        bytes
    };
    let mut map = vec![2, 0x81, 0, 0];
    map.resize(60, 0);
    assert_eq!(Announcement::parse(&map), None);
    let mut pcp = vec![2, 0x80, 0, 0];
    pcp.resize(24, 0);
    let nat_pmp = [0, 0x80, 0, 0, 0, 0, 0, 9, 192, 0, 1, 1];
    for good in [pcp.as_slice(), &nat_pmp] {
        for length in 0..good.len() {
            assert_eq!(Announcement::parse(&good[..length]), None, "{length} bytes of {good:?}");
        }
        // A version that nobody knows, a request, another opcode, a refusal.
        for (position, value) in [(0, 1), (0, 3), (1, 0), (1, 0x81), (1, 0x82), (3, 1), (3, 3)] {
            let bad = change(good, position, value);
            assert_eq!(Announcement::parse(&bad), None, "{bad:?}");
        }
    }
}

#[test]
fn the_repetitions_of_an_announcement_are_one_doubt() {
    let restart = |at: f64| pcp(at as u32);
    assert_eq!(doubts(series().map(|at| (at, restart(at)))), [0.0]);
    // The uptime of the machine in place of the epoch.
    assert_eq!(doubts(series().map(|at| (at, pcp(UP + at as u32)))), [0.0]);
    assert_eq!(doubts(series().map(|at| (at, nat_pmp(at as u32, ADDRESS)))), [0.0]);
}

/// What miniupnpd does if its external address changes.
#[test]
fn announcements_of_both_protocols_at_once_are_a_doubt_now_and_at_most_one_a_minute_later() {
    assert_eq!(doubts([(0.0, nat_pmp(UP, OTHER)), (0.0, pcp(0))]), [0.0, 60.0]);
}

#[test]
fn a_later_event_is_a_doubt_of_its_own() {
    let minutes = |number: f64| number * 60.0;
    // A restart each, which the epoch does not show.
    let fits = [minutes(0.0), minutes(2.0), minutes(9.0)].map(|at| (at, pcp(UP + at as u32)));
    assert_eq!(doubts(fits), [0.0, 120.0, 540.0]);
    let resets = [minutes(0.0), minutes(2.0)].map(|at| (at, pcp(0)));
    assert_eq!(doubts(resets), [0.0, 120.0]);
    let addresses = [(0.0, nat_pmp(UP, ADDRESS)), (minutes(2.0), nat_pmp(UP + 120, OTHER))];
    assert_eq!(doubts(addresses), [0.0, 120.0]);
}

#[test]
fn an_event_soon_after_another_one_is_put_off_and_not_forgotten() {
    assert_eq!(doubts([(0.0, pcp(UP)), (20.0, pcp(0)), (40.0, pcp(0))]), [0.0, 60.0]);
    assert_eq!(doubts([(0.0, nat_pmp(9, ADDRESS)), (0.5, nat_pmp(9, OTHER))]), [0.0, 60.0]);
}

#[test]
fn forged_announcements_cause_at_most_one_doubt_a_minute_and_hide_no_restart_for_longer() {
    // Whatever they say: a clock that jumps, one that runs.
    for forged in [|at: u32| at.wrapping_mul(0x9e37_79b9), |at: u32| UP + at] {
        let flood = (0..36_000).map(|tenth| (f64::from(tenth) / 10.0, pcp(forged(tenth / 10))));
        let raised = doubts(flood);
        assert!(raised.windows(2).all(|pair| pair[1] - pair[0] >= 60.0), "{raised:?}");
        assert!(raised.windows(2).all(|pair| pair[1] - pair[0] <= 62.0) && raised.len() > 55, "{raised:?}");
    }
}

#[test]
fn a_restart_that_was_announced_explains_what_answers_show_once_its_doubt_was_raised() {
    let began = Clock::system().now();
    let at = |seconds| began.after(Duration::from_secs(seconds));
    let reading = |epoch, seconds| Reading { epoch, asked: at(seconds), received: at(seconds) };
    let mut announced = Announced::default();
    assert!(!announced.explains(reading(0, 0)));
    announced.heard(pcp(0), at(0));
    assert!(!announced.explains(reading(0, 0)), "nobody has renewed yet");
    announced.raised(at(0));
    announced.settled();
    assert!(announced.explains(reading(1, 1)));
    assert!(announced.explains(reading(300, 300)));
    assert!(!announced.explains(reading(100, 300)), "it has restarted since");
    assert!(!announced.has_told(Ipv4Addr::new(192, 0, 1, 2)));
    announced.heard(nat_pmp(400, OTHER), at(400));
    announced.raised(at(400));
    announced.settled();
    assert!(announced.has_told(Ipv4Addr::new(192, 0, 1, 2)));
}
