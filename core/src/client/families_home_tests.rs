//! Leases of both families, each as long as it lives.

use super::*;
use crate::net::address::AddressClass;
use crate::snapshot::Release;
use crate::{EventKind, Mapper, wait};

#[test]
fn a_pinhole_lives_as_long_as_its_lease_without_any_ipv4() {
    at_home(|router| {
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let lease = mapper.map(pinhole(5000)).unwrap();
        let ready = mapped(&lease);
        assert_eq!(ready.external().unwrap().to_string(), "[2600:1::5]:5000");
        assert_eq!((ready.address_class, ready.family), (AddressClass::Public, AddressFamily::Ipv6));
        assert_eq!(router.open(), ["2600:1::5"]);
        let view = mapper.snapshot();
        assert_eq!((view.gateway, view.local_address), ("fe80::1%lan0".parse().ok(), "2600:1::5".parse().ok()));
        assert_eq!(wait(lease.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn a_lease_follows_its_prefix_and_closes_the_old_pinhole() {
    at_home(|router| {
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let lease = mapper.map(pinhole(5001)).unwrap();
        mapped(&lease);
        let external = || lease.snapshot().external().map(|external| external.ip().to_string());
        ip("addr add 2600:2::5/64 dev lan0 nodad valid_lft 3600 preferred_lft 3600");
        ip("addr change 2600:1::5/64 dev lan0 valid_lft 3600 preferred_lft 0");
        until("the lease has moved", || external().as_deref() == Some("2600:2::5"));
        until("the old pinhole is closed", || router.open() == ["2600:2::5"]);
        let kinds: Vec<_> = std::iter::from_fn(|| wait(mapper.next_event(Duration::ZERO)).ok()).collect();
        let kinds: Vec<_> = kinds.iter().map(|event| event.kind).collect();
        let moved = [EventKind::NetworkChanged, EventKind::Revoked, EventKind::Installed];
        assert!(kinds.ends_with(&moved), "{kinds:?}");
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn without_an_ipv6_lease_nothing_is_asked_over_ipv6_and_both_families_share_a_port() {
    at_home(|router| {
        ip("addr add 192.168.1.5/24 dev lan0");
        ip("route add default via 192.168.1.1 dev lan0");
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let ipv4 = mapper.map(MapRequest::new(5002, Transport::Udp)).unwrap();
        mapped(&ipv4);
        assert_eq!((router.requests(), router.open()), (0, vec!["::ffff:192.168.1.5".to_owned()]));
        let ipv6 = mapper.map(pinhole(5002)).unwrap();
        mapped(&ipv6);
        assert_eq!(router.open(), ["2600:1::5", "::ffff:192.168.1.5"]);
        assert_eq!(mapper.snapshot().gateway, Some([192, 168, 1, 1].into()), "IPv4's, where there is one");
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn two_mappers_of_a_process_share_a_pinhole_and_the_last_one_closes_it() {
    at_home(|router| {
        let open = || {
            let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
            let lease = mapper.map(pinhole(5003)).unwrap();
            mapped(&lease);
            (mapper, lease)
        };
        let (first, last) = (open(), open());
        assert_eq!(wait(first.0.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), ["2600:1::5"]);
        assert_eq!(wait(last.0.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn what_a_crash_has_left_is_taken_over_by_its_nonce_or_closed() {
    at_home(|router| {
        let crashes = Crashes::new("families");
        crashes.crash(&pinhole(5004));
        crashes.crash(&pinhole(5005));
        assert_eq!(router.open().len(), 2);
        let mapper = Mapper::start(crashes.config()).unwrap();
        let lease = mapper.map(pinhole(5004)).unwrap();
        mapped(&lease);
        until("nobody wants the other one", || router.open().len() == 1);
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}
