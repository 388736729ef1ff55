//! Reading a snapshot of a lease that is mapped.

use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args;
use portlease::{MapRequest, Mapper, Transport};

use crate::gateway::ChildGateway;
use crate::record::{Record, Value, print};
use crate::stats::median_and_p90;

const READY: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many batches; each gives one sample.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// Reads in a batch.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    reads: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let gateway = ChildGateway::start()?;
    let mapper = Mapper::start(gateway.config()).map_err(|error| error.to_string())?;
    let lease = mapper.map(MapRequest::new(20_000, Transport::Udp)).map_err(|error| error.to_string())?;
    portlease::wait(lease.ready(READY)).map_err(|error| error.to_string())?;

    measure("snapshot of a lease", arguments, || lease.snapshot())?;
    measure("external address out of a snapshot", arguments, || lease.snapshot().external())?;
    measure("snapshot of a mapper with one lease", arguments, || mapper.snapshot())?;
    portlease::wait(mapper.stop(None));
    Ok(())
}

fn measure<T>(row: &'static str, arguments: &Arguments, read: impl Fn() -> T) -> Result<(), String> {
    let batch = || {
        let begin = Instant::now();
        for _ in 0..arguments.reads {
            black_box(read());
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(arguments.reads)
    };
    // The first warms the caches up.
    batch();
    let samples: Vec<f64> = (0..arguments.count).map(|_| batch()).collect();
    let (Some(median), p90) = median_and_p90(&samples) else { return Err("no batch was measured".to_owned()) };
    print(&Record {
        row,
        library: "portlease".to_owned(),
        setting: format!("{} reads a batch", arguments.reads),
        kind: "portlease",
        value: Some(Value { median, p90, unit: "ns" }),
        n: samples.len(),
        ..Record::default()
    })
}
