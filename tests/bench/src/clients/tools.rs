//! The programs of Debian's packages miniupnpc and natpmpc. Their whole process time counts.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Attempt, Client, Failure, Kind, LIFETIME, Mapped, Protocol, World};

/// How often a program is looked at that has not ended; short beside what a process start takes.
const LOOK: Duration = Duration::from_micros(200);

/// Runs a program to its end, at most for the cap, and answers with its output; an exit status other than 0 is a
/// failure.
fn run(program: &str, arguments: &[&str], cap: Duration) -> Result<String, Failure> {
    let answer = |error: std::io::Error| Failure::Answer(format!("{program}: {error}"));
    let end = Instant::now() + cap;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(answer)?;
    // What these programs print fits into the pipe, so they need no reader to end.
    let status = loop {
        match child.try_wait().map_err(answer)? {
            Some(status) => break status,
            None if Instant::now() >= end => {
                child.kill().map_err(answer)?;
                child.wait().map_err(answer)?;
                return Err(Failure::Capped);
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut output).map_err(answer)?;
    }
    match status.success() {
        true => Ok(output),
        false => {
            // upnpc goes on with advice, so the last line does not always tell.
            let telling = |line: &&str| ["No ", "fail", "error"].iter().any(|word| line.contains(word));
            let line = output.lines().find(telling).or(output.lines().last()).unwrap_or_default();
            Err(Failure::Answer(format!("{program}: {status}: {}", line.trim())))
        }
    }
}

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Answer(text) => text,
        Failure::Capped => "the release was given up at the cap".to_owned(),
    }
}

pub(super) struct Upnpc;

impl Client for Upnpc {
    fn name(&self) -> &'static str {
        "upnpc (process)"
    }

    fn kind(&self) -> Kind {
        Kind::Process
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::Upnp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let (local, port_text, lifetime) = (world.local.to_string(), port.to_string(), LIFETIME.to_string());
        match run("upnpc", &["-a", &local, &port_text, &port_text, "udp", &lifetime], world.cap) {
            Err(failure) => Attempt::failed(failure),
            Ok(output) if !output.contains("is redirected to internal") => {
                Attempt::failed(Failure::Answer("upnpc: status 0 and no mapping".to_owned()))
            }
            Ok(_) => Attempt::mapped(Mapped { address: None, port, protocol: None }, move || {
                run("upnpc", &["-d", &port_text, "udp"], world.cap).map(drop).map_err(reason)
            }),
        }
    }
}

pub(super) struct Natpmpc;

impl Client for Natpmpc {
    fn name(&self) -> &'static str {
        "natpmpc (process)"
    }

    fn kind(&self) -> Kind {
        Kind::Process
    }

    fn speaks(&self) -> &'static [Protocol] {
        &[Protocol::NatPmp]
    }

    fn map<'world>(&self, world: &'world World, port: u16) -> Attempt<'world> {
        let (port_text, lifetime) = (port.to_string(), LIFETIME.to_string());
        match run("natpmpc", &["-a", &port_text, &port_text, "udp", &lifetime], world.cap) {
            Err(failure) => Attempt::failed(failure),
            Ok(output) if !output.contains("Mapped public port") => {
                Attempt::failed(Failure::Answer("natpmpc: status 0 and no mapping".to_owned()))
            }
            Ok(_) => Attempt::mapped(Mapped { address: None, port, protocol: None }, move || {
                run("natpmpc", &["-a", "0", &port_text, "udp", "0"], world.cap).map(drop).map_err(reason)
            }),
        }
    }
}
