//! The UPnP device of the present gateway, so that the next start need not search for it.

use std::io;
use std::net::IpAddr;

use super::record::{Fields, escaped};
use super::{Store, Trouble, lock};

/// One file for all mappers: the last one that found its gateway's device writes it.
const FILE: &str = "device";
const HEADER: &str = "portlease device 1\n";

/// A device, and the gateway that it belongs to. No other gateway's is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceRecord {
    pub(crate) gateway: IpAddr,
    pub(crate) udn: String,
    pub(crate) location: String,
    pub(crate) control_url: String,
    pub(crate) service_type: String,
}

impl DeviceRecord {
    fn text(&self) -> String {
        format!(
            "{HEADER}gateway={} udn={} location={} control={} service={}\n",
            self.gateway,
            escaped(&self.udn),
            escaped(&self.location),
            escaped(&self.control_url),
            escaped(&self.service_type)
        )
    }

    fn read(text: &str) -> Option<Self> {
        let fields = Fields(text.strip_prefix(HEADER)?.strip_suffix('\n')?);
        Some(Self {
            gateway: fields.parse("gateway")?,
            udn: fields.text("udn").filter(|udn| !udn.is_empty())?,
            location: fields.text("location")?,
            control_url: fields.text("control")?,
            service_type: fields.text("service")?,
        })
    }
}

impl Store {
    /// The device that this or an earlier mapper has found at `gateway`.
    pub(crate) fn device(&self, gateway: IpAddr) -> Option<DeviceRecord> {
        let known = lock(&self.device).clone();
        let device = match known {
            Some(device) => device,
            None => {
                let text = match self.folder.read_named(FILE) {
                    Ok(text) => text,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                    Err(error) => {
                        self.warn_io(Trouble::Read, "cannot read the file `device`", error);
                        return None;
                    }
                };
                // What makes no sense is replaced when the device is found.
                let device = DeviceRecord::read(&text)?;
                *lock(&self.device) = Some(device.clone());
                device
            }
        };
        (device.gateway == gateway).then_some(device)
    }

    /// Keeps `device` for the next start, in the place of any other.
    pub(crate) fn remember_device(&self, device: DeviceRecord) {
        if self.device(device.gateway).as_ref() == Some(&device) {
            return;
        }
        if let Err(error) = self.folder.replace(FILE, &device.text()) {
            self.warn_io(Trouble::Write, "cannot write", error);
        }
        *lock(&self.device) = Some(device);
    }
}
