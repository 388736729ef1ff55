//! An echo server over iroh at home, and a client for it somewhere on the internet, without a relay.
//!
//!     cargo run --example iroh_echo serve              prints its id and its address; Enter ends it
//!     cargo run --example iroh_echo ask ID ADDRESS     on another machine

use std::error::Error;

use iroh::endpoint::{Incoming, PortmapperConfig, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, Watcher};
use iroh_portlease::Reachable;
use portlease::Config;

const PROTOCOL: &[u8] = b"portlease/echo";

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await,
        ["ask", id, address] => ask(EndpointAddr::new(id.parse()?).with_ip_addr(address.parse()?)).await,
        _ => Err("usage: iroh_echo serve | ask ID ADDRESS".into()),
    }
}

/// An endpoint without iroh's own port mapping. With relays, use `presets::N0` and leave out `relay_mode`.
async fn endpoint() -> Result<Endpoint, Box<dyn Error + Send + Sync>> {
    let builder = Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled);
    let builder = builder.portmapper_config(PortmapperConfig::Disabled);
    Ok(builder.alpns(vec![PROTOCOL.to_vec()]).bind().await?)
}

async fn serve() -> Outcome {
    let endpoint = endpoint().await?;
    let reachable = Reachable::start(&endpoint, Config::default())?;
    let lease = reachable.mapper().leases().into_iter().next().ok_or("the endpoint has no port")?;
    let external = lease.ready(None).await?.external().ok_or("the router does not know its address")?;
    // Peers are told this address too.
    let mut addresses = endpoint.watch_addr();
    while !addresses.get().ip_addrs().any(|address| *address == external) {
        addresses.updated().await?;
    }
    println!("{} {external}", endpoint.id());

    let accepting = tokio::spawn({
        let endpoint = endpoint.clone();
        async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move { answer(incoming).await.inspect_err(|error| eprintln!("{error}")) });
            }
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    reachable.stop().await;
    endpoint.close().await;
    accepting.await?;
    Ok(())
}

/// Sends back what each stream brings.
async fn answer(incoming: Incoming) -> Outcome {
    let connection = incoming.await?;
    while let Ok((mut to, mut from)) = connection.accept_bi().await {
        let heard = from.read_to_end(1024).await?;
        to.write_all(&heard).await?;
        to.finish()?;
    }
    Ok(())
}

async fn ask(address: EndpointAddr) -> Outcome {
    let endpoint = endpoint().await?;
    let connection = endpoint.connect(address, PROTOCOL).await?;
    let (mut to, mut from) = connection.open_bi().await?;
    to.write_all(b"hello").await?;
    to.finish()?;
    println!("{}", String::from_utf8(from.read_to_end(1024).await?)?);
    connection.close(0u32.into(), b"");
    endpoint.close().await;
    Ok(())
}
