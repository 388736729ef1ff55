//! Reading the router's table of mappings, line by line.

use tokio::time::Instant;

use super::action::{Control, TableEntry};
use super::soap::{ACTION_FAILED, CallError, INVALID_ARGS, INVALID_INDEX, NO_SUCH_ENTRY};
use crate::schedule::UPNP_TABLE_DEADLINE;

/// The most entries that are read.
pub(super) const MAX_ENTRIES: u32 = 1024;

/// Reads from index 0 on. Any fault ends the table, because routers disagree about which one says "no such index" (713 in
/// the standard, 714, 402 and 501 in the field). Only a first line that is refused for another reason is a failure: an
/// empty table would be a lie then.
pub(super) async fn read(control: Control<'_>) -> Result<Vec<TableEntry>, CallError> {
    let started = Instant::now();
    let mut entries: Vec<TableEntry> = Vec::new();
    for index in 0..MAX_ENTRIES {
        if started.elapsed() >= UPNP_TABLE_DEADLINE {
            tracing::debug!(index, "the router's table takes too long");
            break;
        }
        match control.entry(index).await {
            // A router that gives the same line for every index.
            Ok(entry) if entries.last() == Some(&entry) => break,
            Ok(entry) => entries.push(entry),
            Err(CallError::Fault(fault)) => {
                let end = [INVALID_INDEX, NO_SUCH_ENTRY, INVALID_ARGS, ACTION_FAILED].contains(&fault.effective_code());
                if index == 0 && !end {
                    return Err(CallError::Fault(fault));
                }
                break;
            }
            // Some routers answer 200 with empty fields behind the last line.
            Err(CallError::Nonsense(why)) if index > 0 => {
                tracing::debug!(index, why, "end of the router's table");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}
