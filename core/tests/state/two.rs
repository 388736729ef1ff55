//! Two programs of this host that map the same port at the same time.

use std::net::SocketAddr;

use portlease::{Mapper, Protocol, wait};
use portlease_gateway::{Gateway, NewMapping, Transport};

use crate::common::{config_for, gateway, gateway_with};
use crate::program::{Dir, NO_DIR, Program};
use crate::{ports, waits_for_ports};

#[test]
fn with_a_folder_the_program_that_ends_first_leaves_the_mapping_to_the_other() {
    for protocol in Protocol::ALL {
        for first_ends_first in [true, false] {
            let (gateway, dir) = (gateway(), Dir::new());
            let start = || Program::start(&gateway, &dir, &[protocol], &["4000"]);
            let mut programs = [start(), start()];
            for program in &mut programs {
                assert_eq!(program.mapped(), [4000], "{protocol}");
            }
            let [first, second] = programs;
            let (ends, stays) = if first_ends_first { (first, second) } else { (second, first) };
            let entry = gateway.mappings()[0].clone();
            assert_eq!(ends.stop(), "released", "{protocol}");
            assert_eq!(gateway.mappings()[0].reach, entry.reach, "{protocol}: the port was never closed");
            // A third one that was started meanwhile takes it over.
            let mut third = start();
            assert_eq!(third.mapped(), [4000], "{protocol}");
            assert_eq!(stays.stop(), "released", "{protocol}");
            assert_eq!(ports(&gateway.state()).len(), 1, "{protocol}");
            assert_eq!(third.stop(), "released", "{protocol}");
            waits_for_ports(&gateway, &[]);
            assert!(dir.files().is_empty(), "{protocol}");
        }
    }
}

#[test]
fn without_a_folder_the_program_that_stays_soon_has_the_mapping_again() {
    for protocol in [Protocol::NatPmp, Protocol::Upnp] {
        let gateway = gateway();
        let start = || Program::start_in(&gateway, NO_DIR, &[protocol], &["4000"]);
        let (mut old, mut new) = (start(), start());
        assert_eq!((old.mapped(), new.mapped()), (vec![4000], vec![4000]), "{protocol}");
        let table = |gateway: &Gateway| gateway.mappings().len();
        assert_eq!((old.stop(), table(&gateway)), ("released".to_owned(), 0), "{protocol}");
        waits_for_ports(&gateway, &[4000]);
        assert_eq!(new.stop(), "released", "{protocol}");
        waits_for_ports(&gateway, &[]);
    }
}

#[test]
fn with_a_folder_a_router_that_shows_nothing_does_not_take_the_port_of_the_other_program_away() {
    let gateway = gateway_with(|config| {
        let blind = ["GetSpecificPortMappingEntry", "GetGenericPortMappingEntry"];
        config.faults.soap_errors = blind.map(|action| (action.to_owned(), 401)).into();
        (config.upnp_overwrite, config.secure_mode) = (true, false);
    });
    let dir = Dir::new();
    let mut first = Program::start(&gateway, &dir, &[Protocol::Upnp], &["4000:4600"]);
    assert_eq!(first.mapped(), [4600]);
    let mut second = Program::start(&gateway, &dir, &[Protocol::Upnp], &["5000:4600"]);
    assert_ne!(second.mapped(), [4600]);
    let entry = gateway.mapping(Transport::Udp, 4600).expect("the first one's");
    assert_eq!(entry.internal.port(), 4000);
}

#[test]
fn with_a_folder_the_routers_table_can_be_read_and_changed_all_the_same() {
    let (gateway, dir) = (gateway(), Dir::new());
    let mapper = Mapper::start(config_for(&gateway, Protocol::Upnp).state_dir(&dir.0)).unwrap();
    let internal = SocketAddr::from(([127, 0, 0, 1], 80));
    gateway.put_mapping(NewMapping::new(Transport::Udp, 4700, internal)).unwrap();
    assert_eq!(wait(mapper.table()).unwrap()[0].external_port, 4700);
    let deleted = wait(mapper.delete(portlease::Transport::Udp, 4700, false)).unwrap();
    assert_eq!(deleted.unwrap().internal_port, 80);
    assert!(gateway.mappings().is_empty());
}
