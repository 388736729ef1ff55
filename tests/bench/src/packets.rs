//! What the router gets from a mapper to which nothing happens. The driver counts the packets between the lines that are
//! printed here.

use std::io::{Write, stdin, stdout};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use portlease::{Config, MapRequest, Mapper, Protocol, Transport};
use serde_json::json;

const READY: Duration = Duration::from_secs(10);
/// Until what the first mapping causes is over: a look whether it is there, losers of the race.
const SETTLE: Duration = Duration::from_secs(5);
/// An hour is not waited for: renewals of this lifetime, or checks, come once a second.
const SHORT_TTL: Duration = Duration::from_secs(2);
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Renewals,
    Checks,
}

#[derive(Args)]
pub(crate) struct Arguments {
    what: What,
    /// The protocol of the mapping.
    #[arg(long)]
    protocol: Protocol,
    /// For how long to watch.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
}

/// Prints a line and waits until the driver has read the counter.
fn turn(line: &serde_json::Value) -> Result<(), String> {
    let told = writeln!(stdout(), "{line}").and_then(|()| stdout().flush());
    told.and_then(|()| stdin().read_line(&mut String::new())).map_err(|error| error.to_string())?;
    Ok(())
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let config = Config::default().protocols([arguments.protocol]);
    let config = match arguments.what {
        What::Renewals => config.ttl(SHORT_TTL).check_interval(Duration::ZERO),
        What::Checks => config.check_interval(SHORT_INTERVAL),
    };
    let mapper = Mapper::start(config).map_err(|error| error.to_string())?;
    let lease = mapper.map(MapRequest::new(20_000, Transport::Udp)).map_err(|error| error.to_string())?;
    portlease::wait(lease.ready(READY)).map_err(|error| error.to_string())?;
    std::thread::sleep(SETTLE);
    turn(&json!("begin"))?;
    let (began, before) = (Instant::now(), lease.snapshot().renewals);
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let after = lease.snapshot();
    if !after.active {
        return Err("the mapping was lost".to_owned());
    }
    let times = match arguments.what {
        What::Renewals => json!(after.renewals - before),
        What::Checks => json!(began.elapsed().div_duration_f64(SHORT_INTERVAL)),
    };
    turn(&times)?;
    portlease::wait(mapper.stop(None));
    Ok(())
}
