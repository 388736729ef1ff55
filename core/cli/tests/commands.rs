//! The other subcommands: list, unmap, gateway, demo, completions, help.

mod common;

use std::net::SocketAddr;

use common::*;
use portlease_gateway::{Faults, Gateway, Mode, Transport};
use serde_json::json;

const SUBCOMMANDS: [&str; 9] = ["map", "doctor", "status", "ip", "list", "unmap", "gateway", "demo", "completions"];

fn here(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn list(gateway: &Gateway, line: &str) -> Ended {
    let mut command = command(line);
    command.args(upnp_flags(gateway));
    start(command).end()
}

#[test]
fn list_shows_the_routers_table() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Udp, 4100, here(4000), Some(600)).unwrap();
    gateway.add_mapping(Transport::Tcp, 80, ([127, 0, 0, 9], 8080).into(), None).unwrap();
    let ended = list(&gateway, "list");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.len(), 3, "{ended:?}");
    assert!(ended.stdout[0].starts_with("PORT"), "{ended:?}");
    let line = ended.stdout.iter().find(|line| line.starts_with("4100/udp")).unwrap();
    assert!(line.contains("127.0.0.1:4000 (this machine)") && line.contains("set in the router"), "{line}");
    assert!(ended.stdout.iter().any(|line| line.starts_with("80/tcp") && line.contains("127.0.0.9:8080")), "{ended:?}");
}

#[test]
fn list_writes_one_object_a_line() {
    let gateway = gateway();
    gateway.add_mapping(Transport::Tcp, 80, ([127, 0, 0, 9], 8080).into(), None).unwrap();
    let ended = list(&gateway, "list --json");
    assert_eq!(
        ended.json(),
        [
            json!({"family": "ipv4", "external_port": 80, "transport": "tcp", "internal_client": "127.0.0.9", "internal_port": 8080,
                "description": "set in the router", "enabled": true, "ttl": null, "remote_host": "",
                "this_machine": false})
        ]
    );
}

#[test]
fn a_description_in_the_table_cannot_steer_the_terminal() {
    let gateway = gateway();
    // Turns the reading direction, and back.
    let description = "a\u{202e}b\u{202c}";
    let mapped = run_at(&gateway, &format!("map 4000/udp --detach --protocol upnp --description {description}"));
    assert_eq!(mapped.status, Some(0), "{mapped:?}");
    for line in ["list", "list --json"] {
        let text = list(&gateway, line).text();
        let shown = text.chars().filter(|c| ('\u{202a}'..='\u{202e}').contains(c)).count();
        assert!(text.contains("4000") && text.contains('b') && shown == 0, "{text:?}");
    }
}

#[test]
fn an_empty_table_is_said_to_people_and_is_no_line_for_programs() {
    let gateway = gateway();
    assert!(list(&gateway, "list").text().contains("has no mapped ports"));
    let ended = list(&gateway, "list --json");
    assert_eq!((ended.status, ended.stdout.len()), (Some(0), 0), "{ended:?}");
}

#[test]
fn list_without_upnp_says_that_the_others_cannot_list() {
    let gateway = gateway_with(Faults { upnp: Mode::Off, ..Faults::default() });
    let ended = list(&gateway, "list");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(ended.stderr.starts_with("portlease: unavailable: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("pcp and nat-pmp cannot"), "{}", ended.stderr);
}

#[test]
fn unmap_removes_what_detach_left() {
    for protocol in ["pcp", "nat-pmp", "upnp"] {
        let gateway = gateway();
        assert_eq!(run_at(&gateway, &format!("map 4000/udp --detach --protocol {protocol}")).status, Some(0));
        assert_eq!(gateway.mappings().len(), 1);
        let ended = run_at(&gateway, "unmap 4000/udp");
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.text(), "4000/udp removed by upnp: it led to 127.0.0.1:4000");
        assert!(gateway.mappings().is_empty(), "{protocol}");
    }
}

#[test]
fn unmap_removes_what_a_crash_has_left() {
    let gateway = gateway();
    let running = start_at(&gateway, "map 4000/udp");
    running.line();
    running.crash();
    assert_eq!(gateway.mappings().len(), 1);
    assert_eq!(run_at(&gateway, "unmap 4000/udp").status, Some(0));
    assert!(gateway.mappings().is_empty());
}

#[test]
fn unmap_goes_by_the_port_outside() {
    let gateway = gateway();
    assert_eq!(run_at(&gateway, "map 4000/both --external 4100 --detach").status, Some(0));
    let ended = run_at(&gateway, "unmap 4100/tcp --json");
    assert_eq!(
        ended.json(),
        [json!({"event": "removed", "transport": "tcp", "family": "ipv4", "external_port": 4100, "protocol": "upnp",
                "internal_client": "127.0.0.1", "internal_port": 4000})]
    );
    let left: Vec<_> = gateway.mappings().iter().map(|mapping| mapping.transport).collect();
    assert_eq!(left, [Transport::Udp]);
}

#[test]
fn unmap_of_what_is_not_there_says_so_and_is_no_failure() {
    let gateway = gateway();
    let ended = run_at(&gateway, "unmap 4000/udp");
    assert_eq!(ended.status, Some(0));
    assert!(ended.text().contains("nothing to remove"), "{ended:?}");
    assert_eq!(run_at(&gateway, "unmap 4000/udp --json").json()[0]["event"], "absent");
}

#[test]
fn unmap_without_upnp_uses_nat_pmp() {
    let gateway = gateway_with(Faults { upnp: Mode::Off, ..Faults::default() });
    assert_eq!(run_at(&gateway, "map 4000/tcp --detach --protocol nat-pmp").status, Some(0));
    let ended = run_at(&gateway, "unmap 4000/tcp");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("removed by nat-pmp"), "{ended:?}");
    assert!(gateway.mappings().is_empty());
}

#[test]
fn unmap_with_nobody_to_ask_says_what_was_tried() {
    let gateway = gateway_with(Faults { pcp: Mode::Off, nat_pmp: Mode::Off, upnp: Mode::Off, ..Faults::default() });
    let ended = run_at(&gateway, "unmap 4000/both");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    for port in ["4000/udp", "4000/tcp"] {
        let part = format!("portlease: unavailable: {port} could not be removed: upnp: ");
        assert!(ended.stderr.contains(&part), "{}", ended.stderr);
    }
    assert!(ended.stderr.contains(", nat-pmp: "), "{}", ended.stderr);
}

#[test]
fn unmap_refused_by_the_router_is_status_1() {
    let gateway =
        gateway_with(Faults { soap_errors: [("DeletePortMapping".to_owned(), 606)].into(), ..Faults::default() });
    gateway.add_mapping(Transport::Udp, 4000, ([127, 0, 0, 9], 4000).into(), None).unwrap();
    let ended = run_at(&gateway, "unmap 4000/udp --any-host");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("portlease: refused: 4000/udp could not be removed"), "{}", ended.stderr);
    assert_eq!(gateway.mappings().len(), 1);
}

#[test]
fn unmap_does_not_believe_nat_pmp_while_the_table_shows_the_entry() {
    let gateway =
        gateway_with(Faults { soap_errors: [("DeletePortMapping".to_owned(), 606)].into(), ..Faults::default() });
    gateway.add_mapping(Transport::Udp, 4000, here(4000), None).unwrap();
    // As on a router that keeps a table for each protocol.
    let with_other_table = common::gateway();
    let mut command = command("unmap 4000/udp");
    command.args(upnp_flags(&gateway)).args(["--pcp-port", &with_other_table.pcp_port().to_string()]);
    let ended = start(command).end();
    assert_eq!(gateway.mappings().len(), 1);
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(ended.stderr.contains("nat-pmp: the router agreed, but its table still shows it"), "{}", ended.stderr);
}

#[test]
fn unmap_refused_by_upnp_removes_by_nat_pmp_what_nat_pmp_has_made() {
    let gateway =
        gateway_with(Faults { soap_errors: [("DeletePortMapping".to_owned(), 606)].into(), ..Faults::default() });
    assert_eq!(run_at(&gateway, "map 4000/udp --external 4100 --protocol nat-pmp --detach").status, Some(0));
    let ended = run_at(&gateway, "unmap 4100/udp");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.text(), "4100/udp removed by nat-pmp: it led to 127.0.0.1:4000");
    assert!(gateway.mappings().is_empty());
}

#[test]
fn unmap_leaves_the_entry_of_another_machine_alone_and_says_whose_it_is() {
    let gateway = careless_gateway(Faults::default());
    gateway.add_mapping(Transport::Udp, 4000, ([127, 0, 0, 9], 4001).into(), None).unwrap();
    let ended = run_at(&gateway, "unmap 4000/udp");
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0), "{ended:?}");
    assert!(
        ended.stderr.contains(
            "portlease: refused: 4000/udp leads to 127.0.0.9:4001 (set in the router), not to this machine; \
             add --any-host to remove it anyway"
        ),
        "{}",
        ended.stderr
    );
    assert_eq!(gateway.mappings().len(), 1);
    assert_eq!(gateway.counters().get("soap_DeletePortMapping"), 0, "nothing was even tried");
}

#[test]
fn unmap_of_one_port_that_is_not_ours_removes_the_others_all_the_same() {
    let gateway = careless_gateway(Faults::default());
    gateway.add_mapping(Transport::Tcp, 4000, ([127, 0, 0, 9], 4000).into(), None).unwrap();
    gateway.add_mapping(Transport::Udp, 4000, here(4000), None).unwrap();
    let ended = run_at(&gateway, "unmap 4000/both");
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.text().contains("4000/udp removed by upnp"), "{ended:?}");
    let left: Vec<_> = gateway.mappings().iter().map(|mapping| mapping.transport).collect();
    assert_eq!(left, [Transport::Tcp]);
}

#[test]
fn unmap_with_any_host_says_whose_entry_it_is_before_it_removes_it() {
    let gateway = careless_gateway(Faults::default());
    gateway.add_mapping(Transport::Udp, 4000, ([127, 0, 0, 9], 4001).into(), None).unwrap();
    let ended = run_at(&gateway, "unmap 4000/udp --any-host");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout,
        [
            "4000/udp leads to 127.0.0.9:4001 (set in the router), not to this machine",
            "4000/udp removed by upnp: it led to 127.0.0.9:4001",
        ]
    );
    assert!(gateway.mappings().is_empty());
}

#[test]
fn unmap_at_a_router_that_shows_no_table_removes_by_nat_pmp_what_is_this_machines() {
    let hidden = Faults { soap_errors: [("GetGenericPortMappingEntry".to_owned(), 606)].into(), ..Faults::default() };
    let gateway = careless_gateway(hidden);
    gateway.add_mapping(Transport::Udp, 4000, ([127, 0, 0, 9], 4000).into(), None).unwrap();
    let ended = run_at(&gateway, "unmap 4000/udp");
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.text().contains("removed by nat-pmp, if this machine had mapped it"), "{ended:?}");
    assert_eq!(gateway.mappings().len(), 1, "the other machine's mapping stays");
    let ended = run_at(&gateway, "unmap 4000/udp --any-host");
    assert!(ended.text().contains("4000/udp removed by upnp, if it was there"), "{ended:?}");
    assert!(gateway.mappings().is_empty());
}

#[test]
fn the_simulated_gateway_can_be_mapped_on_and_told_to_stop() {
    let mut simulated = start(command(r#"gateway --faults {"cgnat":true}"#));
    let started = simulated.json();
    assert_eq!(started["event"], "started");
    let (pcp, ssdp) = (&started["pcp_port"], started["ssdp_address"].as_str().unwrap());
    let flags = format!("--gateway 127.0.0.1 --pcp-port {pcp} --ssdp-address {ssdp}");
    let running = start(command(&format!("map 4000/udp --for 1 --json {flags}")));
    assert_eq!(running.event("installed")["address_class"], "cgnat");
    assert_eq!(running.end().status, Some(3));
    simulated.say(r#"{"command":"stop"}"#);
    assert_eq!(simulated.end().status, Some(0));
}

#[test]
fn the_simulated_gateways_exit_codes_come_through() {
    let gateway = gateway();
    let taken = run(&format!("gateway --pcp-port {}", gateway.pcp_port()));
    assert_eq!(taken.status, Some(1), "{taken:?}");
    let unknown = run(r#"gateway --faults {"nosuch":true}"#);
    assert_eq!(unknown.status, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("nosuch"), "{}", unknown.stderr);
}

#[test]
fn the_demo_tells_every_step_and_ends_well() {
    let ended = run("demo");
    let text = ended.text();
    assert_eq!(ended.status, Some(0), "{text}");
    let mut rest = text.as_str();
    for part in [
        "1. a simulated router runs at 127.0.0.1",
        "2. a program listens on UDP port",
        "mapped to 192.0.1.1:",
        "a datagram sent to the router from outside arrived",
        "renewed:",
        "a datagram sent to the router from outside arrived",
        "released: the router's table is empty",
    ] {
        rest = &rest[rest.find(part).unwrap_or_else(|| panic!("`{part}` is not, in its turn, in\n{text}"))..];
    }
    assert!(!text.contains('\x1b'));
}

#[test]
fn completions_for_every_shell_know_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&format!("completions {shell}"));
        assert_eq!(ended.status, Some(0));
        for name in SUBCOMMANDS {
            assert!(ended.text().contains(name), "{shell}: {name}");
        }
    }
}

#[test]
fn help_mentions_every_subcommand_and_each_has_help_of_its_own() {
    for flag in ["-h", "--help", "help"] {
        let ended = run(flag);
        assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
        for name in SUBCOMMANDS {
            assert!(ended.text().contains(&format!("\n  {name} ")), "{name} is not in\n{}", ended.text());
        }
        assert!(ended.text().contains("Examples:"));
    }
    for name in SUBCOMMANDS {
        let ended = run(&format!("{name} --help"));
        assert_eq!(ended.status, Some(0));
        assert!(ended.text().contains(&format!("Usage: portlease {name}")), "{}", ended.text());
    }
}

#[test]
fn the_help_of_a_subcommand_is_about_that_subcommand() {
    assert!(run("gateway --help").text().starts_with("Run a simulated router"));
    assert!(run("map --help").text().starts_with("Map ports and keep them mapped"));
    assert!(run("list --help").text().starts_with("Show the router's table"));
}

#[test]
fn the_version_is_told() {
    let ended = run("--version");
    assert_eq!(ended.text(), concat!("portlease ", env!("CARGO_PKG_VERSION")));
    assert_eq!(ended.status, Some(0));
}
