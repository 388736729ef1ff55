#![doc = include_str!("../README.md")]

use std::io;
use std::net::SocketAddr;

use portlease::{Config, MapRequest, OpenPort, Transport};
use quinn::{Endpoint, ServerConfig};

/// Binds an endpoint and begins to map its port; does not wait for the mapping.
///
/// With port 0 the system chooses the port, so bind first and map then, as here. The endpoint serves the LAN in any case.
/// [`OpenPort::ready`] waits for the external address, and [`OpenPort::stop`] takes the mapping from the router.
///
/// Fails if the address cannot be bound, and if the configuration is invalid.
pub fn listen(address: SocketAddr, server: ServerConfig, config: Config) -> io::Result<(Endpoint, OpenPort)> {
    let endpoint = Endpoint::server(server, address)?;
    let port = endpoint.local_addr()?.port();
    let open = OpenPort::begin(config, MapRequest::new(port, Transport::Udp)).map_err(io::Error::other)?;
    Ok((endpoint, open))
}
