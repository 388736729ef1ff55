//! A libp2p peer at home, and one somewhere on the internet that pings it.
//!
//!     cargo run --example libp2p_ping serve            prints its addresses; Enter ends it
//!     cargo run --example libp2p_ping ask ADDRESS      on another machine

use std::error::Error;
use std::time::Duration;

use libp2p::futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, ping, tcp, yamux};
use libp2p_portlease::Behaviour;
use portlease::Config;

#[derive(NetworkBehaviour)]
struct Peer {
    ping: ping::Behaviour,
    portlease: Behaviour,
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await,
        ["ask", address] => ask(address.parse()?).await,
        _ => Err("usage: libp2p_ping serve | ask ADDRESS".into()),
    }
}

fn swarm() -> Outcome<Swarm<Peer>> {
    let portlease = Behaviour::new(Config::default())?;
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Peer { ping: ping::Behaviour::default(), portlease })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(10)))
        .build();
    Ok(swarm)
}

async fn serve() -> Outcome {
    let mut swarm = swarm()?;
    swarm.listen_on("/ip4/0.0.0.0/tcp/0".parse()?)?;
    swarm.listen_on("/ip6/::/tcp/0".parse()?)?;
    let mut enter = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ExternalAddrConfirmed { address } => println!("{address}/p2p/{}", swarm.local_peer_id()),
                SwarmEvent::ExternalAddrExpired { address } => println!("{address} is gone"),
                SwarmEvent::Behaviour(PeerEvent::Portlease(event)) => eprintln!("{event:?}"),
                _ => {}
            },
            line = &mut enter => {
                line??;
                break;
            }
        }
    }
    let mapper = swarm.behaviour().portlease.mapper().clone();
    drop(swarm);
    mapper.stop(None).await;
    Ok(())
}

async fn ask(address: Multiaddr) -> Outcome {
    let mut swarm = swarm()?;
    swarm.dial(address)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(PeerEvent::Ping(ping)) => {
                ping.result?;
                println!("pong from {}", ping.peer);
                return Ok(());
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
}
