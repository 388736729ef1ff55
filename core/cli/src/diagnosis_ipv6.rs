//! What `doctor` concludes about IPv6, where a firewall stands between this machine and the internet, and no NAT.

use portlease::{AddressClass, ErrorKind, GatewayReport, Obstacle, Release};

use crate::advice::NO_IPV6;
use crate::diagnosis::{Findings, Link, TestMapping, draw};
use crate::network::Gap;
use crate::text::{Paint, Shown};

const OPEN_OR_CLOSED: &str = "An open firewall cannot be told from a closed one by asking.";

/// The findings of IPv6.
pub(crate) struct Ipv6<'a>(pub(crate) &'a Findings);

impl Ipv6<'_> {
    pub(crate) fn verdict(&self) -> String {
        let Findings { gateway, test, .. } = self.0;
        if let (Some(gap), None | Some(Err(_))) = (self.cut(), test) {
            return format!("IPv6 does not work here: {}.", gap.what());
        }
        match (gateway, test) {
            (Err(error), _) => format!("IPv6 does not work here: {}.", error.message()),
            (Ok(_), Some(Ok(test))) => self.opened(test),
            (Ok(_), _) if self.obstacle() == Some(Obstacle::FirewallOff) => {
                "The router says that its IPv6 firewall is switched off: it has nothing to open.".to_owned()
            }
            (Ok(_), Some(Err(error))) if error.kind == ErrorKind::Refused => {
                format!("The router answers, but refuses to open an IPv6 port. {OPEN_OR_CLOSED}")
            }
            (Ok(_), Some(Err(_))) => format!("The router answers, but no IPv6 port could be opened. {OPEN_OR_CLOSED}"),
            (Ok(_), None) if self.0.answers() => {
                "The router answers; whether it opens an IPv6 port was not tried (--no-map).".to_owned()
            }
            (Ok(report), None) if refuses(report) => {
                format!("The router refuses to open IPv6 ports. {OPEN_OR_CLOSED}")
            }
            (Ok(_), None) => format!("The router opens no IPv6 ports, as far as it answers. {OPEN_OR_CLOSED}"),
        }
    }

    fn opened(&self, test: &TestMapping) -> String {
        let closed = match test.release {
            Release::Released => "and closed again",
            Release::Unconfirmed | Release::Pending => "(the router did not confirm that it is closed again)",
        };
        let done = format!("An IPv6 port was opened by {} {closed}", test.protocol);
        match AddressClass::unreachable(self.0.external_address()) {
            None => format!("{done}: IPv6 ports on this machine can be made reachable."),
            Some(reason) => format!("{done}, but {reason}."),
        }
    }

    fn obstacle(&self) -> Option<Obstacle> {
        match (&self.0.gateway, &self.0.test) {
            (Err(_), _) | (Ok(_), Some(Ok(_))) => None,
            (Ok(_), Some(Err(error))) => error.obstacle(),
            (Ok(report), None) => report.require_offer().err()?.obstacle(),
        }
    }

    /// Why nothing can be sent at all.
    fn cut(&self) -> Option<Gap> {
        let interface = self.0.gateway.as_ref().ok().and_then(|report| report.interface.as_deref());
        let network = &self.0.place.network;
        network.cut(interface).filter(|_| !self.0.answers()).or_else(|| network.disconnected())
    }

    pub(crate) fn next_steps(&self) -> Vec<String> {
        let one = |step: &str| vec![step.to_owned()];
        if let (Some(gap), None | Some(Err(_))) = (self.cut(), &self.0.test) {
            return vec![gap.advice()];
        }
        match (&self.0.gateway, &self.0.test) {
            (Ok(_), Some(Ok(_))) if self.0.address_class() == AddressClass::Public => {
                one("portlease map 4000/udp --family ipv6 (with the port of your program), or --family both")
            }
            (Err(_), _) | (Ok(_), Some(Ok(_))) => vec![format!("if IPv4 is not enough, {NO_IPV6}")],
            (Ok(_), None) if self.0.answers() => one("portlease doctor, without --no-map"),
            (Ok(_), _) => {
                let by_hand = "or open the port by hand in the router's IPv6 firewall";
                match self.obstacle() {
                    Some(Obstacle::FirewallOff) => one(Obstacle::FirewallOff.advice()),
                    Some(Obstacle::Silence | Obstacle::Unsupported) | None => {
                        vec!["switch on PCP, or UPnP for IPv6, in the router's settings".to_owned(), by_hand.to_owned()]
                    }
                    Some(obstacle) => [obstacle.advice(), by_hand].map(str::to_owned).to_vec(),
                }
            }
        }
    }

    /// `app` is this machine.
    pub(crate) fn picture(&self, app: (&str, String), paint: Paint) -> [Shown; 2] {
        let Findings { gateway, test, .. } = self.0;
        let router = ("router", self.0.router().unwrap_or_else(|| "?".to_owned()));
        let (to_router, beyond) = match (gateway, test) {
            (Err(_), _) => (Link::Cut, Link::Cut),
            (Ok(_), Some(Ok(_))) => (Link::Whole, Link::of(self.0.address_class() == AddressClass::Public)),
            (Ok(report), _) => (Link::of(self.0.answers() || refuses(report)), Link::Unknown),
        };
        draw(&[app, router, ("internet", String::new())], &[to_router, beyond], paint)
    }
}

/// Whether the router answers, if only to say no.
fn refuses(report: &GatewayReport) -> bool {
    let refused = |error: &portlease::PortMappingError| error.kind() == ErrorKind::Refused;
    report.protocols.iter().any(|report| report.outcome.as_ref().is_err_and(refused))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;
    use std::time::Duration;

    use super::*;
    use crate::diagnosis::Place;
    use portlease::net::route::NetworkPath;
    use portlease::{
        AddressFamily, ErrorDetail, ErrorReport, PortMappingError, Protocol, ProtocolOffer, ProtocolReport,
    };

    fn address(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn report(outcome: Result<ProtocolOffer, PortMappingError>) -> GatewayReport {
        let path = NetworkPath::new(address("fe80::1"), address("2600:1::5"));
        let mut report = GatewayReport::new(Some(path)).protocols([ProtocolReport::new(Protocol::Upnp, outcome)]);
        report.gateway = "fe80::1%eth0".parse().ok();
        report
    }

    fn offer() -> Result<ProtocolOffer, PortMappingError> {
        Ok(ProtocolOffer::default().round_trip(Duration::from_millis(1)))
    }

    fn findings(
        gateway: Result<GatewayReport, PortMappingError>,
        test: Option<Result<TestMapping, ErrorReport>>,
    ) -> Findings {
        Findings { family: AddressFamily::Ipv6, gateway, test, place: Place::default() }
    }

    fn opened(at: &str, release: Release) -> Findings {
        let test = TestMapping {
            internal_port: 40_000,
            external: Some((address(at), 40_000).into()),
            external_port: 40_000,
            protocol: Protocol::Pcp,
            ttl: Some(120),
            elapsed_ms: 1.0,
            release,
        };
        findings(Ok(report(offer())), Some(Ok(test)))
    }

    fn picture(findings: &Findings) -> [String; 2] {
        findings.picture(Paint::none()).map(|line| line.as_str().to_owned())
    }

    fn refused(name: &str) -> PortMappingError {
        let detail = ErrorDetail::new(Protocol::Upnp, ErrorKind::Refused, "upnp: no").name(name.to_owned());
        PortMappingError::refused("upnp: no").with_details([detail])
    }

    #[test]
    fn a_port_that_was_opened_is_a_good_verdict_and_the_way_is_whole() {
        let findings = opened("2600:1::5", Release::Released);
        assert!(findings.mappable());
        assert_eq!(
            findings.verdict(),
            "An IPv6 port was opened by pcp and closed again: IPv6 ports on this machine can be made reachable."
        );
        assert_eq!(
            picture(&findings),
            ["   [ app ]  ------>  [ router ]  ------> [ internet ]", "  2600:1::5         fe80::1%eth0"]
        );
        assert!(findings.next_steps()[0].contains("--family ipv6"), "{:?}", findings.next_steps());
        let unconfirmed = opened("2600:1::5", Release::Unconfirmed).verdict();
        assert!(unconfirmed.contains("did not confirm that it is closed again"), "{unconfirmed}");
    }

    #[test]
    fn an_address_of_the_local_network_alone_is_not_called_reachable() {
        let findings = opened("fd00::5", Release::Released);
        assert!(findings.verdict().contains("nothing on the internet can reach it"), "{}", findings.verdict());
        assert!(picture(&findings)[0].ends_with("[ router ]  --X     [ internet ]"), "{:?}", picture(&findings));
        assert!(findings.next_steps()[0].contains("ask the provider for IPv6"), "{:?}", findings.next_steps());
    }

    #[test]
    fn a_machine_without_ipv6_is_told_why() {
        let why = "interface eth0 has no global IPv6 address";
        let findings = findings(Err(PortMappingError::unavailable(why)), None);
        assert!(!findings.mappable());
        assert_eq!(findings.verdict(), format!("IPv6 does not work here: {why}."));
        assert!(picture(&findings)[0].contains("[ app ] --X     [ router ] --X     [ internet ]"));
        assert!(findings.next_steps()[0].starts_with("if IPv4 is not enough, "), "{:?}", findings.next_steps());
    }

    #[test]
    fn of_a_router_that_opens_nothing_nobody_knows_whether_its_firewall_is_open() {
        let silent = findings(Ok(report(Err(PortMappingError::timeout("upnp: no answer")))), None);
        let no = findings(Ok(report(Err(refused("InboundPinholeNotAllowed")))), None);
        let tried = ErrorReport::from(&PortMappingError::refused("upnp 606"));
        let refused = findings(Ok(report(offer())), Some(Err(tried)));
        for (findings, part, answers) in [
            (silent, "opens no IPv6 ports, as far as it answers", false),
            (no, "refuses to open IPv6 ports", true),
            (refused, "refuses to open an IPv6 port", true),
        ] {
            assert!(!findings.mappable());
            let verdict = findings.verdict();
            let top = picture(&findings)[0].split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(verdict.contains(part) && verdict.ends_with(OPEN_OR_CLOSED), "{verdict}");
            let link = if answers { "------>" } else { "--X" };
            assert_eq!(top, format!("[ app ] {link} [ router ] --? [ internet ]"));
            let steps = findings.next_steps();
            assert!(steps.last().is_some_and(|step| step.contains("by hand")), "{steps:?}");
        }
    }

    #[test]
    fn a_firewall_that_is_switched_off_is_left_alone() {
        let findings = findings(Ok(report(Err(refused("FirewallDisabled")))), None);
        assert!(findings.verdict().contains("is switched off"), "{}", findings.verdict());
        assert_eq!(findings.next_steps(), [Obstacle::FirewallOff.advice()]);
    }

    #[test]
    fn what_was_not_tried_is_not_claimed() {
        let findings = findings(Ok(report(offer())), None);
        assert!(findings.mappable());
        assert!(findings.verdict().contains("was not tried"), "{}", findings.verdict());
        assert_eq!(findings.next_steps(), ["portlease doctor, without --no-map"]);
    }
}
