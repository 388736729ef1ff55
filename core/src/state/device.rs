//! The UPnP device of the present gateway, so that the next start need not search for it.

use std::io;
use std::net::IpAddr;

use super::record::{Fields, escaped};
use super::{Store, Trouble, lock};

/// One file for all mappers: the last one that found its gateway's device writes it.
const FILE: &str = "device";
const HEADER: &str = "portlease device 1\n";

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

fn text(gateway: IpAddr, device: &KnownDevice) -> String {
    format!(
        "{HEADER}gateway={gateway} udn={} location={} control={} service={}\n",
        escaped(&device.udn),
        escaped(&device.location),
        escaped(&device.control_url),
        escaped(&device.service_type)
    )
}

fn read(text: &str) -> Option<(IpAddr, KnownDevice)> {
    let fields = Fields(text.strip_prefix(HEADER)?.strip_suffix('\n')?);
    let device = KnownDevice {
        udn: fields.text("udn").filter(|udn| !udn.is_empty())?,
        location: fields.text("location")?,
        control_url: fields.text("control")?,
        service_type: fields.text("service")?,
    };
    Some((fields.parse("gateway")?, device))
}

impl Store {
    /// The device that this or an earlier mapper has found at `gateway`.
    pub(crate) fn device(&self, gateway: IpAddr) -> Option<KnownDevice> {
        let known = lock(&self.device).clone();
        let (of, device) = match known {
            Some(known) => known,
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
                let known = read(&text)?;
                *lock(&self.device) = Some(known.clone());
                known
            }
        };
        (of == gateway).then_some(device)
    }

    /// Keeps the device of `gateway` for the next start, in the place of any other.
    pub(crate) fn remember_device(&self, gateway: IpAddr, device: KnownDevice) {
        if self.device(gateway).as_ref() == Some(&device) {
            return;
        }
        if let Err(error) = self.folder.replace(FILE, &text(gateway, &device)) {
            self.warn_io(Trouble::Write, "cannot write", error);
        }
        *lock(&self.device) = Some((gateway, device));
    }
}
