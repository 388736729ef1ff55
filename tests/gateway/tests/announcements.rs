//! What the gateway says without being asked.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::net::{SocketAddr, UdpSocket};

use common::*;
use portlease_gateway::{Announcement, Gateway, Mode};

fn listener() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn heard(socket: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (from, buffer[..length].to_vec())
}

#[test]
fn pcp_and_nat_pmp_announce_their_epoch_from_their_port() {
    let gateway = gateway();
    let (socket, to) = listener();
    let port = SocketAddr::new(gateway.address(), gateway.pcp_port());
    gateway.reboot();

    gateway.announce(Announcement::Pcp, to).unwrap();
    let (from, pcp) = heard(&socket);
    assert_eq!((from, pcp.len(), &pcp[..4]), (port, 24, &[2, 0x80, 0, 0][..]));
    assert!(u32_at(&pcp, 8) < 1000, "the epoch since the reboot");

    gateway.announce(Announcement::NatPmp, to).unwrap();
    let (from, nat_pmp) = heard(&socket);
    assert_eq!((from, nat_pmp.len(), &nat_pmp[..4]), (port, 12, &[0, 0x80, 0, 0][..]));
    assert!(u32_at(&nat_pmp, 4) < 1000);
    assert_eq!(nat_pmp[8..], [192, 0, 1, 1]);
}

fn notifications(gateway: &Gateway, what: Announcement) -> Vec<String> {
    let (socket, to) = listener();
    gateway.announce(what, to).unwrap();
    // Root device, UDN, three devices, two services.
    let all: Vec<String> = (0..7)
        .map(|_| {
            let (from, bytes) = heard(&socket);
            assert_eq!(from, gateway.ssdp_address());
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    assert!(stays_silent(&socket));
    assert!(all.iter().all(|text| text.starts_with("NOTIFY * HTTP/1.1\r\n") && text.ends_with("\r\n\r\n")), "{all:?}");
    all
}

#[test]
fn ssdp_says_that_the_device_is_there_and_that_it_goes_away() {
    let gateway = gateway();
    gateway.reboot();
    let udn = element(&get(&gateway, "/rootDesc.xml"), "UDN").unwrap().to_owned();
    let has = |text: &String, line: &str| text.contains(&format!("\r\n{line}\r\n"));

    let alive = notifications(&gateway, Announcement::SsdpAlive);
    for text in &alive {
        assert!(has(text, "NTS: ssdp:alive") && has(text, "BOOTID.UPNP.ORG: 2"), "{text}");
        assert!(has(text, &format!("LOCATION: {}", gateway.description_url())), "{text}");
    }
    assert!(alive.iter().any(|text| has(text, &format!("USN: {udn}::upnp:rootdevice"))), "{alive:?}");

    for text in notifications(&gateway, Announcement::SsdpByebye) {
        assert!(has(&text, "NTS: ssdp:byebye") && has(&text, "BOOTID.UPNP.ORG: 2"), "{text}");
        assert!(!text.contains("LOCATION") && text.contains(&format!("\r\nUSN: {udn}")), "{text}");
    }
}

#[test]
fn a_protocol_that_is_off_announces_nothing() {
    let gateway = gateway();
    gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp, faults.upnp) = (Mode::Off, Mode::Off, Mode::Off));
    let (socket, to) = listener();
    for what in [Announcement::Pcp, Announcement::NatPmp, Announcement::SsdpAlive] {
        gateway.announce(what, to).unwrap();
    }
    assert!(stays_silent(&socket));
}
