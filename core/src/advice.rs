//! What people can do about a failure: the one place that knows.

use crate::error::{ErrorDetail, ErrorKind};

/// One sentence about what to do after a failure of this kind, with what each protocol has answered.
pub(crate) fn advice(kind: ErrorKind, details: &[ErrorDetail]) -> Option<String> {
    let _ = details;
    let advice = match kind {
        ErrorKind::Unavailable => "switch on UPnP, NAT-PMP or PCP in the router's settings",
        ErrorKind::Timeout => "try again",
        ErrorKind::Transport => "check the network connection and the addresses given",
        ErrorKind::Refused => {
            "allow port mapping for this machine in the router's settings, or ask for another external port"
        }
        ErrorKind::Invalid | ErrorKind::Stopped => return None,
        ErrorKind::Internal => "this is a defect in portlease: please report it",
    };
    Some(advice.to_owned())
}
