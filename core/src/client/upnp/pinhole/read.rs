//! What the answers of WANIPv6FirewallControl:1 say. Pure: output arguments in, values out.

use super::action::FirewallStatus;
use crate::client::upnp::http::shown;
use crate::client::upnp::soap::{Answer, CallError};

/// What the answer leaves out counts as the usual: a firewall that may be opened.
pub(super) fn status(answer: &Answer) -> FirewallStatus {
    let is_off = |name| answer.argument(name).is_some_and(is_no);
    FirewallStatus { enabled: !is_off("FirewallEnabled"), pinholes_allowed: !is_off("InboundPinholeAllowed") }
}

/// The number by which the router knows the pinhole.
pub(super) fn number(answer: &Answer) -> Result<u16, CallError> {
    let told = answer.argument("UniqueID").unwrap_or_default();
    told.parse().map_err(|_| CallError::Nonsense(format!("its number of the pinhole is `{}`", shown(told))))
}

pub(super) fn is_working(answer: &Answer) -> bool {
    !answer.argument("IsWorking").is_some_and(is_no)
}

/// `None`: the answer does not tell.
pub(super) fn packets(answer: &Answer) -> Option<u32> {
    answer.argument("PinholePackets").and_then(|told| told.parse().ok())
}

/// Whether a boolean is false in any of the spellings of UDA 1.1 2.3.
fn is_no(text: &str) -> bool {
    ["0", "false", "no"].iter().any(|no| text.eq_ignore_ascii_case(no))
}

#[cfg(any(test, fuzzing))]
pub(crate) use for_fuzzing::{everything, refusal};

/// For the fuzz targets, which know neither answers nor errors of UPnP.
#[cfg(any(test, fuzzing))]
mod for_fuzzing {
    use std::collections::HashMap;
    use std::net::Ipv6Addr;

    use super::{Answer, CallError, is_working, number, packets, status};
    use crate::client::upnp::description::Service;
    use crate::client::upnp::pinhole::words::explain;
    use crate::client::upnp::soap::Fault;
    use crate::error::PortMappingError;

    fn told(error: CallError) -> PortMappingError {
        let service = Service {
            service_type: "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1".to_owned(),
            control_url: "http://[fe80::1]/ctl".parse().expect("a URL"),
        };
        explain(error, "AddPinhole", &service, 4000)
    }

    /// What a user is told of a fault.
    pub(crate) fn refusal(fault: Fault) -> PortMappingError {
        told(CallError::Fault(fault))
    }

    /// Reads these output arguments as the answer to each action. The error is that of a number that makes no sense.
    pub(crate) fn everything(arguments: HashMap<String, String>) -> Option<PortMappingError> {
        let answer = Answer { arguments, local: Ipv6Addr::LOCALHOST.into() };
        let _ = (status(&answer), is_working(&answer), packets(&answer));
        number(&answer).err().map(told)
    }
}
