//! Runs the built command against a simulated gateway and reads what it writes, line by line.
// Each test binary uses its own part of this; clippy takes only what is marked as a test for one.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

#[cfg(windows)]
mod console;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portlease_gateway::{Faults, Gateway, GatewayConfig, Mode};
use serde_json::Value;

/// Longer than anything here takes: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn gateway() -> Gateway {
    Gateway::start(GatewayConfig::default()).unwrap()
}

pub fn gateway_with(faults: Faults) -> Gateway {
    Gateway::start(GatewayConfig { faults, ..GatewayConfig::default() }).unwrap()
}

/// A router that lets every host delete every entry.
pub fn careless_gateway(faults: Faults) -> Gateway {
    Gateway::start(GatewayConfig { faults, secure_mode: false, ..GatewayConfig::default() }).unwrap()
}

/// A router of version 1: one of version 2 adds no mapping without an end.
pub fn older_gateway() -> Gateway {
    Gateway::start(GatewayConfig { igd_version: 1, ..GatewayConfig::default() }).unwrap()
}

/// A router whose device has this name.
pub fn named_gateway(name: &str) -> Gateway {
    Gateway::start(GatewayConfig { friendly_name: name.to_owned(), ..GatewayConfig::default() }).unwrap()
}

/// A router that also has a firewall for IPv6; `None`, with a word about it, if this machine has no IPv6.
pub fn gateway_ipv6() -> Option<Gateway> {
    gateway_ipv6_with(Faults::default())
}

pub fn gateway_ipv6_with(faults: Faults) -> Option<Gateway> {
    let gateway = Gateway::start(GatewayConfig { ipv6: true, faults, ..GatewayConfig::default() }).unwrap();
    let why_not = gateway.addresses().no_ipv6;
    if let Some(why) = &why_not {
        eprintln!("skipped: {why}");
    }
    why_not.is_none().then_some(gateway)
}

/// Every protocol says no.
pub fn refusing() -> Faults {
    Faults { pcp: Mode::Refuse(2), nat_pmp: Mode::Refuse(2), upnp: Mode::Refuse(606), ..Faults::default() }
}

/// The flags that lead `list`, which knows no PCP, to the gateway.
pub fn upnp_flags(gateway: &Gateway) -> Vec<String> {
    ["--gateway", "127.0.0.1", "--ssdp-address", &gateway.ssdp_address().to_string()].map(str::to_owned).to_vec()
}

/// The flags that lead every other command there.
pub fn flags(gateway: &Gateway) -> Vec<String> {
    let mut flags = upnp_flags(gateway);
    flags.extend(["--pcp-port".to_owned(), gateway.pcp_port().to_string()]);
    flags
}

pub fn command(line: &str) -> Command {
    let mut command = homeless(env!("CARGO_BIN_EXE_portlease"));
    command.args(line.split_whitespace());
    command
}

/// A program without a home, so that no test writes into the home of the user who runs the tests, and none takes up what
/// another has left. Tests of the record name a folder.
pub fn homeless(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("HOME").env_remove("XDG_STATE_HOME").env_remove("LOCALAPPDATA");
    command
}

/// `ip` with these arguments; whether it succeeded.
#[cfg(target_os = "linux")]
pub fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
}

/// The command in a network namespace.
#[cfg(target_os = "linux")]
pub fn inside(space: &str) -> Command {
    let mut command = homeless("ip");
    command.args(["netns", "exec", space, env!("CARGO_BIN_EXE_portlease")]);
    command
}

/// A folder of one test, which is deleted with this.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("portlease-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The names in `below`, sorted; none if it does not exist.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(below)).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a failed test is no reason to fail once more.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A command under way.
pub struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// How a command ended, and what it wrote that was not read before.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: String,
}

pub fn start(mut command: Command) -> Running {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(windows)]
    console::in_group(&mut command);
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
    Running { child, stdout, stderr }
}

/// Starts `line` with the flags that lead to the gateway.
pub fn start_at(gateway: &Gateway, line: &str) -> Running {
    let mut command = command(line);
    command.args(flags(gateway));
    start(command)
}

pub fn run(line: &str) -> Ended {
    start(command(line)).end()
}

pub fn run_at(gateway: &Gateway, line: &str) -> Ended {
    start_at(gateway, line).end()
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn rest(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => rest.push(line),
            Err(RecvTimeoutError::Disconnected) => return rest,
            Err(RecvTimeoutError::Timeout) => panic!("the command did not end; until now: {rest:?}"),
        }
    }
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of stdout.
    pub fn line(&self) -> String {
        self.line_before(Instant::now() + PATIENCE)
    }

    fn line_before(&self, end: Instant) -> String {
        self.stdout.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap_or_else(|error| {
            panic!("no line on stdout ({error}); stderr: {:?}", self.stderr.try_iter().collect::<Vec<_>>())
        })
    }

    /// The next line of stdout, as JSON.
    pub fn json(&self) -> Value {
        parse(&self.line())
    }

    /// The next event of this name; others before it are skipped.
    pub fn event(&self, name: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let event = parse(&self.line_before(end));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The next line of stderr.
    pub fn note(&self) -> String {
        self.stderr.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no line on stderr: {error}"))
    }

    /// The next line of stderr that contains this.
    pub fn complaint(&self, part: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.stderr.recv_timeout(left).unwrap_or_else(|error| panic!("no `{part}`: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Writes a line to stdin.
    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a signal, such as `INT`.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Presses Ctrl-C; on Windows Ctrl-Break, because Ctrl-C cannot be pressed for one program alone.
    pub fn press_ctrl_c(&self) {
        #[cfg(unix)]
        self.signal("INT");
        #[cfg(windows)]
        console::ctrl_break(&self.child);
    }

    /// Presses Ctrl-C and waits for its end.
    pub fn interrupt(self) -> Ended {
        self.press_ctrl_c();
        self.end()
    }

    /// Ends it as a crash does: nothing is released.
    pub fn crash(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let (stdout, stderr) = (rest(&self.stdout), rest(&self.stderr).join("\n"));
        Ended { status: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub fn text(&self) -> String {
        self.stdout.join("\n")
    }

    pub fn json(&self) -> Vec<Value> {
        self.stdout.iter().map(|line| parse(line)).collect()
    }
}

pub fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("`{line}` is no JSON: {error}"))
}

/// A program that hears hangups, as by default: whoever runs the tests may have them ignored.
pub fn hearing_hangups(program: &str) -> Command {
    const PYTHON: &str =
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])";
    let mut command = homeless("python3");
    command.args(["-c", PYTHON, program]);
    command
}

/// A command in a terminal, made by `script`; stdout has everything that the terminal shows.
#[cfg(target_os = "linux")]
pub fn start_in_terminal(line: &str, flags: &[String], no_colour: bool) -> Running {
    let whole = format!("exec {} {line} {}", env!("CARGO_BIN_EXE_portlease"), flags.join(" "));
    let mut script = hearing_hangups("script");
    script.args(["-q", "-e", "-f", "-c", &whole, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    if no_colour {
        script.env("NO_COLOR", "1");
    }
    start(script)
}
