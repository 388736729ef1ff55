use super::*;
use crate::error::ErrorKind;

fn route(interface: &str, gateway: Option<[u8; 4]>, metric: u32) -> DefaultRoute {
    DefaultRoute {
        interface: interface.to_owned(),
        alias: None,
        index: 0,
        gateway: gateway.map(IpAddr::from),
        metric,
        local: None,
    }
}

/// The interfaces of the paths along these routes, if each interface has the address that `local` gives it.
fn interfaces(
    routes: Vec<DefaultRoute>,
    named: Option<&str>,
    local: impl Fn(&str) -> Option<[u8; 4]>,
) -> Result<Vec<String>, PortMappingError> {
    let local = |route: &DefaultRoute| {
        let address = local(&route.interface).map(IpAddr::from);
        address.ok_or_else(|| PortMappingError::unavailable(format!("{} has no address", route.interface)))
    };
    let paths = along(&table::ranked(routes, named), local)?;
    Ok(paths.into_iter().filter_map(|path| path.interface).collect())
}

fn private(_: &str) -> Option<[u8; 4]> {
    Some([192, 168, 1, 20])
}

fn public(_: &str) -> Option<[u8; 4]> {
    Some([8, 8, 4, 4])
}

#[test]
fn the_lowest_metric_comes_first_and_equal_metrics_keep_the_systems_order() {
    let routes = vec![
        route("wlan0", Some([192, 168, 2, 1]), 600),
        route("eth1", Some([192, 168, 3, 1]), 100),
        route("eth0", Some([192, 168, 1, 1]), 100),
        route("tun0", Some([10, 8, 0, 1]), 50),
    ];
    assert_eq!(interfaces(routes, None, private).unwrap(), ["tun0", "eth1", "eth0", "wlan0"]);
}

#[test]
fn two_interfaces_in_one_network_are_one_path_by_the_better_of_them() {
    let routes = vec![route("wlan0", Some([192, 168, 1, 1]), 600), route("eth0", Some([192, 168, 1, 1]), 100)];
    assert_eq!(interfaces(routes, None, private).unwrap(), ["eth0"]);
}

#[test]
fn bridges_of_containers_and_virtual_machines_count_only_if_they_are_named() {
    let bridges = [
        "docker0",
        "br-0123456789ab",
        "virbr0",
        "vmnet8",
        "vboxnet0",
        "veth12ab",
        "lxcbr0",
        "cni0",
        "podman1",
        "cni-podman0",
    ];
    for bridge in bridges {
        let routes = || vec![route(bridge, Some([172, 17, 0, 1]), 0), route("br-lan", Some([192, 168, 1, 1]), 100)];
        assert_eq!(interfaces(routes(), None, private).unwrap(), ["br-lan"]);
        assert_eq!(interfaces(routes(), Some(bridge), private).unwrap(), [bridge]);
    }
}

#[test]
fn a_tunnel_without_a_gateway_is_no_path_and_the_home_router_behind_it_is_one() {
    for tunnel in ["wg0", "tun0", "utun3", "ipsec0", "ppp0"] {
        let routes = vec![route(tunnel, None, 0), route("wlan0", Some([192, 168, 1, 1]), 600)];
        assert_eq!(interfaces(routes, None, private).unwrap(), ["wlan0"]);
        assert_eq!(interfaces(vec![route(tunnel, None, 0)], None, private).unwrap(), [""; 0]);
    }
}

#[test]
fn a_machine_with_a_public_address_and_no_gateway_has_a_path_without_one_behind_all_gateways() {
    let paths = along(&[route("ppp0", None, 0)], |_| Ok([8, 8, 4, 4].into())).unwrap();
    assert_eq!(paths, [NetworkPath::direct([8, 8, 4, 4]).interface("ppp0".to_owned())]);
    let error = paths[0].require_gateway().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("8.8.4.4"), "{error}");

    let routes = vec![route("ppp0", None, 0), route("eth0", Some([192, 168, 1, 1]), 100)];
    assert_eq!(interfaces(routes, None, public).unwrap(), ["eth0", "ppp0"]);
}

#[test]
fn an_interface_that_has_no_address_takes_only_its_own_route_away() {
    let routes = || vec![route("eth0", Some([192, 168, 1, 1]), 100), route("wlan0", Some([192, 168, 2, 1]), 600)];
    let only = |name| move |interface: &str| (interface == name).then_some([192, 168, 2, 20]);
    assert_eq!(interfaces(routes(), None, only("wlan0")).unwrap(), ["wlan0"]);
    let error = interfaces(routes(), None, only("none")).unwrap_err();
    assert_eq!(error.to_string(), "eth0 has no address");
}

#[test]
fn an_interface_is_found_by_either_of_its_names() {
    let ethernet = DefaultRoute { alias: Some("{6E0A}".to_owned()), ..route("Ethernet", Some([192, 168, 1, 1]), 0) };
    for name in ["Ethernet", "{6E0A}"] {
        assert_eq!(interfaces(vec![ethernet.clone()], Some(name), private).unwrap(), ["Ethernet"]);
    }
    assert_eq!(interfaces(vec![ethernet], Some("Wi-Fi"), private).unwrap(), [""; 0]);
}

#[test]
fn a_named_gateway_is_used_with_the_address_that_reaches_it() {
    let config = Config { gateway: Some([127, 0, 0, 1].into()), ..Config::default() };
    let path = find_path(&config).unwrap();
    assert_eq!(path.gateway, Some(IpAddr::from([127, 0, 0, 1])));
    assert_eq!(path.local_address, IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn a_neighbour_is_in_the_network_of_the_local_address() {
    let network = |prefix| Network { address: [192, 168, 1, 20].into(), prefix };
    for (prefix, host, near) in [
        (24, [192, 168, 1, 254], true),
        (24, [192, 168, 2, 1], false),
        (16, [192, 168, 2, 1], true),
        (25, [192, 168, 1, 128], false),
        (32, [192, 168, 1, 20], true),
        (32, [192, 168, 1, 1], false),
        (0, [192, 168, 1, 1], false),
    ] {
        assert_eq!(network(prefix).contains(IpAddr::from(host)), near, "/{prefix} {host:?}");
    }
    assert!(!network(24).contains("::1".parse().unwrap()));
}

#[test]
fn a_loopback_gateway_has_loopback_neighbours_and_an_unknown_local_address_has_none() {
    let network = network_of([127, 0, 0, 1].into(), None).unwrap();
    assert!(network.contains([127, 9, 9, 9].into()) && !network.contains([10, 0, 0, 1].into()));
    assert_eq!(network_of([192, 0, 2, 1].into(), Some([192, 0, 2, 99].into())), None);
}

#[test]
fn an_unknown_interface_is_invalid_and_the_message_lists_those_that_exist() {
    let config = Config { interface: Some("nosuch0".into()), ..Config::default() };
    let error = find_path(&config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("`nosuch0`") && error.to_string().contains("there are"), "{error}");
}

#[test]
fn a_local_address_of_another_machine_is_invalid() {
    let config = Config { local_address: Some([192, 0, 2, 9].into()), ..Config::default() };
    let error = find_path(&config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().starts_with("local_address: 192.0.2.9 is not an address of this machine"), "{error}");
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use crate::net::namespace::{in_namespace, interface_up, ip};

    fn paths() -> Vec<(Option<IpAddr>, IpAddr, String)> {
        let paths = find_paths(&Config::default()).unwrap();
        paths.into_iter().map(|path| (path.gateway, path.local_address, path.interface.unwrap())).collect()
    }

    fn some(gateway: [u8; 4]) -> Option<IpAddr> {
        Some(gateway.into())
    }

    #[test]
    fn each_path_has_the_address_that_reaches_its_gateway_by_its_interface() {
        in_namespace(|| {
            let error = find_paths(&Config::default()).unwrap_err();
            assert_eq!(error.to_string(), "there is no IPv4 default route, so there is no gateway to ask");
            for interface in ["lan0", "lan1"] {
                interface_up(interface);
            }
            ip("addr add 192.168.1.20/24 dev lan0");
            // Several addresses, and a network that the other interface has too.
            ip("addr add 10.0.0.5/8 dev lan1");
            ip("addr add 192.168.2.20/24 dev lan1");
            ip("addr add 192.168.1.21/24 dev lan1");
            ip("route add default via 192.168.2.1 dev lan1 metric 600");
            ip("route add default via 192.168.1.1 dev lan0 metric 100");
            let first = (some([192, 168, 1, 1]), [192, 168, 1, 20].into(), "lan0".to_owned());
            let second = (some([192, 168, 2, 1]), [192, 168, 2, 20].into(), "lan1".to_owned());
            assert_eq!(paths(), [first, second.clone()]);

            let named = find_path(&Config::default().interface("lan1")).unwrap();
            assert_eq!((named.gateway, named.local_address), (second.0, second.1));
            let named = find_path(&Config::default().local_address(IpAddr::from([10, 0, 0, 5]))).unwrap();
            assert_eq!((named.gateway, named.local_address), (second.0, [10, 0, 0, 5].into()));
            let named = Config::default().interface("lan1").gateway(IpAddr::from([192, 168, 1, 1]));
            assert_eq!(find_path(&named).unwrap().local_address, IpAddr::from([192, 168, 1, 21]));

            ip("link set lan0 down");
            assert_eq!(paths(), [second]);
            ip("route add unreachable default metric 1");
            ip("route add blackhole default metric 2");
            assert_eq!(paths().len(), 1);
        });
    }

    #[test]
    fn a_default_route_without_a_gateway_is_a_path_if_the_address_on_it_is_public() {
        in_namespace(|| {
            interface_up("ppp0");
            ip("addr add 10.7.0.2 peer 10.7.0.1 dev ppp0");
            ip("route add default dev ppp0");
            let error = find_path(&Config::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("leads into ppp0"), "{error}");
            ip("addr flush dev ppp0");
            ip("addr add 8.8.4.4 peer 8.8.4.1 dev ppp0");
            ip("route replace default dev ppp0");
            assert_eq!(paths(), [(None, [8, 8, 4, 4].into(), "ppp0".to_owned())]);
        });
    }

    #[test]
    fn the_kernels_messages_tell_the_default_routes_of_its_list() {
        in_namespace(|| {
            assert_eq!(interfaces::default_routes(), []);
            for interface in ["lan0", "lan1", "ppp0"] {
                interface_up(interface);
            }
            ip("addr add 192.168.1.20/24 dev lan0");
            ip("addr add 192.168.2.20/24 dev lan1");
            ip("route add default via 192.168.1.1 dev lan0 metric 100");
            ip("route add default via 192.168.2.1 dev lan1");
            ip("route add default dev ppp0 metric 7");
            // None of these leads out: another table, half of the internet, and no way at all.
            ip("route add default via 192.168.1.9 dev lan0 table 100");
            ip("route add 0.0.0.0/1 via 192.168.1.9 dev lan0");
            ip("route add unreachable default metric 1");
            ip("route add blackhole default metric 2");
            let (told, mut listed) = (interfaces::default_routes(), platform::default_routes().unwrap());
            listed.sort_by_key(|route| route.metric);
            assert_eq!(told, [route("lan1", Some([192, 168, 2, 1]), 0), route("ppp0", None, 7), listed[2].clone()]);
            assert_eq!(told, listed);
        });
    }

    #[test]
    fn a_gateway_that_ipv6_reaches_is_none() {
        in_namespace(|| {
            interface_up("lan0");
            ip("route add default via inet6 fe80::1 dev lan0");
            assert_eq!((interfaces::default_routes(), platform::default_routes().unwrap()), (vec![], vec![]));
        });
    }

    #[test]
    fn interfaces_have_their_networks_also_those_with_a_label_of_their_own() {
        in_namespace(|| {
            interface_up("lan0");
            ip("addr add 192.168.1.20/24 dev lan0");
            ip("addr add 10.0.0.5/8 dev lan0 label lan0:1");
            ip("addr add 10.7.0.2 peer 10.7.0.1 dev lan0");
            ip("link add lan1 type veth peer name lan1-far");
            let all = interfaces::all();
            let network = |address: [u8; 4], prefix| Network { address: address.into(), prefix };
            let networks = |name: &str| {
                let found = all.iter().find(|interface| interface.name == name).expect("it is there");
                let mut networks = found.networks.clone();
                networks.sort_by_key(|network| network.address);
                networks
            };
            let lan0 = [network([10, 0, 0, 5], 8), network([10, 7, 0, 2], 32), network([192, 168, 1, 20], 24)];
            assert_eq!(networks("lan0"), lan0);
            assert_eq!((networks("lan1"), networks("lo")), (vec![], vec![network([127, 0, 0, 1], 8)]));
            assert_eq!(all.len(), 5, "{all:?}");
        });
    }
}
