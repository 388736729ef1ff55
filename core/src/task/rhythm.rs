//! When one mapping is renewed, and when it counts as lost. Pure: the time is an argument.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::{ErrorKind, PortMappingError};
use crate::mapping::PortMapping;
use crate::schedule::{ADDRESS_QUESTIONS, MAX_REFUSAL_HOLD, RECOVERY_SPREAD, RENEWAL_RETRY_MIN, renewal_delay};

/// A number from 0 to 1, another one at each call.
pub(super) type Spread = fn() -> f64;

/// The renewals of one mapping, from one grant to the next.
#[derive(Debug, Clone)]
pub(super) struct Rhythm {
    lifetime: Option<Duration>,
    interval: Duration,
    spread: Spread,
    granted_at: Moment,
    /// The next point at which the standard wants a renewal, and how many went before it.
    point: Moment,
    points: u32,
    /// Points that went by without a renewal.
    strikes: u32,
    /// Attempts since the last point that met silence.
    tries: u32,
    next: Moment,
}

impl Rhythm {
    pub(super) fn new(
        mapping: &PortMapping,
        interval: Duration,
        spread: Spread,
        granted_at: Moment,
        now: Moment,
    ) -> Self {
        let (lifetime, point, next) = (mapping.lifetime, now, now);
        let mut rhythm = Self { lifetime, interval, spread, granted_at, point, points: 0, strikes: 0, tries: 0, next };
        rhythm.begin_next_point(now);
        rhythm
    }

    fn begin_next_point(&mut self, now: Moment) {
        let age = now.since(self.granted_at);
        self.point = now.after(renewal_delay(self.lifetime, self.interval, age, self.points, (self.spread)()));
        self.next = self.point;
        self.tries = 0;
    }

    /// When the next attempt is due.
    pub(super) fn next(&self) -> Moment {
        self.next
    }

    /// When the gateway ends the mapping; `None` for a permanent one.
    pub(super) fn expires_at(&self) -> Option<Moment> {
        self.lifetime.map(|lifetime| self.granted_at.after(lifetime))
    }

    /// Points that went by without a renewal.
    pub(super) fn strikes(&self) -> u32 {
        self.strikes
    }

    /// Whether an attempt that began at `asked_at` was one that the standard wants, not one in between.
    pub(super) fn at_point(&self, asked_at: Moment) -> bool {
        asked_at >= self.point
    }

    /// An attempt that began at `asked_at` failed. Silence is tried again 4, 8, 16 s later (RFC 6887 11.2.1 allows 4), until
    /// the next point. A point that passes without a renewal is a strike. An attempt that never left this machine is none,
    /// because it says nothing about the mapping; but a permanent mapping, which no expiry ends, is given up for that too.
    pub(super) fn failed(&mut self, error: &PortMappingError, asked_at: Moment, now: Moment) {
        let unsent = error.kind() == ErrorKind::Transport && self.lifetime.is_some();
        if self.at_point(asked_at) {
            self.strikes += u32::from(!unsent);
            self.points += 1;
            self.begin_next_point(now);
        }
        if error.kind() != ErrorKind::Refused {
            self.soon(now);
        } else if let Some(hold) = error.retry_after() {
            // The expiry comes first where that is earlier: the task looks at both.
            self.next = self.next.max(now.after(hold.min(MAX_REFUSAL_HOLD)));
        }
    }

    /// The mapping was renewed, but the gateway did not tell its address: it is asked again soon, but not for ever.
    /// `questions` is how often it was already.
    pub(super) fn ask_again(&mut self, questions: u32, now: Moment) {
        if questions < ADDRESS_QUESTIONS {
            self.tries = questions;
            self.soon(now);
        }
    }

    /// The mapping may be gone: it is renewed within [`RECOVERY_SPREAD`], and silence is then tried again from the shortest wait
    /// on.
    pub(super) fn hasten(&mut self, now: Moment) {
        self.tries = 0;
        self.next = self.next.min(now.after(RECOVERY_SPREAD.mul_f64((self.spread)().clamp(0.0, 1.0))));
    }

    fn soon(&mut self, now: Moment) {
        let wait = RENEWAL_RETRY_MIN.saturating_mul(2u32.saturating_pow(self.tries));
        self.tries = self.tries.saturating_add(1);
        self.next = self.point.min(now.after(wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock::MockPortMapperClient;
    use crate::clock::Clock;
    use crate::mapping::{MapRequest, Transport};
    use crate::schedule::DEFAULT_RENEWAL_INTERVAL;

    const HOUR: Duration = Duration::from_secs(3600);

    fn rhythm(lifetime: Option<Duration>, start: Moment) -> Rhythm {
        let request = MapRequest::new(4000, Transport::Udp);
        let mapping = MockPortMapperClient::mapping(request, ([192, 0, 1, 1].into(), 4000), HOUR).lifetime(lifetime);
        Rhythm::new(&mapping, DEFAULT_RENEWAL_INTERVAL, || 0.0, start, start)
    }

    fn silence() -> PortMappingError {
        PortMappingError::timeout("no answer")
    }

    /// The times of the attempts, in seconds, until the third strike; each fails at once with `error`.
    fn attempts(lifetime: Option<Duration>, error: &PortMappingError, most: usize) -> (Vec<u64>, u32) {
        let start = Clock::test().now();
        let mut rhythm = rhythm(lifetime, start);
        let mut times = Vec::new();
        while rhythm.strikes() < 3 && times.len() < most {
            let now = rhythm.next();
            times.push(now.since(start).as_secs());
            rhythm.failed(error, now, now);
        }
        (times, rhythm.strikes())
    }

    #[test]
    fn silence_is_tried_again_after_4_8_and_16_s_until_the_next_point_and_strikes_at_the_points_alone() {
        let (times, strikes) = attempts(Some(Duration::from_secs(80)), &silence(), 100);
        assert_eq!((times, strikes), (vec![40, 44, 52, 60, 64, 70], 3));
    }

    #[test]
    fn what_could_not_be_sent_is_no_strike_but_ends_a_permanent_mapping() {
        let error = PortMappingError::transport("no way", std::io::ErrorKind::NetworkUnreachable.into());
        let (times, strikes) = attempts(Some(HOUR), &error, 200);
        assert_eq!((times.len(), strikes), (200, 0));
        let (times, strikes) = attempts(None, &error, 200);
        assert_eq!((*times.last().unwrap(), strikes), (3 * 1800, 3));
    }

    #[test]
    fn a_refusal_is_not_repeated_before_the_next_point_or_the_end_of_its_hold() {
        let (times, _) = attempts(Some(Duration::from_secs(80)), &PortMappingError::refused("no"), 100);
        assert_eq!(times, [40, 60, 70]);
        let start = Clock::test().now();
        let mut rhythm = rhythm(Some(HOUR), start);
        let at = rhythm.next();
        rhythm.failed(&PortMappingError::refused_for("no", HOUR / 3), at, at);
        assert_eq!(rhythm.next(), at.after(HOUR / 3));
    }

    #[test]
    fn an_address_that_is_not_told_is_asked_for_again_soon_but_not_for_ever() {
        let start = Clock::test().now();
        let mut rhythm = rhythm(Some(HOUR), start);
        let point = rhythm.next();
        let mut waits = Vec::new();
        for questions in 0..ADDRESS_QUESTIONS {
            rhythm.ask_again(questions, start);
            waits.push(rhythm.next().since(start).as_secs());
        }
        assert_eq!(waits, [4, 8, 16, 32, 64]);
        rhythm.next = point;
        rhythm.ask_again(ADDRESS_QUESTIONS, start);
        assert_eq!(rhythm.next(), point);
    }

    #[test]
    fn a_mapping_that_may_be_gone_is_renewed_within_a_second_and_silence_is_then_tried_again_after_4_s() {
        let start = Clock::test().now();
        let mut rhythm = rhythm(Some(HOUR), start);
        rhythm.spread = || 0.75;
        rhythm.hasten(start);
        let most = RECOVERY_SPREAD.mul_f64(0.75);
        assert_eq!(rhythm.next(), start.after(most));
        let asked_at = rhythm.next();
        rhythm.failed(&silence(), asked_at, asked_at);
        assert_eq!((rhythm.next(), rhythm.strikes()), (asked_at.after(RENEWAL_RETRY_MIN), 0));
        rhythm.hasten(asked_at);
        rhythm.hasten(asked_at);
        assert_eq!(rhythm.next(), asked_at.after(most));
    }
}
