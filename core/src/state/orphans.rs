//! Files that nobody holds any more: what was mapped by mappers that did not end well.

use std::io;
use std::time::SystemTime;

use super::folder::{Content, Name};
use super::record::{Maker, Record};
use super::{HEADER, MAX_RECORDS, Origin, Slot, Store, Trouble, lock};
use crate::mapping::LeaseKey;

/// The beginning of the first line. Another number is another version, which is left to the programs that know it.
const ANY_HEADER: &str = "portlease leases ";

#[derive(Debug)]
pub(super) struct Found {
    name: Name,
    /// What its records are about.
    ports: Vec<LeaseKey>,
}

impl Store {
    /// Looks which files are there and what they are about. Holds none of them, so that several mappers that start at once
    /// do not get in each other's way.
    pub(crate) fn look(&self) {
        let content = self.content();
        let found = content.files.iter().filter_map(|name| {
            // The mapper that held it may have deleted it just now.
            let text = self.folder.read(name).ok()?;
            let ports = read_records(&text)?.0.into_iter().map(|record| record.port());
            Some(Found { name: name.clone(), ports: ports.collect() })
        });
        *lock(&self.found) = found.collect();
    }

    /// Takes over the orphans with a record of this port: they are those of an earlier run of the same program.
    pub(crate) fn adopt(&self, port: LeaseKey) {
        let names: Vec<_> = {
            let mut found = lock(&self.found);
            let fits = |found: &mut Found| found.ports.contains(&port);
            found.extract_if(.., fits).map(|found| found.name).collect()
        };
        if !names.is_empty() {
            self.take_over(&names);
        }
    }

    /// Takes over all orphans that are there.
    pub(crate) fn adopt_all(&self) {
        lock(&self.found).clear();
        let content = self.content();
        self.take_over(&content.files);
        if let Err(error) = self.folder.sweep(&content) {
            self.warn_io(Trouble::Look, "cannot tidy up", error);
        }
    }

    /// Whether a process that lives has recorded a mapping that a delete of what `record` is about may hit: the same program has
    /// been started again since, or another one uses the port by now.
    pub(crate) fn is_anothers(&self, record: &Record) -> bool {
        self.of_others(|other| record.hits(other).then_some(())).is_some()
    }

    /// Whether a process that lives has recorded the place of `record` for another port of this machine.
    pub(crate) fn is_taken(&self, record: &Record) -> bool {
        let same = |other: &Record| other.key() == record.key() && other.internal_port != record.internal_port;
        self.of_others(|other| same(other).then_some(())).is_some()
    }

    /// The nonce by which a process that lives has mapped the port of `record`, or asks for it, unless it is one of `tried`.
    pub(crate) fn nonce_of_another(&self, record: &Record, tried: &[[u8; 12]]) -> Option<[u8; 12]> {
        self.of_others(|other| match other.maker {
            Maker::Pcp { nonce } if other.target() == record.target() && !tried.contains(&nonce) => Some(nonce),
            Maker::Pcp { .. } | Maker::NatPmp | Maker::Upnp { .. } => None,
        })
    }

    /// What `find` finds first in the records of processes that live.
    fn of_others<T>(&self, find: impl Fn(&Record) -> Option<T>) -> Option<T> {
        let found = |name: &Name| {
            // The mapper that held it may have deleted it just now.
            let (records, _) = self.folder.read(name).ok().and_then(|text| read_records(&text))?;
            // What has an end is a leftover there too, unless it was left on purpose.
            let is_wanted = |other: &&Record| other.end.is_none() || other.kept;
            records.iter().filter(is_wanted).find_map(&find)
        };
        let is_held = |name: &Name| !matches!(self.folder.take(name), Ok(Some(_)));
        self.content().files.iter().find_map(|name| found(name).filter(|_| is_held(name)))
    }

    /// Every record of this port: this mapper's own, those of orphans, which it takes over, and those of processes that live.
    pub(crate) fn all_of(&self, port: LeaseKey) -> Vec<Record> {
        self.look();
        self.adopt(port);
        let (mut records, found) = self.of_port(port);
        records.extend(found);
        for name in self.content().files {
            // The mapper that held it may have deleted it just now.
            let read = self.folder.read(&name).ok().and_then(|text| read_records(&text));
            records.extend(read.into_iter().flat_map(|(others, _)| others).filter(|other| other.port() == port));
        }
        records
    }

    fn content(&self) -> Content {
        let mut content = self.folder.content().unwrap_or_else(|error| {
            self.warn_io(Trouble::Look, "cannot read the folder", error);
            Content::default()
        });
        if content.more {
            self.warn(Trouble::Look, || "there are too many files; some are not looked at".to_owned(), None);
        }
        content.files.retain(|name| !name.is_of(self.process));
        content
    }

    /// Moves the records of the files that nobody holds to this mapper's own file.
    fn take_over(&self, names: &[Name]) {
        let mut taken = Vec::new();
        let now = SystemTime::now();
        for name in names {
            let mut held = match self.folder.take(name) {
                Ok(Some(held)) => held,
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.warn_io(Trouble::Read, "cannot open a file", error);
                    continue;
                }
            };
            match held.read() {
                Ok(text) => {
                    let Some((records, whole)) = read_records(&text) else { continue };
                    if !whole {
                        self.warn(Trouble::Unreadable, || "a file has lines that cannot be read".to_owned(), None);
                    }
                    self.inherit(records, now);
                    taken.push(held);
                }
                Err(error) => self.warn_io(Trouble::Read, "cannot read a file", error),
            }
        }
        // If it is not on disk here, it must stay there.
        if taken.is_empty() || !self.write() {
            return;
        }
        for held in taken {
            if let Err(error) = held.delete() {
                self.warn_io(Trouble::Write, "cannot delete a file", error);
            }
        }
    }

    fn inherit(&self, records: Vec<Record>, now: SystemTime) {
        let mut full = false;
        let mut table = self.table();
        for record in records {
            let record = record.orphaned(now);
            // What this mapper has recorded itself is newer.
            if record.ended(now) || table.slots.contains_key(&record.key()) {
                continue;
            }
            // A lease may have the port since before this was found.
            let has_lease = |slot: &Slot| slot.origin != Origin::Found && slot.is_of(record.port());
            let origin = if table.slots.values().any(has_lease) { Origin::Claimed } else { Origin::Found };
            let slot = Slot::new(record, origin);
            if table.has_room_for(&slot) {
                table.put(slot);
                table.version += 1;
            } else {
                full = true;
            }
        }
        drop(table);
        if full {
            self.warn(Trouble::Full, || "there are more mappings than fit into one file".to_owned(), None);
        }
    }
}

/// The records of a file, and whether every line could be read. `None` if it is of another version.
pub(super) fn read_records(text: &str) -> Option<(Vec<Record>, bool)> {
    let lines = text.strip_prefix(HEADER);
    if lines.is_none() && text.starts_with(ANY_HEADER) && text.contains('\n') {
        return None;
    }
    // A line without an end may be half a line.
    let lines_or_all = lines.unwrap_or(text);
    let (whole, half) = lines_or_all.rsplit_once('\n').unwrap_or(("", lines_or_all));
    let all: Vec<_> = whole.split_terminator('\n').map(Record::read).collect();
    let readable = lines.is_some() && half.is_empty() && all.iter().all(Option::is_some) && all.len() <= MAX_RECORDS;
    Some((all.into_iter().flatten().take(MAX_RECORDS).collect(), readable))
}
