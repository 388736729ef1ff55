//! A small router on `[::1]` with an IPv6 firewall, for tests. It checks nothing but the number of a pinhole.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{PinholeConfig, PinholeMapper};
use crate::client::upnp::peer::{Answer, Call, Ssdp, Web, answer, fault, ok};

pub(super) const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1";
pub(super) const IGD: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:2";
pub(super) const HOME: Ipv6Addr = Ipv6Addr::LOCALHOST;

/// An action in short: `AddPinhole 17 4000 3600`, `UpdatePinhole 1 3600`, `DeletePinhole 1`.
pub(super) fn short(call: &Call) -> String {
    let names = ["UniqueID", "Protocol", "InternalPort", "LeaseTime", "NewLeaseTime"];
    let arguments = names.iter().map(|name| call.argument(name)).filter(|argument| !argument.is_empty());
    [call.action.as_str()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

#[derive(Debug, Default)]
struct State {
    /// Protocol, port and lease by number.
    open: BTreeMap<u16, (String, String, u32)>,
    last: u16,
    numbers_anew: bool,
}

/// What is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Pinholes(Arc<Mutex<State>>);

impl Pinholes {
    /// Each request gets a pinhole of its own, against the standard.
    pub(super) fn number_anew(&self) {
        self.0.lock().unwrap().numbers_anew = true;
    }

    /// Numbers and leases for `17 4000`, protocol and port.
    pub(super) fn of(&self, what: &str) -> Vec<(u16, u32)> {
        let is_it = |protocol: &str, port: &str| format!("{protocol} {port}") == what;
        let state = self.0.lock().unwrap();
        let found = state.open.iter().filter(|(_, (protocol, port, _))| is_it(protocol, port));
        found.map(|(number, (.., lease))| (*number, *lease)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().open.len()
    }

    /// A restart: all is closed, and numbers begin again.
    pub(super) fn restart(&self) {
        let mut state = self.0.lock().unwrap();
        (state.open, state.last) = (BTreeMap::new(), 0);
    }

    /// Opens a port in the name of another program of this machine.
    pub(super) fn open(&self, protocol: &str, port: u16) {
        let mut state = self.0.lock().unwrap();
        state.last += 1;
        let number = state.last;
        state.open.insert(number, (protocol.to_owned(), port.to_string(), 3600));
    }

    /// Does what the call says and answers it. `None`: the call is not about pinholes.
    pub(super) fn act(&self, call: &Call) -> Option<String> {
        let mut state = self.0.lock().unwrap();
        let number = call.argument("UniqueID").parse().unwrap_or_default();
        let lease = |name| call.argument(name).parse().unwrap();
        let done = Some(ok(&call.action, &[]));
        match &*call.action {
            "AddPinhole" => {
                let hole = (call.argument("Protocol").to_owned(), call.argument("InternalPort").to_owned());
                let is_it = |(protocol, port, _): &(String, String, u32)| (protocol, port) == (&hole.0, &hole.1);
                let known = state.open.iter().find(|(_, open)| is_it(open)).map(|(number, _)| *number);
                let number = known.filter(|_| !state.numbers_anew).unwrap_or_else(|| {
                    state.last += 1;
                    state.last
                });
                state.open.insert(number, (hole.0, hole.1, lease("LeaseTime")));
                Some(ok("AddPinhole", &[("UniqueID", &number.to_string())]))
            }
            "UpdatePinhole" => match state.open.get_mut(&number) {
                Some((.., left)) => {
                    *left = lease("NewLeaseTime");
                    done
                }
                None => Some(fault(704)),
            },
            "DeletePinhole" => {
                if state.open.remove(&number).is_some() {
                    done
                } else {
                    Some(fault(704))
                }
            }
            "CheckPinholeWorking" => Some(fault(if state.open.contains_key(&number) { 709 } else { 704 })),
            "GetFirewallStatus" => {
                Some(ok("GetFirewallStatus", &[("FirewallEnabled", "1"), ("InboundPinholeAllowed", "1")]))
            }
            _ => None,
        }
    }
}

/// A router, the way to find it, and a mapper.
pub(super) struct Router {
    pub(super) pinholes: Pinholes,
    pub(super) web: Web,
    pub(super) ssdp: Ssdp,
    pub(super) mapper: PinholeMapper,
}

impl Router {
    /// One that does what it is asked for, but for what `rule` answers. `None` on a machine without IPv6.
    pub(super) async fn start(
        rule: impl Fn(&Call, &Pinholes) -> Option<String> + Send + Sync + 'static,
    ) -> Option<Self> {
        if !has_ipv6() {
            return None;
        }
        let pinholes = Pinholes::default();
        let of_the_web = pinholes.clone();
        let act = move |call: &Call| rule(call, &of_the_web).or_else(|| of_the_web.act(call));
        let web = Web::start_at((HOME, 0).into(), &[(SERVICE, "/ctl")], act).await;
        let ssdp = found_at(&web.location()).await;
        let mapper = PinholeMapper::new(asking(&ssdp));
        Some(Self { pinholes, web, ssdp, mapper })
    }

    /// The actions so far, in short.
    pub(super) fn actions(&self) -> Vec<String> {
        self.web.calls().iter().filter(|call| !call.action.is_empty()).map(short).collect()
    }
}

/// Says so if there is no IPv6 here.
pub(super) fn has_ipv6() -> bool {
    UdpSocket::bind((HOME, 0)).inspect_err(|error| eprintln!("skipped: no IPv6 on this machine: {error}")).is_ok()
}

/// Answers no search.
pub(super) async fn silent() -> Ssdp {
    Ssdp::start_at(HOME.into(), Vec::new()).await
}

/// Answers searches with this location.
pub(super) async fn found_at(location: &str) -> Ssdp {
    let answer = Answer { from: HOME.into(), text: answer(location, IGD), after: Duration::ZERO };
    Ssdp::start_at(HOME.into(), vec![answer]).await
}

pub(super) fn asking(ssdp: &Ssdp) -> PinholeConfig {
    PinholeConfig::new(HOME, HOME).ssdp_address(ssdp.address)
}
