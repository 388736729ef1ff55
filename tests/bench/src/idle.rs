//! What a mapper costs that has a lease open and nothing to do.

use std::time::Duration;

use clap::Args;
use portlease::{MapRequest, Mapper, Transport};

use crate::gateway::ChildGateway;
use crate::process::usage_beside_main;
use crate::record::{Record, Value, print};

const READY: Duration = Duration::from_secs(10);
/// Until the protocols that lost the race have been dealt with.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Arguments {
    /// For how long to watch. The next renewal is half an hour away, so nothing is due.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1500))]
    seconds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let gateway = ChildGateway::start()?;
    let mapper = Mapper::start(gateway.config()).map_err(|error| error.to_string())?;
    let lease = mapper.map(MapRequest::new(20_000, Transport::Udp)).map_err(|error| error.to_string())?;
    portlease::wait(lease.ready(READY)).map_err(|error| error.to_string())?;
    std::thread::sleep(SETTLE);

    let before = usage_beside_main()?;
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let after = usage_beside_main()?;
    // The race has cost something: counters that show nothing of it would show nothing of idling either.
    if before.threads == 0 || before.cpu_ns == 0 || before.voluntary_switches == 0 {
        return Err(format!("the kernel's counters do not count: {before:?}"));
    }
    if !lease.snapshot().active {
        return Err("the mapping was lost while the mapper was idle".to_owned());
    }
    if before.threads != after.threads {
        return Err(format!("{} threads became {} while the mapper was idle", before.threads, after.threads));
    }
    portlease::wait(mapper.stop(None));

    let record = |row, median, unit| Record {
        row,
        library: "portlease".to_owned(),
        setting: format!("{} s, one lease open", arguments.seconds),
        kind: "portlease",
        value: Some(Value { median, p90: None, unit }),
        n: 1,
        ..Record::default()
    };
    print(&record("idle CPU time", (after.cpu_ns - before.cpu_ns) as f64 / 1e3, "µs"))?;
    print(&record("idle wake-ups", (after.voluntary_switches - before.voluntary_switches) as f64, "wake-ups"))?;
    let preempted = after.involuntary_switches - before.involuntary_switches;
    print(&record("idle preemptions", preempted as f64, "preemptions"))
}
