//! Requests and answers of PCP as the log shows them. Nonces are secrets and are left out.

use std::fmt::{self, Display};

use super::wire::{Reply, Response, ResultCode};
use super::{ANY_ADDRESS, Asked};

/// What was asked for; `None` for a sign of life.
pub(super) struct Request(pub(super) Option<Asked>);

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Asked { fields, wanted, lifetime }) = &self.0 else { return f.write_str("ANNOUNCE") };
        let transport = if fields.protocol == 6 { "tcp" } else { "udp" };
        let Some(wanted) = wanted else { return write!(f, "MAP {transport} {}, delete", fields.internal_port) };
        write!(f, "MAP {transport} {} -> ", fields.internal_port)?;
        if fields.external_address != ANY_ADDRESS {
            write!(f, "{}:", fields.external_address)?;
        }
        let exact = if wanted.exact { ", PREFER_FAILURE" } else { "" };
        write!(f, "{} for {lifetime} s{exact}", fields.external_port)
    }
}

/// What came back.
pub(super) struct Answer<'a>(pub(super) &'a Reply);

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let response = match self.0 {
            Reply::Response(response) => response,
            Reply::OtherVersion { version, .. } => return write!(f, "UNSUPP_VERSION, in version {version}"),
        };
        let Response { result, lifetime, epoch, map, .. } = response;
        write!(f, "{result}")?;
        match (result, map, lifetime.as_secs()) {
            (ResultCode::Success, Some(_), 0) => f.write_str(", no mapping")?,
            (ResultCode::Success, Some(map), seconds) => {
                write!(f, ", {}:{} for {seconds} s", map.external_address, map.external_port)?;
            }
            (ResultCode::Success, None, _) | (_, _, 0) => {}
            (_, _, seconds) => write!(f, " for {seconds} s")?,
        }
        write!(f, ", epoch {epoch}")
    }
}
