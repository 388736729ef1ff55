use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;

use url::Url;

use super::*;

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const IP1: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

fn device(responder: [u8; 4]) -> Device {
    let url = format!("http://{}/ctl", Ipv4Addr::from(responder));
    Device {
        responder: responder.into(),
        description_url: Url::parse(&url).unwrap(),
        friendly_name: String::new(),
        manufacturer: None,
        model: None,
        firmware: None,
        igd_version: None,
        udn: String::new(),
        service: Service::known(&url, IP1).unwrap(),
        line: None,
        connected: Some(true),
        external: None,
        boot_id: None,
        found: Instant::now(),
        round_trip: Duration::ZERO,
        permanent_only: AtomicBool::new(false),
    }
}

fn lead(path: &str) -> Lead {
    let location = Url::parse(&format!("http://{GATEWAY}/{path}")).unwrap();
    Lead::new(Answer { location, target: IP1.into(), usn: format!("uuid:{path}"), boot_id: None }, GATEWAY)
}

#[tokio::test(start_paused = true)]
async fn a_search_sleeps_while_it_waits_for_the_gateway_and_has_another_device() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = UpnpConfig::new(GATEWAY).ssdp_address(silent.local_addr().unwrap());
    let caller = Caller::new(None);
    let mut hunt = Hunt::start(&config, &Sought::Ports, &caller, Vec::new()).await.unwrap();
    while !hunt.ssdp.over() {
        hunt.ssdp.next().await;
    }
    hunt.found.push(device([127, 0, 0, 9]));
    for path in ["under way", "waits"] {
        hunt.leads.add(lead(path));
        if path == "under way" {
            hunt.leads.next(Duration::ZERO, true).unwrap();
        }
        for _ in 0..10 {
            assert!(!hunt.decided());
            let look = hunt.next_look();
            assert!(look > Instant::now(), "{path}: it would spin");
            sleep_until(look.min(Instant::now() + UPNP_BETTER_DEVICE_GRACE / 4)).await;
        }
    }
    tokio::time::sleep(UPNP_SEARCH_DEADLINE).await;
    assert!(hunt.decided());
}
