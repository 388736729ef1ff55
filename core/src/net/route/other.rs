//! Default routes by the platform's own choice of the default interface, which follows the metrics.

use super::table::{self, DefaultRoute};
use crate::error::PortMappingError;

pub(super) use super::table::address_on;

pub(super) fn default_routes() -> Result<Vec<DefaultRoute>, PortMappingError> {
    Ok(table::default_routes_of(netdev::get_interfaces()))
}
