use super::*;
use crate::schedule::SSDP_DEADLINE;

const GATEWAY: [u8; 4] = [192, 168, 1, 1];
const OTHER: [u8; 4] = [192, 168, 1, 9];
const IGD: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
const NOW: Duration = Duration::ZERO;

fn lead(host: [u8; 4], port: u16, path: &str, udn: &str, target: &str) -> Lead {
    let host = IpAddr::from(host);
    let location = Url::parse(&format!("http://{host}:{port}/{path}")).unwrap();
    Lead::new(Answer { location, target: target.into(), usn: format!("{udn}::{target}"), boot_id: None }, host)
}

fn leads(all: impl IntoIterator<Item = Lead>) -> Leads {
    let mut leads = Leads::new(GATEWAY.into());
    all.into_iter().for_each(|lead| leads.add(lead));
    leads
}

/// Follows everything to its end, and gives the paths.
fn follow(leads: &mut Leads, elapsed: Duration, others: bool) -> Vec<String> {
    let mut paths = Vec::new();
    while let Some(lead) = leads.next(elapsed, others) {
        paths.push(lead.location.path().trim_start_matches('/').to_owned());
        leads.done(&lead);
    }
    paths
}

#[test]
fn the_gateway_goes_first_and_the_newest_of_its_answers() {
    let mut leads = leads([
        lead(GATEWAY, 80, "media", "uuid:m", "upnp:rootdevice"),
        lead(GATEWAY, 80, "old", "uuid:a", IGD),
        lead(OTHER, 80, "other", "uuid:o", IGD),
        lead(GATEWAY, 80, "new", "uuid:b", IGD),
    ]);
    assert_eq!(follow(&mut leads, NOW, false), ["new", "old"]);
    assert_eq!(follow(&mut leads, NOW, true), ["media", "other"]);
}

#[test]
fn of_the_locations_of_one_device_the_last_counts_and_none_is_fetched_twice() {
    let of = |path| lead(GATEWAY, 80, path, "uuid:a", IGD);
    let mut leads = leads([of("1"), of("2"), of("3")]);
    assert_eq!(follow(&mut leads, NOW, false), ["3"]);
    // It failed, and the device names another one.
    leads.add(of("3"));
    leads.add(of("4"));
    assert_eq!(follow(&mut leads, NOW, false), ["4"]);
}

#[test]
fn one_description_that_several_services_name_is_one_and_calls_itself_a_gateway_if_any_does() {
    let mut leads = leads([
        lead(GATEWAY, 80, "d", "uuid:root", "upnp:rootdevice"),
        lead(GATEWAY, 80, "d", "uuid:root", IGD),
        lead(GATEWAY, 80, "d", "uuid:wan", "upnp:rootdevice"),
    ]);
    assert_eq!(follow(&mut leads, NOW, false), ["d"]);
}

#[test]
fn the_gateways_answers_are_paced_and_never_more_than_a_search_may_cost() {
    let flood = |from: usize| {
        (from..from + 60).map(|index| lead(GATEWAY, 80, &index.to_string(), &format!("uuid:{index}"), IGD))
    };
    let mut leads = leads(flood(0));
    assert_eq!(follow(&mut leads, NOW, true).len(), 4);
    assert!(leads.paced());
    // The true one comes last and is next.
    leads.add(lead(GATEWAY, 80, "true", "uuid:true", IGD));
    assert_eq!(follow(&mut leads, UPNP_DESCRIPTION_PACE, true), ["true"]);
    let mut count = 5;
    for round in 1..20 {
        flood(round * 60).for_each(|lead| leads.add(lead));
        count += follow(&mut leads, SSDP_DEADLINE * 10, true).len();
    }
    assert_eq!(count, 64);
    assert!(!leads.paced());
}

#[test]
fn no_other_host_crowds_out_the_rest() {
    let hosts = (0..20).flat_map(|host| (0..10).map(move |path| (host, path)));
    let mut all = leads([]);
    let mut paths = Vec::new();
    for (host, path) in hosts {
        all.add(lead([192, 168, 1, 100 + host], 80, &format!("{host}-{path}"), &format!("uuid:{path}"), IGD));
        paths.extend(follow(&mut all, NOW, true));
    }
    assert_eq!(paths.len(), 16);
    assert!(paths.iter().filter(|path| path.starts_with("0-")).count() == 4);
}

#[test]
fn a_port_that_accepts_and_says_nothing_does_not_hold_up_the_others() {
    let silent = (0..6).map(|index| lead(GATEWAY, 23, &index.to_string(), &format!("uuid:{index}"), IGD));
    let mut leads = leads(silent);
    leads.add(lead(GATEWAY, 80, "true", "uuid:true", IGD));
    let late = SSDP_DEADLINE;
    let begun: Vec<_> = std::iter::from_fn(|| leads.next(late, true)).collect();
    assert_eq!(begun.len(), 3);
    assert_eq!(begun[0].location.path(), "/true");
    assert!(leads.gateway_under_way() && leads.named_under_way());
}

#[test]
fn of_a_routers_answer_port_and_path_count_and_its_own_address_only_if_nothing_is_there() {
    let router: IpAddr = "fe80::1".parse().unwrap();
    let answer = |location: &str| Answer {
        location: Url::parse(location).unwrap(),
        target: IGD.into(),
        usn: "uuid:1".into(),
        boot_id: None,
    };
    let global = "http://[2001:db8:77::1]:5000/d.xml";
    for (its, otherwise) in [(true, Some(global)), (false, None)] {
        let lead = Lead::at_router(answer(global), router, |_| its).unwrap();
        assert_eq!((lead.location.as_str(), lead.from), ("http://[fe80::1]:5000/d.xml", router));
        let next = lead.otherwise();
        assert_eq!(next.as_ref().map(|lead| lead.location.as_str()), otherwise);
        assert!(next.is_none_or(|lead| lead.from == router && lead.otherwise().is_none()));
    }
    let own = Lead::at_router(answer("http://[fe80::1]:5000/d.xml"), router, |_| true).unwrap();
    assert!(own.otherwise().is_none());
    assert!(Lead::at_router(answer("https://[fe80::1]/d.xml"), router, |_| true).is_none());
}
