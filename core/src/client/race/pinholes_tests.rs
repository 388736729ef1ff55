//! What is different with IPv6, where the router has a firewall and no NAT.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

use super::*;

const PINHOLE: MapRequest = REQUEST.family(AddressFamily::Ipv6);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2600, 1, 0, 0, 0, 0, 0, 5);

/// A host with a public address behind a router.
fn setup() -> Setup {
    let path = NetworkPath::new("fe80::1".parse::<Ipv6Addr>().unwrap(), HOST).interface("eth0".to_owned());
    Setup::along(&[path]).0.with(|race| race.family = AddressFamily::Ipv6)
}

fn pinhole() -> PortMapping {
    let external = SocketAddr::new(HOST.into(), 4000);
    PortMapping::new(PINHOLE, external, HOUR, Protocol::Pcp)
}

/// PCP has opened a pinhole and may not close it.
async fn refused(setup: &Setup) -> PortMapping {
    setup.pcp.on_install(MS, Ok(pinhole()));
    let opened = setup.race.install(&PINHOLE, HOUR).await.unwrap();
    setup.race.settle().await;
    setup.pcp.on_remove(MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    opened
}

#[tokio::test(start_paused = true)]
async fn a_router_that_is_silent_leaves_a_host_with_a_public_address_without_a_pinhole() {
    let setup = setup();
    setup.pcp.on_install(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.nat_pmp.on_probe(PCP_DEADLINE, Err(silent(PCP_DEADLINE)));
    setup.upnp.on_probe(SSDP_DEADLINE, Err(PortMappingError::unavailable("upnp: nothing answers")));
    let error = setup.race.install(&PINHOLE, HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().starts_with("udp port 4000 could not be mapped"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_one_protocol_may_not_close_another_one_closes() {
    let setup = setup();
    let opened = refused(&setup).await;
    setup.upnp.closes.store(true, Relaxed);
    setup.race.remove(&opened).await.unwrap();
    assert_eq!((setup.upnp.closed(), setup.pcp.closed()), (1, 0));
    assert_eq!(setup.pcp.has_let_go(), 1, "nothing of it stays on record");
    assert!(setup.race.holdings.of(&PINHOLE).is_none(), "it is gone");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_may_close_is_a_refusal() {
    let setup = setup();
    let opened = refused(&setup).await;
    assert_eq!(setup.race.remove(&opened).await.unwrap_err().to_string(), "pcp NOT_AUTHORIZED");
    assert_eq!((setup.upnp.closed(), setup.pcp.has_let_go()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_router_and_an_ipv4_mapping_are_left_to_their_own_protocol() {
    let setup = setup();
    setup.pcp.on_install(MS, Ok(pinhole()));
    let opened = setup.race.install(&PINHOLE, HOUR).await.unwrap();
    setup.pcp.on_remove(MS, Err(silent(MS)));
    setup.race.remove(&opened).await.unwrap_err();
    assert_eq!(setup.upnp.closed(), 0);

    let setup = Setup::new();
    setup.pcp.on_install(MS, Ok(mapping(Protocol::Pcp, 4000)));
    let mapping = setup.install().await.unwrap();
    setup.pcp.on_remove(MS, Err(PortMappingError::refused("pcp NOT_AUTHORIZED")));
    setup.race.remove(&mapping).await.unwrap_err();
    assert_eq!(setup.upnp.closed(), 0);
}
