//! The server side of NAT-PMP, from RFC 6886. Section numbers are that RFC's.

use std::net::{Ipv4Addr, SocketAddr};

use crate::shared::Shared;
use crate::table::{Ask, Refusal};
use crate::{Mode, Protocol, Transport};

/// Added to the request's opcode in the answer (3.2).
const RESPONSE: u8 = 128;
const OPCODE_ADDRESS: u8 = 0;
const OPCODE_UDP: u8 = 1;
const OPCODE_TCP: u8 = 2;
/// A mapping request (3.3).
const MAP_LENGTH: usize = 12;

/// Result codes (3.5).
mod code {
    pub(super) const SUCCESS: u16 = 0;
    pub(super) const UNSUPPORTED_VERSION: u16 = 1;
    pub(super) const NOT_AUTHORIZED: u16 = 2;
    pub(super) const NETWORK_FAILURE: u16 = 3;
    pub(super) const OUT_OF_RESOURCES: u16 = 4;
    pub(super) const UNSUPPORTED_OPCODE: u16 = 5;
}

/// The counter of a message.
pub(crate) fn kind(packet: &[u8]) -> &'static str {
    match packet {
        [_, OPCODE_ADDRESS, ..] => "natpmp_address",
        [_, OPCODE_UDP | OPCODE_TCP, ..] if packet.len() < MAP_LENGTH => "malformed",
        [_, OPCODE_UDP | OPCODE_TCP, _, _, _, _, _, _, 0, 0, 0, 0, ..] => "natpmp_delete",
        [_, OPCODE_UDP, ..] => "natpmp_map_udp",
        [_, OPCODE_TCP, ..] => "natpmp_map_tcp",
        [_, opcode, ..] if *opcode >= RESPONSE => "malformed",
        _ => "natpmp_other",
    }
}

/// Whether a message asks to map or to delete.
pub(crate) fn changes_table(packet: &[u8]) -> bool {
    matches!(kind(packet), "natpmp_map_udp" | "natpmp_map_tcp" | "natpmp_delete")
}

/// The answer to one message of version 0; `None` for what must be ignored.
pub(crate) fn answer(shared: &Shared, mode: Mode, packet: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let opcode = *packet.get(1)?;
    // 3.5: opcodes from 128 on are answers, and no request is ever answered twice.
    if opcode >= RESPONSE {
        return None;
    }
    let refused = match mode {
        Mode::Refuse(code) => Some(code),
        _ => None,
    };
    match opcode {
        OPCODE_ADDRESS => Some(external_address(shared, refused)),
        OPCODE_UDP => map(shared, packet, from, Transport::Udp, refused),
        OPCODE_TCP => map(shared, packet, from, Transport::Tcp, refused),
        _ => Some(header(shared, opcode, refused.unwrap_or(code::UNSUPPORTED_OPCODE))),
    }
}

/// 3.5: the eight bytes that a NAT-PMP router says to PCP clients.
pub(crate) fn unsupported_version(shared: &Shared, opcode: u8) -> Vec<u8> {
    header(shared, opcode & !RESPONSE, code::UNSUPPORTED_VERSION)
}

fn header(shared: &Shared, opcode: u8, result: u16) -> Vec<u8> {
    let mut answer = vec![0, RESPONSE | opcode];
    answer.extend(result.to_be_bytes());
    answer.extend(shared.look(|state| state.epoch()).to_be_bytes());
    answer
}

/// 3.2; 3.2.1 has the same as an announcement.
pub(crate) fn external_address(shared: &Shared, refused: Option<u16>) -> Vec<u8> {
    let address = shared.look(|state| state.external_address());
    let result = refused.unwrap_or(if address.is_some() { code::SUCCESS } else { code::NETWORK_FAILURE });
    let mut answer = header(shared, OPCODE_ADDRESS, result);
    let told = address.filter(|_| result == code::SUCCESS).unwrap_or(Ipv4Addr::UNSPECIFIED);
    answer.extend(told.octets());
    answer
}

/// 3.3 and 3.4. A request too short for a mapping is ignored.
fn map(
    shared: &Shared,
    packet: &[u8],
    from: SocketAddr,
    transport: Transport,
    refused: Option<u16>,
) -> Option<Vec<u8>> {
    let fields: &[u8; MAP_LENGTH] = packet.first_chunk()?;
    let private = u16::from_be_bytes([fields[4], fields[5]]);
    let public = u16::from_be_bytes([fields[6], fields[7]]);
    let lifetime = u32::from_be_bytes([fields[8], fields[9], fields[10], fields[11]]);
    let outcome = match refused {
        Some(code) => Err(code),
        None if lifetime == 0 => delete(shared, transport, SocketAddr::new(from.ip(), private)),
        None => create(shared, transport, SocketAddr::new(from.ip(), private), public, lifetime),
    };
    let (result, public, lifetime) = match outcome {
        Ok((public, lifetime)) => (code::SUCCESS, public, lifetime),
        Err(code) => (code, 0, 0),
    };
    let mut answer = header(shared, packet[1], result);
    answer.extend(private.to_be_bytes());
    answer.extend(public.to_be_bytes());
    answer.extend(lifetime.to_be_bytes());
    Some(answer)
}

fn create(
    shared: &Shared,
    transport: Transport,
    internal: SocketAddr,
    public: u16,
    lifetime: u32,
) -> Result<(u16, u32), u16> {
    if internal.port() == 0 {
        return Err(code::NOT_AUTHORIZED);
    }
    if shared.look(|state| state.external_address()).is_none() {
        return Err(code::NETWORK_FAILURE);
    }
    let grant = shared
        .map(Ask {
            protocol: Protocol::NatPmp,
            transport,
            internal,
            suggested: public,
            exact: false,
            lifetime: lifetime.clamp(shared.config.min_lifetime, shared.config.max_lifetime),
            nonce: None,
            description: String::new(),
        })
        .map_err(|refusal| match refusal {
            Refusal::NotAuthorized { .. } => code::NOT_AUTHORIZED,
            Refusal::PortTaken | Refusal::Full | Refusal::CannotRenew => code::OUT_OF_RESOURCES,
        })?;
    Ok((grant.external_port, grant.lifetime))
}

/// 3.4: what does not exist counts as deleted; private port 0 means all of the host's; a mapping from the router's
/// own settings cannot be deleted.
fn delete(shared: &Shared, transport: Transport, internal: SocketAddr) -> Result<(u16, u32), u16> {
    shared.with(|state| {
        let mut keys = state.table.of_host(Some(transport), internal.ip());
        if internal.port() != 0 {
            keys.retain(|key| state.table.get(*key).is_some_and(|entry| entry.internal == internal));
        }
        let (fixed, own): (Vec<_>, Vec<_>) = keys
            .into_iter()
            .partition(|key| state.table.get(*key).is_some_and(|entry| entry.protocol == Protocol::Static));
        for key in &own {
            state.unmap(*key);
        }
        if own.is_empty() && !fixed.is_empty() { Err(code::NOT_AUTHORIZED) } else { Ok((0, 0)) }
    })
}

/// Damages an answer as the switches say.
pub(crate) fn mangle(answer: &mut [u8], internal_port: bool) {
    // An answer about the address (opcode 128) has no port.
    if internal_port
        && answer.get(1).is_some_and(|opcode| *opcode != 128)
        && let Some(byte) = answer.get_mut(9)
    {
        *byte ^= 0x01;
    }
}
