//! The floors of PCP (RFC 6887 11) and NAT-PMP (RFC 6886 3): one request, one answer, on a plain socket.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};

use super::{Attempt, Client, Failure, Kind, LIFETIME, Mapped, Protocol, World};

const PORT: u16 = 5351;
const SUCCESS: u8 = 0;
const NONCE: [u8; 12] = *b"bench-floor!";

fn exchange(socket: &UdpSocket, request: &[u8], answer: &mut [u8]) -> io::Result<usize> {
    socket.send(request)?;
    socket.recv(answer)
}

/// Opens the socket, which is a part of the measured time.
fn socket(world: &World) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((world.local, 0))?;
    socket.connect((world.gateway, PORT))?;
    socket.set_read_timeout(Some(world.cap))?;
    Ok(socket)
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Capped,
        _ => Failure::Answer(error.to_string()),
    }
}

/// A MAP request for UDP; lifetime 0 deletes.
fn map_request(local: Ipv4Addr, port: u16, lifetime: u32) -> [u8; 60] {
    let mut request = [0; 60];
    request[0] = 2;
    request[1] = 1;
    request[4..8].copy_from_slice(&lifetime.to_be_bytes());
    request[8..24].copy_from_slice(&local.to_ipv6_mapped().octets());
    request[24..36].copy_from_slice(&NONCE);
    request[36] = 17;
    request[40..42].copy_from_slice(&port.to_be_bytes());
    request[42..44].copy_from_slice(&port.to_be_bytes());
    request[44..60].copy_from_slice(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    request
}

fn pcp(world: &World, port: u16) -> Result<(UdpSocket, Mapped), Failure> {
    let socket = socket(world).map_err(failed)?;
    let mut answer = [0; 1100];
    let length = exchange(&socket, &map_request(world.local, port, LIFETIME), &mut answer).map_err(failed)?;
    let answer = &answer[..length];
    if length < 60 || answer[..2] != [2, 0x81] || answer[3] != SUCCESS || answer[24..36] != NONCE {
        return Err(Failure::Answer(format!("an answer of {length} bytes that grants nothing")));
    }
    let address = Ipv4Addr::new(answer[56], answer[57], answer[58], answer[59]);
    let external = u16::from_be_bytes([answer[42], answer[43]]);
    Ok((socket, Mapped { address: Some(address.into()), port: external, protocol: Some("pcp".to_owned()) }))
}

/// MAP by PCP.
pub(super) struct RawPcp;

impl Client for RawPcp {
    fn name(&self) -> &'static str {
        "raw PCP MAP"
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::Pcp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        match pcp(world, port) {
            Err(failure) => Attempt::failed(failure),
            Ok((socket, mapped)) => Attempt::mapped(mapped, move || {
                let mut answer = [0; 1100];
                let delete = map_request(world.local, port, 0);
                exchange(&socket, &delete, &mut answer).map(drop).map_err(|error| error.to_string())
            }),
        }
    }
}

/// A mapping request for UDP; lifetime 0 deletes.
fn natpmp_request(port: u16, lifetime: u32) -> [u8; 12] {
    let mut request = [0; 12];
    request[1] = 1;
    request[4..6].copy_from_slice(&port.to_be_bytes());
    request[6..8].copy_from_slice(&port.to_be_bytes());
    request[8..12].copy_from_slice(&lifetime.to_be_bytes());
    request
}

fn natpmp(world: &World, port: u16) -> Result<(UdpSocket, Mapped), Failure> {
    let socket = socket(world).map_err(failed)?;
    let (mut address, mut mapping) = ([0; 16], [0; 16]);
    socket.send(&[0, 0]).map_err(failed)?;
    socket.send(&natpmp_request(port, LIFETIME)).map_err(failed)?;
    let length = socket.recv(&mut address).map_err(failed)?;
    if length != 12 || address[..4] != [0, 128, 0, SUCCESS] {
        return Err(Failure::Answer(format!("an address answer of {length} bytes that tells none")));
    }
    let length = socket.recv(&mut mapping).map_err(failed)?;
    if length != 16 || mapping[..4] != [0, 129, 0, SUCCESS] {
        return Err(Failure::Answer(format!("a mapping answer of {length} bytes that grants nothing")));
    }
    let address = Ipv4Addr::new(address[8], address[9], address[10], address[11]);
    let external = u16::from_be_bytes([mapping[10], mapping[11]]);
    Ok((socket, Mapped { address: Some(address.into()), port: external, protocol: Some("nat-pmp".to_owned()) }))
}

/// External address and mapping by NAT-PMP, both sent at once.
pub(super) struct RawNatPmp;

impl Client for RawNatPmp {
    fn name(&self) -> &'static str {
        "raw NAT-PMP address + map"
    }

    fn kind(&self) -> Kind {
        Kind::Floor
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::NatPmp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        match natpmp(world, port) {
            Err(failure) => Attempt::failed(failure),
            Ok((socket, mapped)) => Attempt::mapped(mapped, move || {
                let mut answer = [0; 16];
                exchange(&socket, &natpmp_request(port, 0), &mut answer).map(drop).map_err(|error| error.to_string())
            }),
        }
    }
}
