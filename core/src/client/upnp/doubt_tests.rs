//! What becomes of requests that were sent and not answered, and how much a router is asked that refuses.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::peer::{Call, IP2, Ssdp, Web, fault, mapper, page};
use super::peer_table::{DESCRIPTION, Table, line, router};
use crate::client::port_mapper::PortMapperClient;
use crate::error::ErrorKind;
use crate::mapping::{MapRequest, Transport};
use crate::schedule::{UPNP_DEADLINE, UPNP_EXTERNAL_ADDRESS_FRESH};

const HOUR: Duration = Duration::from_secs(3600);
const REQUEST: MapRequest = MapRequest::new(4000, Transport::Udp);
const LOOK: &str = "GetSpecificPortMappingEntry";

fn lease(call: &Call) -> u32 {
    call.argument("NewLeaseDuration").parse().unwrap()
}

/// A router that adds what it is asked for and, while the switch is on, does not answer that.
fn loses_answers(switch: &Arc<AtomicBool>) -> impl Fn(&Call, &Table) -> Option<String> + Send + Sync + 'static {
    let switch = Arc::clone(switch);
    move |call, table| {
        (call.action == "AddPortMapping" && switch.load(Ordering::Relaxed)).then(|| {
            table.act(call);
            String::new()
        })
    }
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_is_deleted_when_the_lease_is_abandoned() {
    let losing = Arc::new(AtomicBool::new(true));
    let (table, _web, _ssdp, mapper) = router(loses_answers(&losing)).await;
    assert_eq!(mapper.install(&REQUEST, HOUR).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(table.ports(), [4000]);
    mapper.abandon(&REQUEST).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn a_lease_that_left_no_doubt_is_abandoned_without_traffic() {
    let (_table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.remove(&mapping).await.unwrap();
    mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
    let calls = web.calls().len();
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(web.calls().len(), calls);
}

#[tokio::test]
async fn what_another_host_made_of_a_doubtful_port_is_left() {
    let losing = Arc::new(AtomicBool::new(true));
    let (table, web, _ssdp, mapper) = router(loses_answers(&losing)).await;
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    let other = line("192.168.1.99", 4000, 0, "x");
    table.put(4000, other.clone());
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.get(4000), Some(other));
    assert_eq!(web.changes().len(), 1);
}

#[tokio::test]
async fn doubt_ends_with_a_later_grant_of_the_same_port_or_with_a_removal() {
    let losing = Arc::new(AtomicBool::new(true));
    let (table, web, _ssdp, mapper) = router(loses_answers(&losing)).await;
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    losing.store(false, Ordering::Relaxed);
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [4000]);
    mapper.remove(&mapping).await.unwrap();
    let calls = web.calls().len();
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(web.calls().len(), calls);
}

#[tokio::test]
async fn a_lease_that_moved_to_another_port_still_has_the_doubtful_one_deleted() {
    let losing = Arc::new(AtomicBool::new(true));
    let (table, _web, _ssdp, mapper) = router(loses_answers(&losing)).await;
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    losing.store(false, Ordering::Relaxed);
    mapper.install(&REQUEST.external_port(5000), HOUR).await.unwrap();
    assert_eq!(table.ports(), [4000, 5000]);
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [5000]);
}

#[tokio::test]
async fn what_a_silent_router_may_hold_cannot_be_abandoned_with_success() {
    let silent = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&silent);
    let (_table, _web, _ssdp, mapper) = router(move |call, _| {
        let add = call.action == "AddPortMapping";
        (add || (switch.load(Ordering::Relaxed) && !call.action.is_empty())).then(String::new)
    })
    .await;
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    silent.store(true, Ordering::Relaxed);
    assert_eq!(mapper.abandon(&REQUEST).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_port_that_the_router_chose_and_did_not_tell_is_found_in_its_table_and_deleted() {
    let table = Table::default();
    let of_the_web = table.clone();
    let web = Web::start(&[(IP2, "/ctl")], move |call| match &*call.action {
        "AddAnyPortMapping" => {
            of_the_web.put(40_007, line("127.0.0.1", 4000, 3600, DESCRIPTION));
            Some(String::new())
        }
        _ => of_the_web.act(call),
    })
    .await;
    table.put(4000, line("192.168.1.99", 4000, 0, "x"));
    table.put(4010, line("127.0.0.1", 4000, 0, "made by hand"));
    let ssdp = Ssdp::start(vec![web.location()]).await;
    let mapper = mapper(&ssdp);
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    mapper.abandon(&REQUEST).await.unwrap();
    assert_eq!(table.ports(), [4000, 4010]);
}

#[tokio::test]
async fn what_an_install_that_was_dropped_in_mid_call_has_made_is_deleted_behind_that_call() {
    for answered in [true, false] {
        let (table, web, _ssdp, mapper) = router(move |call, table| {
            (call.action == "AddPortMapping" && !answered).then(|| {
                table.act(call);
                String::new()
            })
        })
        .await;
        mapper.search().await.unwrap();
        let request = REQUEST;
        let install = mapper.install(&request, HOUR);
        tokio::select! {
            biased;
            () = web.changed() => {}
            outcome = install => panic!("{outcome:?}"),
        }
        let asked = Instant::now();
        mapper.abandon(&REQUEST).await.unwrap();
        assert!(table.ports().is_empty());
        assert_eq!(web.changes(), ["AddPortMapping 4000 3600", "DeletePortMapping 4000"]);
        assert!(answered || asked.elapsed() > UPNP_DEADLINE / 2, "it did not wait for the call under way");
    }
}

#[tokio::test]
async fn what_is_under_way_behind_a_dropped_call_is_waited_for() {
    let (_table, web, _ssdp, mapper) = router(|call, _| (call.action == "AddPortMapping").then(String::new)).await;
    mapper.search().await.unwrap();
    let request = REQUEST;
    tokio::select! {
        biased;
        () = web.changed() => {}
        outcome = mapper.install(&request, HOUR) => panic!("{outcome:?}"),
    }
    let asked = Instant::now();
    mapper.settle().await;
    assert!(asked.elapsed() > UPNP_DEADLINE / 2);
}

#[tokio::test]
async fn one_transient_refusal_of_a_lease_makes_no_mapping_permanent() {
    for code in [501, 402] {
        let refused = AtomicBool::new(false);
        let (table, _web, _ssdp, mapper) = router(move |call, _| {
            (call.action == "AddPortMapping" && !refused.swap(true, Ordering::Relaxed)).then(|| fault(code))
        })
        .await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert_eq!((mapping.lifetime, mapping.external.port()), (Some(HOUR), 4000));
        assert_eq!(table.get(4000).unwrap().lease, 3600);
    }
}

#[tokio::test]
async fn only_725_is_remembered_and_what_another_code_made_permanent_gets_a_lease_at_its_renewal() {
    for code in [501, 402] {
        let busy = Arc::new(AtomicBool::new(true));
        let switch = Arc::clone(&busy);
        let (table, _web, _ssdp, mapper) = router(move |call, _| {
            let refused = call.action == "AddPortMapping" && switch.load(Ordering::Relaxed) && lease(call) > 0;
            refused.then(|| fault(code))
        })
        .await;
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert!(mapping.permanent());
        assert!(mapper.renew(&mapping).await.unwrap().permanent());
        busy.store(false, Ordering::Relaxed);
        assert_eq!(mapper.renew(&mapping).await.unwrap().lifetime, Some(HOUR));
        assert_eq!(table.get(4000).unwrap().lease, 3600);
        let next = mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
        assert_eq!(next.lifetime, Some(HOUR));
    }
}

#[tokio::test]
async fn a_router_whose_address_is_nonsense_or_never_comes_is_mapped_all_the_same() {
    for answer in [String::new(), page("<html>hi</html>"), "nonsense".to_owned(), fault(501)] {
        let switch = Arc::new(AtomicBool::new(false));
        let tells_nothing = Arc::clone(&switch);
        let (_table, _web, _ssdp, mapper) = router(move |call, _| {
            (call.action == "GetExternalIPAddress" && tells_nothing.load(Ordering::Relaxed)).then(|| answer.clone())
        })
        .await;
        let told = mapper.install(&REQUEST, HOUR).await.unwrap();
        switch.store(true, Ordering::Relaxed);
        assert_eq!(mapper.renew(&told).await.unwrap().external, "0.0.0.0:4000".parse().unwrap());
        mapper.probe().await.unwrap();
        mapper.search().await.unwrap();
        let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
        assert_eq!(mapping.external, "0.0.0.0:4000".parse().unwrap());
    }
}

#[tokio::test]
async fn leases_that_are_mapped_together_ask_for_the_address_once() {
    let (_table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapping = mapper.install(&REQUEST, HOUR).await.unwrap();
    // What the search learned is old by now.
    tokio::time::pause();
    tokio::time::advance(UPNP_EXTERNAL_ADDRESS_FRESH * 2).await;
    tokio::time::resume();
    mapper.renew(&mapping).await.unwrap();
    let before = web.calls().len();
    mapper.install(&MapRequest::new(4001, Transport::Udp), HOUR).await.unwrap();
    let asked: Vec<_> = web.calls()[before..].iter().map(Call::short).collect();
    assert_eq!(asked, [format!("{LOOK} 4001"), "AddPortMapping 4001 3600".to_owned()]);
}

#[tokio::test]
async fn a_full_router_gets_six_requests_an_attempt_at_most() {
    for code in [728, 501, 402, 718, 729, 725, 724, 606, 605] {
        let (_table, web, _ssdp, mapper) =
            router(move |call, _| (call.action == "AddPortMapping").then(|| fault(code))).await;
        mapper.search().await.unwrap();
        let before = web.calls().len();
        assert_eq!(mapper.install(&REQUEST, HOUR).await.unwrap_err().kind(), ErrorKind::Refused);
        let asked: Vec<_> = web.calls()[before..].iter().map(Call::short).collect();
        assert!(asked.len() <= 6, "{code}: {asked:?}");
        if code == 728 {
            assert_eq!(asked, [format!("{LOOK} 4000"), "AddPortMapping 4000 3600".to_owned()]);
        }
    }
}

#[tokio::test]
async fn once_the_lease_is_known_to_be_no_obstacle_other_ports_are_asked_for_with_that_lease_alone() {
    let asked = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
    let counts = Arc::clone(&asked);
    let (_table, _web, _ssdp, mapper) = router(move |call, _| {
        (call.action == "AddPortMapping").then(|| {
            *counts.lock().unwrap().entry(call.argument("NewExternalPort").to_owned()).or_default() += 1;
            if lease(call) > 0 { fault(725) } else { fault(718) }
        })
    })
    .await;
    mapper.install(&REQUEST, HOUR).await.unwrap_err();
    let asked = asked.lock().unwrap();
    assert_eq!(asked["4000"], 2);
    assert!(asked.len() > 1 && asked.iter().all(|(port, count)| port == "4000" || *count == 1), "{asked:?}");
}

#[tokio::test]
async fn many_leases_at_once_are_mapped_and_removed_one_call_after_the_other() {
    let (table, web, _ssdp, mapper) = router(|_, _| None).await;
    let mapper = Arc::new(mapper);
    let mut tasks = tokio::task::JoinSet::new();
    for port in 4000..4040 {
        let mapper = Arc::clone(&mapper);
        tasks.spawn(async move { mapper.install(&MapRequest::new(port, Transport::Udp), HOUR).await.unwrap() });
    }
    let mappings = tasks.join_all().await;
    assert_eq!(table.ports().len(), 40);
    for mapping in mappings {
        mapper.remove(&mapping).await.unwrap();
    }
    assert!(table.ports().is_empty());
    assert_eq!(web.most_at_once(), 1);
}

#[tokio::test]
async fn installs_behind_one_that_meets_silence_fail_with_it() {
    let (_table, web, _ssdp, mapper) = router(|call, _| (!call.action.is_empty()).then(String::new)).await;
    mapper.search().await.unwrap();
    let requests = [4000, 4001, 4002, 4003].map(|port| MapRequest::new(port, Transport::Udp));
    let asked = Instant::now();
    let calls = web.calls().len();
    let [a, b, c, d] = &requests;
    let outcomes = tokio::join!(
        mapper.install(a, HOUR),
        mapper.install(b, HOUR),
        mapper.install(c, HOUR),
        mapper.install(d, HOUR)
    );
    for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Timeout);
    }
    // The looks alone are silences: an address that never comes is none.
    assert!(asked.elapsed() < UPNP_DEADLINE * 3, "{:?}", asked.elapsed());
    assert!(web.calls().len() - calls <= 5, "{:?}", web.calls());
}
