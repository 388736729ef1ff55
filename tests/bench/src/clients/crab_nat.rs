//! The crate crab_nat: PCP, and NAT-PMP where the gateway says that it is too old for PCP. Told the gateway and our
//! own address.

use std::net::IpAddr;
use std::num::NonZeroU16;

use crab_nat::{InternetProtocol, PortMapping, PortMappingOptions, PortMappingType};

use super::{Attempt, Client, Failure, Kind, LIFETIME, Mapped, Protocol, World};

pub(super) struct CrabNat;

impl Client for CrabNat {
    fn name(&self) -> &'static str {
        "crab_nat"
    }

    fn kind(&self) -> Kind {
        Kind::Library
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::Pcp, Protocol::NatPmp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let Some(internal) = NonZeroU16::new(port) else {
            return Attempt::failed(Failure::Answer("port 0".to_owned()));
        };
        let options = PortMappingOptions {
            external_port: Some(internal),
            lifetime_seconds: Some(LIFETIME),
            ..PortMappingOptions::default()
        };
        let map = async {
            PortMapping::new(
                IpAddr::from(world.gateway).into(),
                world.local.into(),
                InternetProtocol::Udp,
                internal,
                options,
            )
            .await
            .map_err(|error| error.to_string())
        };
        match world.attempt(map) {
            Err(failure) => Attempt::failed(failure),
            Ok(mapping) => {
                let (address, protocol) = match mapping.mapping_type() {
                    PortMappingType::Pcp { external_ip, .. } => (Some(external_ip), "pcp"),
                    PortMappingType::NatPmp => (None, "nat-pmp"),
                };
                Attempt::mapped(
                    Mapped { address, port: mapping.external_port().get(), protocol: Some(protocol.to_owned()) },
                    move || world.runtime.block_on(mapping.try_drop()).map_err(|(error, _)| error.to_string()),
                )
            }
        }
    }
}
