//! A gateway that a search has found, and how good it is beside others.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::action::External;
use super::description::Service;
use crate::net::address::AddressClass;

/// How good a device is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It maps ports, but says that it is not connected, or says nothing.
    Usable,
    /// Its WAN connection is up.
    Connected,
    /// Its WAN connection is up and has a public address.
    Public,
}

/// A gateway that can be asked for mappings.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) responder: IpAddr,
    pub(super) description_url: Url,
    pub(super) friendly_name: String,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) firmware: Option<String>,
    pub(super) igd_version: Option<u32>,
    /// The root device's UDN, by which it is known again at another address or port; empty where it has none.
    pub(super) udn: String,
    pub(super) service: Service,
    /// The service that tells of the line to the internet.
    pub(super) line: Option<Service>,
    /// Whether its WAN connection is up; `None` where it does not tell or was not asked.
    pub(super) connected: Option<bool>,
    /// What it said about its address, and when; `None` where it did not answer that.
    pub(super) external: Option<(External, Instant)>,
    /// The BOOTID that it had when it was found, if it has told one.
    pub(super) boot_id: Option<u32>,
    /// When it was found.
    pub(super) found: Instant,
    /// From the start of the search to the end of the device's last answer.
    pub(super) round_trip: Duration,
    /// Whether it has shown that it makes permanent mappings only.
    pub(super) permanent_only: AtomicBool,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The device's name for people; empty where it has none.
    pub friendly_name: String,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// The model's name and number.
    pub model: Option<String>,
    /// The version of its software, if it tells that; some makers put it into the model's number instead.
    pub firmware: Option<String>,
    /// Its version as an Internet Gateway Device, 1 or 2; `None` if it calls itself something else.
    pub igd_version: Option<u32>,
    /// The address that answered the search.
    pub address: IpAddr,
    /// Where its description is.
    pub description_url: String,
    /// Where actions are sent.
    pub control_url: String,
    /// For instance `urn:schemas-upnp-org:service:WANIPConnection:1`.
    pub service_type: String,
    /// The router's address on its public side; `None` where it has none or does not tell.
    pub external_address: Option<IpAddr>,
    /// Whether the WAN connection is up. `None` if the router does not tell, and if it was not asked: a default gateway with
    /// one service and an external address is taken as it is.
    pub connected: Option<bool>,
    /// From the start of the search to the last answer that it needed.
    pub round_trip: Duration,
}

impl From<&Device> for DeviceInfo {
    fn from(device: &Device) -> Self {
        Self {
            friendly_name: device.friendly_name.clone(),
            manufacturer: device.manufacturer.clone(),
            model: device.model.clone(),
            firmware: device.firmware.clone(),
            igd_version: device.igd_version,
            address: device.responder,
            description_url: device.description_url.to_string(),
            control_url: device.service.control_url.to_string(),
            service_type: device.service.service_type.clone(),
            external_address: device.external.as_ref().and_then(|(external, _)| external.address),
            connected: device.connected,
            round_trip: device.round_trip,
        }
    }
}

impl Device {
    pub(super) fn rank(&self) -> Rank {
        let address = self.external.as_ref().and_then(|(external, _)| external.address);
        match (self.connected, address) {
            (Some(false), _) => Rank::Usable,
            (_, Some(address)) if AddressClass::of(address) == AddressClass::Public => Rank::Public,
            (Some(true), _) => Rank::Connected,
            // An address is as good a sign as the status.
            (None, Some(_)) => Rank::Connected,
            (None, None) => Rank::Usable,
        }
    }

    pub(super) fn permanent_only(&self) -> bool {
        self.permanent_only.load(Ordering::Relaxed)
    }

    pub(super) fn remember_permanent_only(&self) {
        self.permanent_only.store(true, Ordering::Relaxed);
    }
}
