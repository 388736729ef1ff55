//! From a description's address to a device that can be asked for mappings.

use std::sync::atomic::AtomicBool;

use tokio::time::{Instant, timeout};

use super::action::{Control, External};
use super::description::{self, Description};
use super::device::{Device, Rank};
use super::http::{self, Request, shown};
use super::leads::Lead;
use super::soap::{BY_UPNP, Caller, explain_http};
use super::sought::Wanted;
use crate::client::trace;
use crate::error::PortMappingError;
use crate::escape::Escaped;
use crate::schedule::{UPNP_DEADLINE, UPNP_SERVICES_DEADLINE};

/// Fetches a description and asks its services for address and status; the best service makes the device. Without `ranked`
/// the only service of a device need not be compared with anything: if it has an address, it is not asked for its status. A service
/// that opens pinholes is not asked at all: what it permits, it says when it is asked for one.
pub(super) async fn examine(
    lead: &Lead,
    wanted: Wanted,
    caller: &Caller,
    started: Instant,
) -> Result<Device, PortMappingError> {
    examine_if(lead, wanted, caller, started, |_| Ok(())).await
}

/// As [`examine`], but the services are asked only if `fits` has nothing against the description.
pub(super) async fn examine_if(
    lead: &Lead,
    wanted: Wanted,
    caller: &Caller,
    started: Instant,
    fits: impl FnOnce(&Description) -> Result<(), String>,
) -> Result<Device, PortMappingError> {
    let context = || format!("upnp description {}", shown(lead.location.as_str()));
    let useless = |why: String| BY_UPNP.unavailable(format!("{}: {why}", context()));
    let (url, local, scope) = (&lead.location, caller.local, caller.scope);
    let request = Request { url, local, scope, action: None, deadline: UPNP_DEADLINE };
    let asked = Instant::now();
    let reply = http::send(&request).await.map_err(|error| explain_http(error, &context()))?;
    caller.note_answer(asked.elapsed());
    if reply.response.status != 200 {
        return Err(useless(format!("http status {}", reply.response.status)));
    }
    let description = description::parse(&reply.response.body, &lead.location).map_err(useless)?;
    fits(&description).map_err(useless)?;
    tracing::debug!(target: trace::TARGET, "{}", Escaped(format_args!("upnp {}: {description}", lead.location)));
    let described = Instant::now();
    let device_with = |service, connected, external| Device {
        responder: lead.from,
        description_url: lead.location.clone(),
        friendly_name: description.friendly_name.clone(),
        manufacturer: description.manufacturer.clone(),
        model: description.model.clone(),
        firmware: description.firmware.clone(),
        igd_version: description.igd_version,
        udn: description.udn.clone(),
        service,
        line: description.line.clone(),
        connected,
        external,
        boot_id: lead.boot_id,
        found: Instant::now(),
        round_trip: started.elapsed(),
        permanent_only: AtomicBool::new(false),
    };
    let Wanted::Ports { ranked } = wanted else {
        let service = description.pinholes.first().cloned();
        return service.map(|service| device_with(service, None, None)).ok_or_else(|| {
            let name = &description.friendly_name;
            useless(format!("`{name}` has no service that opens ipv6 ports (WANIPv6FirewallControl)"))
        });
    };
    let mut best: Option<Device> = None;
    let ranked = ranked || description.services.len() > 1;
    for service in description.services.iter().cloned() {
        let control = Control { caller, service: &service };
        let external = external_address(control).await;
        let unsure = matches!(external, Some(Told::Address(External { address: None, .. })));
        let connected = if ranked || unsure { connected(control).await } else { None };
        let external = match external {
            Some(Told::Address(external)) => Some((external, Instant::now())),
            Some(Told::Nothing) => Some((External { address: None, local: reply.local }, Instant::now())),
            None => None,
        };
        let device = device_with(service, connected, external);
        let better = best.as_ref().is_none_or(|best| device.rank() > best.rank());
        if better {
            best = Some(device);
        }
        let good = best.as_ref().is_some_and(|device| device.rank() == Rank::Public);
        if good || described.elapsed() >= UPNP_SERVICES_DEADLINE {
            break;
        }
    }
    best.ok_or_else(|| useless(format!("`{}` has no service that maps ports", description.friendly_name)))
}

/// Whether the WAN connection is up. A router that does not know the action, or does not answer it, is usable all the same.
async fn connected(control: Control<'_>) -> Option<bool> {
    control.connected().await.unwrap_or_else(|error| {
        tracing::debug!(url = %control.service.control_url, %error, "the device does not say whether it is connected");
        None
    })
}

/// What a router said when it was asked for its address.
enum Told {
    Address(External),
    /// It did not answer in time, or not with sense. Such a router is usable all the same.
    Nothing,
}

/// Asks for the router's address; `None` if it was not asked, because the turn did not come.
async fn external_address(control: Control<'_>) -> Option<Told> {
    let url = &control.service.control_url;
    match timeout(UPNP_SERVICES_DEADLINE.max(control.caller.optional_deadline()), control.external_address()).await {
        Ok(Ok(external)) => Some(Told::Address(external)),
        Ok(Err(error)) => {
            tracing::debug!(%url, %error, "the device does not say its external address");
            Some(Told::Nothing)
        }
        Err(_) => {
            tracing::debug!(%url, "the device was not asked for its external address: the calls before took too long");
            None
        }
    }
}
