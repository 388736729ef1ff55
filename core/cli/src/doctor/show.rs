//! The report for people.

use std::net::IpAddr;
use std::time::Duration;

use portlease::{AddressFamily, Obstacle, Protocol, ProtocolReport, Release};

use super::Seen;
use super::firewall::Verdict;
use super::listening::Listening;
use super::port::PortFindings;
use super::reach::Reach;
use super::router::describe;
use crate::diagnosis::{Findings, TestMapping};
use crate::event::{external, millis, span};
use crate::network::{Kind, Link, Network, State};
use crate::text::{Colour, Paint, Shown};

/// Lines of the report, under way.
pub(super) struct Page {
    paint: Paint,
    lines: Vec<Shown>,
}

/// The whole report.
pub(super) fn report(seen: &Seen, paint: Paint) -> Vec<Shown> {
    let mut page = Page { paint, lines: Vec::new() };
    page.network(&seen.ipv4.place.network);
    page.blank();
    page.family(&seen.ipv4, Some(seen));
    page.blank();
    page.family(&seen.ipv6, None);
    for port in &seen.ports {
        page.blank();
        page.port(port);
    }
    page.lines
}

impl Page {
    fn blank(&mut self) {
        self.lines.push(Shown::default());
    }

    fn line(&mut self, name: &str, text: impl Into<Shown>) {
        self.lines.push(Shown::from(format!("{name:<17}")) + text.into());
    }

    fn network(&mut self, network: &Network) {
        self.lines.push("Network".into());
        for link in network.links.iter().filter(|link| is_of_interest(link, network)) {
            let colour = match link.state {
                State::NoCarrier | State::Off if link.kind != Kind::Containers => Colour::Yellow,
                State::NoCarrier | State::Off | State::Connected | State::Unknown => Colour::Green,
            };
            let text = self.paint.colour(colour, &link_text(link));
            self.line("Interface", Shown::from(format!("{}: ", link.name)) + text);
        }
        for route in &network.routes {
            let to = route.gateway.map_or_else(|| "no router".to_owned(), |gateway| gateway.to_string());
            let vpn = if network.kind(&route.interface) == Kind::Vpn { ", a VPN" } else { "" };
            self.line("Default route", format!("{to} by {}{vpn} (metric {})", route.interface, route.metric));
        }
        if network.routes.is_empty() {
            let none = self.paint.colour(Colour::Red, "none for IPv4");
            self.line("Default route", none);
        }
    }

    /// One family; with what else is known of the router for IPv4.
    fn family(&mut self, findings: &Findings, seen: Option<&Seen>) {
        let name = if findings.family == AddressFamily::Ipv4 { "IPv4" } else { "IPv6" };
        self.lines.push(name.into());
        self.router(findings);
        self.device(findings, seen);
        self.mapping(findings, seen);
        self.blank();
        self.lines.extend(findings.picture(self.paint));
        self.blank();
        let reachable = Obstacle::of_class(findings.address_class()).is_none();
        let colour = match (findings.mappable(), findings.family) {
            (false, AddressFamily::Ipv4) => Colour::Red,
            // Most machines do without.
            (false, AddressFamily::Ipv6) => Colour::Yellow,
            (true, _) if reachable => Colour::Green,
            (true, _) => Colour::Yellow,
        };
        self.lines.push(self.paint.colour(colour, &findings.verdict()));
        self.next(&Vec::from_iter(seen.and_then(Seen::firewall_step)));
        self.next(&findings.next_steps());
    }

    fn next(&mut self, steps: &[String]) {
        self.lines.extend(steps.iter().map(|step| Shown::from(format!("  next: {step}"))));
    }

    /// The way to the router, and what each protocol answers.
    fn router(&mut self, findings: &Findings) {
        let unknown = || "unknown".to_owned();
        match &findings.gateway {
            Ok(report) => {
                let interface = report.interface.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
                let gateway = report.gateway.map_or_else(unknown, |gateway| gateway.to_string());
                self.line("Router", format!("{gateway}{interface}"));
                self.line("This machine", report.local_address.map_or_else(unknown, |address| address.to_string()));
                for protocol in &report.protocols {
                    let (yes, text) = protocol_line(protocol);
                    let mark = match yes {
                        true => self.paint.colour(Colour::Green, "yes"),
                        false => self.paint.colour(Colour::Red, "no "),
                    };
                    self.line(protocol.protocol.as_str(), mark + "  " + text);
                }
            }
            Err(error) => {
                let none = self.paint.colour(Colour::Red, &format!("none: {}", error.message()));
                self.line("Router", none);
            }
        }
        if let Some(presence) = &findings.place.presence {
            self.line("Router there?", format!("{}: {}", presence.as_str(), presence.evidence()));
        }
    }

    fn device(&mut self, findings: &Findings, seen: Option<&Seen>) {
        let router = seen.map(|seen| &seen.router);
        let known = router.and_then(|router| router.device_text());
        if let Some(device) = known.as_deref().or(findings.device()) {
            self.line("Device", device);
        }
        let Some(router) = router else { return };
        if let Some(wan) = router.wan_text() {
            self.line("WAN connection", wan);
        }
        for other in &router.others {
            self.line("Another gateway", format!("{}: {}", other.address, describe(other)));
        }
    }

    fn mapping(&mut self, findings: &Findings, seen: Option<&Seen>) {
        if findings.gateway.is_ok() {
            let known = |address: IpAddr| format!("{address} ({})", findings.address_class());
            self.line("External address", findings.external_address().map_or_else(|| "unknown".to_owned(), known));
        }
        if let Some(outside) = seen.and_then(|seen| seen.outside.as_ref()) {
            self.line("From outside", format!("{} (asked: {})", outside.text(), outside.server));
        }
        match &findings.test {
            Some(Ok(test)) => self.line("Test mapping", test_line(test, findings.family)),
            Some(Err(error)) => self.line("Test mapping", format!("{}: {}", error.kind, error.message)),
            None => self.line("Test mapping", "not tried"),
        }
        if let Some(seen) = seen.filter(|seen| seen.ports.is_empty()) {
            self.firewall(&seen.firewall, "a new UDP port");
        }
    }

    fn firewall(&mut self, verdict: &Verdict, what: &str) {
        let (colour, text) = match verdict {
            Verdict::Passes(why) => (Colour::Green, format!("lets packets for {what} in, {why}")),
            Verdict::Drops(why) => (Colour::Red, format!("drops packets for {what} ({why})")),
            Verdict::Unknown(why) => (Colour::Yellow, format!("unknown: {why}")),
        };
        let text = self.paint.colour(colour, &text);
        self.line("This firewall", text);
    }

    fn port(&mut self, port: &PortFindings) {
        let name = format!("{}/{}", port.port, port.transport);
        self.lines.push(format!("Port {name}").into());
        let listens = matches!(port.listening, Listening::Yes(_));
        let colour = if listens { Colour::Green } else { Colour::Yellow };
        let text = self.paint.colour(colour, &port.listening.text());
        self.line("Program", text);
        self.firewall(&port.firewall, &name);
        self.line("On the router", port.holder_text());
        if let Some(reach) = &port.reach {
            let colour = match reach {
                Reach::Reachable(_) => Colour::Green,
                Reach::Unreachable(_) => Colour::Red,
                Reach::Unknown(_) => Colour::Yellow,
            };
            let text = self.paint.colour(colour, reach.as_str());
            self.line("From outside", text + ": " + reach.evidence());
        }
        self.next(&port.steps());
    }
}

/// Those that are connected, or could lead to a router.
fn is_of_interest(link: &Link, network: &Network) -> bool {
    let on_route = network.routes.iter().any(|route| route.interface == link.name);
    match link.kind {
        Kind::Loopback => false,
        Kind::Containers => link.state == State::Connected && !link.addresses.is_empty(),
        Kind::Wired | Kind::WiFi | Kind::Modem | Kind::Vpn => {
            on_route || !link.addresses.is_empty() || link.state == State::NoCarrier || link.state == State::Off
        }
    }
}

fn link_text(link: &Link) -> String {
    let kind = match link.kind {
        Kind::Loopback => "loopback",
        Kind::Wired => "wired",
        Kind::WiFi => "Wi-Fi",
        Kind::Modem => "modem",
        Kind::Vpn => "VPN",
        Kind::Containers => "containers or virtual machines",
    };
    let state = match link.state {
        State::Connected => ", connected",
        State::NoCarrier => ", no carrier",
        State::Off => ", switched off",
        State::Unknown => "",
    };
    let addresses: String = link.addresses.iter().map(|address| format!(", {address}")).collect();
    let none = if link.addresses.is_empty() { ", no IPv4 address" } else { "" };
    format!("{kind}{state}{addresses}{none}")
}

fn test_line(test: &TestMapping, family: AddressFamily) -> String {
    let end = match (test.release, test.ttl) {
        (Release::Released, _) => "and removed".to_owned(),
        (Release::Unconfirmed | Release::Pending, Some(ttl)) => {
            format!(
                "but the router did not confirm that it is removed: it may stay for {}",
                span(Duration::from_secs(ttl))
            )
        }
        (Release::Unconfirmed | Release::Pending, None) => {
            let family = if family == AddressFamily::Ipv6 { " --family ipv6" } else { "" };
            let port = test.external_port;
            format!("but the router did not confirm that it is removed: portlease unmap {port}/udp{family}")
        }
    };
    let outside = external(test.external, test.external_port);
    format!("{}/udp mapped to {outside} by {} in {} ms, {end}", test.internal_port, test.protocol, test.elapsed_ms)
}

/// Whether a protocol answers, and how fast, or why not.
pub(crate) fn protocol_line(report: &ProtocolReport) -> (bool, String) {
    match &report.outcome {
        Ok(offer) => (true, format!("answers in {} ms", millis(offer.round_trip))),
        Err(error) => (false, format!("{}: {}", error.kind(), without_name(report.protocol, &error.message()))),
    }
}

/// The message without the protocol's name before it, if the name stands at the line's head already.
fn without_name(protocol: Protocol, message: &str) -> String {
    message.strip_prefix(&format!("{protocol}: ")).unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_name_is_not_said_twice() {
        assert_eq!(without_name(Protocol::NatPmp, "nat-pmp: no answer"), "no answer");
        assert_eq!(without_name(Protocol::NatPmp, "nat-pmp NOT_AUTHORIZED"), "nat-pmp NOT_AUTHORIZED");
    }
}
