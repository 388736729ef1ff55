//! What the UPnP device consists of, under the switches of the moment: one answer for SSDP, description and control.

use std::net::{IpAddr, SocketAddr};

use crate::side::Side;
use crate::{Faults, GatewayConfig, SecondDevice, WanService};

pub(crate) const ROOT_PATH: &str = "/rootDesc.xml";
/// Everything of the second device lies below this.
pub(crate) const SECOND_PREFIX: &str = "/other";
const COMMON_CONTROL: &str = "/ctl/CmnIfCfg";

/// One service that the description lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The full service type.
    pub(crate) kind: String,
    pub(crate) id: &'static str,
    pub(crate) control: String,
    pub(crate) scpd: String,
    pub(crate) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// WANCommonInterfaceConfig.
    Common,
    /// A WAN connection, and whether it is up.
    Connection { up: bool },
    /// WANIPv6FirewallControl.
    Firewall,
}

/// One root device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Whose URLs these are: empty, or [`SECOND_PREFIX`].
    pub(crate) prefix: &'static str,
    pub(crate) uuid: String,
    /// `urn:schemas-upnp-org` or `urn:dslforum-org`.
    domain: &'static str,
    /// Of the device types.
    version: u8,
    pub(crate) common: Service,
    /// Each stands in a WANConnectionDevice of its own.
    pub(crate) connections: Vec<Service>,
    /// Stands beside the last connection.
    pub(crate) firewall: Option<Service>,
}

impl Device {
    pub(crate) fn device_type(&self, name: &str) -> String {
        format!("{}:device:{name}:{}", self.domain, self.version)
    }

    /// Every search target that the device answers, `upnp:rootdevice` first.
    pub(crate) fn targets(&self) -> Vec<String> {
        let mut targets = vec!["upnp:rootdevice".to_owned(), self.uuid.clone()];
        targets
            .extend(["InternetGatewayDevice", "WANDevice", "WANConnectionDevice"].map(|name| self.device_type(name)));
        for service in self.services() {
            if !targets.contains(&service.kind) {
                targets.push(service.kind.clone());
            }
        }
        targets
    }

    /// Where the description is.
    fn location(&self, http: SocketAddr) -> String {
        format!("http://{http}{}{ROOT_PATH}", self.prefix)
    }

    /// Where searches and announcements say that it is.
    pub(crate) fn told_location(&self, faults: &Faults, side: Side, http: SocketAddr) -> String {
        let lie = if side == Side::Firewall { &faults.location_ipv6 } else { &faults.location };
        lie.clone().unwrap_or_else(|| self.location(http))
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Service> {
        std::iter::once(&self.common).chain(&self.connections).chain(&self.firewall)
    }

    /// The search targets with which to answer a search for `st`; a newer device answers for older versions of its
    /// types too, with the version that was searched (UPnP Device Architecture 1.1, 1.3.2).
    pub(crate) fn matches(&self, st: &str) -> Vec<String> {
        if st == "ssdp:all" {
            return self.targets();
        }
        let covers = |target: &String| {
            let (Some((have, have_version)), Some((want, want_version))) =
                (target.rsplit_once(':'), st.rsplit_once(':'))
            else {
                return false;
            };
            match (have_version.parse::<u8>(), want_version.parse::<u8>()) {
                (Ok(have_version), Ok(want_version)) => have == want && (1..=have_version).contains(&want_version),
                _ => target == st,
            }
        };
        if self.targets().iter().any(covers) { vec![st.to_owned()] } else { Vec::new() }
    }
}

/// The devices that answer, in the order in which they do.
pub(crate) fn devices(config: &GatewayConfig, faults: &Faults) -> Vec<Device> {
    let working = device(config, faults, "");
    let down = || device(config, faults, SECOND_PREFIX);
    match faults.second_device {
        SecondDevice::None => vec![working],
        SecondDevice::First => vec![down(), working],
        SecondDevice::Last => vec![working, down()],
    }
}

/// The same after a reboot, and another one for each address and seed.
fn uuid(config: &GatewayConfig, main: bool) -> String {
    let address = match config.bind {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // The interface identifier, of which the highest bits do not fit.
        IpAddr::V6(address) => u64::try_from(address.to_bits() & u128::from(u64::MAX)).unwrap_or_default(),
    };
    // The last digit is left for the devices inside.
    let node = (config.seed ^ (address << 12)) & 0xfff_ffff_ffff;
    format!("uuid:706f7274-6c65-4173-{:04x}-{node:011x}0", u16::from(!main))
}

fn device(config: &GatewayConfig, faults: &Faults, prefix: &'static str) -> Device {
    let (domain, version) = match faults.wan_service {
        WanService::Dslforum => ("urn:dslforum-org", 1),
        _ => ("urn:schemas-upnp-org", config.igd_version),
    };
    let service = |name: &str, version: u8, id, control: String, role| Service {
        kind: format!("{domain}:service:{name}:{version}"),
        id,
        control: format!("{prefix}{control}"),
        scpd: match role {
            Role::Common => format!("{prefix}/WANCfg.xml"),
            Role::Connection { .. } => format!("{prefix}/WANIPCn.xml"),
            Role::Firewall => format!("{prefix}/WANIP6FC.xml"),
        },
        role,
    };
    let connection = match faults.wan_service {
        WanService::Normal => Some(("WANIPConnection", config.igd_version, "urn:upnp-org:serviceId:WANIPConn1")),
        WanService::Ip1Only | WanService::Dslforum => Some(("WANIPConnection", 1, "urn:upnp-org:serviceId:WANIPConn1")),
        WanService::Ip2Only => Some(("WANIPConnection", 2, "urn:upnp-org:serviceId:WANIPConn1")),
        WanService::Ppp => Some(("WANPPPConnection", 1, "urn:upnp-org:serviceId:WANPPPConn1")),
        WanService::None => None,
    };
    let main_up = prefix.is_empty();
    let mut connections = Vec::new();
    if let Some((name, version, id)) = connection {
        if faults.down_connection_first {
            connections.push(service(name, version, id, "/ctl/Down".into(), Role::Connection { up: false }));
        }
        let path = if faults.control_query { "/control?WANIPConnection" } else { "/ctl/IPConn" };
        connections.push(service(name, version, id, path.into(), Role::Connection { up: main_up }));
    }
    // Part of IGD:2, of the device that is connected.
    let has_firewall = config.ipv6 && version >= 2 && main_up && !faults.no_firewall_service;
    let firewall = has_firewall.then(|| {
        let id = "urn:upnp-org:serviceId:WANIPv6Firewall1";
        service("WANIPv6FirewallControl", 1, id, "/ctl/IP6FCtl".into(), Role::Firewall)
    });
    Device {
        prefix,
        uuid: uuid(config, main_up),
        domain,
        version,
        common: service(
            "WANCommonInterfaceConfig",
            1,
            "urn:upnp-org:serviceId:WANCommonIFC1",
            COMMON_CONTROL.into(),
            Role::Common,
        ),
        connections,
        firewall,
    }
}
