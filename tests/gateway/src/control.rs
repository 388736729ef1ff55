//! The UPnP actions: WANIPConnection and WANCommonInterfaceConfig, and the way to those of the firewall for IPv6.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::UPNP_MAX_LEASE;
use crate::firewall;
use crate::layout::{Role, Service};
use crate::shared::Shared;
use crate::side::Side;
use crate::soap::{self, Call, Error, Values, argument, number};
use crate::table::{Ask, Key, Refusal};
use crate::{Faults, Mapping, Mode, Protocol, Transport};

/// Whether a switch keeps the call from being answered.
pub(crate) fn hangs(call: &Call, faults: &Faults) -> bool {
    faults.external_address_hangs && call.action == "GetExternalIPAddress"
}

/// Whether a call asks to map or to delete.
pub(crate) fn changes_table(call: &Call) -> bool {
    matches!(
        call.action.as_str(),
        "AddPortMapping" | "AddAnyPortMapping" | "DeletePortMapping" | "AddPinhole" | "UpdatePinhole" | "DeletePinhole"
    )
}

/// Carries out one call that came to the control URL of `service`.
pub(crate) fn execute(
    shared: &Shared,
    side: Side,
    service: &Service,
    call: &Call,
    from: SocketAddr,
) -> Result<String, Error> {
    let faults = shared.look(|state| state.faults.clone());
    if let Mode::Refuse(code) = faults.http_mode(side) {
        return Err(Error(code));
    }
    if let Some(code) = shared.with(|state| state.faults.next_soap_error(&call.action)) {
        return Err(Error(code));
    }
    if !serves(&service.kind, &call.service) {
        return Err(soap::INVALID_ACTION);
    }
    let values = match (service.role, call.action.as_str()) {
        (Role::Common, "GetCommonLinkProperties") => Ok(common_link_properties()),
        (Role::Connection { up }, action) => connection(shared, &faults, up, action, call, from),
        (Role::Firewall, action) => firewall::answer(shared, &faults, action, call, from),
        _ => Err(soap::INVALID_ACTION),
    }?;
    Ok(soap::answer(call, &values))
}

/// A service answers calls for its own type in its version and every older one.
fn serves(kind: &str, called: &str) -> bool {
    match (kind.rsplit_once(':'), called.rsplit_once(':')) {
        (Some((kind, version)), Some((called, wanted))) => {
            kind == called
                && matches!((version.parse::<u8>(), wanted.parse::<u8>()), (Ok(version), Ok(wanted)) if (1..=version).contains(&wanted))
        }
        _ => false,
    }
}

fn common_link_properties() -> Values {
    vec![
        ("NewWANAccessType", "DSL".into()),
        ("NewLayer1UpstreamMaxBitRate", "40000000".into()),
        ("NewLayer1DownstreamMaxBitRate", "100000000".into()),
        ("NewPhysicalLinkStatus", "Up".into()),
    ]
}

fn connection(
    shared: &Shared,
    faults: &Faults,
    up: bool,
    action: &str,
    call: &Call,
    from: SocketAddr,
) -> Result<Values, Error> {
    match action {
        "GetStatusInfo" => {
            let (status, uptime) = shared.look(|state| (state.faults.connection_status.clone(), state.epoch()));
            let status = if up { status.unwrap_or_else(|| "Connected".into()) } else { "Disconnected".into() };
            Ok(vec![
                ("NewConnectionStatus", status),
                ("NewLastConnectionError", "ERROR_NONE".into()),
                ("NewUptime", uptime.to_string()),
            ])
        }
        "GetConnectionTypeInfo" => {
            Ok(vec![("NewConnectionType", "IP_Routed".into()), ("NewPossibleConnectionTypes", "IP_Routed".into())])
        }
        "GetNATRSIPStatus" => Ok(vec![("NewRSIPAvailable", "0".into()), ("NewNATEnabled", "1".into())]),
        "GetExternalIPAddress" => {
            let address = shared.look(|state| state.external_address()).filter(|_| up);
            let told = faults.external_address_text.clone().or(address.map(|ip| ip.to_string()));
            Ok(vec![("NewExternalIPAddress", told.unwrap_or_default())])
        }
        "GetGenericPortMappingEntry" => generic_entry(shared, call),
        "GetSpecificPortMappingEntry" => {
            let key = mapping_key(call)?;
            let entry = find(shared, key).ok_or(soap::NO_SUCH_ENTRY)?;
            Ok(mapping_value(&entry))
        }
        // A connection that is down cannot be mapped.
        "AddPortMapping" | "AddAnyPortMapping" | "DeletePortMapping" if !up => Err(soap::ACTION_FAILED),
        "AddPortMapping" => add(shared, faults, call, from, false).map(|_| Values::new()),
        "AddAnyPortMapping" if call.service.ends_with(":2") => {
            let port = add(shared, faults, call, from, true)?;
            Ok(vec![("NewReservedPort", port.to_string())])
        }
        "DeletePortMapping" => delete(shared, call, from).map(|()| Values::new()),
        _ => Err(soap::INVALID_ACTION),
    }
}

/// Remote host, external port and protocol name a mapping (WANIPConnection:2, 2.3.19 to 2.3.22).
fn mapping_key(call: &Call) -> Result<Key, Error> {
    let remote = argument(call, "NewRemoteHost")?;
    let port = number(call, "NewExternalPort")?;
    // The allowed values are written in capitals; some routers take nothing else.
    let transport = match argument(call, "NewProtocol")? {
        "UDP" => Transport::Udp,
        "TCP" => Transport::Tcp,
        _ => return Err(soap::INVALID_ARGS),
    };
    if !remote.is_empty() && remote != "*" {
        return Err(soap::REMOTE_HOST_WILDCARD);
    }
    Ok((transport, port))
}

fn find(shared: &Shared, key: Key) -> Option<Mapping> {
    shared.look(|state| state.table.get(key).map(|entry| entry.view(key, std::time::Instant::now())))
}

fn mapping_value(mapping: &Mapping) -> Values {
    vec![
        ("NewInternalPort", mapping.internal.port().to_string()),
        ("NewInternalClient", mapping.internal.ip().to_string()),
        ("NewEnabled", "1".into()),
        ("NewPortMappingDescription", described(mapping)),
        ("NewLeaseDuration", mapping.expires_in.unwrap_or(0).to_string()),
    ]
}

/// The other protocols have no description; miniupnpd shows where such a mapping comes from.
fn described(mapping: &Mapping) -> String {
    match (&mapping.nonce, mapping.protocol) {
        _ if !mapping.description.is_empty() => mapping.description.clone(),
        (Some(nonce), _) => format!("PCP MAP {nonce}"),
        (None, Protocol::NatPmp) => {
            format!("NAT-PMP {} {}", mapping.external_port, mapping.transport)
        }
        _ => String::new(),
    }
}

fn generic_entry(shared: &Shared, call: &Call) -> Result<Values, Error> {
    let index: usize = number(call, "NewPortMappingIndex")?;
    let mapping = shared.look(|state| state.mappings().into_iter().nth(index)).ok_or(soap::INDEX_INVALID)?;
    let mut values = vec![
        ("NewRemoteHost", String::new()),
        ("NewExternalPort", mapping.external_port.to_string()),
        ("NewProtocol", mapping.transport.upper().to_owned()),
    ];
    values.extend(mapping_value(&mapping));
    Ok(values)
}

/// AddPortMapping and AddAnyPortMapping (WANIPConnection:2, 2.5.16 and 2.5.17). Returns the external port.
fn add(shared: &Shared, faults: &Faults, call: &Call, from: SocketAddr, any: bool) -> Result<u16, Error> {
    let (transport, external_port) = mapping_key(call)?;
    let internal_port: u16 = number(call, "NewInternalPort")?;
    let client: Ipv4Addr = number(call, "NewInternalClient")?;
    let description = argument(call, "NewPortMappingDescription")?.to_owned();
    let lease: u32 = number(call, "NewLeaseDuration")?;
    if !matches!(argument(call, "NewEnabled")?, "1" | "true" | "yes") || internal_port == 0 {
        return Err(soap::INVALID_ARGS);
    }
    let lease_error = if lease == 0 { faults.zero_lease_error } else { faults.nonzero_lease_error };
    if let Some(code) = lease_error {
        return Err(Error(code));
    }
    if external_port == 0 && !any {
        return Err(soap::WILDCARD_EXTERNAL_PORT);
    }
    if faults.same_port_only && external_port != internal_port {
        return Err(soap::SAME_PORT_REQUIRED);
    }
    if let Some(code) = faults.port_errors.get(&external_port).filter(|_| !any) {
        return Err(Error(*code));
    }
    let client = IpAddr::V4(client);
    if shared.config.secure_mode && client != from.ip().to_canonical() {
        // What miniupnpd 2.3 says, though the standard has 606 for it.
        return Err(soap::CONFLICT);
    }
    if faults.upnp_lost || (faults.upnp_finite_lost && lease != 0) {
        return Ok(external_port);
    }
    // WANIPConnection:2, 2.3.16: no mapping is for ever; :1 had 0 for that.
    let lifetime = match (lease, shared.config.igd_version) {
        (0, 2) => UPNP_MAX_LEASE,
        (lease, _) => lease.min(UPNP_MAX_LEASE),
    };
    let lifetime = match faults.upnp_max_lease {
        Some(most) if lifetime == 0 || lifetime > most => most,
        _ => lifetime,
    };
    let ask = Ask {
        protocol: Protocol::Upnp,
        transport,
        internal: SocketAddr::new(client, internal_port),
        suggested: external_port,
        exact: false,
        lifetime,
        nonce: None,
        description,
    };
    let outcome = if any { shared.map_any(ask) } else { shared.map(ask) };
    outcome.map(|grant| grant.external_port).map_err(|refusal| match refusal {
        Refusal::Full if any => soap::NO_PORT_MAPS,
        Refusal::Full | Refusal::CannotRenew => soap::ACTION_FAILED,
        Refusal::PortTaken | Refusal::NotAuthorized { .. } => soap::CONFLICT,
    })
}

fn delete(shared: &Shared, call: &Call, from: SocketAddr) -> Result<(), Error> {
    let key = mapping_key(call)?;
    shared.with(|state| {
        let entry = state.table.get(key).ok_or(soap::NO_SUCH_ENTRY)?;
        if shared.config.secure_mode && entry.internal.ip() != from.ip().to_canonical() {
            return Err(soap::NOT_AUTHORIZED);
        }
        state.unmap(key);
        Ok(())
    })
}
