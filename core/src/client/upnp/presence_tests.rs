use std::sync::atomic::AtomicBool;

use super::*;
use crate::client::upnp::description::Service;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOME: &str = "http://192.168.1.1:5000/d.xml";
const ELSEWHERE: &str = "http://192.168.1.1:6000/d.xml";

fn said(kind: Kind, location: Option<&str>, boot_id: Option<u32>) -> Notification {
    let location = location.map(|location| Url::parse(location).unwrap());
    let max_age = Some(2 * MINUTE);
    Notification { kind, usn: "uuid:1".into(), location, boot_id, next_boot_id: None, max_age }
}

fn alive(location: &str, boot_id: impl Into<Option<u32>>) -> Notification {
    said(Kind::Alive, Some(location), boot_id.into())
}

fn byebye() -> Notification {
    said(Kind::Byebye, None, Some(1))
}

fn device(location: &str, boot_id: Option<u32>) -> Device {
    let service = Service::known("http://192.168.1.1:5000/ctl", "urn:schemas-upnp-org:service:WANIPConnection:1");
    Device {
        responder: [192, 168, 1, 1].into(),
        description_url: Url::parse(location).unwrap(),
        friendly_name: String::new(),
        manufacturer: None,
        model: None,
        firmware: None,
        igd_version: None,
        udn: "uuid:1".into(),
        service: service.unwrap(),
        line: None,
        connected: None,
        external: None,
        boot_id,
        found: Instant::now(),
        round_trip: Duration::ZERO,
        permanent_only: AtomicBool::new(false),
    }
}

/// What the announcements say that come `pause` after each other.
fn hear_all(presence: &mut Presence, pause: Duration, all: &[Notification]) -> Vec<Option<Doubt>> {
    let mut now = Instant::now();
    all.iter()
        .map(|said| {
            now += pause;
            presence.hear(said, now)
        })
        .collect()
}

#[test]
fn what_is_first_heard_is_learned_and_periodic_announcements_of_an_unchanged_device_mean_nothing() {
    for boot_id in [Some(7), None] {
        let mut presence = Presence::default();
        let day = vec![alive(HOME, boot_id); 24 * 60];
        assert!(hear_all(&mut presence, MINUTE, &day).iter().all(Option::is_none), "{boot_id:?}");
    }
}

#[test]
fn another_boot_id_is_one_doubt_however_often_it_is_announced() {
    let mut presence = Presence::default();
    let burst = vec![alive(ELSEWHERE, 8); 10];
    let all = [vec![alive(HOME, 7); 3], vec![byebye(); 10], burst.clone(), vec![byebye(); 3], burst].concat();
    let doubts: Vec<_> = hear_all(&mut presence, SECOND / 10, &all).into_iter().flatten().collect();
    assert_eq!(doubts, [Doubt::Rebooted]);
}

#[test]
fn a_boot_id_is_learned_from_the_search_or_else_from_the_first_announcement() {
    let mut presence = Presence::default();
    assert_eq!(presence.found(&device(HOME, Some(7))), None);
    assert_eq!(presence.hear(&alive(HOME, 8), Instant::now()), Some(Doubt::Rebooted));
    let mut presence = Presence::default();
    assert_eq!(presence.found(&device(HOME, None)), None);
    assert_eq!(presence.hear(&alive(HOME, 8), Instant::now()), None);
    assert_eq!(presence.hear(&alive(HOME, 9), Instant::now()), Some(Doubt::Rebooted));
}

#[test]
fn a_device_that_a_search_finds_changed_is_a_doubt_and_its_announcements_are_no_second_one() {
    let mut presence = Presence::default();
    let first = device(HOME, Some(7));
    assert_eq!(presence.found(&first), None);
    assert_eq!(presence.found(&first), None);
    assert_eq!(presence.found(&device(ELSEWHERE, Some(8))), Some(Doubt::Rebooted));
    assert_eq!(presence.hear(&alive(ELSEWHERE, 8), Instant::now()), None);
    assert_eq!(presence.found(&device(HOME, None)), Some(Doubt::Moved));
    assert_eq!(presence.found(&device(HOME, None)), None);
}

#[test]
fn a_goodbye_alone_is_no_doubt_and_the_return_from_it_is_one() {
    let mut presence = Presence::default();
    let all = [alive(HOME, 7), byebye(), byebye(), alive(HOME, 7), alive(HOME, 7)];
    let doubts = hear_all(&mut presence, MINUTE, &all);
    assert_eq!(doubts, [None, None, None, Some(Doubt::Back), None]);
}

#[test]
fn another_location_is_a_doubt_once_if_a_device_announces_several_by_turns() {
    let mut presence = Presence::default();
    let all: Vec<_> = (0..20).map(|turn| alive(if turn % 2 == 0 { HOME } else { ELSEWHERE }, 7)).collect();
    let doubts: Vec<_> = hear_all(&mut presence, MINUTE, &all).into_iter().flatten().collect();
    assert_eq!(doubts, [Doubt::Moved]);
    // After a restart what was announced before it does not count.
    assert_eq!(presence.hear(&alive(HOME, 8), Instant::now()), Some(Doubt::Rebooted));
    assert_eq!(presence.hear(&alive(ELSEWHERE, 8), Instant::now()), Some(Doubt::Moved));
    for port in 1..100 {
        presence.hear(&alive(&format!("http://192.168.1.1:{port}/d.xml"), 8), Instant::now());
    }
    assert_eq!(presence.locations.len(), MAX_LOCATIONS);
}

#[test]
fn a_boot_id_that_an_update_has_foretold_is_no_restart_and_one_that_differs_is() {
    let update =
        |boot_id, next| Notification { next_boot_id: Some(next), ..said(Kind::Update, Some(HOME), Some(boot_id)) };
    let mut presence = Presence::default();
    let all = [alive(HOME, 7), update(7, 8), alive(HOME, 8), update(20, 21), alive(HOME, 21)];
    assert_eq!(hear_all(&mut presence, MINUTE, &all), [None, None, None, Some(Doubt::Rebooted), None]);
}

#[test]
fn a_long_silence_of_a_device_without_boot_id_is_a_doubt_and_a_lost_announcement_is_none() {
    let start = Instant::now();
    let at = |minutes: u32| start + MINUTE * minutes;
    for boot_id in [None, Some(7)] {
        let mut presence = Presence::default();
        let mut hear = |minutes| presence.hear(&alive(HOME, boot_id), at(minutes));
        assert_eq!([0, 10, 20].map(&mut hear), [None; 3]);
        assert_eq!(hear(40), None, "one announcement was lost, and the pause is twice the usual one");
        let silent = boot_id.is_none().then_some(Doubt::Silent);
        assert_eq!(hear(90), silent, "{boot_id:?}");
        assert_eq!([100, 110, 160].map(hear), [None; 3], "longer pauses are usual by now");
    }
}
