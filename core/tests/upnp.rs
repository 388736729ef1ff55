//! The UPnP mapper against the simulated gateway.
#![allow(missing_docs, clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portlease::client::{PortMapperClient, RaceMapper, UpnpConfig, UpnpMapper};
use portlease::{Config, ErrorKind, MapRequest, PortMapping, PortMappingError, ProtocolToken, Transport};
use portlease_gateway::{
    Faults, Gateway, GatewayConfig, HttpBody, Mode, NameEncoding, Protocol, SecondDevice, Transport as Wire, WanService,
};

const HOUR: Duration = Duration::from_secs(3600);

fn gateway(faults: Faults) -> Gateway {
    gateway_of(1, faults)
}

fn gateway_of(igd_version: u8, faults: Faults) -> Gateway {
    let config = GatewayConfig { igd_version, faults, pcp: false, nat_pmp: false, ..GatewayConfig::default() };
    Gateway::start(config).unwrap()
}

fn mapper(gateway: &Gateway) -> UpnpMapper {
    let config = UpnpConfig::new(gateway.address()).ssdp_address(gateway.ssdp_address());
    UpnpMapper::new(config.description("portlease test"))
}

/// A request for a free internal port, so that tests that run side by side do not share external ports.
fn request() -> MapRequest {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    MapRequest::new(socket.local_addr().unwrap().port(), Transport::Udp)
}

async fn install(gateway: &Gateway) -> Result<PortMapping, PortMappingError> {
    mapper(gateway).install(&request(), HOUR).await
}

/// Maps on a gateway with these faults, and checks that the mapping is really there, and gone once it is removed.
async fn maps_in_spite_of(name: &str, faults: Faults) {
    let gateway = gateway(faults);
    let mapper = mapper(&gateway);
    let request = request();
    let mapping = mapper.install(&request, HOUR).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    let table = gateway.mappings();
    assert_eq!(table.len(), 1, "{name}");
    assert_eq!(table[0].external_port, mapping.external.port(), "{name}");
    assert_eq!(table[0].internal, SocketAddr::from((Ipv4Addr::LOCALHOST, request.internal_port)), "{name}");
    assert_eq!(table[0].protocol, Protocol::Upnp, "{name}");
    mapper.renew(&mapping).await.unwrap_or_else(|error| panic!("{name}: renewal: {error}"));
    assert_eq!(gateway.mappings().len(), 1, "{name}: a renewal leaked a mapping");
    mapper.remove(&mapping).await.unwrap_or_else(|error| panic!("{name}: removal: {error}"));
    assert!(gateway.mappings().is_empty(), "{name}");
}

#[tokio::test]
async fn a_mapping_is_made_renewed_and_removed_and_datagrams_arrive_meanwhile() {
    for version in [1, 2] {
        let gateway = gateway_of(version, Faults::default());
        let app = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let request = MapRequest::new(app.local_addr().unwrap().port(), Transport::Udp);
        let mapper = mapper(&gateway);
        let mapping = mapper.install(&request, HOUR).await.unwrap();
        assert_eq!(mapping.external, SocketAddr::from(([192, 0, 1, 1], request.internal_port)));
        let outside = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        outside.send_to(b"hello", gateway.mappings()[0].reach).await.unwrap();
        let mut buffer = [0; 16];
        let (count, _) =
            tokio::time::timeout(Duration::from_secs(5), app.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..count], b"hello");
        assert_eq!(mapper.renew(&mapping).await.unwrap(), mapping);
        mapper.remove(&mapping).await.unwrap();
        mapper.remove(&mapping).await.unwrap();
        assert!(gateway.mappings().is_empty());
    }
}

#[tokio::test]
async fn every_way_to_send_an_answer_is_read() {
    for body in [HttpBody::Chunked, HttpBody::NoLength, HttpBody::LfOnly, HttpBody::BadLength] {
        maps_in_spite_of(&format!("{body:?}"), Faults { http_body: body, ..Faults::default() }).await;
    }
    maps_in_spite_of(
        "headers",
        Faults {
            lowercase_headers: true,
            content_type: Some("application/octet-stream".into()),
            strict_headers: true,
            single_read: true,
            scpd_missing: true,
            ..Faults::default()
        },
    )
    .await;
}

#[tokio::test]
async fn every_kind_of_description_is_read() {
    let cases = [
        ("url base", Faults { url_base: true, ..Faults::default() }),
        ("relative urls", Faults { relative_urls: true, ..Faults::default() }),
        ("relative urls with base", Faults { relative_urls: true, url_base: true, ..Faults::default() }),
        ("query", Faults { control_query: true, ..Faults::default() }),
        ("prefixes", Faults { prefixed_namespaces: true, ..Faults::default() }),
        ("latin-1", Faults { name_encoding: NameEncoding::Latin1, ..Faults::default() }),
        ("broken utf-8", Faults { name_encoding: NameEncoding::BrokenUtf8, ..Faults::default() }),
        ("ip 2 only", Faults { wan_service: WanService::Ip2Only, ..Faults::default() }),
        ("ppp", Faults { wan_service: WanService::Ppp, ..Faults::default() }),
        ("dslforum", Faults { wan_service: WanService::Dslforum, ..Faults::default() }),
        ("first connection down", Faults { down_connection_first: true, ..Faults::default() }),
        ("long", Faults { padded_description: true, ..Faults::default() }),
        ("nested", Faults { nesting: 20, ..Faults::default() }),
    ];
    for (name, faults) in cases {
        maps_in_spite_of(name, faults).await;
    }
    let second = gateway_of(2, Faults { wan_service: WanService::Ip1Only, ..Faults::default() });
    assert!(install(&second).await.is_ok(), "version 1 service in a version 2 device");
}

#[tokio::test]
async fn every_kind_of_search_answer_is_understood() {
    let cases = [
        ("duplicates", Faults { ssdp_duplicates: 3, duplicates: 2, ..Faults::default() }),
        ("other port", Faults { ssdp_other_port: true, ..Faults::default() }),
        ("late", Faults { ssdp_delay_ms: 900, ..Faults::default() }),
        ("another target", Faults { ssdp_answer_st: Some("upnp:rootdevice".into()), ..Faults::default() }),
        ("root device only", Faults { ssdp_only_st: Some("upnp:rootdevice".into()), ..Faults::default() }),
        ("bogus locations", Faults { ssdp_bogus_locations: 12, ..Faults::default() }),
        (
            "bogus locations of the same device",
            Faults { ssdp_bogus_locations: 12, ssdp_bogus_udn_is_true: true, ..Faults::default() },
        ),
        ("lossy", Faults { loss: 0.3, ..Faults::default() }),
        ("second device first", Faults { second_device: SecondDevice::First, ..Faults::default() }),
        ("second device last", Faults { second_device: SecondDevice::Last, ..Faults::default() }),
    ];
    for (name, faults) in cases {
        maps_in_spite_of(name, faults).await;
    }
    for target in
        ["urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:service:WANIPConnection:1"]
    {
        maps_in_spite_of(target, Faults { ssdp_only_st: Some(target.into()), ..Faults::default() }).await;
    }
}

#[tokio::test]
async fn every_way_to_refuse_a_lease_or_a_port_is_climbed_over() {
    for code in [725, 402, 501] {
        let gateway = gateway(Faults { nonzero_lease_error: Some(code), ..Faults::default() });
        let mapping = install(&gateway).await.unwrap();
        assert!(mapping.permanent(), "{code}");
        assert_eq!(gateway.mappings()[0].expires_in, None, "{code}");
    }
    for version in [1, 2] {
        for code in [718, 729, 501, 402] {
            let gateway = gateway_of(version, Faults { no_error_description: true, ..Faults::default() });
            let request = request();
            gateway.update_faults(|faults| {
                faults.port_errors.insert(request.internal_port, code);
            });
            let mapping = mapper(&gateway).install(&request, HOUR).await.unwrap();
            assert_ne!(mapping.external.port(), request.internal_port);
            assert_eq!(gateway.mappings()[0].external_port, mapping.external.port(), "{code}");
            let error = mapper(&gateway).install(&request.exact(), HOUR).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().starts_with(&format!("upnp {code} ")), "{error}");
        }
    }
    maps_in_spite_of("same port", Faults { same_port_only: true, ..Faults::default() }).await;
}

#[tokio::test]
async fn a_port_that_another_host_has_is_left_alone() {
    let gateway = gateway(Faults::default());
    let request = request();
    let other = SocketAddr::from(([127, 0, 0, 9], 9));
    gateway.add_mapping(Wire::Udp, request.internal_port, other, None).unwrap();
    let mapping = mapper(&gateway).install(&request, HOUR).await.unwrap();
    assert_ne!(mapping.external.port(), request.internal_port);
    let table = gateway.mappings();
    assert_eq!(table.len(), 2);
    assert!(table.iter().any(|line| line.external_port == request.internal_port && line.internal == other));
}

#[tokio::test]
async fn a_refusal_is_refused_with_its_code_whatever_the_status_of_the_answer() {
    for (faults, part) in [
        (Faults { upnp: Mode::Refuse(606), ..Faults::default() }, "upnp 606 ActionNotAuthorized"),
        (Faults { upnp: Mode::Refuse(718), fault_status_200: true, ..Faults::default() }, "upnp 718"),
        (Faults { upnp: Mode::Refuse(899), no_error_description: true, ..Faults::default() }, "upnp 899"),
    ] {
        let error = install(&gateway(faults)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn cgnat_is_told_and_a_router_without_an_address_still_maps() {
    let cgnat = gateway(Faults { cgnat: true, ..Faults::default() });
    assert_eq!(install(&cgnat).await.unwrap().external.ip(), IpAddr::from([100, 64, 0, 9]));
    let none = gateway(Faults { empty_external_address: true, ..Faults::default() });
    let info = mapper(&none).search().await.unwrap();
    assert_eq!(info.external_address, None);
    assert_eq!(install(&none).await.unwrap().external.ip(), IpAddr::from([0, 0, 0, 0]));
}

#[tokio::test]
async fn hostile_answers_end_within_the_deadline() {
    let elsewhere = "http://127.0.0.9:1/desc.xml".to_owned();
    let cases = [
        (Faults { location: Some(elsewhere.clone()), ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { control_host: Some("http://127.0.0.9:1".into()), ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { redirect: Some(elsewhere), ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { nesting: 50_000, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { wan_service: WanService::None, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { http_body: HttpBody::HugeHeaders, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { http_body: HttpBody::Oversized, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { http: Mode::Off, ..Faults::default() }, ErrorKind::Transport),
        (Faults { http: Mode::Silent, ..Faults::default() }, ErrorKind::Timeout),
        (Faults { ssdp: Mode::Silent, ..Faults::default() }, ErrorKind::Unavailable),
        (Faults { upnp: Mode::Off, ..Faults::default() }, ErrorKind::Unavailable),
    ];
    for (faults, kind) in cases {
        let gateway = gateway(faults.clone());
        let started = Instant::now();
        let error = install(&gateway).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error} for {faults:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?} for {faults:?}", started.elapsed());
        assert!(gateway.mappings().is_empty());
    }
}

#[tokio::test]
async fn a_description_that_never_ends_is_left_at_the_limit_or_at_the_deadline() {
    let gateway = gateway(Faults { http_body: HttpBody::NeverEnding, ..Faults::default() });
    let started = Instant::now();
    let error = install(&gateway).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{error} after {:?}", started.elapsed());
}

#[tokio::test]
async fn a_closed_ssdp_port_is_unavailable_at_once() {
    let gateway = gateway(Faults { upnp: Mode::Off, ..Faults::default() });
    let started = Instant::now();
    let error = mapper(&gateway).probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(1), "{error} after {:?}", started.elapsed());
}

#[tokio::test]
async fn a_broken_answer_to_an_action_is_survived_and_leaves_nothing_behind_for_ever() {
    for body in [HttpBody::Oversized, HttpBody::NeverEnding, HttpBody::Reset, HttpBody::HugeHeaders] {
        let gateway = gateway(Faults { control_body: Some(body), ..Faults::default() });
        let started = Instant::now();
        let outcome = install(&gateway).await;
        assert!(started.elapsed() < Duration::from_secs(9), "{body:?}");
        // Half of a short answer may be enough to understand it.
        assert!(outcome.is_err() || body == HttpBody::Reset, "{body:?}: {outcome:?}");
        // The answer was lost, but not the request: what is there has an end.
        assert!(gateway.mappings().iter().all(|mapping| mapping.expires_in.is_some()), "{body:?}");
    }
}

#[tokio::test]
async fn a_reboot_with_another_http_port_is_survived() {
    let gateway = gateway(Faults::default());
    let mapper = mapper(&gateway);
    let mapping = mapper.install(&request(), HOUR).await.unwrap();
    gateway.reboot();
    assert!(gateway.mappings().is_empty());
    let renewed = mapper.renew(&mapping).await.unwrap();
    assert_eq!(renewed.external, mapping.external);
    assert_ne!(renewed.token, mapping.token);
    assert_eq!(gateway.mappings().len(), 1);
    // The old mapping's token still finds its way.
    mapper.remove(&mapping).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_renewal_from_the_token_alone_works_in_a_fresh_process_and_reads_the_moved_address() {
    let gateway = gateway(Faults::default());
    let mapping = mapper(&gateway).install(&request(), HOUR).await.unwrap();
    assert!(
        matches!(&mapping.token, ProtocolToken::Upnp { control_url, .. } if control_url.starts_with("http://127.0.0.1:"))
    );
    let searches = gateway.counters();
    gateway.set_external_address(Some(Ipv4Addr::new(192, 0, 1, 7)));
    let fresh = mapper(&gateway);
    let renewed = fresh.renew(&mapping).await.unwrap();
    assert_eq!(renewed.external, SocketAddr::from(([192, 0, 1, 7], mapping.external.port())));
    fresh.remove(&renewed).await.unwrap();
    assert!(gateway.mappings().is_empty());
    let count = |counters: &portlease_gateway::Counters| {
        counters.0.iter().filter(|(name, _)| name.contains("ssdp")).map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(count(&gateway.counters()), count(&searches), "a fresh mapper searched");
}

#[tokio::test]
async fn the_table_is_listed_and_lines_can_be_deleted() {
    let gateway = gateway(Faults::default());
    let mapper = mapper(&gateway);
    assert_eq!(mapper.mappings().await.unwrap(), []);
    let udp = mapper.install(&request(), HOUR).await.unwrap();
    let tcp = MapRequest::new(request().internal_port, Transport::Tcp);
    let tcp = mapper.install(&tcp, HOUR).await.unwrap();
    let mut table = mapper.mappings().await.unwrap();
    table.sort_by_key(|line| line.transport);
    assert_eq!(table.len(), 2);
    for (line, mapping) in table.iter().zip([&udp, &tcp]) {
        assert_eq!((line.external_port, line.transport), (mapping.external.port(), mapping.request.transport));
        assert_eq!((line.internal_client.as_str(), line.internal_port), ("127.0.0.1", mapping.request.internal_port));
        assert_eq!((line.description.as_str(), line.enabled), ("portlease test", true));
        assert!(line.lifetime.is_some_and(|left| left <= HOUR && left > HOUR / 2));
    }
    mapper.delete(Transport::Udp, udp.external.port()).await.unwrap();
    assert_eq!(gateway.mappings().len(), 1);
    mapper.delete(Transport::Udp, udp.external.port()).await.unwrap();
}

#[tokio::test]
async fn a_hundred_leases_at_once_are_mapped_and_removed() {
    let gateway = gateway(Faults::default());
    let mapper = Arc::new(mapper(&gateway));
    let mut tasks = tokio::task::JoinSet::new();
    for port in 30_000..30_100 {
        let mapper = Arc::clone(&mapper);
        tasks.spawn(async move { mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap() });
    }
    let mappings = tasks.join_all().await;
    assert_eq!(gateway.mappings().len(), 100);
    for mapping in &mappings {
        mapper.remove(mapping).await.unwrap();
    }
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_configured_gateway_is_the_only_one_that_upnp_asks() {
    let bind = IpAddr::from([127, 0, 0, 9]);
    let other = Gateway::start(GatewayConfig { bind, pcp: false, nat_pmp: false, ..GatewayConfig::default() }).unwrap();
    let config = Config::default().protocols([portlease::Protocol::Upnp]).ssdp_address(other.ssdp_address());
    let report = async |gateway: [u8; 4]| {
        let race = RaceMapper::new(config.clone().gateway(IpAddr::from(gateway)));
        race.report().await.unwrap().protocols.remove(0).outcome
    };
    let error = report([127, 0, 0, 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("only other hosts"), "{error}");
    // It is there all the same.
    report([127, 0, 0, 9]).await.unwrap();
}
