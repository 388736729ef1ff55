//! NAT-PMP against the simulated gateway, which was written from the RFCs.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use portlease::client::{NatPmpMapper, PortMapperClient};
use portlease::{ErrorKind, MapRequest, Protocol, Transport};
use portlease_gateway::{Faults, Gateway, GatewayConfig, Mode};
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);
/// How long an exchange waits for an answer.
const PCP_DEADLINE: Duration = Duration::from_secs(1);

fn gateway() -> (Gateway, NatPmpMapper) {
    gateway_with(Faults::default())
}

fn gateway_with(faults: Faults) -> (Gateway, NatPmpMapper) {
    let gateway =
        Gateway::start(GatewayConfig { upnp: false, faults, ..GatewayConfig::default() }).expect("the gateway starts");
    let mapper = NatPmpMapper::new(SocketAddr::new(gateway.address(), gateway.pcp_port()), None);
    (gateway, mapper)
}

#[tokio::test]
async fn a_port_is_mapped_renewed_and_deleted_in_both_transports() {
    let (gateway, mapper) = gateway();
    for transport in Transport::ALL {
        let request = MapRequest::new(4000, transport).external_port(4100);
        let mapping = mapper.install(&request, HOUR).await.unwrap();
        assert_eq!(mapping.external, "192.0.1.1:4100".parse().unwrap());
        assert_eq!((mapping.lifetime, mapping.protocol), (Some(HOUR), Protocol::NatPmp));

        let table = gateway.mappings();
        assert_eq!(table.len(), 1);
        assert_eq!(table[0].transport.to_string(), transport.as_str());
        assert_eq!((table[0].external_port, table[0].internal.port()), (4100, 4000));

        let renewed = mapper.renew(&mapping).await.unwrap();
        assert_eq!(renewed, mapping);
        assert_eq!(gateway.mappings().len(), 1, "a renewal makes no second mapping");

        mapper.remove(&renewed).await.unwrap();
        assert!(gateway.mappings().is_empty());
        mapper.remove(&renewed).await.expect("to delete what is gone is a success");
    }
}

#[tokio::test]
async fn deleting_one_transport_leaves_the_other() {
    let (gateway, mapper) = gateway();
    let udp = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    mapper.install(&MapRequest::new(4000, Transport::Tcp), HOUR).await.unwrap();
    mapper.remove(&udp).await.unwrap();
    let left: Vec<_> = gateway.mappings().iter().map(|mapping| mapping.transport).collect();
    assert_eq!(left, [portlease_gateway::Transport::Tcp]);
}

#[tokio::test]
async fn a_delete_never_removes_the_mapping_of_another_host() {
    let (gateway, mapper) = gateway();
    let others = SocketAddr::from(([127, 0, 0, 9], 4000));
    gateway.add_mapping(portlease_gateway::Transport::Udp, 4000, others, None).unwrap();
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    let mut moved = mapping.clone();
    moved.external.set_port(4000);
    mapper.remove(&moved).await.unwrap();
    mapper.remove(&mapping).await.unwrap();
    let left: Vec<_> = gateway.mappings().iter().map(|mapping| mapping.internal).collect();
    assert_eq!(left, [others]);
}

#[tokio::test]
async fn a_datagram_to_the_external_port_arrives_while_mapped() {
    let (gateway, mapper) = gateway();
    let app = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    app.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = MapRequest::new(app.local_addr().unwrap().port(), Transport::Udp);
    mapper.install(&request, HOUR).await.unwrap();
    let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    outside.send_to(b"hello", gateway.mappings()[0].reach).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(app.recv(&mut buffer).unwrap(), 5);
}

#[tokio::test]
async fn a_probe_asks_for_the_address_and_maps_nothing() {
    let (gateway, mapper) = gateway();
    mapper.probe().await.unwrap();
    assert_eq!(mapper.external_address().await.unwrap().0, Some(Ipv4Addr::new(192, 0, 1, 1)));
    assert_eq!(gateway.counters().get("natpmp_address"), 2);
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn wrong_answers_are_ignored_and_the_right_one_behind_them_counts() {
    let wrong: [fn(&mut Faults); 6] = [
        |faults| faults.wrong_internal_port = true,
        |faults| faults.wrong_opcode = true,
        |faults| faults.wrong_source_port = true,
        |faults| faults.truncate = Some(11),
        |faults| faults.truncate = Some(0),
        |faults| faults.extra_bytes = 1100,
    ];
    let case = async |index: usize, damage: fn(&mut Faults)| {
        let (gateway, mapper) = gateway();
        gateway.update_faults(|faults| {
            damage(faults);
            faults.right_answer_follows = true;
        });
        let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await;
        let mapping = mapping.unwrap_or_else(|error| panic!("{index}: {error}"));
        assert_eq!(mapping.external.port(), 4000, "{index}");

        gateway.update_faults(|faults| faults.right_answer_follows = false);
        let error = mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{index}: {error}");
    };
    // All at once: each waits for a deadline.
    let mut cases = JoinSet::new();
    for (index, damage) in wrong.into_iter().enumerate() {
        cases.spawn(case(index, damage));
    }
    cases.join_all().await;
}

#[tokio::test]
async fn duplicates_and_reordering_do_no_harm() {
    let (gateway, mapper) = gateway_with(Faults { duplicates: 2, reorder: true, ..Faults::default() });
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapper.renew(&mapping).await.unwrap(), mapping);
    mapper.remove(&mapping).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn lost_requests_are_made_up_for_and_map_once() {
    let (gateway, mapper) = gateway_with(Faults { drop_next: 4, ..Faults::default() });
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapping.external, "192.0.1.1:4000".parse().unwrap());
    assert_eq!(gateway.mappings().len(), 1);
}

#[tokio::test]
async fn every_refusal_is_named() {
    let cases = [
        (1, ErrorKind::Unavailable, "nat-pmp UNSUPPORTED_VERSION: "),
        (2, ErrorKind::Refused, "nat-pmp NOT_AUTHORIZED: "),
        (3, ErrorKind::Refused, "nat-pmp NETWORK_FAILURE: "),
        (4, ErrorKind::Refused, "nat-pmp OUT_OF_RESOURCES: "),
        (5, ErrorKind::Unavailable, "nat-pmp UNSUPPORTED_OPCODE: "),
        (999, ErrorKind::Refused, "nat-pmp result code 999: "),
    ];
    let (gateway, mapper) = gateway();
    for (code, kind, name) in cases {
        gateway.update_faults(|faults| faults.nat_pmp = Mode::Refuse(code));
        let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn what_is_granted_is_what_counts() {
    let faults = Faults { granted_port: Some(4711), granted_lifetime: Some(120), ..Faults::default() };
    let (_gateway, mapper) = gateway_with(faults);
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!((mapping.external.port(), mapping.lifetime), (4711, Some(Duration::from_secs(120))));
    assert_eq!(mapper.renew(&mapping).await.unwrap().external.port(), 4711);
}

#[tokio::test]
async fn a_taken_port_gives_another_one_or_with_exact_a_refusal_and_no_mapping() {
    let (gateway, mapper) = gateway();
    let others = SocketAddr::from(([127, 0, 0, 9], 9));
    gateway.add_mapping(portlease_gateway::Transport::Udp, 4100, others, None).unwrap();
    let request = MapRequest::new(4000, Transport::Udp).external_port(4100);

    let error = mapper.install(&request.clone().exact(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("4100"), "{error}");
    assert_eq!(gateway.mappings().len(), 1, "what was granted in its place is given back");

    let mapping = mapper.install(&request, HOUR).await.unwrap();
    assert_ne!(mapping.external.port(), 4100);
    assert_eq!(gateway.mappings().len(), 2);
}

#[tokio::test]
async fn a_gateway_that_moves_to_another_address_tells_so_at_the_renewal() {
    let (gateway, mapper) = gateway();
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    gateway.set_external_address(Some(Ipv4Addr::new(192, 0, 1, 7)));
    assert_eq!(mapper.renew(&mapping).await.unwrap().external, "192.0.1.7:4000".parse().unwrap());
}

#[tokio::test]
async fn a_gateway_behind_cgnat_maps_and_says_its_address() {
    let (_gateway, mapper) = gateway_with(Faults { cgnat: true, ..Faults::default() });
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapping.external, "100.64.0.9:4000".parse().unwrap());
}

#[tokio::test]
async fn a_gateway_without_an_address_has_none_to_tell() {
    let (_gateway, mapper) = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
    assert_eq!(mapper.external_address().await.unwrap().0, None);
    mapper.probe().await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_speaks_pcp_alone_or_nothing_at_all_is_unavailable_at_once() {
    for pcp in [Mode::Normal, Mode::Off] {
        let (_gateway, mapper) = gateway_with(Faults { pcp, nat_pmp: Mode::Off, ..Faults::default() });
        let start = Instant::now();
        let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(mapper.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(start.elapsed() < PCP_DEADLINE, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn silence_is_a_timeout_at_the_deadline() {
    let (gateway, mapper) = gateway_with(Faults { nat_pmp: Mode::Silent, ..Faults::default() });
    let start = Instant::now();
    let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!((PCP_DEADLINE..PCP_DEADLINE * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(gateway.counters().get("natpmp_map_udp") >= 2, "the request is repeated");
}

#[tokio::test]
async fn a_router_that_always_takes_longer_than_the_deadline_is_mapped_at_the_second_attempt_and_released() {
    let slow = Faults { nat_pmp_processing_ms: 1200, ..Faults::default() };
    let (gateway, mapper) = gateway_with(slow);
    let request = MapRequest::new(4000, Transport::Udp);
    assert_eq!(mapper.install(&request, HOUR).await.unwrap_err().kind(), ErrorKind::Timeout);
    tokio::time::timeout(PCP_DEADLINE * 10, mapper.news()).await.expect("the late answer is news");
    let mapping = mapper.install(&request, HOUR).await.unwrap();
    assert_eq!(gateway.mappings().len(), 1);
    mapper.remove(&mapping).await.unwrap();
    mapper.abandon(&request).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_mapping_whose_grant_was_lost_is_deleted_when_the_lease_ends() {
    let lost = Faults { nat_pmp_lose_answers: 100, ..Faults::default() };
    let (gateway, mapper) = gateway_with(lost);
    mapper.probe().await.unwrap();
    let request = MapRequest::new(4000, Transport::Udp);
    mapper.install(&request, HOUR).await.unwrap_err();
    assert_eq!(gateway.mappings().len(), 1);
    gateway.update_faults(|faults| faults.nat_pmp_lose_answers = 0);
    mapper.abandon(&request).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_request_whose_answers_are_lost_while_others_are_answered_is_repeated_for_longer() {
    let lost = Faults { nat_pmp_lose_answers: 3, ..Faults::default() };
    let (gateway, mapper) = gateway_with(lost);
    // Together with the request to map goes the question for the address, which is answered.
    mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(gateway.mappings().len(), 1);
}
