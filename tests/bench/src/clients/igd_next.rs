//! The crate igd-next: UPnP only. It takes the first device that answers its search. Told our own address.

use std::net::SocketAddr;

use igd_next::PortMappingProtocol::UDP;
use igd_next::aio::tokio::search_gateway;

use super::{Attempt, Client, Kind, LIFETIME, Mapped, Protocol, World};

pub(super) struct IgdNext;

impl Client for IgdNext {
    fn name(&self) -> &'static str {
        "igd-next"
    }

    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::Upnp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let map = async {
            let gateway = search_gateway(Default::default()).await.map_err(|error| error.to_string())?;
            let address = gateway.get_external_ip().await.map_err(|error| error.to_string())?;
            let internal = SocketAddr::from((world.local, port));
            gateway.add_port(UDP, port, internal, LIFETIME, "bench").await.map_err(|error| error.to_string())?;
            Ok((gateway, address))
        };
        match world.attempt(map) {
            Err(failure) => Attempt::failed(failure),
            Ok((gateway, address)) => {
                Attempt::mapped(Mapped { address: Some(address), port, protocol: None }, move || {
                    world.runtime.block_on(gateway.remove_port(UDP, port)).map_err(|error| error.to_string())
                })
            }
        }
    }
}
