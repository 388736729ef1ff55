//! What the error codes of WANIPv6FirewallControl:1 (table 2-9) are called, and what they mean for users.

use crate::advice::{FIREWALL_DISABLED_NAME, PINHOLE_NOT_ALLOWED_NAME};
use crate::client::upnp::description::Service;
use crate::client::upnp::soap::{BY_UPNP, CallError, NOT_AUTHORIZED, code_name};
use crate::error::PortMappingError;

pub(super) const FIREWALL_DISABLED: u16 = 702;
pub(super) const NOT_ALLOWED: u16 = 703;
pub(super) const NO_SUCH_PINHOLE: u16 = 704;
pub(super) const NO_PACKET_SENT: u16 = 709;
/// The router does not have the action (UDA 1.1 table 3-3).
pub(super) const NO_SUCH_ACTION: [u16; 2] = [401, 602];

/// Ports below this are the system's, and many routers open none of them.
const FIRST_USER_PORT: u16 = 1024;

pub(super) fn name(code: u16) -> Option<&'static str> {
    Some(match code {
        701 => "PinholeSpaceExhausted",
        FIREWALL_DISABLED => FIREWALL_DISABLED_NAME,
        NOT_ALLOWED => PINHOLE_NOT_ALLOWED_NAME,
        NO_SUCH_PINHOLE => "NoSuchEntry",
        705 => "ProtocolNotSupported",
        706 => "InternalPortWildcardingNotAllowed",
        707 => "ProtocolWildcardingNotAllowed",
        708 => "WildCardNotPermittedInSrcIP",
        NO_PACKET_SENT => "NoPacketSent",
        code => return code_name(code),
    })
}

pub(super) const SWITCHED_OFF: &str =
    "the router's IPv6 firewall is switched off, so no port is closed and none can be opened";
pub(super) const MUST_PERMIT: &str = "the router's settings must permit programs to open IPv6 ports";

fn meaning(code: u16, port: u16) -> Option<&'static str> {
    match code {
        NOT_AUTHORIZED if port < FIRST_USER_PORT => {
            Some("the router's settings must permit this device to open ports, and many routers open none below 1024")
        }
        NOT_AUTHORIZED => Some("the router's settings must permit this device to open ports"),
        FIREWALL_DISABLED => Some(SWITCHED_OFF),
        NOT_ALLOWED => Some(MUST_PERMIT),
        _ => None,
    }
}

/// The error that users see.
pub(super) fn explain(error: CallError, action: &str, service: &Service, port: u16) -> PortMappingError {
    let by = |code: Option<u16>| code.map_or(BY_UPNP, |code| BY_UPNP.code(code).name(name(code)));
    match error {
        CallError::Fault(fault) => {
            let text = fault.by_name(name);
            let meaning = fault.code.and_then(|code| meaning(code, port));
            by(fault.code).refused(meaning.map_or_else(|| text.clone(), |meaning| format!("{text}: {meaning}")))
        }
        CallError::LostBy(fault, why) => by(fault.code).refused_and_lost(format!("{}: {why}", fault.by_name(name))),
        error => error.explain(action, service),
    }
}
