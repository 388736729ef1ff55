//! PCP against the simulated gateway, which was written from the RFCs and not from our codec.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portlease::client::{PcpMapper, PortMapperClient};
use portlease::{ErrorKind, MapRequest, PortMappingError, Protocol, ProtocolToken, Transport};
use portlease_gateway::{Faults, Gateway, GatewayConfig, Mode};
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);
/// How long an exchange waits for an answer.
const PCP_DEADLINE: Duration = Duration::from_secs(1);

fn gateway() -> (Gateway, PcpMapper) {
    gateway_with(Faults::default())
}

fn gateway_with(faults: Faults) -> (Gateway, PcpMapper) {
    let gateway =
        Gateway::start(GatewayConfig { upnp: false, faults, ..GatewayConfig::default() }).expect("the gateway starts");
    let mapper = PcpMapper::new(SocketAddr::new(gateway.address(), gateway.pcp_port()), None);
    (gateway, mapper)
}

fn hex(nonce: &ProtocolToken) -> String {
    let ProtocolToken::Pcp { nonce, .. } = nonce else { panic!("{nonce:?}") };
    nonce.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_port_is_mapped_renewed_and_deleted_in_both_transports() {
    let (gateway, mapper) = gateway();
    for transport in Transport::ALL {
        let request = MapRequest::new(4000, transport).external_port(4100);
        let mapping = mapper.install(&request, HOUR).await.unwrap();
        assert_eq!(mapping.external, "192.0.1.1:4100".parse().unwrap());
        assert_eq!((mapping.lifetime, mapping.protocol), (Some(HOUR), Protocol::Pcp));

        let table = gateway.mappings();
        assert_eq!(table.len(), 1);
        assert_eq!(table[0].transport.to_string(), transport.as_str());
        assert_eq!((table[0].external_port, table[0].internal.port()), (4100, 4000));
        assert_eq!(table[0].nonce, Some(hex(&mapping.token)));

        let renewed = mapper.renew(&mapping).await.unwrap();
        assert_eq!(renewed, mapping);
        assert_eq!(gateway.mappings().len(), 1, "a renewal makes no second mapping");

        mapper.remove(&renewed).await.unwrap();
        assert!(gateway.mappings().is_empty());
        mapper.remove(&renewed).await.expect("to delete what is gone is a success");
    }
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
async fn a_probe_counts_as_one_announce_and_maps_nothing() {
    let (gateway, mapper) = gateway();
    mapper.probe().await.unwrap();
    assert_eq!(gateway.counters().get("pcp_announce"), 1);
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn wrong_answers_are_ignored_and_the_right_one_behind_them_counts() {
    let wrong: [fn(&mut Faults); 7] = [
        |faults| faults.wrong_nonce = true,
        |faults| faults.wrong_internal_port = true,
        |faults| faults.wrong_opcode = true,
        |faults| faults.wrong_source_port = true,
        |faults| faults.truncate = Some(59),
        |faults| faults.truncate = Some(0),
        |faults| faults.extra_bytes = 1060,
    ];
    let case = async |index: usize, damage: fn(&mut Faults)| {
        let (gateway, mapper) = gateway();
        gateway.update_faults(|faults| {
            damage(faults);
            faults.right_answer_follows = true;
        });
        let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await;
        assert_eq!(mapping.unwrap_or_else(|error| panic!("{index}: {error}")).external.port(), 4000);

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
async fn two_lost_requests_in_a_row_are_made_up_for_and_map_once() {
    let (gateway, mapper) = gateway_with(Faults { drop_next: 2, ..Faults::default() });
    mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(gateway.counters().get("dropped_by_fault"), 2);
    assert_eq!(gateway.mappings().len(), 1);
}

#[tokio::test]
async fn every_refusal_is_named() {
    let cases = [
        (2, ErrorKind::Refused, "NOT_AUTHORIZED"),
        (3, ErrorKind::Refused, "MALFORMED_REQUEST"),
        (4, ErrorKind::Unavailable, "UNSUPP_OPCODE"),
        (5, ErrorKind::Refused, "UNSUPP_OPTION"),
        (6, ErrorKind::Refused, "MALFORMED_OPTION"),
        (7, ErrorKind::Refused, "NETWORK_FAILURE"),
        (8, ErrorKind::Refused, "NO_RESOURCES"),
        (9, ErrorKind::Refused, "UNSUPP_PROTOCOL"),
        (10, ErrorKind::Refused, "USER_EX_QUOTA"),
        (11, ErrorKind::Refused, "CANNOT_PROVIDE_EXTERNAL"),
        (12, ErrorKind::Refused, "ADDRESS_MISMATCH"),
        (13, ErrorKind::Refused, "EXCESSIVE_REMOTE_PEERS"),
        (200, ErrorKind::Refused, "result code 200"),
    ];
    let (gateway, mapper) = gateway_with(Faults { error_lifetime: Some(77), ..Faults::default() });
    for (code, kind, name) in cases {
        gateway.update_faults(|faults| faults.pcp = Mode::Refuse(code));
        let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(&format!("pcp {name}: ")), "{error}");
        let holds = (kind == ErrorKind::Refused).then_some(Duration::from_secs(77));
        assert_eq!(error.retry_after(), holds, "{error}");
    }
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn what_is_granted_is_what_counts() {
    let faults = Faults { granted_port: Some(4711), granted_lifetime: Some(120), ..Faults::default() };
    let (_gateway, mapper) = gateway_with(faults);
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!((mapping.external.port(), mapping.lifetime), (4711, Some(Duration::from_secs(120))));
    assert_eq!(mapping.requested_ttl, HOUR);
    assert_eq!(mapper.renew(&mapping).await.unwrap().external.port(), 4711);
}

#[tokio::test]
async fn a_taken_port_gives_another_one_or_with_exact_a_refusal_and_no_mapping() {
    let (gateway, mapper) = gateway();
    let others = SocketAddr::from(([127, 0, 0, 9], 9));
    gateway.add_mapping(portlease_gateway::Transport::Udp, 4100, others, None).unwrap();
    let request = MapRequest::new(4000, Transport::Udp).external_port(4100);

    let error = mapper.install(&request.clone().exact(), HOUR).await.unwrap_err();
    assert!(error.to_string().starts_with("pcp CANNOT_PROVIDE_EXTERNAL: "), "{error}");
    assert_eq!(gateway.mappings().len(), 1);

    let mapping = mapper.install(&request, HOUR).await.unwrap();
    assert_ne!(mapping.external.port(), 4100);
    assert_eq!(gateway.mappings().len(), 2);
}

#[tokio::test]
async fn a_gateway_that_moves_to_another_address_tells_so_at_the_renewal() {
    let (gateway, mapper) = gateway();
    for request in [MapRequest::new(4000, Transport::Udp), MapRequest::new(4001, Transport::Udp).exact()] {
        let mapping = mapper.install(&request, HOUR).await.unwrap();
        let moved = Ipv4Addr::new(192, 0, 1, request.internal_port.to_be_bytes()[1]);
        gateway.set_external_address(Some(moved));
        assert_eq!(mapper.renew(&mapping).await.unwrap().external, SocketAddr::from((moved, request.internal_port)));
    }
}

#[tokio::test]
async fn a_mapping_that_the_gateway_forgot_is_restored_by_the_renewal() {
    let (gateway, mapper) = gateway();
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Tcp).external_port(4100), HOUR).await.unwrap();
    gateway.reboot();
    assert!(gateway.mappings().is_empty());
    assert_eq!(mapper.renew(&mapping).await.unwrap(), mapping);
    assert_eq!(gateway.mappings()[0].external_port, 4100);
}

#[tokio::test]
async fn the_mapping_of_another_nonce_is_neither_taken_nor_deleted() {
    let (gateway, mapper) = gateway();
    let request = MapRequest::new(4000, Transport::Udp);
    let ours = mapper.install_with_nonce(&request, HOUR, [1; 12]).await.unwrap();
    let mut theirs = ours.clone();
    let ProtocolToken::Pcp { nonce, .. } = &mut theirs.token else { panic!("{theirs:?}") };
    *nonce = [2; 12];
    let error = mapper.remove(&theirs).await.unwrap_err();
    assert!(error.to_string().starts_with("pcp NOT_AUTHORIZED: "), "{error}");
    assert_eq!(mapper.renew(&theirs).await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(gateway.mappings()[0].nonce, Some("01".repeat(12)));
    mapper.remove(&ours).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_gateway_that_speaks_nat_pmp_alone_is_unavailable_at_once() {
    let (_gateway, mapper) = gateway_with(Faults { pcp: Mode::Off, ..Faults::default() });
    expect_soon(&mapper, ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn a_closed_port_is_unavailable_at_once() {
    let (_gateway, mapper) = gateway_with(Faults { pcp: Mode::Off, nat_pmp: Mode::Off, ..Faults::default() });
    expect_soon(&mapper, ErrorKind::Unavailable).await;
}

async fn expect_soon(mapper: &PcpMapper, kind: ErrorKind) {
    let start = Instant::now();
    let request = MapRequest::new(4000, Transport::Udp);
    let errors: [PortMappingError; 2] =
        [mapper.install(&request, HOUR).await.expect_err("install"), mapper.probe().await.expect_err("probe")];
    assert!(errors.iter().all(|error| error.kind() == kind), "{errors:?}");
    assert!(start.elapsed() < PCP_DEADLINE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn silence_is_a_timeout_at_the_deadline() {
    let (gateway, mapper) = gateway_with(Faults { pcp: Mode::Silent, ..Faults::default() });
    let start = Instant::now();
    let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() >= PCP_DEADLINE);
    assert!(gateway.counters().get("pcp_map") >= 2, "the request is repeated");
}

#[tokio::test]
async fn a_gateway_without_an_address_refuses_and_one_behind_cgnat_maps() {
    let (_gateway, mapper) = gateway_with(Faults { empty_external_address: true, ..Faults::default() });
    let error = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
    assert!(error.to_string().starts_with("pcp NETWORK_FAILURE: "), "{error}");

    let (_gateway, mapper) = gateway_with(Faults { cgnat: true, ..Faults::default() });
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(mapping.external, "100.64.0.9:4000".parse().unwrap());
}

#[tokio::test]
async fn port_zero_is_never_suggested() {
    let (_gateway, mapper) = gateway_with(Faults { refuse_port_zero: true, ..Faults::default() });
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    mapper.renew(&mapping).await.unwrap();
}

#[tokio::test]
async fn five_hundred_mappings_at_once_are_all_made_and_all_deleted() {
    let (gateway, mapper) = gateway();
    let mapper = Arc::new(mapper);
    let leases: Vec<_> = (0..500)
        .map(|index| {
            let mapper = mapper.clone();
            tokio::spawn(async move {
                let request = MapRequest::new(20_000 + index, Transport::Udp);
                let mapping = mapper.install(&request, HOUR).await?;
                mapper.remove(&mapping).await
            })
        })
        .collect();
    for lease in leases {
        lease.await.unwrap().unwrap();
    }
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn a_router_that_always_takes_longer_than_the_deadline_is_mapped_at_the_second_attempt_and_released() {
    let slow = Faults { pcp_processing_ms: 1200, ..Faults::default() };
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
    let lost = Faults { pcp_lose_answers: 3, ..Faults::default() };
    let (gateway, mapper) = gateway_with(lost);
    mapper.probe().await.unwrap();
    let request = MapRequest::new(4000, Transport::Udp);
    mapper.install(&request, HOUR).await.unwrap_err();
    assert_eq!(gateway.mappings().len(), 1);
    gateway.update_faults(|faults| faults.pcp_lose_answers = 0);
    mapper.abandon(&request).await.unwrap();
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn many_requests_to_a_slow_router_are_hardly_ever_repeated() {
    let (gateway, mapper) = gateway_with(Faults { service_ms: 50, ..Faults::default() });
    let mapper = Arc::new(mapper);
    let installs: JoinSet<_> = (0..40)
        .map(|index| {
            let mapper = Arc::clone(&mapper);
            async move { mapper.install(&MapRequest::new(20_000 + index, Transport::Udp), HOUR).await }
        })
        .collect();
    for installed in installs.join_all().await {
        installed.unwrap();
    }
    assert_eq!(gateway.mappings().len(), 40);
    // A busy machine may well repeat some.
    assert!(gateway.counters().get("pcp_map") < 60, "{}", gateway.counters().get("pcp_map"));
}
