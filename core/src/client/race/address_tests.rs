//! The external address that PCP tells with a mapping.

use std::net::SocketAddr;

use super::*;
use crate::client::mock::MockPortMapperClient;
use crate::client::owners::Member;
use crate::client::race::owned::Owned;
use crate::schedule::DISCARD_PORT;

const ADDRESS: [u8; 4] = [192, 0, 1, 1];

/// A gateway that tells its address by PCP alone, and maps UDP port 9 within 10 ms.
fn setup() -> Setup {
    let setup = Setup::new();
    for racer in [&setup.nat_pmp, &setup.upnp] {
        racer.on_probe(Duration::ZERO, Err(silent(PCP_DEADLINE)));
    }
    setup.pcp.on_probe(Duration::ZERO, Ok(())).on_install(10 * MS, Ok(shown(discard(Transport::Udp))));
    setup
}

fn discard(transport: Transport) -> MapRequest {
    MapRequest::new(DISCARD_PORT, transport)
}

fn shown(request: MapRequest) -> PortMapping {
    let port = request.internal_port;
    MockPortMapperClient::mapping(request, (ADDRESS.into(), port), HOUR)
}

#[tokio::test(start_paused = true)]
async fn the_mapping_that_shows_the_address_is_deleted_also_if_nobody_waits_for_the_address() {
    for patience in [1, 5, 1000] {
        let setup = setup();
        let asked = tokio::time::timeout(patience * MS, setup.race.address_here()).await;
        assert_eq!(asked.is_ok(), patience == 1000);
        setup.race.settle().await;
        assert_eq!(setup.pcp.removed(), [SocketAddr::from((ADDRESS, DISCARD_PORT))], "{patience} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_on_the_discard_port_keeps_its_mapping_when_the_address_is_asked_for() {
    let setup = setup();
    setup.race.install(&discard(Transport::Udp), HOUR).await.unwrap();
    setup.pcp.on_install(Duration::ZERO, Ok(shown(discard(Transport::Tcp))));
    assert_eq!(setup.race.address_here().await.unwrap(), IpAddr::from(ADDRESS));
    let transports: Vec<_> = setup.pcp.requests().iter().map(|request| request.transport).collect();
    assert_eq!((transports, setup.pcp.calls().remove), (vec![Transport::Udp, Transport::Tcp], 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_asked_for_the_address_uses_no_port() {
    let setup = setup();
    let [asks, other] = [0, 1].map(|_| {
        let gateway = SocketAddr::from(([192, 0, 2, 7], 5351));
        Arc::new(Member::new(gateway, [192, 0, 2, 9].into(), Protocol::ALL.to_vec(), World::default()))
    });
    let here = setup.race.look().unwrap();
    let pcp = here.iter().flat_map(|gateway| gateway.contestants.iter()).next().unwrap();
    let (client, member, nonces) = (Arc::clone(&pcp.client), Arc::clone(&asks), Default::default());
    let owned = Owned { client, protocol: Protocol::Pcp, member, nonces };
    let pcp = Contestant { client: Arc::new(owned), member: Some(asks), ..pcp.clone() };
    assert_eq!(setup.race.address_by_mapping(&pcp).await.unwrap(), IpAddr::from(ADDRESS));
    // Alone, it asks with the nonce of its own.
    assert_eq!(other.asks(&discard(Transport::Udp), Some([2; 12])), Some([2; 12]));
}
