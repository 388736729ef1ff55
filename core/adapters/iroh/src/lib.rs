#![doc = include_str!("../README.md")]

use std::sync::Arc;

use iroh::Endpoint;
use portlease::{AddressClass, AddressFamily, Config, Lease, MapRequest, Mapper, PortMappingError, Release, Transport};
use tokio::task::JoinHandle;

/// Keeps the UDP ports of an endpoint mapped, IPv4 in the router's NAT and IPv6 in its firewall. As long as a port is mapped
/// to a public address, the endpoint tells its peers that address.
///
/// Ends with [`stop`](Self::stop), which waits, with a drop, or when the endpoint is closed; then it takes the addresses
/// from the endpoint. Until then it has a clone of the endpoint. The ports are those at the start.
#[derive(Debug)]
#[must_use = "dropping it releases the mappings"]
pub struct Reachable {
    mapper: Arc<Mapper>,
    tasks: Vec<JoinHandle<Option<()>>>,
}

impl Reachable {
    /// Begins to map and returns at once. Must be called in a tokio runtime.
    ///
    /// Fails with `invalid`, naming the field, or with `internal` if the system cannot start a thread.
    pub fn start(endpoint: &Endpoint, config: Config) -> Result<Self, PortMappingError> {
        let mut reachable = Self { mapper: Arc::new(Mapper::start(config)?), tasks: Vec::new() };
        for socket in endpoint.bound_sockets() {
            let family = if socket.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
            let lease = reachable.mapper.ensure(MapRequest::new(socket.port(), Transport::Udp).family(family))?;
            let following = follow(endpoint.clone(), lease);
            reachable.tasks.push(tokio::spawn(endpoint.closed().run_until(following)));
        }
        Ok(reachable)
    }

    /// The mapper: its events tell what the router said, and its leases how they stand.
    pub fn mapper(&self) -> &Arc<Mapper> {
        &self.mapper
    }

    /// Takes the addresses from the endpoint and the mappings from the router, and waits for both.
    pub async fn stop(mut self) -> Release {
        let release = self.mapper.stop(None).await;
        for task in self.tasks.drain(..) {
            // It has panicked, or its runtime is going down.
            let _ = task.await;
        }
        release
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        // The tasks see the end of their leases, and then end too.
        self.mapper.begin_stop();
    }
}

/// Tells the endpoint each change of the lease's external address, until the lease is over.
async fn follow(endpoint: Endpoint, lease: Lease) {
    let mut told = None;
    let mut seen = lease.snapshot();
    loop {
        // An address that is not public is that of a router behind another NAT.
        let external = seen.external().filter(|_| seen.address_class == AddressClass::Public);
        if external != told {
            if let Some(old) = told {
                endpoint.remove_external_addr(&old).await;
            }
            if let Some(new) = external {
                endpoint.add_external_addr(new).await;
            }
            told = external;
        }
        match lease.changed(seen.revision, None).await {
            Ok(snapshot) => seen = snapshot,
            Err(_) => return,
        }
    }
}
