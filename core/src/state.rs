//! What is mapped, on disk, so that the next start after a crash can take it up again or delete it.
//!
//! Each mapper has one file in the folder, which it holds for as long as it lives: a file that nobody holds is an orphan. The
//! file is written anew at each change and is gone when nothing is mapped. What is found in an orphan moves to the file of
//! the mapper that found it before the orphan is deleted, so that nothing is lost if that one crashes too.
//!
//! Nothing here fails a lease: what does not work is a warning.

mod device;
mod folder;
mod held;
mod journal;
mod orphans;
mod pinholes;
mod place;
mod record;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rand::TryRng;
use rand::rngs::SysRng;

pub(crate) use self::device::KnownDevice;
use self::folder::{Folder, Held, MAX_BYTES, Name};
pub(crate) use self::journal::Journal;
use self::orphans::Found;
pub use self::pinholes::{RecordedPinhole, held_ports, recorded_pinholes};
pub use self::place::default_state_dir;
pub(crate) use self::record::{Key, Maker, Record};
use crate::error::PortMappingError;
use crate::mapping::{AddressFamily, LeaseKey, Protocol};
use crate::world::World;

/// The first line of a file.
const HEADER: &str = "portlease leases 1\n";
/// Records of one file.
const MAX_RECORDS: usize = 1024;

/// The records of one mapper, and those that it has found. Touches the disk at the first look or record.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    world: World,
    process: u64,
    table: Mutex<Table>,
    written: Mutex<Written>,
    /// Files that nobody may hold, as they were when they were looked at.
    found: Mutex<Vec<Found>>,
    /// The external ports that callers wished for. What is asked for later may be another one.
    wishes: Mutex<HashMap<LeaseKey, Option<u16>>>,
    /// The device on disk, once it was read or written.
    device: Mutex<Option<(IpAddr, KnownDevice)>>,
    warned: Mutex<HashSet<Trouble>>,
}

/// What a host is told of once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trouble {
    Look,
    Read,
    Unreadable,
    Write,
    Full,
}

#[derive(Debug, Default)]
struct Table {
    version: u64,
    slots: BTreeMap<Key, Slot>,
    bytes: usize,
}

/// A record in the table, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    record: Record,
    line: String,
    origin: Origin,
}

/// Where a record comes from. The file does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// This mapper has asked for the mapping.
    Own,
    /// It was found in an orphan.
    Found,
    /// The same, and a lease has the port.
    Claimed,
}

/// A record that was found and that no request has replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub(crate) record: Record,
    /// Whether a lease has the port.
    pub(crate) claimed: bool,
}

/// The version of the table that is on disk, and its file unless the table was empty.
#[derive(Debug, Default)]
struct Written {
    version: u64,
    file: Option<Held>,
}

impl Table {
    fn put(&mut self, slot: Slot) -> Option<Slot> {
        self.bytes += slot.line.len();
        let before = self.slots.insert(slot.record.key(), slot);
        self.bytes -= before.as_ref().map_or(0, |before| before.line.len());
        before
    }

    fn remove(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.bytes -= slot.line.len();
        Some(slot)
    }

    fn has_room_for(&self, slot: &Slot) -> bool {
        self.slots.contains_key(&slot.record.key())
            || self.slots.len() < MAX_RECORDS && HEADER.len() + self.bytes + slot.line.len() <= MAX_BYTES
    }
}

impl Slot {
    fn new(record: Record, origin: Origin) -> Self {
        Self { line: record.line(), record, origin }
    }

    fn is_of(&self, port: LeaseKey) -> bool {
        self.record.port() == port
    }

    /// What is to be deleted unless a request replaces it.
    fn leftover(&self) -> Option<Leftover> {
        let leftover = Leftover { record: self.record.clone(), claimed: self.origin == Origin::Claimed };
        (self.origin != Origin::Own && !self.record.kept).then_some(leftover)
    }
}

impl Store {
    pub(crate) fn new(folder: PathBuf, world: World) -> Self {
        Self {
            // The host may change its working directory, which must not part the files from their holder.
            folder: Folder::new(std::path::absolute(&folder).unwrap_or(folder)),
            world,
            process: random_number(),
            table: Mutex::default(),
            written: Mutex::default(),
            found: Mutex::default(),
            wishes: Mutex::default(),
            device: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// Records what is about to be asked for, or what was granted, in the place of an earlier record with the same key, which
    /// is the answer. Once this returns it is on disk, unless that has failed.
    pub(crate) fn record(&self, record: Record) -> Option<Slot> {
        let slot = Slot::new(record, Origin::Own);
        let (before, full) = {
            let mut table = self.table();
            match table.has_room_for(&slot) {
                false => (None, true),
                true => {
                    let line = slot.line.clone();
                    let before = table.put(slot);
                    let same = before.as_ref().is_some_and(|before| before.line == line);
                    table.version += u64::from(!same);
                    (before, false)
                }
            }
        };
        match full {
            true => self.warn(Trouble::Full, || "there are more mappings than fit into one file".to_owned(), None),
            false => drop(self.write()),
        }
        before
    }

    /// What was recorded is gone from the gateway, or was never there.
    pub(crate) fn forget(&self, key: &Key) {
        self.restore(key, None);
    }

    /// Makes the record what it was before, and answers with what it was until now.
    pub(crate) fn restore(&self, key: &Key, before: Option<Slot>) -> Option<Slot> {
        let now = {
            let mut table = self.table();
            let now = match before {
                Some(before) => table.put(before),
                None => table.remove(key),
            };
            let same = match (table.slots.get(key), &now) {
                (Some(slot), Some(now)) => slot.line == now.line,
                (slot, now) => slot.is_none() && now.is_none(),
            };
            table.version += u64::from(!same);
            now
        };
        self.write();
        now
    }

    /// Leaves to another process that lives what both have mapped, and forgets it here. Answers whether there is one.
    ///
    /// Two that end at the same moment see each other, and neither would delete the mapping. So each looks again once its own
    /// record is gone: the later one sees no other. Its record is back then, for as long as the delete takes.
    pub(crate) fn leave(&self, record: &Record) -> bool {
        if !self.is_anothers(record) {
            return false;
        }
        let key = record.key();
        let own = self.restore(&key, None);
        self.let_go_of_the_same(record);
        if self.is_anothers(record) {
            return true;
        }
        self.restore(&key, own);
        false
    }

    /// A protocol that has lost a race may have a record of the same mapping too. It stays, but keeps nobody from deleting that.
    fn let_go_of_the_same(&self, record: &Record) {
        let is_of_the_table = |own: &Record| own.maker.protocol() != Protocol::Upnp;
        for own in self.of_port(record.port()).0 {
            if own.target() == record.target() && is_of_the_table(&own) {
                self.record(own.orphaned(SystemTime::now()));
            }
        }
    }

    /// Marks what is left to its lifetime on purpose.
    pub(crate) fn keep(&self, key: &Key) {
        let record = self.table().slots.get(key).map(|slot| slot.record.clone());
        if let Some(record) = record {
            self.record(Record { kept: true, ..record });
        }
    }

    /// The records of a port that this mapper has made, and those that it has found.
    pub(crate) fn of_port(&self, port: LeaseKey) -> (Vec<Record>, Vec<Record>) {
        let table = self.table();
        let of_port = table.slots.values().filter(|slot| slot.is_of(port));
        let (own, found): (Vec<_>, Vec<_>) = of_port.partition(|slot| slot.origin == Origin::Own);
        let records = |slots: Vec<&Slot>| slots.into_iter().map(|slot| slot.record.clone()).collect();
        (records(own), records(found))
    }

    /// What was found in orphans and no request has replaced, without what was left on purpose.
    pub(crate) fn leftovers(&self) -> Vec<Leftover> {
        self.table().slots.values().filter_map(Slot::leftover).collect()
    }

    /// Whether there are leftovers of this family.
    pub(crate) fn has_left(&self, family: AddressFamily) -> bool {
        self.table().slots.values().filter_map(Slot::leftover).any(|leftover| leftover.record.port().0 == family)
    }

    /// Whether `leftover` is still one, and nobody has claimed it since.
    pub(crate) fn is_left(&self, leftover: &Leftover) -> bool {
        let now = self.table().slots.get(&leftover.record.key()).and_then(Slot::leftover);
        now.as_ref() == Some(leftover)
    }

    /// A lease has this port from now on: nobody deletes what it may take up again.
    pub(crate) fn claim(&self, port: LeaseKey) {
        let mut table = self.table();
        let found = table.slots.values_mut().filter(|slot| slot.origin == Origin::Found);
        found.filter(|slot| slot.is_of(port)).for_each(|slot| slot.origin = Origin::Claimed);
    }

    /// A lease is about to ask for this port, with this wish.
    pub(crate) fn wishes(&self, port: LeaseKey, wish: Option<u16>) {
        // Of one that has asked before, the first wish is the caller's.
        let asked = !self.of_port(port).0.is_empty();
        let mut wishes = lock(&self.wishes);
        if !asked {
            wishes.insert(port, wish);
        }
    }

    /// The external port that the caller wished for, if any.
    fn wish(&self, port: LeaseKey) -> Option<u16> {
        lock(&self.wishes).get(&port).copied().flatten()
    }

    /// Writes the table if it has changed. Returns whether it is on disk.
    fn write(&self) -> bool {
        let (version, text, durable) = {
            let mut table = self.table();
            if lock(&self.written).version >= table.version {
                return true;
            }
            // Another thread may be writing this version, and a name never means two files.
            table.version += 1;
            let mut text = String::with_capacity(HEADER.len() + table.bytes);
            text.push_str(HEADER);
            table.slots.values().for_each(|slot| text.push_str(&slot.line));
            (table.version, text, table.slots.values().any(|slot| slot.record.permanent()))
        };
        let file = match text == HEADER {
            true => None,
            false => match self.folder.write(&Name::new(self.process, version), &text, durable) {
                Ok(held) => Some(held),
                Err(error) => {
                    self.warn_io(Trouble::Write, "cannot write", error);
                    return false;
                }
            },
        };
        let replaced = {
            let mut written = lock(&self.written);
            // Another thread may have written a later version meanwhile.
            match written.version < version {
                true => std::mem::replace(&mut *written, Written { version, file }).file,
                false => file,
            }
        };
        if let Some(Err(error)) = replaced.map(Held::delete) {
            self.warn_io(Trouble::Write, "cannot delete a file", error);
        }
        true
    }

    fn warn_io(&self, trouble: Trouble, what: &str, error: io::Error) {
        self.warn(trouble, || what.to_owned(), Some(error));
    }

    fn warn(&self, trouble: Trouble, what: impl FnOnce() -> String, error: Option<io::Error>) {
        if !lock(&self.warned).insert(trouble) {
            return;
        }
        let message = format!("state_dir {}: {}", self.folder.path().display(), what());
        self.world.warn(&match error {
            Some(error) => PortMappingError::transport(message, error),
            None => PortMappingError::unavailable(message),
        });
    }
}

/// The generator of a thread goes on the same in every child of a fork, and two of them must not have the same files.
fn random_number() -> u64 {
    SysRng.try_next_u64().unwrap_or_else(|_| rand::random())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "state/tests.rs"]
pub(crate) mod tests;
