//! Reading the router's table of mappings, line by line.

use std::time::Duration;

use super::action::Control;
use super::soap::{ACTION_FAILED, CallError, INVALID_ARGS, INVALID_INDEX, NO_SUCH_ENTRY};
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
    read_until(control, MAX_ENTRIES, UPNP_TABLE_DEADLINE, |_| false).await.map(|(entries, _)| entries)
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

/// Reads at most `limit` lines, and no further than the one that is wanted. Says whether the table ended before that.
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
