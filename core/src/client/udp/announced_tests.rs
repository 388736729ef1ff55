//! Announcements on loopback, where only Linux delivers multicast by the sender's address.

use portlease_gateway::Announcement as Said;
use tokio::time::Instant;

use super::*;
use crate::net::namespace::{in_namespace, interface_up, ip};

/// Where gateways announce.
const GROUP: &str = "224.0.0.1:5350";

#[tokio::test]
async fn an_announcement_of_the_gateway_is_one_doubt_together_with_the_restart_that_it_is_about() {
    for said in [Said::Pcp, Said::NatPmp] {
        let (gateway, port) = gateway();
        let pcp = PcpMapper::on(Arc::clone(&port));
        let leases = two_leases(&pcp).await;
        let attendant = Attendant::of(&port);
        gateway.reboot();
        attendant.hears(1, || gateway.announce(said, GROUP.parse().unwrap()).unwrap()).await;
        for lease in &leases {
            pcp.renew(lease).await.unwrap();
        }
        assert!(!is_doubtful(&port).await, "{said:?}");

        // What nobody announces is noticed as ever.
        port.restarts.heard(Rule::Pcp, UP, port.restarts.now());
        attendant.hears(2, || {}).await;
    }
}

/// With miniupnpd the epoch of the machine goes on when the daemon restarts.
#[tokio::test]
async fn an_announcement_whose_epoch_fits_is_a_doubt_too_and_a_forged_one_harms_no_answer() {
    let (gateway, port) = gateway();
    let pcp = PcpMapper::on(Arc::clone(&port));
    let [lease, _] = two_leases(&pcp).await;
    let attendant = Attendant::of(&port);
    attendant.hears(1, || gateway.announce(Said::Pcp, GROUP.parse().unwrap()).unwrap()).await;
    // Anybody could have sent this in the gateway's name.
    port.restarts.announced(Announcement::parse(&[0, 0x80, 0, 0, 0, 0, 0, 1, 192, 0, 1, 9]).unwrap());
    pcp.renew(&lease).await.unwrap();
    NatPmpMapper::on(Arc::clone(&port)).probe().await.unwrap();
    assert!(!is_doubtful(&port).await);
    assert_eq!(attendant.doubts.load(Ordering::Relaxed), 1);
}

/// Listens until there is a doubt. What is on its way by then is heard in its order.
async fn hear_until_doubtful(port: &GatewayPort, socket: &UdpSocket) {
    tokio::select! {
        biased;
        error = port.restarts.hear(socket, port.gateway()) => panic!("{error}"),
        () = port.doubtful() => {}
    }
}

#[tokio::test]
async fn what_another_host_or_another_program_of_the_gateway_says_is_ignored() {
    let (gateway, port) = gateway();
    let socket = open(Ipv4Addr::LOCALHOST).unwrap();
    let mut announcement = vec![2, 0x80, 0, 0];
    announcement.resize(24, 0);
    for stranger in [("127.0.0.1", 0), ("127.0.0.9", gateway.pcp_port())] {
        let stranger = std::net::UdpSocket::bind(stranger).unwrap();
        stranger.send_to(&announcement, GROUP).unwrap();
    }
    gateway.announce(Said::Pcp, GROUP.parse().unwrap()).unwrap();
    timeout(PATIENCE, hear_until_doubtful(&port, &socket)).await.expect("the gateway is heard");
    let announced = port.restarts.state().announced.due();
    assert_eq!(announced, None, "the gateway's announcement was the first");
}

#[tokio::test(start_paused = true)]
async fn a_doubt_that_is_put_off_comes_after_a_minute() {
    let (gateway, port) = gateway();
    let socket = open(Ipv4Addr::LOCALHOST).unwrap();
    gateway.announce(Said::Pcp, GROUP.parse().unwrap()).unwrap();
    hear_until_doubtful(&port, &socket).await;
    gateway.reboot();
    gateway.announce(Said::Pcp, GROUP.parse().unwrap()).unwrap();
    let start = Instant::now();
    hear_until_doubtful(&port, &socket).await;
    assert!(start.elapsed() >= RECOVERY_PACE - Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn several_mappers_listen_at_once() {
    let (gateway, port) = gateway();
    let others = [open(Ipv4Addr::LOCALHOST).unwrap(), open(Ipv4Addr::LOCALHOST).unwrap()];
    gateway.announce(Said::NatPmp, GROUP.parse().unwrap()).unwrap();
    for socket in &others {
        let mut buffer = [0; 100];
        let heard = async {
            // Other tests announce too.
            while socket.recv_from(&mut buffer).await.unwrap().1 != port.gateway() {}
        };
        timeout(PATIENCE, heard).await.expect("each of them hears it");
    }
}

#[test]
fn an_announcement_over_ipv6_is_heard_on_its_link_from_the_gateway_alone() {
    in_namespace(|| {
        if !std::path::Path::new("/proc/sys/net/ipv6").exists() {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        interface_up("lan0");
        ip("addr add fe80::5/64 dev lan0 nodad");
        for address in ["fe80::1", "fe80::9"] {
            ip(&format!("addr add {address}/64 dev lan0-far nodad"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(hear_over_ipv6());
    });
}

async fn hear_over_ipv6() {
    let number = |interface: &str| -> u32 {
        let number = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let line = number.lines().find(|line| line.ends_with(&format!(" {interface}"))).unwrap();
        u32::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    let (near, far) = (number("lan0"), number("lan0-far"));
    let at = |address: &str, port, link| {
        SocketAddr::from(std::net::SocketAddrV6::new(address.parse().unwrap(), port, 0, link))
    };
    let [gateway, stranger] = ["fe80::1", "fe80::9"].map(|address| {
        let socket = std::net::UdpSocket::bind(at(address, 0, far)).unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, at(address, port, near))
    });
    let port = GatewayPort::new(gateway.1, None);
    let socket = open6(near).unwrap();
    for (sender, epoch) in [(&stranger, 9), (&gateway, 0)] {
        let mut announcement = vec![2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, epoch];
        announcement.resize(24, 0);
        sender.0.send_to(&announcement, at("ff02::1", 5350, far)).unwrap();
    }
    timeout(PATIENCE, hear_until_doubtful(&port, &socket)).await.expect("the gateway is heard");
    assert_eq!(port.restarts.state().announced.due(), None, "the gateway's announcement was the first");

    let attendant = Attendant::of(&GatewayPort::new(gateway.1, None));
    let announcement = [&[2, 0x80][..], &[0; 22]].concat();
    let say = || {
        gateway.0.send_to(&announcement, at("ff02::1", 5350, far)).unwrap();
    };
    attendant.hears(1, say).await;
}
