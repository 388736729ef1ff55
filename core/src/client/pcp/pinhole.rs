//! What is different about a pinhole in an IPv6 firewall (RFC 6887 11, for a client without a NAT), and with the routers that open
//! one.

use std::net::IpAddr;
use std::time::Duration;

use super::refusal::by;
use super::wire::{MapFields, ResultCode};
use super::{BY_PCP, PcpMapper, fields, nonce};
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{MapRequest, PortMapping, Protocol};
use crate::schedule::{PINHOLE_END, PINHOLE_ENDS_WITHIN};

/// The fields of a request from `client`: of a pinhole everything is known, and some routers answer with what is suggested.
pub(super) fn suggesting(map: MapFields, client: IpAddr) -> MapFields {
    match client.is_ipv6() && map.external_address.is_unspecified() {
        true => MapFields { external_address: client, ..map },
        false => map,
    }
}

/// The fields of a grant to `client`. What the router does not tell is the client's own.
pub(crate) fn told(map: MapFields, client: IpAddr) -> MapFields {
    if client.is_ipv4() {
        return map;
    }
    let foreign = map.external_address.is_unspecified() || map.external_address.is_ipv4();
    MapFields {
        external_address: if foreign { client } else { map.external_address },
        external_port: if map.external_port == 0 { map.internal_port } else { map.external_port },
        ..map
    }
}

impl PcpMapper {
    /// Opens a pinhole to whose request the router has answered with `refusal`. A router that cannot renew has none to give if an
    /// earlier run of this program has left one, which only its nonce can close.
    pub(super) async fn open_anew(
        &self,
        request: &MapRequest,
        ttl: Duration,
        fields: &MapFields,
        refusal: PortMappingError,
    ) -> Result<PortMapping, PortMappingError> {
        if !is(&refusal, ResultCode::NoResources) || self.channel.delete(request, fields.nonce).await.is_err() {
            return Err(refusal);
        }
        self.map(request, ttl, fields, false).await
    }

    /// Renews a pinhole. Routers with pf cannot: they answer NO_RESOURCES as long as it is there. Then it is closed and opened again
    /// with the same nonce, which takes two round trips.
    pub(super) async fn renew_pinhole(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        let refusal = match self.renew_as_it_is(mapping).await {
            Err(error) if is(&error, ResultCode::NoResources) => error,
            renewed => return renewed,
        };
        if self.channel.delete(&mapping.request, nonce(mapping)?).await.is_err() {
            return Err(refusal);
        }
        self.renew_as_it_is(mapping).await.map_err(|error| match error.kind() {
            ErrorKind::Refused => BY_PCP.refused_and_lost(error.message()),
            _ => error,
        })
    }

    /// Looks at a pinhole, which is a renewal. A router that cannot renew it has it.
    pub(crate) async fn look_at_pinhole(&self, mapping: &PortMapping) -> Result<PortMapping, PortMappingError> {
        match self.renew_as_it_is(mapping).await {
            Err(error) if is(&error, ResultCode::NoResources) => Ok(mapping.clone()),
            seen => seen,
        }
    }

    /// Closes a pinhole. miniupnpd 2.3.1 on nftables forgets the nonce at a renewal and refuses the delete, but not another
    /// renewal: with the shortest lifetime that the router gives it ends soon by itself.
    pub(super) async fn close_pinhole(&self, mapping: &PortMapping) -> Result<(), PortMappingError> {
        let (request, nonce) = (&mapping.request, nonce(mapping)?);
        let refusal = match self.channel.delete(request, nonce).await {
            Err(error) if is(&error, ResultCode::NotAuthorized) => error,
            closed => return closed,
        };
        let fields = fields(request, nonce, mapping.external);
        match self.channel.map(request, PINHOLE_END, &fields, true).await {
            Ok((left, _)) if left <= PINHOLE_ENDS_WITHIN => {
                self.channel.behind.deleted(request);
                Ok(())
            }
            Ok((left, _)) => {
                self.channel.behind.granted(request);
                let message = format!("{}; it ends by itself within {} s", refusal.message(), left.as_secs());
                Err(by(ResultCode::NotAuthorized).refused(message))
            }
            Err(_) => Err(refusal),
        }
    }
}

/// Whether the gateway has answered with `result`.
fn is(error: &PortMappingError, result: ResultCode) -> bool {
    let code = Some(u32::from(result.code()));
    error.details().iter().any(|detail| detail.protocol == Protocol::Pcp && detail.code == code)
}

#[cfg(test)]
#[path = "pinhole_tests.rs"]
mod tests;
