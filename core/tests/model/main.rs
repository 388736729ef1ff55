//! A second client and other hosts use the same router while portlease does everything that it can do, and the router
//! everything that it can do wrong: whatever happens, no entry that is not ours changes or vanishes, nothing of ours is
//! left behind a stop that says `released`, and no lease says that it is mapped when it is not.
//!
//! The steps follow from a seed, which a failure names; the times between them do not. `PORTLEASE_MODEL_STEPS` is the
//! number of steps of a test, `PORTLEASE_MODEL_SEED` plays one episode alone and tells all of it if it fails.

mod dice;
mod episode;
mod foreign;
mod ours;
mod router;
mod second;
mod trouble;
mod upnpc;
mod verdict;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use episode::{Cast, Episode};

/// Steps from the start of a router to its end. Some episodes of this length see renewals, some a lease that runs out.
const EPISODE_STEPS: usize = 300;
/// Episodes that are played side by side: they spend most of their time waiting.
const STAGES: usize = if cfg!(target_os = "linux") { 8 } else { 1 };
/// Failures that are told with all that was seen of them.
const TOLD: usize = 3;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not `{text}`")))
}

/// Plays episodes until `default_steps`, or what the environment says, are done. Every failure is told at the end.
fn play(cast: Cast, default_steps: usize, episode_steps: usize) {
    let steps = number("PORTLEASE_MODEL_STEPS").map_or(default_steps, |steps| steps as usize);
    let (first, episodes, told) = match number("PORTLEASE_MODEL_SEED") {
        Some(seed) => (seed, 1, usize::MAX),
        None => (u64::from(rand::random::<u32>()), steps.div_ceil(episode_steps), verdict::FEW),
    };
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..STAGES.min(episodes) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= episodes {
                        return;
                    }
                    if let Err(failure) = Episode::new(first + number as u64, cast, told).play(episode_steps) {
                        failures.lock().expect("no stage panics with the lock").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no stage panics with the lock");
    if failures.is_empty() {
        return;
    }
    let told: Vec<String> = failures
        .iter()
        .enumerate()
        .map(|(index, failure)| if index < TOLD { failure.to_string() } else { failure.headline() })
        .collect();
    panic!("{} of {episodes} episodes failed\n{}", failures.len(), told.join("\n"));
}

#[test]
fn whatever_happens_no_foreign_entry_changes_and_nothing_of_ours_is_left_unsaid() {
    play(Cast::Scripted, 1_500, EPISODE_STEPS);
}

#[test]
fn upnpc_can_use_the_same_router() {
    if upnpc::is_installed() {
        play(Cast::Upnpc, 300, 100);
    }
}
