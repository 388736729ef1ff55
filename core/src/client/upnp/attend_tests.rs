use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::peer::{Call, IP1, Web, description_of, fault, gateway, page};
use super::peer_table::{DESCRIPTION, line, router};
use super::*;
use crate::schedule::RECOVERY_PACE;

const HOUR: Duration = Duration::from_secs(3600);
/// A test that waits for so long has failed.
const LONG: Duration = Duration::from_secs(60);
const ROUTER: &str = "uuid:test-router";

/// A mapper that attends to announcements on sockets of its own.
struct Attended {
    mapper: Arc<UpnpMapper>,
    /// Where it has listened so far.
    opened: watch::Receiver<Vec<SocketAddr>>,
    _attending: AbortOnDropHandle<()>,
}

impl Attended {
    fn start(mapper: UpnpMapper) -> Self {
        let mapper = Arc::new(mapper);
        let (addresses, opened) = watch::channel(Vec::new());
        let attending = Arc::clone(&mapper);
        let task = tokio::spawn(async move {
            let open = || {
                let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.set_nonblocking(true)?;
                addresses.send_modify(|addresses| addresses.push(socket.local_addr().unwrap()));
                UdpSocket::from_std(socket)
            };
            match attending.attend_on(open).await {}
        });
        Self { mapper, opened, _attending: AbortOnDropHandle::new(task) }
    }

    async fn install(&self, port: u16) -> PortMapping {
        self.mapper.install(&MapRequest::new(port, Transport::Udp).exact(), HOUR).await.unwrap()
    }

    /// Where it listens when it does so for this time.
    async fn listening(&mut self, time: usize) -> SocketAddr {
        let opened = self.opened.wait_for(|opened| opened.len() >= time);
        tokio::time::timeout(LONG, opened).await.unwrap().unwrap()[time - 1]
    }

    /// Waits for a doubt.
    async fn restarted(&self) {
        tokio::time::timeout(LONG * 2, self.mapper.restarted()).await.expect("nobody is told");
    }
}

fn alive(udn: &str, location: &str, boot_id: u32) -> String {
    format!(
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=120\r\nLOCATION: {location}\r\n\
         NT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: {udn}::upnp:rootdevice\r\nBOOTID.UPNP.ORG: {boot_id}\r\n\r\n"
    )
}

fn byebye(udn: &str) -> String {
    format!("NOTIFY * HTTP/1.1\r\nNTS: ssdp:byebye\r\nUSN: {udn}::upnp:rootdevice\r\n\r\n")
}

/// Sends from a host of 127.0.0.0/8, in order.
async fn send(from: IpAddr, to: SocketAddr, messages: &[String]) {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    for message in messages {
        socket.send_to(message.as_bytes(), to).await.unwrap();
    }
}

async fn announce(to: SocketAddr, messages: &[String]) {
    send(Ipv4Addr::LOCALHOST.into(), to, messages).await;
}

/// How often the description was fetched.
fn descriptions(web: &Web) -> usize {
    web.calls().iter().filter(|call| call.action.is_empty()).count()
}

async fn refuses_datagrams(address: SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(address).await.unwrap();
    let refused = async {
        while socket.send(b"?").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, refused).await.expect("it still listens");
}

#[tokio::test]
async fn it_listens_while_a_mapping_is_held_and_at_no_other_time() {
    let (_web, _ssdp, mapper) = gateway(|_| None).await;
    let mut attended = Attended::start(mapper);
    attended.mapper.search().await.unwrap();
    for time in 1..=2 {
        assert_eq!(attended.opened.borrow().len(), time - 1);
        let (one, other) = (attended.install(4000).await, attended.install(4001).await);
        let address = attended.listening(time).await;
        attended.mapper.remove(&one).await.unwrap();
        attended.mapper.remove(&other).await.unwrap();
        refuses_datagrams(address).await;
    }
    assert_eq!(attended.opened.borrow().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_stops_listening_when_the_last_mapping_has_run_out() {
    let (_web, _ssdp, mapper) = gateway(|_| None).await;
    let mut attended = Attended::start(mapper);
    attended.install(4000).await;
    let address = attended.listening(1).await;
    tokio::time::sleep(HOUR + LONG).await;
    refuses_datagrams(address).await;
    attended.install(4000).await;
    attended.listening(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_after_a_restart_is_told_once_and_also_to_one_who_comes_later() {
    let (web, ssdp, mapper) = gateway(|_| None).await;
    let mut attended = Attended::start(mapper);
    attended.install(4000).await;
    let group = attended.listening(1).await;
    let searches = ssdp.searches();
    let unchanged = vec![alive(ROUTER, &web.location(), 1); 5];
    let burst = [vec![byebye(ROUTER); 5], vec![alive(ROUTER, &web.location(), 2); 10]].concat();
    announce(group, &[unchanged, burst].concat()).await;
    while descriptions(&web) < 2 {
        tokio::task::yield_now().await;
    }
    attended.restarted().await;
    // What follows is behind the whole burst.
    announce(group, &[alive(ROUTER, &web.location(), 2)]).await;
    let again = tokio::time::timeout(RECOVERY_PACE * 3, attended.mapper.restarted()).await;
    assert!(again.is_err(), "told twice");
    assert_eq!((descriptions(&web), ssdp.searches()), (2, searches), "the search, and one look");
}

#[tokio::test(start_paused = true)]
async fn forged_announcements_are_told_once_a_minute_and_the_last_is_not_lost() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let mut attended = Attended::start(mapper);
    attended.install(4000).await;
    let group = attended.listening(1).await;
    announce(group, &[alive(ROUTER, &web.location(), 1), alive(ROUTER, &web.location(), 2)]).await;
    attended.restarted().await;
    for _ in 0..3 {
        let told = Instant::now();
        let forged: Vec<_> = (10..50).map(|boot_id| alive(ROUTER, &web.location(), boot_id)).collect();
        announce(group, &forged).await;
        attended.restarted().await;
        let waited = told.elapsed();
        assert!(waited + Duration::from_secs(1) >= RECOVERY_PACE && waited < RECOVERY_PACE * 2, "{waited:?}");
    }
    assert_eq!(descriptions(&web), 1 + 4);
}

#[tokio::test]
async fn announcements_of_others_and_those_that_lead_elsewhere_mean_nothing() {
    let (web, _ssdp, mapper) = gateway(|_| None).await;
    let elsewhere = Web::start_at((Ipv4Addr::new(127, 0, 0, 9), 0).into(), &[(IP1, "/ctl")], |_| None).await;
    let mut attended = Attended::start(mapper);
    attended.install(4000).await;
    let group = attended.listening(1).await;
    announce(group, &[alive(ROUTER, &web.location(), 1)]).await;
    let another_host = IpAddr::from([127, 0, 0, 9]);
    let from_another_host =
        [alive(ROUTER, &elsewhere.location(), 2), alive(ROUTER, &web.location(), 2), byebye(ROUTER)];
    send(another_host, group, &from_another_host).await;
    let harmless = [
        alive("uuid:another", &web.location(), 2),
        alive("", &web.location(), 2),
        alive(ROUTER, &elsewhere.location(), 2),
        alive(ROUTER, "http://router.lan/desc.xml", 2),
        "NOTIFY".to_owned(),
        alive(ROUTER, &web.location(), 1),
    ];
    announce(group, &harmless).await;
    // Had one of them counted, this one would have to wait for a minute.
    let before = Instant::now();
    announce(group, &[alive(ROUTER, &web.location(), 2)]).await;
    attended.restarted().await;
    assert!(before.elapsed() < RECOVERY_PACE / 2);
    assert!(elsewhere.calls().is_empty());
    assert_eq!(descriptions(&web), 2);
}

#[tokio::test]
async fn a_renewal_finds_the_device_where_it_has_announced_itself_without_a_search() {
    let (web, ssdp, mapper) = gateway(|_| None).await;
    let mut attended = Attended::start(mapper);
    let mapping = attended.install(4000).await;
    let (group, searches) = (attended.listening(1).await, ssdp.searches());
    drop(web);
    let web = Web::start(&[(IP1, "/new")], |_| None).await;
    announce(group, &[byebye(ROUTER), alive(ROUTER, &web.location(), 2)]).await;
    attended.restarted().await;
    let renewed = attended.mapper.renew(&mapping).await.unwrap();
    assert_eq!(renewed.external, mapping.external);
    assert_eq!((web.changes(), ssdp.searches()), (vec!["AddPortMapping 4000 3600".to_owned()], searches));
}

#[tokio::test]
async fn a_location_that_describes_another_device_does_not_replace_the_one_that_is_known() {
    let (web, ssdp, mapper) = gateway(|_| None).await;
    let forged = Web::start(&[], |call| {
        call.action.is_empty().then(|| page(&description_of("uuid:forged", &[(IP1, "/forged")])))
    });
    let forged = forged.await;
    let mut attended = Attended::start(mapper);
    let mapping = attended.install(4000).await;
    let (group, searches) = (attended.listening(1).await, ssdp.searches());
    announce(group, &[alive(ROUTER, &forged.location(), 1)]).await;
    attended.restarted().await;
    attended.mapper.renew(&mapping).await.unwrap();
    assert_eq!(forged.calls().len(), 1, "its description, and nothing else");
    assert_eq!((web.changes().len(), ssdp.searches()), (2, searches));
}

#[tokio::test]
async fn without_a_socket_it_goes_on_and_a_restart_that_one_lease_meets_is_told_to_all() {
    let (web, ssdp, mapper) = gateway(|_| None).await;
    let mapper = Arc::new(mapper);
    let attending = Arc::clone(&mapper);
    let _attending = AbortOnDropHandle::new(tokio::spawn(async move {
        match attending.attend_on(|| Err(std::io::ErrorKind::AddrInUse.into())).await {}
    }));
    let mapping = mapper.install(&MapRequest::new(4000, Transport::Udp), HOUR).await.unwrap();
    tokio::task::yield_now().await;
    drop(web);
    let web = Web::start(&[(IP1, "/new")], |_| None).await;
    ssdp.announce(&web.location());
    mapper.renew(&mapping).await.unwrap();
    tokio::time::timeout(LONG, mapper.restarted()).await.unwrap();
    assert_eq!(descriptions(&web), 1, "it was found just now, and need not be looked at again");
}

#[tokio::test]
async fn after_a_restart_nothing_is_deleted_that_the_router_does_not_show_until_it_is_renewed() {
    // A router that never shows what stands at a port.
    let hides = |call: &Call| call.action.ends_with("PortMappingEntry").then(|| fault(401));
    let (table, web, _ssdp, mapper) = router(move |call, _| hides(call)).await;
    let mut attended = Attended::start(mapper);
    let mapping = attended.install(4000).await;
    let group = attended.listening(1).await;
    announce(group, &[alive(ROUTER, &web.location(), 1), alive(ROUTER, &web.location(), 2)]).await;
    attended.restarted().await;
    // The restart has emptied the table, and another host was faster.
    table.clear();
    table.put(4000, line("127.0.0.9", 4000, 0, DESCRIPTION));
    assert!(attended.mapper.remove(&mapping).await.is_err());
    assert!(table.get(4000).is_some(), "another host's entry was deleted");
    table.clear();
    let mapping = attended.mapper.renew(&mapping).await.unwrap();
    attended.mapper.remove(&mapping).await.unwrap();
    assert!(table.ports().is_empty());
}

#[tokio::test]
async fn the_socket_of_the_group_is_shared_or_not_to_be_had_and_hears_what_is_sent_to_the_group() {
    let config = UpnpConfig::new(Ipv4Addr::LOCALHOST).local_address(IpAddr::from(Ipv4Addr::LOCALHOST));
    let (Ok(one), Ok(other)) = (ssdp::open_group(&config), ssdp::open_group(&config)) else {
        eprintln!("skipped: port 1900 is not shared on this machine");
        return;
    };
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mark = format!("portlease test {}", sender.local_addr().unwrap());
    sender.send_to(mark.as_bytes(), crate::config::SSDP_ADDRESS).await.unwrap();
    for socket in [one, other] {
        let heard = async {
            let mut buffer = [0; 2048];
            loop {
                let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
                if &buffer[..length] == mark.as_bytes() {
                    return;
                }
            }
        };
        tokio::time::timeout(LONG, heard).await.unwrap();
    }
}
