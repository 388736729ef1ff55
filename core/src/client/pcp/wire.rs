//! The wire format of the Port Control Protocol, version 2 (RFC 6887). Pure: bytes in, values out, and back.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The version that is spoken (RFC 6887 7).
pub(crate) const VERSION: u8 = 2;
/// The length of the common header of requests and responses (RFC 6887 7.1, 7.2).
pub(crate) const HEADER_LENGTH: usize = 24;
/// The length of a MAP message without options (RFC 6887 11.1).
pub(crate) const MAP_LENGTH: usize = 60;
/// The longest message (RFC 6887 7).
pub(crate) const MAX_LENGTH: usize = 1100;

/// Set in the second byte of responses (RFC 6887 7.2).
const RESPONSE: u8 = 0x80;
/// The shortest answer of a server of another version: NAT-PMP's is 8 bytes long (RFC 6886 3.5).
const MIN_OTHER_VERSION: usize = 8;
/// The PREFER_FAILURE option: code 2, a reserved byte, no data (RFC 6887 13.2).
const PREFER_FAILURE: [u8; 4] = [2, 0, 0, 0];

/// The opcodes that are used here (RFC 6887 19.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    /// ANNOUNCE (RFC 6887 14.1): asks for nothing but an answer.
    Announce = 0,
    /// MAP (RFC 6887 11).
    Map = 1,
}

/// The result of a request (RFC 6887 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultCode {
    /// 0.
    Success,
    /// 1: the server does not speak this version.
    UnsuppVersion,
    /// 2: this client, or this request, is not allowed.
    NotAuthorized,
    /// 3: the server could not read the request.
    MalformedRequest,
    /// 4: the server does not know the opcode.
    UnsuppOpcode,
    /// 5: the server does not know a mandatory option.
    UnsuppOption,
    /// 6: the server could not read an option.
    MalformedOption,
    /// 7: the server or the network around it has failed, for instance no external address.
    NetworkFailure,
    /// 8: the server has no room left.
    NoResources,
    /// 9: the transport protocol cannot be mapped.
    UnsuppProtocol,
    /// 10: this client has too many mappings.
    UserExQuota,
    /// 11: the suggested external port or address cannot be had.
    CannotProvideExternal,
    /// 12: the request came from another address than the one written in it.
    AddressMismatch,
    /// 13: more remote peers than the server can filter.
    ExcessiveRemotePeers,
    /// A code without a name in RFC 6887.
    Other(u8),
}

/// The codes from 0 on, with their names.
const NAMES: [(ResultCode, &str); 14] = [
    (ResultCode::Success, "SUCCESS"),
    (ResultCode::UnsuppVersion, "UNSUPP_VERSION"),
    (ResultCode::NotAuthorized, "NOT_AUTHORIZED"),
    (ResultCode::MalformedRequest, "MALFORMED_REQUEST"),
    (ResultCode::UnsuppOpcode, "UNSUPP_OPCODE"),
    (ResultCode::UnsuppOption, "UNSUPP_OPTION"),
    (ResultCode::MalformedOption, "MALFORMED_OPTION"),
    (ResultCode::NetworkFailure, "NETWORK_FAILURE"),
    (ResultCode::NoResources, "NO_RESOURCES"),
    (ResultCode::UnsuppProtocol, "UNSUPP_PROTOCOL"),
    (ResultCode::UserExQuota, "USER_EX_QUOTA"),
    (ResultCode::CannotProvideExternal, "CANNOT_PROVIDE_EXTERNAL"),
    (ResultCode::AddressMismatch, "ADDRESS_MISMATCH"),
    (ResultCode::ExcessiveRemotePeers, "EXCESSIVE_REMOTE_PEERS"),
];

impl From<u8> for ResultCode {
    fn from(code: u8) -> Self {
        NAMES.get(usize::from(code)).map_or(Self::Other(code), |(result, _)| *result)
    }
}

impl ResultCode {
    /// The number on the wire.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Other(code) => code,
            named => (0..).zip(NAMES).find(|(_, (result, _))| *result == named).map_or(u8::MAX, |(code, _)| code),
        }
    }

    /// The name in RFC 6887.
    pub(crate) fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(result, _)| *result == self).map(|(_, name)| *name)
    }
}

impl fmt::Display for ResultCode {
    /// The name in RFC 6887, or `result code 77`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "result code {}", self.code()),
        }
    }
}

/// The opcode-specific part of a MAP message (RFC 6887 11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapFields {
    /// 96 random bits that make the mapping the client's own.
    pub nonce: [u8; 12],
    /// IANA protocol number: 6 is TCP, 17 is UDP.
    pub protocol: u8,
    /// The client's port.
    pub internal_port: u16,
    /// Suggested in requests, assigned in responses.
    pub external_port: u16,
    /// Suggested in requests, assigned in responses; unspecified for none.
    pub external_address: IpAddr,
}

/// A response of version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response {
    /// The request's opcode.
    pub opcode: u8,
    /// Success, or why not.
    pub result: ResultCode,
    /// Success: how long the mapping lives. Else: how long the same request will fail in the same way (RFC 6887 7.2).
    pub lifetime: Duration,
    /// The server's time since it lost its state, in seconds (RFC 6887 8.5).
    pub epoch: u32,
    /// Present where the opcode is MAP and the message is long enough.
    pub map: Option<MapFields>,
}

/// What a datagram from a gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// An answer in version 2.
    Response(Response),
    /// A server of another version says that it does not speak ours; NAT-PMP is version 0 (RFC 6887 9, RFC 6886 3.5).
    OtherVersion {
        /// The version that it speaks.
        version: u8,
        /// The request's opcode.
        opcode: u8,
    },
}

/// An ANNOUNCE request from `client` (RFC 6887 14.1).
pub(crate) fn announce_request(client: IpAddr) -> Vec<u8> {
    header(Opcode::Announce, 0, client)
}

/// A MAP request from `client` (RFC 6887 11.1) for `lifetime` seconds; 0 deletes. `prefer_failure` adds the option
/// that forbids another external port or address than the suggested ones (RFC 6887 13.2).
pub(crate) fn map_request(client: IpAddr, lifetime: u32, map: &MapFields, prefer_failure: bool) -> Vec<u8> {
    let mut message = header(Opcode::Map, lifetime, client);
    message.extend_from_slice(&map.nonce);
    message.extend_from_slice(&[map.protocol, 0, 0, 0]);
    message.extend_from_slice(&map.internal_port.to_be_bytes());
    message.extend_from_slice(&map.external_port.to_be_bytes());
    message.extend_from_slice(&address_bytes(map.external_address));
    if prefer_failure {
        message.extend_from_slice(&PREFER_FAILURE);
    }
    message
}

/// Reads a datagram from a gateway. `None` for whatever is no PCP response and no refusal of the version:
/// RFC 6887 8.3 wants such to be ignored. Options are not looked at: none is asked for that answers.
pub(crate) fn parse(datagram: &[u8]) -> Option<Reply> {
    let (&[version, opcode, _, result], _) = datagram.split_first_chunk()?;
    if opcode & RESPONSE == 0 || datagram.len() > MAX_LENGTH {
        return None;
    }
    // Before the rules on length: they are version 2's own.
    let result = ResultCode::from(result);
    if version != VERSION {
        let refusal = result == ResultCode::UnsuppVersion && datagram.len() >= MIN_OTHER_VERSION;
        return refusal.then_some(Reply::OtherVersion { version, opcode: opcode & !RESPONSE });
    }
    if datagram.len() < HEADER_LENGTH || !datagram.len().is_multiple_of(4) {
        return None;
    }
    let opcode = opcode & !RESPONSE;
    Some(Reply::Response(Response {
        opcode,
        result,
        lifetime: Duration::from_secs(u32::from_be_bytes(array(datagram, 4)?).into()),
        epoch: u32::from_be_bytes(array(datagram, 8)?),
        map: if opcode == Opcode::Map as u8 { parse_map(datagram) } else { None },
    }))
}

fn parse_map(datagram: &[u8]) -> Option<MapFields> {
    let [protocol, ..] = array::<4>(datagram, 36)?;
    Some(MapFields {
        nonce: array(datagram, 24)?,
        protocol,
        internal_port: u16::from_be_bytes(array(datagram, 40)?),
        external_port: u16::from_be_bytes(array(datagram, 42)?),
        external_address: Ipv6Addr::from(array::<16>(datagram, 44)?).to_canonical(),
    })
}

fn header(opcode: Opcode, lifetime: u32, client: IpAddr) -> Vec<u8> {
    let mut message = Vec::with_capacity(MAP_LENGTH + PREFER_FAILURE.len());
    message.extend_from_slice(&[VERSION, opcode as u8, 0, 0]);
    message.extend_from_slice(&lifetime.to_be_bytes());
    message.extend_from_slice(&address_bytes(client));
    message
}

/// 16 bytes; an IPv4 address becomes an IPv4-mapped one (RFC 6887 5).
fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn array<const N: usize>(datagram: &[u8], start: usize) -> Option<[u8; N]> {
    datagram.get(start..)?.first_chunk().copied()
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
