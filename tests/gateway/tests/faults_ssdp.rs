//! Searches that are answered late, wrongly first, or by a device that must be known again.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use portlease_gateway::{Faults, Gateway};

const ROOT: &str = "upnp:rootdevice";

fn with(change: impl FnOnce(&mut Faults)) -> Gateway {
    start(|config| change(&mut config.faults))
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    answer.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
}

fn answers(gateway: &Gateway, st: &str, count: usize) -> Vec<String> {
    search_from(gateway.ssdp_address(), st, count).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn an_answer_can_come_long_after_mx() {
    // The search says MX 1.
    let gateway = with(|faults| faults.ssdp_delay_ms = 2500);
    let began = Instant::now();
    assert_eq!(answers(&gateway, ROOT, 1).len(), 1);
    assert!(began.elapsed() >= Duration::from_millis(2490));
}

#[test]
fn bogus_locations_come_before_the_true_one_from_the_same_address() {
    for same_udn in [false, true] {
        let gateway = with(|faults| (faults.ssdp_bogus_locations, faults.ssdp_bogus_udn_is_true) = (12, same_udn));
        let found = search_from(gateway.ssdp_address(), ROOT, 13);
        assert_eq!(found.len(), 13);
        assert!(found.iter().all(|(from, _)| *from == gateway.ssdp_address()));
        let locations: Vec<&str> = found.iter().map(|(_, answer)| header(answer, "LOCATION")).collect();
        assert_eq!(locations[12], gateway.description_url());
        for (number, location) in (1..=12).zip(&locations) {
            assert_eq!(**location, format!("http://{}/bogus{number}.xml", gateway.http_address()));
            assert!(get(&gateway, &format!("/bogus{number}.xml")).starts_with("HTTP/1.1 404"));
        }
        let mut usns: Vec<&str> = found.iter().map(|(_, answer)| header(answer, "USN")).collect();
        usns.sort_unstable();
        usns.dedup();
        assert_eq!(usns.len(), if same_udn { 1 } else { 13 });
    }
}

#[test]
fn usn_and_description_name_the_same_udn_and_a_reboot_keeps_it_and_raises_bootid() {
    let gateway = gateway();
    let seen = |gateway: &Gateway| {
        let answer = &answers(gateway, ROOT, 1)[0];
        let udn = element(&get(gateway, "/rootDesc.xml"), "UDN").unwrap().to_owned();
        assert_eq!(header(answer, "USN"), format!("{udn}::{ROOT}"));
        (udn, header(answer, "BOOTID.UPNP.ORG").parse::<u32>().unwrap())
    };
    let (udn, boot) = seen(&gateway);
    gateway.reboot();
    assert_eq!(seen(&gateway), (udn, boot + 1));
}

#[test]
fn another_seed_is_another_device() {
    let udn = |seed| {
        let gateway = start(|config| config.seed = seed);
        element(&get(&gateway, "/rootDesc.xml"), "UDN").unwrap().to_owned()
    };
    assert_eq!(udn(7), udn(7));
    assert_ne!(udn(7), udn(8));
}
