//! The entries that are not ours: what must be found unchanged after every step.

use std::collections::BTreeMap;

use portlease_gateway::{Gateway, Mapping, Transport};

use crate::verdict::line;

/// A place in the router's table.
pub(crate) type Key = (Transport, u16);

/// Who has made an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// Another host, or the user in the router's settings: it can be put into the table at any time.
    Other,
    /// The second client on our host.
    Second,
}

/// Entries as they were when their makers last touched them.
#[derive(Default)]
pub(crate) struct Foreign(BTreeMap<Key, (Maker, Mapping)>);

impl Foreign {
    pub(crate) fn add(&mut self, maker: Maker, mapping: Mapping) {
        self.0.insert((mapping.transport, mapping.external_port), (maker, mapping));
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Mapping> {
        self.0.remove(&key).map(|(_, mapping)| mapping)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.0.contains_key(&key)
    }

    /// The places of all entries, or of those of one maker.
    pub(crate) fn keys(&self, maker: Option<Maker>) -> Vec<Key> {
        self.0.iter().filter(|(_, (of, _))| maker.is_none_or(|maker| maker == *of)).map(|(key, _)| *key).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Maker, &Mapping)> {
        self.0.values().map(|(maker, mapping)| (*maker, mapping))
    }

    /// The first entry that is not what it was.
    pub(crate) fn check(&self, gateway: &Gateway) -> Result<(), String> {
        for (maker, before) in self.iter() {
            if !gateway.is_untouched(before) {
                let now = gateway.mapping(before.transport, before.external_port);
                let now = now.as_ref().map_or_else(|| "gone".to_owned(), line);
                return Err(format!("foreign entry ({maker:?}) was {} and is {now}", line(before)));
            }
        }
        Ok(())
    }
}
