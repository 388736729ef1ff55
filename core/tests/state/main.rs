//! What a program finds again that was killed: the same external ports, and nothing left of what it no longer wants.
//!
//! The program is this test binary once more, as a child that waits to be killed.

#[path = "../common/mod.rs"]
mod common;
mod program;
mod two;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::{LONG, config, config_for, gateway, gateway_with};
use portlease::{Config, MapRequest, Mapper, Protocol, Release, Transport, wait};
use portlease_gateway::{Gateway, GatewayState, Mode, NewMapping};
use program::{CHILD, Dir, NO_DIR, Program};

/// How often a program is killed and started again; a thousand times on demand.
const RESTARTS: &str = "PORTLEASE_STATE_RESTARTS";

fn restarts(default: usize) -> usize {
    std::env::var(RESTARTS).map_or(default, |count| count.parse().expect("a number"))
}

#[test]
fn a_child_maps_ports_and_waits_to_be_killed() {
    let Ok(arguments) = std::env::var(CHILD) else { return };
    let [gateway, pcp_port, ssdp, dir, protocols, ports] = arguments.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{arguments}")
    };
    let config = Config::default()
        .gateway(gateway.parse::<IpAddr>().unwrap())
        .pcp_port(pcp_port.parse().unwrap())
        .ssdp_address(ssdp.parse::<SocketAddr>().unwrap())
        .check_interval(Duration::from_secs(1))
        .protocols(protocols.split(',').map(|protocol| protocol.parse().unwrap()).collect::<Vec<_>>());
    let config = if dir == NO_DIR { config } else { config.state_dir(dir) };
    let mapper = Mapper::start(config).unwrap();
    let requests = ports.split(',').map(|port| {
        let (internal, external) = port.split_once(':').map_or((port, None), |(port, external)| (port, Some(external)));
        let request = MapRequest::new(internal.parse().unwrap(), Transport::Udp);
        match external {
            Some(external) => request.external_port(external.parse().unwrap()),
            None => request,
        }
    });
    let leases: Vec<_> = requests.map(|request| mapper.map(request).unwrap()).collect();
    let ready = |lease: &portlease::Lease| match wait(lease.ready(LONG)) {
        Ok(ready) => ready.external().unwrap().port().to_string(),
        Err(error) => format!("failed: {error}"),
    };
    let mapped: Vec<_> = leases.iter().map(ready).collect();
    println!("child: {}", mapped.join(","));
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "stop" => return println!("child: {}", wait(mapper.stop(LONG)).as_str()),
            "detach" => {
                for lease in &leases {
                    assert_eq!(wait(lease.detach()), Release::Released);
                }
                println!("child: detached");
            }
            other => panic!("{other}"),
        }
    }
}

fn ports(state: &GatewayState) -> BTreeSet<u16> {
    let ours = state.mappings.iter().filter(|mapping| mapping.internal.ip().is_loopback());
    ours.map(|mapping| mapping.external_port).collect()
}

fn waits_for_ports(gateway: &Gateway, wanted: &[u16]) {
    let wanted = wanted.iter().copied().collect();
    assert!(gateway.wait_for(LONG, |state| ports(state) == wanted), "{:?}, not {wanted:?}", gateway.mappings());
}

/// A gateway where another host has port 4000.
fn crowded() -> Gateway {
    let gateway = gateway();
    let other = SocketAddr::from(([192, 0, 2, 9], 4000));
    gateway.put_mapping(NewMapping::new(portlease_gateway::Transport::Udp, 4000, other)).expect("a free port");
    gateway
}

#[test]
fn a_program_that_is_killed_gets_the_same_external_port_again_and_leaves_one_entry() {
    for protocol in Protocol::ALL {
        let (gateway, dir) = (crowded(), Dir::new());
        let mut program = Program::start(&gateway, &dir, &[protocol], &["4000"]);
        let first = program.mapped();
        assert_ne!(first, [4000], "{protocol}");
        for restart in 0..restarts(4) {
            program.kill();
            program = Program::start(&gateway, &dir, &[protocol], &["4000"]);
            assert_eq!(program.mapped(), first, "{protocol}, restart {restart}");
            assert_eq!(ports(&gateway.state()).len(), 1, "{protocol}, restart {restart}: {:?}", gateway.mappings());
            assert_eq!(dir.files().len(), 1, "{protocol}");
        }
        assert_eq!(program.stop(), "released", "{protocol}");
        waits_for_ports(&gateway, &[]);
        assert!(dir.files().is_empty(), "{protocol}");
    }
}

#[test]
fn the_same_external_port_is_asked_for_until_the_gateway_answers() {
    let (gateway, dir) = (crowded(), Dir::new());
    gateway.update_faults(|faults| (faults.pcp, faults.nat_pmp) = (Mode::Silent, Mode::Silent));
    let mut program = Program::start(&gateway, &dir, &Protocol::ALL, &["4000"]);
    let first = program.mapped();
    program.kill();
    gateway.update_faults(|faults| faults.http = Mode::Silent);
    let asked = |state: &GatewayState| state.counters.get("http_description") + state.counters.get("ssdp_search");
    let before = asked(&gateway.state());
    let mut program = Program::start(&gateway, &dir, &Protocol::ALL, &["4000"]);
    assert!(gateway.wait_for(LONG, |state| asked(state) > before));
    gateway.update_faults(|faults| faults.http = Mode::Normal);
    assert_eq!(program.mapped(), first);
    waits_for_ports(&gateway, &first);
}

#[test]
fn the_next_start_finds_the_upnp_device_without_a_search() {
    let (gateway, dir) = (gateway(), Dir::new());
    let mut program = Program::start(&gateway, &dir, &[Protocol::Upnp], &["4000"]);
    assert_eq!(program.mapped(), [4000]);
    assert_eq!(program.stop(), "released");
    // A slow machine may search as well, in vain.
    gateway.update_faults(|faults| faults.ssdp = Mode::Silent);
    let mut program = Program::start(&gateway, &dir, &[Protocol::Upnp], &["4000"]);
    assert_eq!(program.mapped(), [4000]);
}

#[test]
fn without_a_record_a_pcp_gateway_refuses_the_next_run() {
    let (gateway, dir) = (gateway(), Dir::new());
    let mut program = Program::start(&gateway, &dir, &[Protocol::Pcp], &["4000"]);
    assert_eq!(program.mapped(), [4000]);
    program.kill();
    std::fs::remove_dir_all(&dir.0).unwrap();
    let mapper = Mapper::start(config_for(&gateway, Protocol::Pcp).retry(portlease::RetryPolicy::Never)).unwrap();
    let lease = mapper.map(MapRequest::new(4000, Transport::Udp)).unwrap();
    assert!(wait(lease.ready(LONG)).unwrap_err().to_string().contains("NOT_AUTHORIZED"));
}

#[test]
fn what_the_next_run_no_longer_asks_for_is_deleted_within_seconds() {
    for protocol in Protocol::ALL {
        let (gateway, dir) = (crowded(), Dir::new());
        let mut program = Program::start(&gateway, &dir, &[protocol], &["4000", "4001", "4002"]);
        let before = program.mapped();
        program.kill();
        assert_eq!(ports(&gateway.state()).len(), 3);
        let mut program = Program::start(&gateway, &dir, &[protocol], &["5000", "4001"]);
        let after = program.mapped();
        assert_eq!(after[1], before[1], "{protocol}");
        waits_for_ports(&gateway, &after);
        dir.waits_for_records(2);
        assert_eq!(program.stop(), "released");
        assert!(dir.files().is_empty(), "{protocol}");
    }
}

#[test]
fn a_permanent_mapping_of_a_killed_program_is_deleted_too() {
    let (gateway, dir) = (gateway_with(|config| config.igd_version = 1), Dir::new());
    gateway.update_faults(|faults| faults.nonzero_lease_error = Some(725));
    let mut program = Program::start(&gateway, &dir, &[Protocol::Upnp], &["4000"]);
    assert_eq!(program.mapped(), [4000]);
    program.kill();
    assert_eq!(gateway.mappings()[0].expires_in, None);
    let mut program = Program::start(&gateway, &dir, &[Protocol::Upnp], &["5000"]);
    assert_eq!(program.mapped(), [5000]);
    waits_for_ports(&gateway, &[5000]);
    assert_eq!(program.stop(), "released");
}

#[test]
fn another_wish_for_the_same_port_is_granted_in_the_place_of_the_old_mapping() {
    for protocol in Protocol::ALL {
        let (gateway, dir) = (gateway(), Dir::new());
        let mut program = Program::start(&gateway, &dir, &[protocol], &["4000:4100"]);
        assert_eq!(program.mapped(), [4100]);
        program.kill();
        let mut program = Program::start(&gateway, &dir, &[protocol], &["4000:4200"]);
        assert_eq!(program.mapped(), [4200], "{protocol}");
        waits_for_ports(&gateway, &[4200]);
        assert_eq!(program.stop(), "released");
        waits_for_ports(&gateway, &[]);
    }
}

#[test]
fn the_same_wish_gets_the_port_that_was_granted_in_its_place() {
    let (gateway, dir) = (crowded(), Dir::new());
    let mut program = Program::start(&gateway, &dir, &[Protocol::Upnp], &["3000:4000"]);
    let first = program.mapped();
    program.kill();
    let mut program = Program::start(&gateway, &dir, &[Protocol::Upnp], &["3000:4000"]);
    assert_eq!(program.mapped(), first);
    waits_for_ports(&gateway, &first);
}

#[test]
fn a_request_whose_answer_never_came_is_deleted_by_the_next_run() {
    for protocol in [Protocol::Pcp, Protocol::NatPmp] {
        let (gateway, dir) = (gateway(), Dir::new());
        gateway.update_faults(|faults| {
            faults.pcp_lose_answers = u32::MAX;
            // Not the answer to the question before.
            faults.nat_pmp_lose_answers = 0;
        });
        let program = Program::start(&gateway, &dir, &[protocol], &["4000"]);
        assert!(gateway.wait_for(LONG, |state| !state.mappings.is_empty()), "{protocol}: no request came");
        program.kill();
        gateway.update_faults(|faults| *faults = portlease_gateway::Faults::default());
        let mut program = Program::start(&gateway, &dir, &[protocol], &["5000"]);
        assert_eq!(program.mapped(), [5000], "{protocol}");
        waits_for_ports(&gateway, &[5000]);
    }
}

#[test]
fn what_was_detached_is_left_alone_and_can_be_taken_up_again() {
    for protocol in Protocol::ALL {
        let (gateway, dir) = (gateway(), Dir::new());
        let mut program = Program::start(&gateway, &dir, &[protocol], &["4000"]);
        assert_eq!(program.mapped(), [4000]);
        assert_eq!(program.command("detach"), "detached");
        assert_eq!(program.stop(), "released");
        let mut killed = Program::start(&gateway, &dir, &[protocol], &["4001"]);
        assert_eq!(killed.mapped(), [4001]);
        killed.kill();
        // One run that wants something else: it deletes what the killed one has left, and nothing more.
        let mut other = Program::start(&gateway, &dir, &[protocol], &["5000"]);
        assert_eq!(other.mapped(), [5000]);
        waits_for_ports(&gateway, &[4000, 5000]);
        dir.waits_for_records(2);
        assert_eq!(other.stop(), "released");
        let mut program = Program::start(&gateway, &dir, &[protocol], &["4000"]);
        assert_eq!(program.mapped(), [4000], "{protocol}");
        assert_eq!(program.stop(), "released");
        waits_for_ports(&gateway, &[]);
        assert!(dir.files().is_empty(), "{protocol}");
    }
}

#[test]
fn eight_programs_that_are_killed_and_start_again_at_once_do_not_disturb_each_other() {
    for protocol in Protocol::ALL {
        let (gateway, dir) = (gateway(), Dir::new());
        let start = || -> Vec<_> {
            let names: Vec<_> = (0..8).map(|number| (4000 + number).to_string()).collect();
            names.iter().map(|port| Program::start(&gateway, &dir, &[protocol], &[port])).collect()
        };
        let mut programs = start();
        let first: Vec<_> = programs.iter_mut().map(Program::mapped).collect();
        for restart in 0..restarts(2).div_ceil(8) {
            programs.into_iter().for_each(Program::kill);
            programs = start();
            let again: Vec<_> = programs.iter_mut().map(Program::mapped).collect();
            assert_eq!(again, first, "{protocol}, restart {restart}");
            assert_eq!(ports(&gateway.state()).len(), 8);
        }
        // When this one's is deleted, the eight have looked at what is left.
        let mut ninth = Program::start(&gateway, &dir, &[protocol], &["4008"]);
        assert_eq!(ninth.mapped(), [4008]);
        programs.into_iter().chain([ninth]).for_each(Program::kill);
        programs = start();
        assert_eq!(programs.iter_mut().map(Program::mapped).collect::<Vec<_>>(), first, "{protocol}");
        waits_for_ports(&gateway, &first.concat());
        dir.waits_for_records(8);
        for program in programs {
            assert_eq!(program.stop(), "released", "{protocol}");
        }
        waits_for_ports(&gateway, &[]);
        assert!(dir.files().is_empty(), "{protocol}");
    }
}

#[test]
fn a_full_race_records_and_releases_as_well() {
    let (gateway, dir) = (gateway(), Dir::new());
    let mut program = Program::start(&gateway, &dir, &Protocol::ALL, &["4000", "4001"]);
    assert_eq!(program.mapped(), [4000, 4001]);
    program.kill();
    let mut program = Program::start(&gateway, &dir, &Protocol::ALL, &["4000"]);
    assert_eq!(program.mapped(), [4000]);
    waits_for_ports(&gateway, &[4000]);
    // How many protocols have asked for the other port depends on how fast the gateway was.
    dir.waits_until_forgotten(4001);
    assert_eq!(program.stop(), "released");
    waits_for_ports(&gateway, &[]);
    assert!(dir.files().is_empty());
}

#[test]
fn a_stop_that_nobody_confirms_leaves_its_record_for_the_next_start() {
    let (gateway, dir) = (gateway_with(|config| config.upnp = false), Dir::new());
    let mut program = Program::start(&gateway, &dir, &[Protocol::Pcp], &["4000"]);
    assert_eq!(program.mapped(), [4000]);
    gateway.update_faults(|faults| faults.pcp = Mode::Silent);
    assert_eq!(program.stop(), "unconfirmed");
    assert_eq!(dir.files().len(), 1);
    gateway.update_faults(|faults| faults.pcp = Mode::Normal);
    let mut program = Program::start(&gateway, &dir, &[Protocol::Pcp], &["5000"]);
    assert_eq!(program.mapped(), [5000]);
    waits_for_ports(&gateway, &[5000]);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_a_warning_and_the_lease_is_mapped_all_the_same() {
    let (gateway, dir) = (gateway(), Dir::new());
    // No folder can be made in a file.
    std::fs::write(&dir.0, "").unwrap();
    let folder = dir.0.join("portlease");
    let mapper = Mapper::start(config(&gateway).state_dir(&folder)).unwrap();
    let lease = mapper.map(MapRequest::new(4000, Transport::Udp)).unwrap();
    assert_eq!(wait(lease.ready(LONG)).unwrap().external().unwrap().port(), 4000);
    let warning = mapper.snapshot().last_error.expect("a warning");
    let expected = format!("state_dir {}: cannot write", folder.display());
    assert!(warning.message.starts_with(&expected), "{}", warning.message);
    assert_eq!(wait(mapper.stop(LONG)), Release::Released);
    std::fs::remove_file(&dir.0).unwrap();
}
