use super::*;
use crate::mapping::Transport;

const OURS: &str = "a <program>";

fn entry(client: &str, port: u16, description: &str) -> TableEntry {
    let mut entry = TableEntry::new(Transport::Udp, 5000, client, port);
    entry.description = description.to_owned();
    entry
}

fn owner_of(entry: &TableEntry) -> Owner {
    owner(entry, "192.168.1.2:4000".parse().unwrap(), OURS, None, Shown::default())
}

#[test]
fn an_entry_is_ours_by_its_description_if_it_leads_to_our_port() {
    assert_eq!(owner_of(&entry("192.168.1.2", 4000, OURS)), Owner::Ours);
    assert_eq!(owner_of(&entry("192.168.1.2", 4000, "another")), Owner::ThisHost);
    assert_eq!(owner_of(&entry("192.168.1.2", 4000, "")), Owner::ThisHost);
    for elsewhere in [entry("192.168.1.3", 4000, OURS), entry("192.168.1.2", 4001, OURS)] {
        assert!(matches!(owner_of(&elsewhere), Owner::Another(why) if why.starts_with("leads to 192.168.1.")));
    }
}

#[test]
fn a_program_without_a_description_takes_nobodys_entry_for_its_own() {
    let owner = owner(&entry("192.168.1.2", 4000, ""), "192.168.1.2:4000".parse().unwrap(), "", None, Shown::default());
    assert_eq!(owner, Owner::ThisHost);
}

#[test]
fn an_entry_that_is_switched_off_or_for_one_remote_host_is_not_adopted() {
    let mut off = entry("192.168.1.2", 4000, "by hand");
    off.enabled = false;
    assert!(matches!(owner_of(&off), Owner::Another(why) if why.contains("switched off")));
    let mut remote = entry("192.168.1.2", 4000, "by hand");
    remote.remote_host = "198.51.100.7".to_owned();
    assert!(matches!(owner_of(&remote), Owner::Another(why) if why.contains("198.51.100.7")));
}
