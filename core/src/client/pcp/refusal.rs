//! What a server means by a result that is no success.

use super::BY_PCP;
use super::wire::{Response, ResultCode};
use crate::client::by::By;
use crate::error::PortMappingError;
use crate::schedule::UNPROVEN_REFUSAL_HOLD;

/// The error for a response that is no success.
pub(super) fn refusal(response: &Response) -> PortMappingError {
    let message = format!("pcp {}: {}", response.result, hint(response.result));
    let hold = match response.map {
        Some(_) => response.lifetime,
        None => response.lifetime.min(UNPROVEN_REFUSAL_HOLD),
    };
    match response.result {
        ResultCode::UnsuppVersion | ResultCode::UnsuppOpcode => by(response.result).unavailable(message),
        _ if hold.is_zero() => by(response.result).refused(message),
        _ => by(response.result).refused_for(message, hold),
    }
}

/// The error of this result.
pub(super) fn by(result: ResultCode) -> By {
    BY_PCP.code(result.code()).name(result.name())
}

/// What a result means to a user.
fn hint(result: ResultCode) -> &'static str {
    match result {
        ResultCode::Success => "done",
        ResultCode::UnsuppVersion => "the gateway does not speak PCP version 2",
        ResultCode::NotAuthorized => "the gateway does not allow this host, or this port, to be mapped",
        ResultCode::MalformedRequest | ResultCode::MalformedOption => "the gateway does not understand the request",
        ResultCode::UnsuppOpcode => "the gateway does not know this kind of request",
        ResultCode::UnsuppOption => "the gateway does not know an option of the request",
        ResultCode::NetworkFailure => "the gateway's own connection has failed; it may have no external address",
        ResultCode::NoResources => "the gateway cannot make the mapping now; its table may be full",
        ResultCode::UnsuppProtocol => "the gateway cannot map this transport",
        ResultCode::UserExQuota => "this host has as many mappings as the gateway allows",
        ResultCode::CannotProvideExternal => "the gateway cannot give this external port",
        ResultCode::AddressMismatch => "another NAT stands between this host and the gateway",
        ResultCode::ExcessiveRemotePeers => "the gateway cannot filter so many remote peers",
        ResultCode::Other(_) => "the gateway gave a reason that has no name",
    }
}
