//! README.md shows what `portlease map` and `portlease doctor` print at home, which is two network namespaces here.
//! `UPDATE=1 cargo test -p portlease-cli --test readme`, as root, writes there what they print now.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Running, homeless, inside, ip, start};

/// The internet has no address for documents, so the router has another one, which is as long, and names itself.
const SHOWN: [(&str, &str); 2] = [
    ("192.0.1.113", "203.0.113.7"),
    (concat!("portlease-gateway ", env!("CARGO_PKG_VERSION"), ", portlease"), "HR-7 1.2, Example"),
];

fn readme() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// A machine and its router as in a home, in two network namespaces.
struct Home {
    machine: String,
    router: String,
    running: Option<Running>,
}

impl Home {
    /// `None`, with a word about it, where that cannot be made.
    fn new() -> Option<Self> {
        let name = format!("portlease-readme-{}", std::process::id());
        let mut home = Self { machine: format!("{name}-m"), router: format!("{name}-r"), running: None };
        let (machine, router) = (home.machine.clone(), home.router.clone());
        let asked = homeless("nft").args(["list", "ruleset"]).output();
        let made = [&machine, &router].iter().all(|space| ip(&format!("netns add {space}")));
        if !made || !asked.is_ok_and(|asked| asked.status.success()) {
            eprintln!("skipped: no network namespaces, or no nft");
            return None;
        }
        assert!(ip(&format!("-n {machine} link add eth0 type veth peer name lan netns {router}")));
        for (space, link, host) in [(&machine, "eth0", 23), (&router, "lan", 1)] {
            assert!(ip(&format!("-n {space} link set lo up")));
            assert!(ip(&format!("-n {space} addr add 192.168.1.{host}/24 dev {link}")));
            assert!(ip(&format!("-n {space} link set {link} up")));
        }
        assert!(ip(&format!("-n {machine} route add default via 192.168.1.1")));
        let mut gateway = inside(&router);
        gateway.args(["gateway", "--bind", "192.168.1.1", "--pcp-port", "5351", "--ssdp-port", "1900"]);
        gateway.args(["--external-address", SHOWN[0].0, "--config", r#"{"friendly_name":"Home Router"}"#]);
        let gateway = start(gateway);
        gateway.event("started");
        home.running = Some(gateway);
        Some(home)
    }

    /// Starts the command with stderr in stdout, as a terminal shows them.
    fn start(&self, line: &str) -> Running {
        let mut shell = homeless("ip");
        let command = format!("exec {} {line} 2>&1", env!("CARGO_BIN_EXE_portlease"));
        shell.args(["netns", "exec", &self.machine, "sh", "-c", &command]);
        start(shell)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The router ends first: a namespace lives as long as a process in it.
        self.running.take();
        for space in [&self.machine, &self.router] {
            ip(&format!("netns del {space}"));
        }
    }
}

/// The text as the README has it.
fn shown(text: &str) -> String {
    SHOWN.iter().fold(text.to_owned(), |text, (here, there)| text.replace(here, there))
}

/// The text without what differs from run to run: milliseconds, and the port that doctor chooses; and from machine to machine: the
/// firewall.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        steady += if digits.len() == 5 { "PORT" } else { &digits };
        digits.clear();
        steady.push(c);
    }
    let lines = steady.lines().filter(|line| !line.starts_with("This firewall")).map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let time = |at: usize| words.get(at + 1).is_some_and(|unit| unit.trim_end_matches([')', ',']) == "ms");
        let word = |(at, word): (usize, &&str)| match time(at) {
            true => word.trim_matches(|c: char| c.is_ascii_digit() || c == '.').to_owned() + "N",
            false => (*word).to_owned(),
        };
        words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Compares what is printed with the block of README.md that has this name, or writes it there.
fn compare(name: &str, printed: &str) {
    let printed = format!("```text\n$ portlease {}\n```\n", shown(printed).trim_end());
    let text = fs::read_to_string(readme()).unwrap();
    let begin = format!("<!-- printed by portlease: {name} -->\n");
    let start = text.find(&begin).expect("README.md has the marker") + begin.len();
    let end = start + text[start..].find("<!-- /printed -->").expect("README.md has the end of the block");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(readme(), [&text[..start], &printed, &text[end..]].concat()).unwrap();
        return;
    }
    assert!(
        steady(&text[start..end]) == steady(&printed),
        "README.md shows\n{}but portlease prints\n{printed}run UPDATE=1 cargo test -p portlease-cli --test readme",
        &text[start..end]
    );
}

/// One test, because both write the same file.
#[test]
fn the_readme_shows_what_map_and_doctor_print() {
    let Some(home) = Home::new() else { return };

    let map = home.start("map 4000/udp");
    let mut lines = vec!["map 4000/udp".to_owned(), map.line()];
    lines.extend(map.interrupt().stdout);
    compare("map", &lines.join("\n"));

    let mut doctor = home.start("doctor").end();
    // Some kernels put tunnels of their own into each namespace.
    doctor.stdout.retain(|line| !line.starts_with("Interface ") || line.contains(" eth0:"));
    let doctor = doctor.text();
    // What is said of IPv6 has the same form.
    let ipv4 = doctor.split("\nIPv6\n").next().unwrap_or_default();
    compare("doctor", &format!("doctor\n{ipv4}"));
}

#[test]
fn times_and_chosen_ports_do_not_count() {
    assert_eq!(steady("35451/udp in 2.32 ms, done (1 ms)"), "PORT/udp in N ms, done (N ms)");
    assert_eq!(steady("4000/udp for 1 h"), "4000/udp for 1 h");
}
