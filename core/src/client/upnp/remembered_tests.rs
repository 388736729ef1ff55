use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::client::port_mapper::PortMapperClient;
use crate::client::upnp::peer::{Call, IP1, IP2, Ssdp, Web, description_of, gateway, mapper, page};
use crate::mapping::{MapRequest, Transport};
use crate::schedule::{UPNP_DEADLINE, UPNP_REMEMBERED_HEDGE};

const HOUR: Duration = Duration::from_secs(3600);

fn request() -> MapRequest {
    MapRequest::new(4000, Transport::Udp)
}

/// A router, what a first start has remembered of it, and a later start.
async fn later_start(
    rule: impl Fn(&Call) -> Option<String> + Send + Sync + 'static,
) -> (Web, Ssdp, UpnpMapper, KnownDevice) {
    let (web, ssdp, first) = gateway(rule).await;
    assert_eq!(first.known_device(), None);
    first.search().await.unwrap();
    let (known, later) = (first.known_device().unwrap(), mapper(&ssdp));
    (web, ssdp, later, known)
}

/// Whether a later start maps, and whether it has searched.
async fn searches_to_map(ssdp: &Ssdp, later: &UpnpMapper, known: KnownDevice) -> bool {
    let searches = ssdp.searches();
    later.remember(known);
    later.install(&request(), HOUR).await.unwrap();
    ssdp.searches() > searches
}

/// Runs `test` again if it has met a machine so busy that the search began beside the look. It answers with whether it has searched.
async fn undisturbed(test: impl AsyncFn() -> bool) {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let started = std::time::Instant::now();
        if !test().await {
            return;
        }
        assert!(started.elapsed() >= UPNP_REMEMBERED_HEDGE, "it has searched at once");
    }
    eprintln!("skipped: this machine is too busy");
}

#[tokio::test]
async fn a_device_that_is_still_there_is_asked_without_a_search() {
    undisturbed(asks_without_a_search).await;
}

async fn asks_without_a_search() -> bool {
    let (web, ssdp, later, known) = later_start(|_| None).await;
    let expected = KnownDevice {
        udn: "uuid:test-router".into(),
        location: web.location(),
        control_url: format!("http://{}/ctl", web.address),
        service_type: IP1.into(),
    };
    assert_eq!(known, expected);
    let before = web.calls().len();
    if searches_to_map(&ssdp, &later, known.clone()).await {
        return true;
    }
    let actions: Vec<_> = web.calls()[before..].iter().map(|call| call.action.clone()).collect();
    assert_eq!(actions, ["", "GetExternalIPAddress", "GetSpecificPortMappingEntry", "AddPortMapping"]);
    assert_eq!(later.known_device(), Some(known));
    false
}

#[tokio::test]
async fn a_probe_that_comes_first_needs_no_search_either() {
    undisturbed(async || {
        let (_web, ssdp, later, known) = later_start(|_| None).await;
        let searches = ssdp.searches();
        later.remember(known);
        later.probe().await.unwrap();
        later.install(&request(), HOUR).await.unwrap();
        ssdp.searches() > searches
    })
    .await;
}

#[tokio::test]
async fn what_is_not_the_remembered_device_any_more_is_searched_for() {
    let (web, ssdp, _, known) = later_start(|_| None).await;
    let other =
        Web::start(&[], |call| call.action.is_empty().then(|| page(&description_of("uuid:another", &[(IP1, "/ctl")]))));
    let other = other.await;
    let elsewhere = Web::start_at((Ipv4Addr::new(127, 0, 0, 9), 0).into(), &[(IP1, "/ctl")], |_| None).await;
    let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let cases = [
        KnownDevice { location: other.location(), ..known.clone() },
        KnownDevice { location: elsewhere.location(), ..known.clone() },
        KnownDevice { location: format!("http://{closed}/desc.xml"), ..known.clone() },
        KnownDevice { location: "file:///etc/passwd".into(), ..known.clone() },
        KnownDevice { location: String::new(), ..known.clone() },
        KnownDevice { udn: "uuid:before".into(), ..known.clone() },
        KnownDevice { udn: String::new(), ..known.clone() },
        KnownDevice { service_type: IP2.into(), ..known.clone() },
        KnownDevice { service_type: "urn:x:service:Layer3Forwarding:1".into(), ..known.clone() },
        KnownDevice { control_url: format!("http://{}/other", web.address), ..known.clone() },
        KnownDevice { control_url: elsewhere.location(), ..known.clone() },
    ];
    for case in cases {
        let later = mapper(&ssdp);
        assert!(searches_to_map(&ssdp, &later, case.clone()).await, "{case:?}");
        assert_eq!(later.known_device().as_ref(), Some(&known), "{case:?}");
    }
    assert!(other.calls().iter().all(|call| call.action.is_empty()), "another device was asked for more than its name");
    assert!(elsewhere.calls().is_empty(), "a remembered address led to another host");
}

#[tokio::test(start_paused = true)]
async fn behind_a_silent_address_the_search_begins_after_a_hedge_and_wins() {
    let (_web, ssdp, later, known) = later_start(|_| None).await;
    let silent = Web::start(&[], |_| Some(String::new())).await;
    let began = Instant::now();
    assert!(searches_to_map(&ssdp, &later, KnownDevice { location: silent.location(), ..known }).await);
    assert!(began.elapsed() >= UPNP_REMEMBERED_HEDGE && began.elapsed() < UPNP_DEADLINE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_longer_than_the_hedge_is_heard_if_the_search_finds_nothing() {
    let (_web, _ssdp, _, known) = later_start(|_| None).await;
    let deaf = Ssdp::start(Vec::new()).await;
    let slow = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let location = format!("http://{}/desc.xml", slow.local_addr().unwrap());
    let answer = page(&description_of(&known.udn, &[(IP1, &known.control_url)]));
    let serving = tokio::spawn(async move {
        let (mut stream, _) = slow.accept().await.unwrap();
        assert!(stream.read(&mut [0; 2048]).await.unwrap() > 0);
        tokio::time::sleep(UPNP_REMEMBERED_HEDGE * 4).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let later = mapper(&deaf);
    assert!(searches_to_map(&deaf, &later, KnownDevice { location, ..known }).await);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_remembered_device_is_checked_once_and_an_explicit_search_is_a_search() {
    let (web, ssdp, later, known) = later_start(|_| None).await;
    let searches = ssdp.searches();
    later.remember(known);
    later.search().await.unwrap();
    assert!(ssdp.searches() > searches);
    let searches = ssdp.searches();
    let before = web.calls().len();
    later.install(&request(), HOUR).await.unwrap();
    assert_eq!(ssdp.searches(), searches);
    assert!(web.calls()[before..].iter().all(|call| !call.action.is_empty()));
}

#[tokio::test]
async fn a_device_on_another_host_or_without_a_name_is_not_remembered() {
    let nameless = |call: &Call| call.action.is_empty().then(|| page(&description_of("", &[(IP1, "/ctl")])));
    let (_web, _ssdp, first) = gateway(nameless).await;
    first.search().await.unwrap();
    assert_eq!(first.known_device(), None);
}
