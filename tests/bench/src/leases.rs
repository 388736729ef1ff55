//! Many leases on one mapper.

use std::time::{Duration, Instant};

use clap::Args;
use portlease::{MapRequest, Mapper, Protocol, Transport};

use crate::gateway::ChildGateway;
use crate::process::{open_files, resident_kib, usage_beside_main};
use crate::record::{Record, Value, print};
use crate::stats::ms;

const FIRST_PORT: u16 = 20_000;
/// How long the slowest lease may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many leases.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=4000))]
    count: u16,
    /// The only protocol; all without it.
    #[arg(long)]
    protocol: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let gateway = ChildGateway::start()?;
    let mut config = gateway.config();
    if let Some(protocol) = &arguments.protocol {
        config.protocols = vec![protocol.parse::<Protocol>().map_err(|error| error.to_string())?];
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;

    let (memory_before, files_before) = (resident_kib()?, open_files()?);
    let begin = Instant::now();
    let mapper = Mapper::start(config).map_err(|error| error.to_string())?;
    let leases = (0..arguments.count)
        .map(|index| mapper.map(MapRequest::new(FIRST_PORT + index, Transport::Udp)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let outcomes: Vec<_> = runtime.block_on(async {
        let mut outcomes = Vec::with_capacity(leases.len());
        for lease in &leases {
            outcomes.push(lease.ready(PATIENCE).await);
        }
        outcomes
    });
    let elapsed = begin.elapsed();
    let (memory, files) = (resident_kib()?, open_files()?);
    let threads = usage_beside_main()?.threads;
    let failures: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    let protocol = outcomes.iter().flatten().find_map(|ready| ready.protocol()).map(|protocol| protocol.to_string());

    let begin_stop = Instant::now();
    runtime.block_on(mapper.stop(PATIENCE));
    let stopped = begin_stop.elapsed();
    drop(leases);

    let setting = format!("{} leases, {}", arguments.count, arguments.protocol.as_deref().unwrap_or("all protocols"));
    let record = |row, value| Record {
        row,
        library: "portlease".to_owned(),
        setting: setting.clone(),
        kind: "portlease",
        value: Some(value),
        n: 1,
        failures: failures.len(),
        protocol: protocol.clone(),
        reason: failures.first().map(ToString::to_string),
        ..Record::default()
    };
    let one = |median, unit| Value { median, p90: None, unit };
    print(&record("leases ready", one(ms(elapsed), "ms")))?;
    print(&record("leases released", one(ms(stopped), "ms")))?;
    print(&record("memory growth", one(memory.saturating_sub(memory_before) as f64, "KiB")))?;
    print(&record("open files growth", one(files as f64 - files_before as f64, "files")))?;
    print(&record("threads", one(threads as f64, "threads")))
}
