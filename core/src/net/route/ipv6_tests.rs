use super::*;

fn own(address: &str, index: u32) -> Address6 {
    Address6 {
        address: address.parse().unwrap(),
        prefix: 64,
        interface: format!("lan{index}"),
        alias: None,
        index,
        temporary: false,
        usable: true,
    }
}

fn temporary(address: &str) -> Address6 {
    Address6 { temporary: true, ..own(address, 0) }
}

fn unusable(address: &str) -> Address6 {
    Address6 { usable: false, ..own(address, 0) }
}

/// What is chosen on the interface 0, where the system picks the first address.
fn chosen(addresses: &[Address6]) -> Option<String> {
    let picked = addresses.first().map(|picked| picked.address);
    choose(0, picked, addresses).map(|address| address.to_string())
}

#[test]
fn the_stable_sibling_of_the_systems_choice_is_opened() {
    let stable = |address| own(address, 0);
    for (addresses, expected) in [
        (vec![stable("2001:db8:1::5"), stable("2001:db8:2::5")], "2001:db8:1::5"),
        (vec![temporary("2001:db8:2::9"), stable("2001:db8:1::5"), stable("2001:db8:2::5")], "2001:db8:2::5"),
        // Another prefix with a stable address before a temporary one of the chosen prefix.
        (vec![temporary("2001:db8:2::9"), stable("2001:db8:1::5")], "2001:db8:1::5"),
        // The system has nothing better than what it does not want any more.
        (vec![unusable("2001:db8:1::5"), temporary("2001:db8:2::9")], "2001:db8:2::9"),
        (vec![temporary("2001:db8:2::9"), stable("fd00::5")], "2001:db8:2::9"),
        (vec![stable("fd00::5"), stable("2001:db8:1::5")], "2001:db8:1::5"),
        (vec![stable("fd00::5"), stable("fe80::5")], "fd00::5"),
        // By DHCPv6.
        (
            vec![
                temporary("2001:db8:2::9"),
                stable("2001:db8:1::5"),
                Address6 { prefix: 128, ..own("2001:db8:2::5", 0) },
            ],
            "2001:db8:2::5",
        ),
    ] {
        assert_eq!(chosen(&addresses).as_deref(), Some(expected), "{addresses:?}");
    }
}

#[test]
fn addresses_that_the_internet_cannot_reach_are_not_opened() {
    for address in ["fe80::5", "::1", "ff02::1", "fec0::5", "::ffff:192.0.2.1", "::"] {
        assert_eq!(chosen(&[own(address, 0)]), None, "{address}");
    }
    assert_eq!(chosen(&[unusable("2001:db8::5")]), None);
    assert_eq!(chosen(&[]), None);
}

#[test]
fn an_interface_without_an_address_of_its_own_sends_with_that_of_another() {
    let addresses = [own("2001:db8:1::5", 7), own("fe80::5", 0)];
    assert_eq!(choose(0, None, &addresses), None);
    assert_eq!(choose(0, Some(addresses[0].address), &addresses), Some(addresses[0].address));
    let addresses = [own("2001:db8:1::5", 7), own("2001:db8:2::5", 0)];
    assert_eq!(choose(0, Some(addresses[0].address), &addresses), Some(addresses[1].address));
}

#[cfg(target_os = "linux")]
mod linux {
    use std::time::{Duration, Instant};

    use super::super::super::{find_path, find_paths_of};
    use super::*;
    use crate::error::ErrorKind;
    use crate::net::namespace::{in_namespace, interface_up, ip};

    const ROUTER: &str = "fe80::1";

    /// An interface whose addresses are there at once, with a link-local one.
    fn lan(name: &str) {
        interface_up(name);
        for (setting, value) in [("accept_dad", "0"), ("dad_transmits", "0"), ("use_tempaddr", "2"), ("accept_ra", "0")]
        {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), value).unwrap();
        }
        ip(&format!("addr add fe80::5/64 dev {name} nodad"));
    }

    /// Whether IPv6 is there at all; says so if not.
    fn has_ipv6() -> bool {
        let has = std::path::Path::new("/proc/sys/net/ipv6").exists();
        if !has {
            eprintln!("skipped: this machine has no IPv6");
        }
        has
    }

    fn in_lan(test: impl FnOnce() + Send) {
        in_namespace(|| {
            if has_ipv6() {
                lan("lan0");
                test();
            }
        });
    }

    fn paths(config: &Config) -> Result<Vec<(String, String)>, PortMappingError> {
        let paths = find_paths_of(AddressFamily::Ipv6, config)?;
        Ok(paths.iter().map(|path| (path.gateway_name().unwrap(), path.local_address.to_string())).collect())
    }

    fn local() -> String {
        paths(&Config::default()).unwrap().swap_remove(0).1
    }

    fn path(gateway: &str, local: &str) -> (String, String) {
        (gateway.to_owned(), local.to_owned())
    }

    fn refusal(config: &Config) -> String {
        let error = paths(config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        error.to_string()
    }

    /// The temporary address that the kernel makes, once the kernel uses it, which takes it a moment.
    fn temporary_one() -> Ipv6Addr {
        /// Longer than any machine takes.
        const PATIENCE: Duration = Duration::from_secs(30);
        let begun = Instant::now();
        loop {
            let own = interfaces::addresses6().into_iter().filter(|own| own.temporary).collect::<Vec<_>>();
            match &own[..] {
                [own] if own.usable => return own.address,
                own => assert!(begun.elapsed() < PATIENCE, "{own:?}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_way_leads_to_the_link_local_router_from_the_global_address() {
        in_lan(|| {
            ip("addr add 2001:db8:1::5/64 dev lan0 nodad");
            ip(&format!("-6 route add default via {ROUTER} dev lan0 metric 1024"));
            assert_eq!(paths(&Config::default()).unwrap(), [path("fe80::1%lan0", "2001:db8:1::5")]);
            let found = find_paths_of(AddressFamily::Ipv6, &Config::default()).unwrap().swap_remove(0);
            let index = interfaces::addresses6().iter().find(|own| own.interface == "lan0").unwrap().index;
            assert_eq!(found.gateway_port(5351).unwrap().to_string(), format!("[fe80::1%{index}]:5351"));
            assert_eq!(find_path(&Config::default()).unwrap_err().kind(), ErrorKind::Unavailable, "there is no IPv4");
        });
    }

    #[test]
    fn what_is_missing_is_said() {
        in_lan(|| {
            let no_route = "there is no IPv6 default route, so there is no gateway to ask";
            assert_eq!(refusal(&Config::default()), no_route);
            assert_eq!(
                refusal(&Config::default().interface("lan0")),
                "interface lan0 has no IPv6 default route, so there is no gateway to ask"
            );
            ip(&format!("-6 route add default via {ROUTER} dev lan0"));
            let no_address =
                "interface lan0 has no global IPv6 address, so there is nothing that the internet could reach";
            assert_eq!(refusal(&Config::default()), no_address);
            ip("addr add 2001:db8:1::5/64 dev lan0 preferred_lft 0 nodad");
            assert_eq!(refusal(&Config::default()), no_address, "a deprecated address is none");
            ip("-6 route del default");
            ip("-6 route add unreachable default");
            assert_eq!(refusal(&Config::default()), no_route);
        });
    }

    #[test]
    fn a_point_to_point_link_without_a_gateway_has_nobody_to_ask() {
        in_lan(|| {
            ip("addr add 2001:db8:1::5/64 dev lan0 nodad");
            ip("-6 route add default dev lan0");
            assert_eq!(
                refusal(&Config::default()),
                "the IPv6 default route leads into lan0, which has no gateway to ask"
            );
        });
    }

    #[test]
    fn temporary_and_deprecated_addresses_are_passed_over_and_a_site_address_is_the_last_resort() {
        in_lan(|| {
            ip(&format!("-6 route add default via {ROUTER} dev lan0"));
            ip("addr add fd00::5/64 dev lan0 nodad");
            assert_eq!(local(), "fd00::5");
            ip("addr add 2001:db8:1::5/64 dev lan0 mngtmpaddr nodad valid_lft 86400 preferred_lft 14400");
            // The kernel prefers it.
            temporary_one();
            assert_eq!(local(), "2001:db8:1::5");

            // A new prefix, then the end of the old one.
            ip("addr add 2001:db8:2::5/64 dev lan0 mngtmpaddr nodad valid_lft 86400 preferred_lft 14400");
            ip("addr change 2001:db8:1::5/64 dev lan0 valid_lft 86400 preferred_lft 0");
            assert_eq!(local(), "2001:db8:2::5");
            ip("addr del 2001:db8:2::5/64 dev lan0");
            assert_eq!(local(), "fd00::5");
        });
    }

    #[test]
    fn a_new_temporary_address_of_one_of_two_prefixes_moves_nothing() {
        in_lan(|| {
            ip(&format!("-6 route add default via {ROUTER} dev lan0"));
            // What they have in common with an address of the internet is as long.
            let prefixes = ["2a01:1::5/64", "2a02:2::5/64"];
            let for_long = "valid_lft 86400 preferred_lft 14400";
            for prefix in prefixes {
                ip(&format!("addr add {prefix} dev lan0 nodad {for_long}"));
            }
            let before = local();
            for prefix in prefixes {
                ip(&format!("addr change {prefix} dev lan0 mngtmpaddr {for_long}"));
                // The kernel prefers it, as the newest of all.
                temporary_one();
                assert_eq!(local(), before, "{prefix}");
                // Ends it.
                ip(&format!("addr change {prefix} dev lan0 {for_long}"));
            }
        });
    }

    #[test]
    fn an_address_in_duplicate_address_detection_is_not_used_yet() {
        in_lan(|| {
            ip(&format!("-6 route add default via {ROUTER} dev lan0"));
            for setting in ["accept_dad", "dad_transmits"] {
                std::fs::write(format!("/proc/sys/net/ipv6/conf/lan0/{setting}"), "100").unwrap();
            }
            ip("addr add 2001:db8:1::5/64 dev lan0");
            assert!(paths(&Config::default()).is_err());
        });
    }

    #[test]
    fn routers_come_by_metric_and_the_same_link_local_address_is_another_router_on_each_link() {
        in_lan(|| {
            lan("lan1");
            for (number, interface) in ["lan0", "lan1"].iter().enumerate() {
                ip(&format!("addr add 2001:db8:{number}::5/64 dev {interface} nodad"));
            }
            ip("-6 route add default via fe80::1 dev lan0 metric 600");
            ip("-6 route add default via fe80::1 dev lan1 metric 100");
            let (first, second) = (path("fe80::1%lan1", "2001:db8:1::5"), path("fe80::1%lan0", "2001:db8::5"));
            assert_eq!(paths(&Config::default()).unwrap(), [first, second.clone()]);
            assert_eq!(paths(&Config::default().interface("lan0")).unwrap(), std::slice::from_ref(&second));
            let named: IpAddr = "2001:db8::5".parse().unwrap();
            assert_eq!(paths(&Config::default().local_address(named)).unwrap(), [second]);
        });
    }

    #[test]
    fn a_route_with_several_next_hops_is_several_routes() {
        in_lan(|| {
            ip("addr add 2001:db8:1::5/64 dev lan0 nodad");
            ip("-6 route add default nexthop via fe80::1 dev lan0 nexthop via fe80::2 dev lan0");
            let local = "2001:db8:1::5";
            assert_eq!(paths(&Config::default()).unwrap(), [path("fe80::1%lan0", local), path("fe80::2%lan0", local)]);
        });
    }

    #[test]
    fn a_route_to_any_router_of_a_tunnel_is_no_route_to_a_router() {
        in_lan(|| {
            ip("addr add 2001:db8:1::5/64 dev lan0 nodad");
            ip("-6 route add default via fe80:: dev lan0 metric 1");
            assert_eq!(refusal(&Config::default()), "there is no IPv6 default route, so there is no gateway to ask");
            ip(&format!("-6 route add default via {ROUTER} dev lan0 metric 2"));
            assert_eq!(paths(&Config::default()).unwrap(), [path("fe80::1%lan0", "2001:db8:1::5")]);
        });
    }

    #[test]
    fn a_named_gateway_counts_for_its_own_family_unless_it_is_on_loopback() {
        in_lan(|| {
            ip("addr add 2001:db8:1::5/64 dev lan0 nodad");
            let config = |gateway: &str| Config::default().gateway(gateway.parse::<IpAddr>().unwrap());
            for gateway in ["127.0.0.1", "::1"] {
                assert_eq!(paths(&config(gateway)).unwrap(), [path("::1", "::1")]);
                assert_eq!(find_path(&config(gateway)).unwrap().gateway, Some([127, 0, 0, 1].into()));
            }
            assert!(refusal(&config("192.168.1.1")).contains("no IPv6 default route"));
            assert_eq!(paths(&config("2001:db8:1::1")).unwrap(), [path("2001:db8:1::1", "2001:db8:1::5")]);
            assert_eq!(find_path(&config("2001:db8:1::1")).unwrap_err().kind(), ErrorKind::Unavailable);
            assert_eq!(refusal(&config("2001:db8:9::1")), "there is no IPv6 route to gateway 2001:db8:9::1");

            let error = paths(&config(ROUTER)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("name its interface, as in fe80::1%eth0"), "{error}");
            let expected = [path("fe80::1%lan0", "2001:db8:1::5")];
            assert_eq!(paths(&config(ROUTER).interface("lan0")).unwrap(), expected);
            ip(&format!("-6 route add default via {ROUTER} dev lan0"));
            assert_eq!(paths(&config(ROUTER)).unwrap(), expected);
            assert_eq!(paths(&config("192.168.1.1")).unwrap(), expected);
        });
    }

    #[test]
    fn the_scope_of_a_named_gateway_is_its_interface_by_name_or_by_number() {
        in_lan(|| {
            const LONGEST: &str = "lan-with-15-let";
            lan("lan1");
            for step in ["down", &format!("name {LONGEST}")] {
                ip(&format!("link set lan1 {step}"));
            }
            ip(&format!("link set {LONGEST} up"));
            for (number, interface) in ["lan0", LONGEST].iter().enumerate() {
                ip(&format!("addr add 2001:db8:{number}::5/64 dev {interface} nodad"));
            }
            let config = |gateway: &str| Config::default().gateway(gateway.parse::<ScopedAddr>().unwrap());
            let refused = |config: &Config| paths(config).unwrap_err();
            let (first, second) =
                (path("fe80::1%lan0", "2001:db8::5"), path("fe80::1%lan-with-15-let", "2001:db8:1::5"));
            assert_eq!(paths(&config("fe80::1%lan0")).unwrap(), std::slice::from_ref(&first));
            assert_eq!(paths(&config("fe80::1%lan-with-15-let")).unwrap(), [second]);
            let number = interfaces::addresses6().iter().find(|own| own.interface == "lan0").unwrap().index;
            let by_number = config(&format!("fe80::1%{number}"));
            assert_eq!(paths(&by_number).unwrap(), std::slice::from_ref(&first));
            assert_eq!(paths(&by_number.clone().interface("lan0")).unwrap(), [first]);

            let error = refused(&by_number.interface(LONGEST));
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let message =
                format!("gateway: its scope {number} is the interface `lan0`, not `{LONGEST}`; give one of them");
            assert_eq!(error.to_string(), message);
            for unknown in ["eth9", "4711"] {
                let error = refused(&config(&format!("fe80::1%{unknown}")));
                assert_eq!(error.kind(), ErrorKind::Invalid);
                let message = format!("gateway: there is no interface `{unknown}`; there are ");
                assert!(error.to_string().starts_with(&message) && error.to_string().contains("lan0"), "{error}");
            }
            // A scope says nothing about IPv4.
            ip("addr add 192.168.1.20/24 dev lan0");
            ip("route add default via 192.168.1.1 dev lan0");
            let gateway = find_path(&config("fe80::1%lan-with-15-let")).unwrap().gateway;
            assert_eq!(gateway, Some([192, 168, 1, 1].into()));
        });
    }

    #[test]
    fn a_named_address_is_opened_also_if_it_is_temporary() {
        in_lan(|| {
            ip(&format!("-6 route add default via {ROUTER} dev lan0"));
            ip("addr add 2001:db8:1::5/64 dev lan0 mngtmpaddr nodad valid_lft 86400 preferred_lft 14400");
            let address = temporary_one();
            let named = Config::default().local_address(IpAddr::V6(address));
            assert_eq!(paths(&named).unwrap(), [path("fe80::1%lan0", &address.to_string())]);
            // It says nothing about IPv4, and an IPv4 address nothing about IPv6.
            ip("addr add 192.168.1.20/24 dev lan0");
            ip("route add default via 192.168.1.1 dev lan0");
            assert_eq!(find_path(&named).unwrap().local_address, IpAddr::from([192, 168, 1, 20]));
            let named = Config::default().local_address(IpAddr::from([192, 168, 1, 20]));
            assert_eq!(paths(&named).unwrap(), [path("fe80::1%lan0", "2001:db8:1::5")]);
            let named = Config::default().local_address("2001:db8:9::9".parse::<IpAddr>().unwrap());
            assert_eq!(paths(&named).unwrap_err().kind(), ErrorKind::Invalid);
        });
    }
}
