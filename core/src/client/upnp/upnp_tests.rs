use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::peer::{Answer, Call, IP1, IP2, Ssdp, Web, answer, fault, gateway, mapper, ok, page};
use super::*;
use crate::error::ErrorKind;
use crate::mapping::{Protocol, ProtocolToken};
use crate::schedule::{SSDP_DEADLINE, UPNP_DEADLINE};

const HOUR: Duration = Duration::from_secs(3600);

fn external_address(address: &'static str) -> impl Fn(&Call) -> Option<String> + Send + Sync + 'static {
    move |call| {
        (call.action == "GetExternalIPAddress")
            .then(|| ok("GetExternalIPAddress", &[("NewExternalIPAddress", address)]))
    }
}

fn status(status: &'static str) -> impl Fn(&Call) -> Option<String> + Send + Sync + 'static {
    move |call| (call.action == "GetStatusInfo").then(|| ok("GetStatusInfo", &[("NewConnectionStatus", status)]))
}

fn token(control_url: String) -> ProtocolToken {
    ProtocolToken::Upnp { control_url, service_type: IP1.into(), udn: "uuid:test-router".into(), adopted: false }
}

async fn found_among(webs: &[&Web]) -> DeviceInfo {
    let igd = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
    let answers = webs.iter().map(|web| Answer {
        from: web.address.ip(),
        text: answer(&web.location(), igd),
        after: Duration::ZERO,
    });
    let ssdp = Ssdp::start_among(answers.collect()).await;
    mapper(&ssdp).search().await.unwrap()
}

/// A host of the network that is not the gateway.
async fn another_host(number: u8, rule: impl Fn(&Call) -> Option<String> + Send + Sync + 'static) -> Web {
    Web::start_at((Ipv4Addr::new(127, 0, 0, number), 0).into(), &[(IP1, "/ctl")], rule).await
}

#[tokio::test]
async fn a_search_tells_what_the_device_is() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let info = mapper.search().await.unwrap();
    assert!(info.round_trip > Duration::ZERO && info.round_trip < SSDP_DEADLINE);
    let expected = DeviceInfo {
        friendly_name: "Test router".into(),
        manufacturer: Some("Acme".into()),
        model: Some("Gate 7".into()),
        firmware: None,
        igd_version: None,
        address: Ipv4Addr::LOCALHOST.into(),
        description_url: web.location(),
        control_url: format!("http://{}/ctl", web.address),
        service_type: IP1.into(),
        external_address: Some("192.0.1.1".parse().unwrap()),
        connected: None,
        round_trip: info.round_trip,
    };
    assert_eq!(info, expected);
}

#[tokio::test]
async fn an_install_asks_for_the_address_then_looks_and_adds_last_with_every_argument() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let request = MapRequest::new(4000, Transport::Udp);
    let mapping = mapper.install(&request, HOUR).await.unwrap();
    assert_eq!(mapping.external, "192.0.1.1:4000".parse().unwrap());
    assert_eq!((mapping.lifetime, mapping.requested_ttl, mapping.protocol), (Some(HOUR), HOUR, Protocol::Upnp));
    let calls = web.calls();
    let actions: Vec<_> = calls.iter().map(|call| &*call.action).collect();
    assert_eq!(actions, ["", "GetExternalIPAddress", "GetSpecificPortMappingEntry", "AddPortMapping"]);
    for (argument, value) in [
        ("NewRemoteHost", ""),
        ("NewExternalPort", "4000"),
        ("NewProtocol", "UDP"),
        ("NewInternalPort", "4000"),
        ("NewInternalClient", "127.0.0.1"),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "test &lt;&amp;&gt; mapping"),
        ("NewLeaseDuration", "3600"),
    ] {
        assert_eq!(calls[3].argument(argument), value, "{argument}");
    }
}

#[tokio::test]
async fn a_renewal_and_a_removal_need_nothing_but_the_mapping() {
    let (web, ssdp, first) = gateway(|_| None).await;
    let request = MapRequest::new(4000, Transport::Tcp).external_port(4100);
    let mapping = first.install(&request, HOUR).await.unwrap();
    let calls = web.calls().len();
    drop(first);
    let fresh = mapper(&ssdp);
    assert_eq!(fresh.renew(&mapping).await.unwrap(), mapping);
    fresh.remove(&mapping).await.unwrap();
    let later: Vec<_> = web.calls()[calls..].iter().map(Call::short).collect();
    assert_eq!(
        later,
        [
            "GetExternalIPAddress",
            "GetSpecificPortMappingEntry 4100",
            "AddPortMapping 4100 3600",
            "GetSpecificPortMappingEntry 4100",
            "DeletePortMapping 4100",
        ]
    );
    assert_eq!(web.calls().last().unwrap().argument("NewProtocol"), "TCP");
}

#[tokio::test]
async fn a_renewal_reads_the_external_address_again() {
    let moved = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&moved);
    let (_web, _ssdp, mapper) =
        gateway(move |call| (switch.load(Ordering::Relaxed)).then(|| external_address("192.0.1.7")(call)).flatten())
            .await;
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    moved.store(true, Ordering::Relaxed);
    assert_eq!(mapper.renew(&mapping).await.unwrap().external, "192.0.1.7:4000".parse().unwrap());
}

#[tokio::test]
async fn a_router_without_an_address_or_that_does_not_tell_it_still_maps() {
    for address in ["", "0.0.0.0", "none"] {
        let (_web, _ssdp, mapper) = gateway(external_address(address)).await;
        let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
        assert_eq!(mapping.external, "0.0.0.0:4000".parse().unwrap(), "{address:?}");
    }
    let (_web, _ssdp, mapper) = gateway(|call| (call.action == "GetExternalIPAddress").then(|| fault(501))).await;
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapping.external, "0.0.0.0:4000".parse().unwrap());
}

#[tokio::test]
async fn a_removal_of_what_is_gone_is_a_success_and_any_other_refusal_is_refused() {
    for (code, kind) in [(714, None), (606, Some(ErrorKind::Refused)), (501, Some(ErrorKind::Refused))] {
        let (_web, _ssdp, mapper) =
            gateway(move |call| (call.action == "DeletePortMapping").then(|| fault(code))).await;
        let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
        assert_eq!(mapper.remove(&mapping).await.err().map(|error| error.kind()), kind, "{code}");
        assert_eq!(mapper.delete(Transport::Udp, 4000).await.err().map(|error| error.kind()), kind, "{code}");
    }
}

#[tokio::test]
async fn a_gateway_that_has_moved_to_another_port_is_found_again() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let mut mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    // A port on which nobody listens any more, and a path that answers 404.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Web::start(&[], |_| Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into())).await;
    for old in [closed, gone.address] {
        mapping.token = token(format!("http://{old}/ctl"));
        let renewed = mapper.renew(&mapping).await.unwrap();
        let control_url = format!("http://{}/ctl", web.address);
        assert_eq!(renewed.token, token(control_url));
        mapper.remove(&mapping).await.unwrap();
    }
    assert_eq!(web.changes()[1..], ["AddPortMapping 4000 3600", "DeletePortMapping 4000"].repeat(2));
}

#[tokio::test]
async fn a_gateway_that_is_gone_for_good_is_a_transport_error_after_one_search() {
    let (web, ssdp, mapper) = gateway(|_| None).await;
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    drop((web, ssdp));
    let started = std::time::Instant::now();
    let error = mapper.renew(&mapping).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
    assert!(started.elapsed() < SSDP_DEADLINE, "the search went on although the port is closed");
}

#[tokio::test]
async fn the_best_device_wins_whatever_the_order_of_the_answers() {
    let public = another_host(2, |_| None).await;
    let private = another_host(3, external_address("192.168.9.2")).await;
    let down = another_host(4, status("Disconnected")).await;
    let television = Web::start_at("127.0.0.5:0".parse().unwrap(), &[], |_| None).await;
    assert_eq!(found_among(&[&television, &down, &private, &public]).await.description_url, public.location());
    assert_eq!(found_among(&[&public, &private, &down]).await.description_url, public.location());
    assert_eq!(found_among(&[&down, &private, &television]).await.description_url, private.location());
    assert_eq!(found_among(&[&television, &down]).await.description_url, down.location());
}

#[tokio::test]
async fn up_counts_as_connected_and_a_router_without_a_status_is_usable() {
    let down = another_host(2, status("Disconnected")).await;
    let up = another_host(3, status("Up")).await;
    let info = found_among(&[&down, &up]).await;
    assert_eq!((info.description_url, info.connected), (up.location(), Some(true)));
    let mute = another_host(4, |call| (call.action == "GetStatusInfo").then(|| fault(401))).await;
    let info = found_among(&[&down, &mute]).await;
    assert_eq!((info.description_url, info.connected), (mute.location(), None));
}

#[tokio::test]
async fn a_router_that_is_silent_about_its_status_is_usable_soon() {
    let mute = another_host(2, |call| (call.action == "GetStatusInfo").then(String::new)).await;
    let info = found_among(&[&mute]).await;
    assert_eq!((info.connected, info.external_address), (None, Some("192.0.1.1".parse().unwrap())));
    assert!(info.round_trip < UPNP_DEADLINE, "{:?}", info.round_trip);
}

#[tokio::test]
async fn a_television_is_neither_taken_for_the_gateway_nor_waited_for() {
    let television = Web::start_at("127.0.0.5:0".parse().unwrap(), &[], |_| None).await;
    let silent = Web::start_at("127.0.0.6:0".parse().unwrap(), &[], |_| Some(String::new())).await;
    let answers = [&television, &silent].map(|web| Answer {
        from: web.address.ip(),
        text: answer(&web.location(), "upnp:rootdevice"),
        after: Duration::ZERO,
    });
    let ssdp = Ssdp::start_among(answers.to_vec()).await;
    let started = std::time::Instant::now();
    let error = mapper(&ssdp).search().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = "no upnp gateway answered the search within 1.1 s, only devices that map no ports (1)";
    assert_eq!(error.to_string(), text);
    assert!(started.elapsed() < UPNP_DEADLINE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn of_several_connections_the_one_that_is_up_is_used_with_its_own_type() {
    let services = [("urn:schemas-upnp-org:service:WANPPPConnection:1", "/ppp"), (IP2, "/ip")];
    let web = Web::start(&services, |call| (call.path == "/ppp").then(|| status("Disconnected")(call)).flatten()).await;
    let info = found_among(&[&web]).await;
    assert_eq!((info.control_url, &*info.service_type), (format!("http://{}/ip", web.address), IP2));
}

#[tokio::test]
async fn locations_that_are_not_the_responder_are_never_asked() {
    let other = Web::start_at("127.0.0.9:0".parse().unwrap(), &[(IP1, "/ctl")], |_| None).await;
    let port = other.address.port();
    let igd = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
    let locations = [other.location(), format!("http://localhost:{port}/"), format!("http://u:p@127.0.0.1:{port}/")];
    let ssdp = Ssdp::start_with(locations.iter().map(|location| answer(location, igd)).collect()).await;
    let error = mapper(&ssdp).search().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("127.0.0.9"), "{error}");
    assert!(other.calls().is_empty());
}

#[tokio::test]
async fn a_device_that_answers_as_a_root_device_only_is_found_too() {
    let web = Web::start(&[(IP1, "/ctl")], |_| None).await;
    let ssdp = Ssdp::start_with(vec![answer(&web.location(), "upnp:rootdevice")]).await;
    assert_eq!(mapper(&ssdp).search().await.unwrap().description_url, web.location());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Web::start(&[(IP1, "/ctl")], |_| None).await;
    let target = other.location();
    let web = Web::start(&[], move |_| Some(format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n"))).await;
    let ssdp = Ssdp::start(vec![web.location()]).await;
    let error = mapper(&ssdp).search().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("302"), "{error}");
    assert!(other.calls().is_empty());
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_unavailable() {
    let (_web, _ssdp, mapper) =
        gateway(|call| (call.action == "AddPortMapping").then(|| page("<html>hi</html>"))).await;
    let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("AddPortMapping") && error.to_string().contains("no sense"), "{error}");
}

#[tokio::test]
async fn a_router_that_stops_answering_is_a_timeout_and_is_searched_for_again() {
    let silent = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&silent);
    let (web, _ssdp, mapper) =
        gateway(move |call| (call.action == "AddPortMapping" && switch.load(Ordering::Relaxed)).then(String::new))
            .await;
    let request = MapRequest::new(4000, Transport::Udp);
    let started = Instant::now();
    assert_eq!(mapper.install(&request, HOUR).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < UPNP_DEADLINE + Duration::from_secs(1));
    silent.store(false, Ordering::Relaxed);
    mapper.install(&request, HOUR).await.unwrap();
    assert_eq!(web.calls().iter().filter(|call| call.action.is_empty()).count(), 2);
}

#[tokio::test]
async fn installs_that_begin_together_share_one_search() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let mapper = Arc::new(mapper);
    let mut tasks = tokio::task::JoinSet::new();
    for port in 4000..4020 {
        let mapper = Arc::clone(&mapper);
        tasks.spawn(async move { mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(web.changes().len(), 20);
    assert_eq!(web.calls().iter().filter(|call| call.action.is_empty()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_nobody_answers_is_unavailable_within_two_seconds() {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mapper = UpnpMapper::new(UpnpConfig {
        gateway: Ipv4Addr::LOCALHOST.into(),
        local_address: None,
        ssdp_address: Some(socket.local_addr().unwrap()),
        description: String::new(),
        gateway_only: false,
    });
    let started = Instant::now();
    let error = mapper.search().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "no upnp gateway answered the search within 1.1 s");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_ipv6_gateway_and_a_foreign_mapping_are_refused_without_traffic() {
    let (_web, ssdp, mapper) = gateway(|_| None).await;
    let config = UpnpConfig { gateway: "::1".parse().unwrap(), ..mapper.finder.config.clone() };
    assert_eq!(UpnpMapper::new(config).search().await.unwrap_err().kind(), ErrorKind::Invalid);
    let mut mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    mapping.token = ProtocolToken::None;
    assert_eq!(mapper.renew(&mapping).await.unwrap_err().kind(), ErrorKind::Internal);
    drop(ssdp);
}
