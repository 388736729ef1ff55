//! What only the system can tell, and std does not ask it for.

#![expect(unsafe_code, reason = "system calls")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time since the system's start, sleep included.
pub(crate) fn time() -> Duration {
    platform::time()
}

/// The user whose rights this process has.
#[cfg(unix)]
pub(crate) fn user() -> u32 {
    // SAFETY: it cannot fail and touches no memory.
    unsafe { libc::geteuid() }
}

/// Whether the clock of [`std::time::Instant`], and with it that of tokio, runs in sleep. QueryPerformanceCounter does; those of
/// Linux, Android and Apple do not.
pub(crate) const INSTANT_RUNS_IN_SLEEP: bool = cfg!(windows);

/// The part of [`time`] in which the machine slept, give or take [`GRAIN`]; the same from call to call while it is awake.
pub(crate) fn slept() -> Duration {
    /// The last answer, in milliseconds.
    static SLEPT: AtomicU64 = AtomicU64::new(0);
    let (awake, time) = (platform::awake(), platform::time());
    let (slept, last) = (time.saturating_sub(awake), Duration::from_millis(SLEPT.load(Ordering::Relaxed)));
    if slept < last + GRAIN {
        return last;
    }
    let millis = u64::try_from(slept.as_millis()).unwrap_or(u64::MAX);
    SLEPT.fetch_max(millis, Ordering::Relaxed);
    Duration::from_millis(millis)
}

/// The two clocks are not read at one moment, and a thread can be held up between the readings. What is shorter than this is no
/// sleep; many short ones add up.
const GRAIN: Duration = Duration::from_secs(1);

#[cfg(unix)]
mod platform {
    use std::time::Duration;

    /// Runs in sleep.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const TIME: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const AWAKE: libc::clockid_t = libc::CLOCK_MONOTONIC;
    /// `mach_continuous_time` by its POSIX name.
    #[cfg(target_vendor = "apple")]
    const TIME: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
    #[cfg(target_vendor = "apple")]
    const AWAKE: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
    /// Elsewhere there is one clock for both.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    const TIME: libc::clockid_t = libc::CLOCK_MONOTONIC;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    const AWAKE: libc::clockid_t = libc::CLOCK_MONOTONIC;

    /// Emulators and sandboxes may lack the one clock; a time that stood still would keep every lease from being renewed.
    pub(super) fn time() -> Duration {
        read(TIME).unwrap_or_else(awake)
    }

    pub(super) fn awake() -> Duration {
        read(AWAKE).unwrap_or_default()
    }

    /// `None` if the system does not have the clock.
    pub(super) fn read(clock: libc::clockid_t) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a timespec of ours, and the call keeps no pointer to it.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        (result == 0).then(|| Duration::new(seconds, nanos))
    }
}

#[cfg(windows)]
mod platform {
    use std::time::Duration;

    use windows_sys::Win32::System::WindowsProgramming::{QueryInterruptTime, QueryUnbiasedInterruptTime};

    /// Both count units of 100 ns.
    fn units(count: u64) -> Duration {
        Duration::from_nanos(count.saturating_mul(100))
    }

    pub(super) fn time() -> Duration {
        let mut count = 0;
        // SAFETY: the call writes one number and keeps no pointer to it.
        unsafe { QueryInterruptTime(&raw mut count) };
        units(count)
    }

    pub(super) fn awake() -> Duration {
        let mut count = 0;
        // SAFETY: as above. It cannot fail for a valid pointer.
        unsafe { QueryUnbiasedInterruptTime(&raw mut count) };
        units(count)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_the_system_does_not_have_does_not_stand_at_zero() {
        const NO_CLOCK: libc::clockid_t = 999;
        assert_eq!(platform::read(NO_CLOCK), None);
        assert!(time() > Duration::ZERO);
    }
}
