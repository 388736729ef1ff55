//! Everybody maps in turns: round by round, each time another one first, so that no one has the better moment.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use clap::Args;

use crate::clients::{self, Client, Failure, Kind, Mapped, Protocol, World};
use crate::record::{Record, print};
use crate::stats::{median_and_p90, ms};

/// Between two attempts, so that the answers to one (SSDP answers come 50 ms late, twice) do not disturb the next.
const PAUSE: Duration = Duration::from_millis(150);
/// A client that takes longer than this gets no more than `SLOW_ROUNDS`: its median needs no 20.
const SLOW: Duration = Duration::from_secs(5);
const SLOW_ROUNDS: usize = 5;
/// A client that hangs is not waited for more often than this.
const CAPPED_ROUNDS: usize = 3;
/// Each client has this many ports to itself: what is left on the router tells whose it is.
const PORTS_EACH: u16 = 1000;
const FIRST_PORT: u16 = 20_000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The setting's name in the records.
    #[arg(long)]
    setting: String,
    /// What the router offers; nothing: the measured time is that to the answer that there is no mapping.
    #[arg(long, value_delimiter = ',')]
    offers: Vec<Protocol>,
    /// How many rounds count; one more goes before them.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    count: u16,
    /// Seconds after which an attempt is given up.
    #[arg(long, default_value_t = 20.0)]
    cap: f64,
    /// The router's address, for clients that want to be told.
    #[arg(long)]
    gateway: Ipv4Addr,
    /// This host's address, for clients that want to be told.
    #[arg(long)]
    local: Ipv4Addr,
    /// Only clients with this in their name.
    #[arg(long)]
    only: Option<String>,
}

/// One client and what it has done so far.
struct Contestant {
    client: Box<dyn Client>,
    first_port: u16,
    port: u16,
    samples: Vec<f64>,
    failures: usize,
    capped: usize,
    /// The time to a failure where a mapping was asked for.
    failure_times: Vec<f64>,
    protocol: Option<String>,
    reason: Option<String>,
    slow: bool,
}

impl Contestant {
    fn new(client: Box<dyn Client>, port: u16) -> Self {
        Self {
            client,
            first_port: port,
            port,
            samples: Vec::new(),
            failures: 0,
            capped: 0,
            failure_times: Vec::new(),
            protocol: None,
            reason: None,
            slow: false,
        }
    }

    fn done(&self, count: usize) -> bool {
        let all = self.samples.len() + self.failures + self.capped;
        all >= count || self.capped >= CAPPED_ROUNDS || (self.slow && all >= SLOW_ROUNDS)
    }

    /// One attempt. `counts` is false in the round before the first.
    fn turn(&mut self, world: &World, none_offered: bool, counts: bool) {
        let port = self.port;
        self.port += 1;
        let begin = Instant::now();
        let attempt = self.client.map(world, port);
        let elapsed = begin.elapsed();
        if let Some(cleanup) = attempt.cleanup
            && let Err(error) = cleanup()
        {
            eprintln!("portlease-bench: {}: cannot release port {port}: {error}", self.client.name());
        }
        std::thread::sleep(PAUSE);
        self.slow |= elapsed > SLOW;
        if counts {
            self.book(ms(elapsed), attempt.outcome, none_offered);
        }
    }

    fn book(&mut self, elapsed: f64, outcome: Result<Mapped, Failure>, none_offered: bool) {
        match outcome {
            Ok(mapped) if mapped.port == 0 || mapped.address.is_some_and(|address| address.is_unspecified()) => {
                self.failures += 1;
                self.reason = Some(format!("a mapping that is none: {mapped:?}"));
            }
            Ok(mapped) if none_offered => {
                self.failures += 1;
                self.reason = Some(format!("a mapping from nowhere: {mapped:?}"));
            }
            Ok(mapped) => {
                self.samples.push(elapsed);
                self.protocol = mapped.protocol;
            }
            Err(Failure::Capped) => self.capped += 1,
            Err(Failure::Answer(reason)) => {
                self.reason = Some(reason);
                match none_offered {
                    true => self.samples.push(elapsed),
                    false => {
                        self.failures += 1;
                        self.failure_times.push(elapsed);
                    }
                }
            }
        }
    }

    fn record(self, setting: &str) -> Record {
        let (median_ms, p90_ms) = median_and_p90(&self.samples);
        let failed_after = median_and_p90(&self.failure_times).0;
        let reason = match (self.reason, failed_after) {
            (Some(reason), Some(after)) => Some(format!("{reason} (after {after:.0} ms)")),
            (reason, _) => reason,
        };
        Record {
            row: "map",
            library: self.client.name().to_owned(),
            setting: setting.to_owned(),
            kind: self.client.kind().as_str(),
            median_ms,
            p90_ms,
            n: self.samples.len(),
            failures: self.failures,
            capped: self.capped,
            protocol: self.protocol,
            reason,
            first_port: Some(self.first_port),
            ..Record::default()
        }
    }
}

fn skipped(client: &dyn Client, setting: &str, reason: &str) -> Record {
    Record {
        row: "map",
        library: client.name().to_owned(),
        setting: setting.to_owned(),
        kind: client.kind().as_str(),
        reason: Some(reason.to_owned()),
        skipped: true,
        ..Record::default()
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let cap = Duration::try_from_secs_f64(arguments.cap).map_err(|error| format!("--cap: {error}"))?;
    let world = World { runtime, gateway: arguments.gateway, local: arguments.local, cap };
    let none_offered = arguments.offers.is_empty();
    let count = usize::from(arguments.count);

    let mut contestants = Vec::new();
    for (client, port) in clients::all().into_iter().zip((FIRST_PORT..).step_by(usize::from(PORTS_EACH))) {
        if arguments.only.as_ref().is_some_and(|only| !client.name().contains(only)) {
            continue;
        }
        if none_offered && client.kind() == Kind::Floor {
            print(&skipped(&*client, &arguments.setting, "there is no answer to wait for"))?;
        } else if !none_offered && !client.speaks().iter().any(|protocol| arguments.offers.contains(protocol)) {
            print(&skipped(&*client, &arguments.setting, "speaks nothing that the router offers"))?;
        } else {
            contestants.push(Contestant::new(client, port));
        }
    }

    for round in 0..=count {
        let first = round % contestants.len().max(1);
        contestants.rotate_left(first);
        for contestant in contestants.iter_mut().filter(|contestant| !contestant.done(count)) {
            contestant.turn(&world, none_offered, round > 0);
        }
        contestants.rotate_right(first);
    }
    for contestant in contestants {
        print(&contestant.record(&arguments.setting))?;
    }
    Ok(())
}
