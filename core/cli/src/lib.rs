//! The `portlease` command as a library, so that other packages can offer the same command line.
//!
//! # Layout
//!
//! One module for each subcommand (`map`, `doctor`, `ip`, `router_status`, `list`, `unmap`, `run`, `reflector`, `gateway`, `demo`, `completions`);
//! `session` is a stay of `map`, `company` who else is told of it: `program` runs COMMAND, `hook` what `--on-change` names, `service` speaks to
//! systemd, `outside` has the variables for both, `log` writes what `-v` tells, `state` finds the folder for its records, `args` reads what all
//! share, `ports` the ports of `map`, `output` writes plain lines, status lines or JSON, `screen` draws the status lines with `echo` switched off,
//! `text` keeps them free of what steers a terminal, `event` and `status` put a mapper's events and a lease's state into words, `leftover` what is
//! still on the router at the end, `pinholes` is IPv6 in `list` and `unmap`, `mine` is `unmap --mine`, `diagnosis` and `diagnosis_ipv6` draw conclusions for `doctor`,
//! `network` and `presence` are what this machine sees of its network, `repair` is its `--repair`, `advice` is the one place for hints, `drop_in`
//! finds the libraries for `run`,
//! `signals` hears Ctrl-C.

#![warn(clippy::wildcard_enum_match_arm)]

mod advice;
mod args;
mod company;
mod completions;
mod demo;
mod diagnosis;
mod diagnosis_ipv6;
mod doctor;
#[cfg(target_os = "linux")]
mod drop_in;
#[cfg(unix)]
mod echo;
mod event;
mod gateway;
mod hook;
mod ip;
mod leftover;
mod list;
mod log;
#[cfg(test)]
mod man_tests;
mod map;
mod mine;
mod network;
mod outcome;
mod output;
mod outside;
#[cfg(test)]
mod pages_tests;
mod pinholes;
mod ports;
mod presence;
mod program;
mod reflector;
mod repair;
mod router_status;
mod run;
mod screen;
mod service;
mod session;
mod signals;
mod state;
mod status;
mod text;
mod unmap;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory, Parser, Subcommand};
use portlease::{ErrorKind, ErrorReport, PortMappingError};

use crate::log::LogArgs;
use crate::outcome::{BAD_USAGE, DONE, FAILED, Failure, Outcome};
use crate::output::Output;

const ABOUT: &str = "Makes a local port reachable from the internet through your own router";

const LONG_ABOUT: &str = "\
Makes a local port reachable from the internet through your own router, and keeps it reachable until you say stop.

portlease asks the router by PCP, NAT-PMP and UPnP, all at once, and stays with what answers. It renews the mapping \
before it ends and takes it off the router when it stops. It does not listen on the port itself: that is your \
program's part, started before or after.";

const EXAMPLES: &str = "\
Examples:
  portlease map 4000/udp       make UDP port 4000 reachable until Ctrl-C
  portlease map 8080:80/tcp    make TCP port 8080 reachable as port 80, if the router allows it
  portlease doctor             why does it not work?
  portlease demo               see it work, on a simulated router on this machine";

static AFTER_HELP: LazyLock<String> = LazyLock::new(|| outcome::with_statuses(EXAMPLES));

#[derive(Debug, Parser)]
#[command(name = "portlease", bin_name = "portlease", version, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_help = AFTER_HELP.as_str(), arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Map(map::MapArgs),
    Doctor(doctor::DoctorArgs),
    Status(router_status::StatusArgs),
    Ip(ip::IpArgs),
    List(list::ListArgs),
    Unmap(unmap::UnmapArgs),
    Run(run::RunArgs),
    Reflector(reflector::ReflectorArgs),
    Gateway(gateway::GatewayArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// What is to be told beside the answer, by the commands that ask a router.
    fn log(&self) -> Option<&LogArgs> {
        match self {
            Self::Map(args) => Some(&args.log),
            Self::Doctor(args) => Some(&args.log),
            Self::Status(args) => Some(&args.ask.log),
            Self::Ip(args) => Some(&args.ask.log),
            Self::List(args) => Some(&args.log),
            Self::Unmap(args) => Some(&args.log),
            Self::Run(_) | Self::Reflector(_) | Self::Gateway(_) | Self::Demo(_) | Self::Completions(_) => None,
        }
    }

    /// Where the words of the command go, for a failure that ends it.
    fn output(&self) -> Output {
        match self {
            Self::Map(args) => args.output(),
            Self::Doctor(args) => args.output(),
            Self::Status(args) => args.ask.output(),
            Self::Ip(args) => args.ask.output(),
            Self::List(args) => args.output(),
            Self::Unmap(args) => args.output(),
            Self::Run(_) | Self::Reflector(_) | Self::Gateway(_) | Self::Demo(_) | Self::Completions(_) => {
                Output::plain()
            }
        }
    }
}

/// Runs the command with these arguments, the program's own name first, and returns the exit status: 0, 1 if it failed,
/// 2 for bad usage, 3 if what is mapped cannot be reached from the internet, 4 if something may be left on the router.
/// `run` replaces the process, so it returns only if it could not start the program: 125, 126 or 127.
///
/// Writes to the process's standard output and standard error. While a command holds something on the router, it hears
/// SIGINT, SIGQUIT, SIGTERM and, unless that is ignored, SIGHUP; on Windows Ctrl-C, Ctrl-Break, the close of the console, logoff
/// and shutdown. Never exits the process itself. Must not be called on a thread that runs a tokio runtime.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. Where even they cannot be written nothing can be said about it.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(BAD_USAGE);
        }
    };
    let output = cli.command.output();
    let _log = match cli.command.log().map(LogArgs::start).transpose() {
        Ok(log) => log.flatten(),
        Err(error) => return explain(&error.into(), &output),
    };
    let outcome = match cli.command {
        Command::Map(args) => block_on(map::run(args)),
        Command::Doctor(args) => block_on(doctor::run(args)),
        Command::Status(args) => block_on(router_status::run(args)),
        Command::Ip(args) => block_on(ip::run(args)),
        Command::List(args) => block_on(list::run(args)),
        Command::Unmap(args) => block_on(unmap::run(args)),
        Command::Run(args) => run::run(&args),
        Command::Reflector(args) => block_on(reflector::run(args)),
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Gateway(args) => Ok(exit_status(gateway::run(&args))),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    outcome.unwrap_or_else(|failure| explain(&failure, &output))
}

fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| PortMappingError::internal(format!("cannot create a runtime: {error}")))?;
    runtime.block_on(command)
}

/// Says what went wrong and what to try.
fn explain(failure: &Failure, output: &Output) -> u8 {
    match failure {
        Failure::Mapping(error) => {
            output.fail(&ErrorReport::from(error));
            if error.kind() == ErrorKind::Invalid { BAD_USAGE } else { FAILED }
        }
        // As other commands do when their reader goes: `portlease list | head -1` is no failure.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
        Failure::Output(error) => {
            output.note(format!("portlease: cannot write the output: {error}"));
            FAILED
        }
    }
}

/// The number in an [`ExitCode`], which does not tell it.
fn exit_status(code: ExitCode) -> u8 {
    [DONE, BAD_USAGE].into_iter().find(|status| code == ExitCode::from(*status)).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_is_explained() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn the_gateways_exit_codes_become_numbers() {
        for (code, status) in [(ExitCode::SUCCESS, 0), (ExitCode::FAILURE, 1), (ExitCode::from(2), 2)] {
            assert_eq!(exit_status(code), status);
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_but_a_full_disk_is() {
        assert_eq!(explain(&Failure::Output(io::ErrorKind::BrokenPipe.into()), &Output::plain()), DONE);
        assert_eq!(explain(&Failure::Output(io::ErrorKind::StorageFull.into()), &Output::plain()), FAILED);
    }
}
