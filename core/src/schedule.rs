//! Every duration and every rule about time, with the section that it comes from.

use std::time::Duration;

use crate::clock::Moment;

/// The lifetime that is asked for if the caller gives no value: one hour, as RFC 6886 3.3 recommends at most two.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// The shortest lifetime that may be asked for.
pub const MIN_TTL: Duration = Duration::from_secs(1);
/// The longest lifetime that may be asked for: a day, the most that RFC 6887 15 lets a server grant.
pub const MAX_TTL: Duration = Duration::from_secs(86_400);

/// Renewal never waits longer than this, however long the granted lifetime is.
pub const DEFAULT_RENEWAL_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// A configured renewal interval below this counts as this (the least wait of RFC 6887 11.2.1).
pub(crate) const MIN_RENEWAL_INTERVAL: Duration = Duration::from_secs(4);
/// However short the granted lifetime is, renewals never come closer together than this: a gateway must not
/// be able to make us spin.
pub(crate) const MIN_RENEWAL_DELAY: Duration = Duration::from_millis(250);
/// The one quick retry before a renewal attempt counts as failed: one lost datagram is no failure.
pub(crate) const QUICK_RETRY_DELAY: Duration = Duration::from_millis(200);
/// The first wait before a renewal that met silence is tried again; doubles from there (RFC 6887 11.2.1 allows a request
/// every 4 s).
pub(crate) const RENEWAL_RETRY_MIN: Duration = Duration::from_secs(4);
/// Renewal points are spread by up to this share of what is left of the lifetime: 1/2 to 5/8, 3/4 to 13/16 ... (RFC 6887
/// 11.2.1), so that a power cut does not make a whole street ask at once. The renewal interval is spread likewise, to below.
pub(crate) const RENEWAL_SPREAD: f64 = 0.25;
/// How often a gateway that makes a mapping and does not tell its address is asked again between two renewal points, 4, 8,
/// 16 s ... later: a connection that is being re-established is back within a minute or two.
pub(crate) const ADDRESS_QUESTIONS: u32 = 5;
/// Renewal points in a row without a renewal after which a mapping is revoked.
pub const DEFAULT_FAILURE_THRESHOLD: u32 = 3;

/// How often a gateway is asked for a sign of life where the user names no time: as long as a user may be unreachable after a
/// restart that nobody announced, and cheap enough for a home router.
pub const DEFAULT_CHECK_INTERVAL: Duration = Duration::from_secs(300);
/// The shortest interval of such checks: a gateway is not to be flooded.
pub const MIN_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The part of the check's interval that is left to the check itself and the renewals behind it, at most.
pub(crate) const CHECK_MARGIN_SHARE: u32 = 10;
/// What a check and the renewals behind it take on the wire, with a lost datagram among them.
pub(crate) const CHECK_MARGIN: Duration = Duration::from_millis(500);
/// How often it is looked whether the machine has slept. A longer look would leave a port closed for longer after it.
pub(crate) const SLEEP_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// A clock that runs in sleep is ahead of one that does not by at least this if the machine has slept: shorter than any
/// sleep, and longer than the time between two readings on a busy machine.
pub(crate) const SLEEP_TOLERANCE: Duration = Duration::from_secs(2);
/// After a change all leases of a gateway renew within this, so that they are back within a second. RFC 6887 14.1.3 asks for up
/// to 5 s after an announcement, for the sake of servers with thousands of clients; a home router has a few.
pub(crate) const RECOVERY_SPREAD: Duration = Duration::from_millis(750);
/// A gateway's clock that has gone on as it should for this long does run: one that stands still fits for two seconds and a bit
/// at most (RFC 6887 8.5, RFC 6886 3.6).
pub(crate) const EPOCH_PROOF: Duration = Duration::from_secs(4);
/// Announcements that nothing proves make a lease renew at most this often.
pub(crate) const RECOVERY_PACE: Duration = Duration::from_secs(60);
/// How long after a doubt about its mapping a lease heeds the next one. Twice as long each time while doubts come without end, up
/// to [`RECOVERY_PACE`]. The first is shorter than [`RECOVERY_SPREAD`], so that it puts off no recovery.
pub(crate) const DOUBT_GAP: Duration = Duration::from_millis(250);
/// An announcement is sent this many times, because it is multicast (RFC 6886 3.2.1, RFC 6887 14.1.1) ...
pub(crate) const ANNOUNCEMENT_REPEATS: u32 = 10;
/// ... and each wait is twice the one before. The first is 250 ms; this much longer is still the same announcement.
pub(crate) const ANNOUNCEMENT_TOLERANCE: Duration = Duration::from_secs(1);
/// How long after the first lease the world is attended to: a PCP gateway on a wired LAN has answered by then, and what happens
/// before is not heard.
pub(crate) const ATTEND_AFTER: Duration = Duration::from_millis(5);
/// For how long the network must be quiet after a change before it is looked at: changes come in bursts.
pub(crate) const NETWORK_QUIET: Duration = Duration::from_millis(250);
/// The network is looked at after this even if it is not quiet: some networks never are.
pub(crate) const NETWORK_STORM: Duration = Duration::from_secs(2);
/// Until it is quiet, changes are listened to at most this often: one for each message would be a thousand wake-ups.
pub(crate) const NETWORK_STORM_PACE: Duration = Duration::from_millis(25);
/// The waits before a gateway that gave no sign of life is asked again: those of a renewal that met silence.
pub(crate) const CHECK_RETRIES: [Duration; 2] = [RENEWAL_RETRY_MIN, RENEWAL_RETRY_MIN.saturating_mul(2)];
/// How long after a mapping was made it is looked at, to see whether it is still there. A program that had the port before may
/// delete the entry when it ends, and a restart that hands over takes seconds to minutes; most wait 30 s at most for what is under
/// way (the default of gunicorn and Kubernetes). RFC 6887 11.2.1 allows a request every 4 s.
pub(crate) const LOOKS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(15), Duration::from_secs(45), Duration::from_secs(120)];
/// A mapper looks at one mapping in this time, however many it has: one that is gone puts all in doubt.
pub(crate) const LOOK_PACE: Duration = Duration::from_secs(1);
/// A lease is repaired at most this often.
pub(crate) const REPAIR_PACE: Duration = Duration::from_secs(10);

/// The first wait after a failed attempt to map; doubles from there.
pub const RETRY_BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait between attempts to map.
pub const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Each wait is spread by up to this share, so that the machines of a household do not all ask at once.
pub(crate) const RETRY_JITTER: f64 = 0.1;
/// A refusal that says how long it holds is believed up to here: the long error lifetime of RFC 6887 7.4.
pub(crate) const MAX_REFUSAL_HOLD: Duration = Duration::from_secs(30 * 60);

/// The deadline of one PCP or NAT-PMP exchange, retransmissions included, with a gateway that is not known to be slow.
pub(crate) const PCP_DEADLINE: Duration = Duration::from_secs(1);
/// The longest deadline of an exchange, with a gateway that is known to be slow: twice its round trip up to here.
pub(crate) const UDP_DEADLINE_MAX: Duration = Duration::from_secs(4);
/// A request to map that the gateway does not answer while it answers others was lost, and is repeated up to here: a little
/// below the two seconds within which the user is told that nothing answers.
pub(crate) const MAP_DEADLINE: Duration = Duration::from_millis(1800);
/// The lifetime that is asked for to end a pinhole that the router does not delete: the shortest that there is.
pub(crate) const PINHOLE_END: Duration = Duration::from_secs(1);
/// A router that grants that, or little more, has as good as deleted it. miniupnpd grants no less than 120 s.
pub(crate) const PINHOLE_ENDS_WITHIN: Duration = Duration::from_secs(2);
/// The longest that a delete is repeated for, at a gateway that goes on answering other requests: where three of ten
/// datagrams are lost each way, thirty repetitions leave one entry in many millions.
pub(crate) const DELETE_DEADLINE: Duration = Duration::from_secs(15);
/// For how long after a request was first sent its answer is still listened for, behind the caller: a second longer than
/// the longest deadline. Without this a gateway that takes longer than the deadline would never be heard.
pub(crate) const LATE_ANSWER_WINDOW: Duration = Duration::from_secs(5);
/// A round trip that is longer by this than twice the shortest one shows that requests queue up in the gateway. Less is
/// harmless: it stays well below [`RETRANSMIT_INITIAL`], so that nothing is repeated because of it.
pub(crate) const QUEUE_TOLERANCE: Duration = Duration::from_millis(100);
/// For how long a PCP error without a nonce may hold up the next attempt, whatever it says itself: anybody who can forge
/// the gateway's address can send one. The short error lifetime of RFC 6887 7.4.
pub(crate) const UNPROVEN_REFUSAL_HOLD: Duration = Duration::from_secs(30);
/// The first retransmission of a NAT-PMP or PCP request; doubles from there (RFC 6886 3.1). RFC 6887 8.1.1
/// starts at 3 s, which our deadline would never reach, so PCP uses the same figure with that section's jitter.
pub(crate) const RETRANSMIT_INITIAL: Duration = Duration::from_millis(250);
/// PCP's retransmission times are spread by this share up and down (RAND of RFC 6887 8.1.1).
pub(crate) const PCP_RETRANSMIT_JITTER: f64 = 0.1;

/// The deadline of one UPnP call (a SOAP action, a description): a little below the two seconds within which the user
/// is told that nothing answers.
pub(crate) const UPNP_DEADLINE: Duration = Duration::from_millis(1800);
/// For how long the caller waits for SSDP answers: MX is 1 second, and answers may come at its end (UDA 1.1 1.3.2). What
/// comes later is heard in the background.
pub(crate) const SSDP_DEADLINE: Duration = Duration::from_millis(1100);
/// For how long late SSDP answers are heard, after the start of the search: some routers wait longer than MX allows, and
/// 5 seconds is the longest MX that UDA 1.1 1.3.2 recommends.
pub(crate) const SSDP_LATE_DEADLINE: Duration = Duration::from_secs(5);
/// For how long multicast answers are waited for after the gateway has refused the search: most devices answer sooner than
/// MX allows, and what comes later is heard in the background.
pub(crate) const SSDP_REFUSED_GRACE: Duration = Duration::from_millis(300);
/// When the M-SEARCH burst is sent again, after its start: it is UDP (UDA 1.1 1.3.2).
pub(crate) const SSDP_REPEATS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(350)];
/// For how long an announcement holds that does not say so: the least that UDA 1.1 1.2.2 recommends.
pub(crate) const SSDP_MAX_AGE: Duration = Duration::from_secs(1800);
/// Announcements that follow each other within this belong together: a device sends one for each of its parts, and sends
/// them again (UDA 1.1 1.2.2).
pub(crate) const SSDP_BURST: Duration = Duration::from_secs(10);

/// How long a device that an earlier start knew is asked for its description alone, before a search begins beside it: a home
/// router has answered by then, and a search takes it as long.
pub(crate) const UPNP_REMEMBERED_HEDGE: Duration = Duration::from_millis(50);
/// For how long a device that has announced a restart is asked for its description before the leases are told all the same:
/// whoever is unreachable is not to wait for a router that is slow about that.
pub(crate) const UPNP_LOOK_AGAIN_DEADLINE: Duration = Duration::from_millis(500);
/// How long GetStatusInfo and GetExternalIPAddress are waited for at a router that is otherwise quick: their answers are
/// good to have, and some routers give none. A slow router is given twice the time of its last answer.
pub(crate) const UPNP_STATUS_DEADLINE: Duration = Duration::from_millis(500);
/// How long a call is waited for behind an address that never came: both together as long as one call.
pub(crate) const UPNP_HURRIED_DEADLINE: Duration = UPNP_DEADLINE.saturating_sub(UPNP_STATUS_DEADLINE);
/// An entry whose lease ends this much earlier than granted was cut; less is rounding and the way of the answers.
pub(crate) const UPNP_LEASE_TOLERANCE: Duration = Duration::from_secs(5);
/// No further step begins after this: a slow router gets a few calls, not all.
pub(crate) const UPNP_LADDER_DEADLINE: Duration = UPNP_DEADLINE.saturating_mul(2);
/// For how long the external address that a search brought is good enough for an install behind it.
pub(crate) const UPNP_EXTERNAL_ADDRESS_FRESH: Duration = Duration::from_secs(2);
/// For how long an install waits for another one's search: twice the longest.
pub(crate) const UPNP_SEARCH_TURN_DEADLINE: Duration = Duration::from_secs(8);
/// For how long the descriptions of other devices are waited for after the search, once one device is usable.
pub(crate) const UPNP_BETTER_DEVICE_GRACE: Duration = Duration::from_millis(150);
/// When the descriptions of other hosts, and of devices that do not call themselves gateways, are fetched too, after the
/// start of the search: every television answers as a root device, and asking them all is a last resort.
pub(crate) const UPNP_OTHER_DEVICES_AFTER: Duration = Duration::from_millis(250);
/// One more description of the gateway may be fetched after each of these, because forged answers must not use up a number
/// that is fixed. Keeps it below 40 requests a second.
pub(crate) const UPNP_DESCRIPTION_PACE: Duration = Duration::from_millis(25);
/// The longest search: an answer at the end of the search, then a slow description and a slow status.
pub(crate) const UPNP_SEARCH_DEADLINE: Duration = SSDP_DEADLINE.saturating_add(UPNP_DEADLINE);
/// The longest search in the background.
pub(crate) const UPNP_LATE_SEARCH_DEADLINE: Duration = SSDP_LATE_DEADLINE.saturating_add(UPNP_DEADLINE);
/// No further service of a device is asked after this, once one is usable.
pub(crate) const UPNP_SERVICES_DEADLINE: Duration = Duration::from_secs(1);
/// No further line is asked for after this.
pub(crate) const UPNP_TABLE_DEADLINE: Duration = Duration::from_secs(20);

/// The waits before a winner that could not take over an entry which it shares with a loser tries again: silence is loss, and
/// a lossy link loses a few in a row.
pub(crate) const TAKE_OVER_RETRIES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];
/// For how long the gateway that was looked up at the start of a mapper is good enough for the first mapping.
pub(crate) const PREPARED_FRESH: Duration = Duration::from_secs(1);

/// How long the best protocol is asked before the others are: a PCP gateway on a wired LAN has answered by then, and is
/// spared a NAT-PMP request and some fifteen SSDP datagrams, which it would have to handle before it could answer.
pub(crate) const RACE_HEAD_START: Duration = Duration::from_millis(1);
/// How long NAT-PMP waits, after the start of a race, for PCP to answer first.
pub(crate) const NAT_PMP_HEDGE: Duration = Duration::from_millis(10);
/// How long UPnP waits, after the start of a race, for PCP or NAT-PMP to answer first.
pub(crate) const UPNP_HEDGE: Duration = Duration::from_millis(50);
/// How long UPnP waits where NAT-PMP has shown that it is alive.
pub(crate) const UPNP_HEDGE_BEHIND_NAT_PMP: Duration = Duration::from_millis(500);

/// For how long a look at the default routes serves further calls: a look takes some 50 µs, and hundreds of leases may be mapped
/// at once.
pub(crate) const PATH_FRESH: Duration = Duration::from_millis(1);
/// How many times as long a look serves as it took, so that looks take a tenth of the engine's time at most, however slow the
/// system's tables are.
pub(crate) const PATH_FRESH_SHARE: u32 = 9;
/// How long a gateway that says nothing is asked alone, before the gateway of the next default route is asked too: a router on
/// a LAN has answered by then, by UPnP too, and half of the second is left in which a new network is to be mapped.
pub(crate) const PATH_HEDGE: Duration = Duration::from_millis(500);
/// How long a mapping in a network that the machine has left is tried to be deleted: twice the longest exchange, because
/// nobody waits for it and usually nothing answers.
pub(crate) const OLD_RELEASE_DEADLINE: Duration = UDP_DEADLINE_MAX.saturating_mul(2);

/// How long the protocol that won before is asked alone, before the others join in.
pub(crate) const DECIDED_HEAD_START: Duration = Duration::from_millis(200);
/// The same if another lease already asks the other protocols. Twice as long, which leaves enough of the two seconds within
/// which the user is told that nothing answers for a search.
pub(crate) const DECIDED_PATIENCE: Duration = DECIDED_HEAD_START.saturating_mul(2);
/// How long a lease waits for the outcome of another lease's race. A race without any answer is over by then.
pub(crate) const RACE_TURN_DEADLINE: Duration = SSDP_DEADLINE.saturating_add(Duration::from_millis(100));

/// How long a task that is told to stop still waits for the answer to a request that may have made a mapping.
pub(crate) const SHUTDOWN_GRACE: Duration = UPNP_DEADLINE;
/// For how long a call that has not ended by then is still waited for behind the caller's back, so that what it brings is
/// deleted too.
pub(crate) const LATE_CALL_DEADLINE: Duration = Duration::from_secs(10);
/// A net below the look at a new mapping, which each client bounds by itself.
pub(crate) const VERIFY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a lease waits for the release of the one that had its port before, before it asks whether the gateway answers at
/// all: most releases take one round trip, and whoever waits is to be told of a dead gateway within two seconds.
pub(crate) const PREDECESSOR_PATIENCE: Duration = Duration::from_millis(200);
/// A net below a delete, which each client bounds by itself once its turn has come: hundreds of them may wait for their turns
/// at a slow router. How long a caller waits for it is the caller's own choice (`stop`).
pub(crate) const RELEASE_DEADLINE: Duration = Duration::from_secs(300);
/// What a second delete at a stop leaves of [`DEFAULT_STOP_TIMEOUT`], so that the caller hears how it went on a busy machine too.
pub(crate) const SECOND_DELETE_MARGIN: Duration = Duration::from_secs(1);
/// How long an engine, all its leases done, still waits for late answers to be dealt with before its thread ends.
pub(crate) const ENGINE_END_DEADLINE: Duration = Duration::from_secs(10);
/// How long after its first request a mapper deletes what earlier runs have left and no lease has asked for. A program maps its
/// ports within moments of its start; whoever comes later maps anew.
pub(crate) const ADOPTION_GRACE: Duration = Duration::from_secs(2);
/// When what could not be deleted is tried again, each after the one before. After that the next start tries.
pub(crate) const LEFTOVER_RETRIES: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(300)];
/// A file of the state directory that is not whole after this time never will be: writing one takes milliseconds.
pub(crate) const STALE_STATE_FILE: Duration = Duration::from_secs(60);
/// For how long a snapshot may take it for granted that the process has not forked.
pub(crate) const FORK_CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// How long `stop` waits for the gateway where the caller names no time.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer `stop` of a mapper waits for each lease that is left: twice what a slow home router takes for a delete.
pub(crate) const STOP_TIMEOUT_PER_LEASE: Duration = Duration::from_millis(100);

/// The oldest that a grant can be when the call that brought it ends: a NAT-PMP exchange with a slow gateway, and a second
/// question for the address behind it, which is given the usual deadline only.
pub(crate) const GRANT_MAX_AGE: Duration = UDP_DEADLINE_MAX.saturating_add(PCP_DEADLINE);

/// The lifetime of a mapping that was granted for `granted` and asked for with `asked`. A gateway must not be able to
/// keep us from renewing for years: RFC 6887 15 lets it grant a day at most, and RFC 6886 3.3 no more than was asked for.
pub(crate) fn granted_lifetime(granted: Duration, asked: Duration) -> Duration {
    granted.min(asked.max(MAX_TTL))
}

/// From when the lifetime of a grant counts that is here `now`: from when it was asked for, because an address must
/// not outlive its lease; but what was spent waiting for a turn before that is no part of the lease.
pub(crate) fn grant_time(asked_at: Moment, now: Moment) -> Moment {
    now.before(GRANT_MAX_AGE).map_or(asked_at, |oldest| asked_at.max(oldest))
}

/// When a mapping is renewed: from 1/2, 3/4, 7/8 ... of the granted lifetime on, each time spread by up to a quarter of what
/// is left then (RFC 6887 11.2.1); never later than the renewal interval after the point before, and never sooner than
/// [`MIN_RENEWAL_DELAY`].
///
/// `elapsed` is the age of the grant, `points` the number of points since it, `spread` a number from 0 to 1. A permanent
/// mapping (`lifetime` is `None`) is checked at every interval.
pub(crate) fn renewal_delay(
    lifetime: Option<Duration>,
    interval: Duration,
    elapsed: Duration,
    points: u32,
    spread: f64,
) -> Duration {
    let spread = RENEWAL_SPREAD * spread.clamp(0.0, 1.0);
    let interval = interval.max(MIN_RENEWAL_INTERVAL);
    let interval = (interval - part(interval, spread / 2.0)).max(MIN_RENEWAL_INTERVAL);
    let Some(lifetime) = lifetime else { return interval };
    // What is left of the lifetime at this point: 1/2, 1/4, 1/8 ...
    let left = lifetime / 2u32.saturating_pow(points.saturating_add(1));
    (lifetime - left + part(left, spread)).saturating_sub(elapsed).min(interval).max(MIN_RENEWAL_DELAY)
}

/// A share of a time, which may be as long as a time can be.
fn part(time: Duration, share: f64) -> Duration {
    if share > 0.0 {
        Duration::try_from_secs_f64(time.as_secs_f64() * share).unwrap_or(time).min(time)
    } else {
        Duration::ZERO
    }
}

/// The wait before attempt number `attempt` (0 is the first retry): doubling from `min` to `max`, spread by
/// `jitter`, a number from -1 to 1; never earlier than a refusal's own hold.
pub(crate) fn retry_delay(attempt: u32, min: Duration, max: Duration, hold: Option<Duration>, jitter: f64) -> Duration {
    let max = max.min(MAX_RETRY_BACKOFF);
    let doubled = min.checked_mul(2u32.saturating_pow(attempt)).unwrap_or(max).min(max);
    let spread = doubled.mul_f64((1.0 + RETRY_JITTER * jitter).clamp(0.0, 2.0)).min(max);
    spread.max(hold.unwrap_or(Duration::ZERO).min(MAX_REFUSAL_HOLD)).max(MIN_RETRY_DELAY)
}

/// The longest wait between attempts that may be configured.
pub const MAX_RETRY_BACKOFF: Duration = Duration::from_secs(86_400);
/// The shortest wait between attempts to map, whatever the configured bounds.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The lifetime of the mapping that shows the external address: it is deleted at once, and should end soon if that is lost. RFC
/// 6887 15 lets servers raise what is asked for to 120 s.
pub(crate) const ADDRESS_TTL: Duration = Duration::from_secs(120);
/// The port of that mapping: discard (RFC 863), which RFC 6887 11.6 names.
pub(crate) const DISCARD_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_HOUR: Duration = DEFAULT_RENEWAL_INTERVAL;

    fn secs(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn renewals_come_at_one_half_three_quarters_and_seven_eighths_of_the_lifetime() {
        let lifetime = Some(secs(60.0));
        assert_eq!(renewal_delay(lifetime, HALF_HOUR, secs(0.0), 0, 0.0), secs(30.0));
        assert_eq!(renewal_delay(lifetime, HALF_HOUR, secs(30.0), 1, 0.0), secs(15.0));
        assert_eq!(renewal_delay(lifetime, HALF_HOUR, secs(45.0), 2, 0.0), secs(7.5));
    }

    #[test]
    fn the_points_are_spread_up_to_five_eighths_and_thirteen_sixteenths_and_an_interval_to_below() {
        let lifetime = Some(secs(80.0));
        assert_eq!(renewal_delay(lifetime, HALF_HOUR, secs(0.0), 0, 1.0), secs(50.0));
        assert_eq!(renewal_delay(lifetime, HALF_HOUR, secs(0.0), 1, 1.0), secs(65.0));
        assert_eq!(renewal_delay(Some(secs(86_400.0)), HALF_HOUR, secs(0.0), 0, 1.0), HALF_HOUR * 7 / 8);
        assert_eq!(renewal_delay(None, secs(4.0), secs(0.0), 0, 1.0), MIN_RENEWAL_INTERVAL);
        assert!(renewal_delay(None, Duration::MAX, secs(0.0), 0, 1.0) < Duration::MAX);
    }

    #[test]
    fn the_renewal_interval_caps_a_long_lifetime() {
        assert_eq!(renewal_delay(Some(secs(86_400.0)), HALF_HOUR, secs(0.0), 0, 0.0), HALF_HOUR);
        assert_eq!(renewal_delay(None, HALF_HOUR, secs(0.0), 0, 0.0), HALF_HOUR);
    }

    #[test]
    fn a_huge_interval_leaves_the_lifetime_in_charge_and_never_overflows() {
        assert_eq!(renewal_delay(Some(secs(60.0)), Duration::MAX, secs(0.0), 0, 0.0), secs(30.0));
        assert_eq!(renewal_delay(None, Duration::MAX, Duration::MAX, 0, 0.0), Duration::MAX);
    }

    #[test]
    fn zero_lifetime_and_zero_interval_do_not_spin() {
        assert_eq!(renewal_delay(Some(Duration::ZERO), HALF_HOUR, secs(0.0), 0, 0.0), MIN_RENEWAL_DELAY);
        assert_eq!(renewal_delay(Some(secs(3600.0)), Duration::ZERO, secs(0.0), 0, 0.0), MIN_RENEWAL_INTERVAL);
        assert_eq!(renewal_delay(None, Duration::ZERO, secs(0.0), u32::MAX, 0.0), MIN_RENEWAL_INTERVAL);
    }

    #[test]
    fn retries_double_from_one_second_to_five_minutes() {
        let delay = |attempt| retry_delay(attempt, RETRY_BACKOFF_MIN, RETRY_BACKOFF_MAX, None, 0.0);
        assert_eq!([delay(0), delay(1), delay(2)], [secs(1.0), secs(2.0), secs(4.0)]);
        assert_eq!([delay(9), delay(40), delay(u32::MAX)], [RETRY_BACKOFF_MAX; 3]);
    }

    #[test]
    fn a_refusal_that_holds_for_a_while_is_the_earliest_retry_but_not_for_ever() {
        let delay = |hold| retry_delay(0, RETRY_BACKOFF_MIN, RETRY_BACKOFF_MAX, Some(hold), 0.0);
        assert_eq!(delay(secs(600.0)), secs(600.0));
        assert_eq!(delay(Duration::from_secs(u64::from(u32::MAX))), MAX_REFUSAL_HOLD);
    }

    #[test]
    fn a_huge_backoff_does_not_overflow() {
        assert!(retry_delay(3, Duration::MAX, Duration::MAX, None, 1.0) <= MAX_RETRY_BACKOFF);
    }

    #[test]
    fn a_zero_backoff_does_not_spin() {
        assert!(retry_delay(0, Duration::ZERO, Duration::ZERO, None, -1.0) >= MIN_RETRY_DELAY);
    }
}
