//! Benchmarks of portlease beside its peers. Each subcommand measures one thing and prints JSON lines;
//! `tests/bench/bench.py` sets the surroundings up, runs them all and makes the table.
//!
//! # Layout
//! `clients` holds portlease, its peers and the raw exchanges behind one trait; `contest` lets them map in turns;
//! `pinholes`, `leases`, `snapshot`, `idle` and `packets` measure portlease alone; `gateway` is the simulated gateway as a process;
//! `turns` is Rust's part beside the programs in `languages/`;
//! `record` is what is printed, `stats` the arithmetic.

mod clients;
mod contest;
mod gateway;
mod idle;
mod leases;
mod packets;
mod pinholes;
mod process;
mod record;
mod snapshot;
mod stats;
mod turns;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about = "Measures portlease beside its peers and prints JSON lines; bench.py is the driver")]
enum Command {
    /// Time from the call to a mapping in hand, for every library and tool, in turns.
    Map(contest::Arguments),
    /// Time from the call to an IPv6 pinhole, and to an IPv4 mapping, in turns at the lab's router.
    Pinholes(pinholes::Arguments),
    /// Many leases on one mapper against the simulated gateway: time until all are ready, memory.
    Leases(leases::Arguments),
    /// Reading a snapshot, in nanoseconds.
    Snapshot(snapshot::Arguments),
    /// CPU time and wake-ups of a mapper with one open lease and nothing to do.
    Idle(idle::Arguments),
    /// Keeps a lease at the lab's router while the driver counts packets: waits for a line before and after.
    Packets(packets::Arguments),
    /// Takes turns as the programs of other languages do: reads `snapshot READS` or `map PORT`, prints nanoseconds.
    Turns(turns::Arguments),
    /// Runs the simulated gateway until standard input ends; prints its addresses as one JSON line.
    Gateway(gateway::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Map(arguments) => contest::run(&arguments),
        Command::Pinholes(arguments) => pinholes::run(&arguments),
        Command::Leases(arguments) => leases::run(&arguments),
        Command::Snapshot(arguments) => snapshot::run(&arguments),
        Command::Idle(arguments) => idle::run(&arguments),
        Command::Packets(arguments) => packets::run(&arguments),
        Command::Turns(arguments) => turns::run(&arguments),
        Command::Gateway(arguments) => gateway::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portlease-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
