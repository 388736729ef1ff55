use std::collections::HashSet;
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::orphans::read_records;
use super::record::tests::{by_upnp, record};
use super::*;
use crate::event_log::EventLog;
use crate::mapping::{AddressFamily, Transport};

/// A folder of this test alone, which goes with it.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("portlease-state-{:016x}", rand::random::<u64>()));
        Self(path)
    }

    pub(crate) fn store(&self) -> Store {
        self.store_in(World::default())
    }

    fn store_in(&self, world: World) -> Store {
        Store::new(self.0.clone(), world)
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    fn orphan(&self, number: u64, text: &str) -> PathBuf {
        fs::create_dir_all(&self.0).unwrap();
        let path = self.0.join(format!("{number:016x}-1.leases"));
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Only Unix has permissions of this kind; elsewhere a file has those of its folder.
fn assert_mode(path: &Path, expected: u32) {
    #[cfg(unix)]
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, expected);
    let _ = (path, expected);
}

fn leftovers(store: &Store) -> Vec<Record> {
    store.leftovers().into_iter().map(|leftover| leftover.record).collect()
}

fn adopted(store: &Store) -> Vec<Record> {
    store.adopt_all();
    leftovers(store)
}

/// What was written, without the end that an orphan is given.
fn endless(records: Vec<Record>) -> Vec<Record> {
    records.into_iter().map(|record| Record { end: None, ..record }).collect()
}

#[test]
fn nothing_is_made_before_the_first_record_and_nothing_is_left_after_the_last() {
    let dir = Dir::new();
    let store = dir.store();
    store.look();
    store.adopt((AddressFamily::Ipv4, Transport::Udp, 4000));
    store.adopt_all();
    assert!(!dir.0.exists());
    store.record(record(4000));
    assert_mode(&dir.0, 0o700);
    assert_mode(&dir.only_file(), 0o600);
    store.record(record(4001));
    store.forget(&record(4000).key());
    assert_eq!(dir.files().len(), 1);
    store.forget(&record(4001).key());
    assert!(dir.files().is_empty());
    assert!(store.world.warning().is_none());
}

#[test]
fn what_does_not_change_is_not_written() {
    let dir = Dir::new();
    let store = dir.store();
    store.record(record(4000));
    let file = dir.only_file();
    store.record(record(4000));
    store.forget(&record(4001).key());
    assert_eq!(dir.only_file(), file);
    let moved = Record { external_port: Some(50_000), ..record(4000) };
    let before = store.record(moved.clone());
    assert_ne!(dir.only_file(), file);
    assert!(fs::read_to_string(dir.only_file()).unwrap().contains("external=50000"));
    store.restore(&moved.key(), before);
    assert!(fs::read_to_string(dir.only_file()).unwrap().contains("external=4000"));
}

#[test]
fn the_records_of_a_mapper_that_lives_are_not_found_and_those_of_one_that_has_ended_are_found_once() {
    let dir = Dir::new();
    let first = dir.store();
    first.record(record(4000));
    first.record(by_upnp(4001, 80));
    let second = dir.store();
    assert_eq!(adopted(&second), []);
    first.record(record(4002));
    assert_eq!(adopted(&second), []);
    drop(first);

    let found = endless(adopted(&second));
    assert_eq!(found.len(), 3);
    for wanted in [record(4000), by_upnp(4001, 80), record(4002)] {
        assert!(found.contains(&wanted), "{found:?}");
    }
    let third = dir.store();
    assert_eq!(adopted(&third), []);
    // They are in the second one's file now, which is an orphan when that ends.
    assert_eq!(dir.files().len(), 1);
    drop(second);
    assert_eq!(adopted(&third).len(), 3);
}

#[test]
fn a_port_is_adopted_with_its_whole_file_and_other_files_are_left_to_others() {
    let dir = Dir::new();
    let (one, other) = (dir.store(), dir.store());
    one.record(record(4000));
    one.record(record(4001));
    other.record(record(5000));
    drop((one, other));

    let (next, last) = (dir.store(), dir.store());
    next.look();
    last.look();
    next.adopt((AddressFamily::Ipv4, Transport::Udp, 4000));
    next.adopt((AddressFamily::Ipv4, Transport::Tcp, 5000));
    last.adopt((AddressFamily::Ipv4, Transport::Udp, 5000));
    last.adopt((AddressFamily::Ipv4, Transport::Udp, 4001));
    let (own, inherited) = next.of_port((AddressFamily::Ipv4, Transport::Udp, 4000));
    assert_eq!((own, endless(inherited)), (vec![], vec![record(4000)]));
    assert_eq!(next.leftovers().len(), 2);
    assert_eq!(endless(leftovers(&last)), [record(5000)]);

    // Asking for it makes it the mapper's own.
    next.record(record(4000));
    assert_eq!(next.of_port((AddressFamily::Ipv4, Transport::Udp, 4000)), (vec![record(4000)], vec![]));
    assert_eq!(endless(leftovers(&next)), [record(4001)]);
}

#[test]
fn what_was_left_on_purpose_can_be_taken_up_and_is_no_leftover() {
    let dir = Dir::new();
    let store = dir.store();
    store.record(record(4000));
    store.keep(&record(4000).key());
    store.keep(&record(4001).key());
    drop(store);
    let next = dir.store();
    next.look();
    next.adopt((AddressFamily::Ipv4, Transport::Udp, 4000));
    assert_eq!(next.leftovers(), []);
    assert_eq!(
        endless(next.of_port((AddressFamily::Ipv4, Transport::Udp, 4000)).1),
        [Record { kept: true, ..record(4000) }]
    );
}

#[test]
fn what_has_ended_is_dropped_and_what_stays_for_ever_is_not() {
    let dir = Dir::new();
    let now = SystemTime::now();
    let ended = Record { end: Some(now - Duration::from_secs(2)), ..record(4000) };
    let alive = Record { end: Some(now + Duration::from_secs(600)), ..record(4001) };
    let permanent = Record { lifetime: None, ..by_upnp(4002, 80) };
    let lines: String = [&ended, &alive, &permanent].map(Record::line).concat();
    dir.orphan(1, &format!("{HEADER}{lines}"));
    let found = adopted(&dir.store());
    assert_eq!(found.len(), 2);
    assert!(found.contains(&permanent));
    assert!(found.iter().any(|found| found.internal_port == 4001 && found.end < Some(now + Duration::from_secs(601))));
}

#[test]
fn of_a_file_that_is_truncated_or_hostile_the_readable_lines_count_and_the_rest_is_a_warning() {
    let (good, other) = (record(4000).line(), record(4001).line());
    for (text, wanted) in [
        (String::new(), 0),
        (HEADER[..5].to_owned(), 0),
        (format!("{HEADER}{good}{}", &other[..other.len() - 1]), 1),
        (format!("{HEADER}{}{good}", &other[1..]), 1),
        (format!("{HEADER}\n\n{good}\0\0\n{other}"), 2),
        (format!("{good}{other}"), 2),
        (format!("{HEADER}{}", "x".repeat(2 * MAX_BYTES)), 0),
        (format!("{HEADER}{good}{}", "\n".repeat(2 * MAX_BYTES)), 1),
    ] {
        let dir = Dir::new();
        let world = World::default();
        dir.orphan(1, &text);
        let store = dir.store_in(world.clone());
        store.look();
        assert_eq!(adopted(&store).len(), wanted, "{}", text.escape_debug().take(200).collect::<String>());
        let warning = world.warning().expect("a warning");
        assert!(warning.message.contains("lines that cannot be read"), "{warning:?}");
        // It is not read again.
        assert_eq!(dir.files().len(), usize::from(wanted > 0));
    }
}

#[test]
fn every_cut_of_a_file_reads_without_a_panic_and_never_as_more_than_it_was() {
    let text = format!("{HEADER}{}{}", record(4000).line(), by_upnp(4001, 80).line());
    for length in 0..text.len() {
        let records = read_records(&text[..length]).map_or_else(Vec::new, |(records, _)| records);
        assert!(records.iter().all(|found| *found == record(4000) || *found == by_upnp(4001, 80)));
    }
}

#[test]
fn a_file_of_another_version_is_left_alone() {
    let dir = Dir::new();
    let path = dir.orphan(1, &format!("portlease leases 2\n{}", record(4000).line()));
    let store = dir.store();
    store.look();
    assert_eq!(adopted(&store), []);
    assert_eq!(dir.files(), [path]);
    assert!(store.world.warning().is_none());
}

#[test]
fn a_file_with_too_many_records_is_read_up_to_the_bound() {
    let dir = Dir::new();
    let lines: String = (1..=2000).map(|port| record(port).line()).collect();
    dir.orphan(1, &format!("{HEADER}{lines}"));
    let store = dir.store();
    assert_eq!(adopted(&store).len(), MAX_RECORDS);
    // And the mapper's own records have no room, which fails nothing.
    assert!(store.record(record(5000)).is_none());
    assert!(store.world.warning().is_some());
}

#[cfg(unix)]
#[test]
fn links_folders_pipes_and_other_names_are_not_opened() {
    let dir = Dir::new();
    let target = Dir::new();
    let secret = target.orphan(9, &format!("{HEADER}{}", record(4000).line()));
    fs::create_dir_all(dir.0.join("0000000000000002-1.leases")).unwrap();
    symlink(&secret, dir.0.join("0000000000000001-1.leases")).unwrap();
    let pipe = dir.0.join("0000000000000003-1.leases");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(dir.0.join("4-1.leases"), format!("{HEADER}{}", record(4001).line())).unwrap();
    fs::write(dir.0.join("notes.txt"), "mine").unwrap();
    let before = dir.files();
    let store = dir.store();
    store.look();
    assert_eq!(adopted(&store), []);
    assert_eq!(dir.files(), before);
    assert!(secret.exists());
    assert!(store.world.warning().is_some());
}

#[test]
fn a_folder_that_cannot_be_used_is_one_warning_and_no_failure() {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).unwrap();
    fs::write(dir.0.join("file"), "").unwrap();
    let events = Arc::<EventLog>::default();
    let reader = events.reader();
    let world = World::new(events);
    let impossible = if cfg!(windows) { "NUL/portlease" } else { "/proc/portlease" };
    for folder in [dir.0.join("file"), PathBuf::from(impossible)] {
        let store = Store::new(folder, world.clone());
        store.look();
        for port in 1..=10 {
            store.record(record(port));
        }
        assert_eq!(store.of_port((AddressFamily::Ipv4, Transport::Udp, 10)).0, [record(10)]);
        store.adopt_all();
        let message = world.warning().unwrap().message.clone();
        assert!(message.starts_with("state_dir ") && message.contains(": cannot "), "{message}");
    }
    let mut told = 0;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    while std::pin::pin!(reader.pull()).poll(&mut context).map(|event| drop(event.unwrap().take())).is_ready() {
        told += 1;
    }
    // One for reading and one for writing, at most, for each folder.
    assert!((2..=4).contains(&told), "{told}");
}

#[test]
fn what_cannot_be_written_here_is_not_deleted_there() {
    let dir = Dir::new();
    let path = dir.orphan(1, &format!("{HEADER}{}", record(4000).line()));
    let store = dir.store();
    // No file can be made under a name that is a folder's.
    for version in 0..10 {
        fs::create_dir(dir.0.join(format!("{:016x}-{version}.leases.new", store.process))).unwrap();
    }
    assert_eq!(endless(adopted(&store)), [record(4000)]);
    assert!(path.exists());
    drop(store);
    assert_eq!(endless(adopted(&dir.store())), [record(4000)]);
}

#[test]
fn the_earlier_version_that_a_crash_has_left_beside_the_later_one_does_not_count() {
    let dir = Dir::new();
    let earlier = dir.orphan(7, &format!("{HEADER}{}{}", record(4000).line(), record(4001).line()));
    fs::write(dir.0.join("0000000000000007-2.leases"), format!("{HEADER}{}", record(4000).line())).unwrap();
    let store = dir.store();
    assert_eq!(endless(adopted(&store)), [record(4000)]);
    assert!(!earlier.exists());
}

#[test]
fn a_file_that_was_never_whole_is_deleted_once_it_is_old() {
    let dir = Dir::new();
    fs::create_dir_all(&dir.0).unwrap();
    let path = dir.0.join("0000000000000007-2.leases.new");
    let file = fs::File::create(&path).unwrap();
    let store = dir.store();
    store.adopt_all();
    assert!(path.exists());
    file.set_modified(SystemTime::now() - 2 * crate::schedule::STALE_STATE_FILE).unwrap();
    // Windows keeps a file until the last one has closed it.
    drop(file);
    store.adopt_all();
    assert!(!path.exists());
}

#[test]
fn of_eight_that_take_over_at_once_each_orphan_goes_to_one() {
    const ORPHANS: u16 = 40;
    let dir = Dir::new();
    for port in 1..=ORPHANS {
        dir.store().record(record(port));
    }
    let stores: Vec<_> = (0..8).map(|_| dir.store()).collect();
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(|| {
                store.look();
                store.adopt_all();
            });
        }
    });
    let all: Vec<_> = stores.iter().flat_map(leftovers).map(|record| record.internal_port).collect();
    // Each that found its record held did leave it to its holder.
    let different: HashSet<_> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (usize::from(ORPHANS), usize::from(ORPHANS)));
    assert!(stores.iter().all(|store| store.world.warning().is_none()));
}

#[test]
fn records_of_several_threads_are_all_on_disk_in_one_file() {
    let dir = Dir::new();
    let store = dir.store();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for port in 1..=50 {
                    store.record(record(first * 100 + port));
                    assert!(fs::read_dir(store.folder.path()).unwrap().count() >= 1);
                }
            });
        }
    });
    let text = fs::read_to_string(dir.only_file()).unwrap();
    assert_eq!(text.lines().count(), 201);
    assert!(store.world.warning().is_none(), "{:?}", store.world.warning());
}

#[test]
fn what_a_lease_has_claimed_is_another_leftover_than_before() {
    let dir = Dir::new();
    dir.orphan(1, &format!("{HEADER}{}{}", record(4000).line(), record(4001).line()));
    let store = dir.store();
    store.adopt_all();
    let before = store.leftovers();
    assert!(before.iter().all(|leftover| !leftover.claimed && store.is_left(leftover)));
    store.claim((AddressFamily::Ipv4, Transport::Udp, 4000));
    let left: Vec<_> = before.iter().filter(|leftover| store.is_left(leftover)).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].record.internal_port, 4001);
    store.record(record(4000));
    store.claim((AddressFamily::Ipv4, Transport::Udp, 4000));
    assert_eq!(store.leftovers().len(), 1);
}

fn device() -> KnownDevice {
    KnownDevice {
        udn: "uuid:with space".to_owned(),
        location: "http://192.168.1.1:5000/rootDesc.xml".to_owned(),
        control_url: "http://192.168.1.1:5000/ctl/IPConn".to_owned(),
        service_type: "urn:schemas-upnp-org:service:WANIPConnection:1".to_owned(),
    }
}

#[test]
fn the_device_of_the_last_gateway_outlives_its_mapper_and_no_other_gateway_is_on_disk() {
    let dir = Dir::new();
    let [home, cafe] = [[192, 168, 1, 1], [10, 0, 0, 1]];
    let store = dir.store();
    assert_eq!(store.device(home.into()), None);
    store.remember_device(home.into(), device());
    assert_mode(&dir.only_file(), 0o600);
    assert_eq!(dir.store().device(home.into()), Some(device()));
    assert_eq!(dir.store().device(cafe.into()), None);
    let other = dir.store();
    other.remember_device(cafe.into(), device());
    assert_eq!(other.device(cafe.into()), Some(device()));
    assert_eq!(dir.store().device(home.into()), None);
    dir.only_file();
}

#[test]
fn a_device_that_makes_no_sense_is_no_device() {
    let home = [192, 168, 1, 1];
    let dir = Dir::new();
    dir.store().remember_device(home.into(), device());
    let whole = fs::read_to_string(dir.only_file()).unwrap();
    for length in 0..whole.len() {
        let dir = Dir::new();
        fs::create_dir_all(&dir.0).unwrap();
        fs::write(dir.0.join("device"), &whole[..length]).unwrap();
        assert_eq!(dir.store().device(home.into()), None);
    }
}

#[cfg(unix)]
#[test]
fn a_device_that_is_a_link_is_no_device_and_is_replaced() {
    let home = [192, 168, 1, 1];
    let (dir, target) = (Dir::new(), Dir::new());
    dir.store().remember_device(home.into(), device());
    let whole = fs::read_to_string(dir.only_file()).unwrap();
    fs::remove_file(dir.only_file()).unwrap();
    let elsewhere = target.orphan(1, &whole);
    symlink(&elsewhere, dir.0.join("device")).unwrap();
    let store = dir.store();
    assert_eq!(store.device(home.into()), None);
    store.remember_device(home.into(), device());
    assert_eq!(dir.store().device(home.into()), Some(device()));
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), whole);
}

#[test]
fn what_a_living_process_has_recorded_too_is_anothers_until_that_one_ends() {
    let dir = Dir::new();
    let by_nat_pmp = |port| Record { maker: Maker::NatPmp, ..record(port) };
    let (alive, store) = (dir.store(), dir.store());
    for record in [by_nat_pmp(4000), record(4001), by_upnp(4002, 80)] {
        alive.record(record);
    }
    let elsewhere = Record { local_address: [192, 168, 1, 11].into(), ..by_nat_pmp(4000) };
    let on_tcp = Record { transport: Transport::Tcp, ..by_nat_pmp(4000) };
    for (record, expected) in [
        (by_nat_pmp(4000), true),
        // One table for all protocols.
        (by_nat_pmp(4001), true),
        (by_nat_pmp(4003), false),
        (elsewhere, false),
        (on_tcp, false),
        // Deleted by its nonce, which the other one has too.
        (record(4001), true),
        (Record { maker: Maker::Pcp { nonce: *b"another one!" }, ..record(4001) }, false),
        // One table, in which it may be the same entry.
        (record(4000), true),
        (Record { external_port: Some(80), ..record(4000) }, false),
        (by_upnp(4002, 80), true),
        (by_upnp(4002, 81), false),
        (Record { external_port: None, ..by_upnp(4002, 1) }, true),
        (Record { external_port: None, ..by_upnp(4003, 1) }, false),
    ] {
        assert_eq!(store.is_anothers(&record), expected, "{record:?}");
        assert!(!alive.is_anothers(&record), "its own: {record:?}");
    }
    let taken = [by_upnp(5000, 80), by_upnp(4002, 80), by_upnp(5000, 81)].map(|record| store.is_taken(&record));
    assert_eq!(taken, [true, false, false]);
    let nonces = [4001, 4003].map(|port| store.nonce_of_another(&record(port), &[]));
    assert_eq!(nonces, [Some(*b"0123456789ab"), None]);
    assert_eq!(store.nonce_of_another(&record(4001), &[*b"0123456789ab"]), None);
    drop(alive);
    assert!(!store.is_taken(&by_upnp(5000, 80)));
    assert_eq!(store.nonce_of_another(&record(4001), &[]), None);
    assert!(!store.is_anothers(&by_nat_pmp(4000)));
    assert_eq!(adopted(&store).len(), 3, "to look at an orphan does not keep it from anybody");
    assert!(!dir.store().is_anothers(&by_nat_pmp(4000)), "a leftover there too");
}

#[test]
fn of_two_that_leave_a_mapping_to_each_other_the_last_one_keeps_it_also_if_another_protocol_has_recorded_it_too() {
    let dir = Dir::new();
    let (one, other) = (dir.store(), dir.store());
    one.record(record(4000));
    other.record(record(4000));
    other.record(Record { maker: Maker::NatPmp, ..record(4000) });
    assert!(other.leave(&record(4000)));
    assert!(!one.leave(&record(4000)), "nobody would delete it");
    assert_eq!(one.of_port(record(4000).port()).0, [record(4000)], "its record is there until the mapping is deleted");
}

#[test]
fn what_is_found_late_for_a_port_that_a_lease_has_is_no_more_than_what_was_found_before_it() {
    let dir = Dir::new();
    let store = dir.store();
    store.record(record(4000));
    dir.orphan(1, &format!("{HEADER}{}{}", by_upnp(4000, 80).line(), by_upnp(4001, 81).line()));
    store.adopt_all();
    let claimed: Vec<_> = store.leftovers().iter().map(|left| (left.record.internal_port, left.claimed)).collect();
    assert_eq!(claimed, [(4000, true), (4001, false)]);
}

#[test]
fn a_relative_folder_is_the_same_after_the_host_has_gone_to_another_one() {
    let store = Store::new("state".into(), World::default());
    assert_eq!(store.folder.path(), std::env::current_dir().unwrap().join("state"));
}

#[test]
fn a_folder_that_the_user_has_deleted_is_made_again_without_a_word() {
    let dir = Dir::new();
    let store = dir.store();
    store.record(record(4000));
    fs::remove_dir_all(&dir.0).unwrap();
    store.record(record(4001));
    assert_eq!(fs::read_to_string(dir.only_file()).unwrap().lines().count(), 3);
    fs::remove_dir_all(&dir.0).unwrap();
    store.forget(&record(4000).key());
    fs::remove_dir_all(&dir.0).unwrap();
    store.forget(&record(4001).key());
    assert!(store.world.warning().is_none(), "{:?}", store.world.warning());
}

#[test]
fn an_earlier_version_that_its_holder_deletes_meanwhile_is_no_trouble() {
    let dir = Dir::new();
    let earlier = dir.orphan(7, HEADER);
    fs::write(dir.0.join("0000000000000007-2.leases"), HEADER).unwrap();
    let store = dir.store();
    let content = store.folder.content().unwrap();
    assert_eq!(content.superseded.len(), 1);
    fs::remove_file(earlier).unwrap();
    store.folder.sweep(&content).unwrap();
}

#[test]
fn the_same_change_by_several_threads_is_on_disk_and_no_trouble() {
    let dir = Dir::new();
    let store = dir.store();
    for round in 1..=200 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| store.record(record(round)));
            }
        });
        let text = fs::read_to_string(dir.only_file()).unwrap();
        assert!(text.contains(&format!("internal={round} ")), "{round}: {text}");
    }
    assert!(store.world.warning().is_none(), "{:?}", store.world.warning());
}

#[cfg(unix)]
#[test]
#[expect(unsafe_code, reason = "system calls")]
fn the_children_of_one_process_have_files_of_their_own() {
    use std::io::{Read, Write};

    // The generator of this thread has begun.
    let _: u64 = rand::random();
    let (mut told, mut tell) = io::pipe().unwrap();
    for _ in 0..2 {
        // SAFETY: the child does what a child of a process with threads may do where the allocator survives a fork, and ends.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let process = Store::new("/nowhere".into(), World::default()).process;
            let written = tell.write_all(&process.to_ne_bytes()).is_ok();
            // SAFETY: the call has no pointers.
            unsafe { libc::_exit(i32::from(!written)) };
        }
        let mut status = 0;
        // SAFETY: the pointer is to a number that lives as long as the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
    drop(tell);
    let mut numbers = Vec::new();
    told.read_to_end(&mut numbers).unwrap();
    assert_eq!(numbers.len(), 16);
    assert_ne!(numbers[..8], numbers[8..]);
}
