use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::peer::{HOME, Router, short};
use crate::advice::Obstacle;
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::peer::{Call, fault, ok};
use crate::error::ErrorKind;
use crate::mapping::{AddressFamily, MapRequest, PortMapping, Protocol, ProtocolToken, Transport};

const HOUR: Duration = Duration::from_secs(3600);

fn request(port: u16) -> MapRequest {
    MapRequest::new(port, Transport::Udp).family(AddressFamily::Ipv6)
}

fn number(mapping: &PortMapping) -> u16 {
    super::attempt::number_of(mapping).unwrap()
}

#[tokio::test]
async fn a_pinhole_is_for_everybody_and_for_one_port_of_the_address_that_asks() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let udp = router.mapper.install(&request(4000), HOUR).await.unwrap();
    let tcp = MapRequest::new(4000, Transport::Tcp).family(AddressFamily::Ipv6).exact();
    router.mapper.install(&tcp, Duration::from_millis(1500)).await.unwrap();
    let calls: Vec<Call> = router.web.calls().into_iter().filter(|call| call.action == "AddPinhole").collect();
    let arguments = ["RemoteHost", "RemotePort", "InternalClient", "InternalPort", "Protocol", "LeaseTime"];
    let read = |call: &Call| arguments.map(|name| call.argument(name).to_owned());
    assert_eq!(
        calls.iter().map(read).collect::<Vec<_>>(),
        [["", "0", "::1", "4000", "17", "3600"], ["", "0", "::1", "4000", "6", "2"]]
    );
    assert!(router.web.calls().iter().all(|call| call.from == HOME && call.host == router.web.address.to_string()));
    assert_eq!(udp.external, (HOME, 4000).into());
    assert_eq!((udp.lifetime, udp.protocol), (Some(HOUR), Protocol::Upnp));
    let ProtocolToken::Pinhole { control_url, udn, unique_id, .. } = &udp.token else { panic!("{:?}", udp.token) };
    assert_eq!((control_url, udn.as_str()), (&format!("http://{}/ctl", router.web.address), "uuid:test-router"));
    assert_eq!(router.pinholes.of("17 4000"), [(*unique_id, 3600)]);
}

#[tokio::test]
async fn a_pinhole_is_opened_by_one_request_behind_the_search_and_closed_by_one() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    // On a busy machine a search is repeated before its answer has come.
    let searches = router.ssdp.searches();
    router.mapper.remove(&mapping).await.unwrap();
    router.mapper.abandon(&request(4000)).await.unwrap();
    assert_eq!(router.actions(), ["AddPinhole 17 4000 3600", "DeletePinhole 1"]);
    assert_eq!((router.pinholes.count(), router.ssdp.searches()), (0, searches));
}

#[tokio::test]
async fn a_renewal_asks_for_the_pinhole_itself_and_then_sets_its_lease_by_its_number() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    let renewed = router.mapper.renew(&mapping).await.unwrap();
    assert_eq!(renewed, mapping);
    assert_eq!(router.actions()[1..], ["AddPinhole 17 4000 3600", "UpdatePinhole 1 3600"]);
}

#[tokio::test]
async fn the_longest_lease_is_a_day_and_the_shortest_a_second() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    for (port, ttl, lease) in [(4000, HOUR * 1000, 86_400), (4001, Duration::from_millis(1), 1)] {
        let mapping = router.mapper.install(&request(port), ttl).await.unwrap();
        assert_eq!(router.pinholes.of(&format!("17 {port}")), [(number(&mapping), lease)]);
        assert_eq!(mapping.lifetime, Some(Duration::from_secs(lease.into())));
    }
}

#[tokio::test]
async fn each_error_code_is_a_refusal_with_the_standards_name() {
    let code = Arc::new(AtomicU16::new(0));
    let says = Arc::clone(&code);
    let refuses = move |call: &Call, _: &_| (call.action == "AddPinhole").then(|| fault(says.load(Relaxed)));
    let Some(router) = Router::start(refuses).await else { return };
    let mut searches = None;
    for (told, name, why) in [
        (401, "InvalidAction", ""),
        (402, "InvalidArgs", ""),
        (501, "ActionFailed", ""),
        (606, "ActionNotAuthorized", ": the router's settings must permit this device to open ports"),
        (701, "PinholeSpaceExhausted", ""),
        (
            702,
            "FirewallDisabled",
            ": the router's IPv6 firewall is switched off, so no port is closed and none can be opened",
        ),
        (703, "InboundPinholeNotAllowed", ": the router's settings must permit programs to open IPv6 ports"),
        (704, "NoSuchEntry", ""),
        (705, "ProtocolNotSupported", ""),
        (706, "InternalPortWildcardingNotAllowed", ""),
        (707, "ProtocolWildcardingNotAllowed", ""),
        (708, "WildCardNotPermittedInSrcIP", ""),
        (709, "NoPacketSent", ""),
    ] {
        code.store(told, Relaxed);
        let error = router.mapper.install(&request(4000), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{told}");
        assert_eq!(error.to_string(), format!("upnp {told} {name}{why}"));
        assert!(!error.mapping_lost());
        // On a busy machine the first search is repeated before its answer has come.
        searches = searches.or_else(|| Some(router.ssdp.searches()));
        let [detail] = error.details() else { panic!("{error:?}") };
        assert_eq!((detail.code, detail.name.as_deref()), (Some(told.into()), Some(name)));
        // A refusal has opened nothing, so there is nothing to close.
        router.mapper.abandon(&request(4000)).await.unwrap();
    }
    code.store(606, Relaxed);
    let error = router.mapper.install(&request(80), HOUR).await.unwrap_err();
    assert!(error.to_string().ends_with("many routers open none below 1024"), "{error}");
    assert!(router.actions().iter().all(|action| action.starts_with("AddPinhole")), "{:?}", router.actions());
    assert_eq!(Some(router.ssdp.searches()), searches);
}

#[tokio::test]
async fn a_request_for_another_family_is_invalid() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    let error = router.mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, "family: must be ipv6"));
    assert!(router.web.calls().is_empty());
}

#[tokio::test]
async fn a_router_says_whether_its_firewall_is_on_and_may_be_opened() {
    for (enabled, allowed, obstacle) in [
        ("1", "1", None),
        ("true", "yes", None),
        ("1", "0", Some(Obstacle::NotAuthorized)),
        ("0", "1", Some(Obstacle::FirewallOff)),
        ("false", "false", Some(Obstacle::FirewallOff)),
    ] {
        let tells = move |call: &Call, _: &_| {
            let fields = [("FirewallEnabled", enabled), ("InboundPinholeAllowed", allowed)];
            (call.action == "GetFirewallStatus").then(|| ok("GetFirewallStatus", &fields))
        };
        let Some(router) = Router::start(tells).await else { return };
        let status = router.mapper.status().await.unwrap();
        assert_eq!(status.enabled, ["1", "true"].contains(&enabled));
        assert_eq!(status.pinholes_allowed, ["1", "yes"].contains(&allowed));
        router.mapper.probe().await.unwrap();
        let offer = router.mapper.offer().await;
        assert_eq!(offer.err().and_then(|error| error.obstacle()), obstacle, "{enabled} {allowed}");
        // It is asked all the same: an open firewall may make pinholes, and the code of its refusal says more.
        router.mapper.install(&request(4000), HOUR).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_mapper_has_opened_is_listed_as_long_as_the_router_knows_it() {
    for has_check in [true, false] {
        let rule = move |call: &Call, _: &_| match &*call.action {
            "CheckPinholeWorking" if !has_check => Some(fault(602)),
            "GetPinholePackets" if call.argument("UniqueID") == "2" => Some(fault(704)),
            "GetPinholePackets" => Some(ok("GetPinholePackets", &[("PinholePackets", "0")])),
            _ => None,
        };
        let Some(router) = Router::start(rule).await else { return };
        router.mapper.install(&request(4000), HOUR).await.unwrap();
        let lost = router.mapper.install(&request(4001), HOUR).await.unwrap();
        router.pinholes.act(&router.web.calls().last().unwrap().clone());
        if has_check {
            let other = super::PinholeMapper::new(super::peer::asking(&router.ssdp));
            other.close_port(Transport::Udp, 4001).await.unwrap();
        }
        let table = router.mapper.table().await.unwrap();
        assert_eq!(table.len(), 1, "{table:?}, without {lost:?}");
        assert_eq!((table[0].external_port, table[0].internal_client.as_str()), (4000, "::1"));
        assert!(table[0].this_machine && table[0].lifetime.is_some_and(|left| left > HOUR / 2));
    }
}

#[tokio::test]
async fn the_external_address_is_this_machines_own() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    assert_eq!(router.mapper.external_address().await.unwrap(), HOME);
    assert!(router.web.calls().is_empty());
}

#[tokio::test]
async fn another_protocols_pinhole_is_closed_by_the_number_that_a_request_for_the_same_tells() {
    let Some(router) = Router::start(|_, _| None).await else { return };
    router.pinholes.open("17", 4000);
    router.pinholes.open("17", 4001);
    router.mapper.close_port(Transport::Udp, 4000).await.unwrap();
    assert_eq!((router.pinholes.of("17 4000"), router.pinholes.count()), (vec![], 1));
    // By then it is known that the router goes by the standard.
    let before = router.actions().len();
    router.mapper.delete_entry(Transport::Udp, 4001, false).await.unwrap().unwrap();
    assert_eq!(router.actions()[before..], ["AddPinhole 17 4001 1", "DeletePinhole 2"]);
}

#[tokio::test]
async fn what_cannot_be_closed_is_left_to_end_a_second_later() {
    let refuses = |call: &Call, _: &_| (call.action == "DeletePinhole").then(|| fault(606));
    let Some(router) = Router::start(refuses).await else { return };
    let mapping = router.mapper.install(&request(4000), HOUR).await.unwrap();
    router.mapper.remove(&mapping).await.unwrap();
    assert_eq!(router.pinholes.of("17 4000"), [(number(&mapping), 1)]);
    assert_eq!(short(router.web.calls().last().unwrap()), "UpdatePinhole 1 1");
}

#[tokio::test]
async fn a_number_that_is_none_is_an_answer_that_makes_no_sense() {
    let number = Arc::new(Mutex::new(""));
    let says = Arc::clone(&number);
    let tells = move |call: &Call, _: &_| {
        (call.action == "AddPinhole").then(|| ok("AddPinhole", &[("UniqueID", *says.lock().unwrap())]))
    };
    let Some(router) = Router::start(tells).await else { return };
    for told in ["", "x", "65536", "-1"] {
        *number.lock().unwrap() = told;
        let error = router.mapper.install(&request(4000), HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().ends_with(&format!("its number of the pinhole is `{told}`")), "{error}");
    }
}
