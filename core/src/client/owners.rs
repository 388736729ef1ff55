//! Which mappers of this process have which ports mapped. Two of them that map one port at one gateway may have one entry there;
//! the last one deletes it.
//!
//! The list belongs to one process. The child of a fork begins its own, because a thread that is gone may hold the lock of the
//! parent's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::client::pcp::nonces::Nonce;
use crate::mapping::{MapRequest, PortMapping, Protocol, ProtocolToken, Transport};
use crate::world::World;

/// So many entries of one port wait for its last owner at most; beyond that the oldest runs out by itself.
const MAX_LEFT: usize = 16;

static CURRENT: ArcSwapOption<Registry> = ArcSwapOption::const_empty();

/// All owners of one process.
#[derive(Debug)]
struct Registry {
    process: u32,
    last_id: AtomicU64,
    ports: Mutex<HashMap<Port, Shared>>,
}

/// A port of this machine, as one gateway sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Port {
    /// Where the gateway speaks PCP, which tells it from other gateways with its address.
    gateway: SocketAddr,
    local_address: IpAddr,
    transport: Transport,
    internal_port: u16,
}

/// What is known of one port. Lives as long as somebody uses it.
#[derive(Debug, Default)]
struct Shared {
    users: Vec<User>,
    /// By which PCP asks for it.
    nonce: Option<Nonce>,
    /// Entries whose own leases have ended, for the last user to delete.
    left: Vec<PortMapping>,
    /// What users have called their UPnP entries, those included that have ended.
    descriptions: Vec<String>,
}

/// A mapper that asks for the port, or has it mapped.
#[derive(Debug)]
struct User {
    member: u64,
    world: World,
    speaks: Vec<Protocol>,
    held: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    protocol: Protocol,
    external_port: u16,
}

impl Entry {
    fn of(mapping: &PortMapping) -> Self {
        Self { protocol: mapping.protocol, external_port: mapping.external.port() }
    }

    /// Whether both are the same entry of the same protocol. By PCP and NAT-PMP a port has one.
    fn is(self, other: Self) -> bool {
        self.protocol == other.protocol
            && (self.protocol != Protocol::Upnp || self.external_port == other.external_port)
    }

    /// Whether a delete of this one may hit `other`, in a table that may be that of all protocols. NAT-PMP deletes by the
    /// internal port alone.
    fn hits(self, other: Self) -> bool {
        match self.protocol {
            Protocol::NatPmp => true,
            Protocol::Pcp | Protocol::Upnp => self.is(other) || self.external_port == other.external_port,
            Protocol::None => false,
        }
    }
}

impl Registry {
    /// The list of this process.
    fn current() -> Arc<Self> {
        let process = std::process::id();
        loop {
            let current = CURRENT.load_full();
            if let Some(registry) = current.as_ref().filter(|registry| registry.process == process) {
                return Arc::clone(registry);
            }
            let fresh = Arc::new(Self { process, last_id: AtomicU64::new(0), ports: Mutex::default() });
            let before = CURRENT.compare_and_swap(&current, Some(fresh));
            // What the parent of a fork was just changing must not be looked at, so it is never dropped.
            std::mem::forget(arc_swap::Guard::into_inner(before));
            std::mem::forget(current);
        }
    }

    fn ports(&self) -> MutexGuard<'_, HashMap<Port, Shared>> {
        // Nothing under the lock panics half-way.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One mapper at one gateway. When it is dropped it owns nothing any more.
#[derive(Debug)]
pub(crate) struct Member {
    registry: Arc<Registry>,
    id: u64,
    gateway: SocketAddr,
    local_address: IpAddr,
    speaks: Vec<Protocol>,
    world: World,
}

impl Member {
    /// The mapper of `world`, which asks `gateway` by the protocols that it `speaks`.
    pub(crate) fn new(gateway: SocketAddr, local_address: IpAddr, speaks: Vec<Protocol>, world: World) -> Self {
        let registry = Registry::current();
        let id = registry.last_id.fetch_add(1, Ordering::Relaxed);
        Self { registry, id, gateway, local_address, speaks, world }
    }

    fn port(&self, (transport, internal_port): (Transport, u16)) -> Port {
        Port { gateway: self.gateway, local_address: self.local_address, transport, internal_port }
    }

    /// Acts on what is known of the port, if anything is.
    fn known<T>(&self, port: (Transport, u16), act: impl FnOnce(&mut Shared) -> T) -> Option<T> {
        self.registry.ports().get_mut(&self.port(port)).map(act)
    }

    /// This mapper is about to ask for the port. Answers with the nonce by which PCP asks for it: that of whoever asked first, or
    /// else `own`.
    pub(crate) fn asks(&self, request: &MapRequest, own: Option<Nonce>) -> Option<Nonce> {
        let mut ports = self.registry.ports();
        let shared = ports.entry(self.port(port_of(request))).or_default();
        if shared.user(self.id).is_none() {
            let (world, speaks) = (self.world.clone(), self.speaks.clone());
            shared.users.push(User { member: self.id, world, speaks, held: Vec::new() });
        }
        if shared.users.len() == 1 {
            // Alone: its own is as good, and the gateway may know it.
            shared.nonce = own.or(shared.nonce);
        }
        shared.nonce = shared.nonce.or(own);
        shared.nonce
    }

    /// This mapper calls the entry of the port so.
    pub(crate) fn describes(&self, request: &MapRequest, description: &str) {
        self.known(port_of(request), |shared| {
            if !shared.descriptions.iter().any(|known| known == description) {
                shared.descriptions.push(description.to_owned());
            }
        });
    }

    /// Whether a mapper of this process calls its entry of the port so.
    pub(crate) fn is_described(&self, port: (Transport, u16), description: &str) -> bool {
        self.known(port, |shared| shared.descriptions.iter().any(|known| known == description)).unwrap_or(false)
    }

    /// This mapper has the entry.
    pub(crate) fn has(&self, mapping: &PortMapping) {
        self.known(port_of(&mapping.request), |shared| {
            let entry = Entry::of(mapping);
            if let Some(user) = shared.user(self.id) {
                user.held.retain(|held| !held.is(entry));
                user.held.push(entry);
            }
            shared.left.retain(|left| !Entry::of(left).is(entry));
            if let ProtocolToken::Pcp { nonce } = mapping.token {
                shared.nonce = Some(nonce);
            }
        });
    }

    /// The entry is gone, or left to its lifetime.
    pub(crate) fn lost(&self, mapping: &PortMapping) {
        self.known(port_of(&mapping.request), |shared| {
            if let Some(user) = shared.user(self.id) {
                user.held.retain(|held| !held.is(Entry::of(mapping)));
            }
        });
    }

    /// This mapper needs the entry no more. Answers whether it has to delete it: otherwise another one has it too, or something
    /// that the delete may hit, and the last one deletes it.
    pub(crate) fn gives_up(&self, mapping: &PortMapping) -> bool {
        self.lost(mapping);
        let entry = Entry::of(mapping);
        let kept = self.known(port_of(&mapping.request), |shared| {
            let others = || shared.users.iter().filter(|user| user.member != self.id);
            let heir =
                |user: &User| user.held.iter().any(|held| entry.hits(*held)) && user.speaks.contains(&entry.protocol);
            if !others().any(heir) {
                return false;
            }
            if !others().any(|user| user.held.iter().any(|held| held.is(entry))) {
                if shared.left.len() == MAX_LEFT {
                    shared.left.remove(0);
                }
                shared.left.push(mapping.clone());
            }
            true
        });
        !kept.unwrap_or(false)
    }

    /// Whether another mapper has something that a delete by `protocol` may hit: of the external port, or of any.
    pub(crate) fn is_anothers(&self, port: (Transport, u16), protocol: Protocol, external_port: Option<u16>) -> bool {
        let hits = |held: &Entry| match external_port {
            Some(external_port) => Entry { protocol, external_port }.hits(*held),
            None => true,
        };
        let others = |shared: &mut Shared| {
            shared.users.iter().filter(|user| user.member != self.id).any(|user| user.held.iter().any(hits))
        };
        self.known(port, others).unwrap_or(false)
    }

    /// Whether another mapper has the external port, for another port of this machine.
    pub(crate) fn is_taken(&self, (transport, internal_port): (Transport, u16), external_port: u16) -> bool {
        self.taken_for(transport, external_port).iter().any(|port| *port != internal_port)
    }

    /// The ports of this machine for which other mappers have the external port.
    pub(crate) fn taken_for(&self, transport: Transport, external_port: u16) -> Vec<u16> {
        let here = |port: &Port| {
            (port.gateway, port.local_address, port.transport) == (self.gateway, self.local_address, transport)
        };
        let has =
            |user: &User| user.member != self.id && user.held.iter().any(|held| held.external_port == external_port);
        let ports = self.registry.ports();
        let taken = ports.iter().filter(|(port, shared)| here(port) && shared.users.iter().any(has));
        taken.map(|(port, _)| port.internal_port).collect()
    }

    /// A delete of what this mapper had there was sent. A mapper that asked for the port meanwhile may have been hit by it.
    pub(crate) fn has_deleted(&self, request: &MapRequest) {
        let others = self.known(port_of(request), |shared| {
            let others = shared.users.iter().filter(|user| user.member != self.id);
            others.map(|user| user.world.clone()).collect::<Vec<_>>()
        });
        others.into_iter().flatten().for_each(|world| world.unsure());
    }

    /// What the last user of the port has to delete, if that is this mapper.
    pub(crate) fn inherits(&self, request: &MapRequest) -> Vec<PortMapping> {
        let take = |shared: &mut Shared| {
            let last = shared.users.iter().all(|user| user.member == self.id);
            if last { std::mem::take(&mut shared.left) } else { Vec::new() }
        };
        self.known(port_of(request), take).unwrap_or_default()
    }

    /// The lease of the port has ended.
    pub(crate) fn ends(&self, request: &MapRequest) {
        let mut ports = self.registry.ports();
        let port = self.port(port_of(request));
        if ports.get_mut(&port).is_some_and(|shared| !shared.is_used_without(self.id)) {
            ports.remove(&port);
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // The child of a fork has not made what it would take out, and must not wait for the lock.
        if self.registry.process == std::process::id() {
            self.registry.ports().retain(|_, shared| shared.is_used_without(self.id));
        }
    }
}

impl Shared {
    /// Takes a user out. Returns whether there is any other.
    fn is_used_without(&mut self, member: u64) -> bool {
        self.users.retain(|user| user.member != member);
        !self.users.is_empty()
    }

    fn user(&mut self, member: u64) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.member == member)
    }
}

fn port_of(request: &MapRequest) -> (Transport, u16) {
    (request.transport, request.internal_port)
}

#[cfg(test)]
#[path = "owners_tests.rs"]
mod tests;
