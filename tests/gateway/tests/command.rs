//! The program: JSON lines in, JSON lines out, and an end with its parent.
#![allow(clippy::unwrap_used, reason = "a step that fails, fails the test")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::*;
use serde_json::{Value, json};

struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(arguments: &[&str]) -> (Self, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portlease-gateway"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { child, input, output };
        let started = program.line().expect("no first line");
        assert_eq!(started["event"], "started");
        (program, started)
    }

    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        (self.output.read_line(&mut line).unwrap() > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    /// The next line with this event; those before it are dropped.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let line = self.line().unwrap_or_else(|| panic!("the output ended before {name}"));
            if line["event"] == name {
                return line;
            }
        }
    }

    fn tell(&mut self, text: &str) -> Value {
        writeln!(self.input.as_mut().unwrap(), "{text}").unwrap();
        self.event("reply")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Closing stdin ends it; the kill is for a test that fails with --keep-running.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(started: &Value) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = u16::try_from(started["pcp_port"].as_u64().unwrap()).unwrap();
    socket.connect((started["gateway"].as_str().unwrap(), port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn it_tells_where_it_listens_and_what_happens() {
    let (mut program, started) = Program::start(&[]);
    assert_eq!(started["gateway"], "127.0.0.1");
    for address in ["ssdp_address", "http_address"] {
        started[address].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap();
    }
    assert!(started["description_url"].as_str().unwrap().ends_with("/rootDesc.xml"));
    let socket = connect(&started);
    for event in ["mapped", "renewed"] {
        ask(&socket, &pcp_map(17, 4000, 4100, 600, NONCE));
        let request = program.event("request");
        assert_eq!(request["kind"], "pcp_map");
        let mapped = program.event(event);
        assert_eq!(mapped["protocol"], "pcp");
        assert_eq!(mapped["transport"], "udp");
        assert_eq!(mapped["external_port"], 4100);
        assert_eq!(mapped["internal"], "127.0.0.1:4000");
        assert_eq!(mapped["nonce"], "0102030405060708090a0b0c");
    }
    ask(&socket, &pcp_map(17, 4000, 4100, 0, NONCE));
    assert_eq!(program.event("unmapped")["external_port"], 4100);
    ask(&socket, &natpmp_map(2, 4001, 4001, 1));
    assert_eq!(program.event("expired")["protocol"], "nat-pmp");
}

#[test]
fn it_does_what_it_is_told() {
    let (mut program, started) = Program::start(&[]);
    let socket = connect(&started);
    assert_eq!(
        program.tell(r#"{"command":"mappings"}"#),
        json!({"event": "reply", "command": "mappings", "mappings": []})
    );

    let added = r#"{"command":"add_mapping","transport":"tcp","external_port":4100,"internal":"192.168.1.9:80"}"#;
    let reply = program.tell(added);
    assert_eq!((&reply["command"], &reply["mapping"]["protocol"]), (&json!("add_mapping"), &json!("static")));
    assert!(reply["mapping"]["expires_in"].is_null());
    assert!(program.tell(added)["error"].as_str().unwrap().contains("taken"));
    assert_eq!(program.tell(r#"{"command":"remove_mapping","transport":"tcp","external_port":4100}"#)["removed"], true);

    ask(&socket, &[0, 0]);
    assert_eq!(program.tell(r#"{"command":"counters"}"#)["counters"], json!({"natpmp_address": 1}));

    let reply = program.tell(r#"{"command":"external_address","address":"100.64.0.9"}"#);
    assert_eq!(reply["address"], "100.64.0.9");
    assert_eq!(ask(&socket, &[0, 0])[8..12], [100, 64, 0, 9]);
    program.tell(r#"{"command":"external_address","address":null}"#);
    assert_eq!(u16_at(&ask(&socket, &[0, 0]), 2), 3);

    let reply = program.tell(r#"{"command":"reboot"}"#);
    assert_ne!(reply["http_address"], started["http_address"]);
    assert_eq!(program.tell(r#"{"command":"state"}"#)["state"]["external_address"], Value::Null);

    assert_eq!(program.tell(r#"{"command":"stop"}"#), json!({"event": "reply", "command": "stop"}));
    assert_eq!(program.event("stopped"), json!({"event": "stopped"}));
    assert!(program.line().is_none());
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn switches_are_set_one_by_one_while_it_runs() {
    let (mut program, started) = Program::start(&["--faults", r#"{"nat_pmp":{"refuse":2}}"#]);
    let socket = connect(&started);
    assert_eq!(u16_at(&ask(&socket, &[0, 0]), 2), 2);
    let reply =
        program.tell(r#"{"set":{"pcp":"silent","soap_errors":{"AddPortMapping":718},"control_body":"chunked"}}"#);
    assert_eq!(reply, json!({"event": "reply", "command": "set"}));
    let faults = &program.tell(r#"{"command":"faults"}"#)["faults"];
    assert_eq!((&faults["pcp"], &faults["nat_pmp"]), (&json!("silent"), &json!({"refuse": 2})), "the others stay");
    assert_eq!((&faults["soap_errors"], &faults["control_body"]), (&json!({"AddPortMapping": 718}), &json!("chunked")));
    program.tell(r#"{"set":{"nat_pmp":"normal"}}"#);
    assert_eq!(u16_at(&ask(&socket, &[0, 0]), 2), 0);
    socket.send(&pcp_map(17, 4000, 4000, 60, NONCE)).unwrap();
    assert!(stays_silent(&socket));
}

#[test]
fn wrong_lines_are_answered_with_what_is_wrong_and_change_nothing() {
    let (mut program, _) = Program::start(&[]);
    for (line, part) in [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ("{}", "command"),
        (r#"{"command":"dance"}"#, "dance"),
        (r#"{"command":"reboot","now":true}"#, "now"),
        (r#"{"command":"add_mapping","transport":"udp"}"#, "external_port"),
        (r#"{"command":"add_mapping","transport":"udp","external_port":0,"internal":"127.0.0.1:1"}"#, "at least 1"),
        (r#"{"set":{"pcq":"off"}}"#, "pcq"),
        (r#"{"set":{"pcp":"sideways"}}"#, "pcp"),
        (r#"{"set":{"loss":2,"pcp":"off"}}"#, "loss"),
        (r#"{"set":{},"command":"stop"}"#, "alone"),
    ] {
        let reply = program.tell(line);
        assert!(reply["error"].as_str().unwrap_or_default().contains(part), "{line}: {reply}");
    }
    assert_eq!(program.tell(r#"{"command":"faults"}"#)["faults"]["pcp"], "normal");
}

#[test]
fn it_ends_with_its_input() {
    let (mut program, _) = Program::start(&[]);
    drop(program.input.take());
    program.event("stopped");
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn it_ends_also_when_nobody_reads() {
    let (mut program, started) = Program::start(&[]);
    let socket = connect(&started);
    // Far more events than a pipe holds.
    for _ in 0..5000 {
        socket.send(&[0, 0]).unwrap();
        receive(&socket).expect("no answer");
    }
    drop(program.input.take());
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn it_can_go_on_without_its_input() {
    let (mut program, started) = Program::start(&["--keep-running"]);
    drop(program.input.take());
    assert_eq!(ask(&connect(&started), &[0, 0]).len(), 12);
    assert!(program.child.try_wait().unwrap().is_none());
}

#[test]
fn flags_are_settings() {
    let (mut program, started) = Program::start(&[
        "--no-pcp",
        "--no-upnp",
        "--external-address",
        "192.0.1.7",
        "--config",
        r#"{"min_lifetime":120}"#,
    ]);
    let socket = connect(&started);
    assert_eq!(ask(&socket, &[0, 0])[8..12], [192, 0, 1, 7]);
    assert_eq!(u32_at(&ask(&socket, &natpmp_map(1, 4000, 4000, 5)), 12), 120);
    assert_eq!(ask(&socket, &pcp_map(17, 4000, 4000, 60, NONCE)).len(), 8);
    let http = started["http_address"].as_str().unwrap();
    assert!(std::net::TcpStream::connect(http).is_err());
    program.tell(r#"{"command":"stop"}"#);
}

#[test]
fn the_firewall_for_ipv6_is_a_flag() {
    let (mut program, started) = Program::start(&["--ipv6", "--faults", r#"{"refuse_port_zero":true}"#]);
    let Some(there) = started.get("ipv6") else {
        return skip(&format!("no IPv6 here: {}", started["no_ipv6"]));
    };
    assert_eq!((&there["gateway"], &there["pcp_port"]), (&json!("::1"), &started["pcp_port"]));
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket
        .connect((std::net::Ipv6Addr::LOCALHOST, u16::try_from(there["pcp_port"].as_u64().unwrap()).unwrap()))
        .unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&socket, &ipv6::map(17, 4000, 600, NONCE));
    let mapped = program.event("mapped");
    assert_eq!((&mapped["internal"], &mapped["external_port"]), (&json!("[::1]:4000"), &json!(4000)));
    assert!(mapped["unique_id"].is_number());
    let (_without, started) = Program::start(&[]);
    assert!(started.get("ipv6").is_none() && started.get("no_ipv6").is_none());
}

#[test]
fn bad_usage_ends_with_2_and_a_taken_port_with_1() {
    let code = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_portlease-gateway"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [
        &["--bind", "router"][..],
        &["--igd-version", "3"],
        &["--ipv6-bind", "127.0.0.1"],
        &["--faults", "{"],
        &["--config", "{\"x\":1}"],
        &["--nonsense"],
    ] {
        let (code, message) = code(arguments);
        assert_eq!(code, 2, "{arguments:?}: {message}");
        assert!(!message.is_empty());
    }
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _held = UdpSocket::bind(taken).unwrap();
    let (code, message) = code(&["--pcp-port", &taken.port().to_string()]);
    assert_eq!(code, 1);
    assert!(message.contains("the PCP port"), "{message}");
}
