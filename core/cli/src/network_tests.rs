//! What the interfaces and routes of a machine say about why there is no router to ask.

use super::*;

fn link(name: &str, kind: Kind, state: State, address: Option<[u8; 4]>) -> Link {
    Link { name: name.to_owned(), kind, state, addresses: address.map(Ipv4Addr::from).into_iter().collect() }
}

fn network(links: Vec<Link>, routes: Vec<Route>) -> Network {
    Network { links, routes, ..Network::default() }
}

const HOME: Option<[u8; 4]> = Some([192, 168, 1, 20]);

#[test]
fn a_cable_that_is_cut_is_told_from_a_missing_route_and_from_a_missing_address() {
    let lo = link("lo", Kind::Loopback, State::Connected, Some([127, 0, 0, 1]));
    for (state, address, gap) in [
        (State::Connected, HOME, Gap::NoRoute("eth0".to_owned(), Ipv4Addr::new(192, 168, 1, 20))),
        (State::Connected, None, Gap::NoAddress("eth0".to_owned())),
        (State::Connected, Some([169, 254, 3, 4]), Gap::NoAddress("eth0".to_owned())),
        (State::NoCarrier, HOME, Gap::NoCarrier("eth0".to_owned(), Kind::Wired)),
        (State::Off, None, Gap::Off("eth0".to_owned())),
        // A system that does not tell: an address is a sign of a connection.
        (State::Unknown, HOME, Gap::NoRoute("eth0".to_owned(), Ipv4Addr::new(192, 168, 1, 20))),
    ] {
        let seen = network(vec![lo.clone(), link("eth0", Kind::Wired, state, address)], Vec::new());
        assert_eq!(seen.gap(), gap);
    }
    assert_eq!(network(vec![lo], Vec::new()).gap(), Gap::NoInterface);
}

#[test]
fn a_bridge_of_containers_is_no_connection() {
    let docker = link("docker0", Kind::Containers, State::Connected, Some([172, 17, 0, 1]));
    let wifi = link("wlan0", Kind::WiFi, State::NoCarrier, None);
    let gap = network(vec![docker, wifi], Vec::new()).gap();
    assert_eq!(gap, Gap::NoCarrier("wlan0".to_owned(), Kind::WiFi));
    assert!(gap.what().contains("not connected to a Wi-Fi network"), "{}", gap.what());
}

#[test]
fn a_default_route_into_a_vpn_alone_is_named() {
    let seen = network(
        vec![
            link("eth0", Kind::Wired, State::Connected, HOME),
            link("wg0", Kind::Vpn, State::Connected, Some([10, 8, 0, 2])),
        ],
        vec![Route::new("wg0", None, 0)],
    );
    assert_eq!(seen.gap(), Gap::Vpn("wg0".to_owned()));
}

#[test]
fn an_interface_on_the_path_that_lost_its_carrier_is_noticed() {
    let seen = network(vec![link("eth0", Kind::Wired, State::NoCarrier, HOME)], Vec::new());
    assert_eq!(seen.cut(Some("eth0")), Some(Gap::NoCarrier("eth0".to_owned(), Kind::Wired)));
    assert_eq!(seen.cut(Some("eth1")), None);
    assert_eq!(seen.cut(None), None);
}

#[test]
fn vpns_and_docker_are_told_apart_by_their_names() {
    for (name, kind) in [
        ("lo0", Kind::Loopback),
        ("docker0", Kind::Containers),
        ("br-0123456789ab", Kind::Containers),
        ("vEthernet (WSL)", Kind::Containers),
        ("tun0", Kind::Vpn),
        ("utun4", Kind::Vpn),
        ("tailscale0", Kind::Vpn),
        ("wlp3s0", Kind::WiFi),
        ("Wi-Fi", Kind::WiFi),
        ("ppp0", Kind::Modem),
        ("enp3s0", Kind::Wired),
        ("Ethernet 2", Kind::Wired),
        ("br0", Kind::Wired),
    ] {
        assert_eq!(kind_by_name(name), kind, "{name}");
    }
}
