#![doc = include_str!("../README.md")]

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::{ExpiredListenAddr, NewListenAddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use portlease::{
    AddressClass, AddressFamily, Config, ErrorReport, Lease, LeaseSnapshot, MapRequest, Mapper, PortMappingError,
    Transport,
};

type Action = ToSwarm<Event, Infallible>;
type Change = Pin<Box<dyn Future<Output = Result<LeaseSnapshot, PortMappingError>> + Send>>;
/// Listen addresses with the same key share a lease: those of several interfaces, or of QUIC and WebRTC on one UDP port.
type Key = (AddressFamily, Transport, u16);

/// Why peers on the internet cannot connect to a port.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The router does not map the port, or there is none. portlease keeps trying; the next event of this port comes after a
    /// success.
    Failed {
        /// The transport of the port.
        transport: Transport,
        /// The port on this machine.
        port: u16,
        /// What failed, and why.
        error: Arc<ErrorReport>,
    },
    /// The router maps the port, but its own external address is not public: another NAT is before it, often the
    /// provider's. The swarm does not get this address.
    NotPublic {
        /// The router's external address, and the port there.
        external: SocketAddr,
    },
}

/// Maps each listen address that is not loopback, IPv4 in the router's NAT and IPv6 in its firewall.
///
/// Dropping it, for instance with the swarm, releases the mappings in the background. A program that ends right after that
/// may end before the release: call `stop` of its [`mapper`](Self::mapper) first.
#[derive(Debug)]
pub struct Behaviour {
    mapper: Arc<Mapper>,
    /// Whether loopback addresses are mapped too, because the gateway is a simulated one on loopback.
    simulated: bool,
    ports: HashMap<Key, Port>,
    actions: VecDeque<Action>,
}

/// A leased port.
struct Port {
    lease: Lease,
    /// The next change of the lease; `None` once it is over.
    change: Option<Change>,
    /// The lease as it was last seen.
    seen: LeaseSnapshot,
    listeners: BTreeSet<Multiaddr>,
    /// What the swarm has been told.
    confirmed: BTreeSet<Multiaddr>,
    /// Whether an [`Event`] has been sent since the last success.
    complained: bool,
}

impl Behaviour {
    /// Starts portlease's engine. Does not touch the network before the swarm listens.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` if the system cannot start a thread.
    pub fn new(config: Config) -> Result<Self, PortMappingError> {
        let config = config.with_environment()?;
        let simulated = config.gateway.is_some_and(|gateway| IpAddr::from(gateway).is_loopback());
        let mapper = Arc::new(Mapper::start(config)?);
        Ok(Self { mapper, simulated, ports: HashMap::new(), actions: VecDeque::new() })
    }

    /// The mapper: for its `stop` before the program ends, its events, and everything else that it can tell.
    pub fn mapper(&self) -> &Arc<Mapper> {
        &self.mapper
    }

    fn listen(&mut self, listener: &Multiaddr) {
        let Some(key) = self.key(listener) else { return };
        let port = match self.ports.remove(&key) {
            Some(port) => port,
            None => match self.mapper.map(MapRequest::new(key.2, key.1).family(key.0)) {
                Ok(lease) => Port::new(lease),
                Err(error) => {
                    let error = Arc::new(ErrorReport::from(&error));
                    let event = Event::Failed { transport: key.1, port: key.2, error };
                    return self.actions.push_back(ToSwarm::GenerateEvent(event));
                }
            },
        };
        let port = self.ports.entry(key).or_insert(port);
        port.listeners.insert(listener.clone());
        port.publish(&mut self.actions);
    }

    fn expire(&mut self, listener: &Multiaddr) {
        let Some(key) = self.key(listener) else { return };
        let Some(port) = self.ports.get_mut(&key) else { return };
        port.listeners.remove(listener);
        port.publish(&mut self.actions);
        if port.listeners.is_empty() {
            self.ports.remove(&key);
        }
    }

    /// The port to map for a listen address, if it can be reached from other machines.
    fn key(&self, listener: &Multiaddr) -> Option<Key> {
        let mut parts = listener.iter();
        let (family, reaches) = match parts.next()? {
            Protocol::Ip4(ip) => (AddressFamily::Ipv4, !ip.is_loopback()),
            Protocol::Ip6(ip) => (AddressFamily::Ipv6, !ip.is_loopback() && !ip.is_unicast_link_local()),
            _ => return None,
        };
        let (transport, port) = match parts.next()? {
            Protocol::Tcp(port) => (Transport::Tcp, port),
            Protocol::Udp(port) => (Transport::Udp, port),
            _ => return None,
        };
        (port != 0 && (reaches || self.simulated)).then_some((family, transport, port))
    }
}

impl Port {
    fn new(lease: Lease) -> Self {
        let seen = lease.snapshot();
        let change = Some(next_change(&lease, &seen));
        Self { lease, change, seen, listeners: BTreeSet::new(), confirmed: BTreeSet::new(), complained: false }
    }

    /// Tells the swarm what has changed, as far as it has not been told yet.
    fn publish(&mut self, actions: &mut VecDeque<Action>) {
        let external = self.seen.external().filter(|_| self.seen.address_class == AddressClass::Public);
        let now: BTreeSet<_> = match external {
            Some(external) => {
                self.listeners.iter().filter_map(|listener| seen_from_outside(listener, external)).collect()
            }
            None => BTreeSet::new(),
        };
        let gone = self.confirmed.difference(&now).cloned().map(ToSwarm::ExternalAddrExpired);
        let new = now.difference(&self.confirmed).cloned().map(ToSwarm::ExternalAddrConfirmed);
        actions.extend(gone.chain(new));
        self.confirmed = now;
    }

    fn complain(&mut self, actions: &mut VecDeque<Action>) {
        let LeaseSnapshot { transport, internal_port: port, .. } = self.seen;
        let event = match (self.seen.external(), &self.seen.last_error) {
            (Some(_), _) if self.seen.address_class == AddressClass::Public => {
                self.complained = false;
                return;
            }
            (Some(external), _) => Event::NotPublic { external },
            (None, Some(error)) => Event::Failed { transport, port, error: Arc::clone(error) },
            (None, None) => return,
        };
        if !std::mem::replace(&mut self.complained, true) {
            actions.push_back(ToSwarm::GenerateEvent(event));
        }
    }

    /// Follows the lease to its present state.
    fn poll(&mut self, cx: &mut Context<'_>, actions: &mut VecDeque<Action>) {
        while let Some(Poll::Ready(outcome)) = self.change.as_mut().map(|change| change.as_mut().poll(cx)) {
            self.change = match outcome {
                Ok(seen) => {
                    self.seen = seen;
                    self.publish(actions);
                    self.complain(actions);
                    Some(next_change(&self.lease, &self.seen))
                }
                // Somebody has stopped the mapper.
                Err(_) => None,
            };
        }
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("listeners", &self.listeners)
            .field("confirmed", &self.confirmed)
            .finish_non_exhaustive()
    }
}

fn next_change(lease: &Lease, seen: &LeaseSnapshot) -> Change {
    let (lease, revision) = (lease.clone(), seen.revision);
    Box::pin(async move { lease.changed(revision, None).await })
}

/// The listen address as it is on the internet: the router's address and port in place of this machine's.
fn seen_from_outside(listener: &Multiaddr, external: SocketAddr) -> Option<Multiaddr> {
    let port = external.port();
    listener.replace(0, |_| Some(external.ip().into()))?.replace(1, |protocol| match protocol {
        Protocol::Tcp(_) => Some(Protocol::Tcp(port)),
        Protocol::Udp(_) => Some(Protocol::Udp(port)),
        _ => None,
    })
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::NewListenAddr(NewListenAddr { addr, .. }) => self.listen(addr),
            FromSwarm::ExpiredListenAddr(ExpiredListenAddr { addr, .. }) => self.expire(addr),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        for port in self.ports.values_mut() {
            port.poll(cx, &mut self.actions);
        }
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_stands_behind_the_port_is_kept_outside() {
        for (listener, external, outside) in [
            ("/ip4/192.168.1.5/tcp/4001", "8.8.8.8:5001", "/ip4/8.8.8.8/tcp/5001"),
            ("/ip4/192.168.1.5/tcp/4001/ws", "8.8.8.8:4001", "/ip4/8.8.8.8/tcp/4001/ws"),
            ("/ip4/192.168.1.5/udp/4001/quic-v1", "8.8.8.8:5001", "/ip4/8.8.8.8/udp/5001/quic-v1"),
            ("/ip6/2600::5/udp/4001/quic-v1", "[2600::6]:4001", "/ip6/2600::6/udp/4001/quic-v1"),
        ] {
            let external = external.parse().expect("an external address");
            assert_eq!(seen_from_outside(&address(listener), external), Some(address(outside)));
        }
    }

    #[test]
    fn only_ports_that_other_machines_can_reach_are_mapped() {
        let behaviour = Behaviour::new(Config::default().gateway([192, 168, 1, 1])).expect("a mapper");
        for (listener, key) in [
            ("/ip4/192.168.1.5/tcp/4001", Some((AddressFamily::Ipv4, Transport::Tcp, 4001))),
            ("/ip4/10.0.0.5/udp/4001/quic-v1", Some((AddressFamily::Ipv4, Transport::Udp, 4001))),
            ("/ip6/2600::5/tcp/4001", Some((AddressFamily::Ipv6, Transport::Tcp, 4001))),
            ("/ip4/127.0.0.1/tcp/4001", None),
            ("/ip6/::1/tcp/4001", None),
            ("/ip6/fe80::5/tcp/4001", None),
            ("/memory/7", None),
            ("/p2p-circuit", None),
        ] {
            assert_eq!(behaviour.key(&address(listener)), key, "{listener}");
        }
    }
}
