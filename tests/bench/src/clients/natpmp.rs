//! The crate natpmp: NAT-PMP only; looks the gateway up itself. The external address is a request of its own.

use natpmp::{Response, new_tokio_natpmp};

use super::{Attempt, Client, Kind, LIFETIME, Mapped, Protocol, World};

pub(super) struct Natpmp;

impl Client for Natpmp {
    fn name(&self) -> &'static str {
        "natpmp"
    }

    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::NatPmp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let udp = natpmp::Protocol::UDP;
        let map = async {
            let mut client = new_tokio_natpmp().await?;
            client.send_public_address_request().await?;
            let address = client.read_response_or_retry().await?;
            client.send_port_mapping_request(udp, port, port, LIFETIME).await?;
            let mapping = client.read_response_or_retry().await?;
            Ok((client, address, mapping))
        };
        let map = async { map.await.map_err(|error: natpmp::Error| error.to_string()) };
        match world.attempt(map) {
            Err(failure) => Attempt::failed(failure),
            Ok((client, Response::Gateway(address), Response::UDP(mapping))) => Attempt::mapped(
                Mapped {
                    address: Some((*address.public_address()).into()),
                    port: mapping.public_port(),
                    protocol: None,
                },
                move || {
                    let unmap = async {
                        client.send_port_mapping_request(udp, port, 0, 0).await?;
                        client.read_response_or_retry().await.map(drop)
                    };
                    world.runtime.block_on(unmap).map_err(|error| error.to_string())
                },
            ),
            Ok((_, address, mapping)) => {
                Attempt::failed(super::Failure::Answer(format!("unexpected answers {address:?} and {mapping:?}")))
            }
        }
    }
}
