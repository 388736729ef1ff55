//! The server side of PCP, from RFC 6887. Section numbers are that RFC's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use crate::pinhole::{Passage, PinholeAsk};
use crate::shared::Shared;
use crate::side::Side;
use crate::table::{Ask, Key, Nonce, Refusal};
use crate::{Faults, Mode, Protocol, Transport};

/// The only version there is (9).
const VERSION: u8 = 2;
/// The bit that marks an answer (7.1).
const RESPONSE: u8 = 0x80;
/// The common header (7.1, 7.2).
const HEADER: usize = 24;
/// Header and MAP payload (11.1).
const MAP_LENGTH: usize = 60;
/// The longest message (7).
const MAX_LENGTH: usize = 1100;
/// Lifetimes of errors that may soon be over, and of those that will not (7.4).
const SHORT_ERROR: u32 = 30;
const LONG_ERROR: u32 = 1800;

const OPCODE_ANNOUNCE: u8 = 0;
const OPCODE_MAP: u8 = 1;
const OPTION_PREFER_FAILURE: u8 = 2;
/// Options from here on may be ignored (7.3).
const FIRST_OPTIONAL: u8 = 128;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

/// Result codes (7.4).
mod code {
    pub(super) const UNSUPP_VERSION: u8 = 1;
    pub(super) const NOT_AUTHORIZED: u8 = 2;
    pub(super) const MALFORMED_REQUEST: u8 = 3;
    pub(super) const UNSUPP_OPCODE: u8 = 4;
    pub(super) const UNSUPP_OPTION: u8 = 5;
    pub(super) const MALFORMED_OPTION: u8 = 6;
    pub(super) const NETWORK_FAILURE: u8 = 7;
    pub(super) const NO_RESOURCES: u8 = 8;
    pub(super) const UNSUPP_PROTOCOL: u8 = 9;
    pub(super) const USER_EX_QUOTA: u8 = 10;
    pub(super) const CANNOT_PROVIDE_EXTERNAL: u8 = 11;
    pub(super) const ADDRESS_MISMATCH: u8 = 12;
}

/// A refusal: the code, and a lifetime where it is not the usual one.
struct Error(u8, Option<u32>);

impl From<u8> for Error {
    fn from(code: u8) -> Self {
        Self(code, None)
    }
}

/// The counter of a message.
pub(crate) fn kind(packet: &[u8]) -> &'static str {
    match packet {
        [_, opcode, ..] if opcode & RESPONSE != 0 => "malformed",
        [version, ..] if *version != VERSION => "unsupported_version",
        [_, OPCODE_ANNOUNCE, ..] => "pcp_announce",
        [_, OPCODE_MAP, ..] if packet.len() < MAP_LENGTH => "malformed",
        [_, OPCODE_MAP, _, _, 0, 0, 0, 0, ..] => "pcp_delete",
        [_, OPCODE_MAP, ..] => "pcp_map",
        _ => "pcp_other",
    }
}

/// Whether a message asks to map or to delete.
pub(crate) fn changes_table(packet: &[u8]) -> bool {
    matches!(kind(packet), "pcp_map" | "pcp_delete")
}

/// The answer to one message; `None` for what must be ignored.
pub(crate) fn answer(shared: &Shared, side: Side, mode: Mode, packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    // 8.3: too short to have an opcode, or itself an answer: dropped without a word.
    let opcode = *packet.get(1)?;
    if opcode & RESPONSE != 0 {
        return None;
    }
    if packet[0] != VERSION {
        return Some(unsupported_version(shared, opcode));
    }
    let result = match mode {
        Mode::Refuse(code) => Err(Error(u8::try_from(code).unwrap_or(u8::MAX), None)),
        _ => process(shared, side, packet, from),
    };
    Some(match result {
        Ok(answer) => answer,
        Err(error) => refusal(shared, packet, error),
    })
}

/// 9: header only, because the rest cannot be understood. Clients of NAT-PMP find its result code where theirs is.
pub(crate) fn unsupported_version(shared: &Shared, opcode: u8) -> Vec<u8> {
    header(shared, opcode, code::UNSUPP_VERSION, error_lifetime(shared, code::UNSUPP_VERSION)).to_vec()
}

/// 14.1: said unasked, to everybody.
pub(crate) fn announcement(shared: &Shared) -> Vec<u8> {
    header(shared, OPCODE_ANNOUNCE, 0, 0).to_vec()
}

fn header(shared: &Shared, opcode: u8, result: u8, lifetime: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = VERSION;
    header[1] = opcode | RESPONSE;
    header[3] = result;
    header[4..8].copy_from_slice(&lifetime.to_be_bytes());
    header[8..12].copy_from_slice(&shared.look(|state| state.epoch()).to_be_bytes());
    header
}

fn error_lifetime(shared: &Shared, result: u8) -> u32 {
    let usual = match result {
        code::NETWORK_FAILURE | code::NO_RESOURCES | code::USER_EX_QUOTA | code::CANNOT_PROVIDE_EXTERNAL => SHORT_ERROR,
        _ => LONG_ERROR,
    };
    shared.look(|state| state.faults.error_lifetime).unwrap_or(usual)
}

/// 8.3: an error gives the request back, with the header of an answer.
fn refusal(shared: &Shared, packet: &[u8], Error(result, lifetime): Error) -> Vec<u8> {
    let lifetime = lifetime.unwrap_or_else(|| error_lifetime(shared, result));
    let mut answer = packet[..packet.len().min(MAX_LENGTH)].to_vec();
    answer.resize(answer.len().max(HEADER).next_multiple_of(4), 0);
    answer[..HEADER].copy_from_slice(&header(shared, packet[1], result, lifetime));
    answer
}

fn process(shared: &Shared, side: Side, packet: &[u8], from: SocketAddr) -> Result<Vec<u8>, Error> {
    if packet.len() < HEADER || packet.len() > MAX_LENGTH || !packet.len().is_multiple_of(4) {
        return Err(code::MALFORMED_REQUEST.into());
    }
    let client = address(&packet[8..24]);
    match packet[1] {
        OPCODE_ANNOUNCE => {
            check_client(client, from)?;
            options(&packet[HEADER..])?;
            Ok(header(shared, OPCODE_ANNOUNCE, 0, 0).to_vec())
        }
        OPCODE_MAP if packet.len() < MAP_LENGTH => Err(code::MALFORMED_REQUEST.into()),
        OPCODE_MAP => {
            check_client(client, from)?;
            map(shared, side, packet, client)
        }
        _ => Err(code::UNSUPP_OPCODE.into()),
    }
}

/// 8.3: there must be no NAT between client and server.
fn check_client(client: IpAddr, from: SocketAddr) -> Result<(), Error> {
    if client == from.ip().to_canonical() { Ok(()) } else { Err(code::ADDRESS_MISMATCH.into()) }
}

/// 5: IPv4 addresses travel as IPv4-mapped IPv6 ones.
fn address(bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(bytes);
    IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// 7.3: reads the options; true when PREFER_FAILURE is among them.
fn options(mut rest: &[u8]) -> Result<bool, Error> {
    let mut prefer_failure = false;
    while !rest.is_empty() {
        let [option, _, high, low, tail @ ..] = rest else {
            return Err(code::MALFORMED_OPTION.into());
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let padded = length.next_multiple_of(4);
        if padded > tail.len() {
            return Err(code::MALFORMED_OPTION.into());
        }
        match *option {
            // 13.2: no data, and at most once.
            OPTION_PREFER_FAILURE if length != 0 || prefer_failure => return Err(code::MALFORMED_OPTION.into()),
            OPTION_PREFER_FAILURE => prefer_failure = true,
            FIRST_OPTIONAL.. => {}
            // THIRD_PARTY (13.1) and FILTER (13.3) included.
            _ => return Err(code::UNSUPP_OPTION.into()),
        }
        rest = &tail[padded..];
    }
    Ok(prefer_failure)
}

/// A request to map or to delete (11.1), with what does not depend on the side checked.
struct Request {
    /// Seconds; 0 deletes.
    lifetime: u32,
    nonce: Nonce,
    /// `None` is all.
    transport: Option<Transport>,
    /// Port 0 is all.
    internal: SocketAddr,
    /// 0 leaves the choice to the router.
    suggested: u16,
    suggested_address: IpAddr,
    prefer_failure: bool,
}

impl Request {
    fn read(packet: &[u8], client: IpAddr) -> Result<Self, Error> {
        let prefer_failure = options(&packet[MAP_LENGTH..])?;
        let mut nonce: Nonce = [0; 12];
        nonce.copy_from_slice(&packet[24..36]);
        let internal_port = u16::from_be_bytes([packet[40], packet[41]]);
        let transport = match packet[36] {
            IPPROTO_TCP => Some(Transport::Tcp),
            IPPROTO_UDP => Some(Transport::Udp),
            // 11.1: all protocols means all ports.
            0 if internal_port != 0 => return Err(code::MALFORMED_REQUEST.into()),
            0 => None,
            _ => return Err(code::UNSUPP_PROTOCOL.into()),
        };
        Ok(Self {
            lifetime: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
            nonce,
            transport,
            internal: SocketAddr::new(client, internal_port),
            suggested: u16::from_be_bytes([packet[42], packet[43]]),
            suggested_address: address(&packet[44..60]),
            prefer_failure,
        })
    }

    /// 13.2: PREFER_FAILURE insists on the address as well, where one is named.
    fn insists_on_other(&self, external: IpAddr) -> bool {
        self.prefer_failure && !self.suggested_address.is_unspecified() && self.suggested_address != external
    }

    /// The transport, where the request is for one port.
    fn one_port(&self) -> Result<Transport, Error> {
        // This router cannot forward everything at once to one host.
        self.transport.filter(|_| self.internal.port() != 0).ok_or_else(|| code::UNSUPP_PROTOCOL.into())
    }
}

fn map(shared: &Shared, side: Side, packet: &[u8], client: IpAddr) -> Result<Vec<u8>, Error> {
    let request = Request::read(packet, client)?;
    let (lifetime, port, external) = match side {
        _ if request.lifetime == 0 => {
            let Request { transport, internal, suggested, nonce, .. } = request;
            match side {
                Side::Nat => delete(shared, transport, internal, suggested, nonce)?,
                Side::Firewall => shared.with(|state| state.delete_pinholes(transport, internal, nonce))?,
            }
            return Ok(success(shared, packet, 0, suggested, request.suggested_address));
        }
        Side::Nat => map_port(shared, &request)?,
        Side::Firewall => map_pinhole(shared, &request)?,
    };
    let mut answer = success(shared, packet, lifetime, port, external);
    if request.prefer_failure {
        // 7.3: an option that was heeded is repeated in the answer.
        answer.extend([OPTION_PREFER_FAILURE, 0, 0, 0]);
    }
    Ok(answer)
}

/// Maps a port of the NAT; lifetime, external port and external address.
fn map_port(shared: &Shared, request: &Request) -> Result<(u32, u16, IpAddr), Error> {
    let transport = request.one_port()?;
    let (external, zero_refused) = shared.look(|state| (state.external_address(), state.faults.refuse_port_zero));
    let external = external.ok_or(code::NETWORK_FAILURE)?;
    if request.suggested == 0 && zero_refused {
        return Err(code::MALFORMED_REQUEST.into());
    }
    if request.insists_on_other(external.into()) {
        return Err(code::CANNOT_PROVIDE_EXTERNAL.into());
    }
    let grant = shared.map(Ask {
        protocol: Protocol::Pcp,
        transport,
        internal: request.internal,
        suggested: request.suggested,
        exact: request.prefer_failure,
        lifetime: request.lifetime.clamp(shared.config.min_lifetime, shared.config.max_lifetime),
        nonce: Some(request.nonce),
        description: String::new(),
    })?;
    // A renewal can have moved the address.
    let external = shared.look(|state| state.external_address()).unwrap_or(external);
    Ok((grant.lifetime, grant.external_port, external.into()))
}

/// Opens a pinhole; lifetime, external port and external address. A firewall translates nothing: outside, address and
/// port are what they are inside, whatever the client suggests (11.3).
fn map_pinhole(shared: &Shared, request: &Request) -> Result<(u32, u16, IpAddr), Error> {
    let transport = request.one_port()?;
    let internal = request.internal;
    let faults = shared.look(|state| state.faults.clone());
    if faults.inbound_pinholes_refused {
        return Err(code::NOT_AUTHORIZED.into());
    }
    if request.suggested == 0 && faults.refuse_port_zero {
        return Err(code::MALFORMED_REQUEST.into());
    }
    let other_port = request.suggested != 0 && request.suggested != internal.port();
    if request.insists_on_other(internal.ip()) || (request.prefer_failure && other_port) {
        return Err(code::CANNOT_PROVIDE_EXTERNAL.into());
    }
    let grant = shared.open_pinhole(PinholeAsk {
        protocol: Protocol::Pcp,
        passage: Passage::for_all(transport, internal),
        lifetime: request.lifetime.clamp(shared.config.min_lifetime, shared.config.max_lifetime),
        nonce: Some(request.nonce),
    })?;
    let echoes = grant.renewed && faults.pinhole_renewal_echoes_port;
    Ok((grant.lifetime, if echoes { request.suggested } else { internal.port() }, internal.ip()))
}

/// 11.3: the MAP answer repeats the request's nonce, protocol and internal port.
fn success(shared: &Shared, packet: &[u8], lifetime: u32, port: u16, external: IpAddr) -> Vec<u8> {
    let mut answer = header(shared, OPCODE_MAP, 0, lifetime).to_vec();
    answer.extend_from_slice(&packet[24..42]);
    answer.extend_from_slice(&port.to_be_bytes());
    answer.extend_from_slice(&octets(external));
    answer
}

/// 15.1: the nonce must be the mapping's; what does not exist counts as deleted. Port 0 means all ports,
/// no transport means both: then the mappings that are not the caller's stay without a word.
fn delete(
    shared: &Shared,
    transport: Option<Transport>,
    internal: SocketAddr,
    suggested: u16,
    nonce: Nonce,
) -> Result<(), Error> {
    shared.with(|state| {
        let owned = |key: &Key, state: &crate::shared::State| {
            state.table.get(*key).is_some_and(|entry| entry.nonce == Some(nonce))
        };
        let (Some(transport), true) = (transport, internal.port() != 0) else {
            let mut keys = state.table.of_host(transport, internal.ip());
            keys.retain(|key| owned(key, state));
            for key in keys {
                state.unmap(key);
            }
            return Ok(());
        };
        let Some(port) = state.table.of_internal(transport, internal, suggested, Some(nonce)) else {
            return Ok(());
        };
        if !owned(&(transport, port), state) {
            let remaining = state.table.get((transport, port)).and_then(|entry| entry.remaining(Instant::now()));
            return Err(Refusal::NotAuthorized { remaining }.into());
        }
        state.unmap((transport, port));
        Ok(())
    })
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // 11.3: the refusal holds as long as the other's mapping does.
            Refusal::NotAuthorized { remaining } => Self(code::NOT_AUTHORIZED, Some(remaining.unwrap_or(u32::MAX))),
            Refusal::PortTaken => code::CANNOT_PROVIDE_EXTERNAL.into(),
            Refusal::Full | Refusal::CannotRenew => code::NO_RESOURCES.into(),
        }
    }
}

/// Damages an answer as the switches say.
pub(crate) fn mangle(answer: &mut Vec<u8>, faults: &Faults) {
    if let Some(code) = faults.pcp_header_error {
        answer.truncate(HEADER);
        answer[3] = code;
        answer[4..8].copy_from_slice(&faults.error_lifetime.unwrap_or(SHORT_ERROR).to_be_bytes());
    }
    if faults.wrong_nonce
        && let Some(byte) = answer.get_mut(HEADER)
    {
        *byte ^= 0xff;
    }
    if faults.wrong_internal_port
        && let Some(byte) = answer.get_mut(41)
    {
        *byte ^= 0x01;
    }
}
