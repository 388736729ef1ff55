//! What a failure is called in either library.

use std::ffi::c_int;

use portlease::{ErrorKind, Obstacle, PortMappingError, Protocol};

/// Error codes of UPnP (UDA 2.0 3.1.4; WANIPConnection:2 2.5).
pub(crate) mod upnp {
    use std::ffi::c_int;

    /// UPNPCOMMAND_SUCCESS of miniupnpc/upnpcommands.h.
    pub(crate) const SUCCESS: c_int = 0;
    /// UPNPCOMMAND_UNKNOWN_ERROR.
    pub(crate) const UNKNOWN_ERROR: c_int = -1;
    /// UPNPCOMMAND_INVALID_ARGS.
    pub(crate) const INVALID_ARGS: c_int = -2;
    /// UPNPCOMMAND_HTTP_ERROR.
    pub(crate) const HTTP_ERROR: c_int = -3;
    /// The router has no such action, which is what a program is told of those that are not imitated.
    pub(crate) const INVALID_ACTION: c_int = 401;
    pub(crate) const ACTION_FAILED: c_int = 501;
    pub(crate) const NOT_AUTHORIZED: c_int = 606;
    pub(crate) const INVALID_INDEX: c_int = 713;
    pub(crate) const NO_SUCH_ENTRY: c_int = 714;
    pub(crate) const CONFLICT: c_int = 718;
    pub(crate) const REMOTE_HOST_ONLY_WILDCARD: c_int = 726;
    pub(crate) const NO_PORT_MAPS_AVAILABLE: c_int = 728;
    pub(crate) const PORT_MAPPING_NOT_FOUND: c_int = 730;
}

/// Error codes of natpmp.h.
pub(crate) mod natpmp {
    use std::ffi::c_int;

    pub(crate) const INVALID_ARGS: c_int = -1;
    pub(crate) const SOCKET_ERROR: c_int = -2;
    pub(crate) const CANNOT_GET_GATEWAY: c_int = -3;
    pub(crate) const CLOSE_ERROR: c_int = -4;
    pub(crate) const NO_PENDING_REQUEST: c_int = -6;
    pub(crate) const NO_GATEWAY_SUPPORT: c_int = -7;
    pub(crate) const UNSUPPORTED_VERSION: c_int = -14;
    pub(crate) const UNDEFINED_ERROR: c_int = -49;
    pub(crate) const NOT_AUTHORIZED: c_int = -51;
    pub(crate) const NETWORK_FAILURE: c_int = -52;
    pub(crate) const OUT_OF_RESOURCES: c_int = -53;
    pub(crate) const TRY_AGAIN: c_int = -100;
}

/// The code that miniupnpc would answer with: the router's own where it has answered by UPnP, and else the one that means the
/// same.
pub(crate) fn of_upnp(error: &PortMappingError) -> c_int {
    let told = |detail: &portlease::ErrorDetail| detail.code.filter(|_| detail.protocol == Protocol::Upnp);
    if let Some(code) = error.details().iter().find_map(told).and_then(|code| c_int::try_from(code).ok()) {
        return code;
    }
    match (error.kind(), error.obstacle()) {
        (ErrorKind::Invalid, _) => upnp::INVALID_ARGS,
        (ErrorKind::Internal, _) => upnp::UNKNOWN_ERROR,
        (_, Some(Obstacle::PortTaken)) => upnp::CONFLICT,
        (_, Some(Obstacle::NotAuthorized)) => upnp::NOT_AUTHORIZED,
        (_, Some(Obstacle::TableFull)) => upnp::NO_PORT_MAPS_AVAILABLE,
        (ErrorKind::Refused, _) => upnp::ACTION_FAILED,
        (ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Transport | ErrorKind::Stopped, _) => {
            upnp::HTTP_ERROR
        }
    }
}

/// The code that libnatpmp would answer with.
pub(crate) fn of_natpmp(error: &PortMappingError) -> c_int {
    match (error.kind(), error.obstacle()) {
        (ErrorKind::Invalid, _) => natpmp::INVALID_ARGS,
        (ErrorKind::Internal, _) => natpmp::UNDEFINED_ERROR,
        (_, Some(Obstacle::NotAuthorized)) => natpmp::NOT_AUTHORIZED,
        (_, Some(Obstacle::NoExternalAddress | Obstacle::RouterFailed)) => natpmp::NETWORK_FAILURE,
        (_, Some(Obstacle::TableFull | Obstacle::PortTaken)) => natpmp::OUT_OF_RESOURCES,
        (_, Some(Obstacle::Unsupported)) => natpmp::UNSUPPORTED_VERSION,
        (ErrorKind::Refused, _) => natpmp::UNDEFINED_ERROR,
        (ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Transport | ErrorKind::Stopped, _) => {
            natpmp::NO_GATEWAY_SUPPORT
        }
    }
}

#[cfg(test)]
mod tests {
    use portlease::ErrorDetail;

    use super::*;

    fn refused(protocol: Protocol, code: u32) -> PortMappingError {
        PortMappingError::refused("no").with_details([ErrorDetail::new(protocol, ErrorKind::Refused, "no").code(code)])
    }

    #[test]
    fn a_code_of_the_routers_upnp_is_passed_on_as_it_is() {
        for code in [402, 501, 606, 718, 725] {
            assert_eq!(of_upnp(&refused(Protocol::Upnp, code)), c_int::try_from(code).unwrap_or_default());
        }
    }

    #[test]
    fn a_refusal_by_another_protocol_gets_the_code_that_means_the_same() {
        for (protocol, code, upnp, natpmp) in [
            (Protocol::Pcp, 2, upnp::NOT_AUTHORIZED, natpmp::NOT_AUTHORIZED),
            (Protocol::Pcp, 8, upnp::NO_PORT_MAPS_AVAILABLE, natpmp::OUT_OF_RESOURCES),
            (Protocol::Pcp, 11, upnp::CONFLICT, natpmp::OUT_OF_RESOURCES),
            (Protocol::NatPmp, 3, upnp::ACTION_FAILED, natpmp::NETWORK_FAILURE),
            (Protocol::NatPmp, 4, upnp::NO_PORT_MAPS_AVAILABLE, natpmp::OUT_OF_RESOURCES),
        ] {
            let error = refused(protocol, code);
            assert_eq!((of_upnp(&error), of_natpmp(&error)), (upnp, natpmp), "{protocol} {code}");
        }
    }

    #[test]
    fn a_router_that_is_silent_is_no_gateway_with_the_protocol() {
        for error in [PortMappingError::unavailable("silence"), PortMappingError::timeout("silence")] {
            assert_eq!((of_upnp(&error), of_natpmp(&error)), (upnp::HTTP_ERROR, natpmp::NO_GATEWAY_SUPPORT));
        }
    }
}
