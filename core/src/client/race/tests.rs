use std::error::Error;
use std::io;
use std::net::IpAddr;

use super::*;
use crate::advice::Obstacle;
use crate::client::by::By;
use crate::client::port_mapper::PortMapperClient;
use crate::error::{ErrorDetail, ErrorKind};
use crate::mapping::{Protocol, Transport};
use crate::net::route::NetworkPath;
use crate::schedule::{DECIDED_HEAD_START, NAT_PMP_HEDGE, PCP_DEADLINE, PREPARED_FRESH, SSDP_DEADLINE, UPNP_HEDGE};
use failure::combine;
use racer::*;

mod address_tests;
mod attend_tests;
mod behind_tests;
mod known_tests;
mod looks_tests;
mod moves_tests;
mod network_tests;
mod owned_tests;
mod paths_tests;
mod pinholes_tests;
mod racer;
#[cfg(target_os = "linux")]
mod system_tests;
mod turn_tests;

#[tokio::test(start_paused = true)]
async fn a_pcp_gateway_is_one_call_away_and_nobody_else_asks_for_a_mapping() {
    let setup = Setup::new();
    setup.pcp.on_install(NAT_PMP_HEDGE - MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(MS, Ok(()));
    setup.upnp.on_probe(5 * MS, Ok(()));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Pcp);
    assert_eq!(setup.elapsed(), NAT_PMP_HEDGE - MS);
    setup.race.settle().await;
    assert_eq!((setup.nat_pmp.calls().install, setup.upnp.calls().install), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_to_pcp_holds_nat_pmp_up_only_for_a_short_hedge() {
    let setup = Setup::new();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    setup.upnp.on_probe(10 * MS, Ok(()));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(setup.elapsed(), NAT_PMP_HEDGE + MS);
    setup.race.settle().await;
    assert_eq!(setup.upnp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_pcp_lets_nat_pmp_ask_at_once() {
    let setup = Setup::new();
    setup.pcp.on_install(2 * MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(setup.elapsed(), 3 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_lets_upnp_ask_as_soon_as_it_is_found() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.nat_pmp.on_probe(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Upnp);
    assert_eq!(setup.elapsed(), 54 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_silent_port_holds_upnp_up_only_for_its_hedge() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(UPNP_HEDGE / 2, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Upnp);
    assert_eq!(setup.elapsed(), UPNP_HEDGE + 2 * MS);
}

#[tokio::test(start_paused = true)]
async fn upnp_lets_a_nat_pmp_that_is_alive_finish() {
    let setup = Setup::new();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(5 * MS, Ok(())).on_install(300 * MS, Ok(mapping(Protocol::NatPmp, 4000)));
    setup.upnp.on_probe(52 * MS, Ok(()));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    setup.race.settle().await;
    assert_eq!(setup.upnp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_on_another_port_is_released() {
    let late = Setup::new();
    late.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4001)));
    late.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    late.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(late.install().await.unwrap().protocol, Protocol::Upnp);
    assert_eq!(late.pcp.calls().remove, 0);
    late.race.settle().await;
    assert_eq!((late.pcp.calls().remove, late.upnp.calls().remove, late.upnp.calls().renew), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_on_the_same_port_is_the_winners_entry_which_takes_it_over_and_deletes_nothing() {
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, setup.upnp.calls().remove, setup.upnp.calls().renew), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_of_a_lease_that_is_over_is_released_not_taken_over() {
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    let won = setup.install().await.unwrap();
    setup.race.remove(&won).await.unwrap();
    setup.race.settle().await;
    assert_eq!((setup.pcp.calls().remove, setup.upnp.calls().remove, setup.upnp.calls().renew), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_nobody_waits_for_any_more_is_released() {
    let setup = Setup::new();
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device")));
    let given_up = tokio::time::timeout(100 * MS, setup.install()).await;
    assert!(given_up.is_err());
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn once_nobody_waits_any_more_nobody_asks_for_a_mapping() {
    let setup = Setup::new();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(300 * MS, Ok(()));
    assert!(tokio::time::timeout(100 * MS, setup.install()).await.is_err());
    setup.race.settle().await;
    assert_eq!(setup.upnp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_decided_protocols_mapping_that_nobody_waits_for_is_released() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4001)));
    let other = MapRequest::new(4001, Transport::Udp);
    assert!(tokio::time::timeout(100 * MS, setup.race.install(&other, HOUR)).await.is_err());
    setup.race.settle().await;
    assert_eq!(setup.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn when_nothing_answers_the_failure_is_unavailable_within_two_seconds_and_names_every_reason() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
    let error = setup.install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(setup.elapsed() < Duration::from_secs(2));
    let message = error.to_string();
    for part in ["udp port 4000 could not be mapped: ", "no answer within 1s; no answer within 1s; no device answered"]
    {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cause_that_all_protocols_share_is_the_source_and_is_told_once() {
    let transport = |protocol, code| {
        let context = format!("{protocol}: cannot reach 192.168.1.1");
        Err(PortMappingError::transport(context, io::Error::from_raw_os_error(code)))
    };
    let setup = Setup::new();
    setup.pcp.on_install(MS, transport(Protocol::Pcp, 1));
    setup.nat_pmp.on_probe(MS, transport(Protocol::NatPmp, 1).map(drop));
    setup.upnp.on_probe(MS, transport(Protocol::Upnp, 1).map(drop));
    let error = setup.install().await.unwrap_err();
    let asked = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];
    let contexts = asked.map(|protocol| format!("{protocol}: cannot reach 192.168.1.1")).join("; ");
    assert_eq!(error.to_string(), format!("udp port 4000 could not be mapped: {contexts}"));
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(error.message(), format!("{error}: {cause}"));
}

#[tokio::test(start_paused = true)]
async fn different_causes_are_each_told_with_their_protocol() {
    let setup = Setup::new();
    let cause = |code| io::Error::from_raw_os_error(code);
    setup.pcp.on_install(MS, Err(PortMappingError::transport("pcp", cause(1))));
    setup.nat_pmp.on_probe(MS, Err(PortMappingError::transport("nat-pmp", cause(2))));
    setup.upnp.on_probe(MS, Err(PortMappingError::transport("upnp", cause(2))));
    let error = setup.install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    let reasons = format!("pcp: {}; nat-pmp: {}; upnp: {}", cause(1), cause(2), cause(2));
    assert!(error.message().ends_with(&reasons) && error.source().is_none(), "{}", error.message());
}

#[tokio::test(start_paused = true)]
async fn one_refusal_among_silence_makes_the_failure_refused() {
    let setup = Setup::new();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Err(PortMappingError::refused("nat-pmp NOT_AUTHORIZED")));
    setup.upnp.on_probe(MS, Err(PortMappingError::unavailable("no device")));
    assert_eq!(setup.install().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_known_gateway_that_does_not_answer_is_unavailable_and_only_the_protocol_is_a_timeout() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(MS, Err(silent(MS)));
    let error = setup.install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.details().iter().all(|detail| detail.kind == ErrorKind::Timeout), "{:?}", error.details());

    let mapped = mapping(Protocol::Upnp, 4000);
    setup.upnp.on_renew(MS, Err(silent(MS))).on_remove(MS, Err(silent(MS)));
    for outcome in [setup.race.renew(&mapped).await.map(drop), setup.race.remove(&mapped).await] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_error_has_what_each_protocol_answered_in_the_order_of_preference() {
    let setup = Setup::new();
    let by = |protocol| By::protocol(protocol);
    let hold = Duration::from_secs(600);
    let no_resources = by(Protocol::Pcp).code(8u8).name("NO_RESOURCES").refused_for("pcp NO_RESOURCES", hold);
    setup.pcp.on_install(20 * MS, Err(no_resources));
    setup.nat_pmp.on_probe(MS, Err(by(Protocol::NatPmp).timeout("nat-pmp: no answer")));
    // A client without details, as a host may write one.
    setup.upnp.on_probe(2 * MS, Err(PortMappingError::unavailable("upnp: none")));
    let error = setup.install().await.unwrap_err();
    let pcp = ErrorDetail::new(Protocol::Pcp, ErrorKind::Refused, "pcp NO_RESOURCES").code(8);
    let pcp = pcp.name("NO_RESOURCES".to_owned()).retry_after(hold);
    let nat_pmp = ErrorDetail::new(Protocol::NatPmp, ErrorKind::Timeout, "nat-pmp: no answer");
    let upnp = ErrorDetail::new(Protocol::Upnp, ErrorKind::Unavailable, "upnp: none");
    assert_eq!(error.details(), [pcp.clone(), nat_pmp.clone(), upnp.clone()]);
    assert_eq!(error.obstacle(), Some(Obstacle::TableFull));

    // The refusal still holds, and is told with what is left of its time.
    tokio::time::sleep(hold / 2).await;
    setup.nat_pmp.on_probe(Duration::ZERO, Err(by(Protocol::NatPmp).timeout("nat-pmp: no answer")));
    setup.upnp.on_probe(Duration::ZERO, Err(PortMappingError::unavailable("upnp: none")));
    let left = setup.install().await.unwrap_err().details()[0].clone();
    assert_eq!((left.code, left.name.as_deref()), (Some(8), Some("NO_RESOURCES")));
    assert!(left.retry_after.unwrap() <= hold / 2, "{left:?}");
}

#[test]
fn of_several_paths_the_details_are_those_of_the_one_whose_error_is_told() {
    let failure = |gateway: u8, protocol, error| Failure {
        protocol,
        at: Some(Arc::new(NetworkPath::new([192, 168, 1, gateway], [192, 168, 1, 10]))),
        alive: false,
        asked: true,
        error,
    };
    let silence = |protocol| By::protocol(protocol).timeout("no answer");
    let refusal = By::protocol(Protocol::NatPmp).code(2u16).name("NOT_AUTHORIZED").refused("nat-pmp NOT_AUTHORIZED");
    let failures = [
        failure(1, Protocol::Pcp, silence(Protocol::Pcp)),
        failure(1, Protocol::NatPmp, silence(Protocol::NatPmp)),
        failure(2, Protocol::NatPmp, refusal),
        failure(2, Protocol::Upnp, silence(Protocol::Upnp)),
    ];
    let error = combine(&failures, "it failed");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let told: Vec<_> = error.details().iter().map(|detail| (detail.protocol, detail.code)).collect();
    assert_eq!(told, [(Protocol::NatPmp, Some(2)), (Protocol::Upnp, None)]);
}

#[test]
fn a_defect_does_not_hide_what_the_other_protocols_have_answered() {
    let answered = By::protocol(Protocol::Upnp).code(606u16).refused("upnp 606");
    let answered = Failure { protocol: Protocol::Upnp, at: None, alive: true, asked: true, error: answered };
    let error = combine(&[Failure::internal("a protocol's client failed"), answered], "it failed");
    assert_eq!((error.kind(), error.details().len(), error.details()[0].code), (ErrorKind::Internal, 1, Some(606)));
}

#[tokio::test(start_paused = true)]
async fn the_decided_protocol_serves_the_next_lease_alone() {
    let setup = Setup::with_silent_port();
    setup.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    setup.upnp.on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4001)));
    let before = Instant::now();
    let other = MapRequest::new(4001, Transport::Udp);
    assert_eq!(setup.race.install(&other, HOUR).await.unwrap().external.port(), 4001);
    assert_eq!(before.elapsed(), 2 * MS);
    assert_eq!((setup.pcp.calls().install, setup.nat_pmp.calls().probe), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn if_the_decided_protocol_fails_the_others_race_again() {
    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    setup.install().await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    let before = Instant::now();
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(before.elapsed(), DECIDED_HEAD_START + NAT_PMP_HEDGE + MS, "and not only when its deadline is over");
    assert_eq!(setup.race.view().protocols, [Protocol::Pcp, Protocol::NatPmp]);
}

#[tokio::test(start_paused = true)]
async fn renew_and_remove_stay_with_the_protocol_that_made_the_mapping() {
    let setup = Setup::new();
    setup.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4000)));
    setup.race.renew(&mapping(Protocol::Upnp, 4000)).await.unwrap();
    setup.race.remove(&mapping(Protocol::NatPmp, 4000)).await.unwrap();
    assert_eq!((setup.upnp.calls().renew, setup.nat_pmp.calls().remove, setup.pcp.calls().renew), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_holds_is_not_asked_again_but_the_other_protocols_are() {
    let setup = Setup::new();
    let hold = Duration::from_secs(600);
    setup.pcp.on_install(MS, Err(PortMappingError::refused_for("pcp NO_RESOURCES", hold)));
    assert_eq!(setup.install().await.unwrap_err().kind(), ErrorKind::Refused);
    setup.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(setup.pcp.calls().install, 1);
    tokio::time::sleep(hold).await;
    setup.nat_pmp.on_install(MS, Err(silent(MS)));
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    assert_eq!(setup.install().await.unwrap().protocol, Protocol::Pcp);
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_passed_on_only_where_every_protocol_has_one() {
    let hold = Duration::from_secs(600);
    let failure = |protocol, error| Failure { protocol, at: None, alive: false, asked: true, error };
    let held = |protocol| failure(protocol, PortMappingError::refused_for("no", hold));
    let both = combine(&[held(Protocol::Pcp), held(Protocol::NatPmp)], "it failed");
    assert_eq!(both.retry_after(), Some(hold));
    let silent = failure(Protocol::Upnp, PortMappingError::unavailable("none"));
    let mixed = combine(&[held(Protocol::Pcp), silent], "it failed");
    assert_eq!((mixed.kind(), mixed.retry_after()), (ErrorKind::Refused, None));
}

#[tokio::test(start_paused = true)]
async fn a_host_with_a_public_address_and_no_gateway_that_answers_needs_none() {
    let setup = Setup::from([192, 0, 1, 2]);
    let own = setup.install().await.unwrap();
    assert_eq!((own.protocol, own.external), (Protocol::None, ([192, 0, 1, 2], 4000).into()));
    assert_eq!(setup.race.renew(&own).await.unwrap(), own);
    setup.race.remove(&own).await.unwrap();
    assert_eq!(setup.pcp.calls().remove, 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_with_a_public_address_that_is_refused_says_so() {
    let setup = Setup::from([192, 0, 1, 2]);
    setup.pcp.on_install(MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    assert_eq!(setup.install().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_report_asks_every_protocol_side_by_side_and_maps_nothing() {
    let setup = Setup::new();
    setup.pcp.on_probe(300 * MS, Ok(()));
    setup.nat_pmp.on_probe(200 * MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    setup.upnp.on_probe(100 * MS, Ok(()));
    let report = setup.race.report().await.unwrap();
    assert_eq!(setup.elapsed(), 300 * MS);
    let answered: Vec<_> = report.protocols.iter().map(|r| (r.protocol, r.outcome.is_ok())).collect();
    assert_eq!(answered, [(Protocol::Pcp, true), (Protocol::NatPmp, false), (Protocol::Upnp, true)]);
    report.require_offer().unwrap();
    assert_eq!((setup.pcp.calls().install, setup.upnp.calls().install), (0, 0));
}
