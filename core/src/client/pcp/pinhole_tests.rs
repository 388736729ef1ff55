use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::client::PortMapperClient;
use crate::client::udp::tests::FakeGateway;
use crate::mapping::{AddressFamily, MapRequest, Transport};

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6);
const NOT_AUTHORIZED: u8 = 2;
const NO_RESOURCES: u8 = 8;

/// How a router's firewall differs from a good one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Quirk {
    None,
    /// pf: what is open cannot be renewed.
    Pf,
    /// The same, and nothing can be opened any more.
    PfIsFull,
    /// miniupnpd 2.3.1 with nft: forgets the nonce of what it renews, and opens nothing for less than this.
    Forgets(u32),
}

/// A router with a firewall that knows one port.
struct Router {
    /// For how long the port is open.
    open: Arc<Mutex<Option<u32>>>,
    quirk: Arc<Mutex<Quirk>>,
    requests: UnboundedReceiver<Vec<u8>>,
    pcp: PcpMapper,
}

impl Router {
    async fn new(quirk: Quirk) -> Self {
        let (open, quirk) = (Arc::<Mutex<Option<u32>>>::default(), Arc::new(Mutex::new(quirk)));
        let (table, rule) = (Arc::clone(&open), Arc::clone(&quirk));
        let mut nonce = None;
        let answer = move |request: &[u8]| {
            let asked = u32::from_be_bytes(request[4..8].try_into().unwrap());
            let (mut open, quirk) = (table.lock().unwrap(), *rule.lock().unwrap());
            let (result, lifetime) = match (asked, *open, quirk) {
                (0, Some(_), _) if nonce.as_deref() != Some(&request[24..36]) => (NOT_AUTHORIZED, 0),
                (0, ..) => {
                    *open = None;
                    (0, 0)
                }
                (_, Some(_), Quirk::Pf | Quirk::PfIsFull) | (_, None, Quirk::PfIsFull) => (NO_RESOURCES, 30),
                (asked, before, _) => {
                    let lifetime = if let Quirk::Forgets(least) = quirk { asked.max(least) } else { asked };
                    let forgotten = before.is_some() && matches!(quirk, Quirk::Forgets(_));
                    nonce = (!forgotten).then(|| request[24..36].to_vec());
                    *open = Some(lifetime);
                    (0, lifetime)
                }
            };
            // Address and port outside are what was suggested, as miniupnpd answers.
            let mut answer = request[..60].to_vec();
            answer[1] |= 0x80;
            answer[3] = result;
            answer[4..8].copy_from_slice(&lifetime.to_be_bytes());
            answer[8..24].fill(0);
            vec![answer]
        };
        let (requests, port) = FakeGateway::answering_at(Ipv6Addr::LOCALHOST.into(), answer).await;
        Self { open, quirk, requests, pcp: PcpMapper::on(port) }
    }

    async fn install(&self) -> PortMapping {
        self.pcp.install(&REQUEST, HOUR).await.unwrap()
    }

    fn open(&self) -> Option<u32> {
        *self.open.lock().unwrap()
    }

    /// The lifetimes that were asked for.
    fn asked(&mut self) -> Vec<u32> {
        let requests = std::iter::from_fn(|| self.requests.try_recv().ok());
        requests.map(|request| u32::from_be_bytes(request[4..8].try_into().unwrap())).collect()
    }
}

#[tokio::test]
async fn a_pinhole_is_asked_for_from_its_own_address_which_is_suggested_and_told() {
    let mut router = Router::new(Quirk::None).await;
    let nonce = *b"twelve bytes";
    let mapping = router.pcp.install_with_nonce(&REQUEST.exact(), HOUR, nonce).await.unwrap();
    assert_eq!(mapping.external, "[::1]:4000".parse().unwrap());
    let own = Ipv6Addr::LOCALHOST.octets();
    let request = |lifetime: &[u8], outside: &[u8], address: &[u8]| {
        [&[2, 1, 0, 0], lifetime, &own, &nonce, &[17, 0, 0, 0, 0x0f, 0xa0], outside, address].concat()
    };
    let map = request(&[0, 0, 0x0e, 0x10], &[0x0f, 0xa0], &own);
    assert_eq!(router.requests.recv().await.unwrap(), map, "and no option");
    assert_eq!(router.pcp.renew(&mapping).await.unwrap(), mapping);
    assert_eq!(router.requests.recv().await.unwrap(), map, "a renewal suggests the same");
    router.pcp.remove(&mapping).await.unwrap();
    assert_eq!(router.requests.recv().await.unwrap(), request(&[0; 4], &[0; 2], &[0; 16]));
    assert_eq!(router.open(), None);
}

/// What an install ends with at a router that answers with this port and address outside.
async fn granted(port: u16, address: &str) -> Result<PortMapping, PortMappingError> {
    let address: Ipv6Addr = address.parse().unwrap();
    let answer = move |request: &[u8]| {
        let mut answer = request[..60].to_vec();
        answer[1] |= 0x80;
        answer[8..24].fill(0);
        answer[42..44].copy_from_slice(&port.to_be_bytes());
        answer[44..60].copy_from_slice(&address.octets());
        vec![answer]
    };
    let (_requests, port) = FakeGateway::answering_at(Ipv6Addr::LOCALHOST.into(), answer).await;
    PcpMapper::on(port).install(&REQUEST, HOUR).await
}

#[tokio::test]
async fn what_the_router_leaves_out_is_the_hosts_own_and_port_0_is_never_told() {
    for (port, address, expected) in [
        (0, "::", "[::1]:4000"),
        (4000, "::", "[::1]:4000"),
        (0, "::1", "[::1]:4000"),
        (4000, "::ffff:0.0.0.0", "[::1]:4000"),
        // A router that translates prefixes (RFC 6296).
        (4000, "2001:db8::7", "[2001:db8::7]:4000"),
    ] {
        assert_eq!(granted(port, address).await.unwrap().external, expected.parse().unwrap(), "{port} {address}");
    }
}

#[tokio::test]
async fn another_port_outside_is_a_refusal() {
    let error = granted(4001, "::1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("does not give external port 4000, it offered 4001"), "{error}");
}

#[tokio::test]
async fn a_pinhole_that_cannot_be_renewed_is_closed_and_opened_again_with_the_same_nonce() {
    let mut router = Router::new(Quirk::Pf).await;
    let mapping = router.install().await;
    assert_eq!(router.pcp.renew(&mapping).await.unwrap(), mapping);
    assert_eq!(router.asked(), [3600, 3600, 0, 3600]);
    assert_eq!(router.open(), Some(3600));
    assert_eq!(router.pcp.look_at_pinhole(&mapping).await.unwrap(), mapping);
    assert_eq!(router.asked(), [3600], "a look closes nothing");
    router.pcp.remove(&mapping).await.unwrap();
    assert_eq!(router.open(), None);
}

#[tokio::test]
async fn what_an_earlier_run_has_left_is_taken_over_also_if_it_cannot_be_renewed() {
    let mut router = Router::new(Quirk::Pf).await;
    for asked in [vec![3600], vec![3600, 0, 3600]] {
        router.pcp.install_with_nonce(&REQUEST, HOUR, *b"twelve bytes").await.unwrap();
        assert_eq!(router.asked(), asked);
    }
    let error = router.pcp.install_with_nonce(&REQUEST, HOUR, *b"another one!").await.unwrap_err();
    assert!(error.to_string().starts_with("pcp NO_RESOURCES"), "{error}");
    assert_eq!((router.asked(), router.open()), (vec![3600, 0], Some(3600)), "another program has it");
}

#[tokio::test]
async fn a_pinhole_that_is_not_opened_again_is_lost() {
    let router = Router::new(Quirk::None).await;
    let mapping = router.install().await;
    *router.quirk.lock().unwrap() = Quirk::PfIsFull;
    let error = router.pcp.renew(&mapping).await.unwrap_err();
    assert!(error.mapping_lost(), "{error}");
    assert_eq!(error.details()[0].kind, ErrorKind::Refused);
}

#[tokio::test]
async fn a_pinhole_whose_nonce_the_router_has_forgotten_is_left_as_short_a_life_as_it_gives() {
    for least in [1, 2] {
        let mut router = Router::new(Quirk::Forgets(least)).await;
        let mapping = router.install().await;
        router.pcp.renew(&mapping).await.unwrap();
        router.pcp.remove(&mapping).await.unwrap();
        assert_eq!(router.asked(), [3600, 3600, 0, 1]);
        assert_eq!(router.open(), Some(least));
        router.pcp.abandon(&REQUEST).await.unwrap();
        assert_eq!(router.asked(), [0; 0], "nothing is left");
    }
    let router = Router::new(Quirk::Forgets(120)).await;
    let mapping = router.install().await;
    router.pcp.renew(&mapping).await.unwrap();
    let error = router.pcp.remove(&mapping).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().ends_with("it ends by itself within 120 s"), "{error}");
    assert_eq!(router.open(), Some(120));
}
