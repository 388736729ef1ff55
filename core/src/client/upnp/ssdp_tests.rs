use std::net::Ipv4Addr;

use super::*;

async fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn search(address: SocketAddr) -> Search {
    Search::start(Route::new(&UpnpConfig::new(Ipv4Addr::LOCALHOST).ssdp_address(address))).await.unwrap()
}

fn answer(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nLOCATION: {location}\r\nST: upnp:rootdevice\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn a_search_names_every_target_with_the_quotes_and_the_empty_line() {
    let (peer, address) = peer().await;
    let _search = search(address).await;
    let mut seen = Vec::new();
    let mut buffer = [0; 2048];
    while seen.len() < TARGETS.len() + 1 {
        let count = peer.recv(&mut buffer).await.unwrap();
        seen.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
    }
    for target in TARGETS {
        let message = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {address}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
        );
        assert!(seen.contains(&message), "{target} is missing in {seen:?}");
    }
}

#[tokio::test]
async fn the_socket_that_is_watched_for_a_refusal_sends_first() {
    let (peer, address) = peer().await;
    let search = search(address).await;
    let (_, first) = peer.recv_from(&mut [0; 2048]).await.unwrap();
    assert_eq!(search.sentinel.unwrap().0.local_addr().unwrap(), first);
}

#[tokio::test]
async fn garbage_is_skipped_and_an_answer_from_another_port_counts() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    let mut buffer = [0; 2048];
    let (_, _watched) = peer.recv_from(&mut buffer).await.unwrap();
    let (_, client) = peer.recv_from(&mut buffer).await.unwrap();
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for garbage in [&b""[..], b"\xff\xff", b"HTTP/1.1 200 OK\r\n\r\n", b"NOTIFY * HTTP/1.1\r\n\r\n"] {
        peer.send_to(garbage, client).await.unwrap();
    }
    other.send_to(&answer("http://127.0.0.1:5/d"), client).await.unwrap();
    match search.next().await {
        Found::Answer(answer, from) => {
            assert_eq!(answer.location.as_str(), "http://127.0.0.1:5/d");
            assert!(answer.trusted(from));
        }
        found => panic!("{found:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_that_nobody_answers_is_repeated_and_ends_at_the_deadline() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    let started = Instant::now();
    assert!(matches!(search.next().await, Found::Nothing));
    assert!(search.over());
    assert!(started.elapsed() >= SSDP_DEADLINE && started.elapsed() < SSDP_DEADLINE + Duration::from_millis(100));
    let mut buffer = [0; 2048];
    let mut count = 0;
    while peer.try_recv(&mut buffer).is_ok() {
        count += 1;
    }
    // Each burst, and one more message each from the socket that watches for a refusal.
    assert_eq!(count, (1 + SSDP_REPEATS.len()) * (TARGETS.len() + 1));
}

#[tokio::test(start_paused = true)]
async fn a_hushed_search_is_not_repeated() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    search.hush();
    assert!(matches!(search.next().await, Found::Nothing));
    let mut buffer = [0; 2048];
    let mut count = 0;
    while peer.try_recv(&mut buffer).is_ok() {
        count += 1;
    }
    assert_eq!(count, TARGETS.len() + 1);
}

#[tokio::test]
async fn a_refusal_by_the_only_host_that_is_asked_ends_the_search_at_once() {
    let (peer, address) = peer().await;
    drop(peer);
    let mut search = search(address).await;
    assert!(matches!(search.next().await, Found::Refused(host) if host == address));
    assert!(search.over() && !search.listen_on());
}

#[test]
fn the_udn_of_a_device_is_what_stands_before_the_service_in_its_usn() {
    for (usn, udn) in
        [("uuid:1-2-3::upnp:rootdevice", "uuid:1-2-3"), ("uuid:1-2-3", "uuid:1-2-3"), ("upnp:rootdevice", ""), ("", "")]
    {
        let datagram = format!("HTTP/1.1 200 OK\r\nLOCATION: http://127.0.0.1/\r\nUSN: {usn}\r\n\r\n");
        assert_eq!(parse_response(datagram.as_bytes()).unwrap().udn(), udn, "{usn}");
    }
}

/// A search by multicast, for which a socket stands in, and at a gateway that refuses it.
async fn search_at_a_closed_port(gateway_only: bool) -> (UdpSocket, Search) {
    let (group, heard) = peer().await;
    let (closed, gateway) = peer().await;
    drop(closed);
    let config = UpnpConfig::new(Ipv4Addr::LOCALHOST).gateway_only(gateway_only);
    let mut route = Route::new(&config);
    route.destinations = vec![gateway, heard];
    (group, Search::start(route).await.unwrap())
}

#[tokio::test]
async fn a_refusal_by_the_gateway_leaves_others_a_short_time_only() {
    let (_group, mut search) = search_at_a_closed_port(false).await;
    let started = search.started;
    assert!(matches!(search.next().await, Found::Refused(_)));
    assert!(!search.over() && search.until < started + SSDP_DEADLINE, "{:?}", search.until - started);
    assert!(matches!(search.next().await, Found::Nothing));
    assert!(search.over() && search.listen_on(), "a late multicast answer would be lost");
}

#[tokio::test]
async fn a_refusal_by_the_gateway_ends_the_search_at_once_if_only_the_gateway_may_be_asked() {
    let (_group, mut search) = search_at_a_closed_port(true).await;
    assert!(matches!(search.next().await, Found::Refused(_)));
    assert!(search.over());
}

#[tokio::test]
async fn by_default_the_group_and_the_gateway_are_asked_and_the_gateway_is_watched() {
    let route = Route::new(&UpnpConfig::new([127, 0, 0, 77]));
    assert_eq!(route.destinations, [SSDP_ADDRESS, "127.0.0.77:1900".parse().unwrap()]);
    assert_eq!((route.local, route.after_refusal), (Ipv4Addr::LOCALHOST.into(), SSDP_REFUSED_GRACE));
    let search = Search::start(route).await.unwrap();
    assert_eq!(search.sentinel.unwrap().1, "127.0.0.77:1900".parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn late_answers_are_heard_and_nothing_more_is_sent() {
    let (peer, address) = peer().await;
    let mut search = search(address).await;
    assert!(matches!(search.next().await, Found::Nothing));
    let mut buffer = [0; 2048];
    while peer.try_recv(&mut buffer).is_ok() {}
    assert!(search.listen_on());
    assert!(matches!(search.next().await, Found::Nothing));
    assert!(search.started.elapsed() >= SSDP_LATE_DEADLINE && search.over());
    assert!(peer.try_recv(&mut buffer).is_err());
}

#[tokio::test]
async fn a_search_that_cannot_be_sent_at_all_is_a_transport_error() {
    // No port 0 can be sent to.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = UpnpConfig::new(Ipv4Addr::LOCALHOST).ssdp_address(nowhere);
    let error = Search::start(Route::new(&config)).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Transport);
    assert!(error.to_string().starts_with("cannot send an ssdp search to 127.0.0.1:0"), "{error}");
}

/// Linux lets a program use an address that no interface has, and then knows no interface for it.
#[cfg(target_os = "linux")]
#[test]
fn a_system_that_cannot_send_multicast_by_one_interface_still_lets_the_gateway_be_asked() {
    crate::net::namespace::in_namespace(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1").unwrap();
        let local = Ipv4Addr::new(127, 0, 0, 1);
        let elsewhere = Ipv4Addr::new(192, 0, 2, 20);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for address in [local, elsewhere] {
                let socket = sockets::open_v4(address).unwrap();
                assert_eq!(socket.local_addr().unwrap().ip(), address);
            }
        });
    });
}

#[test]
fn a_location_that_names_the_interface_of_a_link_local_host_is_read_without_it() {
    for (value, read) in [
        ("http://[fe80::1%br0]:5000/d.xml", Some("http://[fe80::1]:5000/d.xml")),
        ("http://[fe80::1%25br-lan]:5000/d.xml?a=%20", Some("http://[fe80::1]:5000/d.xml?a=%20")),
        ("http://[fe80::1]:5000/a%20b", Some("http://[fe80::1]:5000/a%20b")),
        ("http://192.168.1.1/[a%20]", Some("http://192.168.1.1/[a%20]")),
        ("http://[fe80::1%br0", None),
        ("http://%]", None),
    ] {
        assert_eq!(location_of(value).map(|url| url.to_string()).as_deref(), read, "{value}");
    }
}

#[test]
fn a_search_for_pinholes_goes_to_the_groups_and_the_router_by_one_interface() {
    let router: IpAddr = "fe80::1".parse().unwrap();
    let route = Route::for_pinholes(&UpnpConfig::new(router), 3);
    let sent: Vec<_> = route.destinations.iter().map(ToString::to_string).collect();
    // A socket's address has a place for the interface; the system uses it where it matters.
    assert_eq!(sent, ["[ff02::c%3]:1900", "[ff05::c%3]:1900", "[fe80::1%3]:1900"]);
    assert_eq!((route.local, route.targets), (Ipv6Addr::UNSPECIFIED.into(), &PINHOLE_TARGETS[..]));
    assert!(message(route.destinations[0], "x").contains("\r\nHOST: [ff02::c]:1900\r\n"));
    let here = Route::for_pinholes(&UpnpConfig::new(Ipv6Addr::LOCALHOST), 0);
    assert_eq!(here.destinations, ["[::1]:1900".parse().unwrap()], "it would leave this machine");
}

#[test]
fn a_link_local_address_on_another_interface_is_another_hosts() {
    for (address, elsewhere) in
        [("[fe80::1%3]:1900", false), ("[fe80::1%4]:1900", true), ("[2001:db8::1]:1900", false), ("1.2.3.4:5", false)]
    {
        assert_eq!(is_elsewhere(address.parse().unwrap(), 3), elsewhere, "{address}");
    }
}
