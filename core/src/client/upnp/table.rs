//! The router's table of mappings as it is: read line by line, and added to for hosts that a lease is not for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::action::{Control, Entry};
use super::attempt::whole_seconds;
use super::http::HttpError;
use super::soap::{ACTION_FAILED, CallError, INVALID_ARGS, INVALID_INDEX, NO_SUCH_ENTRY, NOT_FOUND, Need, PERMANENT};
use crate::mapping::Transport;
use crate::schedule::{UPNP_STATUS_DEADLINE, UPNP_TABLE_DEADLINE};
use crate::snapshot::TableEntry;

/// The most entries that are read.
pub(super) const MAX_ENTRIES: u32 = 1024;

/// The most lines that are read to find one.
const MAX_SEARCHED: u32 = 64;

/// Reads from index 0 on. Any fault ends the table, because routers disagree about which one says "no such index" (713 in
/// the standard, 714, 402 and 501 in the field). Only a first line that is refused for another reason is a failure: an
/// empty table would be a lie then.
pub(super) async fn read(control: Control<'_>) -> Result<Vec<TableEntry>, CallError> {
    let (mut entries, _) = read_until(control, MAX_ENTRIES, UPNP_TABLE_DEADLINE, |_| false).await?;
    let local = control.local_address().ok();
    entries.iter_mut().for_each(|entry| entry.this_machine = is_at(entry, local));
    Ok(entries)
}

/// The entry for an external port, whoever made it. A router that shows no single entry may still show them one by one.
pub(super) async fn entry(
    control: Control<'_>,
    transport: Transport,
    external_port: u16,
) -> Result<Option<TableEntry>, CallError> {
    let found = match control.specific(transport, external_port, Need::Full).await {
        Ok(entry) if entry.internal_port != 0 => Some(entry),
        Err(CallError::Fault(fault)) if [NO_SUCH_ENTRY, NOT_FOUND].contains(&fault.effective_code()) => None,
        Ok(_) | Err(CallError::Fault(_) | CallError::Nonsense(_) | CallError::Http(HttpError::Malformed(_))) => {
            find(control, transport, external_port).await?
        }
        Err(error) => return Err(error),
    };
    let local = control.local_address().ok();
    Ok(found.map(|entry| TableEntry { this_machine: is_at(&entry, local), ..entry }))
}

/// Adds an entry as its caller wishes, unless the router shows that the port leads elsewhere: many routers let anybody
/// overwrite anybody's entry.
///
/// Fails with `Taken` in that case.
pub(super) async fn add(control: Control<'_>, wished: &TableEntry) -> Result<(), CallError> {
    let Some(client) = wished.client() else {
        return Err(CallError::Nonsense(format!("`{:.64}` is not the address of a host", wished.internal_client)));
    };
    let internal = SocketAddr::new(client, wished.internal_port);
    let port = wished.external_port;
    if let Some(other) = entry(control, wished.transport, port).await?
        && !other.leads_to(internal)
    {
        let why = format!("leads to {}:{}", other.internal_client, other.internal_port);
        return Err(CallError::Taken { port, why });
    }
    let lease = wished.lifetime.map_or(PERMANENT, whole_seconds);
    let wished = Entry { transport: wished.transport, internal, description: &wished.description };
    control.add(&wished, port, lease, None).await
}

fn is_at(entry: &TableEntry, local: Option<IpAddr>) -> bool {
    local.is_some() && entry.client() == local
}

/// The entry for an external port, by reading line after line. `None`: there is none.
///
/// Fails with `Untold` if the table is too long to be sure.
pub(super) async fn find(
    control: Control<'_>,
    transport: Transport,
    external_port: u16,
) -> Result<Option<TableEntry>, CallError> {
    find_before(control, transport, external_port, UPNP_TABLE_DEADLINE).await
}

/// The same for somebody who waits for a mapping.
pub(super) async fn find_soon(
    control: Control<'_>,
    transport: Transport,
    external_port: u16,
) -> Result<Option<TableEntry>, CallError> {
    find_before(control, transport, external_port, control.caller.spent() + UPNP_STATUS_DEADLINE).await
}

async fn find_before(
    control: Control<'_>,
    transport: Transport,
    external_port: u16,
    deadline: Duration,
) -> Result<Option<TableEntry>, CallError> {
    let wanted = |entry: &TableEntry| (entry.transport, entry.external_port) == (transport, external_port);
    let (mut entries, complete) = read_until(control, MAX_SEARCHED, deadline, wanted).await?;
    match entries.pop_if(|entry| wanted(entry)) {
        None if !complete => Err(CallError::Untold("its table is long".to_owned())),
        entry => Ok(entry),
    }
}

/// Reads at most `limit` lines, and no further than the one that is looked for. Says whether the table ended before that.
async fn read_until(
    control: Control<'_>,
    limit: u32,
    deadline: Duration,
    wanted: impl Fn(&TableEntry) -> bool,
) -> Result<(Vec<TableEntry>, bool), CallError> {
    let mut entries: Vec<TableEntry> = Vec::new();
    for index in 0..limit {
        if control.caller.spent() >= deadline {
            tracing::debug!(index, "the router's table takes too long");
            return Ok((entries, false));
        }
        match control.entry(index).await {
            // A router that gives the same line for every index.
            Ok(entry) if entries.last() == Some(&entry) => return Ok((entries, true)),
            Ok(entry) => {
                let found = wanted(&entry);
                entries.push(entry);
                if found {
                    return Ok((entries, false));
                }
            }
            Err(CallError::Fault(fault)) => {
                let end = [INVALID_INDEX, NO_SUCH_ENTRY, INVALID_ARGS, ACTION_FAILED].contains(&fault.effective_code());
                if index == 0 && !end {
                    return Err(CallError::Fault(fault));
                }
                return Ok((entries, true));
            }
            // Some routers answer 200 with empty fields behind the last line.
            Err(CallError::Nonsense(why)) if index > 0 => {
                tracing::debug!(index, why, "end of the router's table");
                return Ok((entries, true));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((entries, false))
}
