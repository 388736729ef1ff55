//! What the router tells of itself by UPnP, and which other gateways there are.

use portlease::client::{DeviceInfo, PortMapperClient, UpnpMapper, WanStatus};
use portlease::net::route::NetworkPath;
use portlease::{Config, Protocol, TableEntry, Transport};
use serde_json::{Value, json};

use crate::event::span;
use crate::list;

/// The router in its own words.
#[derive(Debug, Default)]
pub(crate) struct RouterFacts {
    /// The device at the address of the default route.
    pub(crate) device: Option<DeviceInfo>,
    /// Other devices in this network that map ports.
    pub(crate) others: Vec<DeviceInfo>,
    pub(crate) wan: Option<WanStatus>,
    client: Option<UpnpMapper>,
}

impl RouterFacts {
    /// Asks. A router without UPnP tells nothing.
    pub(crate) async fn ask(config: &Config, path: Option<&NetworkPath>) -> Self {
        let Some((gateway, path)) = path.and_then(|path| Some((path.gateway?, path))) else { return Self::default() };
        if !config.protocols.contains(&Protocol::Upnp) {
            return Self::default();
        }
        let client = list::upnp(config, gateway, path);
        // Beside a search that ends with the gateway's answer: a router may answer one search and be busy for the other.
        let (devices, wan) = tokio::join!(client.devices(), client.wan_status());
        let (own, others): (Vec<_>, Vec<_>) =
            devices.unwrap_or_default().into_iter().partition(|device| device.address == gateway);
        let client = (!own.is_empty() || wan.is_ok()).then_some(client);
        Self { device: own.into_iter().next(), others, wan: wan.ok(), client }
    }

    /// The entry of the router's table for an external port, or why it is not known.
    pub(crate) async fn entry(&self, transport: Transport, port: u16) -> Result<Option<TableEntry>, String> {
        match &self.client {
            Some(client) => client.entry(transport, port).await.map_err(|error| error.message()),
            None => Err("only UPnP can tell, and the router does not answer by it".to_owned()),
        }
    }

    /// Name, model, firmware and version, for people; nothing if the router does not tell.
    pub(crate) fn device_text(&self) -> Option<String> {
        self.device.as_ref().map(describe)
    }

    /// The state of the connection to the internet, for people.
    pub(crate) fn wan_text(&self) -> Option<String> {
        self.wan.as_ref().map(wan_text)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "device": self.device.as_ref().map(device_json),
            "other_devices": self.others.iter().map(device_json).collect::<Vec<_>>(),
            "wan": self.wan.as_ref().map(wan_json),
        })
    }
}

/// One line about a device.
pub(crate) fn describe(device: &DeviceInfo) -> String {
    let model = device.model.as_ref();
    let named = |name: &&String| !name.is_empty() && !model.is_some_and(|model| model.starts_with(name.as_str()));
    let name = Some(&device.friendly_name).filter(named);
    let version = device.igd_version.map(|version| format!("UPnP IGD {version}"));
    let firmware = device.firmware.as_ref().map(|firmware| format!("firmware {firmware}"));
    let parts = [name.cloned(), model.cloned(), device.manufacturer.clone(), firmware, version];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The state of the connection to the internet, for people.
pub(crate) fn wan_text(wan: &WanStatus) -> String {
    let since = wan.uptime.map(|uptime| format!(" for {}", span(uptime))).unwrap_or_default();
    let error = wan.last_error.as_ref().map(|error| format!(", last error {error}")).unwrap_or_default();
    format!("{}{since}{error}", wan.status)
}

pub(crate) fn wan_json(wan: &WanStatus) -> Value {
    json!({
        "status": wan.status,
        "last_error": wan.last_error,
        "uptime": wan.uptime.map(|uptime| uptime.as_secs()),
        "upstream_rate": wan.upstream_rate,
        "downstream_rate": wan.downstream_rate,
    })
}

pub(crate) fn device_json(device: &DeviceInfo) -> Value {
    json!({
        "address": device.address.to_string(),
        "name": device.friendly_name,
        "manufacturer": device.manufacturer,
        "model": device.model,
        "firmware": device.firmware,
        "igd_version": device.igd_version,
        "service": device.service_type,
        "external_address": device.external_address.map(|address| address.to_string()),
        "connected": device.connected,
    })
}
