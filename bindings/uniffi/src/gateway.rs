//! The simulated gateway, for the tests of the hosts' programs: in process, on a thread of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portlease::PortMappingError;
use portlease_gateway::{Gateway, GatewayConfig, GatewayError, Mapping, json};
use serde_json::Value;

use crate::names::{PortLeaseError, Protocol, Transport};
use crate::snapshot::text;
use crate::value::{Port, Seconds, count};

/// Where a simulated gateway listens.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SimulatedAddresses {
    /// Its address, for `Config.gateway`.
    pub gateway: String,
    /// The port of PCP and NAT-PMP, for `Config.pcpPort`.
    pub pcp_port: Port,
    /// Where searches go, for `Config.ssdpAddress`.
    pub ssdp_address: String,
    /// The URL of the UPnP device description. A reboot changes it.
    pub description_url: String,
    /// Where its firewall for IPv6 listens; absent if it has none.
    pub ipv6: Option<SimulatedFirewall>,
    /// Why it has none although the setting `ipv6` is on.
    pub no_ipv6: Option<String>,
}

/// Where the IPv6 firewall of a simulated gateway listens.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SimulatedFirewall {
    /// Its address, for `Config.gateway`.
    pub gateway: String,
    /// The port of PCP, for `Config.pcpPort`.
    pub pcp_port: Port,
    /// Where searches go, for `Config.ssdpAddress`.
    pub ssdp_address: String,
}

/// One line of a simulated gateway's table.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SimulatedMapping {
    /// The protocol that made it, or that last renewed it; absent if no client did.
    pub protocol: Option<Protocol>,
    /// UDP or TCP.
    pub transport: Transport,
    /// The external port.
    pub external_port: Port,
    /// Where traffic goes, `address:port`.
    pub internal: String,
    /// UPnP's description; empty for the others.
    pub description: String,
    /// The time that is left; absent for a permanent mapping.
    pub expires_in: Option<Seconds>,
    /// The loopback `address:port` where traffic for this mapping enters.
    pub reach: String,
    /// The PCP nonce in hex.
    pub nonce: Option<String>,
    /// UPnP's UniqueID of a pinhole in the IPv6 firewall; absent for a mapping of IPv4.
    pub unique_id: Option<i32>,
}

/// A simulated gateway at one moment.
#[derive(Debug, Clone, uniffi::Record)]
pub struct SimulatedState {
    /// The table, by transport and external port.
    pub mappings: Vec<SimulatedMapping>,
    /// How many messages of each type have arrived, such as `pcp_map`; a type that never came is not there.
    pub counters: HashMap<String, i64>,
    /// The external address that clients are told.
    pub external_address: Option<String>,
    /// For how long the router claims to have been up.
    pub epoch: Seconds,
}

impl From<Mapping> for SimulatedMapping {
    fn from(mapping: Mapping) -> Self {
        Self {
            protocol: match mapping.protocol {
                portlease_gateway::Protocol::Pcp => Some(Protocol::Pcp),
                portlease_gateway::Protocol::NatPmp => Some(Protocol::NatPmp),
                portlease_gateway::Protocol::Upnp => Some(Protocol::Upnp),
                portlease_gateway::Protocol::Static => None,
            },
            transport: match mapping.transport {
                portlease_gateway::Transport::Udp => Transport::Udp,
                portlease_gateway::Transport::Tcp => Transport::Tcp,
            },
            external_port: mapping.external_port.into(),
            internal: mapping.internal.to_string(),
            description: mapping.description,
            expires_in: mapping.expires_in.map(seconds),
            reach: mapping.reach.to_string(),
            nonce: mapping.nonce,
            unique_id: mapping.unique_id.map(Into::into),
        }
    }
}

/// A running simulated gateway: PCP, NAT-PMP and UPnP on loopback, with a switch for what goes wrong on real routers.
///
/// Its settings, its switches and its line protocol are described in `tests/gateway/README.md`.
#[derive(Debug, uniffi::Object)]
pub struct SimulatedGateway {
    gateway: Mutex<Option<Arc<Gateway>>>,
}

fn seconds(number: u32) -> Seconds {
    Duration::from_secs(number.into()).into()
}

fn invalid(argument: &'static str, message: impl Into<String>) -> PortLeaseError {
    PortMappingError::invalid(argument, message.into()).into()
}

/// Reads settings one by one, so that an error names the one that is wrong.
fn read(settings: &str) -> Result<GatewayConfig, PortLeaseError> {
    let wrong = |error: serde_json::Error| invalid("settings", error.to_string());
    let settings: serde_json::Map<String, Value> = serde_json::from_str(settings).map_err(wrong)?;
    for (name, value) in &settings {
        let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        serde_json::from_value::<GatewayConfig>(alone)
            .map_err(|error| invalid("settings", format!("{name}: {error}")))?;
    }
    serde_json::from_value(Value::Object(settings)).map_err(wrong)
}

#[uniffi::export]
impl SimulatedGateway {
    /// Starts a gateway with these settings, a JSON object, which may be empty: `{}`. Opens its sockets on loopback,
    /// which takes a moment.
    ///
    /// Fails with `invalid` for a setting that there is not or that is out of range, and with `transport` if a port
    /// cannot be had.
    #[uniffi::constructor]
    pub fn start(settings: String) -> Result<Arc<Self>, PortLeaseError> {
        let gateway = Gateway::start(read(&settings)?).map_err(|error| match error {
            GatewayError::Config(message) => invalid("settings", message),
            GatewayError::Bind { what, address, source } => {
                PortMappingError::transport(format!("cannot open {what} on {address}"), source).into()
            }
            other @ (GatewayError::Runtime(_) | GatewayError::Mapping(_) | GatewayError::Stopped) => {
                PortMappingError::internal(other.to_string()).into()
            }
        })?;
        Ok(Arc::new(Self { gateway: Mutex::new(Some(Arc::new(gateway))) }))
    }

    /// Where it listens. Fails with `stopped`.
    pub fn addresses(&self) -> Result<SimulatedAddresses, PortLeaseError> {
        let addresses = self.running()?.addresses();
        Ok(SimulatedAddresses {
            gateway: addresses.gateway.to_string(),
            pcp_port: addresses.pcp_port.into(),
            ssdp_address: addresses.ssdp_address.to_string(),
            description_url: addresses.description_url,
            ipv6: addresses.ipv6.map(|firewall| SimulatedFirewall {
                gateway: firewall.gateway.to_string(),
                pcp_port: firewall.pcp_port.into(),
                ssdp_address: firewall.ssdp_address.to_string(),
            }),
            no_ipv6: addresses.no_ipv6,
        })
    }

    /// Table, counters, external address and epoch. Fails with `stopped`.
    pub fn state(&self) -> Result<SimulatedState, PortLeaseError> {
        let state = self.running()?.state();
        Ok(SimulatedState {
            mappings: state.mappings.into_iter().map(Into::into).collect(),
            counters: state.counters.0.into_iter().map(|(name, number)| (name, count(number))).collect(),
            external_address: text(state.external_address),
            epoch: seconds(state.epoch),
        })
    }

    /// Carries out a line of the gateway's protocol and answers with the reply, a JSON object.
    ///
    /// Fails with `invalid` if the gateway cannot do that, and with `stopped`.
    pub fn execute(&self, line: String) -> Result<String, PortLeaseError> {
        let reply = json::execute(self.running()?.as_ref(), &line).json;
        match reply.get("error") {
            Some(error) => Err(invalid("command", error.as_str().unwrap_or_default())),
            None => Ok(reply.to_string()),
        }
    }

    /// Closes the sockets, which takes a moment, at most 2 s. May be called again.
    pub fn stop(&self) {
        let gateway = self.gateway().take(); // and not dropped under the lock
        drop(gateway);
    }
}

impl SimulatedGateway {
    fn gateway(&self) -> MutexGuard<'_, Option<Arc<Gateway>>> {
        // Nothing under this lock can panic.
        self.gateway.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<Arc<Gateway>, PortLeaseError> {
        let gateway = self.gateway().clone();
        gateway.ok_or_else(|| PortMappingError::stopped("the gateway is stopped").into())
    }
}

impl Drop for SimulatedGateway {
    /// A garbage collector must not wait for the gateway's thread.
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway().take() {
            std::thread::spawn(move || drop(gateway));
        }
    }
}
