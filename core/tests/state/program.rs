//! A program that maps ports and can be killed, and its folder.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use portlease::Protocol;
use portlease_gateway::Gateway;

use crate::common::LONG;

/// The child's arguments.
pub(crate) const CHILD: &str = "PORTLEASE_TEST_CHILD";
/// In the place of a folder: none.
pub(crate) const NO_DIR: &str = "-";
/// A folder of one test, which goes with it.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let name = format!("portlease-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name.replace(['(', ')'], "-"));
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }

    /// What is there of leases.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).map(|entries| entries.map(|entry| entry.expect("an entry").path()));
        entries.map(|paths| paths.filter(|path| !path.ends_with("device")).collect()).unwrap_or_default()
    }
}

impl Dir {
    /// Waits until so many mappings are on record. The gateway deletes one before the program hears of it.
    pub(crate) fn waits_for_records(&self, count: usize) {
        self.waits_for(|records| records.len() == count);
    }

    /// Waits until nothing of this internal port is on record.
    pub(crate) fn waits_until_forgotten(&self, port: u16) {
        let of_the_port = format!(" internal={port} ");
        self.waits_for(|records| records.iter().all(|record| !record.contains(&of_the_port)));
    }

    fn waits_for(&self, condition: impl Fn(&[String]) -> bool) {
        let until = Instant::now() + LONG;
        loop {
            let files = self.files().into_iter().map(|file| std::fs::read_to_string(file).unwrap_or_default());
            let records: Vec<_> =
                files.flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect();
            if condition(&records) {
                return;
            }
            assert!(Instant::now() < until, "{records:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A program with a mapper and some leases.
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it. Each of `ports` is `internal` or `internal:external`.
    pub(crate) fn start(gateway: &Gateway, dir: &Dir, protocols: &[Protocol], ports: &[&str]) -> Self {
        Self::start_in(gateway, &dir.0.display().to_string(), protocols, ports)
    }

    /// The same in any folder, or in none.
    pub(crate) fn start_in(gateway: &Gateway, dir: &str, protocols: &[Protocol], ports: &[&str]) -> Self {
        let protocols: Vec<_> = protocols.iter().map(|protocol| protocol.as_str()).collect();
        let arguments = [
            gateway.address().to_string(),
            gateway.pcp_port().to_string(),
            gateway.ssdp_address().to_string(),
            dir.to_owned(),
            protocols.join(","),
            ports.join(","),
        ];
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "a_child_maps_ports_and_waits_to_be_killed", "--nocapture"])
            .env(CHILD, arguments.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, output }
    }

    /// The next line that the child has to tell.
    fn told(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.output.read_line(&mut line).expect("a line");
            assert_ne!(read, 0, "the child has ended");
            if let Some((_, told)) = line.split_once("child: ") {
                return told.trim().to_owned();
            }
        }
    }

    /// The external ports of its leases, once all are mapped.
    pub(crate) fn mapped(&mut self) -> Vec<u16> {
        let told = self.told();
        told.split(',').map(|port| port.parse().unwrap_or_else(|_| panic!("{told}"))).collect()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(self) {
        drop(self);
    }

    pub(crate) fn command(&mut self, command: &str) -> String {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{command}").expect("written");
        self.told()
    }

    /// Has it stop its mapper, and answers with how that went.
    pub(crate) fn stop(mut self) -> String {
        let outcome = self.command("stop");
        self.child.wait().expect("its end");
        outcome
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
