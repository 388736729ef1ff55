//! The same turns that the programs of the other languages take (`languages/`), in plain Rust: what they are measured by.

use std::hint::black_box;
use std::io::{self, BufRead};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use portlease::{Config, MapRequest, Mapper, PortMappingError, Protocol, Transport};

use crate::record::print;

const READY: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The simulated gateway's address.
    gateway: IpAddr,
    /// Its PCP port.
    pcp_port: u16,
    /// Where it hears SSDP searches.
    ssdp_address: SocketAddr,
    /// The local port of the lease that is read.
    port: u16,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::default()
        .gateway(arguments.gateway)
        .pcp_port(arguments.pcp_port)
        .ssdp_address(arguments.ssdp_address)
        .protocols([Protocol::Pcp]);
    let text = |error: PortMappingError| error.to_string();
    let mapper = Mapper::start(config).map_err(text)?;
    let lease = mapper.map(MapRequest::new(arguments.port, Transport::Udp)).map_err(text)?;
    portlease::wait(lease.ready(READY)).map_err(text)?;

    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("cannot read standard input: {error}"))?;
        let (verb, number) = line.split_once(' ').ok_or("want `snapshot READS` or `map PORT`")?;
        let number: u32 = number.parse().map_err(|error| format!("{number}: {error}"))?;
        let begin = Instant::now();
        match verb {
            "snapshot" => (0..number).for_each(|_| drop(black_box(lease.snapshot()))),
            "map" => {
                let port = u16::try_from(number).map_err(|error| format!("{number}: {error}"))?;
                let lease = mapper.map(MapRequest::new(port, Transport::Udp)).map_err(text)?;
                portlease::wait(lease.ready(READY)).map_err(text)?;
                portlease::wait(lease.stop(None));
            }
            _ => return Err(format!("{verb}: want snapshot or map")),
        }
        print(&begin.elapsed().as_nanos())?;
    }
    portlease::wait(mapper.stop(None));
    Ok(())
}
