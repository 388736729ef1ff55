//! The time since a gateway last lost its mappings, which every answer of PCP and NAT-PMP tells: whether it has restarted.

use crate::clock::Moment;
use crate::schedule::EPOCH_PROOF;

/// By how much a gateway's clock may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// RFC 6887 8.5.
    Pcp,
    /// RFC 6886 3.6.
    NatPmp,
}

/// What the epoch of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing, because there is none before it to compare with.
    First,
    /// The gateway has been up since the answer before.
    Fits,
    /// The gateway has lost its mappings since the answer before.
    Restarted,
}

/// An epoch, and when the gateway can have read it from its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// In seconds.
    pub(crate) epoch: u32,
    /// Not before the request was sent for the first time ...
    pub(crate) asked: Moment,
    /// ... and not after the answer came.
    pub(crate) received: Moment,
}

/// So many restarts in a row are believed. Then it is the gateway's clock that makes no sense (it stands still, counts in another
/// unit, or several gateways answer in turn), and each restart that is believed brings more answers to show another.
const MAX_RESTARTS: u32 = 3;

/// The epochs of one gateway in one protocol.
#[derive(Debug)]
pub(crate) struct Epoch {
    rule: Rule,
    last: Option<Reading>,
    /// The last one before the gateway restarted.
    before: Option<Reading>,
    /// The first answer since the gateway restarted, or since the first one at all.
    since: Option<Reading>,
    /// Restarts since the clock last proved to run.
    restarts: u32,
}

impl Epoch {
    pub(crate) const fn new(rule: Rule) -> Self {
        Self { rule, last: None, before: None, since: None, restarts: 0 }
    }

    /// An answer came. Answers need not come in the order in which they were sent.
    pub(crate) fn heard(&mut self, reading: Reading) -> Verdict {
        let Some(last) = self.last else {
            (self.last, self.since) = (Some(reading), Some(reading));
            return Verdict::First;
        };
        if self.rule.fits(last, reading) {
            let runs =
                |since: Reading| reading.asked.since(since.received) >= EPOCH_PROOF && self.rule.fits(since, reading);
            if self.since.is_some_and(runs) {
                self.restarts = 0;
            }
            // One that was overtaken says less about the present.
            if reading.asked >= last.asked {
                self.last = Some(reading);
            }
            return Verdict::Fits;
        }
        // Sent before the restart, and overtaken by the answer that showed it.
        if reading.asked < last.received && self.before.is_some_and(|before| self.rule.fits(before, reading)) {
            return Verdict::Fits;
        }
        self.restarts = self.restarts.saturating_add(1);
        (self.before, self.last, self.since) = (Some(last), Some(reading), Some(reading));
        if self.restarts > MAX_RESTARTS { Verdict::Fits } else { Verdict::Restarted }
    }

    /// Whether the last answer and `reading` tell the same start, by the narrower of the rules.
    pub(crate) fn agrees_with(&self, reading: Reading) -> bool {
        self.last.is_some_and(|last| Rule::Pcp.fits(last, reading))
    }

    /// Begins anew: the next answer is the first. A clock that has made no sense must prove all the same that it runs.
    pub(crate) fn forget(&mut self) {
        *self = Self { restarts: self.restarts, ..Self::new(self.rule) };
    }
}

impl Rule {
    /// Whether both readings can come from a clock that was not reset in between.
    ///
    /// The standards compare with the time between the two answers. That is longer or shorter than the time between the readings
    /// if the answers take their time, so this takes the bounds within which the latter must be.
    fn fits(self, last: Reading, next: Reading) -> bool {
        // The short way round, because 32 bits may wrap.
        let server = f64::from(next.epoch.wrapping_sub(last.epoch).cast_signed());
        let (least, most) = (seconds(last.received, next.asked), seconds(last.asked, next.received));
        let slow = |time: f64, drift: f64| time - time.max(0.0) / drift;
        match self {
            Self::Pcp => {
                let back = server + 1.0 < least.min(0.0);
                let behind = server + 2.0 < slow(least, 16.0);
                let ahead = most + 2.0 < slow(server, 16.0);
                !back && !behind && !ahead
            }
            Self::NatPmp => server + 2.0 >= slow(least, 8.0),
        }
    }
}

/// From `earlier` to `later` in seconds; negative if they are the other way round.
fn seconds(earlier: Moment, later: Moment) -> f64 {
    later.since(earlier).as_secs_f64() - earlier.since(later).as_secs_f64()
}

#[cfg(test)]
#[path = "epoch_tests.rs"]
mod tests;
