//! The time to an IPv6 pinhole beside that to an IPv4 mapping: both in turns at the lab's router, each with a mapper of its own.

use std::time::{Duration, Instant};

use clap::Args;
use portlease::{AddressFamily, Config, MapRequest, Mapper, Protocol, Transport};

use crate::record::{Record, Value, print};
use crate::stats::{median_and_p90, ms};

/// Between two attempts, as in the contest.
const PAUSE: Duration = Duration::from_millis(150);
const READY: Duration = Duration::from_secs(10);
/// Covers a release by the slowest protocol.
const STOP: Duration = Duration::from_secs(10);
const FIRST_PORT: u16 = 20_000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many rounds count; one more goes before them.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    count: u16,
}

/// One family by one protocol, or by all that race.
struct Way {
    family: AddressFamily,
    protocol: Option<Protocol>,
    samples: Vec<f64>,
    by: Option<String>,
}

impl Way {
    /// Start, map and ready are measured; the release is not.
    fn turn(&mut self, port: u16, counts: bool) -> Result<(), String> {
        let mut config = Config::default();
        if let Some(protocol) = self.protocol {
            config.protocols = vec![protocol];
        }
        let mut request = MapRequest::new(port, Transport::Udp);
        request.family = self.family;
        let begin = Instant::now();
        let failed = |error| format!("{} by {}: {error}", self.family.as_str(), self.setting());
        let mapper = Mapper::start(config).map_err(failed)?;
        let lease = mapper.map(request).map_err(failed)?;
        let ready = portlease::wait(lease.ready(READY)).map_err(failed)?;
        let elapsed = begin.elapsed();
        portlease::wait(mapper.stop(STOP));
        std::thread::sleep(PAUSE);
        if counts {
            self.samples.push(ms(elapsed));
        }
        self.by = ready.protocol().map(|protocol| protocol.to_string());
        Ok(())
    }

    fn setting(&self) -> String {
        self.protocol.map_or_else(|| "all protocols".to_owned(), |protocol| format!("{protocol} only"))
    }

    fn record(self) -> Record {
        let (median, p90) = median_and_p90(&self.samples);
        Record {
            row: if self.family == AddressFamily::Ipv6 { "time to a pinhole" } else { "time to a mapping" },
            library: "portlease".to_owned(),
            setting: self.setting(),
            kind: "portlease",
            value: median.map(|median| Value { median, p90, unit: "ms" }),
            n: self.samples.len(),
            protocol: self.by,
            ..Record::default()
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let protocols = [None, Some(Protocol::Pcp), Some(Protocol::Upnp)];
    let both = |protocol| AddressFamily::ALL.map(|family| Way { family, protocol, samples: Vec::new(), by: None });
    let mut ways: Vec<Way> = protocols.into_iter().flat_map(both).collect();
    let mut port = FIRST_PORT;
    for round in 0..=usize::from(arguments.count) {
        let first = round % ways.len();
        ways.rotate_left(first);
        for way in &mut ways {
            way.turn(port, round > 0)?;
            port += 1;
        }
        ways.rotate_right(first);
    }
    ways.into_iter().try_for_each(|way| print(&way.record()))
}
