//! Who is found, believed and asked. The gateway is 127.0.0.1; other addresses of 127.0.0.0/8 are other hosts of its network.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::finder::refuses_for_good;
use super::peer::{Answer, Call, IP1, IP2, Ssdp, Web, answer, answer_of, fault, gateway, mapper, ok, page};
use super::soap::{CallError, Fault};
use super::*;
use crate::error::ErrorKind;
use crate::net::route::interfaces;
use crate::schedule::{SSDP_DEADLINE, UPNP_DEADLINE};

const HOUR: Duration = Duration::from_secs(3600);
const IGD: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

type Rule = Box<dyn Fn(&Call) -> Option<String> + Send + Sync>;

fn external(address: &'static str) -> Rule {
    Box::new(move |call| {
        (call.action == "GetExternalIPAddress")
            .then(|| ok("GetExternalIPAddress", &[("NewExternalIPAddress", address)]))
    })
}

fn status(status: &'static str) -> Rule {
    Box::new(move |call| {
        (call.action == "GetStatusInfo").then(|| ok("GetStatusInfo", &[("NewConnectionStatus", status)]))
    })
}

fn healthy() -> Rule {
    Box::new(|_| None)
}

/// A web server with one service at an address of its own.
async fn web_at(address: Ipv4Addr, rule: Rule) -> Web {
    Web::start_at((address, 0).into(), &[(IP1, "/ctl")], rule).await
}

/// The answer of a web server's host, some time after each search.
fn from(web: &Web, after: Duration) -> Answer {
    Answer { from: web.address.ip(), text: answer(&web.location(), IGD), after }
}

fn actions(web: &Web) -> Vec<String> {
    web.calls().iter().map(|call| call.action.clone()).collect()
}

const AT_ONCE: Duration = Duration::ZERO;
const LATER: Duration = Duration::from_millis(500);
const TOO_LATE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_gateway_has_its_whole_time_and_beats_a_device_that_claims_a_public_address() {
    let other = web_at(OTHER, external("8.8.8.8")).await;
    let router = web_at(Ipv4Addr::LOCALHOST, external("100.64.0.1")).await;
    let ssdp = Ssdp::start_among(vec![from(&other, AT_ONCE), from(&router, LATER)]).await;
    assert_eq!(mapper(&ssdp).search().await.unwrap().description_url, router.location());
}

#[tokio::test]
async fn a_gateway_ends_the_search_without_a_public_address_and_is_asked_for_no_more_than_is_needed() {
    let address_only = ["", "GetExternalIPAddress"].as_slice();
    let status_too = ["", "GetExternalIPAddress", "GetStatusInfo"].as_slice();
    for (address, asked) in [("100.64.0.1", address_only), ("0.0.0.0", status_too)] {
        let router = web_at(Ipv4Addr::LOCALHOST, external(address)).await;
        let other = web_at(OTHER, external("8.8.8.8")).await;
        let ssdp = Ssdp::start_among(vec![from(&other, AT_ONCE), from(&router, AT_ONCE)]).await;
        let started = Instant::now();
        assert_eq!(mapper(&ssdp).search().await.unwrap().description_url, router.location());
        assert!(started.elapsed() < SSDP_DEADLINE, "{:?}", started.elapsed());
        assert_eq!(actions(&router), asked);
    }
}

#[tokio::test]
async fn a_gateway_with_one_service_that_is_down_does_not_end_the_search() {
    let down = |call: &Call| match &*call.action {
        "GetExternalIPAddress" => Some(ok("GetExternalIPAddress", &[("NewExternalIPAddress", "")])),
        "GetStatusInfo" => Some(ok("GetStatusInfo", &[("NewConnectionStatus", "Disconnected")])),
        _ => None,
    };
    let down = web_at(Ipv4Addr::LOCALHOST, Box::new(down)).await;
    let up = web_at(Ipv4Addr::LOCALHOST, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&down, AT_ONCE), from(&up, LATER)]).await;
    assert_eq!(mapper(&ssdp).search().await.unwrap().description_url, up.location());
}

#[tokio::test]
async fn a_gateway_that_is_disconnected_does_not_end_the_search() {
    let services = [(IP1, "/a"), (IP2, "/b")];
    let down = Web::start(&services, status("Disconnected")).await;
    let up = Web::start(&services, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&down, AT_ONCE), from(&up, LATER)]).await;
    assert_eq!(mapper(&ssdp).search().await.unwrap().description_url, up.location());
}

#[tokio::test]
async fn without_an_answer_of_the_gateway_the_best_of_the_others_is_the_last_resort() {
    let public = web_at(OTHER, healthy()).await;
    let private = web_at([127, 0, 0, 10].into(), external("192.168.9.2")).await;
    let down = web_at([127, 0, 0, 11].into(), status("Disconnected")).await;
    let all = [&down, &private, &public];
    let ssdp = Ssdp::start_among(all.iter().map(|web| from(web, AT_ONCE)).collect()).await;
    let mapper = mapper(&ssdp);
    assert_eq!(mapper.search().await.unwrap().description_url, public.location());
    // And the rest in order, if the best refuses.
    let mut known = mapper.finder.known().unwrap();
    for next in [&private, &down] {
        known = mapper.finder.refused(&known.service).await.unwrap();
        assert_eq!(known.description_url.as_str(), next.location());
    }
}

#[tokio::test]
async fn where_only_the_gateway_may_be_asked_no_other_host_is() {
    let other = web_at(OTHER, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&other, AT_ONCE)]).await;
    let mut config = mapper(&ssdp).finder.config.clone();
    config.gateway_only = true;
    let error = UpnpMapper::new(config).search().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("other hosts"), "{error}");
    assert!(other.calls().is_empty(), "{:?}", other.calls());
}

#[tokio::test]
async fn a_gateway_that_refuses_for_good_is_passed_over_for_the_next_best_but_asked_if_there_is_none() {
    let router = web_at(Ipv4Addr::LOCALHOST, healthy()).await;
    let other = web_at(OTHER, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&router, AT_ONCE), from(&other, AT_ONCE)]).await;
    let mapper = mapper(&ssdp);
    let first = mapper.finder.device().await.unwrap();
    assert_eq!(first.description_url.as_str(), router.location());
    let next = mapper.finder.refused(&first.service).await.unwrap();
    assert_eq!(next.description_url.as_str(), other.location());
    assert!(mapper.finder.refused(&next.service).await.is_none(), "a service that has refused was given again");
    // Nothing else is left, so the next attempt asks the gateway again: its settings may have been changed.
    assert_eq!(mapper.finder.device().await.unwrap().description_url.as_str(), router.location());
}

#[tokio::test]
async fn an_install_that_the_gateway_refuses_for_good_asks_the_next_best_device_once() {
    for code in [401, 602, 606] {
        let refuses = move |call: &Call| (call.action == "AddPortMapping").then(|| fault(code));
        let router = web_at(Ipv4Addr::LOCALHOST, Box::new(refuses)).await;
        let other = web_at(OTHER, healthy()).await;
        let ssdp = Ssdp::start_among(vec![from(&router, AT_ONCE), from(&other, AT_ONCE)]).await;
        let mapper = mapper(&ssdp);
        let request = MapRequest::new(4000, Transport::Udp);
        mapper.install(&request, HOUR).await.unwrap();
        assert_eq!((router.changes().len(), other.changes().len()), (1, 1), "{code}");
        let alone = web_at(Ipv4Addr::LOCALHOST, Box::new(refuses)).await;
        let ssdp = Ssdp::start_among(vec![from(&alone, AT_ONCE)]).await;
        let error = peer::mapper(&ssdp).install(&request, HOUR).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(alone.changes().len(), 1, "{code}");
    }
}

#[test]
fn a_refusal_for_good_is_one_that_holds_for_every_mapping() {
    let coded = |code| CallError::Fault(Fault { code: Some(code), description: String::new(), status: 500 });
    let bare = |status| CallError::Fault(Fault { code: None, description: String::new(), status });
    for error in [coded(401), coded(602), coded(606), bare(403), bare(405), bare(501), CallError::Gone(404)] {
        assert!(refuses_for_good(&error), "{error:?}");
    }
    for error in [coded(501), coded(402), coded(718), coded(725), bare(500), bare(503), CallError::Unanswered] {
        assert!(!refuses_for_good(&error), "{error:?}");
    }
}

#[tokio::test]
async fn spoofed_locations_do_not_use_up_what_the_gateway_may_say() {
    let web = Web::start(&[(IP1, "/ctl")], |call| {
        (call.action.is_empty() && call.path != "/desc.xml").then(|| page("<html>no</html>"))
    })
    .await;
    let bad = |index: usize, usn: &str| Answer {
        from: web.address.ip(),
        text: answer_of(&format!("http://{}/{index}.xml", web.address), IGD, usn),
        after: AT_ONCE,
    };
    // Each as a device of its own, and all as one device whose last location is the true one.
    for usn in ["", "uuid:one"] {
        let mut answers: Vec<_> = (0..40)
            .map(|index| bad(index, &if usn.is_empty() { format!("uuid:{index}") } else { usn.into() }))
            .collect();
        let text = answer_of(&web.location(), IGD, "uuid:one");
        answers.push(Answer { from: web.address.ip(), text, after: Duration::from_millis(20) });
        let ssdp = Ssdp::start_among(answers).await;
        let calls = web.calls().len();
        assert_eq!(mapper(&ssdp).search().await.unwrap().description_url, web.location(), "{usn}");
        assert!(web.calls().len() - calls < 70, "{}", web.calls().len() - calls);
    }
}

#[tokio::test]
async fn one_host_with_many_answers_is_asked_a_few_times_only() {
    for (address, most) in [(Ipv4Addr::LOCALHOST, 64), (OTHER, 4)] {
        let web = Web::start_at((address, 0).into(), &[], |_| None).await;
        let answers = (0..200).map(|index| Answer {
            from: address.into(),
            text: answer_of(&format!("http://{}/{index}.xml", web.address), IGD, &format!("uuid:{index}")),
            after: AT_ONCE,
        });
        let ssdp = Ssdp::start_among(answers.collect()).await;
        assert_eq!(mapper(&ssdp).search().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(web.calls().len() <= most, "{}", web.calls().len());
    }
}

#[tokio::test]
async fn a_location_in_a_message_is_short_and_plain() {
    let location = format!("http://127.0.0.77/\u{202e}{}", "long/".repeat(300));
    let ssdp = Ssdp::start(vec![location]).await;
    let error = mapper(&ssdp).search().await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.77") && error.len() < 300, "{error}");
    let web = Web::start(&[], |_| Some("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".into())).await;
    let ssdp = Ssdp::start(vec![format!("http://{}/{}", web.address, "long/".repeat(300))]).await;
    let error = mapper(&ssdp).search().await.unwrap_err().to_string();
    assert!(error.contains("403") && error.len() < 300, "{error}");
}

#[tokio::test]
async fn a_late_answer_is_news_and_the_next_attempt_needs_no_search() {
    let router = web_at(Ipv4Addr::LOCALHOST, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&router, TOO_LATE)]).await;
    let mapper = mapper(&ssdp);
    let error = mapper.search().await.unwrap_err();
    assert_eq!(error.to_string(), "no upnp gateway answered the search within 1.1 s");
    assert!(router.calls().is_empty());
    tokio::time::timeout(Duration::from_secs(30), mapper.news()).await.unwrap();
    let searches = ssdp.searches();
    mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    assert_eq!(ssdp.searches(), searches);
    // It is no news any more.
    assert!(tokio::time::timeout(Duration::from_millis(50), mapper.news()).await.is_err());
}

#[tokio::test]
async fn a_gateway_that_answers_late_takes_the_place_of_a_device_that_was_the_last_resort() {
    let other = web_at(OTHER, external("8.8.8.8")).await;
    let router = web_at(Ipv4Addr::LOCALHOST, external("100.64.0.1")).await;
    let ssdp = Ssdp::start_among(vec![from(&other, AT_ONCE), from(&router, TOO_LATE)]).await;
    let mapper = mapper(&ssdp);
    assert_eq!(mapper.search().await.unwrap().description_url, other.location());
    let gateway_is_known = async {
        while mapper.finder.known().unwrap().description_url.as_str() != router.location() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gateway_is_known).await.unwrap();
}

#[tokio::test]
async fn everybody_who_waits_hears_the_news() {
    let router = web_at(Ipv4Addr::LOCALHOST, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&router, TOO_LATE)]).await;
    let mapper = mapper(&ssdp);
    let request = MapRequest::new(4000, Transport::Udp);
    let attempt = async || {
        mapper.install(&request, HOUR).await.unwrap_err();
        mapper.news().await;
        mapper.install(&request, HOUR).await.unwrap();
    };
    let all = async { tokio::join!(attempt(), attempt(), attempt()) };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
}

#[tokio::test]
async fn a_late_search_ends_with_its_mapper() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = UpnpConfig::new(Ipv4Addr::LOCALHOST).ssdp_address(silent.local_addr().unwrap());
    let mapper = UpnpMapper::new(config);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    mapper.search().await.unwrap_err();
    assert_eq!(tasks(), 1, "nothing runs on after the answer");
    mapper.search().await.unwrap_err();
    assert_eq!(tasks(), 1, "searches pile up");
    drop(mapper);
    while tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_router_that_hangs_or_talks_nonsense_about_its_address_is_mapped_all_the_same() {
    for answer in [String::new(), page("<html>hello</html>"), "no http at all".into()] {
        let said = answer.clone();
        let rule = move |call: &Call| (call.action == "GetExternalIPAddress").then(|| said.clone());
        let (_web, _ssdp, mapper) = gateway(rule).await;
        let started = Instant::now();
        let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
        assert_eq!(mapping.external, SocketAddr::from(([0, 0, 0, 0], 4000)), "{answer}");
        assert!(started.elapsed() < UPNP_DEADLINE, "{answer}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_device_is_known_by_its_udn() {
    let (_web, _ssdp, mapper) = gateway(|_| None).await;
    assert_eq!(mapper.finder.device().await.unwrap().udn, "uuid:test-router");
}

#[tokio::test]
async fn an_answer_from_outside_the_network_is_ignored() {
    // An address of this machine that is not in 127.0.0.0/8 stands for a host beyond a router.
    let mut outside = interfaces::all().into_iter().flat_map(|interface| interface.networks).map(|net| net.address);
    let Some(outside) = outside.find(|address| !address.is_loopback()) else {
        eprintln!("skipped: this machine has no address but 127.0.0.1");
        return;
    };
    let web = web_at(outside, healthy()).await;
    let ssdp = Ssdp::start_among(vec![from(&web, AT_ONCE)]).await;
    assert_eq!(mapper(&ssdp).search().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(web.calls().is_empty());
}
