//! `portlease unmap --mine`: everything that leads to this machine.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use portlease::{PortMappingError, Protocol, TableEntry, Transport, held_ports};

use crate::list::{explain, rows};
use crate::outcome::{DONE, FAILED, Outcome};
use crate::output::Output;
use crate::unmap::{JsonRemoved, Router, leads_to, remove_all};

/// Removes every entry of the router's table that leads to this machine and that no running portlease holds. `folder` has the
/// records of those that run.
pub(crate) async fn unmap(router: &Router, folder: Option<PathBuf>, yes: bool, output: &Output) -> Outcome {
    let entries = router.table.as_ref().map_err(|error| explain(error.clone()))?;
    let held = held(folder, output)?;
    let mine = entries.iter().filter(|entry| entry.this_machine);
    let (mut going, mut staying) = (Vec::new(), 0_usize);
    for entry in mine {
        let event = match entry {
            _ if held.contains(&(entry.internal_port, entry.transport)) => "held",
            // A delete by UPnP names no remote host, so it would not remove this one.
            _ if !entry.is_for_everybody() => "restricted",
            _ => {
                going.push(entry.clone());
                continue;
            }
        };
        staying += 1;
        stays(event, entry, output)?;
    }
    if going.is_empty() {
        if !output.json() {
            let other = if staying > 0 { "other " } else { "" };
            output.line(format!("nothing to remove: no {other}entry of the router's table leads to this machine"))?;
        }
        return Ok(DONE);
    }
    if !output.json() {
        for line in rows(&going) {
            output.line(&line)?;
        }
    }
    if !yes && !confirmed(going.len(), output)? {
        output.note("portlease: nothing was removed");
        return Ok(FAILED);
    }
    let ports: Vec<_> = going.iter().map(|entry| (entry.external_port, entry.transport)).collect();
    remove_all(&ports, Some(router), None, output).await
}

/// The ports inside that a running portlease holds.
fn held(folder: Option<PathBuf>, output: &Output) -> Result<Vec<(u16, Transport)>, PortMappingError> {
    let Some(folder) = folder else {
        output.warning("without a --state-dir it is not known what a running portlease holds");
        return Ok(Vec::new());
    };
    held_ports(&folder).map_err(|error| {
        PortMappingError::transport(format_args!("cannot read the record in {}", folder.display()), error)
    })
}

fn stays(event: &'static str, entry: &TableEntry, output: &Output) -> io::Result<()> {
    if output.json() {
        let TableEntry { transport, external_port, .. } = entry;
        return output.object(&JsonRemoved::new(event, *transport, *external_port, Protocol::Upnp, Some(entry)));
    }
    output.line(match event {
        "held" => format!("{}: stays, because a running portlease holds it", leads_to(entry)),
        _ => format!(
            "{}: stays, because it is open to {} only; remove it in the router's settings",
            leads_to(entry),
            entry.remote_host
        ),
    })
}

/// Asks the user. Fails with `invalid` if there is no terminal to ask on.
fn confirmed(count: usize, output: &Output) -> Result<bool, crate::outcome::Failure> {
    let these = if count == 1 { "this mapping".to_owned() } else { format!("these {count} mappings") };
    if output.json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let message = format!("must be given to remove {these} without being asked; other programs may need them");
        return Err(PortMappingError::invalid("yes", message).into());
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "Remove {these}? Other programs on this machine may need them. [y/N] ")?;
    stderr.flush()?;
    drop(stderr);
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
