//! `portlease demo`: the whole story on a simulated router.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use portlease::{Config, EventKind, Lease, MapRequest, Mapper, PortMappingError, RetryPolicy, Transport};
use portlease_gateway::{Gateway, GatewayConfig, Mapping};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::event;
use crate::outcome::{DONE, Failure, Outcome};
use crate::output::Output;
use crate::text::Colour;

/// Short, so that a renewal comes while people watch.
const TTL: Duration = Duration::from_secs(2);
/// How long each step may take.
const STEP_DEADLINE: Duration = Duration::from_secs(3);
/// What is sent from outside, and expected back.
const QUESTION: &[u8] = b"hello from the internet";
const MAX_DATAGRAM: usize = 1500;

const LONG_ABOUT: &str = "\
See it work: starts a simulated router and a small program inside this process, maps the program's port, sends it a \
datagram from outside, waits for a renewal, and releases.

Needs no network, no router and no rights; everything stays on the loopback interface. Takes about 2 s.";

/// See it work, on a simulated router on this machine
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct DemoArgs {}

pub(crate) async fn run(_args: DemoArgs) -> Outcome {
    let output = Output::plain();
    let mut step = 0;
    let mut tell = |text: String| {
        step += 1;
        output.line(output.paint().colour(Colour::Green, &format!("{step}.")) + " " + text)
    };
    play(GatewayConfig::default(), &mut tell).await?;
    output.line("")?;
    output.line("The same with your own router: portlease map 4000/udp; if it does not work: portlease doctor")?;
    Ok(DONE)
}

/// Runs every step and tells about each that succeeded. Fails with the first that did not.
async fn play(config: GatewayConfig, tell: &mut impl FnMut(String) -> io::Result<()>) -> Result<(), Failure> {
    let gateway = Gateway::start(config)
        .map_err(|error| PortMappingError::internal(format!("the simulated router did not start: {error}")))?;
    let known = gateway.state().external_address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tell(format!("a simulated router runs at {}; its external address is {known}", gateway.address()))?;

    let app = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| open_failed(&error))?;
    let port = app.local_addr().map_err(|error| open_failed(&error))?.port();
    tell(format!("a program listens on UDP port {port}, inside"))?;

    let config = Config::default()
        .gateway(gateway.address())
        .pcp_port(gateway.pcp_port())
        .ssdp_address(gateway.ssdp_address())
        .ttl(TTL)
        .retry(RetryPolicy::Never);
    let mapper = Mapper::start(config)?;
    let told = map_and_use(&mapper, &gateway, &app, port, tell).await;
    // Also after a failed step: nothing is left behind.
    mapper.stop(None).await;
    told?;

    let left = gateway.mappings();
    if !left.is_empty() {
        return Err(failed(format!("the router still has {} mapping(s) after the release", left.len())));
    }
    tell("released: the router's table is empty again".to_owned())?;
    Ok(())
}

async fn map_and_use(
    mapper: &Mapper,
    gateway: &Gateway,
    app: &UdpSocket,
    port: u16,
    tell: &mut impl FnMut(String) -> io::Result<()>,
) -> Result<(), Failure> {
    let lease: Lease = mapper.map(MapRequest::new(port, Transport::Udp))?;
    lease.ready(STEP_DEADLINE).await?;
    let installed = next(mapper, EventKind::Installed).await?;
    tell(installed)?;

    let mapping = in_table(gateway, port)?;
    tell(greet(app, mapping.reach).await?)?;

    tell(next(mapper, EventKind::Renewed).await?)?;

    let mapping = in_table(gateway, port)?;
    tell(greet(app, mapping.reach).await?)?;
    Ok(())
}

/// Waits for an event of this kind and puts it into words.
async fn next(mapper: &Mapper, kind: EventKind) -> Result<String, Failure> {
    let event = mapper.next_event(STEP_DEADLINE).await?;
    match event::good_news(&event, &event::port(&event, None)) {
        Some(news) if event.kind == kind => Ok(news),
        _ => {
            let why = event.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
            Err(failed(format!("`{kind}` was expected, but `{}` happened{why}", event.kind)))
        }
    }
}

fn in_table(gateway: &Gateway, port: u16) -> Result<Mapping, Failure> {
    let mappings = gateway.mappings();
    mappings
        .into_iter()
        .find(|mapping| mapping.internal.port() == port)
        .ok_or_else(|| failed("the router's table does not have the mapping".to_owned()))
}

/// Sends a datagram from outside to the router; the program inside answers it.
async fn greet(app: &UdpSocket, router: SocketAddr) -> Result<String, Failure> {
    let exchange = async {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        peer.send_to(QUESTION, router).await?;
        let mut buffer = [0; MAX_DATAGRAM];
        let (length, from) = app.recv_from(&mut buffer).await?;
        let arrived = buffer[..length].to_vec();
        app.send_to(&arrived, from).await?;
        let (length, _) = peer.recv_from(&mut buffer).await?;
        Ok::<_, io::Error>((arrived, buffer[..length].to_vec()))
    };
    let (arrived, answer) = match timeout(STEP_DEADLINE, exchange).await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return Err(PortMappingError::transport("the datagram from outside", error).into()),
        Err(_) => return Err(failed("the datagram from outside did not come through".to_owned())),
    };
    if arrived != QUESTION || answer != QUESTION {
        return Err(failed("another datagram came through than the one that was sent".to_owned()));
    }
    Ok(format!(
        "a datagram sent to the router from outside arrived at the program: \"{}\", and its answer went back",
        String::from_utf8_lossy(&arrived)
    ))
}

fn open_failed(error: &io::Error) -> PortMappingError {
    PortMappingError::internal(format!("cannot open a UDP port on loopback: {error}"))
}

fn failed(message: String) -> Failure {
    PortMappingError::internal(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portlease::ErrorKind;
    use portlease_gateway::{Faults, Mode};

    async fn play_with(faults: Faults) -> (Result<(), Failure>, Vec<String>) {
        let mut told = Vec::new();
        let config = GatewayConfig { faults, ..GatewayConfig::default() };
        let result = play(config, &mut |text| {
            told.push(text);
            Ok(())
        })
        .await;
        (result, told)
    }

    #[tokio::test]
    async fn a_router_that_refuses_ends_the_story_at_the_mapping() {
        let faults =
            Faults { pcp: Mode::Refuse(2), nat_pmp: Mode::Refuse(2), upnp: Mode::Refuse(606), ..Faults::default() };
        let (result, told) = play_with(faults).await;
        assert!(matches!(&result, Err(Failure::Mapping(error)) if error.kind() == ErrorKind::Refused), "{result:?}");
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[tokio::test]
    async fn a_mapping_that_the_router_loses_ends_the_story() {
        let (result, told) = play_with(Faults { lease_lost: true, ..Faults::default() }).await;
        assert!(matches!(&result, Err(Failure::Mapping(error)) if error.to_string().contains("table")), "{result:?}");
        assert_eq!(told.len(), 3, "{told:?}");
    }

    #[tokio::test]
    async fn nobody_to_tell_ends_the_story() {
        let result = play(GatewayConfig::default(), &mut |_| Err(io::ErrorKind::BrokenPipe.into())).await;
        assert!(matches!(result, Err(Failure::Output(_))), "{result:?}");
    }
}
