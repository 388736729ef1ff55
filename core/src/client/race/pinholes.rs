//! A pinhole that the protocol which has opened it cannot close.

use super::RaceMapper;
use super::contestant::Contestant;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::{AddressFamily, PortMapping};

impl RaceMapper {
    /// How the delete of `mapping` by the client of `maker` has ended. If the gateway has refused to close a pinhole, another
    /// protocol may close it: some routers forget at a renewal by PCP whose it is.
    pub(super) async fn or_closed(
        &self,
        mapping: &PortMapping,
        maker: &Contestant,
        outcome: Result<(), PortMappingError>,
    ) -> Result<(), PortMappingError> {
        let refused = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Refused);
        if self.family == AddressFamily::Ipv4 || !refused {
            return outcome;
        }
        let gateways = self.gateways().all();
        let at = gateways.iter().filter(|gateway| gateway.path == *maker.at);
        for other in at.flat_map(|gateway| gateway.contestants.iter()) {
            if other.protocol != maker.protocol && other.client.close(mapping).await.is_ok() {
                return Ok(());
            }
        }
        outcome
    }
}
