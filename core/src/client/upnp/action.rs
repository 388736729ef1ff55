//! The actions of WANIPConnection and WANPPPConnection. igd-next builds the messages and reads the answers of those that
//! it knows; our transport carries them and keeps what igd-next's errors leave out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use igd_next::aio::{Gateway, Provider};
use igd_next::{PortMappingProtocol, RequestError};

use super::description::Service;
use super::http::{endpoint, shown};
use super::ledger::Claim;
use super::soap::{Action, Answer, CallError, Caller, Need};
use super::xml::escape;
use crate::mapping::Transport;
use crate::snapshot::TableEntry;

/// The arguments of the actions in the order of the standard (WANIPConnection:1 2.4, WANIPConnection:2 2.5), which is
/// the order in which simple routers expect them. They are the same everywhere, so the SCPD is never fetched.
const ADD_ARGUMENTS: [&str; 8] = [
    "NewRemoteHost",
    "NewExternalPort",
    "NewProtocol",
    "NewInternalPort",
    "NewInternalClient",
    "NewEnabled",
    "NewPortMappingDescription",
    "NewLeaseDuration",
];
const DELETE_ARGUMENTS: [&str; 3] = ["NewRemoteHost", "NewExternalPort", "NewProtocol"];

/// What is to be entered in the router's table, but for the external port and the lease.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) transport: Transport,
    /// The local address and port to which the router forwards.
    pub(super) internal: SocketAddr,
    /// At most 64 characters.
    pub(super) description: &'a str,
}

/// What the router says about its address.
#[derive(Debug, Clone, Copy)]
pub(super) struct External {
    /// `None`: it has none, or does not tell.
    pub(super) address: Option<IpAddr>,
    /// The local address by which the router knows us.
    pub(super) local: IpAddr,
}

/// One service of one device, ready to be called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Control<'a> {
    pub(super) caller: &'a Caller,
    pub(super) service: &'a Service,
}

/// What igd-next's static `send_async` needs to know, and what it found out.
#[derive(Debug, Clone)]
struct Exchange {
    caller: Caller,
    service: Service,
    need: Need,
    claim: Option<Claim>,
    outcome: Arc<Mutex<Option<Result<Answer, CallError>>>>,
}

tokio::task_local! {
    static EXCHANGE: Exchange;
}

/// Our transport under igd-next.
#[derive(Debug, Clone, Copy)]
struct Transporter;

impl Provider for Transporter {
    async fn send_async(_url: &str, action: &str, body: &str) -> Result<String, RequestError> {
        let exchange = EXCHANGE.with(Clone::clone);
        let call = Action { name: action, body, need: exchange.need, claim: exchange.claim };
        let outcome = exchange.caller.call(&exchange.service, call).await;
        let result = match &outcome {
            Ok(answer) => Ok(clean_answer(action, answer)),
            Err(error) => Err(RequestError::from(error)),
        };
        *exchange.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        result
    }
}

/// The answer once more, in the one form that igd-next reads, whatever the router's XML looked like.
fn clean_answer(action: &str, answer: &Answer) -> String {
    let name = action.trim_matches('"').rsplit('#').next().unwrap_or_default();
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let arguments: String = answer
        .arguments
        .iter()
        .filter(|(name, _)| plain(name) && !name.is_empty())
        .map(|(name, value)| format!("<{name}>{}</{name}>", escape(value)))
        .collect();
    format!("<Envelope><Body><{name}Response>{arguments}</{name}Response></Body></Envelope>")
}

impl Control<'_> {
    /// Runs one of igd-next's actions over our transport. The answer is the device's own; igd-next's reading of it
    /// comes along for those who need it.
    async fn run<T, E, F>(
        &self,
        need: Need,
        claim: Option<Claim>,
        action: impl FnOnce(Gateway<Transporter>) -> F,
    ) -> Result<(Answer, Result<T, E>), CallError>
    where
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        let arguments = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let address = endpoint(&self.service.control_url)
            .ok_or_else(|| CallError::Nonsense(format!("{} is no safe address", self.service.control_url)))?;
        let gateway = Gateway {
            addr: address,
            root_url: String::new(),
            control_url: self.service.control_url.to_string(),
            control_schema_url: String::new(),
            control_schema: HashMap::from([
                ("AddPortMapping".to_owned(), arguments(&ADD_ARGUMENTS)),
                ("AddAnyPortMapping".to_owned(), arguments(&ADD_ARGUMENTS)),
                ("DeletePortMapping".to_owned(), arguments(&DELETE_ARGUMENTS)),
            ]),
            service_type: self.service.service_type.clone(),
            provider: Transporter,
        };
        let outcome = Arc::default();
        let exchange = Exchange {
            caller: self.caller.clone(),
            service: self.service.clone(),
            need,
            claim,
            outcome: Arc::clone(&outcome),
        };
        let read = EXCHANGE.scope(exchange, action(gateway)).await;
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, read) {
            (Some(outcome), read) => outcome.map(|answer| (answer, read)),
            (None, Err(error)) => Err(CallError::Nonsense(format!("the request was not sent: {error}"))),
            (None, Ok(_)) => Err(CallError::Nonsense("the request was not sent".to_owned())),
        }
    }

    /// The local address from which the device is reached, without asking it: a UDP connect sends nothing.
    pub(super) fn local_address(&self) -> io::Result<IpAddr> {
        let peer =
            endpoint(&self.service.control_url).ok_or_else(|| io::Error::other("the control URL is not safe"))?;
        let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let socket = UdpSocket::bind((self.caller.local.unwrap_or(any), 0))?;
        socket.connect(peer)?;
        Ok(socket.local_addr()?.ip())
    }

    /// GetExternalIPAddress. An empty, unspecified or unreadable address is none.
    pub(super) async fn external_address(&self) -> Result<External, CallError> {
        let (answer, read) =
            self.run(Need::Optional, None, |gateway| async move { gateway.get_external_ip().await }).await?;
        let address = read.ok().filter(|address| !address.is_unspecified());
        Ok(External { address, local: answer.local })
    }

    /// GetStatusInfo: whether the WAN connection is up. `None`: the answer does not tell.
    pub(super) async fn connected(&self) -> Result<Option<bool>, CallError> {
        let answer = self.own_action("GetStatusInfo", "", Need::Optional, None).await?;
        let status = answer.argument("NewConnectionStatus");
        Ok(status.map(|status| status.eq_ignore_ascii_case("Connected") || status.eq_ignore_ascii_case("Up")))
    }

    /// AddPortMapping. A lease of 0 has no end.
    pub(super) async fn add(
        &self,
        entry: &Entry<'_>,
        external_port: u16,
        lease: u32,
        claim: Option<Claim>,
    ) -> Result<(), CallError> {
        let transport = protocol(entry.transport);
        let (internal, description) = (entry.internal, entry.description);
        self.run(Need::Full, claim, |gateway| async move {
            gateway.add_port(transport, external_port, internal, lease, description).await
        })
        .await
        .map(drop)
    }

    /// AddAnyPortMapping (WANIPConnection:2 2.5.20): the router chooses the external port.
    pub(super) async fn add_any(&self, entry: &Entry<'_>, lease: u32, claim: Option<Claim>) -> Result<u16, CallError> {
        let transport = protocol(entry.transport);
        let (internal, description) = (entry.internal, entry.description);
        let (_, read) = self
            .run(Need::Full, claim, |gateway| async move {
                gateway.add_any_port(transport, internal, lease, description).await
            })
            .await?;
        match read {
            Ok(port) if port != 0 => Ok(port),
            Ok(_) => Err(CallError::Nonsense("it reserves port 0".to_owned())),
            Err(error) => Err(CallError::Nonsense(shown(&error.to_string()))),
        }
    }

    /// DeletePortMapping.
    pub(super) async fn delete(&self, transport: Transport, external_port: u16) -> Result<(), CallError> {
        self.run(
            Need::Full,
            None,
            |gateway| async move { gateway.remove_port(protocol(transport), external_port).await },
        )
        .await
        .map(drop)
    }

    /// GetGenericPortMappingEntry: line `index` of the table.
    pub(super) async fn entry(&self, index: u32) -> Result<TableEntry, CallError> {
        let (answer, _) = self
            .run(Need::Full, None, |gateway| async move { gateway.get_generic_port_mapping_entry(index).await })
            .await?;
        // Read leniently: many routers leave out a field, which igd-next takes for a broken answer.
        let number = |name| answer.argument(name).and_then(|text| text.parse::<u16>().ok());
        let transport = answer.argument("NewProtocol").and_then(|text| text.to_ascii_lowercase().parse().ok());
        match (number("NewExternalPort"), transport) {
            (Some(external_port), Some(transport)) => Ok(table_entry(&answer, transport, external_port)),
            _ => Err(CallError::Nonsense("an entry without port or protocol".to_owned())),
        }
    }

    /// GetSpecificPortMappingEntry: the entry for an external port.
    pub(super) async fn specific(
        &self,
        transport: Transport,
        external_port: u16,
        need: Need,
    ) -> Result<TableEntry, CallError> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external_port}</NewExternalPort>\
             <NewProtocol>{}</NewProtocol>",
            protocol(transport)
        );
        let answer = self.own_action("GetSpecificPortMappingEntry", &arguments, need, None).await?;
        Ok(table_entry(&answer, transport, external_port))
    }

    /// An action that igd-next does not have.
    pub(super) async fn own_action(
        &self,
        action: &str,
        arguments: &str,
        need: Need,
        claim: Option<Claim>,
    ) -> Result<Answer, CallError> {
        // The description's reader lets only plain characters through in a service type.
        let service_type = &self.service.service_type;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\">\
             <s:Body><u:{action} xmlns:u=\"{service_type}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        let name = format!("\"{service_type}#{action}\"");
        self.caller.call(self.service, Action { name: &name, body: &body, need, claim }).await
    }
}

fn table_entry(answer: &Answer, transport: Transport, external_port: u16) -> TableEntry {
    let text = |name| answer.argument(name).map(shown).unwrap_or_default();
    let seconds = answer.argument("NewLeaseDuration").and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let enabled = answer.argument("NewEnabled");
    TableEntry {
        external_port,
        transport,
        internal_client: text("NewInternalClient"),
        internal_port: answer.argument("NewInternalPort").and_then(|text| text.parse().ok()).unwrap_or(0),
        description: text("NewPortMappingDescription"),
        enabled: !enabled.is_some_and(|text| ["0", "false", "no"].iter().any(|no| text.eq_ignore_ascii_case(no))),
        lifetime: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        remote_host: text("NewRemoteHost"),
        this_machine: false,
    }
}

const fn protocol(transport: Transport) -> PortMappingProtocol {
    match transport {
        Transport::Udp => PortMappingProtocol::UDP,
        Transport::Tcp => PortMappingProtocol::TCP,
    }
}
