//! What is still on the router when a command ends, in words and as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portlease::{AddressFamily, LeaseSnapshot, Protocol, Release};
use serde::Serialize;

use crate::event::span;

/// A mapping that stays on the router, as `--json` writes it.
#[derive(Debug, Serialize)]
pub(crate) struct JsonLeftover {
    /// `detached`, or the outcome of a release: `unconfirmed` or `pending`.
    event: &'static str,
    transport: &'static str,
    family: &'static str,
    internal_port: u16,
    /// `null` if the router does not know its address, or if it is not known what it granted.
    external: Option<String>,
    external_port: Option<u16>,
    protocol: Option<&'static str>,
    address_class: &'static str,
    /// Seconds; `null` if the mapping does not end by itself, or if it is not known what the router granted.
    expires_in: Option<u64>,
    /// Seconds since 1970.
    expires_at: Option<u64>,
}

/// A mapping that is or may be left on the router, as the lease showed it last.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// How its port is called.
    port: String,
    lease: LeaseSnapshot,
    /// When `lease` was looked at, in seconds since 1970.
    seen: u64,
}

impl Leftover {
    /// What the lease on `port` has on the router now.
    pub(crate) fn of(port: String, lease: LeaseSnapshot) -> Self {
        // A clock before 1970 is no clock.
        let seen = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { port, lease, seen }
    }

    /// The external port, if a mapping is known.
    pub(crate) fn external_port(&self) -> Option<u16> {
        self.lease.external_port()
    }

    /// Until when the mapping lives, in seconds since 1970.
    fn end(&self) -> Option<u64> {
        self.seconds_left().map(|left| self.seen + left)
    }

    fn seconds_left(&self) -> Option<u64> {
        self.lease.expires_in.map(|left| left.as_secs() + u64::from(left.subsec_nanos() > 0))
    }

    pub(crate) fn json(&self, event: &'static str) -> JsonLeftover {
        JsonLeftover {
            event,
            transport: self.lease.transport.as_str(),
            family: self.lease.family.as_str(),
            internal_port: self.lease.internal_port,
            external: self.lease.external().map(|external| external.to_string()),
            external_port: self.external_port(),
            protocol: self.lease.protocol().map(Protocol::as_str),
            address_class: self.lease.address_class.as_str(),
            expires_in: self.seconds_left(),
            expires_at: self.end(),
        }
    }

    /// What is said of a mapping that was left on purpose.
    pub(crate) fn detached(&self) -> Option<String> {
        let outside = crate::event::external(self.lease.external(), self.external_port()?);
        let until = match self.seconds_left() {
            Some(left) => format!("for {} more, {}", span(Duration::from_secs(left)), self.until()),
            None => self.until(),
        };
        Some(format!("{} stays mapped to {outside} {until}", self.port))
    }

    /// What is said if the router did not confirm the delete; `reason` is the failure that the lease ended with. `None`
    /// if nothing is left.
    pub(crate) fn warning(&self, release: Release, reason: Option<&str>) -> Option<String> {
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let what = match release {
            Release::Released => return None,
            Release::Unconfirmed => "the router did not confirm that it is released",
            Release::Pending => "left before the router confirmed that it is released",
        };
        Some(format!("{}: {what}{reason}; it may stay mapped {}", self.port, self.until()))
    }

    /// The end of the mapping in words, as far as it is known.
    fn until(&self) -> String {
        match (self.external_port(), self.end()) {
            (_, Some(end)) => format!("until {} UTC", clock_time(end)),
            (Some(port), None) => {
                let family = if self.lease.family == AddressFamily::Ipv6 { " --family ipv6" } else { "" };
                format!("until it is deleted: portlease unmap {port}/{}{family}", self.lease.transport)
            }
            // No answer of the router was seen, or the mapping was lost before.
            (None, None) => "until the lifetime that the router granted ends".to_owned(),
        }
    }
}

/// Hours, minutes and seconds of a time since 1970.
pub(crate) fn clock_time(unix: u64) -> String {
    let second = unix % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use portlease::snapshot::PublishedMapping;
    use portlease::{MapRequest, PortMapping, Transport};

    const DAY: u64 = 86_400;

    fn leftover(mapped: bool, left: Option<Duration>) -> Leftover {
        let request = MapRequest::new(4000, Transport::Udp);
        let mut lease = LeaseSnapshot::new(1, &request);
        if mapped {
            let hour = Duration::from_secs(3600);
            let mapping = PortMapping::new(request, ([192, 0, 1, 1], 4100), hour, Protocol::Pcp);
            lease.mapping = Some(Arc::new(PublishedMapping::from(&mapping)));
            lease.expires_in = left;
        }
        Leftover { port: "4000/udp".to_owned(), lease, seen: DAY + 3_600 }
    }

    #[test]
    fn a_mapping_that_was_released_is_not_warned_about() {
        assert_eq!(leftover(true, None).warning(Release::Released, None), None);
    }

    #[test]
    fn a_mapping_that_may_be_left_is_named_with_the_time_of_its_end() {
        let left = leftover(true, Some(Duration::from_millis(60_500)));
        assert_eq!(
            left.warning(Release::Unconfirmed, Some("pcp: no answer")).unwrap(),
            "4000/udp: the router did not confirm that it is released: pcp: no answer; it may stay mapped until 01:01:01 UTC"
        );
        assert_eq!(
            left.warning(Release::Pending, None).unwrap(),
            "4000/udp: left before the router confirmed that it is released; it may stay mapped until 01:01:01 UTC"
        );
    }

    #[test]
    fn a_permanent_mapping_that_may_be_left_comes_with_the_command_that_deletes_it() {
        let warning = leftover(true, None).warning(Release::Unconfirmed, None).unwrap();
        assert!(warning.ends_with("it may stay mapped until it is deleted: portlease unmap 4100/udp"), "{warning}");
    }

    #[test]
    fn a_pinhole_is_left_with_its_address_in_brackets_and_the_command_that_closes_it() {
        let request = MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6);
        let address: std::net::SocketAddr = "[2001:db8::5]:4000".parse().unwrap();
        let mapping = PortMapping::new(request.clone(), address, Duration::from_secs(60), Protocol::Pcp);
        let mut lease = LeaseSnapshot::new(1, &request);
        lease.mapping = Some(Arc::new(PublishedMapping::from(&mapping)));
        let left = Leftover { port: "4000/udp (ipv6)".to_owned(), lease, seen: DAY };
        let said = left.detached().unwrap();
        assert!(said.starts_with("4000/udp (ipv6) stays mapped to [2001:db8::5]:4000 until it is deleted"), "{said}");
        assert!(said.ends_with("portlease unmap 4000/udp --family ipv6"), "{said}");
        let json = serde_json::to_value(left.json("detached")).unwrap();
        assert_eq!((&json["family"], &json["external"]), (&"ipv6".into(), &"[2001:db8::5]:4000".into()));
    }

    #[test]
    fn of_a_request_that_was_never_answered_no_time_is_claimed() {
        let warning = leftover(false, None).warning(Release::Unconfirmed, None).unwrap();
        assert!(warning.ends_with("until the lifetime that the router granted ends"), "{warning}");
    }

    #[test]
    fn a_detached_mapping_is_told_with_its_time() {
        assert_eq!(
            leftover(true, Some(Duration::from_secs(7200))).detached().unwrap(),
            "4000/udp stays mapped to 192.0.1.1:4100 for 2 h more, until 03:00:00 UTC"
        );
    }

    #[test]
    fn programs_get_the_end_as_a_time() {
        let json = serde_json::to_value(leftover(true, Some(Duration::from_secs(60))).json("unconfirmed")).unwrap();
        assert_eq!(json["event"], "unconfirmed");
        assert_eq!((json["expires_in"].as_u64(), json["expires_at"].as_u64()), (Some(60), Some(DAY + 3_660)));
        assert_eq!((&json["external_port"], &json["family"]), (&4100.into(), &"ipv4".into()));
    }
}
