use std::sync::Mutex;

use super::*;
use crate::client::udp::tests::{FakeGateway, closed_port};
use crate::client::vectors;

const HOUR: Duration = Duration::from_secs(3600);

/// How a well-behaved gateway answers `request` with `result`.
fn answer(request: &[u8], result: u16) -> Vec<u8> {
    let mut answer = vec![0, request[1] | 0x80];
    answer.extend_from_slice(&result.to_be_bytes());
    answer.extend_from_slice(&[0, 0, 0, 9]);
    match request[1] {
        0 => answer.extend_from_slice(&[192, 0, 1, 1]),
        _ => answer.extend_from_slice(&request[4..12]),
    }
    answer
}

fn with(mut bytes: Vec<u8>, start: usize, new: &[u8]) -> Vec<u8> {
    bytes[start..start + new.len()].copy_from_slice(new);
    bytes
}

/// Answers address requests well and map requests as `map` says.
fn mapping(map: impl Fn(&[u8]) -> Vec<u8>) -> impl Fn(&[u8]) -> Vec<Vec<u8>> {
    move |request| vec![if request[1] == 0 { answer(request, 0) } else { map(request) }]
}

/// Answers map requests well and address requests as `address` says.
fn addressing(address: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> impl Fn(&[u8]) -> Vec<Vec<u8>> {
    move |request| if request[1] == 0 { address(request) } else { vec![answer(request, 0)] }
}

async fn install_at(
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    request: MapRequest,
) -> Result<PortMapping, PortMappingError> {
    let (_requests, port) = FakeGateway::answering(answers).await;
    NatPmpMapper::on(port).install(&request, HOUR).await
}

fn udp_4000() -> MapRequest {
    MapRequest::new(4000, Transport::Udp)
}

#[tokio::test]
async fn the_address_is_asked_for_beside_the_mapping_not_behind_it() {
    let (gateway, port) = FakeGateway::silent().await;
    let (mapper, request) = (NatPmpMapper::on(port), udp_4000());
    let play = async {
        // Both are heard before either is answered.
        let both = [gateway.hear().await, gateway.hear().await];
        for (request, client) in &both {
            gateway.say(&answer(request, 0), *client).await;
        }
        both.map(|(request, _)| request)
    };
    let (outcome, mut heard) = tokio::join!(mapper.install(&request, HOUR), play);
    let mapping = outcome.unwrap();
    assert_eq!(mapping.external, "192.0.1.1:4000".parse().unwrap());
    assert_eq!((mapping.lifetime, mapping.protocol), (Some(HOUR), Protocol::NatPmp));
    heard.sort_by_key(Vec::len);
    assert_eq!(heard, [vec![0, 0], vec![0, 1, 0, 0, 0x0f, 0xa0, 0x0f, 0xa0, 0, 0, 0x0e, 0x10]]);
}

#[tokio::test]
async fn what_the_gateway_grants_is_what_the_mapping_says() {
    let other = mapping(|request| with(with(answer(request, 0), 10, &[0x10, 4]), 12, &[0, 0, 0, 120]));
    let mapping = install_at(other, udp_4000()).await.unwrap();
    assert_eq!(mapping.external.port(), 4100);
    assert_eq!((mapping.lifetime, mapping.requested_ttl), (Some(Duration::from_secs(120)), HOUR));
}

#[tokio::test]
async fn answers_that_do_not_match_are_ignored_and_the_right_one_behind_them_is_taken() {
    let answers = |request: &[u8]| {
        let right = answer(request, 0);
        if request[1] == 0 {
            return vec![right[..11].to_vec(), with(right.clone(), 1, &[0x81]), right];
        }
        let wrong = with(right.clone(), 10, &[0x27, 0x0f]);
        vec![
            with(wrong.clone(), 0, &[2]),
            with(wrong.clone(), 1, &[0x80]),
            with(wrong.clone(), 1, &[0x82]),
            with(wrong.clone(), 1, &[1]),
            with(wrong.clone(), 8, &[0x0f, 0xa1]),
            wrong[..15].to_vec(),
            wrong[..7].to_vec(),
            Vec::new(),
            right,
        ]
    };
    let mapping = install_at(answers, udp_4000()).await.unwrap();
    assert_eq!(mapping.external, "192.0.1.1:4000".parse().unwrap());
}

#[tokio::test]
async fn a_longer_answer_is_read_as_far_as_it_means_something() {
    let longer = |request: &[u8]| vec![[answer(request, 0), vec![0xff; 1000]].concat()];
    assert_eq!(install_at(longer, udp_4000()).await.unwrap().external, "192.0.1.1:4000".parse().unwrap());
}

#[tokio::test]
async fn a_mapping_is_renewed_at_the_granted_port_and_deleted_in_its_own_transport() {
    let moved = mapping(|request| {
        let answer = answer(request, 0);
        if request[8..12] == [0; 4] { answer } else { with(answer, 10, &[0x10, 4]) }
    });
    let (mut requests, port) = FakeGateway::answering(moved).await;
    let mapper = NatPmpMapper::on(port);
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Tcp), HOUR).await.unwrap();
    assert_eq!(mapper.renew(&mapping).await.unwrap(), mapping);
    mapper.remove(&mapping).await.unwrap();

    let mut maps = Vec::new();
    while let Ok(request) = requests.try_recv() {
        if request[1] != 0 {
            maps.push(request);
        }
    }
    let expected = [
        [0, 2, 0, 0, 0x0f, 0xa0, 0x0f, 0xa0, 0, 0, 0x0e, 0x10],
        [0, 2, 0, 0, 0x0f, 0xa0, 0x10, 4, 0, 0, 0x0e, 0x10],
        [0, 2, 0, 0, 0x0f, 0xa0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(maps, expected);
}

#[tokio::test]
async fn a_gateway_without_a_public_address_still_maps_and_the_address_is_0_0_0_0() {
    let mapping = install_at(addressing(|request| vec![answer(request, 3)]), udp_4000()).await.unwrap();
    assert_eq!(mapping.external, "0.0.0.0:4000".parse().unwrap());
}

#[tokio::test]
async fn a_mapping_refused_for_want_of_an_address_is_refused() {
    let error = install_at(|request| vec![answer(request, 3)], udp_4000()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().starts_with("nat-pmp NETWORK_FAILURE: "), "{error}");
}

#[tokio::test]
async fn each_result_code_has_its_kind_and_name() {
    let cases = [
        (1, ErrorKind::Unavailable, "nat-pmp UNSUPPORTED_VERSION: "),
        (2, ErrorKind::Refused, "nat-pmp NOT_AUTHORIZED: "),
        (3, ErrorKind::Refused, "nat-pmp NETWORK_FAILURE: "),
        (4, ErrorKind::Refused, "nat-pmp OUT_OF_RESOURCES: "),
        (5, ErrorKind::Unavailable, "nat-pmp UNSUPPORTED_OPCODE: "),
        (700, ErrorKind::Refused, "nat-pmp result code 700: "),
    ];
    for (code, kind, name) in cases {
        let error = install_at(mapping(move |request| answer(request, code)), udp_4000()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[tokio::test]
async fn a_refused_mapping_does_not_wait_for_the_address() {
    let answers = |request: &[u8]| if request[1] == 0 { vec![] } else { vec![answer(request, 2)] };
    let start = tokio::time::Instant::now();
    let error = install_at(answers, udp_4000()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(start.elapsed() < PCP_DEADLINE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_gateway_of_another_version_is_unavailable_at_once() {
    let eight_bytes = |request: &[u8]| vec![0, request[1] | 0x80, 0, 1, 0, 0, 0, 9];
    let pcp_only = |request: &[u8]| [&[2, request[1] | 0x80, 0, 1][..], &[0; 20]].concat();
    for reply in [eight_bytes as fn(&[u8]) -> Vec<u8>, pcp_only] {
        let (mut requests, port) = FakeGateway::answering(move |request| vec![reply(request)]).await;
        let error = NatPmpMapper::on(port).probe().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        requests.recv().await.unwrap();
        assert!(requests.try_recv().is_err(), "the request was repeated, so the answer was not taken for one");
    }
}

#[tokio::test]
async fn an_address_that_is_lost_once_is_asked_for_again() {
    let unheard = Mutex::new(3);
    // All three sendings of one exchange are lost.
    let answers = addressing(move |request| {
        let mut unheard = unheard.lock().unwrap();
        if *unheard == 0 {
            return vec![answer(request, 0)];
        }
        *unheard -= 1;
        vec![]
    });
    assert_eq!(install_at(answers, udp_4000()).await.unwrap().external, "192.0.1.1:4000".parse().unwrap());
}

#[tokio::test]
async fn a_renewal_whose_address_is_unknown_says_0_0_0_0_however_the_gateway_says_it() {
    type Answers = fn(&[u8]) -> Vec<Vec<u8>>;
    let unknown: [Answers; 4] = [
        |request| vec![answer(request, 2)],
        |request| vec![answer(request, 3)],
        |request| vec![with(answer(request, 0), 8, &[0; 4])],
        |_| vec![],
    ];
    for unknown in unknown {
        let blinks = Arc::new(Mutex::new(false));
        let blinking = Arc::clone(&blinks);
        let answers = addressing(
            move |request| {
                if *blinking.lock().unwrap() { unknown(request) } else { vec![answer(request, 0)] }
            },
        );
        let (_requests, port) = FakeGateway::answering(answers).await;
        let mapper = NatPmpMapper::on(port);
        let mapping = mapper.install(&udp_4000(), HOUR).await.unwrap();
        *blinks.lock().unwrap() = true;
        assert_eq!(mapper.renew(&mapping).await.unwrap().external, "0.0.0.0:4000".parse().unwrap());
    }
}

#[tokio::test]
async fn a_probe_asks_for_the_address_and_an_absent_one_is_an_answer_too() {
    let (mut requests, port) = FakeGateway::answering(|request| vec![answer(request, 0)]).await;
    let mapper = NatPmpMapper::on(port);
    mapper.probe().await.unwrap();
    assert_eq!(requests.recv().await.unwrap(), [0, 0]);
    assert_eq!(mapper.external_address().await.unwrap().0, Some(Ipv4Addr::new(192, 0, 1, 1)));

    for absent in [|r: &[u8]| vec![answer(r, 3)], |r: &[u8]| vec![with(answer(r, 0), 8, &[0; 4])]] {
        let (_requests, port) = FakeGateway::answering(absent).await;
        assert_eq!(NatPmpMapper::on(port).external_address().await.unwrap().0, None);
    }
}

#[tokio::test]
async fn another_port_than_the_one_insisted_on_is_given_back_and_refused() {
    let other = mapping(|request| with(answer(request, 0), 10, &[0x10, 5]));
    let (mut requests, port) = FakeGateway::answering(other).await;
    let error = NatPmpMapper::on(port).install(&udp_4000().external_port(4100).exact(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("4100") && error.to_string().contains("4101"), "{error}");
    let mut last = Vec::new();
    while let Ok(request) = requests.try_recv() {
        last = request;
    }
    assert_eq!(last, [0, 1, 0, 0, 0x0f, 0xa0, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_success_that_grants_nothing_is_refused() {
    for granted in [(12, [0; 4].as_slice()), (10, [0; 2].as_slice())] {
        let nothing = mapping(move |request| with(answer(request, 0), granted.0, granted.1));
        assert_eq!(install_at(nothing, udp_4000()).await.unwrap_err().kind(), ErrorKind::Refused);
    }
}

#[tokio::test]
async fn silence_is_waited_for_once_and_reported_as_a_timeout() {
    let (_gateway, port) = FakeGateway::silent().await;
    let start = tokio::time::Instant::now();
    let error = NatPmpMapper::on(port).install(&udp_4000(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() < PCP_DEADLINE * 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_gateway_without_the_service_is_unavailable() {
    let error = NatPmpMapper::on(closed_port().await).install(&udp_4000(), HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn an_ipv6_gateway_speaks_no_nat_pmp() {
    let port = GatewayPort::new("[::1]:5351".parse().unwrap(), None);
    assert_eq!(NatPmpMapper::on(port).probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// What the natpmp crate makes of an answer that was let through.
async fn read(request: &[u8], datagram: &[u8]) -> String {
    struct Ready([u8; ANSWER_LENGTH]);

    #[async_trait]
    impl AsyncUdpSocket for Ready {
        async fn connect(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
        async fn send(&self, request: &[u8]) -> io::Result<usize> {
            Ok(request.len())
        }
        async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.copy_from_slice(&self.0);
            Ok(ANSWER_LENGTH)
        }
    }

    let Some(answer) = match_answer(request, datagram) else { return "ignored".to_owned() };
    let result = u16::from_be_bytes([answer[2], answer[3]]);
    match new_natpmp_async_with(Ready(answer), Ipv4Addr::LOCALHOST).read_response_or_retry().await {
        Ok(natpmp::Response::Gateway(gateway)) => {
            format!("address {} epoch {}", gateway.public_address(), gateway.epoch())
        }
        Ok(natpmp::Response::UDP(map)) => format!("udp {}", map_text(&map)),
        Ok(natpmp::Response::TCP(map)) => format!("tcp {}", map_text(&map)),
        Err(_) => format!("result {result}"),
    }
}

fn map_text(map: &natpmp::MappingResponse) -> String {
    let (internal, external) = (map.private_port(), map.public_port());
    format!("{internal} -> {external} for {} s epoch {}", map.lifetime().as_secs(), map.epoch())
}

#[tokio::test]
async fn every_vector_reads_as_it_says_and_no_truncation_of_it_panics() {
    for vector in vectors::read("nat-pmp") {
        let (request, datagram) = (vectors::hex(vector.field("request")), &vector.message);
        assert_eq!(read(&request, datagram).await, vector.field("expect"), "{}", vector.name);
        for length in 0..datagram.len() {
            for request in [request.as_slice(), &[0, 0], &[0, 1], &[]] {
                read(request, &datagram[..length]).await;
            }
        }
    }
}

#[tokio::test]
async fn datagrams_of_every_length_are_survived() {
    for length in 0..=1100 {
        for request in [&[0, 0][..], &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0xff; 12]] {
            for datagram in [vec![0; length], vec![0xff; length], (0..length).map(|_| rand::random()).collect()] {
                read(request, &datagram).await;
                let like_an_answer = [&[0, request[1] | 0x80, 0, 0][..], &datagram].concat();
                read(request, &like_an_answer).await;
            }
        }
    }
}

#[path = "natpmp_late_tests.rs"]
mod late;
