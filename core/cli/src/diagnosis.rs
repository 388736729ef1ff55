//! What `doctor` concludes from what it saw: a picture of the path, a verdict and what to do next.

use std::net::{IpAddr, SocketAddr};

use portlease::{
    AddressClass, AddressFamily, ErrorKind, ErrorReport, GatewayReport, Obstacle, PortMappingError, Protocol, Release,
};

use crate::advice::{Cause, Doing};
use crate::diagnosis_ipv6::Ipv6;
use crate::network::Network;
use crate::presence::Presence;
use crate::text::{Colour, Paint, Shown};

/// A port that was mapped to see whether it can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TestMapping {
    pub(crate) internal_port: u16,
    /// `None` if the router does not know its address.
    pub(crate) external: Option<SocketAddr>,
    pub(crate) external_port: u16,
    pub(crate) protocol: Protocol,
    /// Seconds; `None` for one without an end.
    pub(crate) ttl: Option<u64>,
    pub(crate) elapsed_ms: f64,
    /// Whether the mapping is off the router again.
    pub(crate) release: Release,
}

/// What is known of the path beside what the router says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) network: Network,
    /// Whether the router is there; `None` if it has answered, or if there is none.
    pub(crate) presence: Option<Presence>,
}

/// Everything that was seen of one family.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) family: AddressFamily,
    /// The way to the router and what each protocol answered, or why there is none to ask.
    pub(crate) gateway: Result<GatewayReport, PortMappingError>,
    /// `None` if it was not tried.
    pub(crate) test: Option<Result<TestMapping, ErrorReport>>,
    pub(crate) place: Place,
}

impl Findings {
    /// Whether a port could be mapped; if that was not tried, whether the router answers by some protocol.
    pub(crate) fn mappable(&self) -> bool {
        match &self.test {
            Some(test) => test.is_ok(),
            None => self.answers(),
        }
    }

    /// Whether the router answers by some protocol.
    pub(crate) fn answers(&self) -> bool {
        self.gateway.as_ref().is_ok_and(|report| report.protocols.iter().any(|protocol| protocol.outcome.is_ok()))
    }

    /// The external address, from the mapping that was made or else from what the protocols said. Of IPv6 it is this machine's own.
    pub(crate) fn external_address(&self) -> Option<IpAddr> {
        let of_mapping = self.test.as_ref().and_then(|test| test.as_ref().ok()?.external);
        if self.family == AddressFamily::Ipv6 {
            let own = self.gateway.as_ref().ok()?.local_address;
            return of_mapping.map(|external| external.ip()).or(own);
        }
        let offers = self.gateway.iter().flat_map(|report| &report.protocols);
        of_mapping
            .map(|external| external.ip())
            .or_else(|| offers.filter_map(|report| report.outcome.as_ref().ok()?.external_address).next())
    }

    pub(crate) fn address_class(&self) -> AddressClass {
        self.external_address().map_or(AddressClass::Unknown, AddressClass::of)
    }

    /// Whether the protocols that can tell an external address (PCP cannot without mapping) all say that the router
    /// has none.
    fn no_external_address(&self) -> bool {
        let offers = self.gateway.iter().flat_map(|report| &report.protocols);
        let mut told = offers
            .filter(|report| report.protocol != Protocol::Pcp)
            .filter_map(|report| report.outcome.as_ref().ok())
            .map(|offer| offer.external_address)
            .peekable();
        told.peek().is_some() && told.all(|address| address.is_none())
    }

    /// The device's name, if it tells one.
    pub(crate) fn device(&self) -> Option<&str> {
        let offers = self.gateway.iter().flat_map(|report| &report.protocols);
        offers.filter_map(|report| report.outcome.as_ref().ok()?.device.as_deref()).find(|name| !name.is_empty())
    }

    /// The router's address; a link-local one with its interface.
    pub(crate) fn router(&self) -> Option<String> {
        Some(self.gateway.as_ref().ok()?.gateway?.to_string())
    }

    /// The conclusion in plain words.
    pub(crate) fn verdict(&self) -> String {
        match (&self.gateway, &self.test) {
            _ if self.family == AddressFamily::Ipv6 => Ipv6(self).verdict(),
            (Err(error), _) => {
                let what = self.cause().and_then(|cause| cause.what()).unwrap_or_else(|| error.message());
                format!("There is no router to ask: {what}.")
            }
            (Ok(_), Some(Ok(test))) if test.protocol == Protocol::None => {
                "This machine has a public address of its own: no mapping is needed.".to_owned()
            }
            (Ok(_), Some(Ok(test))) => {
                let removed = match test.release {
                    Release::Released => "and removed again",
                    Release::Unconfirmed | Release::Pending => "(the router did not confirm that it is removed again)",
                };
                let done = format!("A port was mapped by {} {removed}", test.protocol);
                match AddressClass::unreachable(self.external_address()) {
                    None => format!("{done}: ports on this machine can be made reachable."),
                    Some(reason) => format!("{done}, but {reason}."),
                }
            }
            (Ok(_), Some(Err(_))) if self.no_external_address() => {
                "The router answers, but has no public address of its own, so it maps no port: its line is down, or a \
                 provider's NAT or another router stands before it."
                    .to_owned()
            }
            (Ok(_), Some(Err(error))) if self.answers() && error.kind == ErrorKind::Refused => {
                "The router answers, but refuses to map a port.".to_owned()
            }
            (Ok(_), Some(Err(_))) if self.answers() => "The router answers, but no port could be mapped.".to_owned(),
            (Ok(_), Some(Err(error))) if error.kind == ErrorKind::Refused => {
                "The router refuses to map ports.".to_owned()
            }
            (Ok(_), None) if self.answers() => {
                "The router answers; whether it maps a port was not tried (--no-map).".to_owned()
            }
            (Ok(_), _) => self.silence(),
        }
    }

    /// The verdict about a router that answers by no protocol.
    fn silence(&self) -> String {
        match (self.cause(), &self.place.presence) {
            (Some(Cause::Gap(gap)), _) => format!("The router cannot be reached: {}.", gap.what()),
            (Some(Cause::RouterGone(why)), _) => format!("The router is not there: {why}."),
            (_, Some(Presence::There(how))) => {
                format!("The router is there ({how}), but answers by none of the protocols, so no port can be mapped.")
            }
            (_, Some(Presence::Unknown(how) | Presence::Gone(how))) => {
                format!(
                    "The router answers by none of the protocols, so no port can be mapped. Whether it is there is unknown: {how}."
                )
            }
            (_, None) => "The router answers by none of the protocols, so no port can be mapped.".to_owned(),
        }
    }

    /// What stands in the way, with what this machine's own tables say about it.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let interface = self.gateway.as_ref().ok().and_then(|report| report.interface.as_deref());
        let gone = self.place.presence.as_ref().and_then(Presence::gone);
        Some(Cause::of(self.obstacle()?, &self.place.network, interface, gone))
    }

    /// What stands in the way; nothing if a port was mapped that the internet can reach, or if that was not tried. Of IPv4.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        match (&self.gateway, &self.test) {
            (Err(error), _) => error.obstacle(),
            (Ok(_), Some(Ok(_))) => Obstacle::of_class(self.address_class()),
            (Ok(_), Some(Err(_))) if self.no_external_address() => Some(Obstacle::NoExternalAddress),
            (Ok(_), Some(Err(error))) => error.obstacle(),
            (Ok(report), None) => report.require_offer().err()?.obstacle(),
        }
    }

    /// What to do now, most useful first.
    pub(crate) fn next_steps(&self) -> Vec<String> {
        if self.family == AddressFamily::Ipv6 {
            return Ipv6(self).next_steps();
        }
        let cause = self.cause();
        let mut steps = cause.as_ref().map_or_else(Vec::new, |cause| cause.steps(Doing::Map));
        let local = matches!(cause, Some(Cause::Gap(_) | Cause::RouterGone(_)));
        match (&self.test, cause) {
            (Some(Ok(_)), None) => steps.push("portlease map 4000/udp (with the port of your program)".to_owned()),
            (None, None) => steps.push("portlease doctor, without --no-map".to_owned()),
            (Some(Err(_)), Some(Cause::Obstacle(Obstacle::NoExternalAddress))) => {}
            (Some(Err(_)) | None, _) if self.gateway.is_ok() && !local => {
                steps.push("or forward the port by hand in the router's settings".to_owned());
            }
            (Some(Ok(_) | Err(_)) | None, _) => {}
        }
        steps
    }

    /// The path from the app to the internet: what stands where, and where it is cut.
    pub(crate) fn picture(&self, paint: Paint) -> [Shown; 2] {
        let report = self.gateway.as_ref().ok();
        let text = |address: Option<IpAddr>| address.map_or_else(|| "?".to_owned(), |address| address.to_string());
        let app = ("app", text(report.and_then(|report| report.local_address)));
        if self.family == AddressFamily::Ipv6 {
            return Ipv6(self).picture(app, paint);
        }
        if matches!(&self.test, Some(Ok(test)) if test.protocol == Protocol::None) {
            return draw(&[app, ("internet", "no router between".to_owned())], &[Link::Whole], paint);
        }
        let router = ("router", self.router().unwrap_or_else(|| "?".to_owned()));
        let external = self.external_address();
        let there = matches!(self.place.presence, Some(Presence::There(_)));
        let answered = report.is_some() && (self.answers() || self.mappable() || there);
        let class = self.address_class();
        match class {
            AddressClass::Cgnat | AddressClass::Private => {
                let name = if class == AddressClass::Cgnat { "provider's NAT" } else { "another router" };
                let between = (name, format!("gave {}", text(external)));
                draw(
                    &[app, router, between, ("internet", String::new())],
                    &links(&[answered, self.mappable(), false]),
                    paint,
                )
            }
            AddressClass::Public | AddressClass::Reserved | AddressClass::Unknown => {
                let reached = self.mappable() && class == AddressClass::Public;
                let seen = external.map(|address| format!("sees {address}")).unwrap_or_default();
                draw(&[app, router, ("internet", seen)], &links(&[answered, reached]), paint)
            }
        }
    }
}

/// A line between two boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Whole,
    Cut,
    /// Nobody can tell.
    Unknown,
}

impl Link {
    pub(crate) const fn of(whole: bool) -> Self {
        if whole { Self::Whole } else { Self::Cut }
    }
}

fn links(whole: &[bool]) -> Vec<Link> {
    whole.iter().copied().map(Link::of).collect()
}

/// Boxes in a row, addresses below them, whole or cut lines between them.
pub(crate) fn draw(stations: &[(&str, String)], links: &[Link], paint: Paint) -> [Shown; 2] {
    let (mut top, mut bottom) = (Shown::from("  "), Shown::from("  "));
    for (place, (name, detail)) in stations.iter().enumerate() {
        let width = (name.len() + 4).max(detail.len());
        let link = links.get(place).map(|link| match link {
            Link::Whole => paint.colour(Colour::Green, " ------> "),
            Link::Cut => paint.colour(Colour::Red, " --X     "),
            Link::Unknown => paint.colour(Colour::Yellow, " --?     "),
        });
        top = top + format!("{:^width$}", format!("[ {name} ]")) + link.unwrap_or_default();
        bottom = bottom + format!("{detail:^width$}{}", " ".repeat(9));
    }
    [top.trim_end(), bottom.trim_end()]
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
