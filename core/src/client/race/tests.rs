use std::error::Error;
use std::net::Ipv4Addr;

use super::*;
use crate::client::mock::MockPortMapperClient;
use crate::mapping::Transport;
use crate::schedule::{
    DECIDED_HEAD_START, NAT_PMP_HEDGE, PCP_DEADLINE, SSDP_DEADLINE, UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP,
};
use crate::snapshot::ProtocolOffer;
use contestant::ProtocolClient;

const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

#[async_trait]
impl ProtocolClient for Arc<MockPortMapperClient> {
    async fn offer(&self) -> Result<ProtocolOffer, PortMappingError> {
        self.probe().await?;
        Ok(ProtocolOffer { external_address: None, device: None, round_trip: MS })
    }
}

/// A race of three mocks on a paused clock.
struct Field {
    race: Arc<RaceMapper>,
    pcp: Arc<MockPortMapperClient>,
    nat_pmp: Arc<MockPortMapperClient>,
    upnp: Arc<MockPortMapperClient>,
    start: Instant,
}

fn mapping(protocol: Protocol, port: u16) -> PortMapping {
    PortMapping { protocol, ..MockPortMapperClient::mapping(REQUEST, (Ipv4Addr::new(192, 0, 1, 1), port), HOUR) }
}

fn silent(limit: Duration) -> PortMappingError {
    PortMappingError::timeout(format!("no answer within {limit:?}"))
}

impl Field {
    fn from(local_address: [u8; 4]) -> Self {
        let clients: [Arc<MockPortMapperClient>; 3] = Default::default();
        let [pcp, nat_pmp, upnp] = clients.clone();
        let path = NetworkPath {
            gateway: [192, 168, 1, 1].into(),
            local_address: local_address.into(),
            interface: Some("eth0".into()),
        };
        let finder = move || {
            let hedges = [(Duration::ZERO, Duration::ZERO), (NAT_PMP_HEDGE, NAT_PMP_HEDGE)];
            let hedges = hedges.into_iter().chain([(UPNP_HEDGE, UPNP_HEDGE_BEHIND_NAT_PMP)]);
            let contestants = Protocol::ALL.into_iter().zip(&clients).zip(hedges);
            let contestants = contestants.map(|((protocol, client), (hedge, hedge_behind_alive))| Contestant {
                protocol,
                client: Arc::new(Arc::clone(client)),
                install_is_probe: protocol == Protocol::Pcp,
                proven: false,
                head_start: Duration::ZERO,
                hedge,
                hedge_behind_alive,
            });
            Ok((path.clone(), contestants.collect()))
        };
        Self { race: Arc::new(RaceMapper::with_finder(Box::new(finder))), pcp, nat_pmp, upnp, start: Instant::now() }
    }

    fn new() -> Self {
        Self::from([192, 168, 1, 10])
    }

    /// PCP and NAT-PMP are silent until their deadline.
    fn with_silent_port() -> Self {
        let field = Self::new();
        field.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
        field.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
        field
    }

    async fn install(&self) -> Result<PortMapping, PortMappingError> {
        self.race.install(&REQUEST, HOUR).await
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pcp_gateway_is_one_call_away_and_nobody_else_asks_for_a_mapping() {
    let field = Field::new();
    field.pcp.on_install(NAT_PMP_HEDGE - MS, Ok(mapping(Protocol::Pcp, 4000)));
    field.nat_pmp.on_probe(MS, Ok(()));
    field.upnp.on_probe(5 * MS, Ok(()));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::Pcp);
    assert_eq!(field.elapsed(), NAT_PMP_HEDGE - MS);
    field.race.settle().await;
    assert_eq!((field.nat_pmp.calls().install, field.upnp.calls().install), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn silence_to_pcp_holds_nat_pmp_up_only_for_a_short_hedge() {
    let field = Field::new();
    field.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    field.upnp.on_probe(10 * MS, Ok(()));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(field.elapsed(), NAT_PMP_HEDGE + MS);
    field.race.settle().await;
    assert_eq!(field.upnp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_pcp_lets_nat_pmp_ask_at_once() {
    let field = Field::new();
    field.pcp.on_install(2 * MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    field.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(field.elapsed(), 3 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_lets_upnp_ask_as_soon_as_it_is_found() {
    let field = Field::new();
    field.pcp.on_install(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    field.nat_pmp.on_probe(MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    field.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::Upnp);
    assert_eq!(field.elapsed(), 54 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_silent_port_holds_upnp_up_only_for_its_hedge() {
    let field = Field::with_silent_port();
    field.upnp.on_probe(UPNP_HEDGE / 2, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::Upnp);
    assert_eq!(field.elapsed(), UPNP_HEDGE + 2 * MS);
}

#[tokio::test(start_paused = true)]
async fn upnp_lets_a_nat_pmp_that_is_alive_finish() {
    let field = Field::new();
    field.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.nat_pmp.on_probe(5 * MS, Ok(())).on_install(300 * MS, Ok(mapping(Protocol::NatPmp, 4000)));
    field.upnp.on_probe(52 * MS, Ok(()));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::NatPmp);
    field.race.settle().await;
    assert_eq!(field.upnp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_on_another_port_is_released() {
    let late = Field::new();
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
    let field = Field::new();
    field.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    field.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    field.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4000)));
    field.install().await.unwrap();
    field.race.settle().await;
    assert_eq!((field.pcp.calls().remove, field.upnp.calls().remove, field.upnp.calls().renew), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_mapping_of_a_lease_that_is_over_is_released_not_taken_over() {
    let field = Field::new();
    field.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    field.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    let won = field.install().await.unwrap();
    field.race.remove(&won).await.unwrap();
    field.race.settle().await;
    assert_eq!((field.pcp.calls().remove, field.upnp.calls().remove, field.upnp.calls().renew), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_nobody_waits_for_any_more_is_released() {
    let field = Field::new();
    field.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4000)));
    field.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device")));
    let given_up = tokio::time::timeout(100 * MS, field.install()).await;
    assert!(given_up.is_err());
    field.race.settle().await;
    assert_eq!(field.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn once_nobody_waits_any_more_nobody_asks_for_a_mapping() {
    let field = Field::new();
    field.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.upnp.on_probe(300 * MS, Ok(()));
    assert!(tokio::time::timeout(100 * MS, field.install()).await.is_err());
    field.race.settle().await;
    assert_eq!(field.upnp.calls().install, 0);
}

#[tokio::test(start_paused = true)]
async fn a_decided_protocols_mapping_that_nobody_waits_for_is_released() {
    let field = Field::new();
    field.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    field.install().await.unwrap();
    field.race.settle().await;
    field.pcp.on_install(800 * MS, Ok(mapping(Protocol::Pcp, 4001)));
    let other = MapRequest::new(4001, Transport::Udp);
    assert!(tokio::time::timeout(100 * MS, field.race.install(&other, HOUR)).await.is_err());
    field.race.settle().await;
    assert_eq!(field.pcp.calls().remove, 1);
}

#[tokio::test(start_paused = true)]
async fn when_nothing_answers_the_failure_is_unavailable_within_two_seconds_and_names_every_reason() {
    let field = Field::with_silent_port();
    field.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("no device answered")));
    let error = field.install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(field.elapsed() < Duration::from_secs(2));
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
    let field = Field::new();
    field.pcp.on_install(MS, transport(Protocol::Pcp, 1));
    field.nat_pmp.on_probe(MS, transport(Protocol::NatPmp, 1).map(drop));
    field.upnp.on_probe(MS, transport(Protocol::Upnp, 1).map(drop));
    let error = field.install().await.unwrap_err();
    let contexts = Protocol::ALL.map(|protocol| format!("{protocol}: cannot reach 192.168.1.1")).join("; ");
    assert_eq!(error.to_string(), format!("udp port 4000 could not be mapped: {contexts}"));
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
    assert_eq!(error.message(), format!("{error}: {cause}"));
}

#[tokio::test(start_paused = true)]
async fn different_causes_are_each_told_with_their_protocol() {
    let field = Field::new();
    let cause = |code| io::Error::from_raw_os_error(code);
    field.pcp.on_install(MS, Err(PortMappingError::transport("pcp", cause(1))));
    field.nat_pmp.on_probe(MS, Err(PortMappingError::transport("nat-pmp", cause(2))));
    field.upnp.on_probe(MS, Err(PortMappingError::transport("upnp", cause(2))));
    let error = field.install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    let reasons = format!("pcp: {}; nat-pmp: {}; upnp: {}", cause(1), cause(2), cause(2));
    assert!(error.message().ends_with(&reasons) && error.source().is_none(), "{}", error.message());
}

#[tokio::test(start_paused = true)]
async fn one_refusal_among_silence_makes_the_failure_refused() {
    let field = Field::new();
    field.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Err(PortMappingError::refused("nat-pmp NOT_AUTHORIZED")));
    field.upnp.on_probe(MS, Err(PortMappingError::unavailable("no device")));
    assert_eq!(field.install().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_found_device_that_does_not_answer_makes_the_failure_a_timeout() {
    let field = Field::with_silent_port();
    field.upnp.on_probe(52 * MS, Ok(())).on_install(MS, Err(silent(MS)));
    assert_eq!(field.install().await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn the_decided_protocol_serves_the_next_lease_alone() {
    let field = Field::with_silent_port();
    field.upnp.on_probe(52 * MS, Ok(())).on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4000)));
    field.install().await.unwrap();
    field.race.settle().await;
    field.upnp.on_install(2 * MS, Ok(mapping(Protocol::Upnp, 4001)));
    let before = Instant::now();
    let other = MapRequest::new(4001, Transport::Udp);
    assert_eq!(field.race.install(&other, HOUR).await.unwrap().external.port(), 4001);
    assert_eq!(before.elapsed(), 2 * MS);
    assert_eq!((field.pcp.calls().install, field.nat_pmp.calls().probe), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn if_the_decided_protocol_fails_the_others_race_again() {
    let field = Field::new();
    field.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    field.install().await.unwrap();
    field.race.settle().await;
    field.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    field.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    let before = Instant::now();
    assert_eq!(field.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(before.elapsed(), DECIDED_HEAD_START + NAT_PMP_HEDGE + MS, "and not only when its deadline is over");
    assert_eq!(field.race.view().protocols, [Protocol::Pcp, Protocol::NatPmp]);
}

#[tokio::test(start_paused = true)]
async fn renew_and_remove_stay_with_the_protocol_that_made_the_mapping() {
    let field = Field::new();
    field.upnp.on_renew(MS, Ok(mapping(Protocol::Upnp, 4000)));
    field.race.renew(&mapping(Protocol::Upnp, 4000)).await.unwrap();
    field.race.remove(&mapping(Protocol::NatPmp, 4000)).await.unwrap();
    assert_eq!((field.upnp.calls().renew, field.nat_pmp.calls().remove, field.pcp.calls().renew), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_holds_is_not_asked_again_but_the_other_protocols_are() {
    let field = Field::new();
    let hold = Duration::from_secs(600);
    field.pcp.on_install(MS, Err(PortMappingError::refused_for("pcp NO_RESOURCES", hold)));
    assert_eq!(field.install().await.unwrap_err().kind(), ErrorKind::Refused);
    field.nat_pmp.on_probe(MS, Ok(())).on_install(MS, Ok(mapping(Protocol::NatPmp, 4000)));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::NatPmp);
    assert_eq!(field.pcp.calls().install, 1);
    tokio::time::sleep(hold).await;
    field.nat_pmp.on_install(MS, Err(silent(MS)));
    field.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    assert_eq!(field.install().await.unwrap().protocol, Protocol::Pcp);
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_passed_on_only_where_every_protocol_has_one() {
    let hold = Duration::from_secs(600);
    let held = |protocol| Failure { protocol, alive: true, error: PortMappingError::refused_for("no", hold) };
    let both = combine(&[held(Protocol::Pcp), held(Protocol::NatPmp)], &REQUEST);
    assert_eq!(both.retry_after(), Some(hold));
    let silent = Failure { protocol: Protocol::Upnp, alive: false, error: PortMappingError::unavailable("none") };
    let mixed = combine(&[held(Protocol::Pcp), silent], &REQUEST);
    assert_eq!((mixed.kind(), mixed.retry_after()), (ErrorKind::Refused, None));
}

#[tokio::test(start_paused = true)]
async fn a_host_with_a_public_address_and_no_gateway_that_answers_needs_none() {
    let field = Field::from([192, 0, 1, 2]);
    let own = field.install().await.unwrap();
    assert_eq!((own.protocol, own.external), (Protocol::None, ([192, 0, 1, 2], 4000).into()));
    assert_eq!(field.race.renew(&own).await.unwrap(), own);
    field.race.remove(&own).await.unwrap();
    assert_eq!(field.pcp.calls().remove, 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_with_a_public_address_that_is_refused_says_so() {
    let field = Field::from([192, 0, 1, 2]);
    field.pcp.on_install(MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    assert_eq!(field.install().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test(start_paused = true)]
async fn a_survey_asks_every_protocol_side_by_side_and_maps_nothing() {
    let field = Field::new();
    field.pcp.on_probe(300 * MS, Ok(()));
    field.nat_pmp.on_probe(200 * MS, Err(PortMappingError::unavailable("port 5351 is closed")));
    field.upnp.on_probe(100 * MS, Ok(()));
    let report = field.race.survey().await.unwrap();
    assert_eq!(field.elapsed(), 300 * MS);
    let answered: Vec<_> = report.protocols.iter().map(|r| (r.protocol, r.outcome.is_ok())).collect();
    assert_eq!(answered, [(Protocol::Pcp, true), (Protocol::NatPmp, false), (Protocol::Upnp, true)]);
    report.require_offer().unwrap();
    assert_eq!((field.pcp.calls().install, field.upnp.calls().install), (0, 0));
}
