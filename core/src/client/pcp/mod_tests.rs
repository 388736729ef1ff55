use std::sync::Mutex;

use super::*;
use crate::client::udp::tests::{FakeGateway, closed_port};
use crate::error::ErrorKind;
use crate::schedule::PCP_DEADLINE;

const HOUR: Duration = Duration::from_secs(3600);
const EXTERNAL: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 1, 1];
const NOT_AUTHORIZED: u8 = 2;
const UNSUPP_OPCODE: u8 = 4;
const NO_RESOURCES: u8 = 8;

/// The request turned into its answer, as a server does it: the lifetime stays, the external address is filled in.
fn answer(request: &[u8], result: u8) -> Vec<u8> {
    let mut answer = request[..request.len().min(60)].to_vec();
    answer[1] |= 0x80;
    answer[3] = result;
    answer[8..24].fill(0);
    if answer.len() == 60 && request[1] == 1 && result == 0 {
        answer[44..60].copy_from_slice(&EXTERNAL);
    }
    answer
}

fn with(mut bytes: Vec<u8>, start: usize, new: &[u8]) -> Vec<u8> {
    bytes[start..start + new.len()].copy_from_slice(new);
    bytes
}

/// What an install ends with at a gateway that answers as `answers` says.
async fn install_at(
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    request: MapRequest,
) -> Result<PortMapping, PortMappingError> {
    let (_requests, port) = FakeGateway::answering(answers).await;
    PcpMapper::on(port).install(&request, HOUR).await
}

fn udp_4000() -> MapRequest {
    MapRequest::new(4000, Transport::Udp)
}

#[tokio::test]
async fn a_map_request_has_the_bytes_of_rfc_6887() {
    let (mut requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let nonce = *b"twelve bytes";
    let request = MapRequest::new(8080, Transport::Tcp).external_port(80);
    PcpMapper::on(port).install_with_nonce(&request, HOUR, nonce).await.unwrap();
    let expected = [
        [2, 1, 0, 0].as_slice(),
        &[0, 0, 0x0e, 0x10],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1],
        &nonce,
        &[6, 0, 0, 0],
        &[0x1f, 0x90, 0, 80],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(requests.recv().await.unwrap(), expected);
}

#[tokio::test]
async fn what_the_gateway_grants_is_what_the_mapping_says() {
    let grant = |request: &[u8]| {
        let other_lifetime = with(answer(request, 0), 4, &[0, 0, 0, 120]);
        vec![with(other_lifetime, 42, &4100u16.to_be_bytes())]
    };
    let mapping = install_at(grant, udp_4000()).await.unwrap();
    assert_eq!(mapping.external, "192.0.1.1:4100".parse().unwrap());
    assert_eq!(mapping.lifetime, Some(Duration::from_secs(120)));
    assert_eq!((mapping.requested_ttl, mapping.request), (HOUR, udp_4000()));
    assert_eq!(mapping.protocol, Protocol::Pcp);
}

#[tokio::test]
async fn replies_that_do_not_match_are_ignored_and_the_right_one_behind_them_is_taken() {
    let answers = |request: &[u8]| {
        let right = answer(request, 0);
        let wrong_port = with(right.clone(), 42, &9999u16.to_be_bytes());
        vec![
            with(wrong_port.clone(), 0, &[3]),
            with(wrong_port.clone(), 1, &[0x80]),
            with(wrong_port.clone(), 1, &[0x82]),
            with(wrong_port.clone(), 1, &[0x01]),
            with(wrong_port.clone(), 24, &[!request[24]]),
            with(wrong_port.clone(), 35, &[!request[35]]),
            with(wrong_port.clone(), 36, &[6]),
            with(wrong_port.clone(), 40, &4001u16.to_be_bytes()),
            wrong_port[..56].to_vec(),
            wrong_port[..24].to_vec(),
            [wrong_port.as_slice(), &[0]].concat(),
            Vec::new(),
            right,
        ]
    };
    assert_eq!(install_at(answers, udp_4000()).await.unwrap().external.port(), 4000);
}

#[tokio::test]
async fn options_behind_the_60th_byte_are_tolerated() {
    let answers = |request: &[u8]| vec![[answer(request, 0).as_slice(), &[2, 0, 0, 0], &[200, 0, 255, 255]].concat()];
    assert_eq!(install_at(answers, udp_4000()).await.unwrap().external.port(), 4000);
}

#[tokio::test]
async fn a_mapping_keeps_nonce_and_transport_through_renewal_and_deletion() {
    let moved = |request: &[u8]| vec![with(answer(request, 0), 42, &4100u16.to_be_bytes())];
    let (mut requests, port) = FakeGateway::answering(moved).await;
    let mapper = PcpMapper::on(port);
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Tcp), HOUR).await.unwrap();
    let renewed = mapper.renew(&mapping).await.unwrap();
    assert_eq!(renewed, mapping);
    mapper.remove(&renewed).await.unwrap();

    let install = requests.recv().await.unwrap();
    let renew = requests.recv().await.unwrap();
    let remove = requests.recv().await.unwrap();
    assert_eq!(mapping.token, ProtocolToken::Pcp { nonce: install[24..36].try_into().unwrap() });
    // Nonce, transport, internal port: the same three times.
    assert_eq!((&renew[24..42], &remove[24..42]), (&install[24..42], &install[24..42]));
    assert_eq!(install[36], 6);
    // A renewal suggests what was granted; a deletion has lifetime 0 and suggests nothing.
    assert_eq!(
        (&renew[4..8], &renew[42..44], &renew[44..60]),
        (&[0, 0, 0x0e, 0x10][..], &[0x10, 4][..], &EXTERNAL[..])
    );
    assert_eq!((&remove[4..8], &remove[42..44], &remove[56..60]), (&[0; 4][..], &[0; 2][..], &[0; 4][..]));
}

#[tokio::test]
async fn every_mapping_has_a_nonce_of_its_own() {
    let (_requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let mapper = PcpMapper::on(port);
    let first = mapper.install(&udp_4000(), HOUR).await.unwrap();
    let second = mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
    assert_ne!(first.token, second.token);
}

#[tokio::test]
async fn a_refusal_is_named_and_says_how_long_it_holds() {
    let refused = |request: &[u8]| vec![with(answer(request, NOT_AUTHORIZED), 4, &[0, 0, 2, 0])];
    let error = install_at(refused, udp_4000()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().starts_with("pcp NOT_AUTHORIZED: "), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(512)));
}

#[tokio::test]
async fn a_refusal_without_a_lifetime_does_not_say_how_long_it_holds() {
    let error = install_at(|r| vec![with(answer(r, 77), 4, &[0; 4])], udp_4000()).await.unwrap_err();
    assert!(error.to_string().starts_with("pcp result code 77: "), "{error}");
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Refused, None));
}

#[tokio::test]
async fn a_refusal_that_is_a_header_alone_is_understood() {
    let error = install_at(|r| vec![answer(r, NO_RESOURCES)[..24].to_vec()], udp_4000()).await.unwrap_err();
    assert!(error.to_string().starts_with("pcp NO_RESOURCES: "), "{error}");
}

#[tokio::test]
async fn a_refusal_of_somebody_elses_mapping_is_ignored() {
    let answers = |r: &[u8]| vec![with(answer(r, NOT_AUTHORIZED), 24, &[!r[24]]), answer(r, 0)];
    install_at(answers, udp_4000()).await.unwrap();
}

#[tokio::test]
async fn a_gateway_of_another_version_is_unavailable_at_once() {
    let nat_pmp = vec![0, 0x81, 0, 1, 0, 0, 0, 9];
    let pcp_1 = [&[1, 0x81, 0, 1][..], &[0; 20]].concat();
    for reply in [nat_pmp, pcp_1] {
        let said = reply.clone();
        let (mut requests, port) = FakeGateway::answering(move |_| vec![said.clone()]).await;
        let error = PcpMapper::on(port).install(&udp_4000(), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{reply:?}: {error}");
        assert!(error.to_string().contains("does not speak PCP version 2"), "{error}");
        requests.recv().await.unwrap();
        assert!(requests.try_recv().is_err(), "the request was repeated, so the answer was not taken for one");
    }
}

#[tokio::test]
async fn a_gateway_without_map_is_unavailable_but_answers_a_probe() {
    let (_requests, port) = FakeGateway::answering(|request| vec![answer(request, UNSUPP_OPCODE)]).await;
    let mapper = PcpMapper::on(port);
    assert_eq!(mapper.install(&udp_4000(), HOUR).await.unwrap_err().kind(), ErrorKind::Unavailable);
    mapper.probe().await.unwrap();
}

#[tokio::test]
async fn a_probe_announces_and_maps_nothing() {
    let (mut requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let mapper = PcpMapper::on(port);
    assert!(mapper.announce().await.unwrap() < PCP_DEADLINE);
    let request = requests.recv().await.unwrap();
    assert_eq!((request.len(), &request[..8]), (24, &[2, 0, 0, 0, 0, 0, 0, 0][..]));
}

#[tokio::test]
async fn a_probe_that_is_refused_says_so() {
    let (_requests, port) = FakeGateway::answering(|request| vec![answer(request, NOT_AUTHORIZED)]).await;
    assert_eq!(PcpMapper::on(port).probe().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn only_a_user_who_insists_on_the_port_prefers_failure() {
    let (mut requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let mapper = PcpMapper::on(port);
    mapper.install(&udp_4000(), HOUR).await.unwrap();
    assert_eq!(requests.recv().await.unwrap().len(), 60);
    let exact = mapper.install(&udp_4000().external_port(4100).exact(), HOUR).await.unwrap();
    let request = requests.recv().await.unwrap();
    assert_eq!((request.len(), &request[60..]), (64, &[2, 0, 0, 0][..]));
    // A renewal insists on the port, not on the address: a new external address is no reason to refuse.
    mapper.renew(&exact).await.unwrap();
    let renewal = requests.recv().await.unwrap();
    assert_eq!((&renewal[42..44], &renewal[56..60], &renewal[60..]), (&[0x10, 4][..], &[0; 4][..], &[2, 0, 0, 0][..]));
}

#[tokio::test]
async fn another_port_than_the_one_insisted_on_is_given_back_and_refused() {
    let other = |request: &[u8]| vec![with(answer(request, 0), 42, &4101u16.to_be_bytes())];
    let (mut requests, port) = FakeGateway::answering(other).await;
    let error = PcpMapper::on(port).install(&udp_4000().external_port(4100).exact(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("4100") && error.to_string().contains("4101"), "{error}");
    let install = requests.recv().await.unwrap();
    let delete = requests.recv().await.unwrap();
    assert_eq!((&delete[4..8], &delete[24..42]), (&[0; 4][..], &install[24..42]));
}

#[tokio::test]
async fn a_success_that_grants_nothing_is_refused() {
    for granted in [(4, [0; 4].as_slice()), (42, [0; 2].as_slice())] {
        let nothing = move |request: &[u8]| vec![with(answer(request, 0), granted.0, granted.1)];
        let error = install_at(nothing, udp_4000()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_know_its_address_says_0_0_0_0_however_it_writes_it() {
    for unknown in [[0; 16], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]] {
        let mapping = install_at(move |r| vec![with(answer(r, 0), 44, &unknown)], udp_4000()).await.unwrap();
        assert_eq!(mapping.external, "0.0.0.0:4000".parse().unwrap());
    }
}

#[tokio::test]
async fn deleting_what_is_gone_is_a_success_and_deleting_what_is_not_ours_is_refused() {
    let result = Arc::new(Mutex::new(0));
    let said = result.clone();
    let answers = move |request: &[u8]| vec![answer(request, *said.lock().unwrap())];
    let (_requests, port) = FakeGateway::answering(answers).await;
    let mapper = PcpMapper::on(port);
    let mapping = mapper.install(&udp_4000(), HOUR).await.unwrap();
    *result.lock().unwrap() = NO_RESOURCES;
    mapper.remove(&mapping).await.unwrap();
    *result.lock().unwrap() = NOT_AUTHORIZED;
    assert_eq!(mapper.remove(&mapping).await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_duplicated_answer_does_not_disturb_the_next_exchange() {
    let (_requests, port) = FakeGateway::answering(|request| vec![answer(request, 0); 3]).await;
    let mapper = PcpMapper::on(port);
    let mapping = mapper.install(&udp_4000(), HOUR).await.unwrap();
    assert_eq!(mapper.renew(&mapping).await.unwrap(), mapping);
    mapper.remove(&mapping).await.unwrap();
}

#[tokio::test]
async fn a_lost_request_is_made_up_for_by_the_next_one() {
    let lost = Mutex::new(true);
    let answers = move |r: &[u8]| if std::mem::take(&mut *lost.lock().unwrap()) { vec![] } else { vec![answer(r, 0)] };
    install_at(answers, udp_4000()).await.unwrap();
}

#[tokio::test]
async fn a_gateway_without_the_service_is_unavailable() {
    let mapper = PcpMapper::on(closed_port().await);
    assert_eq!(mapper.install(&udp_4000(), HOUR).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn port_zero_is_not_sent() {
    let (mut requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let error = PcpMapper::on(port).install(&MapRequest::new(0, Transport::Udp), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_mapping_of_another_protocol_is_not_taken_for_ours() {
    let (_requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let mapper = PcpMapper::on(port);
    let mut mapping = mapper.install(&udp_4000(), HOUR).await.unwrap();
    mapping.token = ProtocolToken::None;
    assert_eq!(mapper.renew(&mapping).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(mapper.remove(&mapping).await.unwrap_err().kind(), ErrorKind::Internal);
}

#[path = "header_tests.rs"]
mod header_alone;
#[path = "late_tests.rs"]
mod late;
