//! How the router is found, and where it is asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::PinholeMapper;
use super::peer::{HOME, IGD, Router, SERVICE, asking, found_at, has_ipv6, silent};
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::UpnpConfig;
use crate::client::upnp::peer::{IP2, Ssdp, Web, answer};
use crate::client::upnp::sought::{ByIpv4, Sought};
use crate::error::ErrorKind;
use crate::mapping::{AddressFamily, MapRequest, Transport};
use crate::schedule::UPNP_OTHER_DEVICES_AFTER;

const HOUR: Duration = Duration::from_secs(3600);

fn request() -> MapRequest {
    MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6)
}

/// A mapper that searches at `ssdp`, and at `ipv4` over IPv4 if there is one.
fn mapper(ssdp: &Ssdp, ipv4: Option<SocketAddr>) -> PinholeMapper {
    let way = move || Some(UpnpConfig::new(Ipv4Addr::LOCALHOST).ssdp_address(ipv4?).gateway_only(true));
    PinholeMapper::searching(&asking(ssdp), Sought::Pinholes(ByIpv4::new(way)))
}

#[tokio::test]
async fn the_router_is_asked_at_its_own_address_whatever_its_answer_says() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let port = router.web.address.port();
    for host in ["[2001:db8::1]", "[fe80::1%25br0]", "[fe80::1%br0]", "192.168.1.1", "router.local"] {
        let ssdp = found_at(&format!("http://{host}:{port}/desc.xml")).await;
        let found = PinholeMapper::new(asking(&ssdp)).search().await.unwrap();
        assert_eq!(found.description_url, router.web.location(), "{host}");
        assert_eq!(found.service_type, SERVICE);
    }
}

#[tokio::test]
async fn a_location_with_credentials_is_not_followed() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let port = router.web.address.port();
    for location in [format!("http://a:b@[::1]:{port}/desc.xml"), format!("http://a@[::1%25lo]:{port}/desc.xml")] {
        let ssdp = found_at(&location).await;
        let error = mapper(&ssdp, None).search().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(router.web.calls().is_empty(), "{location}");
    }
}

#[tokio::test]
async fn a_router_that_answers_over_ipv4_alone_is_asked_over_ipv6_at_the_same_port_and_path() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let silent = silent().await;
    let location = format!("http://127.0.0.1:{}/desc.xml", router.web.address.port());
    let by_ipv4 = Ssdp::start_with(vec![answer(&location, IGD)]).await;
    let mapper = mapper(&silent, Some(by_ipv4.address));
    let mapping = mapper.install(&request(), HOUR).await.unwrap();
    assert_eq!(mapping.external, (HOME, 4000).into());
    assert!(router.web.calls().iter().all(|call| call.from == HOME));
}

#[tokio::test]
async fn nothing_is_sent_over_ipv4_if_the_router_answers_over_ipv6() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let by_ipv4 = Ssdp::start(Vec::new()).await;
    let started = std::time::Instant::now();
    mapper(&router.ssdp, Some(by_ipv4.address)).search().await.unwrap();
    // On a busy machine the answer may have come late.
    assert!(by_ipv4.searches() == 0 || started.elapsed() >= UPNP_OTHER_DEVICES_AFTER);
}

#[tokio::test]
async fn a_router_without_the_service_is_unavailable_and_said_to_have_none() {
    if !has_ipv6() {
        return;
    }
    let web = Web::start_at((HOME, 0).into(), &[(IP2, "/ctl")], |_| None).await;
    let ssdp = found_at(&web.location()).await;
    let error = mapper(&ssdp, None).install(&request(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("has no service that opens ipv6 ports"), "{error}");
}

#[tokio::test]
async fn a_router_that_is_not_there_is_unavailable_within_the_time_of_a_search() {
    if !has_ipv6() {
        return;
    }
    let silent = silent().await;
    let started = std::time::Instant::now();
    let error = mapper(&silent, None).install(&request(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_router_that_has_moved_to_another_port_is_searched_for_once_more() {
    let Some(first) = Router::start(|_, _| None).await else { return };
    let mapping = first.mapper.install(&request(), HOUR).await.unwrap();
    let Some(second) = Router::start(|_, _| None).await else { return };
    first.ssdp.announce(&second.web.location());
    drop(first.web);
    let renewed = first.mapper.renew(&mapping).await.unwrap();
    assert_eq!(second.pinholes.of("17 4000").len(), 1);
    first.mapper.remove(&renewed).await.unwrap();
    assert_eq!(second.pinholes.count(), 0);
}

fn alive(location: &str, boot_id: u32) -> String {
    format!(
        "NOTIFY * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\nLOCATION: {location}\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n\
         USN: uuid:test-router::upnp:rootdevice\r\nBOOTID.UPNP.ORG: {boot_id}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_announced_restart_puts_the_pinholes_in_doubt_and_an_announcement_by_another_address_does_not() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapper = Arc::new(router.mapper);
    let listener = UdpSocket::bind((HOME, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = std::sync::Mutex::new(Some(listener));
    let attending = Arc::clone(&mapper);
    let _attending = AbortOnDropHandle::new(tokio::spawn(async move {
        let open = || socket.lock().unwrap().take().ok_or_else(|| std::io::ErrorKind::AddrInUse.into());
        match attending.upnp.attend_on(open).await {}
    }));
    let mapping = mapper.install(&request(), HOUR).await.unwrap();
    let elsewhere = format!("http://[fe80::1%25br0]:{}/desc.xml", router.web.address.port());
    let sender = UdpSocket::bind((HOME, 0)).await.unwrap();
    let said = |boot_id| alive(&elsewhere, boot_id);
    let quiet = async {
        sender.send_to(said(7).as_bytes(), address).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        tokio::time::timeout(Duration::from_millis(100), mapper.restarted()).await
    };
    assert!(quiet.await.is_err(), "the router was known by that port and path");
    router.pinholes.restart();
    router.pinholes.open("17", 5000);
    sender.send_to(said(8).as_bytes(), address).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), mapper.restarted()).await.expect("nobody is told");
    mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.pinholes.of("17 5000"), [(1, 3600)]);
}

#[cfg(target_os = "linux")]
mod on_a_link {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::client::upnp::peer::{fault, ok};
    use crate::client::upnp::pinhole::PinholeConfig;
    use crate::net::namespace::{in_namespace, interface_up, ip, sends};

    const ROUTER: &str = "2001:db8:77::1";
    const HOST: &str = "2001:db8:77::10";

    fn index(interface: &str) -> u32 {
        let shown = std::process::Command::new("ip").args(["-o", "link", "show", "dev", interface]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split(':').next().unwrap().parse().unwrap()
    }

    /// Runs a test where `host` and `host-far` are the two ends of a cable: this machine, and the router with `fe80::77:1`.
    fn on_a_cable(test: impl AsyncFnOnce() + Send) {
        in_namespace(|| {
            // Both ends are here, so what one sends the other must take from an address that is this machine's own.
            for name in ["all", "default"] {
                std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0").unwrap();
            }
            interface_up("host");
            sends("host");
            ip(&format!("addr add {HOST}/64 dev host nodad"));
            ip("addr add fe80::77:1/64 dev host-far nodad");
            ip(&format!("addr add {ROUTER}/64 dev host-far nodad"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        });
    }

    /// Answers searches that come to the link's group, from the router's link-local address.
    fn answers(location: String) -> AbortOnDropHandle<()> {
        answers_from("fe80::77:1", IGD, location)
    }

    /// The same, from an address of the far end, in the name of `kind`.
    fn answers_from(address: &'static str, kind: &'static str, location: String) -> AbortOnDropHandle<()> {
        let far = index("host-far");
        let socket = crate::client::upnp::ssdp::open_group_v6(far).unwrap();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with("M-SEARCH") && text.contains(IGD) {
                    assert!(text.contains("HOST: [ff02::c]:1900\r\n"), "{text}");
                    let from = SocketAddr::V6(std::net::SocketAddrV6::new(address.parse().unwrap(), 0, 0, far));
                    let answering = UdpSocket::bind(from).await.unwrap();
                    answering.send_to(answer(&location, kind).as_bytes(), client).await.unwrap();
                }
            }
        }))
    }

    fn config() -> PinholeConfig {
        PinholeConfig::new("fe80::77:1".parse().unwrap(), HOST.parse().unwrap()).scope_id(index("host"))
    }

    fn firewall() -> impl Fn(&crate::client::upnp::peer::Call) -> Option<String> + Send + Sync {
        |call| match &*call.action {
            "AddPinhole" if call.argument("InternalClient") != call.from.to_string() => Some(fault(606)),
            "AddPinhole" => Some(ok("AddPinhole", &[("UniqueID", "7")])),
            _ => None,
        }
    }

    #[test]
    fn a_link_local_router_is_found_by_multicast_and_asked_through_its_interface_from_the_mapped_address() {
        on_a_cable(async || {
            let any = (Ipv6Addr::UNSPECIFIED, 0).into();
            let web = Web::start_at(any, &[(SERVICE, "/ctl")], firewall()).await;
            let port = web.address.port();
            let _ssdp = answers(format!("http://[{ROUTER}]:{port}/desc.xml"));
            let way = Sought::Pinholes(ByIpv4::new(|| None));
            let mapper = PinholeMapper::searching(&config(), way);
            mapper.install(&request(), HOUR).await.unwrap();
            let host = HOST.parse::<Ipv6Addr>().unwrap();
            assert!(web.calls().iter().all(|call| call.from == host && call.host == format!("[fe80::77:1]:{port}")));
        });
    }

    #[test]
    fn a_router_that_describes_itself_at_its_global_address_alone_is_asked_there() {
        on_a_cable(async || {
            let global = (ROUTER.parse::<Ipv6Addr>().unwrap(), 0).into();
            let web = Web::start_at(global, &[(SERVICE, "/ctl")], firewall()).await;
            let _ssdp = answers(web.location());
            let way = || Sought::Pinholes(ByIpv4::new(|| None));
            let mapper = PinholeMapper::searching(&config(), way());
            mapper.install(&request(), HOUR).await.unwrap();
            assert!(web.calls().iter().all(|call| call.host == web.address.to_string()));
            // Not if the router was named: then nobody is asked at another address.
            let named = PinholeMapper::searching(&config().gateway_only(true), way());
            let error = named.install(&request(), HOUR).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
        });
    }

    #[test]
    fn what_a_router_announces_to_the_links_group_is_heard_on_its_interface() {
        on_a_cable(async || {
            let socket = crate::client::upnp::ssdp::open_group_v6(index("host")).unwrap();
            let far = index("host-far");
            let from = std::net::SocketAddrV6::new("fe80::77:1".parse().unwrap(), 0, 0, far);
            let sender = UdpSocket::bind(from).await.unwrap();
            let group = std::net::SocketAddrV6::new("ff02::c".parse().unwrap(), 1900, 0, far);
            sender.send_to(b"hello", group).await.unwrap();
            let (length, heard) = socket.recv_from(&mut [0; 64]).await.unwrap();
            assert_eq!((length, heard.ip().to_string().as_str()), (5, "fe80::77:1"));
        });
    }

    #[test]
    fn what_another_machine_on_the_link_answers_is_not_asked_of_the_router() {
        on_a_cable(async || {
            for address in ["fe80::77:9", "2001:db8:77::9"] {
                ip(&format!("addr add {address}/64 dev host-far nodad"));
            }
            let any = (Ipv6Addr::UNSPECIFIED, 0).into();
            let web = Web::start_at(any, &[(SERVICE, "/ctl")], firewall()).await;
            let of_router = |path: &str| format!("http://[fe80::77:1]:{}/{path}", web.address.port());
            // A link-local address other than the router's, and one that may be the router's but says nothing of a gateway.
            let _strangers = [
                answers_from("fe80::77:9", IGD, of_router("stranger.xml")),
                answers_from("2001:db8:77::9", "upnp:rootdevice", of_router("television.xml")),
            ];
            let mapper = PinholeMapper::searching(&config(), Sought::Pinholes(ByIpv4::new(|| None)));
            let error = mapper.search().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(web.calls().is_empty(), "{:?}", web.calls());
            // By its global address the router may say so itself.
            let _router = answers_from(ROUTER, IGD, of_router("desc.xml"));
            mapper.install(&request(), HOUR).await.unwrap();
        });
    }

    #[test]
    fn a_search_on_an_interface_that_goes_away_ends_and_the_next_one_fails_at_once() {
        on_a_cable(async || {
            let mapper = PinholeMapper::searching(&config(), Sought::Pinholes(ByIpv4::new(|| None)));
            let far = crate::client::upnp::ssdp::open_group_v6(index("host-far")).unwrap();
            let goes = async {
                far.recv_from(&mut [0; 2048]).await.unwrap();
                ip("link del host");
            };
            let (ended, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(30), mapper.search()), goes);
            let error = ended.expect("the search ends").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let started = std::time::Instant::now();
            mapper.search().await.unwrap_err();
            assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        });
    }
}
