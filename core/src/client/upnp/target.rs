//! Where the actions of one request go.

use tokio::time::Instant;

use super::action::Control;
use super::description::Service;
use super::device::Device;
use super::ledger::{Identity, Line, Place, Port};
use super::soap::Caller;
use crate::error::PortMappingError;
use crate::mapping::{PortMapping, ProtocolToken, Transport};

/// A service of a device.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) service: Service,
    pub(super) identity: Identity,
    /// When it was known to be there.
    pub(super) asked: Instant,
    /// Whether it has been searched for since.
    pub(super) moved: bool,
    /// Whether it is where another lease has found it.
    pub(super) followed: bool,
}

impl Target {
    fn at(service: Service, identity: Identity) -> Self {
        Self { service, identity, asked: Instant::now(), moved: false, followed: false }
    }

    pub(super) fn of_device(device: &Device) -> Self {
        Self::at(device.service.clone(), Identity::of(&device.udn, &device.service))
    }

    /// The service that holds a mapping. Fails with `internal` if the mapping is not by UPnP.
    pub(super) fn of_mapping(mapping: &PortMapping) -> Result<Self, PortMappingError> {
        let (ProtocolToken::Upnp { control_url, service_type, udn, .. }
        | ProtocolToken::Pinhole { control_url, service_type, udn, .. }) = &mapping.token
        else {
            return Err(PortMappingError::internal(format!("a mapping by {} came to upnp", mapping.protocol)));
        };
        let service = Service::known(control_url, service_type).ok_or_else(|| {
            let service = format!("`{control_url}` with `{service_type}`");
            PortMappingError::internal(format!("{service} is not an upnp service that maps ports or opens pinholes"))
        })?;
        let identity = Identity::of(udn, &service);
        Ok(Self::at(service, identity))
    }

    /// The service at which a line of the ledger was added.
    pub(super) fn of_line(place: &Place, line: &Line) -> Self {
        Self::at(line.service.clone(), place.device.clone())
    }

    pub(super) fn control<'a>(&'a self, caller: &'a Caller) -> Control<'a> {
        Control { caller, service: &self.service }
    }

    /// A port of the device.
    pub(super) fn place(&self, transport: Transport, port: u16) -> Place {
        Place { device: self.identity.clone(), transport, port: Port::Known(port) }
    }
}

/// Whether somebody else has made the entry behind a mapping.
pub(super) const fn adopted(mapping: &PortMapping) -> bool {
    matches!(mapping.token, ProtocolToken::Upnp { adopted: true, .. })
}

/// The mapping as one whose entry somebody else has made.
pub(super) fn adopted_from(mapping: &PortMapping) -> PortMapping {
    let mut mapping = mapping.clone();
    if let ProtocolToken::Upnp { adopted, .. } = &mut mapping.token {
        *adopted = true;
    }
    mapping
}
