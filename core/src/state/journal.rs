//! The store as the clients of one gateway see it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Key, Maker, Record, Slot, Store};
use crate::mapping::{AddressFamily, Transport};

/// Records what is asked of one gateway. Copies share the store.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    store: Arc<Store>,
    gateway: IpAddr,
    local_address: IpAddr,
}

impl Journal {
    /// A journal of what is asked of `gateway` from `local_address`.
    pub(crate) fn new(store: Arc<Store>, gateway: IpAddr, local_address: IpAddr) -> Self {
        Self { store, gateway, local_address }
    }

    /// Where everything is recorded.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The gateway that is asked.
    pub(crate) const fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// Whether `record` is about this gateway, asked from here. `any_address` is for a gateway that may not mind which of this
    /// machine's addresses, earlier ones included, has the mapping.
    pub(crate) fn is_at(&self, record: &Record, any_address: bool) -> bool {
        record.gateway == self.gateway && (any_address || record.local_address == self.local_address)
    }

    /// The record of a mapping to this port.
    pub(crate) fn entry(
        &self,
        (transport, internal_port): (Transport, u16),
        external_port: Option<u16>,
        lifetime: Option<Duration>,
        maker: Maker,
    ) -> Record {
        Record {
            gateway: self.gateway,
            local_address: self.local_address,
            transport,
            internal_port,
            wish: self.store.wish((AddressFamily::of(self.local_address), transport, internal_port)),
            external_port,
            lifetime,
            end: None,
            kept: false,
            maker,
        }
    }

    /// To be called before the request is sent, and again if another mapping was granted. Answers with the record before.
    pub(crate) fn write(&self, record: Record) -> Option<Slot> {
        self.store.record(record)
    }

    /// The mapping is gone, or was never made.
    pub(crate) fn forget(&self, key: &Key) {
        self.store.forget(key);
    }

    /// Leaves what `record` is about to another process that has it too, if there is one, and forgets it then.
    pub(crate) fn leave(&self, record: &Record) -> bool {
        let left = self.store.leave(record);
        if left {
            let (transport, port) = (record.transport, record.internal_port);
            tracing::debug!(%transport, port, "not deleted, because another process has the port too");
        }
        left
    }

    /// Makes the record what it was before.
    pub(crate) fn restore(&self, key: &Key, before: Option<Slot>) {
        self.store.restore(key, before);
    }

    /// The mapping is left to its lifetime on purpose.
    pub(crate) fn keep(&self, key: &Key) {
        self.store.keep(key);
    }
}
