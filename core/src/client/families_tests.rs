use super::*;
use crate::mapping::Protocol;
use crate::schedule::DEFAULT_TTL;

const IPV4: MapRequest = MapRequest::new(4000, Transport::Udp);
const IPV6: MapRequest = MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6);

/// A gateway on loopback, where nothing listens.
fn nobody() -> Config {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Config::default().gateway(IpAddr::from([127, 0, 0, 1])).pcp_port(port).protocols([Protocol::Pcp, Protocol::NatPmp])
}

#[tokio::test]
async fn ipv6_begins_with_the_first_request_for_it() {
    let families = Families::new(nobody(), &Worlds::default());
    families.install(&IPV4, DEFAULT_TTL).await.unwrap_err();
    families.abandon(&IPV4).await.unwrap();
    families.report().await.unwrap();
    families.settle().await;
    drop(families.view());
    assert!(families.ipv6.get().is_none());
    let error = families.install(&IPV6, DEFAULT_TTL).await.unwrap_err();
    assert!(error.to_string().contains("[::1]"), "{error}");
    assert!(families.ipv6.get().is_some());
    let report = families.report_of(AddressFamily::Ipv6).await.unwrap();
    let protocols: Vec<_> = report.protocols.iter().map(|report| report.protocol).collect();
    assert_eq!(protocols, [Protocol::Pcp], "NAT-PMP has no IPv6");
}

#[tokio::test]
async fn protocols_without_ipv6_are_unavailable_and_named() {
    let families = Families::new(nobody().protocols([Protocol::NatPmp]), &Worlds::default());
    let error = families.install(&IPV6, DEFAULT_TTL).await.unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Unavailable);
    let text = "no configured protocol (nat-pmp) opens IPv6 pinholes; these do: pcp, upnp";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_race_asks_for_its_own_family_alone() {
    let error = RaceMapper::new(nobody()).install(&IPV6, DEFAULT_TTL).await.unwrap_err();
    assert_eq!(error.to_string(), "family: `ipv6` is not `ipv4`, for which alone this client asks");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::{Mutex, OnceLock};
    use std::time::Instant;

    use super::*;
    use crate::net::address::AddressClass;
    use crate::net::namespace::{Neighbour, in_namespace, ip, with_neighbour};
    use crate::snapshot::{LeaseSnapshot, Release};
    use crate::{EventKind, Lease, Mapper, wait};

    /// Longer than anything that is waited for here may take: a test that hangs fails.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// The open ports of a router, each with its nonce, and how many requests came over IPv6.
    #[derive(Default)]
    struct Router {
        open: Mutex<HashMap<(Ipv6Addr, u8, u16), Vec<u8>>>,
        requests: Mutex<usize>,
        /// Whether it answers nobody over IPv6.
        mute: AtomicBool,
        /// Its first answer; it has run for long before that.
        began: OnceLock<Instant>,
        /// Its last restart.
        started: Mutex<Option<Instant>>,
    }

    impl Router {
        /// Speaks PCP at the far end of the cable, from the very address that is asked.
        fn serve(&self, neighbour: &Neighbour<'_>) {
            for address in ["fe80::1/64", "2600:1::1/64", "2600:2::1/64"] {
                ip(&format!("addr add {address} dev lan0-far nodad"));
            }
            ip("addr add 192.168.1.1/24 dev lan0-far");
            let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
            let line = table.lines().find(|line| line.ends_with(" lan0-far")).unwrap();
            let link = u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
            let ipv6 = SocketAddrV6::new("fe80::1".parse().unwrap(), 5351, 0, link);
            let sockets = [SocketAddr::from(([192, 168, 1, 1], 5351)), ipv6.into()].map(|address| {
                let socket = UdpSocket::bind(address).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            });
            neighbour.is_ready();
            let mut buffer = [0; 1100];
            while neighbour.goes_on() {
                for socket in &sockets {
                    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                        *self.requests.lock().unwrap() += usize::from(from.is_ipv6());
                        if from.is_ipv4() || !self.mute.load(Relaxed) {
                            // A client that is gone is no reason to end.
                            drop(socket.send_to(&self.answer(&buffer[..length], from.ip()), from));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }

        fn answer(&self, request: &[u8], from: IpAddr) -> Vec<u8> {
            let client = Ipv6Addr::from(*request[8..].first_chunk::<16>().unwrap());
            let mut answer = request[..request.len().min(60)].to_vec();
            answer[1] |= 0x80;
            answer[8..24].fill(0);
            let began = *self.began.get_or_init(Instant::now);
            let epoch =
                self.started.lock().unwrap().map_or(began.elapsed().as_secs() + 1000, |at| at.elapsed().as_secs());
            answer[8..12].copy_from_slice(&(epoch as u32).to_be_bytes());
            if request[1] == 1 {
                let place = (client, request[36], u16::from_be_bytes([request[40], request[41]]));
                let mut open = self.open.lock().unwrap();
                let nonce = request[24..36].to_vec();
                answer[3] = match open.get(&place) {
                    // ADDRESS_MISMATCH.
                    _ if from != client.to_canonical() => 12,
                    // NOT_AUTHORIZED.
                    Some(other) if *other != nonce => 2,
                    _ if request[4..8] == [0; 4] => {
                        open.remove(&place);
                        0
                    }
                    _ => {
                        open.insert(place, nonce);
                        0
                    }
                };
            }
            answer
        }

        /// Starts anew, with nothing open.
        fn restart(&self) {
            self.open.lock().unwrap().clear();
            *self.started.lock().unwrap() = Some(Instant::now());
        }

        fn requests(&self) -> usize {
            *self.requests.lock().unwrap()
        }

        fn open(&self) -> Vec<String> {
            let mut open: Vec<_> = self.open.lock().unwrap().keys().map(|place| place.0.to_string()).collect();
            open.sort();
            open
        }
    }

    /// A machine with a stable address of the first prefix, a temporary one, and a router that opens pinholes.
    fn at_home(test: impl FnOnce(&Router) + Send) {
        in_namespace(|| {
            if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
                eprintln!("skipped: this machine has no IPv6");
                return;
            }
            let router = Router::default();
            with_neighbour(
                "lan0",
                |runs| router.serve(runs),
                || {
                    for (setting, value) in [("accept_dad", "0"), ("use_tempaddr", "2")] {
                        std::fs::write(format!("/proc/sys/net/ipv6/conf/lan0/{setting}"), value).unwrap();
                    }
                    ip("addr add fe80::5/64 dev lan0 nodad");
                    ip("addr add 2600:1::5/64 dev lan0 mngtmpaddr nodad valid_lft 3600 preferred_lft 3600");
                    ip("-6 route add default via fe80::1 dev lan0");
                    test(&router);
                },
            );
        });
    }

    /// Waits for the mapping. The first attempt may fail: if the kernel's question for the router's hardware address is lost, as long as the
    /// cable is being plugged in, the next one follows a second later.
    fn mapped(lease: &Lease) -> LeaseSnapshot {
        let begun = Instant::now();
        loop {
            match wait(lease.ready(PATIENCE)) {
                Ok(snapshot) => return snapshot,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
        }
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A port for each test: in their namespaces all have the same router, and to a process that is one, whose ports mappers share.
    const fn pinhole(port: u16) -> MapRequest {
        MapRequest::new(port, Transport::Udp).family(AddressFamily::Ipv6)
    }

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
            let folder = std::env::temp_dir().join(format!("portlease-families-{}", std::process::id()));
            let config = || Config::default().protocols([Protocol::Pcp]).state_dir(&folder);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // What is dropped like this deletes nothing, as after a crash.
            let crash = |request: &MapRequest| {
                let families = Families::new(config(), &Worlds::default());
                runtime.block_on(families.install(request, DEFAULT_TTL)).unwrap();
            };
            crash(&pinhole(5004));
            crash(&pinhole(5005));
            assert_eq!(router.open().len(), 2);
            let mapper = Mapper::start(config()).unwrap();
            let lease = mapper.map(pinhole(5004)).unwrap();
            assert!(wait(lease.ready(PATIENCE)).is_ok(), "the router knows its nonce");
            until("nobody wants the other one", || router.open().len() == 1);
            assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
            assert_eq!(router.open(), [""; 0]);
            std::fs::remove_dir_all(&folder).unwrap();
        });
    }

    /// Adds the way of IPv4.
    fn with_ipv4() {
        ip("addr add 192.168.1.5/24 dev lan0");
        ip("route add default via 192.168.1.1 dev lan0");
    }

    /// How many sockets of IPv6 are open in the namespace of this test.
    fn sockets() -> usize {
        let table = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
        ["udp6", "tcp6"].map(|name| table(name).lines().skip(1).count()).iter().sum()
    }

    /// A folder for records that is gone with the test, and mappers that go like in a crash: nothing is deleted.
    struct Crashes(std::path::PathBuf);

    impl Crashes {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("portlease-{name}-{}", std::process::id())))
        }

        fn config(&self) -> Config {
            Config::default().protocols([Protocol::Pcp]).state_dir(&self.0)
        }

        fn crash(&self, request: &MapRequest) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let families = Families::new(self.config(), &Worlds::default());
            runtime.block_on(families.install(request, DEFAULT_TTL)).unwrap();
        }
    }

    impl Drop for Crashes {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

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
            mapped(&mapper.map(pinhole(5018)).unwrap());
            until("all are open again", || router.open().len() >= leases.len());
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
                mapped(&lease);
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
                let begun = Instant::now();
                let error = wait(mapper.map(pinhole(5015)).unwrap().ready(PATIENCE)).unwrap_err();
                assert_eq!(error.kind(), crate::error::ErrorKind::Unavailable, "{error}");
                assert!(error.to_string().contains(why), "{error}");
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}: {error}", begun.elapsed());
                assert_eq!(wait(mapper.stop(PATIENCE)), Release::Released);
            }
        });
    }
}
