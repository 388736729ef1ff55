//! Map and stop, thousands of times over each protocol, on a router that is slow at times and loses messages: memory, threads
//! and descriptors stay what they are, and nothing is left on the router. A test program of its own: all of these are the
//! process's. `PORTLEASE_SOAK_CYCLES` is the number of cycles for each protocol.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{LONG, config_for, gateway_with};
use portlease::{MapRequest, Mapper, Protocol, Release, Transport};
use portlease_gateway::{Faults, Gateway};
use rand::RngExt;
use tokio::task::JoinSet;

const DEFAULT_CYCLES: usize = 60;
/// Cycles with one mapper.
const BATCH: usize = 30;
/// Leases that are on their way at a time.
const WORKERS: usize = 10;
/// What a delete that nobody confirmed leaves is gone after this.
const TTL: Duration = Duration::from_secs(3);
/// The longest that a stop of one lease takes on this router.
const STOP: Duration = Duration::from_secs(30);
/// How much the process may grow from the middle of a protocol's cycles to their end: about what the allocator's arenas of
/// the threads that come and go make of it. A leak of half a kilobyte for each cycle is more in 10,000 cycles.
const GROWTH: u64 = 2 << 20;

/// What the process holds of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    threads: usize,
}

fn held() -> Held {
    let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).expect("Linux lists them").count();
    Held { descriptors: count("fd"), threads: count("task") }
}

/// Memory in use, in bytes.
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("Linux tells");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

/// Waits until the process holds no more than `before`: the router closes its side of connections a little later.
fn settles_to(before: Held) -> Result<(), Held> {
    let began = Instant::now();
    loop {
        let now = held();
        if now == before {
            return Ok(());
        }
        if began.elapsed() > LONG {
            return Err(now);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Some delays, losses of datagrams, and answers over HTTP that are lost.
fn trouble() -> Faults {
    let mut rng = rand::rng();
    let mut some = |most: u64| if rng.random_bool(0.5) { rng.random_range(0..=most) } else { 0 };
    Faults {
        pcp_delay_ms: some(10),
        nat_pmp_delay_ms: some(10),
        http_delay_ms: some(3),
        // The same for the whole batch, so that no request overtakes another.
        pcp_processing_ms: some(5),
        nat_pmp_processing_ms: some(5),
        http_processing_ms: some(2),
        loss: some(20) as f64 / 100.0,
        http_lose_answers: u32::from(some(1) > 0),
        ..Faults::default()
    }
}

/// One batch of cycles with a mapper of its own; how many of them the router did not confirm.
async fn batch(gateway: &Gateway, protocol: Protocol, cycles: usize) -> usize {
    gateway.set_faults(trouble());
    let config = config_for(gateway, protocol).ttl(TTL);
    let mapper = Arc::new(Mapper::start(config).expect("the configuration is valid"));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS.min(cycles) {
        let (mapper, cycles) = (Arc::clone(&mapper), cycles / WORKERS + usize::from(worker < cycles % WORKERS));
        workers.spawn(async move {
            let mut unconfirmed = 0;
            for _ in 0..cycles {
                let lease = mapper.map(MapRequest::new(4000 + worker as u16, Transport::Udp)).expect("a free port");
                // Some are stopped before they are mapped.
                let patience = if rand::random_bool(0.2) { Duration::from_millis(2) } else { LONG };
                let _ = lease.ready(patience).await;
                match lease.stop(STOP).await {
                    Release::Released => {}
                    Release::Unconfirmed => unconfirmed += 1,
                    other => panic!("{protocol}: {other} after {STOP:?}"),
                }
            }
            unconfirmed
        });
    }
    let unconfirmed = workers.join_all().await.into_iter().sum();
    gateway.set_faults(Faults::default());
    let release = mapper.stop(STOP).await;
    assert_eq!(release, if unconfirmed > 0 { Release::Unconfirmed } else { Release::Released }, "{protocol}");
    let patience = if unconfirmed > 0 { TTL + LONG } else { Duration::ZERO };
    let empty = gateway.wait_for_async(patience, |state| state.mappings.is_empty()).await;
    assert!(empty, "{protocol}: {unconfirmed} unconfirmed, left: {:?}", gateway.mappings());
    unconfirmed
}

async fn soak(protocol: Protocol, cycles: usize) {
    // No real forwarding: its sockets are not what is measured.
    let gateway = gateway_with(|config| config.forward = false);
    // The first one leaves what a process has once.
    batch(&gateway, protocol, BATCH).await;
    let (before, began, mut unconfirmed, mut done) = (held(), Instant::now(), 0, 0);
    let mut memory = vec![resident()];
    while done < cycles {
        let now = BATCH.min(cycles - done);
        unconfirmed += batch(&gateway, protocol, now).await;
        done += now;
        if let Err(after) = settles_to(before) {
            panic!("{protocol}: {before:?} at the start and {after:?} after {done} cycles");
        }
        memory.push(resident());
    }
    let (start, middle, end) = (memory[0], memory[memory.len() / 2], memory[memory.len() - 1]);
    eprintln!(
        "{protocol}: {cycles} cycles in {:.1?}, {unconfirmed} unconfirmed; memory {start}, {middle}, {end}; {before:?}",
        began.elapsed()
    );
    assert!(end <= middle + GROWTH, "{protocol}: {middle} bytes in the middle, {end} at the end: {memory:?}");
}

#[tokio::test]
async fn thousands_of_leases_leave_nothing_in_the_process_and_nothing_on_the_router() {
    let cycles = std::env::var("PORTLEASE_SOAK_CYCLES").map_or(DEFAULT_CYCLES, |text| text.parse().expect("a number"));
    for protocol in Protocol::ALL {
        soak(protocol, cycles).await;
    }
}
