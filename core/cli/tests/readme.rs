//! README.md shows `portlease map` and `portlease doctor` as they are. `UPDATE=1 cargo test -p portlease-cli --test readme`
//! writes there what they print now.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Running, homeless, start};
use portlease_gateway::{Gateway, GatewayConfig};

/// What the tests have, and what a reader has at home; each pair is of one length, so that what is aligned stays so.
const AT_HOME: [(&str, &str); 3] =
    [("127.0.0.101", "192.168.1.1"), ("127.0.0.123", "192.168.1.5"), ("192.0.1.113", "203.0.113.7")];

fn readme() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// A home router, which looks like one.
fn router() -> Gateway {
    Gateway::start(GatewayConfig {
        bind: AT_HOME[0].0.parse().unwrap(),
        external_address: Some(AT_HOME[2].0.parse().unwrap()),
        friendly_name: "Home Router".to_owned(),
        ..GatewayConfig::default()
    })
    .unwrap()
}

/// Starts the command with stderr in stdout, as a terminal shows them.
fn start_at_home(gateway: &Gateway, line: &str) -> Running {
    let flags = format!(
        "--gateway {} --local-address {} --pcp-port {} --ssdp-address {}",
        gateway.address(),
        AT_HOME[1].0,
        gateway.pcp_port(),
        gateway.ssdp_address()
    );
    let mut shell = homeless("sh");
    shell.args(["-c", &format!("exec {} {line} {flags} 2>&1", env!("CARGO_BIN_EXE_portlease"))]);
    start(shell)
}

/// The text with a reader's addresses.
fn at_home(text: &str) -> String {
    AT_HOME.iter().fold(text.to_owned(), |text, (here, there)| text.replace(here, there))
}

/// The text without what differs from run to run: milliseconds, and the port that doctor chooses.
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
    let lines = steady.lines().map(|line| {
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
    let printed = format!("```text\n$ portlease {}\n```\n", at_home(printed).trim_end());
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
    let gateway = router();

    let map = start_at_home(&gateway, "map 4000/udp");
    let mut lines = vec!["map 4000/udp".to_owned(), map.line()];
    lines.extend(map.interrupt().stdout);
    compare("map", &lines.join("\n"));

    let doctor = start_at_home(&gateway, "doctor").end().text();
    // The simulated router has no IPv6, and what is said of it has the same form.
    let ipv4 = doctor.split("\nIPv6\n").next().unwrap_or_default();
    compare("doctor", &format!("doctor\n{ipv4}"));
}

#[test]
fn times_and_chosen_ports_do_not_count() {
    assert_eq!(steady("35451/udp in 2.32 ms, done (1 ms)"), "PORT/udp in N ms, done (N ms)");
    assert_eq!(steady("4000/udp for 1 h"), "4000/udp for 1 h");
}
