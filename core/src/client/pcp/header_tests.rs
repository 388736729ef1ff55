//! Errors without a nonce, which anybody can send who can forge the gateway's address; and how far lifetimes are believed.

use super::*;
use crate::schedule::{MAX_TTL, UNPROVEN_REFUSAL_HOLD};

const CANNOT_PROVIDE_EXTERNAL: u8 = 11;

#[tokio::test]
async fn an_error_in_the_header_alone_holds_for_a_short_time_whatever_it_says() {
    let half_an_hour = |request: &[u8]| with(answer(request, NO_RESOURCES), 4, &[0, 0, 7, 8]);
    let error = install_at(move |r| vec![half_an_hour(r)[..24].to_vec()], udp_4000()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(UNPROVEN_REFUSAL_HOLD));
    let error = install_at(move |r| vec![half_an_hour(r)], udp_4000()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1800)), "with the nonce it is believed");
}

#[tokio::test]
async fn a_header_that_does_not_fit_the_request_is_ignored() {
    let answers = |request: &[u8]| {
        let header = |version, opcode, result| [&[version, opcode, 0, result][..], &[0, 0, 7, 8], &[0; 16]].concat();
        vec![
            header(2, 0x81, 1),
            header(2, 0x80, NO_RESOURCES),
            header(2, 0x82, NO_RESOURCES),
            header(2, 0x01, NO_RESOURCES),
            header(2, 0x81, 0),
            header(1, 0x80, 1),
            header(1, 0x01, 1),
            header(0, 0x80, 1)[..8].to_vec(),
            header(0, 0x01, 1)[..8].to_vec(),
            header(0, 0x81, 2)[..8].to_vec(),
            answer(request, 0),
        ]
    };
    assert_eq!(install_at(answers, udp_4000()).await.unwrap().external.port(), 4000);
}

#[tokio::test]
async fn a_delete_is_not_confirmed_by_a_header_alone() {
    let answers = |request: &[u8]| {
        if request[4..8] == [0; 4] {
            vec![answer(request, NO_RESOURCES)[..24].to_vec()]
        } else {
            vec![answer(request, 0)]
        }
    };
    let (_requests, port) = FakeGateway::answering(answers).await;
    let mapper = PcpMapper::on(port);
    let mapping = mapper.install(&udp_4000(), HOUR).await.unwrap();
    assert_eq!(mapper.remove(&mapping).await.unwrap_err().kind(), ErrorKind::Refused);
}

/// What a renewal ends with at a gateway that granted `request` and now says that it cannot provide the port.
async fn renewed_in_vain(request: MapRequest, length: usize) -> PortMappingError {
    let granted = Mutex::new(false);
    let answers = move |request: &[u8]| {
        let first = !std::mem::replace(&mut *granted.lock().unwrap(), true);
        let answer = answer(request, if first { 0 } else { CANNOT_PROVIDE_EXTERNAL });
        vec![if first { answer } else { answer[..length].to_vec() }]
    };
    let (_requests, port) = FakeGateway::answering(answers).await;
    let mapper = PcpMapper::on(port);
    let mapping = mapper.install(&request, HOUR).await.unwrap();
    mapper.renew(&mapping).await.unwrap_err()
}

#[tokio::test]
async fn an_exact_mapping_whose_port_cannot_be_provided_any_more_is_lost() {
    let error = renewed_in_vain(udp_4000().exact(), 60).await;
    assert!(error.mapping_lost() && error.to_string().starts_with("pcp CANNOT_PROVIDE_EXTERNAL: "), "{error}");
    assert!(!renewed_in_vain(udp_4000(), 60).await.mapping_lost(), "another port may be had");
    assert!(!renewed_in_vain(udp_4000().exact(), 24).await.mapping_lost(), "that may be forged");
}

#[tokio::test]
async fn a_lifetime_of_years_counts_as_a_day_or_as_what_was_asked_for() {
    let years = |request: &[u8]| vec![with(answer(request, 0), 4, &[0xff; 4])];
    assert_eq!(install_at(years, udp_4000()).await.unwrap().lifetime, Some(MAX_TTL));
    let (_requests, port) = FakeGateway::answering(years).await;
    let two_days = MAX_TTL * 2;
    let mapping = PcpMapper::on(port).install(&udp_4000(), two_days).await.unwrap();
    assert_eq!(mapping.lifetime, Some(two_days));
}
