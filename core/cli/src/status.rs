//! The state of a lease as one line on a terminal.

use portlease::{LeaseSnapshot, LeaseState};

use crate::event::{external, span};
use crate::output::{Colour, Paint};

/// `4000/udp  192.0.1.1:4000  pcp  renewal in 29 min 58 s`, or why there is no mapping.
pub(crate) fn line(lease: &LeaseSnapshot, paint: Paint) -> String {
    let port = format!("{}/{}", lease.internal_port, lease.transport);
    let Some(mapping) = &lease.mapping else { return format!("{port}  {}", waiting(lease, paint)) };
    let address = paint.colour(Colour::Green, &external(mapping.external));
    let next = match (lease.state, lease.failures, lease.renews_in) {
        (LeaseState::Renewing, ..) => "renewing".to_owned(),
        (_, 0, Some(wait)) => format!("renewal in {}", span(wait)),
        (_, failures, Some(wait)) => {
            let tries = if failures == 1 { "once".to_owned() } else { format!("{failures} times") };
            paint.colour(Colour::Yellow, &format!("renewal failed {tries}, again in {}", span(wait)))
        }
        _ => String::new(),
    };
    format!("{port}  {address}  {}  {next}", mapping.protocol)
}

fn waiting(lease: &LeaseSnapshot, paint: Paint) -> String {
    match (lease.state, &lease.last_error) {
        (LeaseState::Exited, _) => "released".to_owned(),
        (LeaseState::Idle | LeaseState::Revoked, Some(error)) => {
            paint.colour(Colour::Red, &format!("not mapped ({}), trying again soon", error.kind))
        }
        _ => "asking the router".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use portlease::snapshot::PublishedMapping;
    use portlease::{AddressClass, ErrorKind, ErrorReport, NatClass, Protocol, Transport};

    fn idle() -> LeaseSnapshot {
        LeaseSnapshot {
            id: 1,
            revision: 1,
            state: LeaseState::Probing,
            active: false,
            mapping: None,
            internal_port: 4000,
            transport: Transport::Udp,
            lifetime: None,
            expires_in: None,
            renews_in: None,
            permanent: false,
            renewals: 0,
            failures: 0,
            last_error: None,
            nat_class: NatClass::Unknown,
            address_class: AddressClass::Unknown,
        }
    }

    fn mapped() -> LeaseSnapshot {
        let mapping = PublishedMapping {
            external: ([192, 0, 1, 1], 4100).into(),
            protocol: Protocol::Pcp,
            address_class: AddressClass::Public,
        };
        LeaseSnapshot {
            state: LeaseState::Installed,
            active: true,
            mapping: Some(Arc::new(mapping)),
            renews_in: Some(Duration::from_secs(1798)),
            ..idle()
        }
    }

    fn line(lease: &LeaseSnapshot) -> String {
        super::line(lease, Paint::none())
    }

    #[test]
    fn a_mapped_port_shows_its_external_address_its_protocol_and_the_time_to_renewal() {
        assert_eq!(line(&mapped()), "4000/udp  192.0.1.1:4100  pcp  renewal in 29 min 58 s");
    }

    #[test]
    fn a_failed_renewal_shows() {
        let twice = LeaseSnapshot { failures: 2, ..mapped() };
        assert!(line(&twice).ends_with("renewal failed 2 times, again in 29 min 58 s"));
        let renewing = LeaseSnapshot { state: LeaseState::Renewing, ..mapped() };
        assert!(line(&renewing).ends_with("pcp  renewing"));
    }

    #[test]
    fn a_port_that_is_not_mapped_says_why() {
        assert_eq!(line(&idle()), "4000/udp  asking the router");
        let error = ErrorReport { kind: ErrorKind::Refused, message: "no".into() };
        let refused = LeaseSnapshot { state: LeaseState::Idle, last_error: Some(Arc::new(error)), ..idle() };
        assert_eq!(line(&refused), "4000/udp  not mapped (refused), trying again soon");
    }
}
