//! What is left, by whom, and when.

use super::*;
use crate::snapshot::Release;
use crate::{Mapper, wait};

#[test]
fn what_a_crash_has_left_of_one_family_is_deleted_though_only_the_other_one_is_asked_for() {
    at_home(|router| {
        with_ipv4();
        let ipv4 = |port| MapRequest::new(port, Transport::Udp);
        for (left, asked, stays) in
            [(pinhole(5006), ipv4(5007), "::ffff:192.168.1.5"), (ipv4(5006), pinhole(5007), "2600:1::5")]
        {
            let crashes = Crashes::new("other-family");
            crashes.crash(&left);
            let before = router.requests();
            let mapper = Mapper::start(crashes.config()).unwrap();
            let lease = mapper.map(asked.clone()).unwrap();
            mapped(&lease);
            if asked.family == AddressFamily::Ipv4 {
                assert_eq!(router.requests(), before, "not before the first mapping");
            }
            assert_eq!(router.open().len(), 2);
            until("what was left is deleted", || router.open() == [stays]);
            if asked.family == AddressFamily::Ipv4 {
                until("nothing of IPv6 is open any more", || sockets() == 0);
            }
            assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
            assert_eq!(router.open(), [""; 0]);
        }
    });
}

#[test]
fn what_a_crash_has_left_of_ipv6_is_deleted_though_ipv4_maps_nothing() {
    at_home(|router| {
        let crashes = Crashes::new("no-ipv4");
        crashes.crash(&pinhole(5008));
        let mapper = Mapper::start(crashes.config()).unwrap();
        let lease = mapper.map(MapRequest::new(5009, Transport::Udp)).unwrap();
        wait(lease.ready(PATIENCE)).unwrap_err();
        until("what was left is deleted", || router.open().is_empty());
        drop(mapper);
    });
}

#[test]
fn a_pinhole_stays_on_record_when_the_one_of_the_old_prefix_is_closed() {
    at_home(|router| {
        let crashes = Crashes::new("renumbered");
        let mapper = Mapper::start(crashes.config()).unwrap();
        let lease = mapper.map(pinhole(5021)).unwrap();
        mapped(&lease);
        ip("addr add 2600:2::5/64 dev lan0 nodad valid_lft 3600 preferred_lft 3600");
        ip("addr change 2600:1::5/64 dev lan0 valid_lft 3600 preferred_lft 0");
        until("the old pinhole is closed", || router.open() == ["2600:2::5"]);
        let on_record = |address: &str| {
            let files = std::fs::read_dir(&crashes.0).unwrap().map(|file| file.unwrap().path());
            // The file of an earlier version may be gone by now.
            let texts = files.map(|file| std::fs::read_to_string(file).unwrap_or_default());
            texts.collect::<String>().contains(&format!(" local={address} "))
        };
        until("the old one is not on record", || !on_record("2600:1::5"));
        until("the new one is", || on_record("2600:2::5"));
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn a_lease_whose_address_goes_before_another_one_comes_follows_and_its_end_says_what_may_be_left() {
    at_home(|router| {
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let lease = mapper.map(pinhole(5010)).unwrap();
        mapped(&lease);
        let external = || lease.snapshot().external().map(|external| external.ip().to_string());
        // The same one again: the router has it still.
        ip("addr del 2600:1::5/64 dev lan0");
        until("without an address nothing is shown", || external().is_none());
        ip("addr add 2600:1::5/64 dev lan0 nodad");
        until("the lease is back", || external().as_deref() == Some("2600:1::5"));
        assert_eq!(router.open(), ["2600:1::5"]);
        ip("addr del 2600:1::5/64 dev lan0");
        until("without an address nothing is shown", || external().is_none());
        ip("addr add 2600:2::5/64 dev lan0 nodad");
        until("the lease has moved", || external().as_deref() == Some("2600:2::5"));
        let begun = Instant::now();
        // Only the old address could close the old pinhole, and there is none any more.
        assert_eq!(wait(lease.stop(PATIENCE)), Release::Unconfirmed);
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
        assert_eq!(router.open(), ["2600:1::5"]);
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Unconfirmed);
    });
}

#[test]
fn a_mapper_that_is_stopped_while_ipv6_begins_leaves_nothing() {
    at_home(|router| {
        with_ipv4();
        for seen in [0, 0, 1, 1, 2] {
            let before = router.requests();
            let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
            let leases = [MapRequest::new(5011, Transport::Udp), pinhole(5011), pinhole(5012)]
                .map(|request| mapper.map(request).unwrap());
            until("the race for IPv6 has begun", || router.requests() >= before + seen);
            assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
            assert_eq!(router.open(), [""; 0], "{seen}");
            until("all is closed", || sockets() == 0);
            drop(leases);
        }
    });
}

#[test]
fn a_mapper_that_is_dropped_while_a_silent_router_is_asked_ends_and_closes_its_sockets() {
    at_home(|router| {
        router.mute.store(true, Relaxed);
        let mapper = Mapper::start(Config::default()).unwrap();
        let lease = mapper.map(pinhole(5013)).unwrap();
        until("the router is asked", || router.requests() > 0);
        assert_ne!(sockets(), 0);
        drop((lease, mapper));
        until("all is closed", || sockets() == 0);
    });
}

#[test]
fn the_second_of_two_routers_opens_the_port_if_the_first_is_silent() {
    at_home(|router| {
        ip("-6 route replace default via fe80::1 dev lan0 metric 2048");
        ip("-6 route del default via fe80::1 dev lan0 metric 1024");
        ip("-6 route add default via fe80::9 dev lan0 metric 1024");
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let lease = mapper.map(pinhole(5014)).unwrap();
        mapped(&lease);
        assert_eq!(router.open(), ["2600:1::5"]);
        assert_eq!(mapper.snapshot().gateway, "fe80::1%lan0".parse().ok());
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn a_router_that_has_restarted_shows_it_by_its_next_answer_and_all_its_pinholes_are_opened_again() {
    at_home(|router| {
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let leases = [5016, 5017].map(|port| mapper.map(pinhole(port)).unwrap());
        leases.iter().for_each(|lease| drop(mapped(lease)));
        router.restart();
        let _another = mapper.map(pinhole(5018)).unwrap();
        until("all are open again", || router.open().len() > leases.len());
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn a_program_that_has_the_port_of_announcements_for_itself_is_in_nobodys_way() {
    at_home(|router| {
        let _taken = UdpSocket::bind("[::]:5350").unwrap();
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let lease = mapper.map(pinhole(5020)).unwrap();
        mapped(&lease);
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
    });
}

#[test]
fn leases_that_come_and_go_leave_no_sockets_behind() {
    at_home(|router| {
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        for _ in 0..10 {
            let lease = mapper.map(pinhole(5019)).unwrap();
            mapped(&lease);
            assert_eq!(wait(lease.stop(PATIENCE)), Release::Released);
            assert_eq!(router.open(), [""; 0]);
        }
        // It listens to what the router announces, for as long as it lives.
        until("the exchanges are over", || sockets() <= 1);
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        until("all is closed", || sockets() == 0);
    });
}

#[test]
fn hundreds_of_leases_of_both_families_come_and_go() {
    at_home(|router| {
        with_ipv4();
        let mapper = Mapper::start(Config::default().protocols([Protocol::Pcp])).unwrap();
        let leases: Vec<_> = (0..100_u16)
            .flat_map(|number| AddressFamily::ALL.map(|family| pinhole(20_000 + number).family(family)))
            .map(|request| mapper.map(request).unwrap())
            .collect();
        for lease in &leases {
            mapped(lease);
        }
        assert_eq!(router.open().len(), leases.len());
        assert!(sockets() <= 2 * crate::client::udp::MAX_EXCHANGES, "{}", sockets());
        assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        assert_eq!(router.open(), [""; 0]);
        until("all is closed", || sockets() == 0);
    });
}

#[test]
fn without_ipv6_on_this_machine_a_pinhole_is_unavailable_at_once() {
    in_namespace(|| {
        let Ok(()) = std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1") else {
            eprintln!("skipped: this machine has no IPv6");
            return;
        };
        let simulated = IpAddr::from([127, 0, 0, 1]);
        for (config, why) in [
            (Config::default(), "there is no IPv6 default route"),
            (Config::default().gateway(simulated), "this machine has no IPv6"),
            (Config::default().gateway("2600:1::1".parse::<IpAddr>().unwrap()), "there is no IPv6 route"),
            (Config::default().interface("lo"), "interface lo has no IPv6 default route"),
        ] {
            let mapper = Mapper::start(config).unwrap();
            let error = wait(mapper.map(pinhole(5015)).unwrap().ready(PATIENCE)).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.details().is_empty(), "nobody was asked, so nothing was waited for: {error:?}");
            assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
        }
    });
}
