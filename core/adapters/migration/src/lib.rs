//! The calls of other crates in `core/MIGRATION.md`. They are compiled, so that the page names what these crates have; nothing runs them.
#![allow(missing_docs, clippy::missing_errors_doc)]

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::thread;

use crab_nat::{GatewayAddress, InternetProtocol, PortMapping, PortMappingOptions};
use igd_next::{GetGenericPortMappingEntryError, PortMappingProtocol, SearchOptions};
use natpmp::{Natpmp, Response};

type Outcome = Result<(), Box<dyn Error>>;

pub fn igd_next_blocking(local_address: SocketAddr) -> Outcome {
    let gateway = igd_next::search_gateway(SearchOptions::default())?;
    println!("{}", gateway.get_external_ip()?);
    gateway.add_port(PortMappingProtocol::TCP, 80, local_address, 3600, "web")?; // again within the hour
    gateway.remove_port(PortMappingProtocol::TCP, 80)?;
    Ok(())
}

pub async fn igd_next_async(local_address: SocketAddr) -> Result<SocketAddr, Box<dyn Error>> {
    let gateway = igd_next::aio::tokio::search_gateway(SearchOptions::default()).await?;
    let external = gateway.get_any_address(PortMappingProtocol::UDP, local_address, 3600, "game").await?;
    Ok(external)
}

pub fn igd_next_table(gateway: &igd_next::Gateway) -> Outcome {
    for index in 0.. {
        match gateway.get_generic_port_mapping_entry(index) {
            Ok(entry) => println!("{} {}", entry.external_port, entry.internal_client),
            Err(GetGenericPortMappingEntryError::SpecifiedArrayIndexInvalid) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub fn natpmp() -> Outcome {
    let mut client = Natpmp::new()?;
    client.send_port_mapping_request(natpmp::Protocol::UDP, 4000, 4000, 3600)?; // again within the hour
    let mapping = loop {
        thread::sleep(client.get_natpmp_request_timeout()?);
        match client.read_response_or_retry() {
            Ok(Response::UDP(mapping)) => break mapping,
            Ok(_) | Err(natpmp::Error::NATPMP_TRYAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    };
    println!("{}", mapping.public_port());
    client.send_port_mapping_request(natpmp::Protocol::UDP, 4000, 0, 0)?; // deletes it
    Ok(())
}

pub async fn crab_nat(gateway: GatewayAddress, local_address: IpAddr, port: NonZeroU16) -> Outcome {
    let options = PortMappingOptions { external_port: NonZeroU16::new(4000), ..PortMappingOptions::default() };
    let mut mapping = PortMapping::new(gateway, local_address, InternetProtocol::Udp, port, options).await?;
    println!("{}", mapping.external_port());
    mapping.renew().await?; // before mapping.expiration()
    mapping.try_drop().await.map_err(|(error, _)| error)?;
    Ok(())
}

pub async fn portmapper(port: NonZeroU16) {
    let client = portmapper::Client::new(portmapper::Config::default());
    client.update_local_port(port);
    let mut external = client.watch_external_address();
    while external.changed().await.is_ok() {
        println!("{:?}", *external.borrow());
    }
}
