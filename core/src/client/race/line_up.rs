//! The order in which the protocols start, by what the gateway has shown.

use super::contestant::Contestant;
use super::known::Known;
use crate::schedule::DECIDED_HEAD_START;

/// The contestants of one race.
pub(super) struct Order {
    pub(super) contestants: Vec<Contestant>,
    /// Whether the first is known to work. Then the others are asked only if it does not answer.
    pub(super) decided: bool,
}

/// Puts the contestants in order by what is known. The decided protocol goes first and without a probe, and all others give
/// it a long head start. Absent protocols (the gateway did not answer by them while it answered by another) go last, after a
/// head start too: no lease waits for them, but they are found if they answer again.
pub(super) fn line_up(mut contestants: Vec<Contestant>, known: &Known) -> Order {
    for contestant in &mut contestants {
        contestant.proven = known.last_heard(contestant.protocol).is_some();
    }
    let decided = known.decided().filter(|decided| contestants.iter().any(|one| one.protocol == *decided));
    let (mut present, mut absent): (Vec<_>, Vec<_>) =
        contestants.into_iter().partition(|one| Some(one.protocol) == decided || !known.is_absent(one.protocol));
    present.sort_by_key(|one| Some(one.protocol) != decided);
    for late in present.iter_mut().skip(1).filter(|_| decided.is_some()).chain(&mut absent) {
        late.head_start = DECIDED_HEAD_START;
    }
    present.append(&mut absent);
    if let Some(first) = present.first_mut() {
        (first.head_start, first.hedge, first.hedge_behind_alive) = Default::default();
        if decided.is_some() {
            first.install_is_probe = true;
        }
    }
    Order { contestants: present, decided: decided.is_some() }
}
