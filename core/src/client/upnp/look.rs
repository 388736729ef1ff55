//! A look at the router's table before it is changed: what stands at a port, and whose it is.
//!
//! There is no way to look and to change in one step: an entry that another host makes in between is not seen.

use std::net::SocketAddr;

use super::action::Control;
use super::http::{HttpError, shown};
use super::ledger::{Ledger, Line, Place, Port, Shown};
use super::soap::{CallError, NO_SUCH_ENTRY, NOT_FOUND, Need};
use crate::snapshot::TableEntry;

/// What stands at an external port.
#[derive(Debug)]
pub(super) enum Look {
    Nothing,
    Entry(TableEntry),
    /// The router does not tell, or nothing that makes sense.
    Unknown(String),
}

/// Whose an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This process has added it, or it has our description: then an earlier run of this program did.
    Ours,
    /// It leads to our port, but somebody else has made it.
    ThisHost,
    /// It does not lead to our port; why, for a message.
    Another(String),
}

/// Looks at a place.
///
/// Fails if the device does not answer, and with `Untold` if it does not tell although it has told before: then it can
/// tell, and to go on without knowing would be careless.
pub(super) async fn look(
    control: Control<'_>,
    ledger: &Ledger,
    place: &Place,
    description: &str,
    need: Need,
) -> Result<Look, CallError> {
    let Port::Known(port) = place.port else { return Ok(Look::Unknown("the port is not known".to_owned())) };
    let mut tries = 0;
    loop {
        tries += 1;
        let (why, broken) = match control.specific(place.transport, port, need).await {
            // Some routers give a name in place of the address, or an answer with empty fields.
            Ok(entry) if entry.internal_port == 0 || entry.client().is_none() => {
                (format!("it shows an entry for `{}`", entry.internal_client), false)
            }
            Ok(entry) => {
                ledger.saw(place, Some((&entry, described(&entry, description))));
                return Ok(Look::Entry(entry));
            }
            Err(CallError::Fault(fault)) if [NO_SUCH_ENTRY, NOT_FOUND].contains(&fault.effective_code()) => {
                ledger.saw(place, None);
                return Ok(Look::Nothing);
            }
            Err(CallError::Fault(fault)) => (fault.to_string(), false),
            Err(CallError::Nonsense(why) | CallError::Http(HttpError::Malformed(why))) => (why, true),
            Err(CallError::Http(HttpError::Io(error))) => (error.to_string(), true),
            Err(error) => return Err(error),
        };
        let tells = ledger.shown(&place.device).tells;
        match tries {
            1 if tells || broken => tracing::debug!(why, "looking once more"),
            _ if tells => return Err(CallError::Untold(why)),
            _ => return Ok(Look::Unknown(why)),
        }
    }
}

/// Whose `entry` is, by our description and what this process has `added` at that port. Of a device that keeps
/// descriptions another one means that somebody has put an entry of their own in the place of ours.
pub(super) fn owner(
    entry: &TableEntry,
    internal: SocketAddr,
    description: &str,
    added: Option<&Line>,
    shown: Shown,
) -> Owner {
    let described = described(entry, description);
    // This host may have had another address when it added the entry.
    let before = added.is_some_and(|line| described && entry.leads_to(line.internal));
    if !entry.leads_to(internal) && !before {
        return Owner::Another(format!("leads to {}:{}", entry.internal_client, entry.internal_port));
    }
    let replaced = shown.descriptions && !entry.description.is_empty();
    if described || (added.is_some() && !replaced) {
        return Owner::Ours;
    }
    match entry.remote_host.as_str() {
        _ if !entry.enabled => Owner::Another("leads here by an entry that is switched off".to_owned()),
        _ if entry.is_for_everybody() => Owner::ThisHost,
        remote => Owner::Another(format!("leads here for {remote} only")),
    }
}

/// The same for an entry at `place`, by all that `ledger` knows. What another mapper of this process has made is ours.
pub(super) fn owner_at(
    ledger: &Ledger,
    place: &Place,
    entry: &TableEntry,
    internal: SocketAddr,
    description: &str,
) -> Owner {
    let of_the_process = ledger.is_described(place.transport, internal.port(), &entry.description);
    let description = if of_the_process { &entry.description } else { description };
    owner(entry, internal, description, ledger.added(place, internal.port()).as_ref(), ledger.shown(&place.device))
}

/// Whether an entry has our description.
fn described(entry: &TableEntry, description: &str) -> bool {
    !description.is_empty() && entry.description == shown(description)
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
