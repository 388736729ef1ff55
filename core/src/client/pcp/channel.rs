//! Exchanges with the PCP server: what is asked, which answer fits, and what it means.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::refusal::{by, refusal};
use super::wire::{self, MapFields, Opcode, Reply, Response, ResultCode};
use super::{BY_PCP, delete_fields, pinhole, words};
use crate::client::epoch::Rule;
use crate::client::trace::{self, NoAnswer, Traced};
use crate::client::udp::{Answered, Behind, GatewayPort, Late, Manner, wire_lifetime};
use crate::clock::Moment;
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, MapRequest, Protocol};
use crate::schedule::{DELETE_DEADLINE, MAP_DEADLINE, PCP_RETRANSMIT_JITTER};

/// The requests, and what is remembered of those that were not answered.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) port: Arc<GatewayPort>,
    pub(super) behind: Arc<Behind>,
}

/// What a MAP request is about.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) fields: MapFields,
    /// The mapping that is asked for; `None` for a delete.
    pub(super) wanted: Option<MapRequest>,
    /// In seconds.
    pub(super) lifetime: u32,
}

impl Channel {
    /// Asks for a mapping, which stays in doubt until the caller accepts it. `renewal` is whether the gateway had granted it
    /// before.
    pub(super) async fn map(
        &self,
        request: &MapRequest,
        ttl: Duration,
        fields: &MapFields,
        renewal: bool,
    ) -> Result<(Duration, MapFields), PortMappingError> {
        let (mut before, mut own) = (None, None);
        let lifetime = wire_lifetime(ttl);
        let asked = Asked { fields: *fields, wanted: Some(request.clone()), lifetime };
        let ask = self.ask(Opcode::Map, Some(asked), |client| {
            before = self.behind.asking(request);
            own = Some(client);
            let option = request.exact && request.family == AddressFamily::Ipv4;
            wire::map_request(client, lifetime, &pinhole::suggesting(*fields, client), option)
        });
        let Answered { answer, repeated, .. } = ask.await?;
        let granted = grant(answer, request, renewal).map(|(lifetime, map)| match own {
            Some(own) => (lifetime, pinhole::told(map, own)),
            None => (lifetime, map),
        });
        if granted.is_err() {
            self.behind.refused(request, before, repeated);
        }
        granted
    }

    pub(super) async fn delete(&self, request: &MapRequest, nonce: [u8; 12]) -> Result<(), PortMappingError> {
        let asked = Asked { fields: delete_fields(request, nonce), wanted: None, lifetime: 0 };
        let fields = asked.fields;
        let ask = self.ask(Opcode::Map, Some(asked), |client| wire::map_request(client, 0, &fields, false));
        let response = in_our_version(ask.await?.answer)?;
        match (response.result, response.map) {
            // To delete what is not there is a success (RFC 6887 15.1); older miniupnpd says NO_RESOURCES.
            (ResultCode::Success | ResultCode::NoResources, Some(_)) => {
                self.behind.deleted(request);
                Ok(())
            }
            _ => Err(refusal(&response)),
        }
    }

    /// One exchange. `build` is given the local address when the request is about to be sent.
    pub(super) async fn ask(
        &self,
        opcode: Opcode,
        asked: Option<Asked>,
        build: impl FnOnce(IpAddr) -> Vec<u8>,
    ) -> Result<Answered<Reply>, PortMappingError> {
        let (gateway, words) = (self.port.gateway(), || words::Request(asked.clone()));
        let opened = self.port.open(Protocol::Pcp).await;
        let socket = opened.inspect_err(|error| trace::not_sent(Protocol::Pcp, gateway, words(), error))?;
        let traced = Traced::begin(Protocol::Pcp, gateway, words);
        let request = build(socket.local_address());
        let fields = asked.as_ref().map(|asked| asked.fields);
        let matcher = move |datagram: &[u8]| wire::parse(datagram).filter(|reply| fits(reply, opcode, fields));
        let (channel, sent) = (self.clone(), self.port.restarts().now());
        let insist = match &asked {
            None => Duration::ZERO,
            Some(Asked { wanted: None, .. }) => DELETE_DEADLINE,
            Some(Asked { wanted: Some(_), .. }) => MAP_DEADLINE,
        };
        let late = Late {
            end: self.behind.end(),
            heard: Box::new(move |reply, round_trip| channel.heard_late(reply, sent, round_trip, asked.as_ref())),
        };
        let manner = Manner { jitter: PCP_RETRANSMIT_JITTER, insist };
        let outcome = socket.exchange(&request, manner, matcher, late).await;
        traced.ended(outcome.as_ref().map(|answered| words::Answer(&answered.answer)).map_err(NoAnswer));
        let answer = outcome?;
        self.heard(answer.answer, sent);
        Ok(answer)
    }

    /// An answer to a request that was sent at `sent` for the first time. Refusals tell the epoch too (RFC 6887 7.2).
    fn heard(&self, reply: Reply, sent: Moment) {
        if let Ok(response) = in_our_version(reply) {
            self.behind.spoke();
            self.port.restarts().heard(Rule::Pcp, response.epoch, sent);
        }
    }

    fn heard_late(&self, reply: Reply, sent: Moment, round_trip: Duration, asked: Option<&Asked>) {
        if trace::is_heard() {
            let (request, answer) = (words::Request(asked.cloned()), words::Answer(&reply));
            trace::tell(Protocol::Pcp, self.port.gateway(), request, format_args!("{answer}, too late"), round_trip);
        }
        self.heard(reply, sent);
        self.behind.answered_late(round_trip);
        if let Some(Asked { fields, wanted: Some(request), .. }) = asked
            && grant(reply, request, false).is_ok()
        {
            let (channel, unwanted, nonce) = (self.clone(), request.clone(), fields.nonce);
            self.behind.delete_unwanted(request, async move { channel.delete(&unwanted, nonce).await });
        }
    }
}

/// Whether `reply` answers a request with `opcode` about `asked`.
///
/// Anybody who can forge the gateway's address can send an answer without a nonce, so it must at least be one that the
/// gateway could give. A refusal of the version comes in another one, because a server that answers in ours speaks it
/// (RFC 6887 9). Other errors may be the header alone, which some servers send.
fn fits(reply: &Reply, opcode: Opcode, asked: Option<MapFields>) -> bool {
    match reply {
        Reply::OtherVersion { opcode: answered, .. } => *answered == opcode as u8,
        Reply::Response(response) if response.opcode != opcode as u8 => false,
        Reply::Response(response) => match (asked, response.map) {
            (Some(asked), Some(map)) => {
                (map.nonce, map.protocol, map.internal_port) == (asked.nonce, asked.protocol, asked.internal_port)
            }
            (Some(_), None) => !matches!(response.result, ResultCode::Success | ResultCode::UnsuppVersion),
            (None, _) => response.result != ResultCode::UnsuppVersion,
        },
    }
}

/// The response, if the gateway speaks our version.
pub(super) fn in_our_version(reply: Reply) -> Result<Response, PortMappingError> {
    match reply {
        Reply::Response(response) => Ok(response),
        Reply::OtherVersion { version, .. } => Err(by(ResultCode::UnsuppVersion).unavailable(format!(
            "pcp UNSUPP_VERSION: the gateway does not speak PCP version {}, but version {version}{}",
            wire::VERSION,
            if version == 0 { ", which is NAT-PMP" } else { "" }
        ))),
    }
}

/// The lifetime and the fields of what was granted for `request`. `renewal` is whether the gateway held it for us before: if it
/// cannot provide the port that is insisted on any more, the mapping is gone.
fn grant(reply: Reply, request: &MapRequest, renewal: bool) -> Result<(Duration, MapFields), PortMappingError> {
    let response = in_our_version(reply)?;
    let exact_renewal = renewal && request.exact;
    match (response.result, response.map) {
        // miniupnpd repeats the port that was suggested, which another client may have left out, and a pinhole has no other.
        (ResultCode::Success, Some(map))
            if !response.lifetime.is_zero() && (map.external_port != 0 || request.family == AddressFamily::Ipv6) =>
        {
            Ok((response.lifetime, map))
        }
        (ResultCode::Success, map) => Err(BY_PCP.refused(format!(
            "pcp: the gateway granted external port {} for {} s, which is not a mapping",
            map.map_or(0, |map| map.external_port),
            response.lifetime.as_secs()
        ))),
        (ResultCode::CannotProvideExternal, Some(_)) if exact_renewal => {
            Err(by(response.result).refused_and_lost(refusal(&response).to_string()))
        }
        _ => Err(refusal(&response)),
    }
}
