//! The actions of the firewall for IPv6: WANIPv6FirewallControl:1, whose section numbers these are.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::pinhole::{Passage, PinholeAsk};
use crate::shared::Shared;
use crate::soap::{self, Call, Error, Values, argument, number};
use crate::table::Refusal;
use crate::{Faults, Protocol, Transport};

/// The longest lease in seconds (2.3).
const MAX_LEASE: u32 = 86_400;
/// The protocol number that stands for all (2.3).
const ALL_PROTOCOLS: u16 = 65_535;
/// Ports below this are only for control points that have proved who they are (2.5, AddPinhole).
const FIRST_PORT: u16 = 1024;
/// How long packets from inside keep the way open for answers, in seconds (RFC 6092, REC-15 and REC-35).
const UDP_TIMEOUT: u32 = 300;
const TCP_TIMEOUT: u32 = 7440;
/// What the switch for wrong UniqueIDs adds: more than as many pinholes as a table holds.
const WRONG_ID: u16 = 30_000;

/// Carries out one action.
pub(crate) fn answer(
    shared: &Shared,
    faults: &Faults,
    action: &str,
    call: &Call,
    from: SocketAddr,
) -> Result<Values, Error> {
    let flag = |on: bool| u8::from(on).to_string();
    match action {
        "GetFirewallStatus" => {
            return Ok(vec![
                ("FirewallEnabled", flag(!faults.firewall_disabled)),
                ("InboundPinholeAllowed", flag(!faults.inbound_pinholes_refused)),
            ]);
        }
        "GetOutboundPinholeTimeout"
        | "AddPinhole"
        | "UpdatePinhole"
        | "DeletePinhole"
        | "GetPinholePackets"
        | "CheckPinholeWorking" => {}
        _ => return Err(soap::INVALID_ACTION),
    }
    if faults.firewall_disabled {
        return Err(soap::FIREWALL_DISABLED);
    }
    if action == "GetOutboundPinholeTimeout" {
        let timeout = match passage(call)?.transport {
            Transport::Udp => UDP_TIMEOUT,
            Transport::Tcp => TCP_TIMEOUT,
        };
        return Ok(vec![("OutboundPinholeTimeout", timeout.to_string())]);
    }
    if faults.inbound_pinholes_refused {
        return Err(soap::INBOUND_PINHOLE_NOT_ALLOWED);
    }
    match action {
        "AddPinhole" => add(shared, faults, call, from),
        "UpdatePinhole" => update(shared, faults, call, from),
        "DeletePinhole" => {
            let id = own(shared, call, from)?;
            if shared.with(|state| state.close_pinhole(id)) { Ok(Values::new()) } else { Err(soap::NO_SUCH_PINHOLE) }
        }
        _ => {
            let id = own(shared, call, from)?;
            let packets = shared.look(|state| state.pinholes.get(id).map_or(0, |pinhole| pinhole.packets()));
            match action {
                "GetPinholePackets" => Ok(vec![("PinholePackets", packets.to_string())]),
                _ if packets == 0 => Err(soap::NO_PACKET_SENT),
                _ => Ok(vec![("IsWorking", flag(true))]),
            }
        }
    }
}

/// Whether a control point may have a pinhole for this port of this host: its own, or any if the router is not strict.
fn check_access(shared: &Shared, internal: SocketAddr, from: SocketAddr) -> Result<(), Error> {
    let own = internal.ip() == from.ip() && internal.port() >= FIRST_PORT;
    if own || !shared.config.secure_mode { Ok(()) } else { Err(soap::NOT_AUTHORIZED) }
}

/// Reads the five values that name a pinhole.
fn passage(call: &Call) -> Result<Passage, Error> {
    let remote_host = match argument(call, "RemoteHost")? {
        "" | "*" => None,
        host => Some(host.parse().map_err(|_| soap::INVALID_ARGS)?),
    };
    let remote_port: u16 = number(call, "RemotePort")?;
    let client = argument(call, "InternalClient")?;
    let internal_port: u16 = number(call, "InternalPort")?;
    let protocol: u16 = number(call, "Protocol")?;
    if internal_port == 0 {
        return Err(soap::INTERNAL_PORT_WILDCARD);
    }
    if matches!(client, "" | "*") {
        return Err(soap::SOURCE_WILDCARD);
    }
    let transport = match protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        ALL_PROTOCOLS => return Err(soap::PROTOCOL_WILDCARD),
        _ => return Err(soap::PROTOCOL_NOT_SUPPORTED),
    };
    let client: Ipv6Addr = client.parse().map_err(|_| soap::INVALID_ARGS)?;
    Ok(Passage {
        transport,
        internal: SocketAddr::new(IpAddr::V6(client), internal_port),
        remote_host,
        remote_port: (remote_port != 0).then_some(remote_port),
    })
}

fn lease(call: &Call, name: &str, faults: &Faults) -> Result<u32, Error> {
    let lease = number(call, name)?;
    if !(1..=MAX_LEASE).contains(&lease) {
        return Err(soap::INVALID_ARGS);
    }
    Ok(faults.upnp_max_lease.map_or(lease, |most| lease.min(most)))
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Full => soap::PINHOLE_SPACE_EXHAUSTED,
        Refusal::NotAuthorized { .. } => soap::NOT_AUTHORIZED,
        Refusal::CannotRenew | Refusal::PortTaken => soap::ACTION_FAILED,
    }
}

/// AddPinhole. For a pinhole that exists, with whatever lease, it is a renewal and returns the UniqueID of old.
fn add(shared: &Shared, faults: &Faults, call: &Call, from: SocketAddr) -> Result<Values, Error> {
    let passage = passage(call)?;
    let lifetime = lease(call, "LeaseTime", faults)?;
    check_access(shared, passage.internal, from)?;
    if faults.upnp_lost || faults.upnp_finite_lost {
        return Ok(vec![("UniqueID", WRONG_ID.to_string())]);
    }
    let ask = PinholeAsk { protocol: Protocol::Upnp, passage, lifetime, nonce: None };
    let grant = shared.open_pinhole(ask).map_err(refused)?;
    let id = if faults.wrong_unique_ids { grant.id.wrapping_add(WRONG_ID) } else { grant.id };
    Ok(vec![("UniqueID", id.to_string())])
}

fn update(shared: &Shared, faults: &Faults, call: &Call, from: SocketAddr) -> Result<Values, Error> {
    let id = own(shared, call, from)?;
    let lifetime = lease(call, "NewLeaseTime", faults)?;
    shared.with(|state| {
        let passage = state.pinholes.get(id).ok_or(soap::NO_SUCH_PINHOLE)?.passage;
        let ask = PinholeAsk { protocol: Protocol::Upnp, passage, lifetime, nonce: None };
        state.renew_pinhole(id, ask, false).map(|_| Values::new()).map_err(refused)
    })
}

/// The UniqueID that a call names, of a pinhole that its sender may have.
fn own(shared: &Shared, call: &Call, from: SocketAddr) -> Result<u16, Error> {
    let id = number(call, "UniqueID")?;
    let passage = shared.look(|state| state.pinholes.get(id).map(|pinhole| pinhole.passage));
    check_access(shared, passage.ok_or(soap::NO_SUCH_PINHOLE)?.internal, from)?;
    Ok(id)
}
