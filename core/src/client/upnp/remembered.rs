//! The device of the gateway as plain data, so that a later start of the program finds it without a search.

use std::net::IpAddr;

use tokio::time::Instant;
use url::Url;

use super::UpnpMapper;
use super::description::Service;
use super::device::Device;
use super::examine::examine_if;
use super::leads::Lead;
use super::soap::Caller;
use super::sought::Sought;
use crate::state::KnownDevice;

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
        self.finder.remember(device);
    }
}

impl KnownDevice {
    /// Looks whether the device is still there, and still good for what a search is made for. The description is the one
    /// answer that has the device's name in it: the control URL alone may be that of another router of the same make.
    pub(super) async fn check(self, sought: &Sought, caller: &Caller, gateway: IpAddr) -> Option<Device> {
        let location = Url::parse(&self.location).ok()?;
        let service = Service::known(&self.control_url, &self.service_type)?;
        let lead = Lead::again(&self.udn, &location, gateway, None).filter(|_| !self.udn.is_empty())?;
        let device = examine_if(&lead, sought.wanted(true), caller, Instant::now(), |description| {
            let mut services = description.services.iter().chain(&description.pinholes);
            let same = description.udn == self.udn && services.any(|other| *other == service);
            same.then_some(()).ok_or_else(|| format!("it is not {} any more", self.udn))
        });
        match device.await {
            Ok(device) if device.connected == Some(false) => {
                tracing::debug!(url = %location, "the remembered device is not connected");
                None
            }
            Ok(device) => Some(device),
            Err(error) => {
                tracing::debug!(error = %error.message(), "the remembered device is not there");
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "remembered_tests.rs"]
mod tests;
