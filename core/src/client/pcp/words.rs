//! Requests and answers of PCP as the log shows them. Nonces are secrets and are left out.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use super::Asked;
use super::wire::{Reply, Response, ResultCode};

/// What was asked for; `None` for a sign of life.
pub(super) struct Request(pub(super) Option<Asked>);

impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Asked { fields, wanted, lifetime }) = &self.0 else { return f.write_str("ANNOUNCE") };
        let transport = if fields.protocol == 6 { "tcp" } else { "udp" };
        let Some(wanted) = wanted else { return write!(f, "MAP {transport} {}, delete", fields.internal_port) };
        write!(f, "MAP {transport} {} -> ", fields.internal_port)?;
        if fields.external_address.is_unspecified() {
            write!(f, "{}", fields.external_port)?;
        } else {
            write!(f, "{}", SocketAddr::new(fields.external_address, fields.external_port))?;
        }
        let exact = if wanted.exact { ", PREFER_FAILURE" } else { "" };
        write!(f, " for {lifetime} s{exact}")
    }
}

/// What the gateway answered.
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
                write!(f, ", {} for {seconds} s", SocketAddr::new(map.external_address, map.external_port))?;
            }
            (ResultCode::Success, None, _) | (_, _, 0) => {}
            (_, _, seconds) => write!(f, " for {seconds} s")?,
        }
        write!(f, ", epoch {epoch}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::pcp::wire::MapFields;
    use crate::client::pcp::{ANY_ADDRESS, ANY_ADDRESS6};
    use crate::mapping::{MapRequest, Transport};

    #[test]
    fn addresses_of_both_families_are_told_from_their_ports() {
        for (address, told) in [
            (ANY_ADDRESS, "4000"),
            (ANY_ADDRESS6, "4000"),
            ("192.0.1.1".parse().unwrap(), "192.0.1.1:4000"),
            ("2001:db8::10".parse().unwrap(), "[2001:db8::10]:4000"),
        ] {
            let fields = MapFields {
                nonce: [0; 12],
                protocol: 17,
                internal_port: 4000,
                external_port: 4000,
                external_address: address,
            };
            let asked = Asked { fields, wanted: Some(MapRequest::new(4000, Transport::Udp)), lifetime: 60 };
            assert_eq!(Request(Some(asked)).to_string(), format!("MAP udp 4000 -> {told} for 60 s"));
            let (lifetime, map) = (Duration::from_secs(60), Some(fields));
            let granted = Response { opcode: 1, result: ResultCode::Success, lifetime, epoch: 1, map };
            let whole = SocketAddr::new(address, 4000);
            assert_eq!(Answer(&Reply::Response(granted)).to_string(), format!("SUCCESS, {whole} for 60 s, epoch 1"));
        }
    }
}
