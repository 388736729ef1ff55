//! Requests and answers of NAT-PMP as the log shows them.

use std::fmt::{self, Display};
use std::net::Ipv4Addr;

use super::{
    ANSWER_LENGTH, NETWORK_FAILURE, NOT_AUTHORIZED, OUT_OF_RESOURCES, Request, UNSUPPORTED_OPCODE, UNSUPPORTED_VERSION,
    result,
};

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExternalAddress => f.write_str("external address"),
            Self::Map { request, lifetime: 0, .. } => {
                write!(f, "map {} {}, delete", request.transport, request.internal_port)
            }
            Self::Map { request, external_port, lifetime } => {
                write!(f, "map {} {} -> {external_port} for {lifetime} s", request.transport, request.internal_port)
            }
        }
    }
}

/// What the gateway answered.
pub(super) struct Answer<'a>(pub(super) &'a [u8; ANSWER_LENGTH]);

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [version, opcode, _, _, e0, e1, e2, e3, a, b, c, d, l0, l1, l2, l3] = *self.0;
        match result(self.0) {
            0 => f.write_str("SUCCESS")?,
            UNSUPPORTED_VERSION => f.write_str("UNSUPPORTED_VERSION")?,
            NOT_AUTHORIZED => f.write_str("NOT_AUTHORIZED")?,
            NETWORK_FAILURE => f.write_str("NETWORK_FAILURE")?,
            OUT_OF_RESOURCES => f.write_str("OUT_OF_RESOURCES")?,
            UNSUPPORTED_OPCODE => f.write_str("UNSUPPORTED_OPCODE")?,
            other => write!(f, "result code {other}")?,
        }
        match (version, opcode, result(self.0)) {
            // Another version has something else there.
            (1.., ..) => return write!(f, ", in version {version}"),
            (0, 0x80, 0) => write!(f, ", {}", Ipv4Addr::new(a, b, c, d))?,
            (0, _, 0) => {
                let (port, lifetime) = (u16::from_be_bytes([c, d]), u32::from_be_bytes([l0, l1, l2, l3]));
                match lifetime {
                    0 => f.write_str(", no mapping")?,
                    _ => write!(f, ", port {port} for {lifetime} s")?,
                }
            }
            (0, ..) => {}
        }
        write!(f, ", epoch {}", u32::from_be_bytes([e0, e1, e2, e3]))
    }
}
