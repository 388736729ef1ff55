//! Default routes as the interfaces tell them: by the platform's own choice of the default interface, which follows the metrics, or
//! by the metrics themselves.

use super::interfaces::{self, DefaultRoute};
use crate::error::PortMappingError;

pub(super) use super::table::address_on;

pub(super) fn default_routes() -> Result<Vec<DefaultRoute>, PortMappingError> {
    Ok(interfaces::default_routes())
}
