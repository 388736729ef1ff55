//! What an error says as data: which protocol answered what, and what people can do about it.

mod common;

use std::time::Duration;

use common::{LONG, config, config_for, gateway};
use portlease::{
    ErrorDetail, ErrorKind, EventKind, MapRequest, Mapper, Obstacle, PortMappingError, Protocol, RetryPolicy, Transport,
};
use portlease_gateway::{Faults, Gateway, Mode, Transport as Wire};

const UDP_4000: MapRequest = MapRequest::new(4000, Transport::Udp);
/// The shortest lifetime: its renewal comes within a second.
const SHORT: Duration = Duration::from_secs(2);

/// Why `request` is not mapped by `protocols`.
async fn failure(gateway: &Gateway, protocols: &[Protocol], request: MapRequest) -> PortMappingError {
    let config = config(gateway).protocols(protocols.to_vec()).retry(RetryPolicy::Never);
    let mapper = Mapper::start(config).expect("the configuration is valid");
    let lease = mapper.map(request).expect("the request is valid");
    let error = lease.ready(LONG).await.expect_err("the router does not map it");
    mapper.stop(None).await;
    error
}

fn code_and_name(detail: &ErrorDetail) -> (Protocol, Option<u32>, Option<&str>) {
    (detail.protocol, detail.code, detail.name.as_deref())
}

#[tokio::test]
async fn port_taken_not_authorised_and_table_full_are_told_apart_by_code_in_every_protocol() {
    let codes = |pcp: u16, nat_pmp: u16, upnp: u16| {
        move |faults: &mut Faults| {
            (faults.pcp, faults.nat_pmp) = (Mode::Refuse(pcp), Mode::Refuse(nat_pmp));
            faults.soap_errors = ["AddPortMapping", "AddAnyPortMapping"].map(|name| (name.to_owned(), upnp)).into();
        }
    };
    let gateway = gateway();
    gateway.add_mapping(Wire::Udp, 4000, ([127, 0, 0, 9], 4000).into(), None).unwrap();
    for (protocol, code, name) in [
        (Protocol::Pcp, Some(11), "CANNOT_PROVIDE_EXTERNAL"),
        // Which has no code for it.
        (Protocol::NatPmp, None, "CANNOT_PROVIDE_EXTERNAL"),
        (Protocol::Upnp, Some(718), "ConflictInMappingEntry"),
    ] {
        let error = failure(&gateway, &[protocol], UDP_4000.exact()).await;
        assert_eq!(error.details().iter().map(code_and_name).collect::<Vec<_>>(), [(protocol, code, Some(name))]);
        assert_eq!((error.kind(), error.obstacle()), (ErrorKind::Refused, Some(Obstacle::PortTaken)), "{error}");
        assert!(error.message().contains(&error.details()[0].message), "{error}");
    }
    let not_authorised = [(2, "NOT_AUTHORIZED"), (2, "NOT_AUTHORIZED"), (606, "ActionNotAuthorized")];
    let table_full = [(8, "NO_RESOURCES"), (4, "OUT_OF_RESOURCES"), (728, "NoPortMapsAvailable")];
    let no_address = [(7, "NETWORK_FAILURE"), (3, "NETWORK_FAILURE"), (501, "ActionFailed")];
    for (expected, obstacle) in [
        (not_authorised, Obstacle::NotAuthorized),
        (table_full, Obstacle::TableFull),
        (no_address, Obstacle::NoExternalAddress),
    ] {
        let [pcp, nat_pmp, upnp] = expected.map(|(code, _)| code);
        gateway.update_faults(codes(pcp, nat_pmp, upnp));
        let error = failure(&gateway, &Protocol::ALL, UDP_4000).await;
        let details = Protocol::ALL.into_iter().zip(expected);
        let expected: Vec<_> =
            details.map(|(protocol, (code, name))| (protocol, Some(u32::from(code)), Some(name))).collect();
        assert_eq!(error.details().iter().map(code_and_name).collect::<Vec<_>>(), expected);
        assert_eq!((error.kind(), error.obstacle()), (ErrorKind::Refused, Some(obstacle)), "{error}");
        assert_eq!(error.advice().as_deref(), Some(obstacle.advice()));
    }
}

#[tokio::test]
async fn a_router_that_was_known_and_is_silent_is_unavailable_and_each_protocol_is_a_timeout() {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| {
        (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Silent, Mode::Silent, Mode::Silent);
    });
    mapper.network_changed();
    let error = mapper.map(MapRequest::new(4001, Transport::Udp)).unwrap().ready(None).await.unwrap_err();
    assert_eq!((error.kind(), error.obstacle()), (ErrorKind::Unavailable, Some(Obstacle::Silence)), "{error}");
    assert_eq!(error.details().len(), 3, "{error}");
    assert_eq!(error.details()[0].kind, ErrorKind::Timeout, "{error}");
    // The lease that is mapped is renewed in vain.
    let failed = loop {
        let event = mapper.next_event(LONG).await.unwrap();
        if event.kind == EventKind::Failed && event.internal_port == Some(4000) {
            break event.error.unwrap();
        }
    };
    assert_eq!(failed.kind, ErrorKind::Unavailable, "{failed:?}");
    let [detail] = &failed.details[..] else { panic!("{failed:?}") };
    assert_eq!((detail.protocol, detail.kind), (Protocol::Pcp, ErrorKind::Timeout));
}

#[tokio::test]
async fn renewals_addresses_tables_and_probes_say_what_the_protocol_answered() {
    let gateway = gateway();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp).ttl(SHORT)).unwrap();
    let lease = mapper.map(UDP_4000).unwrap();
    lease.ready(LONG).await.unwrap();
    gateway.update_faults(|faults| {
        let refused = ["AddPortMapping", "GetGenericPortMappingEntry", "DeletePortMapping"];
        faults.soap_errors = refused.map(|name| (name.to_owned(), 606)).into();
    });
    let renewal = loop {
        let event = mapper.next_event(LONG).await.unwrap();
        if event.kind == EventKind::Failed {
            break event.error.unwrap();
        }
    };
    let not_authorised = (Protocol::Upnp, Some(606), Some("ActionNotAuthorized"));
    assert_eq!(renewal.details.iter().map(code_and_name).collect::<Vec<_>>(), [not_authorised]);
    assert_eq!(lease.snapshot().last_error.unwrap().advice.as_deref(), Some(Obstacle::NotAuthorized.advice()));
    let table = mapper.table().await.unwrap_err();
    let deleted = mapper.delete(Transport::Udp, 5000, true).await.unwrap_err();
    for error in [table, deleted] {
        assert_eq!(error.details().iter().map(code_and_name).collect::<Vec<_>>(), [not_authorised], "{error}");
    }
    lease.stop(None).await;
    let left = lease.snapshot().last_error.unwrap();
    assert_eq!(left.details.iter().map(code_and_name).collect::<Vec<_>>(), [not_authorised], "{left:?}");
    drop(mapper);

    gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (Mode::Refuse(2), Mode::Refuse(3)));
    let mapper = Mapper::start(config(&gateway).protocols([Protocol::NatPmp, Protocol::Pcp])).unwrap();
    let address = mapper.external_address(LONG).await.unwrap_err();
    let told: Vec<_> = address.details().iter().map(|detail| (detail.protocol, detail.code)).collect();
    assert_eq!(told, [(Protocol::NatPmp, None), (Protocol::Pcp, Some(2))], "in the configured order: {address}");
    gateway.update_faults(|faults| faults.nat_pmp = Mode::Refuse(2));
    let probe = mapper.probe().await.unwrap_err();
    let told: Vec<_> = probe.details().iter().map(|detail| (detail.protocol, detail.code)).collect();
    assert_eq!(told, [(Protocol::NatPmp, Some(2)), (Protocol::Pcp, Some(2))], "{probe}");
    mapper.stop(None).await;
}
