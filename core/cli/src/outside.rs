//! Where ports can be reached from outside, as environment variables for the programs that `map` starts.

use portlease::{AddressFamily, LeaseSnapshot};
use tokio::process::Command;

/// The variable of every port, and its value while the port is mapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outside(Vec<(String, Option<String>)>);

impl Outside {
    pub(crate) fn of<'l>(leases: impl IntoIterator<Item = &'l LeaseSnapshot>) -> Self {
        Self(leases.into_iter().map(|lease| (name(lease), value(lease))).collect())
    }

    /// Whether no port is mapped.
    pub(crate) fn is_nowhere(&self) -> bool {
        self.0.iter().all(|(_, value)| value.is_none())
    }

    /// Tells a program. A variable that this program was given for a port that is not mapped is not handed on, and neither
    /// is the service manager's socket: only this program speaks to it.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env_remove("NOTIFY_SOCKET");
        for (name, value) in &self.0 {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

/// `PORTLEASE_4000_UDP`, or for a pinhole `PORTLEASE_4000_UDP_IPV6`.
fn name(lease: &LeaseSnapshot) -> String {
    let family = match lease.family {
        AddressFamily::Ipv4 => "",
        AddressFamily::Ipv6 => "_IPV6",
    };
    format!("PORTLEASE_{}_{}{family}", lease.internal_port, lease.transport.as_str().to_uppercase())
}

/// `192.0.2.7:4000`; `:4000` if the router does not know its address.
fn value(lease: &LeaseSnapshot) -> Option<String> {
    let port = lease.external_port()?;
    Some(lease.external().map_or_else(|| format!(":{port}"), |external| external.to_string()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use portlease::snapshot::PublishedMapping;
    use portlease::{MapRequest, PortMapping, Protocol, Transport};

    fn lease(transport: Transport, external: Option<&str>) -> LeaseSnapshot {
        let request = MapRequest::new(4000, transport);
        let mut lease = LeaseSnapshot::new(1, &request);
        if let Some(external) = external.map(|text| text.parse::<SocketAddr>().unwrap()) {
            let mut mapping = PortMapping::new(request, external, Duration::from_secs(60), Protocol::Pcp);
            mapping.request.family = if external.is_ipv6() { AddressFamily::Ipv6 } else { AddressFamily::Ipv4 };
            lease.family = mapping.request.family;
            lease.mapping = Some(Arc::new(PublishedMapping::from(&mapping)));
        }
        lease
    }

    #[test]
    fn each_mapped_port_has_a_variable_with_its_external_address() {
        let leases = [
            lease(Transport::Udp, Some("192.0.1.1:4100")),
            lease(Transport::Tcp, None),
            lease(Transport::Udp, Some("[2600::5]:4000")),
        ];
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(
            Outside::of(&leases).0,
            [
                ("PORTLEASE_4000_UDP".to_owned(), text("192.0.1.1:4100")),
                ("PORTLEASE_4000_TCP".to_owned(), None),
                ("PORTLEASE_4000_UDP_IPV6".to_owned(), text("[2600::5]:4000")),
            ]
        );
        assert!(Outside::of(&leases[1..2]).is_nowhere() && !Outside::of(&leases).is_nowhere());
    }
}
