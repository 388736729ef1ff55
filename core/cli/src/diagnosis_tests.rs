//! What is concluded from what was seen.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::network::{Kind, Link, State};
use portlease::net::route::NetworkPath;
use portlease::{ErrorDetail, ProtocolOffer, ProtocolReport};

const PUBLIC: Ipv4Addr = Ipv4Addr::new(192, 0, 1, 1);
const CGNAT: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 9);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn offer(address: Option<Ipv4Addr>) -> Result<ProtocolOffer, PortMappingError> {
    let offer = ProtocolOffer::default().external_address(address.map(IpAddr::V4));
    Ok(offer.device("A Box".to_owned()).round_trip(Duration::from_millis(1)))
}

fn report(outcome: Result<ProtocolOffer, PortMappingError>) -> GatewayReport {
    let path = NetworkPath::new([192, 168, 1, 1], [192, 168, 1, 20]).interface("eth0".to_owned());
    GatewayReport::new(Some(path)).protocols([ProtocolReport::new(Protocol::Upnp, outcome)])
}

fn silence() -> Result<ProtocolOffer, PortMappingError> {
    Err(PortMappingError::timeout("upnp: no answer"))
}

fn test_mapping(address: impl Into<Option<Ipv4Addr>>) -> TestMapping {
    TestMapping {
        internal_port: 40_000,
        external: address.into().map(|address| (address, 40_000).into()),
        external_port: 40_000,
        protocol: Protocol::Upnp,
        ttl: Some(120),
        elapsed_ms: 1.0,
        release: Release::Released,
    }
}

fn mapped(address: impl Into<Option<Ipv4Addr>>) -> Option<Result<TestMapping, ErrorReport>> {
    Some(Ok(test_mapping(address)))
}

fn refused() -> Option<Result<TestMapping, ErrorReport>> {
    let detail = ErrorDetail::new(Protocol::Upnp, ErrorKind::Refused, "upnp 606").code(606);
    Some(Err(ErrorReport::from(&PortMappingError::refused("upnp 606").with_details([detail]))))
}

fn mapped_behind(address: Ipv4Addr) -> Findings {
    Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(offer(Some(address)))),
        test: mapped(address),
        place: Place::default(),
    }
}

/// The picture without its padding.
fn picture(findings: &Findings) -> String {
    let lines = findings.picture(Paint::none());
    lines.map(|line| line.as_str().split_whitespace().collect::<Vec<_>>().join(" ")).join("\n")
}

#[test]
fn a_mapped_public_port_is_a_good_verdict() {
    let findings = mapped_behind(PUBLIC);
    assert!(findings.mappable());
    assert_eq!(
        findings.verdict(),
        "A port was mapped by upnp and removed again: ports on this machine can be made reachable."
    );
    let picture = findings.picture(Paint::none());
    assert_eq!(
        picture.each_ref().map(|line| line.as_str()),
        [
            "    [ app ]    ------> [ router ]  ------>  [ internet ]",
            "  192.168.1.20         192.168.1.1         sees 192.0.1.1",
        ]
    );
}

#[test]
fn behind_carrier_grade_nat_the_picture_is_cut_behind_the_provider() {
    let findings = mapped_behind(CGNAT);
    assert!(findings.mappable(), "the router did map the port");
    assert!(findings.verdict().contains("nothing on the internet can reach it"), "{}", findings.verdict());
    assert!(findings.next_steps()[0].contains("public IPv4 address"));
    let picture = picture(&findings);
    assert!(picture.contains("[ provider's NAT ] --X [ internet ]"), "{picture}");
    assert!(picture.contains("gave 100.64.0.9"), "{picture}");
}

#[test]
fn behind_a_second_router_the_picture_shows_it() {
    let findings = mapped_behind(PRIVATE);
    assert!(findings.verdict().contains("another router is in front"), "{}", findings.verdict());
    assert!(picture(&findings).contains("[ another router ] --X [ internet ]"));
}

#[test]
fn a_refusal_is_told_apart_from_silence() {
    let findings = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(offer(Some(PUBLIC)))),
        test: refused(),
        place: Place::default(),
    };
    assert!(!findings.mappable());
    assert_eq!(findings.verdict(), "The router answers, but refuses to map a port.");
    assert!(findings.next_steps()[0].contains("allow port mapping"));
    assert!(picture(&findings).contains("[ app ] ------> [ router ] --X [ internet ]"));

    let silent = report(silence()).require_offer().unwrap_err();
    let findings = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(silence())),
        test: Some(Err(ErrorReport::from(&silent))),
        place: Place::default(),
    };
    assert_eq!(findings.verdict(), "The router answers by none of the protocols, so no port can be mapped.");
    assert!(findings.next_steps()[0].contains("switch on UPnP"));
    assert!(picture(&findings).contains("[ app ] --X [ router ] --X [ internet ]"));
}

#[test]
fn a_refusal_by_a_router_without_an_address_is_explained_by_that() {
    let findings = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(offer(None))),
        test: refused(),
        place: Place::default(),
    };
    assert!(findings.verdict().contains("no public address"), "{}", findings.verdict());
    assert!(findings.next_steps()[0].contains("internet connection"), "{:?}", findings.next_steps());
    let with_address = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(offer(Some(PUBLIC)))),
        test: refused(),
        place: Place::default(),
    };
    assert!(with_address.verdict().contains("refuses"), "{}", with_address.verdict());
}

#[test]
fn without_a_router_there_is_nothing_to_ask() {
    let gateway = Err(PortMappingError::no_gateway("there is no IPv4 default route"));
    let findings = Findings { family: AddressFamily::Ipv4, gateway, test: None, place: Place::default() };
    assert!(!findings.mappable());
    assert_eq!(
        findings.verdict(),
        "There is no router to ask: this machine has no network interface that could lead to a router."
    );
    assert_eq!(findings.next_steps(), [Obstacle::NoNetwork.advice()]);
    assert_eq!(picture(&findings), "[ app ] --X [ router ] --X [ internet ]\n? ?");
}

fn silent_with(presence: Presence, state: State) -> Findings {
    let address = Ipv4Addr::new(192, 168, 1, 20);
    let link = Link { name: "eth0".to_owned(), kind: Kind::Wired, state, addresses: vec![address] };
    let network = Network { links: vec![link], ..Network::default() };
    let place = Place { network, presence: Some(presence) };
    let silent = report(silence()).require_offer().unwrap_err();
    let test = Some(Err(ErrorReport::from(&silent)));
    Findings { family: AddressFamily::Ipv4, gateway: Ok(report(silence())), test, place }
}

#[test]
fn advice_about_upnp_is_for_a_router_that_is_there() {
    let there = silent_with(Presence::There("192.168.1.1 answers on TCP port 80".to_owned()), State::Connected);
    assert!(
        there.verdict().starts_with("The router is there (192.168.1.1 answers on TCP port 80)"),
        "{}",
        there.verdict()
    );
    assert!(there.next_steps()[0].contains("switch on UPnP"));
    assert!(picture(&there).contains("[ app ] ------> [ router ] --X [ internet ]"), "{}", picture(&there));
    let gone = silent_with(Presence::Gone("no answer to ARP".to_owned()), State::Connected);
    assert_eq!(gone.verdict(), "The router is not there: no answer to ARP.");
    assert!(!gone.next_steps().join(" ").contains("UPnP"), "{:?}", gone.next_steps());
}

#[test]
fn a_cable_that_is_cut_is_named_though_the_route_is_still_there() {
    let cut = silent_with(Presence::Unknown("no answer".to_owned()), State::NoCarrier);
    assert!(cut.verdict().contains("eth0 has no carrier"), "{}", cut.verdict());
    assert!(cut.next_steps()[0].contains("plug in the network cable"), "{:?}", cut.next_steps());
}

#[test]
fn what_was_not_tried_is_not_claimed() {
    let findings = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(offer(Some(PUBLIC)))),
        test: None,
        place: Place::default(),
    };
    assert!(findings.mappable());
    assert!(findings.verdict().contains("was not tried"));
}

#[test]
fn a_router_without_an_address_is_not_called_reachable() {
    let findings = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(offer(None))),
        test: mapped(None),
        place: Place::default(),
    };
    assert_eq!(findings.external_address(), None);
    assert_eq!(findings.address_class(), AddressClass::Unknown);
    assert!(findings.verdict().contains("it is not known whether"), "{}", findings.verdict());
}

#[test]
fn a_test_mapping_that_may_still_be_there_is_not_called_removed() {
    for release in [Release::Unconfirmed, Release::Pending] {
        let test = TestMapping { release, ..test_mapping(PUBLIC) };
        let findings = Findings {
            family: AddressFamily::Ipv4,
            gateway: Ok(report(offer(Some(PUBLIC)))),
            test: Some(Ok(test)),
            place: Place::default(),
        };
        assert!(findings.verdict().contains("did not confirm that it is removed"), "{}", findings.verdict());
    }
}

#[test]
fn a_machine_with_a_public_address_needs_no_mapping() {
    let own = TestMapping { protocol: Protocol::None, ..test_mapping(PUBLIC) };
    let findings = Findings {
        family: AddressFamily::Ipv4,
        gateway: Ok(report(silence())),
        test: Some(Ok(own)),
        place: Place::default(),
    };
    assert!(findings.verdict().contains("no mapping is needed"));
    assert!(picture(&findings).contains("[ app ] ------> [ internet ]"));
}

#[test]
fn every_verdict_comes_with_a_next_step() {
    let gateways: [fn() -> Result<GatewayReport, PortMappingError>; 3] = [
        || Ok(report(offer(Some(PUBLIC)))),
        || Ok(report(silence())),
        || Err(PortMappingError::no_gateway("no route")),
    ];
    for gateway in gateways {
        for test in [None, refused(), mapped(PUBLIC), mapped(CGNAT), mapped(None)] {
            let findings = Findings { family: AddressFamily::Ipv4, gateway: gateway(), test, place: Place::default() };
            assert!(!findings.next_steps().is_empty(), "{findings:?}");
            assert!(findings.verdict().ends_with('.'), "{}", findings.verdict());
        }
    }
}
