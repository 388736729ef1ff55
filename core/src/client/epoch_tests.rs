use std::time::Duration;

use super::*;
use crate::clock::Clock;

const BOTH: [Rule; 2] = [Rule::Pcp, Rule::NatPmp];
const UP: u32 = 1_000_000;

/// Answers by the seconds since the first one.
struct Answers {
    epoch: Epoch,
    began: Moment,
}

impl Answers {
    fn new(rule: Rule) -> Self {
        Self { epoch: Epoch::new(rule), began: Clock::system().now() }
    }

    fn at(&self, seconds: f64) -> Moment {
        self.began.after(Duration::from_secs_f64(seconds))
    }

    fn heard(&mut self, epoch: u32, asked: f64, received: f64) -> Verdict {
        let reading = Reading { epoch, asked: self.at(asked), received: self.at(received) };
        self.epoch.heard(reading)
    }
}

#[test]
fn a_day_of_answers_shows_no_restart_even_if_the_clocks_differ_by_six_percent() {
    for rule in BOTH {
        for every in [10.0, 300.0, 1800.0, 86_400.0] {
            // How fast the client's clock is, and how long an answer takes.
            for (speed, answer) in [(1.0, 0.001), (1.06, 0.001), (0.94, 0.001), (1.06, 4.0), (0.94, 4.0)] {
                for began in [0, UP, u32::MAX - 40_000] {
                    let mut answers = Answers::new(rule);
                    let mut asked: f64 = 0.0;
                    let mut number = 0_u32;
                    while asked < 86_401.0 {
                        // A slow gateway reads its clock at once, or just before it answers; every third answer is quick.
                        let (read, took) = match number % 3 {
                            0 => (asked, answer),
                            1 => (asked + answer, answer),
                            _ => (asked, 0.001),
                        };
                        let epoch = began.wrapping_add(read as u32);
                        let verdict = answers.heard(epoch, asked * speed, (asked + took) * speed);
                        let expected = if number == 0 { Verdict::First } else { Verdict::Fits };
                        assert_eq!(verdict, expected, "{rule:?} every {every} s at {speed}, {asked} s after {began}");
                        (asked, number) = (asked + every, number + 1);
                    }
                }
            }
        }
    }
}

/// The answer after one with epoch [`UP`].
#[test]
fn an_epoch_that_cannot_follow_the_one_before_is_a_restart() {
    use Verdict::{Fits, Restarted};
    // The epoch, the seconds since the answer before, PCP's verdict, NAT-PMP's verdict.
    let cases = [
        // The clock goes on.
        (UP, 0, Fits, Fits),
        (UP + 300, 300, Fits, Fits),
        (UP + 301, 300, Fits, Fits),
        (UP + 299, 300, Fits, Fits),
        // It begins anew.
        (0, 0, Restarted, Restarted),
        (0, 300, Restarted, Restarted),
        (17, 86_400, Restarted, Restarted),
        // It went back.
        (UP - 1, 0, Fits, Fits),
        (UP - 2, 0, Restarted, Fits),
        (UP - 3, 0, Restarted, Restarted),
        (UP - 1, 2, Restarted, Restarted),
        // It goes on and is behind: a sixteenth and two seconds in PCP, an eighth and two seconds in NAT-PMP.
        (UP + 1498, 1600, Fits, Fits),
        (UP + 1497, 1600, Restarted, Fits),
        (UP + 1398, 1600, Restarted, Fits),
        (UP + 1397, 1600, Restarted, Restarted),
        // It is ahead, which is no loss in NAT-PMP.
        (UP + 1602, 1500, Fits, Fits),
        (UP + 1603, 1500, Restarted, Fits),
        (UP + 3, 0, Restarted, Fits),
        (UP + 2, 0, Fits, Fits),
        (UP + 100_000, 10, Restarted, Fits),
    ];
    for (epoch, after, pcp, nat_pmp) in cases {
        for (rule, expected) in [(Rule::Pcp, pcp), (Rule::NatPmp, nat_pmp)] {
            let mut answers = Answers::new(rule);
            assert_eq!(answers.heard(UP, 0.0, 0.0), Verdict::First);
            let after = f64::from(after);
            assert_eq!(answers.heard(epoch, after, after), expected, "{rule:?}: {epoch} after {after} s");
        }
    }
}

#[test]
fn a_restart_is_noticed_once_and_the_next_one_too() {
    for rule in BOTH {
        let mut answers = Answers::new(rule);
        let heard = [(UP, 0.0), (3, 300.0), (4, 301.0), (303, 600.0), (0, 900.0), (300, 1200.0)];
        let verdicts = heard.map(|(epoch, at)| answers.heard(epoch, at, at));
        use Verdict::{First, Fits, Restarted};
        assert_eq!(verdicts, [First, Restarted, Fits, Fits, Restarted, Fits], "{rule:?}");
    }
}

#[test]
fn an_epoch_may_wrap_around_and_a_restart_shows_all_the_same() {
    for rule in BOTH {
        let mut answers = Answers::new(rule);
        answers.heard(u32::MAX - 99, 0.0, 0.0);
        assert_eq!(answers.heard(200, 300.0, 300.0), Verdict::Fits, "{rule:?}");
        assert_eq!(answers.heard(200, 900.0, 900.0), Verdict::Restarted, "{rule:?}");
    }
    let mut answers = Answers::new(Rule::Pcp);
    answers.heard(3_000_000_000, 0.0, 0.0);
    assert_eq!(answers.heard(0, 300.0, 300.0), Verdict::Restarted);
}

#[test]
fn an_answer_that_was_overtaken_is_no_restart_and_hides_none() {
    for rule in BOTH {
        // Asked at 0 and answered at once, but on its way for 5 s; the answers to later requests were quicker.
        let mut answers = Answers::new(rule);
        answers.heard(UP - 300, 0.0, 0.0);
        assert_eq!(answers.heard(UP + 4, 304.0, 304.1), Verdict::Fits);
        assert_eq!(answers.heard(UP, 300.0, 305.0), Verdict::Fits, "{rule:?}: from before the answer before");
        assert_eq!(answers.heard(UP + 5, 305.5, 305.6), Verdict::Fits);
        assert_eq!(answers.heard(2, 306.0, 306.1), Verdict::Restarted);

        // From before the restart.
        assert_eq!(answers.heard(UP + 5, 305.8, 307.0), Verdict::Fits, "{rule:?}: from before the restart");
        assert_eq!(answers.heard(4, 308.0, 308.1), Verdict::Fits);

        // A request that was repeated until the gateway was up again.
        assert_eq!(answers.heard(300, 604.0, 604.1), Verdict::Fits);
        assert_eq!(answers.heard(0, 604.05, 610.0), Verdict::Restarted, "{rule:?}: the last one was first answered");
    }
}

#[test]
fn time_on_the_way_is_not_time_on_the_gateway() {
    for rule in BOTH {
        // Read at 0 or at 4.9; and the next one at 5 or at 9.9.
        for epoch in [UP + 1, UP + 9] {
            let mut answers = Answers::new(rule);
            answers.heard(UP, 0.0, 4.9);
            assert_eq!(answers.heard(epoch, 5.0, 9.9), Verdict::Fits, "{rule:?}: {epoch}");
        }
    }
}

/// The client's clock runs in sleep.
#[test]
fn a_sleep_between_two_answers_is_no_restart_and_one_in_it_is_noticed() {
    const NIGHT: u32 = 8 * 3600;
    for rule in BOTH {
        for (epoch, expected) in [(UP + NIGHT, Verdict::Fits), (NIGHT / 2, Verdict::Restarted)] {
            let mut answers = Answers::new(rule);
            answers.heard(UP, 0.0, 0.1);
            let morning = f64::from(NIGHT);
            assert_eq!(answers.heard(epoch, morning, morning + 0.1), expected, "{rule:?}: {epoch}");
        }
    }
}

#[test]
fn a_clock_that_stands_still_is_not_believed_for_long_and_again_once_it_runs() {
    for rule in BOTH {
        let mut answers = Answers::new(rule);
        let mut verdicts = (0..20).map(|number| {
            let at = f64::from(number) * 300.0;
            answers.heard(0, at, at)
        });
        assert_eq!(verdicts.next(), Some(Verdict::First));
        assert_eq!(verdicts.filter(|verdict| *verdict == Verdict::Restarted).count(), 3, "{rule:?}");
        assert_eq!(answers.heard(1000, 6700.0, 6700.0), Verdict::Fits);
        assert_eq!(answers.heard(1300, 8000.0, 8000.0), Verdict::Restarted, "{rule:?}");
    }
}

#[test]
fn what_was_forgotten_is_compared_with_nothing() {
    let mut answers = Answers::new(Rule::Pcp);
    answers.heard(UP, 0.0, 0.0);
    answers.epoch.forget();
    assert_eq!(answers.heard(0, 300.0, 300.0), Verdict::First);
}

/// A client renews after each restart, and each answer may show another.
#[test]
fn a_clock_that_makes_no_sense_does_not_keep_its_clients_busy() {
    // Thirty leases renew within a second, three times a minute.
    let times = || (0..3600).map(|number| f64::from(number / 30) * 20.0 + f64::from(number % 30) * 0.03);
    let milliseconds = |at: f64| (at * 1000.0) as u32;
    let backwards = |at: f64| UP - (at * 100.0) as u32;
    for (what, rule, clock) in [
        ("milliseconds", Rule::Pcp, &milliseconds as &dyn Fn(f64) -> u32),
        ("backwards", Rule::Pcp, &backwards),
        ("backwards", Rule::NatPmp, &backwards),
    ] {
        let mut answers = Answers::new(rule);
        let restarts = times().filter(|at| answers.heard(clock(*at), *at, *at) == Verdict::Restarted).count();
        assert!(restarts <= 3, "{what}, {rule:?}: {restarts}");
    }
}

#[test]
fn two_gateways_that_answer_in_turn_do_not_keep_their_clients_busy() {
    for rule in BOTH {
        let mut answers = Answers::new(rule);
        let restarts = (0..3600_u32).filter(|number| {
            let at = f64::from(*number) * 0.5;
            let up = if number % 2 == 0 { 0 } else { UP };
            answers.heard(up + at as u32, at, at) == Verdict::Restarted
        });
        assert!(restarts.count() <= 3, "{rule:?}");
    }
}

#[test]
fn restarts_between_which_the_clock_runs_are_all_noticed() {
    for rule in BOTH {
        let mut answers = Answers::new(rule);
        let mut at = 0.0;
        for number in 0..20 {
            for second in 0..8_u32 {
                let verdict = answers.heard(second, at, at);
                let expected = match (number, second) {
                    (0, 0) => Verdict::First,
                    (_, 0) => Verdict::Restarted,
                    _ => Verdict::Fits,
                };
                assert_eq!(verdict, expected, "{rule:?}: {number}, {second}");
                at += 1.0;
            }
        }
    }
}
