//! A UPnP device that does not do what it answers, or fails only for a while.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::Write;
use std::net::TcpStream;

use common::*;
use portlease_gateway::{Faults, Gateway};

fn with(change: impl FnOnce(&mut Faults)) -> Gateway {
    start(|config| change(&mut config.faults))
}

fn key(port: &str) -> [(&'static str, &str); 3] {
    [("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", "UDP")]
}

#[test]
fn a_finite_lease_is_answered_by_success_and_makes_no_entry() {
    let gateway = with(|faults| faults.upnp_finite_lost = true);
    assert!(add(&gateway, 4000, 4000, "UDP", 600).starts_with("HTTP/1.1 200"));
    assert_eq!(error_code(&soap(&gateway, "GetSpecificPortMappingEntry", &key("4000"))), Some(714));
    assert!(add(&gateway, 4000, 4000, "UDP", 0).starts_with("HTTP/1.1 200"));
    assert_eq!(error_code(&soap(&gateway, "GetSpecificPortMappingEntry", &key("4000"))), None);
}

#[test]
fn any_lease_is_answered_by_success_and_makes_no_entry() {
    let gateway = with(|faults| faults.upnp_lost = true);
    for lease in [0, 600] {
        assert!(add(&gateway, 4000, 4000, "UDP", lease).starts_with("HTTP/1.1 200"));
    }
    let request = soap_request("/ctl/IPConn", WAN_IP_2, "AddAnyPortMapping", &add_arguments("1", "1", "UDP", "60"));
    let any = String::from_utf8(http_raw(gateway.http_address(), &request, usize::MAX).0).unwrap();
    assert_eq!(element(&any, "NewReservedPort"), Some("1"));
    assert!(gateway.mappings().is_empty());
    assert_eq!(ask(&client(&gateway), &natpmp_map(1, 4000, 4000, 60)).len(), 16);
    assert_eq!(gateway.mappings().len(), 1, "the other protocols are honest");
}

#[test]
fn a_lease_is_cut_without_a_word() {
    for (asked, shown) in [(600, 100), (0, 100), (60, 60)] {
        let gateway = with(|faults| faults.upnp_max_lease = Some(100));
        assert!(add(&gateway, 4000, 4000, "UDP", asked).starts_with("HTTP/1.1 200"));
        let entry = soap(&gateway, "GetSpecificPortMappingEntry", &key("4000"));
        let lease: u32 = element(&entry, "NewLeaseDuration").unwrap().parse().unwrap();
        assert!(lease <= shown && lease > shown - 50, "asked {asked}, shown {lease}");
    }
}

#[test]
fn the_external_address_is_nonsense_or_never_comes() {
    for text in ["", "unknown", "0.0.0.0", "999.1.1.1"] {
        let gateway = with(|faults| faults.external_address_text = Some(text.into()));
        assert_eq!(element(&soap(&gateway, "GetExternalIPAddress", &[]), "NewExternalIPAddress"), Some(text));
        assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 60)), None);
    }
    let gateway = with(|faults| faults.external_address_hangs = true);
    let mut stream = TcpStream::connect(gateway.http_address()).unwrap();
    stream.write_all(soap_request("/ctl/IPConn", WAN_IP_1, "GetExternalIPAddress", &[]).as_bytes()).unwrap();
    assert!(gateway.wait_for(PATIENCE, |state| state.counters.get("soap_GetExternalIPAddress") == 1));
    stream.set_read_timeout(Some(QUIET)).unwrap();
    assert!(stream.peek(&mut [0]).is_err(), "neither an answer nor an end");
    assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 60)), None, "the rest works");
}

#[test]
fn an_action_fails_for_a_while_only() {
    for code in [402, 501] {
        let gateway = with(|faults| {
            faults.soap_errors = [("AddPortMapping".into(), code), ("GetStatusInfo".into(), 401)].into();
            faults.soap_error_counts = [("AddPortMapping".into(), 2)].into();
        });
        let codes: Vec<_> = (0..3).map(|_| error_code(&add(&gateway, 4000, 4000, "UDP", 60))).collect();
        assert_eq!(codes, [Some(code), Some(code), None]);
        assert_eq!(gateway.faults().soap_error_counts["AddPortMapping"], 0);
        for _ in 0..2 {
            assert_eq!(error_code(&soap(&gateway, "GetStatusInfo", &[])), Some(401), "without a count it stays");
        }
    }
}

#[test]
fn a_question_about_one_entry_is_not_implemented() {
    let gateway = with(|faults| faults.soap_errors = [("GetSpecificPortMappingEntry".into(), 401)].into());
    assert_eq!(error_code(&add(&gateway, 4000, 4000, "UDP", 60)), None);
    assert_eq!(error_code(&soap(&gateway, "GetSpecificPortMappingEntry", &key("4000"))), Some(401));
}
