//! Entries of the router's table that lead to any host, asked for by hand.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{LONG, config_for, gateway_with};
use portlease::{ErrorKind, MapRequest, Mapper, Protocol, TableEntry, Transport};
use portlease_gateway::{Faults, Gateway, NewMapping, Transport as Wire};

const HOUR: Duration = Duration::from_secs(3600);

fn camera() -> TableEntry {
    TableEntry::new(Transport::Tcp, 8080, "192.168.1.20", 80).description("camera").lifetime(HOUR)
}

/// A router that lets everybody forward to everybody.
fn trusting() -> Gateway {
    gateway_with(|config| (config.secure_mode, config.upnp_overwrite) = (false, true))
}

fn mapper(gateway: &Gateway, protocol: Protocol) -> Mapper {
    Mapper::start(config_for(gateway, protocol)).expect("a mapper")
}

#[tokio::test]
async fn an_entry_for_another_host_is_added_seen_and_deleted() {
    let gateway = trusting();
    let mapper = mapper(&gateway, Protocol::Upnp);
    assert_eq!(mapper.entry(Transport::Tcp, 8080).await.expect("an answer"), None);
    mapper.add(camera()).await.expect("an entry");
    let seen = mapper.entry(Transport::Tcp, 8080).await.expect("an answer").expect("an entry");
    assert_eq!((seen.internal_client.as_str(), seen.internal_port), ("192.168.1.20", 80));
    assert_eq!((seen.description.as_str(), seen.this_machine), ("camera", false));
    assert!(seen.lifetime.is_some_and(|left| left <= HOUR), "{seen:?}");
    assert_eq!(mapper.entry(Transport::Udp, 8080).await.expect("an answer"), None);
    mapper.delete(Transport::Tcp, 8080, true).await.expect("a delete");
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn an_entry_is_found_in_the_whole_table_where_the_router_shows_none_by_its_port() {
    let refused = ("GetSpecificPortMappingEntry".to_owned(), 401);
    let faults = Faults { soap_errors: [refused].into(), ..Faults::default() };
    let gateway = gateway_with(|config| (config.secure_mode, config.faults) = (false, faults));
    let mapper = mapper(&gateway, Protocol::Upnp);
    mapper.add(camera()).await.expect("an entry");
    let seen = mapper.entry(Transport::Tcp, 8080).await.expect("an answer");
    assert_eq!(seen.map(|entry| entry.internal_client).as_deref(), Some("192.168.1.20"));
}

#[tokio::test]
async fn an_entry_does_not_take_the_port_of_somebody_else() {
    let gateway = trusting();
    let another = NewMapping::new(Wire::Tcp, 8080, SocketAddr::from(([192, 168, 1, 99], 80)));
    let another = gateway.put_mapping(another).expect("an entry");
    let mapper = mapper(&gateway, Protocol::Upnp);
    let error = mapper.add(camera()).await.expect_err("the port is taken");
    assert_eq!((error.kind(), error.details()[0].code), (ErrorKind::Refused, Some(718)), "{error}");
    assert!(gateway.is_untouched(&another));
}

#[tokio::test]
async fn a_router_that_forwards_to_the_host_that_asks_alone_says_so() {
    let gateway = gateway_with(|config| config.secure_mode = true);
    let error = mapper(&gateway, Protocol::Upnp).add(camera()).await.expect_err("another host");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn the_port_of_a_lease_is_left_to_the_lease() {
    let gateway = trusting();
    let (first, second) = (mapper(&gateway, Protocol::Upnp), mapper(&gateway, Protocol::Upnp));
    let lease = first.map(MapRequest::new(8080, Transport::Tcp)).expect("a lease");
    lease.ready(LONG).await.expect("a mapping");
    for mapper in [&first, &second] {
        let error = mapper.add(camera()).await.expect_err("a lease has it");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("external_port"), "{error}");
    }
}

#[tokio::test]
async fn what_no_router_could_add_is_invalid_and_named() {
    let gateway = trusting();
    let mapper = mapper(&gateway, Protocol::Upnp);
    let entry = |external, client: &str, internal| TableEntry::new(Transport::Tcp, external, client, internal);
    for (argument, entry) in [
        ("external_port", entry(0, "192.168.1.20", 80)),
        ("internal_port", entry(80, "192.168.1.20", 0)),
        ("internal_client", entry(80, "camera", 80)),
        ("internal_client", entry(80, "fd00::1", 80)),
        ("lifetime", camera().lifetime(Duration::from_millis(10))),
        ("description", camera().description("x".repeat(65))),
    ] {
        let error = mapper.add(entry).await.expect_err(argument);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(argument), "{error}");
    }
    assert_eq!(mapper.entry(Transport::Tcp, 0).await.expect_err("port 0").kind(), ErrorKind::Invalid);
    assert!(gateway.mappings().is_empty());
}

#[tokio::test]
async fn without_upnp_there_is_no_table_to_add_to() {
    let gateway = gateway_with(|config| config.upnp = false);
    let mapper = mapper(&gateway, Protocol::Pcp);
    assert_eq!(mapper.add(camera()).await.expect_err("no upnp").kind(), ErrorKind::Unavailable);
    assert_eq!(mapper.entry(Transport::Tcp, 80).await.expect_err("no upnp").kind(), ErrorKind::Unavailable);
}
