//! An IPv6 pinhole that nobody holds any more is closed by its port.

mod common;

use std::path::PathBuf;

use common::{LONG, config_for};
use portlease::config::DEFAULT_TTL;
use portlease::{AddressFamily, Config, ErrorKind, MapRequest, Mapper, Protocol, Release, Transport};
use portlease_gateway::Gateway;

const PINHOLE: MapRequest = MapRequest::new(4000, Transport::Udp).family(AddressFamily::Ipv6);

/// A router with a firewall; `None`, with a word about it, if this machine has no IPv6.
fn gateway() -> Option<Gateway> {
    let gateway = common::gateway_with(|config| config.ipv6 = true);
    let why_not = gateway.addresses().no_ipv6;
    if let Some(why) = &why_not {
        eprintln!("skipped: {why}");
    }
    why_not.is_none().then_some(gateway)
}

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("portlease-close-{name}-{}", std::process::id())))
    }

    fn config(&self, gateway: &Gateway, protocol: Protocol) -> Config {
        config_for(gateway, protocol).state_dir(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens the pinhole and leaves it open.
async fn leave(config: Config) {
    let mapper = Mapper::start(config).expect("a mapper");
    let lease = mapper.map(PINHOLE).expect("a lease");
    lease.ready(LONG).await.expect("a pinhole");
    lease.detach().await;
    assert_eq!(mapper.stop(LONG).await, Release::Released);
}

async fn close(config: Config) -> Result<Protocol, ErrorKind> {
    let mapper = Mapper::start(config).expect("a mapper");
    let closed = mapper.close_pinhole(Transport::Udp, 4000).await.map_err(|error| error.kind());
    assert_eq!(mapper.stop(LONG).await, Release::Released);
    closed
}

#[tokio::test]
async fn pcp_closes_a_pinhole_by_the_nonce_on_record_and_upnp_without() {
    for protocol in [Protocol::Pcp, Protocol::Upnp] {
        let (Some(gateway), folder) = (gateway(), Folder::new(protocol.as_str())) else { return };
        let config = || folder.config(&gateway, protocol);
        leave(config()).await;
        assert_eq!(gateway.mappings().len(), 1, "{protocol}");
        let on_record = portlease::recorded_pinholes(&folder.0).unwrap();
        assert_eq!(on_record.len(), 1, "{on_record:?}");
        let left = &on_record[0];
        assert_eq!((left.protocol, left.held, left.detached), (protocol, false, true), "{left:?}");
        assert!(left.ends_within.is_some_and(|within| within <= DEFAULT_TTL), "{left:?}");
        assert_eq!(close(config()).await, Ok(protocol));
        assert!(gateway.mappings().is_empty(), "{protocol}");
        assert_eq!(portlease::recorded_pinholes(&folder.0).unwrap(), [], "{protocol}");
    }
}

#[tokio::test]
async fn what_pcp_has_no_nonce_for_only_upnp_closes() {
    let Some(gateway) = gateway() else { return };
    leave(config_for(&gateway, Protocol::Pcp)).await;
    assert_eq!(close(config_for(&gateway, Protocol::Pcp)).await, Err(ErrorKind::Unavailable));
    assert_eq!(gateway.mappings().len(), 1);
    let both = config_for(&gateway, Protocol::Pcp).protocols([Protocol::Pcp, Protocol::Upnp]);
    assert_eq!(close(both).await, Ok(Protocol::Upnp));
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn what_a_running_mapper_holds_is_closed_too_and_stays_on_its_record() {
    let (Some(gateway), folder) = (gateway(), Folder::new("running")) else { return };
    let running = Mapper::start(folder.config(&gateway, Protocol::Pcp)).unwrap();
    let lease = running.map(PINHOLE).unwrap();
    lease.ready(LONG).await.unwrap();
    let on_record = || portlease::recorded_pinholes(&folder.0).unwrap();
    let shown: Vec<_> = on_record().iter().map(|one| (one.port, one.address.is_loopback(), one.held)).collect();
    assert_eq!(shown, [(4000, true, true)]);
    assert_eq!(close(folder.config(&gateway, Protocol::Pcp)).await, Ok(Protocol::Pcp));
    assert_eq!(on_record().len(), 1);
    running.stop(LONG).await;
    assert_eq!(on_record(), []);
}

#[tokio::test]
async fn the_port_of_a_lease_of_the_same_mapper_is_invalid() {
    let Some(gateway) = gateway() else { return };
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp)).unwrap();
    let lease = mapper.map(PINHOLE).unwrap();
    lease.ready(LONG).await.unwrap();
    let error = mapper.close_pinhole(Transport::Udp, 4000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("stop that"), "{error}");
    let error = mapper.close_pinhole(Transport::Udp, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    mapper.stop(LONG).await;
}
