//! What goes wrong with the router for a while.

use portlease::Protocol;
use portlease_gateway::{Faults, Mode};

use crate::dice::Dice;

/// Pauses before and after the work, in milliseconds. The longest is longer than a PCP exchange may last.
const SHORT_PAUSES: [u64; 3] = [5, 20, 60];
const LONG_PAUSE: u64 = 1_300;
/// The longest pause before the work.
const MOST_PROCESSING: u64 = 40;

const ACTIONS: [&str; 4] =
    ["GetSpecificPortMappingEntry", "AddPortMapping", "DeletePortMapping", "GetExternalIPAddress"];

/// A switch that was set.
pub(crate) struct Trouble {
    pub(crate) told: String,
    /// UPnP calls may be under way for some time after this has passed.
    pub(crate) lingers: bool,
}

fn trouble(told: String, lingers: bool) -> Trouble {
    Trouble { told, lingers }
}

/// The switch of this protocol, of those of all.
fn of<T>(protocol: Protocol, switches: [&mut T; 3]) -> &mut T {
    let place = Protocol::ALL.iter().position(|one| *one == protocol);
    place.and_then(|place| switches.into_iter().nth(place)).expect("one of the three")
}

fn modes(faults: &mut Faults) -> [&mut Mode; 3] {
    [&mut faults.pcp, &mut faults.nat_pmp, &mut faults.upnp]
}

/// Sets one switch more. `shows`: the router must always answer a look at its table. A program that is not told at the first look
/// cannot know whether the router ever tells; if it then lets anybody overwrite or delete anything, foreign entries are
/// harmed. SECURITY.md says so.
pub(crate) fn begin(dice: &mut Dice, faults: &mut Faults, shows: bool) -> Trouble {
    if dice.chance(40) {
        return of_router(dice, faults, shows);
    }
    let protocol = dice.pick(&Protocol::ALL);
    let upnp = protocol == Protocol::Upnp;
    match dice.weighted(&[4, 3, 4, 3, 2]) {
        0 => {
            let pause = if dice.chance(15) { LONG_PAUSE } else { dice.pick(&SHORT_PAUSES) };
            *of(protocol, [&mut faults.pcp_delay_ms, &mut faults.nat_pmp_delay_ms, &mut faults.http_delay_ms]) = pause;
            trouble(format!("{protocol} answers after {pause} ms"), upnp && pause == LONG_PAUSE)
        }
        1 => {
            // It only grows: if it shrank, a request would be carried out before one that was sent earlier. Networks do
            // that to datagrams, rarely, and no client can help it.
            let Faults { pcp_processing_ms, nat_pmp_processing_ms, http_processing_ms, .. } = faults;
            let pause = of(protocol, [pcp_processing_ms, nat_pmp_processing_ms, http_processing_ms]);
            *pause = (*pause + 1 + dice.below(15)).min(MOST_PROCESSING);
            trouble(format!("{protocol} works after {pause} ms"), false)
        }
        2 => {
            let count = 1 + dice.below(2) as u32;
            let Faults { pcp_lose_answers, nat_pmp_lose_answers, http_lose_answers, .. } = faults;
            *of(protocol, [pcp_lose_answers, nat_pmp_lose_answers, http_lose_answers]) = count;
            trouble(format!("{count} answers by {protocol} are lost"), upnp)
        }
        3 => {
            *of(protocol, modes(faults)) = Mode::Silent;
            trouble(format!("{protocol} is silent"), upnp)
        }
        _ if upnp && shows => trouble("upnp does not refuse".to_owned(), false),
        _ => {
            // Not NO_RESOURCES of PCP: to a delete it says that there is nothing to delete (miniupnpd before 2.1).
            let codes = &mut [dice.pick(&[7, 10]), dice.pick(&[3, 4]), 501];
            let [pcp, nat_pmp, upnp] = codes;
            let code = *of(protocol, [pcp, nat_pmp, upnp]);
            *of(protocol, modes(faults)) = Mode::Refuse(code);
            trouble(format!("{protocol} refuses with {code}"), false)
        }
    }
}

/// Sets a switch that is not about one protocol as a whole.
fn of_router(dice: &mut Dice, faults: &mut Faults, shows: bool) -> Trouble {
    match dice.weighted(&[3, 4, 1, 1, 1]) {
        0 => {
            faults.loss = dice.pick(&[0.1, 0.3]);
            trouble(format!("loss {}", faults.loss), false)
        }
        1 => {
            let action = dice.pick(&ACTIONS[usize::from(shows)..]);
            if faults.soap_errors.contains_key(action) {
                return trouble(format!("{action} fails anyway"), false);
            }
            let (code, count) = (dice.pick(&[402, 501]), 1 + dice.below(3) as u32);
            faults.soap_errors.insert(action.to_owned(), code);
            faults.soap_error_counts.insert(action.to_owned(), count);
            trouble(format!("{action} fails {count} times with {code}"), false)
        }
        2 => {
            faults.table_full = true;
            trouble("the table is full".to_owned(), false)
        }
        3 => {
            faults.http_serial = true;
            trouble("one connection at a time".to_owned(), false)
        }
        _ => {
            faults.empty_external_address = true;
            trouble("no external address".to_owned(), false)
        }
    }
}

/// All is well again, but for the pauses before the work, which stay.
pub(crate) fn heal(well: &Faults, now: &Faults) -> Faults {
    Faults {
        pcp_processing_ms: now.pcp_processing_ms,
        nat_pmp_processing_ms: now.nat_pmp_processing_ms,
        http_processing_ms: now.http_processing_ms,
        ..well.clone()
    }
}
