//! The state of a lease as one line on a terminal.

use portlease::{LeaseSnapshot, LeaseState};

use crate::event::{external, span};
use crate::text::{Colour, Paint, Shown};

/// `4000/udp  192.0.1.1:4000  pcp  renewal in 29 min 58 s`, or why there is no mapping. `port` is how the lease's port is called.
pub(crate) fn line(port: &str, lease: &LeaseSnapshot, paint: Paint) -> Shown {
    let port = Shown::from(port) + "  ";
    let Some(mapping) = &lease.mapping else { return port + waiting(lease, paint) };
    let address = paint.colour(Colour::Green, &external(mapping.external, mapping.external_port));
    let next = match (lease.state, lease.failures, lease.renews_in) {
        (LeaseState::Renewing, ..) => "renewing".into(),
        (_, 0, Some(wait)) => format!("renewal in {}", span(wait)).into(),
        (_, failures, Some(wait)) => {
            let tries = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
            paint.colour(Colour::Yellow, &format!("renewal failed {tries}, again in {}", span(wait)))
        }
        _ => Shown::default(),
    };
    port + address + format!("  {}  ", mapping.protocol) + next
}

/// How many ports a summary names.
const NAMED: usize = 4;

/// `4000/udp at 192.0.1.1:4000, 4001/udp not mapped`, without what changes each second. Each lease with how its port is called.
pub(crate) fn summary(leases: impl ExactSizeIterator<Item = (String, LeaseSnapshot)>) -> String {
    let more = leases.len().saturating_sub(NAMED);
    let text = |(port, lease): (String, LeaseSnapshot)| match &lease.mapping {
        Some(mapping) => format!("{port} at {}", external(mapping.external, mapping.external_port)),
        None => format!("{port} not mapped"),
    };
    let named = leases.take(NAMED).map(text).collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn waiting(lease: &LeaseSnapshot, paint: Paint) -> Shown {
    match (lease.state, &lease.last_error) {
        (LeaseState::Exited, _) => "released".into(),
        (LeaseState::Idle | LeaseState::Revoked, Some(error)) => {
            paint.colour(Colour::Red, &format!("not mapped ({}), trying again soon", error.kind))
        }
        _ => "asking the router".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use portlease::snapshot::PublishedMapping;
    use portlease::{ErrorKind, ErrorReport, MapRequest, PortMapping, Protocol, Transport};

    fn request() -> MapRequest {
        MapRequest::new(4000, Transport::Udp)
    }

    fn asking() -> LeaseSnapshot {
        let mut lease = LeaseSnapshot::new(1, &request());
        lease.state = LeaseState::Probing;
        lease
    }

    fn mapped() -> LeaseSnapshot {
        let hour = Duration::from_secs(3600);
        let mapping = PortMapping::new(request(), ([192, 0, 1, 1], 4100), hour, Protocol::Pcp);
        let mut lease = LeaseSnapshot::new(1, &request());
        lease.state = LeaseState::Installed;
        lease.active = true;
        lease.mapping = Some(Arc::new(PublishedMapping::from(&mapping)));
        lease.renews_in = Some(Duration::from_secs(1798));
        lease
    }

    fn line(lease: &LeaseSnapshot) -> String {
        super::line("4000/udp", lease, Paint::none()).as_str().to_owned()
    }

    #[test]
    fn a_mapped_port_shows_its_external_address_its_protocol_and_the_time_to_renewal() {
        assert_eq!(line(&mapped()), "4000/udp  192.0.1.1:4100  pcp  renewal in 29 min 58 s");
    }

    #[test]
    fn a_failed_renewal_shows() {
        let mut twice = mapped();
        twice.failures = 2;
        assert!(line(&twice).ends_with("renewal failed 2 times, again in 29 min 58 s"));
        let mut renewing = mapped();
        renewing.state = LeaseState::Renewing;
        assert!(line(&renewing).ends_with("pcp  renewing"));
    }

    #[test]
    fn a_summary_names_four_ports() {
        let leases =
            |count| (0..count).map(|number| (format!("{number}/udp"), if number == 0 { mapped() } else { asking() }));
        assert_eq!(summary(leases(2).collect::<Vec<_>>().into_iter()), "0/udp at 192.0.1.1:4100, 1/udp not mapped");
        assert!(summary(leases(4)).ends_with("3/udp not mapped"));
        assert!(summary(leases(6)).ends_with("3/udp not mapped and 2 more"));
    }

    #[test]
    fn a_port_that_is_not_mapped_says_why() {
        assert_eq!(line(&asking()), "4000/udp  asking the router");
        let mut refused = LeaseSnapshot::new(1, &request());
        refused.last_error = Some(Arc::new(ErrorReport::new(ErrorKind::Refused, "no")));
        assert_eq!(line(&refused), "4000/udp  not mapped (refused), trying again soon");
    }
}
